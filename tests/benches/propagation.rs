//! How long a change takes from the commit to an open stream; beside it, in the same run, PostgreSQL's own notification.
//! And how long the import of a large environment takes.
//!
//! `cargo bench -p burgee-tests --bench propagation`

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for people that must not go on after a failure"
)]

use std::time::{Duration, Instant};

use burgee_proto::evaluation::v1::WatchFlagsRequest;
use burgee_tests::fixture::Fixture;
use burgee_tests::postgres::Cluster;
use burgee_tests::server::{Server, binary};
use burgee_tests::watcher::Watcher;
use burgee_tests::{document, fixture};
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::process::Command;

/// Changes that are measured.
const CHANGES: usize = 200;
/// Changes before that, so that caches, pools and plans are warm.
const WARM_UP: usize = 20;

#[tokio::main]
async fn main() {
    // With fsync, as in production.
    let cluster = Cluster::start_with(&[]);
    let baseline = notification(&cluster.database().await).await;
    row("PostgreSQL's notification alone", &baseline, None);

    let mut server = Server::serve(&cluster.database().await).await;
    let prepared = Fixture::new(&server).await.features(50).await;
    server.credentials.server_side = prepared.server_side_key().await;
    propagate("PostgreSQL", &server, &prepared, Some(&baseline)).await;
    import("PostgreSQL", &server).await;

    let server = Server::dev().await;
    let prepared = Fixture::existing(&server).await.features(50).await;
    propagate("SQLite", &server, &prepared, None).await;
    import("SQLite", &server).await;
}

/// Measures, for each change, from the call, and from its answer, to the message on an open stream.
async fn propagate(name: &str, server: &Server, prepared: &Fixture, baseline: Option<&[Duration]>) {
    let mut client = server.evaluator(&server.credentials.server_side).await;
    let mut stream = client.watch_flags(WatchFlagsRequest::default()).await.unwrap().into_inner();
    let mut watcher = Watcher::default();
    watcher.apply(stream.message().await.unwrap().unwrap());

    let (mut from_call, mut from_answer) = (Vec::new(), Vec::new());
    for number in 0..WARM_UP + CHANGES {
        let called = Instant::now();
        let metadata = format!("{{\"n\":{number}}}");
        let write = async {
            let revision = prepared.set_metadata("feature-0", &metadata).await;
            (revision, Instant::now())
        };
        let arrive = async {
            let message = stream.message().await.unwrap().unwrap();
            (message, Instant::now())
        };
        let ((revision, answered), (message, arrived)) = tokio::join!(write, arrive);
        watcher.apply(message);
        assert_eq!(watcher.revision, revision);
        if number >= WARM_UP {
            from_call.push(arrived - called);
            from_answer.push(arrived.saturating_duration_since(answered));
        }
    }
    row(&format!("{name}: from the call to the stream"), &from_call, baseline);
    row(&format!("{name}: from the answer to the stream"), &from_answer, baseline);
}

/// Measures a transaction that updates a row and notifies, from its first statement to the listener.
async fn notification(database: &str) -> Vec<Duration> {
    let pool = PgPoolOptions::new().max_connections(1).connect(database).await.unwrap();
    sqlx::query("CREATE TABLE counter (id int PRIMARY KEY, n bigint NOT NULL)").execute(&pool).await.unwrap();
    sqlx::query("INSERT INTO counter VALUES (1, 0)").execute(&pool).await.unwrap();
    let mut listener = PgListener::connect(database).await.unwrap();
    listener.listen("changes").await.unwrap();
    let mut times = Vec::new();
    for number in 0..WARM_UP + CHANGES {
        let called = Instant::now();
        let write = async {
            let mut tx = pool.begin().await.unwrap();
            sqlx::query("UPDATE counter SET n = n + 1 WHERE id = 1").execute(&mut *tx).await.unwrap();
            sqlx::query("SELECT pg_notify('changes', '1')").execute(&mut *tx).await.unwrap();
            tx.commit().await.unwrap();
        };
        let hear = async {
            listener.recv().await.unwrap();
            Instant::now()
        };
        let ((), heard) = tokio::join!(write, hear);
        if number >= WARM_UP {
            times.push(heard - called);
        }
    }
    times
}

/// Imports 50 features, 15 segments and 750 overrides; twice, so that the second finds nothing to do.
async fn import(name: &str, server: &Server) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("environment.json");
    std::fs::write(&file, document::large()).unwrap();
    for run in ["first", "second"] {
        let started = Instant::now();
        let status = Command::new(binary())
            .args(["import", "flagsmith"])
            .arg(&file)
            .args([
                "--project",
                fixture::PROJECT,
                "--server",
                &format!("http://{}", server.management.unwrap()),
            ])
            .env("BURGEE_TOKEN", &server.credentials.token)
            .stdout(std::process::Stdio::null())
            .status()
            .await
            .unwrap();
        assert!(status.success());
        println!(
            "{name}: {run} import of 50 features, 15 segments, 750 overrides: {:.2} s",
            started.elapsed().as_secs_f64()
        );
    }
}

fn row(name: &str, times: &[Duration], baseline: Option<&[Duration]>) {
    let (p50, p99) = (percentile(times, 50), percentile(times, 99));
    let ratio = baseline.map(|baseline| {
        let ratio =
            |percent| percentile(times, percent).as_secs_f64() / percentile(baseline, percent).as_secs_f64();
        format!(", {:.1} and {:.1} times the notification alone", ratio(50), ratio(99))
    });
    let ratio = ratio.unwrap_or_default();
    println!("{name}: p50 {:.2} ms, p99 {:.2} ms{ratio}", p50.as_secs_f64() * 1e3, p99.as_secs_f64() * 1e3);
}

fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}
