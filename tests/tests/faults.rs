//! Nothing is lost: servers and databases are killed at any moment, with real processes and real sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use burgee_proto::evaluation::v1::evaluation_service_client::EvaluationServiceClient;
use burgee_proto::evaluation::v1::{EvaluateFlagsRequest, GoodbyeReason, WatchFlagsRequest};
use burgee_proto::management::v1::change_service_client::ChangeServiceClient;
use burgee_proto::management::v1::flag_service_client::FlagServiceClient;
use burgee_proto::management::v1::{ListChangesRequest, UpdateFlagRequest};
use burgee_proto::v1 as pb;
use burgee_tests::fixture::{ENVIRONMENT, Fixture, PROJECT};
use burgee_tests::postgres::Cluster;
use burgee_tests::server::{Credential, PATIENCE, Server, channel};
use burgee_tests::watcher::Watcher;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::Code;

/// Writes of each test.
const WRITES: usize = 150;
/// Features that are written, in turn.
const FEATURES: usize = 7;
/// How often something is killed.
const KILLS: usize = 4;
/// A pause of a client before it tries again; the servers come back in less.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Changes flags in turn, and repeats what got no answer with the same request id. Returns the last revision and the
/// request ids of all answered writes.
fn write(server: &Server, progress: Arc<AtomicUsize>) -> JoinHandle<(i64, Vec<String>)> {
    let (address, credential) = (server.management.unwrap(), server.token());
    tokio::spawn(async move {
        let mut last = 0;
        let mut ids = Vec::new();
        for number in 0..WRITES {
            let request_id = uuid::Uuid::new_v4().to_string();
            let request = UpdateFlagRequest {
                flag: Some(pb::Flag {
                    name: format!("{ENVIRONMENT}/flags/feature-{}", number % FEATURES),
                    state: Some(pb::FlagState {
                        enabled: Some(number.is_multiple_of(2)),
                        value: Some(pb::Value { kind: Some(pb::value::Kind::IntegerValue(number as i64)) }),
                        ..Default::default()
                    }),
                    ..Default::default()
                }),
                update_mask: Some(prost_types::FieldMask {
                    paths: vec!["state.enabled".to_owned(), "state.value".to_owned()],
                }),
                request_id: request_id.clone(),
                ..Default::default()
            };
            let answer = loop {
                let mut flags =
                    FlagServiceClient::with_interceptor(channel(address).await, credential.clone());
                match flags.update_flag(request.clone()).await {
                    Ok(answer) => break answer.into_inner(),
                    Err(status) if is_away(&status) => tokio::time::sleep(RETRY_PAUSE).await,
                    Err(status) => panic!("write {number} failed: {status:?}"),
                }
            };
            assert!(answer.revision > last, "revision {} after {last}", answer.revision);
            last = answer.revision;
            ids.push(request_id);
            progress.store(number + 1, Ordering::SeqCst);
        }
        (last, ids)
    })
}

/// Whether an error only says that a server or its database is away for now.
fn is_away(status: &tonic::Status) -> bool {
    // A connection that breaks in mid-call is reported by the client as one of the latter.
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal)
}

/// Follows the flags through any number of broken connections until it has a revision.
fn watch(server: &Server, done: Arc<std::sync::Mutex<Option<i64>>>) -> JoinHandle<Watcher> {
    let (address, key) = (server.evaluation.unwrap(), server.credentials.server_side.clone());
    tokio::spawn(async move {
        let mut watcher = Watcher::default();
        let finished = |watcher: &Watcher| done.lock().unwrap().is_some_and(|last| watcher.revision >= last);
        while !finished(&watcher) {
            let request = WatchFlagsRequest {
                resume_token: watcher.resume_token.clone(),
                checkpoint_interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
                ..Default::default()
            };
            let channel = channel(address).await;
            let mut client = EvaluationServiceClient::with_interceptor(channel, Credential::key(&key));
            let mut stream = match client.watch_flags(request).await {
                Ok(stream) => stream.into_inner(),
                Err(status) if is_away(&status) => {
                    tokio::time::sleep(RETRY_PAUSE).await;
                    continue;
                }
                Err(status) => panic!("could not watch: {status:?}"),
            };
            watcher.goodbye = None;
            while !finished(&watcher) {
                match stream.message().await {
                    Ok(Some(message)) => watcher.apply(message),
                    Ok(None) | Err(_) => break,
                }
            }
            watcher.disconnected();
        }
        watcher
    })
}

