//! Streams that go on where they were.

use burgee_core::change::Mutation;
use burgee_core::feature::FeaturePatch;
use burgee_core::project::EnvironmentPatch;
use burgee_proto::evaluation::v1 as pb;
use pb::SnapshotReason;
use pb::watch_flags_response::Event;

use crate::service::*;
use crate::world::*;

both! {
    nothing_new_is_said_to_be_so,
    only_what_changed_since_is_sent,
    another_replica_goes_on,
    another_environment_begins_anew,
    another_request_begins_anew,
    changed_settings_begin_anew,
    changed_traits_begin_anew,
    a_client_is_not_told_names_that_it_never_saw,
    a_recreated_environment_begins_anew,
}

fn resuming(token: String) -> pb::WatchFlagsRequest {
    pb::WatchFlagsRequest { resume_token: token, ..Default::default() }
}

/// Opens a stream, and takes its snapshot and its token.
async fn first(service: &Service, key: &str, request: pb::WatchFlagsRequest) -> String {
    let mut stream = service.watch(key, request).await;
    stream.next().await;
    stream.token()
}

#[track_caller]
fn check_snapshot(event: Option<Event>, reason: SnapshotReason) {
    match event {
        Some(Event::Snapshot(snapshot)) => assert_eq!(snapshot.reason(), reason),
        other => panic!("{reason:?} should be the reason of a snapshot: {other:?}"),
    }
}

async fn nothing_new_is_said_to_be_so(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let token = first(&service, SERVER_KEY, pb::WatchFlagsRequest::default()).await;
    let elsewhere = world.write(switch("production", "banner", false)).await;
    let request = pb::EvaluateFlagsRequest { min_revision: elsewhere, ..Default::default() };
    service.client(SERVER_KEY).await.evaluate_flags(request).await.unwrap();
    let mut stream = service.watch(SERVER_KEY, resuming(token)).await;
    assert!(matches!(stream.next().await, Some(Event::UpToDate(_))), "{:?}", stream.messages);
    assert_eq!(stream.state.revision, elsewhere);
    let revision = world.write(switch("dev", "banner", false)).await;
    assert_eq!(stream.reach(revision).await.keys(), ["banner"], "it goes on");
}

async fn only_what_changed_since_is_sent(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let token = first(&service, SERVER_KEY, pb::WatchFlagsRequest::default()).await;
    world.write(switch("dev", "banner", false)).await;
    world.write(delete_feature("limit")).await;
    let revision = world.write(create_feature("extra")).await;
    let request = pb::EvaluateFlagsRequest { min_revision: revision, ..Default::default() };
    service.client(SERVER_KEY).await.evaluate_flags(request).await.unwrap();
    let mut stream = service.watch(SERVER_KEY, resuming(token)).await;
    let Some(Event::Update(update)) = stream.next().await else { panic!("{:?}", stream.messages) };
    assert_eq!((keys_of(&update.flags), stream.state.revision), (vec!["banner", "extra"], revision));
    assert_eq!(update.removed, ["limit"]);
}

async fn another_replica_goes_on(world: World) {
    let world = world.served().await;
    let token = {
        let service = Service::start(&world).await;
        first(&service, SERVER_KEY, pb::WatchFlagsRequest::default()).await
    };
    let revision = world.write(switch("dev", "banner", false)).await;
    let service = Service::start(&world).await;
    let mut stream = service.watch(SERVER_KEY, resuming(token)).await;
    let Some(Event::Update(update)) = stream.next().await else { panic!("{:?}", stream.messages) };
    assert_eq!((keys_of(&update.flags), stream.state.revision), (vec!["banner"], revision));
    let mut again = service.watch(SERVER_KEY, resuming(stream.token())).await;
    assert!(matches!(again.next().await, Some(Event::UpToDate(_))));
}

async fn another_environment_begins_anew(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let token = first(&service, OTHER_KEY, pb::WatchFlagsRequest::default()).await;
    let mut stream = service.watch(SERVER_KEY, resuming(token)).await;
    check_snapshot(stream.next().await, SnapshotReason::OtherEnvironment);
    assert_eq!(stream.state.flags.len(), 4);
}

