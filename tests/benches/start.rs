//! What 1,000 environments cost: from start to ready, a cold environment's first answer, memory; from the database, and from
//! copies on disk while it is away. And how long a change of a large environment takes to a stream.
//!
//! `cargo bench -p burgee-tests --bench start`; behind `--`, another number of projects of ten environments, and `--no-copies`.
//! `BURGEE_BINARY` measures another build of the server.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for people that must not go on after a failure"
)]

use std::time::{Duration, Instant};

use burgee_core::access::{EnvironmentKey, KeyKind, KeyScope, SecretHash};
use burgee_core::account::AccountMutation;
use burgee_core::change::{Mutation, WriteContext};
use burgee_core::feature::{Feature, Variant};
use burgee_core::flag::{FlagState, FlagStatePatch};
use burgee_core::name::{
    EnvironmentName, FeatureName, FlagName, Identifier, IdentityOverrideName, KeyName, OrganisationName,
    ProjectName, SegmentName, SegmentOverrideName, VariantKey,
};
use burgee_core::organisation::Organisation;
use burgee_core::project::{Environment, IdentityHashing, Project};
use burgee_core::rule::{Condition, Operand, Operator, Rule, RuleKind};
use burgee_core::segment::Segment;
use burgee_core::store::FlagStore;
use burgee_core::value::{Value, ValueType};
use burgee_proto::evaluation::v1::{EvaluateFlagsRequest, WatchFlagsRequest};
use burgee_store::{Store, StoreOptions};
use burgee_tests::postgres::Cluster;
use burgee_tests::server::Server;
use burgee_tests::watcher::Watcher;
use chrono::Utc;
use prost::Message as _;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

const PROJECTS: usize = 100;
const ENVIRONMENTS_PER_PROJECT: usize = 10;
/// Of a standard environment.
const STANDARD: Size = Size { features: 50, split: 10, overridden: 20, segments: 20, identities: 0 };
/// Of the large one.
const LARGE: Size = Size { features: 1_000, split: 100, overridden: 100, segments: 100, identities: 5_000 };
/// Changes of the large environment that are measured.
const CHANGES: usize = 50;
/// Mutations of one write.
const BATCH: usize = 500;

#[derive(Clone, Copy)]
struct Size {
    features: usize,
    /// Features with 3 variants.
    split: usize,
    /// Features with an override for a segment.
    overridden: usize,
    segments: usize,
    /// Identities with an override.
    identities: usize,
}

#[tokio::main]
async fn main() {
    let cluster = Cluster::start_with(&[]);
    let database = cluster.database().await;
    let store = Store::open(&database, &StoreOptions::default()).unwrap();
    store.migrate().await.unwrap();
    create_organisation(&store).await;
    let arguments: Vec<String> = std::env::args().collect();
    let projects = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(PROJECTS);
    if projects == 0 {
        return large(&store, &database).await;
    }
    let mut keys = Vec::new();
    for number in 0..projects {
        keys.extend(fill(&store, &format!("p{number}"), ENVIRONMENTS_PER_PROJECT, STANDARD).await);
    }
    println!("{} standard environments", keys.len());

    let folder = tempfile::tempdir().unwrap();
    let copies = folder.path().join("copies").display().to_string();
    let with_copies = ["--snapshot-dir", &copies];
    let without = start("from the database, without copies", &database, &[]).await;
    cold("from the database, without copies", &without, &keys).await;
    drop(without);
    if arguments.iter().any(|argument| argument == "--no-copies") {
        return large(&store, &database).await;
    }
    let server = start("from the database", &database, &with_copies).await;
    cold("from the database", &server, &keys).await;
    let written = Instant::now();
    while count(&copies) < keys.len() && written.elapsed() < Duration::from_secs(120) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let bytes: u64 = files(&copies).map(|file| file.metadata().unwrap().len()).sum();
    println!("{} copies of {bytes} bytes, {:?} after the last answer", count(&copies), written.elapsed());
    drop(server);

    cluster.stop();
    let server = start("from copies, without the database", &database, &with_copies).await;
    cold("from copies, without the database", &server, &keys).await;
    drop(server);
    cluster.restart();
    large(&store, &database).await;
}

