//! Metrics: the real binary, asked as Prometheus asks.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::process::Stdio;

use burgee_proto::evaluation::v1::WatchFlagsRequest;
use burgee_tests::fixture::{ENVIRONMENT, Fixture};
use burgee_tests::metrics::{address, get, scrape, until, value};
use burgee_tests::server::{Server, binary};
use tempfile::TempDir;
use tokio::process::Command;

async fn serve(folder: &TempDir, more: &[&str]) -> Server {
    let database_url = format!("sqlite:{}", folder.path().join("burgee.db").display());
    Server::serve_some(&database_url, true, true, more).await
}

#[tokio::test]
async fn metrics_tell_what_goes_on_and_nothing_of_whom() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = serve(&folder, &["--metrics", "127.0.0.1:0"]).await;
    let fixture = Fixture::new(&server).await.features(2).await;
    let key = fixture.server_side_key().await;
    assert_eq!(value(&server, "burgee_evaluation_streams_open").await, 0.0);
    assert_eq!(value(&server, "burgee_evaluation_environments_held").await, 0.0);

    let mut client = server.evaluator(&key).await;
    let mut stream = client.watch_flags(WatchFlagsRequest::default()).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    until(&server, "burgee_evaluation_streams_open", |open| open == 1.0).await;
    assert_eq!(value(&server, "burgee_evaluation_environments_held").await, 1.0);
    // One of management, one of evaluation.
    assert!(value(&server, "burgee_connections_open").await >= 2.0);
    until(&server, "burgee_evaluation_database_last_reached_seconds", |seconds| seconds < 10.0).await;

    let page = scrape(&server).await;
    for name in [
        "burgee_connections_refused_total 0",
        "burgee_tls_handshake_failures_total 0",
        "burgee_certificate_reloads_total{result=\"ok\"} 0",
        "burgee_certificate_reloads_total{result=\"failed\"} 0",
        "burgee_evaluation_requests_limited_total 0",
    ] {
        assert!(page.lines().any(|line| line == name), "{name} in {page}");
    }
    let hint = &key[..8];
    let ids = ENVIRONMENT.split('/');
    for secret in [&server.credentials.token, &key, hint, "feature-0", "127.0.0.1"].into_iter().chain(ids) {
        // What the words of metrics are made of is no secret.
        if !["environments", "projects"].contains(&secret) {
            assert!(!page.contains(secret), "{secret} in {page}");
        }
    }

    drop(stream);
    until(&server, "burgee_evaluation_streams_open", |open| open == 0.0).await;
    assert!(server.terminate().await.success());
}

#[tokio::test]
async fn nothing_else_is_served_beside_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(&folder, &["--metrics", "127.0.0.1:0"]).await;
    for path in ["/", "/metrics/x", "/health"] {
        let (head, _) = get(address(&server), path).await;
        assert!(head.starts_with("HTTP/1.1 404"), "{path}: {head}");
    }
    let (head, _) = get(address(&server), "/metrics").await;
    assert!(head.contains("content-type: application/openmetrics-text"), "{head}");
}

#[tokio::test]
async fn metrics_are_off_unless_they_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(&folder, &[]).await;
    assert!(!server.printed.contains("metrics on"), "{}", server.printed);

    let config = |metrics: Option<&str>| {
        let mut command = Command::new(binary());
        command.arg("config").stdin(Stdio::null()).kill_on_drop(true);
        command.envs(metrics.map(|address| ("BURGEE_METRICS", address)));
        async move { String::from_utf8(command.output().await.unwrap().stdout).unwrap() }
    };
    assert!(!config(None).await.contains("metrics"));
    assert!(config(Some("127.0.0.1:9464")).await.contains("metrics = \"127.0.0.1:9464\""));
}