/// Asserts that a subscriber has what a fresh evaluation gives at the revision of the last write.
async fn assert_has_newest(server: &Server, watcher: &Watcher, last: i64) {
    let mut client = server.evaluator(&server.credentials.server_side).await;
    let request = EvaluateFlagsRequest { min_revision: last, ..Default::default() };
    let fresh = client.evaluate_flags(request).await.unwrap().into_inner();
    assert_eq!(watcher.revision, fresh.revision);
    assert_eq!(watcher.list(), fresh.flags);
    assert_eq!(fresh.flags.len(), FEATURES);
}

/// Asserts that every answered write is in the change log exactly once, and that revisions have no gap.
async fn assert_nothing_lost(server: &Server, ids: &[String]) {
    let mut changes =
        ChangeServiceClient::with_interceptor(server.management_channel().await, server.token());
    let request = ListChangesRequest { parent: PROJECT.to_owned(), page_size: 1_000, ..Default::default() };
    let log = changes.list_changes(request).await.unwrap().into_inner().changes;
    let revisions: Vec<i64> = log.iter().rev().map(|change| change.revision).collect();
    let expected: Vec<i64> = (1..=log.len() as i64).collect();
    assert_eq!(revisions, expected);
    let logged: Vec<&str> =
        log.iter().rev().map(|change| change.request_id.as_str()).filter(|id| !id.is_empty()).collect();
    assert_eq!(logged, ids.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(logged.iter().collect::<BTreeSet<_>>().len(), WRITES);
}

/// Waits until something was counted often enough.
async fn reached(counter: &AtomicUsize, count: usize) {
    timeout(PATIENCE, async {
        while counter.load(Ordering::SeqCst) < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("what is counted goes on");
}

async fn finish(
    writer: JoinHandle<(i64, Vec<String>)>,
    done: &std::sync::Mutex<Option<i64>>,
) -> (i64, Vec<String>) {
    let (last, ids) = timeout(4 * PATIENCE, writer).await.expect("all writes are answered").unwrap();
    *done.lock().unwrap() = Some(last);
    (last, ids)
}

async fn joined(watcher: JoinHandle<Watcher>) -> Watcher {
    timeout(PATIENCE, watcher).await.expect("the subscriber catches up").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_evaluation_server_loses_nothing_for_its_subscribers() {
    let database = Cluster::shared().database().await;
    let mut management = Server::serve_some(&database, true, false, &[]).await;
    let key = Fixture::new(&management).await.features(FEATURES).await.server_side_key().await;
    management.credentials.server_side.clone_from(&key);
    let mut evaluation = Server::serve_some(&database, false, true, &[]).await;
    evaluation.credentials.server_side = key;

    let (progress, done) = (Arc::default(), Arc::default());
    let watcher = watch(&evaluation, Arc::clone(&done));
    let writer = write(&management, Arc::clone(&progress));
    for kill in 1..=KILLS {
        reached(&progress, kill * WRITES / (KILLS + 1)).await;
        evaluation.kill().await;
        evaluation.restart().await;
    }
    let (last, ids) = finish(writer, &done).await;
    let watcher = joined(watcher).await;
    assert_has_newest(&evaluation, &watcher, last).await;
    assert_nothing_lost(&management, &ids).await;
    assert_eq!(
        watcher.snapshots, 1,
        "after the first snapshot, every stream resumed where the last one broke off"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_management_server_loses_no_answered_write() {
    let database = Cluster::shared().database().await;
    let mut server = Server::serve_some(&database, true, false, &[]).await;
    Fixture::new(&server).await.features(FEATURES).await;
    let progress = Arc::default();
    let writer = write(&server, Arc::clone(&progress));
    for kill in 1..=KILLS {
        reached(&progress, kill * WRITES / (KILLS + 1)).await;
        server.kill().await;
        server.restart().await;
    }
    let (_, ids) = finish(writer, &std::sync::Mutex::default()).await;
    assert_nothing_lost(&server, &ids).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_dev_server_loses_nothing() {
    let mut server = Server::dev().await;
    Fixture::existing(&server).await.features(FEATURES).await;
    let (progress, done) = (Arc::default(), Arc::default());
    let watcher = watch(&server, Arc::clone(&done));
    let writer = write(&server, Arc::clone(&progress));
    for kill in 1..=KILLS {
        reached(&progress, kill * WRITES / (KILLS + 1)).await;
        server.kill().await;
        server.restart().await;
    }
    let (last, ids) = finish(writer, &done).await;
    let watcher = joined(watcher).await;
    assert_has_newest(&server, &watcher, last).await;
    assert_nothing_lost(&server, &ids).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_dies_under_load_stops_no_evaluation_and_loses_nothing() {
    let cluster = Arc::new(Cluster::start());
    let database = cluster.database().await;
    // Stale is what was not confirmed for three polls.
    let mut server = Server::serve_some(&database, true, true, &["--poll-interval-ms", "100"]).await;
    server.credentials.server_side =
        Fixture::new(&server).await.features(FEATURES).await.server_side_key().await;

    let (progress, done) = (Arc::default(), Arc::default());
    let watcher = watch(&server, Arc::clone(&done));
    let writer = write(&server, Arc::clone(&progress));
    let (stop, stale) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let reader = evaluate_until(&server, Arc::clone(&stop), Arc::clone(&stale)).await;
    for kill in 1..=KILLS {
        reached(&progress, kill * WRITES / (KILLS + 1)).await;
        let stopped = Arc::clone(&cluster);
        let end = move || if kill % 2 == 0 { stopped.stop() } else { stopped.kill() };
        tokio::task::spawn_blocking(end).await.unwrap();
        // Every outage lasts until an answer without a database has said how old it is.
        reached(&stale, stale.load(Ordering::SeqCst) + 1).await;
        let cluster = Arc::clone(&cluster);
        tokio::task::spawn_blocking(move || cluster.restart()).await.unwrap();
    }
    let (last, ids) = finish(writer, &done).await;
    let watcher = joined(watcher).await;
    stop.store(true, Ordering::SeqCst);
    timeout(PATIENCE, reader).await.unwrap().unwrap();
    assert_has_newest(&server, &watcher, last).await;
    assert_nothing_lost(&server, &ids).await;
}

/// Evaluates all the time, and tolerates no failure. Counts the answers that said how old they are.
async fn evaluate_until(server: &Server, stop: Arc<AtomicBool>, stale: Arc<AtomicUsize>) -> JoinHandle<()> {
    let mut client = server.evaluator(&server.credentials.server_side).await;
    // The environment is in memory before anything breaks.
    client.evaluate_flags(EvaluateFlagsRequest::default()).await.unwrap();
    tokio::spawn(async move {
        let mut revision = 0;
        while !stop.load(Ordering::SeqCst) {
            let answer = client.evaluate_flags(EvaluateFlagsRequest::default()).await.unwrap().into_inner();
            assert!(answer.revision >= revision);
            revision = answer.revision;
            stale.fetch_add(usize::from(answer.stale_for.is_some()), Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_skips_to_the_newest_state() {
    let server = Server::dev().await;
    let fixture = Fixture::existing(&server).await.features(FEATURES).await;
    let mut client = server.evaluator(&server.credentials.server_side).await;
    let mut stream = client.watch_flags(WatchFlagsRequest::default()).await.unwrap().into_inner();
    let mut watcher = Watcher::default();
    watcher.apply(stream.message().await.unwrap().unwrap());

    // Nobody reads; what is written is far more than any window or buffer holds.
    let mut last = 0;
    for number in 0..200 {
        last = fixture
            .set_metadata("feature-0", &format!("{{\"n\":{number},\"x\":\"{}\"}}", "x".repeat(4_000)))
            .await;
    }
    while watcher.revision < last {
        watcher.apply(timeout(PATIENCE, stream.message()).await.unwrap().unwrap().unwrap());
    }
    assert!(watcher.applied < 150, "{} messages were queued", watcher.applied);
    assert_has_newest(&server, &watcher, last).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_says_goodbye_and_exits() {
    let mut server = Server::dev().await;
    let mut client = server.evaluator(&server.credentials.server_side).await;
    let mut stream = client.watch_flags(WatchFlagsRequest::default()).await.unwrap().into_inner();
    let mut watcher = Watcher::default();
    watcher.apply(stream.message().await.unwrap().unwrap());
    let status = server.terminate().await;
    assert!(status.success(), "{status}");
    while let Ok(Some(message)) = stream.message().await {
        watcher.apply(message);
    }
    let goodbye = watcher.goodbye.expect("a goodbye");
    assert_eq!(goodbye.reason(), GoodbyeReason::ShuttingDown);
    assert!(goodbye.retry_after.is_some());
}