async fn another_request_begins_anew(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let request = || pb::WatchFlagsRequest {
        identity: Some(somebody_with("eve", &[("plan", "beta")])),
        features: vec!["banner".to_owned(), "limit".to_owned()],
        ..Default::default()
    };
    let token = first(&service, SERVER_KEY, request()).await;
    let identity = |identity| pb::WatchFlagsRequest { identity: Some(identity), ..request() };
    let others = [
        pb::WatchFlagsRequest::default(),
        pb::WatchFlagsRequest { features: vec!["banner".to_owned()], ..request() },
        pb::WatchFlagsRequest { identity: None, ..request() },
        identity(somebody_with("adam", &[("plan", "beta")])),
        identity(somebody_with("eve", &[("plan", "staff")])),
        identity(pb::IdentityContext {
            hashing_key: "x".to_owned(),
            ..somebody_with("eve", &[("plan", "beta")])
        }),
        identity(pb::IdentityContext {
            ignore_stored_traits: true,
            ..somebody_with("eve", &[("plan", "beta")])
        }),
    ];
    for other in others {
        let mut stream =
            service.watch(SERVER_KEY, pb::WatchFlagsRequest { resume_token: token.clone(), ..other }).await;
        check_snapshot(stream.next().await, SnapshotReason::OtherRequest);
    }
    let same = pb::WatchFlagsRequest { resume_token: token, ..request() };
    let mut stream = service.watch(CLIENT_KEY, same.clone()).await;
    check_snapshot(stream.next().await, SnapshotReason::OtherRequest);
    let features = vec!["limit".to_owned(), "banner".to_owned(), "limit".to_owned()];
    let mut stream = service.watch(SERVER_KEY, pb::WatchFlagsRequest { features, ..same }).await;
    assert!(matches!(stream.next().await, Some(Event::UpToDate(_))), "the same in another order");
}

async fn changed_settings_begin_anew(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let token = first(&service, SERVER_KEY, pb::WatchFlagsRequest::default()).await;
    let patch = EnvironmentPatch { display_name: Some("Development".to_owned()), ..Default::default() };
    let min_revision = world.set_environment(patch).await;
    let request = pb::EvaluateFlagsRequest { min_revision, ..Default::default() };
    service.client(SERVER_KEY).await.evaluate_flags(request).await.unwrap();
    let mut stream = service.watch(SERVER_KEY, resuming(token)).await;
    check_snapshot(stream.next().await, SnapshotReason::SettingsChanged);
}

async fn changed_traits_begin_anew(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let request = || pb::WatchFlagsRequest { identity: Some(somebody("eve")), ..Default::default() };
    let token = first(&service, SERVER_KEY, request()).await;
    let resuming = || pb::WatchFlagsRequest { resume_token: token.clone(), ..request() };
    let mut stream = service.watch(SERVER_KEY, resuming()).await;
    assert!(matches!(stream.next().await, Some(Event::UpToDate(_))));
    world.set_traits("eve", &[("plan", "beta")]).await;
    let mut stream = service.watch(SERVER_KEY, resuming()).await;
    check_snapshot(stream.next().await, SnapshotReason::TraitsChanged);
    assert_eq!(text_of(&stream.state.flags["banner"]), "beta");
}

async fn a_client_is_not_told_names_that_it_never_saw(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let token = first(&service, CLIENT_KEY, pb::WatchFlagsRequest::default()).await;
    let patch = FeaturePatch { server_side_only: Some(true), ..Default::default() };
    world.write(Mutation::UpdateFeature { feature: feature_key("limit"), patch, etag: None }).await;
    world.write(secret_feature("hidden")).await;
    let revision = world.write(delete_feature("secret")).await;

    // A replica that saw it all happen knows what the client had.
    let mut watching = service.watch(CLIENT_KEY, pb::WatchFlagsRequest::default()).await;
    watching.reach(revision).await;
    let mut stream = service.watch(CLIENT_KEY, resuming(token.clone())).await;
    match stream.next().await {
        Some(Event::Update(update)) => {
            assert_eq!((update.flags.len(), update.removed), (0, vec!["limit".to_owned()]))
        }
        // It may have read several revisions at once.
        event => check_snapshot(event, SnapshotReason::FeaturesWithdrawn),
    }

    let another = Service::start(&world).await;
    let mut stream = another.watch(CLIENT_KEY, resuming(token)).await;
    check_snapshot(stream.next().await, SnapshotReason::FeaturesWithdrawn);
    assert_eq!(stream.keys(), ["banner", "split"]);
    for message in watching.messages.iter().chain(&stream.messages) {
        let message = format!("{message:?}");
        assert!(!message.contains("secret") && !message.contains("hidden"), "{message}");
    }
}

async fn a_recreated_environment_begins_anew(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let token = first(&service, SERVER_KEY, pb::WatchFlagsRequest::default()).await;
    let environment = environment_name("dev").environment;
    world.write(Mutation::DeleteEnvironment { environment, etag: None }).await;
    world.write(create_environment("dev")).await;
    let kind = burgee_core::access::KeyKind::ServerSide;
    world.write(environment_key("dev", "server", kind, "ser.again")).await;
    let mut stream = service.watch("ser.again", resuming(token)).await;
    check_snapshot(stream.next().await, SnapshotReason::OtherEnvironment);
}