async fn start(what: &str, database: &str, more: &[&str]) -> Server {
    let started = Instant::now();
    let arguments = [
        "serve",
        "--database-url",
        database,
        "--management",
        "off",
        "--evaluation",
        "127.0.0.1:0",
        "--log",
        "error",
    ];
    let arguments = arguments.iter().chain(more).map(ToString::to_string).collect();
    let server = Server::start(arguments, Default::default()).await;
    let mut health = HealthClient::new(server.evaluation_channel().await);
    while health.check(HealthCheckRequest::default()).await.unwrap().into_inner().status()
        != ServingStatus::Serving
    {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!("{what}: ready after {:?}", started.elapsed());
    server
}

/// Asks for the flags of each environment for the first time.
async fn cold(what: &str, server: &Server, keys: &[String]) {
    let before = resident_bytes(server);
    let (mut times, mut answers) = (Vec::new(), 0);
    for key in keys {
        let mut client = server.evaluator(key).await;
        let asked = Instant::now();
        let answer = client.evaluate_flags(EvaluateFlagsRequest::default()).await.unwrap().into_inner();
        times.push(asked.elapsed());
        assert_eq!(answer.flags.len(), STANDARD.features);
        answers += answer.encoded_len();
    }
    row(&format!("{what}: first answers"), &mut times);
    let after = resident_bytes(server);
    println!(
        "{what}: {} kB resident before, {} kB after, {} bytes for each environment; all flags of all: {answers} bytes",
        before / 1024,
        after / 1024,
        after.saturating_sub(before) / keys.len() as u64
    );
}

/// Changes one flag of a large environment, and waits for the change on a stream.
async fn large(store: &Store, database: &str) {
    let key = fill(store, "large", 1, LARGE).await.remove(0);
    let server = start("with a large environment", database, &[]).await;
    let mut client = server.evaluator(&key).await;
    let mut stream = client.watch_flags(WatchFlagsRequest::default()).await.unwrap().into_inner();
    let mut watcher = Watcher::default();
    while watcher.revision == 0 {
        watcher.apply(stream.message().await.unwrap().unwrap());
    }
    let environment = environment_name(&project_name("large"), 0);
    let mut times = Vec::new();
    for number in 0..CHANGES {
        let metadata = Some(Some(format!("{{\"n\":{number}}}")));
        let patch = FlagStatePatch { metadata, ..Default::default() };
        let flag = flag_name(&environment, number % LARGE.features);
        let update = Mutation::UpdateFlag { flag, patch, etag: None };
        let applied = store.apply(&context(), &environment.project, vec![update]).await.unwrap();
        let written = Instant::now();
        while watcher.revision < applied.revision {
            watcher.apply(stream.message().await.unwrap().unwrap());
        }
        times.push(written.elapsed());
    }
    row("a large environment, from the commit to a stream", &mut times);
    println!("a large environment: {} kB resident", resident_bytes(&server) / 1024);
}

async fn create_organisation(store: &Store) {
    let organisation = Organisation {
        name: OrganisationName::parse("organisations/acme").unwrap(),
        display_name: "Acme".to_owned(),
        persist_trait_data: true,
        stop_serving_flags: false,
        created_at: Utc::now(),
        etag: String::new(),
    };
    store.apply_account(&context(), AccountMutation::CreateOrganisation { organisation }).await.unwrap();
}

/// Makes a project with environments; returns a key of each.
async fn fill(store: &Store, id: &str, environments: usize, size: Size) -> Vec<String> {
    let name = project_name(id);
    let project = Project {
        name: name.clone(),
        display_name: id.to_owned(),
        prevent_flag_defaults: false,
        revision: 0,
        created_at: Utc::now(),
        etag: String::new(),
    };
    store.create_project(&context(), project, None).await.unwrap();
    let features = (0..size.features).map(|number| feature(&name, number, number < size.split));
    let segments = (0..size.segments).map(|number| segment(&name, number));
    let mut writes: Vec<Mutation> = features.chain(segments).collect();
    let mut keys = Vec::new();
    for number in 0..environments {
        let environment = environment_name(&name, number);
        let secret = format!("ser.{id}.{number}");
        writes.push(create_environment(&environment));
        writes.push(create_key(&environment, &secret));
        for number in 0..size.overridden {
            let flag = flag_name(&environment, size.split + number);
            let segment = segment_name(&name, number % size.segments).segment;
            let name = SegmentOverrideName { flag, segment };
            let state = state("overridden");
            writes.push(Mutation::SetSegmentOverride { name, state, priority: None, etag: None });
        }
        for number in 0..size.identities {
            let flag = flag_name(&environment, number % size.features);
            let identifier = Identifier::parse(&format!("identity-{number}")).unwrap();
            let name = IdentityOverrideName { flag, identifier };
            writes.push(Mutation::SetIdentityOverride { name, state: state("mine"), etag: None });
        }
        keys.push(secret);
    }
    while !writes.is_empty() {
        let rest = writes.split_off(writes.len().min(BATCH));
        store.apply(&context(), &name, std::mem::replace(&mut writes, rest)).await.unwrap();
    }
    keys
}

fn context() -> WriteContext {
    WriteContext {
        actor: "users/bench".to_owned(),
        credential: "users/bench/tokens/bench".to_owned(),
        on_behalf_of: String::new(),
        address: "127.0.0.1".to_owned(),
        method: "Bench/Fill".to_owned(),
        request_id: None,
        request_digest: [0; 32],
        reason: String::new(),
        validate_only: false,
        now: Utc::now(),
    }
}

fn project_name(id: &str) -> ProjectName {
    ProjectName::parse(&format!("organisations/acme/projects/{id}")).unwrap()
}

fn environment_name(project: &ProjectName, number: usize) -> EnvironmentName {
    EnvironmentName::parse(&format!("{project}/environments/environment-{number}")).unwrap()
}

fn segment_name(project: &ProjectName, number: usize) -> SegmentName {
    SegmentName::parse(&format!("{project}/segments/segment-{number}")).unwrap()
}

fn flag_name(environment: &EnvironmentName, number: usize) -> FlagName {
    FlagName::parse(&format!("{environment}/flags/feature_{number:04}")).unwrap()
}

fn text(text: &str) -> Option<Value> {
    Some(Value::String(text.to_owned()))
}

fn state(value: &str) -> FlagState {
    FlagState {
        enabled: true,
        value: text(value),
        weights: Vec::new(),
        hashing_key: String::new(),
        metadata: None,
    }
}

fn feature(project: &ProjectName, number: usize, is_split: bool) -> Mutation {
    let variant =
        |key: &str| Variant { key: VariantKey::parse(key).unwrap(), value: text(key), default_weight: 25.0 };
    let variants = if is_split { ["red", "green", "blue"].map(variant).to_vec() } else { Vec::new() };
    Mutation::CreateFeature {
        feature: Feature {
            name: FeatureName::parse(&format!("{project}/features/feature_{number:04}")).unwrap(),
            description: String::new(),
            value_type: ValueType::String,
            initial_value: text("initial"),
            default_enabled: true,
            variants,
            tags: Vec::new(),
            owners: Vec::new(),
            archived: false,
            server_side_only: false,
            hashing_key: uuid::Uuid::new_v4().to_string(),
            created_at: Utc::now(),
            etag: String::new(),
        },
    }
}

/// A segment of two conditions on traits and a percentage split.
fn segment(project: &ProjectName, number: usize) -> Mutation {
    let condition = |property: &str, operator, operand: String| {
        Condition::new(property, operator, Operand::Text(operand), "").unwrap()
    };
    let conditions = vec![
        condition("plan", Operator::Equal, format!("plan-{number}")),
        condition("age", Operator::GreaterThan, number.to_string()),
        condition("", Operator::PercentageSplit, "50".to_owned()),
    ];
    Mutation::CreateSegment {
        segment: Segment {
            name: segment_name(project, number),
            display_name: format!("Segment {number}"),
            description: String::new(),
            feature: None,
            rules: vec![Rule { kind: RuleKind::All, conditions, rules: Vec::new() }],
            hashing_key: uuid::Uuid::new_v4().to_string(),
            metadata: None,
            created_at: Utc::now(),
            etag: String::new(),
        },
    }
}

fn create_environment(name: &EnvironmentName) -> Mutation {
    Mutation::CreateEnvironment {
        environment: Environment {
            name: name.clone(),
            display_name: String::new(),
            description: String::new(),
            hide_disabled_flags: false,
            allow_client_traits: true,
            identity_hashing: IdentityHashing::Composite,
            hashing_key: uuid::Uuid::new_v4().to_string(),
            created_at: Utc::now(),
            etag: String::new(),
        },
        creator: None,
    }
}

fn create_key(environment: &EnvironmentName, secret: &str) -> Mutation {
    Mutation::CreateKey {
        key: EnvironmentKey {
            name: KeyName::parse(&format!("{environment}/keys/server")).unwrap(),
            display_name: String::new(),
            kind: KeyKind::ServerSide,
            scopes: KeyScope::of_kind(KeyKind::ServerSide),
            tags: Vec::new(),
            hint: "ser.".to_owned(),
            created_at: Utc::now(),
            expires_at: None,
            revoked_at: None,
            etag: String::new(),
        },
        hash: SecretHash::of(secret),
    }
}

fn files(folder: &str) -> impl Iterator<Item = std::fs::DirEntry> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "copy"))
}

fn count(folder: &str) -> usize {
    files(folder).count()
}

fn resident_bytes(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

fn row(what: &str, times: &mut [Duration]) {
    times.sort();
    let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)];
    println!("{what}: p50 {:?}, p99 {:?}, longest {:?}", at(50), at(99), at(100));
}
