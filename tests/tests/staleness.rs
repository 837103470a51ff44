//! Two replicas over one database, as real processes: no answer shows a trait that is older than the bound after the
//! newer one was answered, whoever wrote it, and whatever happens to the connections that tell of writes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use burgee_proto::evaluation::v1::IdentifyRequest;
use burgee_proto::management::v1::environment_service_client::EnvironmentServiceClient;
use burgee_proto::management::v1::identity_service_client::IdentityServiceClient;
use burgee_proto::management::v1::{DeleteEnvironmentRequest, DeleteIdentityRequest, SetTraitsRequest};
use burgee_proto::v1 as pb;
use burgee_tests::fixture::{ENVIRONMENT, Fixture};
use burgee_tests::metrics::value;
use burgee_tests::postgres::Cluster;
use burgee_tests::proxy::Proxy;
use burgee_tests::server::{PATIENCE, Server};
use pb::trait_value::Kind;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinHandle;
use tonic::Code;

/// How old an answer may be. Long enough for beats on a busy machine, short enough to be passed many times.
const BOUND: Duration = Duration::from_millis(400);
/// How long a test writes and reads at least, and how often.
const WRITING: Duration = Duration::from_secs(4);
const WRITES: usize = 30;
const READS: i64 = 60;
/// A pause between writes, so that what is remembered is also used.
const PAUSE: Duration = Duration::from_millis(20);

/// Management and two replicas, the second one behind a proxy.
struct World {
    management: Server,
    replicas: [Server; 2],
    proxy: Proxy,
    database: String,
}

impl World {
    async fn start() -> Self {
        let database = Cluster::shared().database().await;
        let management = Server::serve_some(&database, true, false, &[]).await;
        let key = Fixture::new(&management).await.features(1).await.server_side_key().await;
        let url = url::Url::parse(&database).unwrap();
        let target: SocketAddr = format!("127.0.0.1:{}", url.port().unwrap()).parse().unwrap();
        let proxy = Proxy::start(target).await;
        let bound = BOUND.as_millis().to_string();
        let more = ["--identity-staleness-ms", &bound, "--metrics", "127.0.0.1:0"];
        let mut replicas = [
            Server::serve_some(&database, false, true, &more).await,
            Server::serve_some(&proxy.url(&database), false, true, &more).await,
        ];
        for replica in &mut replicas {
            replica.credentials.server_side.clone_from(&key);
        }
        Self { management, replicas, proxy, database }
    }

    async fn identities(
        &self,
    ) -> IdentityServiceClient<
        tonic::service::interceptor::InterceptedService<
            tonic::transport::Channel,
            burgee_tests::server::Credential,
        >,
    > {
        let channel = self.management.management_channel().await;
        IdentityServiceClient::with_interceptor(channel, self.management.token())
    }

    /// Returns how often a replica has used what it remembers.
    async fn remembered(&self, replica: usize) -> f64 {
        value(&self.replicas[replica], "burgee_evaluation_identities_remembered_total").await
    }

