//! How streams end.

use burgee_core::access::{EnvironmentKey, KeyKind, SecretHash};
use burgee_core::change::Mutation;
use burgee_core::name::KeyId;
use burgee_core::organisation::OrganisationPatch;
use burgee_evaluation::Settings;
use burgee_proto::evaluation::v1 as pb;
use chrono::{TimeDelta, Utc};
use pb::GoodbyeReason;
use tonic::Code;

use crate::service::*;
use crate::world::*;

both! {
    a_shutdown_is_announced_and_ends_everything,
    the_streams_of_a_revoked_key_end,
    the_streams_of_a_key_end_when_it_expires,
    the_streams_of_a_deleted_environment_end,
    the_streams_end_when_the_organisation_stops_serving,
    too_many_streams_are_refused,
}

async fn watching(service: &Service, key: &str) -> Subscriber {
    let mut stream = service.watch(key, pb::WatchFlagsRequest::default()).await;
    stream.next().await;
    stream
}

async fn check_goodbye(stream: &mut Subscriber, reason: GoodbyeReason, comes_back: bool) {
    let goodbye = stream.goodbye().await;
    assert_eq!(goodbye.reason(), reason);
    assert_eq!(goodbye.retry_after.is_some(), comes_back, "{goodbye:?}");
}

async fn a_shutdown_is_announced_and_ends_everything(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let identity = Some(somebody("eve"));
    let mut streams = vec![
        watching(&service, SERVER_KEY).await,
        watching(&service, CLIENT_KEY).await,
        service.watch(OTHER_KEY, pb::WatchFlagsRequest { identity, ..Default::default() }).await,
    ];
    service.shutdown.cancel();
    for stream in &mut streams {
        check_goodbye(stream, GoodbyeReason::ShuttingDown, true).await;
    }
    service.evaluation.stopped().await;
    let mut client = service.client(SERVER_KEY).await;
    // Calls under way are still answered, but nothing new is written.
    client.evaluate_flags(pb::EvaluateFlagsRequest::default()).await.unwrap();
    let identity = Some(somebody("eve"));
    client.evaluate_flags(pb::EvaluateFlagsRequest { identity, ..Default::default() }).await.unwrap();
    let identify = pb::IdentifyRequest { identifier: "eve".to_owned(), ..Default::default() };
    check_status(client.identify(identify).await, Code::Unavailable, "SHUTTING_DOWN");
}

async fn the_streams_of_a_revoked_key_end(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let (mut revoked, mut other) =
        (watching(&service, CLIENT_KEY).await, watching(&service, SERVER_KEY).await);
    let environment = environment_name("dev").environment;
    world.write(Mutation::RevokeKey { environment, key: KeyId::parse("client").unwrap(), etag: None }).await;
    check_goodbye(&mut revoked, GoodbyeReason::KeyRevoked, false).await;
    let revision = world.write(switch("dev", "banner", false)).await;
    other.reach(revision).await;
}

async fn the_streams_of_a_key_end_when_it_expires(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let expires_at = Utc::now() + TimeDelta::seconds(2);
    let key =
        EnvironmentKey { expires_at: Some(expires_at), kind: KeyKind::ServerSide, ..key("dev", "soon") };
    world.write(Mutation::CreateKey { key, hash: SecretHash::of("ser.soon") }).await;
    let mut stream = watching(&service, "ser.soon").await;
    check_goodbye(&mut stream, GoodbyeReason::KeyRevoked, false).await;
    assert!(Utc::now() >= expires_at);
}

async fn the_streams_of_a_deleted_environment_end(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let (mut deleted, mut other) =
        (watching(&service, SERVER_KEY).await, watching(&service, OTHER_KEY).await);
    let environment = environment_name("dev").environment;
    world.write(Mutation::DeleteEnvironment { environment, etag: None }).await;
    check_goodbye(&mut deleted, GoodbyeReason::EnvironmentDeleted, false).await;
    world.flags().delete_project(&write(), &shop(), true, None).await.unwrap();
    check_goodbye(&mut other, GoodbyeReason::EnvironmentDeleted, false).await;
}

async fn the_streams_end_when_the_organisation_stops_serving(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let mut stream = watching(&service, SERVER_KEY).await;
    let patch = OrganisationPatch { stop_serving_flags: Some(true), ..Default::default() };
    world.flags().update_organisation(&write(), &acme(), patch, None).await.unwrap();
    check_goodbye(&mut stream, GoodbyeReason::ServingStopped, true).await;
}

async fn too_many_streams_are_refused(world: World) {
    let world = world.served().await;
    let settings = Settings { streams_per_connection: 2, streams_per_key: 3, ..Default::default() };
    let service = Service::start_with(&world, settings).await;
    let client = service.client(SERVER_KEY).await;
    let open = async || Subscriber::open(client.clone(), pb::WatchFlagsRequest::default()).await;
    let refused = async || open().await.map(|_| ());
    let (first, _second) = (open().await.unwrap(), open().await.unwrap());
    check_status(refused().await, Code::ResourceExhausted, "LIMIT_EXCEEDED");
    let _third = watching(&service, SERVER_KEY).await;
    let fourth = service.client(SERVER_KEY).await.watch_flags(pb::WatchFlagsRequest::default()).await;
    check_status(fourth, Code::ResourceExhausted, "LIMIT_EXCEEDED");
    drop(first);
    until("a place is free again", async || open().await.is_ok()).await;
}
