//! Who may call what.

use std::time::Duration;

use burgee_management::{Settings, bootstrap};
use burgee_proto::management::v1::*;
use burgee_proto::v1 as pb;
use chrono::Utc;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::client::Grpc;
use tonic::{Code, Request, Status};

use crate::world::*;

both! {
    every_method_refuses_a_caller_without_a_token,
    a_token_is_refused_once_it_is_revoked,
    a_token_that_has_expired_says_so,
    a_user_manages_their_own_tokens_and_nothing_else,
    a_token_of_an_organisation_is_no_user,
    the_first_user_is_created_once,
    a_call_that_takes_too_long_is_ended,
}

/// Calls a method with an empty message, whatever it takes.
async fn call(world: &World, path: &str, streaming: bool) -> Result<(), Status> {
    let mut client = Grpc::new(world.channel.clone());
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let path = path.parse().unwrap();
    if streaming {
        client.server_streaming(Request::new(()), path, codec).await.map(drop)
    } else {
        client.unary(Request::new(()), path, codec).await.map(drop)
    }
}

async fn every_method_refuses_a_caller_without_a_token(world: World) {
    let files = FileDescriptorSet::decode(burgee_proto::DESCRIPTORS).unwrap();
    let mut methods = 0;
    for file in files.file.iter().filter(|file| file.package() == "burgee.management.v1") {
        for service in &file.service {
            for method in &service.method {
                if matches!(method.name(), "AcceptInvitation" | "ExchangeToken") {
                    // Their requests hold a secret of their own.
                    continue;
                }
                let path = format!("/burgee.management.v1.{}/{}", service.name(), method.name());
                let status = call(&world, &path, method.server_streaming()).await.unwrap_err();
                assert_eq!(status.code(), Code::Unauthenticated, "{path}");
                assert_eq!(
                    burgee_proto::status::reason(&status).as_deref(),
                    Some("CREDENTIAL_MISSING"),
                    "{path}"
                );
                methods += 1;
            }
        }
    }
    assert!(methods > 90);
    let unknown = call(&world, "/burgee.management.v1.FlagService/DropAllFlags", false).await.unwrap_err();
    assert_eq!(unknown.code(), Code::Unimplemented);
}

async fn new_token(world: &World, parent: &str, id: &str) -> CreateTokenResponse {
    let request = CreateTokenRequest { parent: parent.into(), token_id: id.into(), ..Default::default() };
    world.users().create_token(request).await.unwrap().into_inner()
}

async fn new_user(world: &World, id: &str) -> String {
    let user = pb::User { email: format!("{id}@example.com"), ..Default::default() };
    let request = CreateUserRequest { user_id: id.into(), user: Some(user), ..Default::default() };
    world.users().create_user(request).await.unwrap();
    new_token(world, &format!("users/{id}"), "laptop").await.secret
}

async fn a_token_is_refused_once_it_is_revoked(world: World) {
    let CreateTokenResponse { token, secret } = new_token(&world, "users/administrator", "second").await;
    let token = token.unwrap();
    assert!(secret.starts_with("bgu_") && secret.len() == 54);
    assert_eq!(token.hint, secret[..16]);
    let other = world.as_caller(&secret);
    other.users().get_current_user(GetCurrentUserRequest {}).await.unwrap();

    let request = RevokeTokenRequest { name: token.name, ..Default::default() };
    let revoked = world.users().revoke_token(request.clone()).await.unwrap().into_inner().token.unwrap();
    assert!(revoked.revoke_time.is_some());
    let again = world.users().revoke_token(request).await.unwrap().into_inner().token.unwrap();
    assert_eq!(again, revoked);
    let outcome = other.users().get_current_user(GetCurrentUserRequest {}).await;
    check(outcome, Code::Unauthenticated, "CREDENTIAL_INVALID");
    let outcome = world.as_caller("bgt_guess").users().get_current_user(GetCurrentUserRequest {}).await;
    check(outcome, Code::Unauthenticated, "CREDENTIAL_INVALID");
}

async fn a_token_that_has_expired_says_so(world: World) {
    let soon = Utc::now() + chrono::TimeDelta::seconds(2);
    let request = CreateTokenRequest {
        parent: "users/administrator".into(),
        token_id: "short".into(),
        token: Some(pb::Token {
            expire_time: Some(burgee_proto::time::timestamp(soon)),
            ..Default::default()
        }),
        ..Default::default()
    };
    let secret = world.users().create_token(request).await.unwrap().into_inner().secret;
    let other = world.as_caller(&secret);
    let call = || async { other.users().get_current_user(GetCurrentUserRequest {}).await };
    call().await.unwrap();
    let expired = async {
        loop {
            if let Err(status) = call().await {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let status = tokio::time::timeout(Duration::from_secs(30), expired).await.unwrap();
    check::<()>(Err(status), Code::Unauthenticated, "CREDENTIAL_EXPIRED");
}

async fn a_user_manages_their_own_tokens_and_nothing_else(world: World) {
    let ada = world.as_caller(&new_user(&world, "ada").await);
    let user =
        ada.users().get_current_user(GetCurrentUserRequest {}).await.unwrap().into_inner().user.unwrap();
    assert_eq!((user.name.as_str(), user.administrator), ("users/ada", Some(false)));
    new_token(&ada, "users/ada", "phone").await;
    let request = ListTokensRequest { parent: "users/ada".into(), ..Default::default() };
    assert_eq!(ada.users().list_tokens(request).await.unwrap().into_inner().tokens.len(), 2);
    let request = RevokeTokenRequest { name: "users/ada/tokens/phone".into(), ..Default::default() };
    ada.users().revoke_token(request).await.unwrap();

    let request = ListTokensRequest { parent: "users/administrator".into(), ..Default::default() };
    check_missing(ada.users().list_tokens(request).await, "users/administrator");
    let request =
        RevokeTokenRequest { name: "users/administrator/tokens/first".into(), ..Default::default() };
    check_missing(ada.users().revoke_token(request).await, "users/administrator");
    let request = CreateTokenRequest {
        parent: "users/administrator".into(),
        token_id: "x".into(),
        ..Default::default()
    };
    check_missing(ada.users().create_token(request).await, "users/administrator");
    check_missing(ada.flags().update_flag(update_flag("dark", true)).await, DEV);
}

async fn a_token_of_an_organisation_is_no_user(world: World) {
    let world = world.shop().await;
    let ci = world.as_caller(&new_token(&world, ACME, "ci").await.secret);
    let name = format!("{ACME}/tokens/ci");
    check_missing(ci.users().get_current_user(GetCurrentUserRequest {}).await, &name);
    let request = ListTokensRequest { parent: ACME.into(), ..Default::default() };
    check(ci.users().list_tokens(request.clone()).await, Code::PermissionDenied, "PERMISSION_MISSING");
    assert_eq!(
        world.users().list_tokens(request).await.unwrap().into_inner().tokens[0].name,
        format!("{ACME}/tokens/ci")
    );
}

async fn the_first_user_is_created_once(world: World) {
    assert_eq!(bootstrap(&world.store, Utc::now()).await.unwrap(), None);
    let user =
        world.users().get_current_user(GetCurrentUserRequest {}).await.unwrap().into_inner().user.unwrap();
    assert_eq!((user.name.as_str(), user.email.as_str()), ("users/administrator", "administrator@localhost"));
    assert_eq!(user.administrator, Some(true));
}

async fn a_call_that_takes_too_long_is_ended(world: World) {
    let hurried = world.another(Settings { max_deadline: Duration::ZERO, ..settings() }).await;
    let status = hurried.users().get_current_user(GetCurrentUserRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
}
