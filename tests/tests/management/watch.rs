//! The change log as a stream.

use std::time::Duration;

use burgee_management::Settings;
use burgee_proto::management::v1::*;
use burgee_tests::postgres::Cluster;
use tonic::{Code, Status, Streaming};

use crate::world::*;

both! {
    every_change_is_replayed_once_and_in_order,
    a_stream_goes_on_with_what_is_written,
    a_stream_is_woken_by_its_own_log,
    a_stream_may_begin_now,
    a_reader_resumes_where_it_was,
    an_idle_stream_sends_checkpoints,
    a_slow_reader_misses_nothing,
    a_revision_that_does_not_exist_is_refused,
    a_stream_ends_with_its_project,
    a_project_of_the_same_name_is_another,
    a_stream_ends_with_the_server,
    a_stream_ends_with_its_token,
    what_another_server_writes_is_seen,
}

async fn watch(world: &World, after_revision: Option<i64>) -> Streaming<WatchChangesResponse> {
    let request = WatchChangesRequest { parent: SHOP.into(), after_revision };
    world.changes().watch_changes(request).await.unwrap().into_inner()
}

async fn message(stream: &mut Streaming<WatchChangesResponse>) -> Result<WatchChangesResponse, Status> {
    let message = tokio::time::timeout(PATIENCE, stream.message()).await.expect("a message");
    message.map(|message| message.expect("a stream ends with a status"))
}

/// Returns the revisions of the changes up to one, and checks what a checkpoint says on the way.
async fn through(stream: &mut Streaming<WatchChangesResponse>, revision: i64) -> Vec<i64> {
    let mut seen: Vec<i64> = Vec::new();
    let mut delivered = None;
    loop {
        let WatchChangesResponse { change, through_revision, .. } = message(stream).await.unwrap();
        match change {
            Some(change) => {
                assert_eq!(change.revision, through_revision);
                seen.push(change.revision);
                if change.revision == revision {
                    return seen;
                }
            }
            // A checkpoint never passes a change that was not delivered.
            None => assert!(delivered.is_none_or(|delivered| through_revision == delivered)),
        }
        delivered = Some(through_revision);
    }
}

/// Returns the status that ends a stream.
async fn end(stream: &mut Streaming<WatchChangesResponse>) -> (Code, String) {
    loop {
        if let Err(status) = message(stream).await {
            return (status.code(), burgee_proto::status::reason(&status).unwrap_or_default());
        }
    }
}

async fn every_change_is_replayed_once_and_in_order(world: World) {
    let world = world.with_features().await;
    let mut newest = 0;
    for _ in 0..40 {
        newest = world.switch_on("dark").await;
    }
    let mut stream = watch(&world, Some(0)).await;
    assert_eq!(message(&mut stream).await.unwrap().through_revision, 0);
    assert_eq!(through(&mut stream, newest).await, (1..=newest).collect::<Vec<_>>());
}

async fn a_stream_goes_on_with_what_is_written(world: World) {
    let world = world.with_features().await;
    let mut stream = watch(&world, Some(3)).await;
    assert_eq!(through(&mut stream, 4).await, [4]);
    for expected in 5..8 {
        assert_eq!(world.switch_on("dark").await, expected);
        assert_eq!(through(&mut stream, expected).await, [expected]);
    }
}

async fn a_stream_is_woken_by_its_own_log(world: World) {
    let world = world.with_features().await;
    let deaf = Settings { poll_interval: Duration::from_secs(3_600), ..settings() };
    let world = world.another(deaf).await;
    let mut streams = Vec::new();
    for parent in [SHOP, "organisations/acme", "server"] {
        let request = WatchChangesRequest { parent: parent.into(), after_revision: None };
        let mut stream = world.changes().watch_changes(request).await.unwrap().into_inner();
        // A second checkpoint: it has looked, and waits.
        let first = message(&mut stream).await.unwrap().through_revision;
        message(&mut stream).await.unwrap();
        streams.push((stream, first));
    }
    let [shop, acme, server] = &mut streams[..] else { unreachable!() };
    world.switch_on("dark").await;
    assert_eq!(through(&mut shop.0, shop.1 + 1).await, [shop.1 + 1]);
    let group = CreateGroupRequest {
        parent: "organisations/acme".into(),
        group_id: "team".into(),
        ..Default::default()
    };
    world.groups().create_group(group).await.unwrap();
    assert_eq!(through(&mut acme.0, acme.1 + 1).await, [acme.1 + 1]);
    let organisation = CreateOrganisationRequest { organisation_id: "other".into(), ..Default::default() };
    world.organisations().create_organisation(organisation).await.unwrap();
    assert_eq!(through(&mut server.0, server.1 + 1).await, [server.1 + 1]);
}

async fn a_stream_may_begin_now(world: World) {
    let world = world.with_features().await;
    let mut stream = watch(&world, None).await;
    let first = message(&mut stream).await.unwrap();
    assert_eq!((first.change, first.through_revision), (None, 4));
    let revision = world.switch_on("dark").await;
    assert_eq!(through(&mut stream, revision).await, [revision]);
}

async fn a_reader_resumes_where_it_was(world: World) {
    let world = world.with_features().await;
    let mut seen = Vec::new();
    for round in 1..=5 {
        // The reader goes away in the middle, each time with more written than it read.
        world.switch_on("dark").await;
        world.switch_on("title").await;
        let mut stream = watch(&world, seen.last().copied().or(Some(0))).await;
        seen.extend(through(&mut stream, round * 2).await);
    }
    assert_eq!(seen, (1..=10).collect::<Vec<_>>());
}

