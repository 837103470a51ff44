//! How many calls somebody may make, and how many failed sign-ins an address.

use std::num::NonZeroU32;
use std::time::Duration;

use burgee_management::Settings;
use burgee_proto::management::v1::*;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::world::*;

both! {
    calls_of_one_token_are_limited_and_others_go_on,
    an_address_that_fails_too_often_waits_and_who_is_known_goes_on,
    streams_of_one_token_are_limited_and_a_place_is_free_again,
}

async fn call(world: &World) -> Result<tonic::Response<GetCurrentUserResponse>, tonic::Status> {
    world.users().get_current_user(GetCurrentUserRequest {}).await
}

async fn calls_of_one_token_are_limited_and_others_go_on(world: World) {
    let (per_second, burst) = (NonZeroU32::new(1).unwrap(), NonZeroU32::new(5).unwrap());
    let limited =
        world.another(Settings { requests_per_token: Some((per_second, burst)), ..settings() }).await;
    let other = limited.as_caller(&world.create_token("users/administrator", "other").await);
    let mut answered = 0;
    let refused = loop {
        match call(&limited).await {
            Ok(_) => answered += 1,
            Err(status) => break status,
        }
    };
    assert!((5..50).contains(&answered), "{answered}");
    let refused = check::<()>(Err(refused), Code::ResourceExhausted, "REQUEST_LIMIT_EXCEEDED");
    assert_eq!(metadata(&refused, "limit"), "requests_per_token_per_second");
    let delay = refused.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!(delay > Duration::ZERO && delay <= Duration::from_secs(1), "{delay:?}");
    call(&other).await.unwrap();
}

async fn an_address_that_fails_too_often_waits_and_who_is_known_goes_on(world: World) {
    let strict =
        world.another(Settings { sign_in_failures_per_minute: NonZeroU32::new(4), ..settings() }).await;
    let fresh = world.create_token("users/administrator", "fresh").await;
    call(&strict).await.unwrap();
    let guesser = strict.as_caller("bgt_guess");
    for _ in 0..3 {
        check(call(&guesser).await, Code::Unauthenticated, "CREDENTIAL_INVALID");
    }
    // What holds a secret of its own counts as well.
    let nobody = strict.as_nobody();
    let accept =
        AcceptInvitationRequest { secret: "bgi_guess".into(), user_id: "eve".into(), ..Default::default() };
    check(nobody.invitations().accept_invitation(accept.clone()).await, Code::NotFound, "NOT_FOUND");
    let refused = check(call(&guesser).await, Code::ResourceExhausted, "SIGN_IN_LIMIT_EXCEEDED");
    let delay = refused.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!(delay > Duration::ZERO && delay <= Duration::from_secs(60), "{delay:?}");
    assert_eq!(
        (metadata(&refused, "limit").as_str(), metadata(&refused, "maximum").as_str()),
        ("sign_in_failures_per_minute", "4")
    );
    let accept = nobody.invitations().accept_invitation(accept).await;
    check(accept, Code::ResourceExhausted, "SIGN_IN_LIMIT_EXCEEDED");
    // Who was good lately is not hindered; who was not seen before waits with the guesser.
    call(&strict).await.unwrap();
    check(call(&strict.as_caller(&fresh)).await, Code::ResourceExhausted, "SIGN_IN_LIMIT_EXCEEDED");
    call(&world.as_caller(&fresh)).await.unwrap();
}

async fn streams_of_one_token_are_limited_and_a_place_is_free_again(world: World) {
    let world = world.shop().await;
    let limited = world.another(Settings { streams_per_token: 2, ..settings() }).await;
    let request = WatchChangesRequest { parent: SHOP.into(), after_revision: None };
    let open = async || limited.changes().watch_changes(request.clone()).await;
    let first = open().await.unwrap();
    let _second = open().await.unwrap();
    let status = check(open().await, Code::ResourceExhausted, "LIMIT_EXCEEDED");
    assert_eq!(
        (metadata(&status, "limit").as_str(), metadata(&status, "maximum").as_str()),
        ("streams_per_token", "2")
    );
    drop(first);
    let free = async {
        while open().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, free).await.expect("a place is free again");
}
