//! Who is let in.

use burgee_core::access::{EnvironmentKey, KeyKind, SecretHash};
use burgee_core::change::Mutation;
use burgee_core::name::KeyId;
use burgee_proto::evaluation::v1 as pb;
use burgee_proto::evaluation::v1::evaluation_service_client::EvaluationServiceClient;
use chrono::{TimeDelta, Utc};
use tonic::{Code, Request};

use crate::service::*;
use crate::world::*;

both! {
    a_key_is_presented_or_nobody_is_let_in,
    a_key_works_as_soon_as_it_was_created,
    an_expired_key_is_refused,
    a_revoked_key_is_refused,
    a_rotated_key_works_along_with_the_new_one_for_a_while,
    the_keys_of_a_deleted_environment_are_unknown,
}

/// Whether a key is let in by all methods, or by none for this reason.
async fn admission(service: &Service, key: &str) -> Result<(), String> {
    let mut client = service.client(key).await;
    let item = pb::BatchEvaluateFlagsItem::default();
    let flag = pb::EvaluateFlagRequest { feature: "banner".to_owned(), ..Default::default() };
    let batch = pb::BatchEvaluateFlagsRequest { items: vec![item], ..Default::default() };
    let transient = pb::IdentifyRequest::default();
    let statuses = [
        client.evaluate_flags(pb::EvaluateFlagsRequest::default()).await.err(),
        client.evaluate_flag(flag).await.err(),
        client.batch_evaluate_flags(batch).await.err(),
        client.identify(transient).await.err(),
        client.watch_flags(pb::WatchFlagsRequest::default()).await.err(),
    ];
    let reasons: Vec<_> = statuses
        .iter()
        .map(|status| {
            let status = status.as_ref()?;
            assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
            burgee_proto::status::reason(status)
        })
        .collect();
    assert!(reasons.iter().all(|reason| *reason == reasons[0]), "{reasons:?}");
    reasons.into_iter().next().flatten().map_or(Ok(()), Err)
}

fn refused(reason: &str) -> Result<(), String> {
    Err(reason.to_owned())
}

async fn a_key_is_presented_or_nobody_is_let_in(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let mut client = EvaluationServiceClient::new(service.channel().await);
    let missing = client.evaluate_flags(pb::EvaluateFlagsRequest::default()).await;
    check_status(missing, Code::Unauthenticated, "CREDENTIAL_MISSING");
    let mut bearer = Request::new(pb::EvaluateFlagsRequest::default());
    let value = format!("Bearer {SERVER_KEY}");
    bearer.metadata_mut().insert("authorization", value.parse().unwrap());
    client.evaluate_flags(bearer).await.unwrap();
    for key in [SERVER_KEY, CLIENT_KEY, OTHER_KEY] {
        assert_eq!(admission(&service, key).await, Ok(()), "{key}");
    }
    assert_eq!(admission(&service, "ser.unknown").await, refused("CREDENTIAL_INVALID"));
}

async fn a_key_works_as_soon_as_it_was_created(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    assert_eq!(admission(&service, SERVER_KEY).await, Ok(()));
    for index in 0..5 {
        let secret = format!("ser.fresh-{index}");
        world.write(environment_key("dev", &format!("fresh-{index}"), KeyKind::ServerSide, &secret)).await;
        assert_eq!(admission(&service, &secret).await, Ok(()));
    }
}

async fn an_expired_key_is_refused(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let expiring = |id: &str, expires_at| Mutation::CreateKey {
        key: EnvironmentKey { expires_at: Some(expires_at), ..key("dev", id) },
        hash: SecretHash::of(id),
    };
    world.write(expiring("over", Utc::now() - TimeDelta::seconds(1))).await;
    world.write(expiring("soon", Utc::now() + TimeDelta::seconds(2))).await;
    assert_eq!(admission(&service, "over").await, refused("CREDENTIAL_EXPIRED"));
    until("the key expires", async || service_refuses(&service, "soon").await).await;
    assert_eq!(admission(&service, "soon").await, refused("CREDENTIAL_EXPIRED"));
}

async fn a_revoked_key_is_refused(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    assert_eq!(admission(&service, CLIENT_KEY).await, Ok(()));
    let environment = environment_name("dev").environment;
    let key = KeyId::parse("client").unwrap();
    world.write(Mutation::RevokeKey { environment, key, etag: None }).await;
    until("the key is refused", async || service_refuses(&service, CLIENT_KEY).await).await;
    assert_eq!(admission(&service, CLIENT_KEY).await, refused("CREDENTIAL_INVALID"));
    assert_eq!(admission(&service, SERVER_KEY).await, Ok(()));
}

async fn service_refuses(service: &Service, key: &str) -> bool {
    service.client(key).await.evaluate_flags(pb::EvaluateFlagsRequest::default()).await.is_err()
}

async fn a_rotated_key_works_along_with_the_new_one_for_a_while(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let rotate = |secret: &str, former_expires_at| Mutation::RotateKey {
        environment: environment_name("dev").environment,
        key: KeyId::parse("server").unwrap(),
        hash: SecretHash::of(secret),
        hint: "ser.abcd".to_owned(),
        expires_at: None,
        former_expires_at,
        etag: None,
    };
    world.write(rotate("ser.second", Utc::now() + TimeDelta::hours(1))).await;
    assert_eq!(admission(&service, "ser.second").await, Ok(()));
    assert_eq!(admission(&service, SERVER_KEY).await, Ok(()));
    world.write(rotate("ser.third", Utc::now() - TimeDelta::hours(1))).await;
    assert_eq!(admission(&service, "ser.third").await, Ok(()));
    assert!(admission(&service, "ser.second").await.is_err());
    assert_eq!(admission(&service, SERVER_KEY).await, Ok(()));
}

async fn the_keys_of_a_deleted_environment_are_unknown(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    assert_eq!(admission(&service, SERVER_KEY).await, Ok(()));
    let environment = environment_name("dev").environment;
    world.write(Mutation::DeleteEnvironment { environment, etag: None }).await;
    until("the key is refused", async || service_refuses(&service, SERVER_KEY).await).await;
    assert_eq!(admission(&service, SERVER_KEY).await, refused("CREDENTIAL_INVALID"));
    assert_eq!(admission(&service, OTHER_KEY).await, Ok(()));
}