async fn an_idle_stream_sends_checkpoints(world: World) {
    let world = world.with_features().await;
    let mut stream = watch(&world, Some(4)).await;
    for _ in 0..3 {
        let checkpoint = message(&mut stream).await.unwrap();
        assert_eq!((checkpoint.change, checkpoint.through_revision), (None, 4));
    }
}

async fn a_slow_reader_misses_nothing(world: World) {
    let world = world.with_features().await;
    let mut stream = watch(&world, Some(4)).await;
    let mut newest = 0;
    // More than the connection holds, so that the server must wait for the reader.
    for _ in 0..30 {
        let mut request = update_flag("title", true);
        request.update_mask = mask(&["state.value"]);
        request.flag.as_mut().unwrap().state.as_mut().unwrap().value = text(&"x".repeat(19_000));
        newest = world.flags().update_flag(request).await.unwrap().into_inner().revision;
    }
    assert_eq!(through(&mut stream, newest).await, (5..=newest).collect::<Vec<_>>());
}

async fn a_revision_that_does_not_exist_is_refused(world: World) {
    let world = world.with_features().await;
    let request =
        |after_revision| WatchChangesRequest { parent: SHOP.into(), after_revision: Some(after_revision) };
    let status = check(
        world.changes().watch_changes(request(5)).await.map(|_| tonic::Response::new(())),
        Code::OutOfRange,
        "REVISION_OUT_OF_RANGE",
    );
    assert_eq!(metadata(&status, "newest_revision"), "4");
    check_invalid(
        world.changes().watch_changes(request(-1)).await.map(|_| tonic::Response::new(())),
        "after_revision",
    );
}

async fn a_stream_ends_with_its_project(world: World) {
    let world = world.with_features().await;
    let mut stream = watch(&world, None).await;
    message(&mut stream).await.unwrap();
    let delete = DeleteProjectRequest { name: SHOP.into(), force: true, ..Default::default() };
    world.projects().delete_project(delete).await.unwrap();
    assert_eq!(end(&mut stream).await, (Code::NotFound, "NOT_FOUND".to_owned()));
    let request = WatchChangesRequest { parent: SHOP.into(), after_revision: None };
    check_missing(world.changes().watch_changes(request).await.map(|_| tonic::Response::new(())), SHOP);
}

async fn a_project_of_the_same_name_is_another(world: World) {
    let world = world.with_features().await;
    // This server hears of nothing and looks rarely enough to see the project only after it was made again.
    let far = world.another(Settings { poll_interval: Duration::from_secs(1), ..settings() }).await;
    let mut stream = watch(&far, None).await;
    message(&mut stream).await.unwrap();
    let delete = DeleteProjectRequest { name: SHOP.into(), force: true, ..Default::default() };
    world.projects().delete_project(delete).await.unwrap();
    world.create_project("shop").await;
    for number in 0..5 {
        world.create_environment(&format!("e{number}")).await;
    }
    assert_eq!(end(&mut stream).await, (Code::NotFound, "NOT_FOUND".to_owned()));
}

async fn a_stream_ends_with_the_server(world: World) {
    let world = world.with_features().await;
    let mut stream = watch(&world, None).await;
    message(&mut stream).await.unwrap();
    world.shutdown.cancel();
    assert_eq!(end(&mut stream).await, (Code::Unavailable, "SHUTTING_DOWN".to_owned()));
}

async fn a_stream_ends_with_its_token(world: World) {
    let world = world.with_features().await;
    let request = CreateTokenRequest {
        parent: "users/administrator".into(),
        token_id: "sink".into(),
        ..Default::default()
    };
    let secret = world.users().create_token(request).await.unwrap().into_inner().secret;
    let mut stream = watch(&world.as_caller(&secret), None).await;
    message(&mut stream).await.unwrap();
    let request = RevokeTokenRequest { name: "users/administrator/tokens/sink".into(), ..Default::default() };
    world.users().revoke_token(request).await.unwrap();
    assert_eq!(end(&mut stream).await, (Code::Unauthenticated, "CREDENTIAL_INVALID".to_owned()));
}

async fn what_another_server_writes_is_seen(world: World) {
    let world = world.with_features().await;
    let replica = world.another(settings()).await;
    let mut stream = watch(&replica, Some(4)).await;
    let revision = world.switch_on("dark").await;
    assert_eq!(through(&mut stream, revision).await, [revision]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_outlives_its_database() {
    let cluster = Cluster::start();
    let world = World::open(cluster.database().await, None).await.with_features().await;
    let mut stream = watch(&world, Some(3)).await;
    assert_eq!(through(&mut stream, 4).await, [4]);
    cluster.kill();
    // Checkpoints go on, and say what is still true.
    for _ in 0..3 {
        assert_eq!(message(&mut stream).await.unwrap().through_revision, 4);
    }
    cluster.restart();
    let mut written = world.flags().update_flag(update_flag("dark", true)).await;
    for _ in 0..100 {
        if written.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        written = world.flags().update_flag(update_flag("dark", true)).await;
    }
    let revision = written.unwrap().into_inner().revision;
    assert_eq!(through(&mut stream, revision).await, (5..=revision).collect::<Vec<_>>());
}
