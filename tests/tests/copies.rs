//! Copies of environments on disk: evaluation starts while the database is away, with real processes that are killed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use burgee_proto::evaluation::v1::evaluation_service_client::EvaluationServiceClient;
use burgee_proto::evaluation::v1::{EvaluateFlagsRequest, EvaluateFlagsResponse, WatchFlagsRequest};
use burgee_proto::management::v1::environment_service_client::EnvironmentServiceClient;
use burgee_proto::management::v1::{
    CreateEnvironmentKeyRequest, CreateEnvironmentRequest, RevokeEnvironmentKeyRequest,
};
use burgee_proto::v1 as pb;
use burgee_tests::fixture::{ENVIRONMENT, Fixture, PROJECT};
use burgee_tests::postgres::Cluster;
use burgee_tests::server::{Credential, PATIENCE, Server, binary};
use burgee_tests::watcher::Watcher;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// Features of the project.
const FEATURES: usize = 5;
const OTHER_ENVIRONMENT: &str = "organisations/acme/projects/shop/environments/staging";

/// A deployment: a database of its own, management, and evaluation with copies in a folder.
struct World {
    cluster: Arc<Cluster>,
    management: Server,
    evaluation: Server,
    fixture: Fixture,
    folder: TempDir,
    /// The keys of two environments.
    keys: [String; 2],
}

impl World {
    async fn start() -> Self {
        let cluster = Arc::new(Cluster::start());
        let database = cluster.database().await;
        let management = Server::serve_some(&database, true, false, &[]).await;
        let fixture = Fixture::new(&management).await.features(FEATURES).await;
        let request = CreateEnvironmentRequest {
            parent: PROJECT.into(),
            environment_id: "staging".into(),
            ..Default::default()
        };
        environments(&management).await.create_environment(request).await.unwrap();
        let keys =
            [fixture.server_side_key().await, create_key(&management, OTHER_ENVIRONMENT, "server").await];
        let folder = tempfile::tempdir().unwrap();
        let copies = folder.path().join("copies").display().to_string();
        let more = ["--snapshot-dir", &copies, "--poll-interval-ms", "100"];
        let evaluation = Server::serve_some(&database, false, true, &more).await;
        Self { cluster, management, evaluation, fixture, folder, keys }
    }

    fn copies(&self) -> std::path::PathBuf {
        self.folder.path().join("copies")
    }

    /// Has every environment in memory, and its copy on disk at this revision.
    async fn copied(&self, revision: i64) -> Vec<EvaluateFlagsResponse> {
        let mut answers = Vec::new();
        for key in &self.keys {
            answers.push(evaluate(&self.evaluation, key, revision).await.unwrap());
        }
        until("copies are on disk", async || files(&self.copies(), "copy") == self.keys.len()).await;
        // A moment later it is noted, beside the copies, that they are of this revision.
        let written = fs::metadata(self.copies().join("confirmed")).and_then(|file| file.modified()).ok();
        until("copies are confirmed", async || {
            let file = fs::metadata(self.copies().join("confirmed")).and_then(|file| file.modified());
            file.is_ok_and(|now| written != Some(now))
        })
        .await;
        answers
    }

    async fn database(&self, change: fn(&Cluster)) {
        let cluster = Arc::clone(&self.cluster);
        tokio::task::spawn_blocking(move || change(&cluster)).await.unwrap();
    }
}

async fn environments(
    server: &Server,
) -> EnvironmentServiceClient<
    tonic::service::interceptor::InterceptedService<tonic::transport::Channel, Credential>,
> {
    EnvironmentServiceClient::with_interceptor(server.management_channel().await, server.token())
}

async fn create_key(server: &Server, environment: &str, id: &str) -> String {
    let request = CreateEnvironmentKeyRequest {
        parent: environment.into(),
        key_id: id.into(),
        key: Some(pb::EnvironmentKey { kind: pb::KeyKind::ServerSide.into(), ..Default::default() }),
        ..Default::default()
    };
    environments(server).await.create_environment_key(request).await.unwrap().into_inner().secret
}

async fn evaluate(server: &Server, key: &str, min_revision: i64) -> Result<EvaluateFlagsResponse, Status> {
    let request = EvaluateFlagsRequest { min_revision, ..Default::default() };
    let mut client = server.evaluator(key).await;
    Ok(client.evaluate_flags(request).await?.into_inner())
}

async fn is_ready(server: &Server) -> bool {
    let mut health = HealthClient::new(server.evaluation_channel().await);
    let answer = health.check(HealthCheckRequest::default()).await.unwrap().into_inner();
    answer.status() == ServingStatus::Serving
}