    /// Waits until a replica uses what it remembers.
    async fn until_remembered(&self, replica: usize) {
        let before = self.remembered(replica).await;
        let server = &self.replicas[replica];
        let deadline = Instant::now() + PATIENCE;
        while self.remembered(replica).await <= before {
            assert!(Instant::now() < deadline, "replica {replica} never uses what it remembers");
            count_of(server, "eve").await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Cuts the connections that listen.
    async fn cut(&self) {
        let mut connection = PgConnection::connect(&self.database).await.unwrap();
        let ended = sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'idle'
                AND query ~* '^(listen|select pg_notify)'",
        );
        ended.execute(&mut connection).await.unwrap();
    }
}

fn integer(number: i64) -> pb::TraitValue {
    pb::TraitValue { kind: Some(Kind::IntegerValue(number)) }
}

fn traits(number: i64) -> BTreeMap<String, pb::TraitValue> {
    BTreeMap::from([("count".to_owned(), integer(number))])
}

/// Returns the trait as a replica has it; 0 if it has none.
async fn count_of(server: &Server, identifier: &str) -> Result<i64, tonic::Status> {
    let mut client = server.evaluator(&server.credentials.server_side).await;
    count(&mut client, identifier).await
}

type Client = burgee_proto::evaluation::v1::evaluation_service_client::EvaluationServiceClient<
    tonic::service::interceptor::InterceptedService<
        tonic::transport::Channel,
        burgee_tests::server::Credential,
    >,
>;

async fn count(client: &mut Client, identifier: &str) -> Result<i64, tonic::Status> {
    // A transient call answers with what is stored, and stores nothing.
    let request =
        IdentifyRequest { identifier: identifier.to_owned(), transient: true, ..Default::default() };
    let traits = client.identify(request).await?.into_inner().traits;
    Ok(match traits.get("count").and_then(|value| value.kind.as_ref()) {
        Some(Kind::IntegerValue(number)) => *number,
        _ => 0,
    })
}

/// The writes of one identity that were answered: each number, and when.
#[derive(Clone, Default)]
struct Answered(Arc<Mutex<Vec<(i64, Instant)>>>);

impl Answered {
    /// Returns the newest number that was answered longer than the bound before an instant.
    fn due(&self, now: Instant) -> i64 {
        let answered = self.0.lock().unwrap();
        let due = answered.iter().rev().find(|(_, at)| *at + BOUND < now);
        due.map_or(0, |(number, _)| *number)
    }
}

/// Writes through either replica and management, in turn, until it is told to stop.
async fn write_until(world: &World, answered: Answered, stop: Arc<AtomicBool>) -> JoinHandle<()> {
    let mut management = world.identities().await;
    let [first, second] = &world.replicas;
    let mut clients = [
        first.evaluator(&first.credentials.server_side).await,
        second.evaluator(&second.credentials.server_side).await,
    ];
    tokio::spawn(async move {
        let mut number = 0;
        while !stop.load(Ordering::SeqCst) {
            number += 1;
            match number % 3 {
                2 => {
                    let name = format!("{ENVIRONMENT}/identities/eve");
                    let request = SetTraitsRequest { name, traits: traits(number), ..Default::default() };
                    management.set_traits(request).await.unwrap();
                }
                replica => {
                    let request = IdentifyRequest {
                        identifier: "eve".to_owned(),
                        traits: traits(number),
                        ..Default::default()
                    };
                    let client = &mut clients[usize::try_from(replica).unwrap()];
                    let answer = client.identify(request).await.unwrap().into_inner();
                    assert_eq!(answer.traits.get("count"), Some(&integer(number)));
                    assert_eq!(
                        count(client, "eve").await.unwrap(),
                        number,
                        "a replica sees its own writes at once"
                    );
                }
            }
            answered.0.lock().unwrap().push((number, Instant::now()));
            tokio::time::sleep(PAUSE).await;
        }
    })
}

/// Reads from a replica all the time, and counts.
async fn read_until(
    server: &Server,
    answered: Answered,
    stop: Arc<AtomicBool>,
    reads: Arc<AtomicI64>,
) -> JoinHandle<()> {
    let mut client = server.evaluator(&server.credentials.server_side).await;
    tokio::spawn(async move {
        while !stop.load(Ordering::SeqCst) {
            let due = answered.due(Instant::now());
            let read = count(&mut client, "eve").await.unwrap();
            assert!(read >= due, "{due} was answered longer ago than the bound, and {read} is served");
            reads.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
}

/// Writes and reads while something happens; no answer may be too old.
async fn check_while(world: &World, happens: impl Future<Output = ()>) {
    let (answered, stop, reads) = (Answered::default(), Arc::default(), Arc::<AtomicI64>::default());
    let mut tasks = vec![write_until(world, answered.clone(), Arc::clone(&stop)).await];
    for replica in &world.replicas {
        tasks.push(read_until(replica, answered.clone(), Arc::clone(&stop), Arc::clone(&reads)).await);
    }
    happens.await;
    let has_happened = || answered.0.lock().unwrap().len() >= WRITES && reads.load(Ordering::SeqCst) >= READS;
    let deadline = Instant::now() + PATIENCE;
    while !has_happened() && tasks.iter().all(|task| !task.is_finished()) {
        assert!(Instant::now() < deadline, "too little is written and read");
        tokio::time::sleep(PAUSE).await;
    }
    stop.store(true, Ordering::SeqCst);
    for task in tasks {
        tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_is_older_than_the_bound() {
    let world = World::start().await;
    check_while(&world, tokio::time::sleep(WRITING)).await;
    for replica in [0, 1] {
        world.until_remembered(replica).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_cut_makes_no_answer_too_old() {
    let world = World::start().await;
    world.until_remembered(0).await;
    check_while(&world, async {
        let end = Instant::now() + WRITING;
        while Instant::now() < end {
            tokio::time::sleep(BOUND / 2).await;
            world.cut().await;
        }
    })
    .await;
    for replica in [0, 1] {
        world.until_remembered(replica).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_silent_makes_no_answer_too_old() {
    let world = World::start().await;
    world.until_remembered(1).await;
    check_while(&world, async {
        tokio::time::sleep(BOUND).await;
        world.proxy.silence(true);
        tokio::time::sleep(WRITING).await;
        let before = world.remembered(1).await;
        tokio::time::sleep(BOUND).await;
        assert_eq!(world.remembered(1).await, before, "the database is asked");
        world.proxy.silence(false);
    })
    .await;
    world.until_remembered(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_identities_and_environments_are_forgotten() {
    let world = World::start().await;
    let [first, second] = &world.replicas;
    let mut client = first.evaluator(&first.credentials.server_side).await;
    let request = IdentifyRequest { identifier: "eve".to_owned(), traits: traits(7), ..Default::default() };
    client.identify(request.clone()).await.unwrap();
    for (replica, server) in [(0, first), (1, second)] {
        world.until_remembered(replica).await;
        assert_eq!(count_of(server, "eve").await.unwrap(), 7);
    }
    let name = format!("{ENVIRONMENT}/identities/eve");
    world
        .identities()
        .await
        .delete_identity(DeleteIdentityRequest { name, ..Default::default() })
        .await
        .unwrap();
    tokio::time::sleep(BOUND).await;
    for server in [first, second] {
        assert_eq!(count_of(server, "eve").await.unwrap(), 0);
    }

    // What is remembered must not keep anybody from writing what another has changed.
    client.identify(request.clone()).await.unwrap();
    assert_eq!(count(&mut client, "eve").await.unwrap(), 7);
    let mut other = second.evaluator(&second.credentials.server_side).await;
    let changed = IdentifyRequest { traits: traits(8), ..request.clone() };
    other.identify(changed).await.unwrap();
    let again = client.identify(request.clone()).await.unwrap().into_inner();
    assert_eq!(again.traits.get("count"), Some(&integer(7)));
    tokio::time::sleep(BOUND).await;
    assert_eq!(count(&mut other, "eve").await.unwrap(), 7, "the later write wins");
    // News of the former writes may still be on their way: then there is one write more.
    let deadline = Instant::now() + PATIENCE;
    while value(first, "burgee_evaluation_identities_unchanged_total").await < 1.0 {
        assert!(Instant::now() < deadline, "nothing has to be written");
        client.identify(request.clone()).await.unwrap();
    }

    let channel = world.management.management_channel().await;
    let mut environments = EnvironmentServiceClient::with_interceptor(channel, world.management.token());
    let name = ENVIRONMENT.to_owned();
    environments.delete_environment(DeleteEnvironmentRequest { name, ..Default::default() }).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let refused = client.identify(request.clone()).await;
        match refused {
            Err(status) if status.code() == Code::Unauthenticated => break,
            other => assert!(Instant::now() < deadline, "{other:?}"),
        }
    }
}