fn files(folder: &Path, extension: &str) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == extension)).count()
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waited = timeout(PATIENCE, async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_starts_from_its_copies_and_goes_on_when_the_database_is_back() {
    let mut world = World::start().await;
    let doomed = create_key(&world.management, ENVIRONMENT, "doomed").await;
    let revision = world.fixture.set_metadata("feature-0", "{\"n\":1}").await;
    let before = world.copied(revision).await;
    world.evaluation.kill().await;
    let request =
        RevokeEnvironmentKeyRequest { name: format!("{ENVIRONMENT}/keys/doomed"), ..Default::default() };
    environments(&world.management).await.revoke_environment_key(request).await.unwrap();
    world.database(Cluster::kill).await;

    world.evaluation.restart().await;
    until("it is ready", async || is_ready(&world.evaluation).await).await;
    for (key, before) in world.keys.iter().zip(&before) {
        let after = evaluate(&world.evaluation, key, revision).await.unwrap();
        assert_eq!((&after.flags, after.revision), (&before.flags, before.revision));
    }
    until("answers say how old they are", async || {
        evaluate(&world.evaluation, &world.keys[0], 0).await.unwrap().stale_for.is_some()
    })
    .await;
    // This is the price, and why copies have a largest age.
    assert!(evaluate(&world.evaluation, &doomed, 0).await.is_ok());
    let unknown = evaluate(&world.evaluation, "ser.unknown", 0).await.unwrap_err();
    assert_eq!(unknown.code(), Code::Unavailable);
    let channel = world.evaluation.evaluation_channel().await;
    let mut client = EvaluationServiceClient::with_interceptor(channel, Credential::key(&world.keys[0]));
    let mut stream = client.watch_flags(WatchFlagsRequest::default()).await.unwrap().into_inner();
    let mut watcher = Watcher::default();
    watcher.apply(stream.message().await.unwrap().unwrap());
    assert_eq!(watcher.list(), before[0].flags);

    world.database(Cluster::restart).await;
    // Connections that broke are found out one by one.
    until("the database answers management", async || {
        let name = format!("{ENVIRONMENT}/keys/doomed");
        let request = RevokeEnvironmentKeyRequest { name, ..Default::default() };
        let answer = environments(&world.management).await.revoke_environment_key(request).await;
        !answer.is_err_and(|status| status.code() == Code::Unavailable)
    })
    .await;
    let revision = world.fixture.set_metadata("feature-1", "{\"n\":2}").await;
    while watcher.revision < revision {
        watcher.apply(timeout(PATIENCE, stream.message()).await.unwrap().unwrap().unwrap());
    }
    let after = evaluate(&world.evaluation, &world.keys[0], revision).await.unwrap();
    assert_eq!(watcher.list(), after.flags);
    until("answers are fresh", async || {
        evaluate(&world.evaluation, &world.keys[0], revision).await.unwrap().stale_for.is_none()
    })
    .await;
    // It opens nothing any more; that it is revoked is known once a connection that did not break is asked.
    until("the key is refused", async || {
        evaluate(&world.evaluation, &doomed, 0).await.unwrap_err().code() == Code::Unauthenticated
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_copies_are_left_out_and_replaced() {
    let mut world = World::start().await;
    let before = world.copied(0).await;
    world.evaluation.kill().await;
    for entry in fs::read_dir(world.copies()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "copy") {
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x55;
            fs::write(&path, bytes).unwrap();
        }
    }
    fs::write(world.copies().join("77.copy"), "no copy at all").unwrap();
    fs::write(world.copies().join("confirmed"), "").unwrap();
    world.database(Cluster::kill).await;
    world.evaluation.restart().await;
    for key in &world.keys {
        let failed = evaluate(&world.evaluation, key, 0).await.unwrap_err();
        assert_eq!(failed.code(), Code::Unavailable);
    }
    world.database(Cluster::restart).await;
    until("the database is found", async || evaluate(&world.evaluation, &world.keys[0], 0).await.is_ok())
        .await;
    assert_eq!(world.copied(0).await.len(), before.len());
    until("what is of no use is gone", async || !world.copies().join("77.copy").exists()).await;

    world.evaluation.kill().await;
    world.database(Cluster::kill).await;
    world.evaluation.restart().await;
    for (key, before) in world.keys.iter().zip(&before) {
        assert_eq!(evaluate(&world.evaluation, key, 0).await.unwrap().flags, before.flags);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_is_lost_stops_nothing() {
    let world = World::start().await;
    world.copied(0).await;
    fs::remove_dir_all(world.copies()).unwrap();
    let revision = world.fixture.set_metadata("feature-0", "{\"n\":1}").await;
    let answer = evaluate(&world.evaluation, &world.keys[0], revision).await.unwrap();
    assert_eq!(answer.flags.len(), FEATURES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_belongs_to_one_server() {
    let world = World::start().await;
    let copies = world.copies().display().to_string();
    let database = world.cluster.url("postgres");
    let second =
        Command::new(binary()).args(["migrate", "--database-url", &database]).stdout(Stdio::null()).status();
    assert!(second.await.unwrap().success());
    let second = Command::new(binary())
        .args(["serve", "--database-url", &database, "--management", "off", "--evaluation", "127.0.0.1:0"])
        .args(["--snapshot-dir", &copies])
        .output();
    let second = timeout(PATIENCE, second).await.unwrap().unwrap();
    assert!(!second.status.success());
    let printed = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(printed.contains("another process uses it"), "{printed}");
}
