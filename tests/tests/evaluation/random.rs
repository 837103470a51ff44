//! Random writes, and subscribers of every kind: whatever a subscriber has at a revision is what a fresh call was
//! answered with at that revision.

#![allow(clippy::print_stdout, reason = "whoever reads of a failure needs the seed")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use burgee_core::access::{EnvironmentKey, SecretHash};
use burgee_core::change::Mutation;
use burgee_core::engine::FeatureRules;
use burgee_core::feature::{Feature, FeaturePatch};
use burgee_core::flag::FlagStatePatch;
use burgee_core::name::VariantKey;
use burgee_core::project::EnvironmentPatch;
use burgee_core::rule::{Condition, Operand, Operator, Rule, RuleKind};
use burgee_core::segment::SegmentPatch;
use burgee_evaluation::Settings;
use burgee_proto::evaluation::v1 as pb;
use pb::watch_flags_response::Event;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::watch;

use crate::service::*;
use crate::world::*;

both! {
    subscribers_have_what_fresh_calls_are_answered_with,
}

const WRITES: usize = 200;
const FEATURES: [&str; 7] = ["banner", "limit", "secret", "split", "later", "never", "hidden"];
const SEGMENTS: [&str; 3] = ["beta", "staff", "third"];
const TAGS: [&str; 2] = ["web", "app"];
/// Sees features that have the tag `web`.
const LIMITED_KEY: &str = "ser.web";
const IDENTIFIERS: [&str; 3] = ["ada", "eve", "joe"];

/// A kind of subscriber.
#[derive(Clone)]
struct Kind {
    name: &'static str,
    key: &'static str,
    request: pb::WatchFlagsRequest,
}

fn kinds() -> Vec<Kind> {
    let second = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    let all = || pb::WatchFlagsRequest { checkpoint_interval: second, ..Default::default() };
    let some = ["banner", "later", "secret", "missing"].map(str::to_owned).to_vec();
    let eve = Some(somebody("eve"));
    vec![
        Kind { name: "environment", key: SERVER_KEY, request: all() },
        Kind {
            name: "identity",
            key: SERVER_KEY,
            request: pb::WatchFlagsRequest { identity: eve.clone(), ..all() },
        },
        Kind { name: "client", key: CLIENT_KEY, request: all() },
        Kind {
            name: "some features, client",
            key: CLIENT_KEY,
            request: pb::WatchFlagsRequest { features: some, identity: eve, ..all() },
        },
        Kind { name: "limited", key: LIMITED_KEY, request: all() },
        Kind { name: "another environment", key: OTHER_KEY, request: all() },
    ]
}

/// What a fresh call of each kind of subscriber is answered with, by revision.
type Truth = Vec<BTreeMap<i64, Vec<pb::EvaluatedFlag>>>;

/// What one subscriber had, message by message.
struct Seen {
    kind: usize,
    states: Vec<(i64, Vec<pb::EvaluatedFlag>)>,
    named: BTreeSet<String>,
    resumed: usize,
}

async fn subscribers_have_what_fresh_calls_are_answered_with(world: World) {
    let seed =
        std::env::var("BURGEE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("BURGEE_SEED={seed}");
    let world = world.served().await;
    let limited = EnvironmentKey { tags: vec!["web".to_owned()], ..key("dev", "limited") };
    world.write(Mutation::CreateKey { key: limited, hash: SecretHash::of(LIMITED_KEY) }).await;
    world.set_traits("eve", &[("plan", "beta")]).await;
    // Makes the key that later loads find the environment by.
    world.load("dev").await;
    let another_store = Arc::new(world.another_store());
    let another = Service::start_over(another_store.clone(), another_store, Settings::default()).await;
    let replicas = Arc::new([Service::start(&world).await, another]);
    let (done, is_done) = watch::channel(None);
    let mut subscribers = tokio::task::JoinSet::new();
    for (kind, resumes) in (0..kinds().len()).flat_map(|kind| [(kind, false), (kind, true)]) {
        subscribers.spawn(subscribe(Arc::clone(&replicas), kind, resumes, seed, is_done.clone()));
    }
    let (truth, visible) = write_at_random(&world, &replicas[0], seed).await;
    let last = world.revision().await;
    done.send_replace(Some(last));

    for seen in subscribers.join_all().await {
        let name = kinds()[seen.kind].name;
        assert_eq!(
            seen.states.last().map(|(revision, _)| *revision),
            Some(last),
            "{name} has not reached the end"
        );
        for (revision, state) in &seen.states {
            let expected = &truth[seen.kind][revision];
            assert_eq!(state, expected, "{name} at revision {revision} (BURGEE_SEED={seed})");
        }
        let key = kinds()[seen.kind].key;
        if key == CLIENT_KEY || key == LIMITED_KEY {
            let told: Vec<_> = seen.named.difference(&visible[seen.kind]).collect();
            assert!(told.is_empty(), "{name} was told of {told:?} (BURGEE_SEED={seed})");
        }
        println!("{name}: {} states, resumed {} times", seen.states.len(), seen.resumed);
    }
}

/// Follows a stream to the end of the writes. One that resumes breaks off at random and goes on with its token, on any of
/// the replicas.
async fn subscribe(
    replicas: Arc<[Service; 2]>,
    kind: usize,
    resumes: bool,
    seed: u64,
    mut done: watch::Receiver<Option<i64>>,
) -> Seen {
    let mut random = StdRng::seed_from_u64(seed.wrapping_add(kind as u64));
    let Kind { key, request, .. } = kinds().swap_remove(kind);
    let mut seen = Seen { kind, states: Vec::new(), named: BTreeSet::new(), resumed: 0 };
    let mut subscriber = replicas[0].watch(key, request.clone()).await;
    loop {
        let is_over = done.borrow().is_some_and(|last| subscriber.state.revision >= last);
        if is_over {
            return seen;
        }
        if resumes && random.random_bool(0.2) && !subscriber.token().is_empty() {
            let resume_token = subscriber.token();
            let state = std::mem::take(&mut subscriber.state);
            let replica = &replicas[random.random_range(0..replicas.len())];
            subscriber = replica.watch(key, pb::WatchFlagsRequest { resume_token, ..request.clone() }).await;
            subscriber.state = state;
            seen.resumed += 1;
        }
        tokio::select! {
            event = subscriber.next() => name(&mut seen.named, &event.expect("the stream goes on")),
            _ = done.changed() => continue,
        }
        seen.states.push((subscriber.state.revision, subscriber.state.list()));
    }
}

/// Notes the names of features in a message.
fn name(named: &mut BTreeSet<String>, event: &Event) {
    let (flags, removed) = match event {
        Event::Snapshot(snapshot) => (&snapshot.flags, &Vec::new()),
        Event::Update(update) => (&update.flags, &update.removed),
        Event::UpToDate(_) | Event::Checkpoint(_) | Event::Goodbye(_) => return,
    };
    named.extend(flags.iter().map(|flag| flag.key.clone()).chain(removed.iter().cloned()));
}

/// Says whether a key may see a feature.
fn may_see(key: &str, feature: &FeatureRules) -> bool {
    match key {
        CLIENT_KEY => !feature.server_side_only,
        LIMITED_KEY => feature.tags.iter().any(|tag| tag == "web"),
        _ => true,
    }
}

/// Writes, and asks for the truth after each write. Also returns all features that each kind of subscriber could ever see.
async fn write_at_random(world: &World, service: &Service, seed: u64) -> (Truth, Vec<BTreeSet<String>>) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut clients = Vec::new();
    for kind in kinds() {
        clients.push((service.client(kind.key).await, kind.request));
    }
    let mut truth = vec![BTreeMap::new(); clients.len()];
    let mut visible = vec![BTreeSet::new(); clients.len()];
    let mut revision = world.revision().await;
    let mut written = 0;
    loop {
        for ((client, request), truth) in clients.iter_mut().zip(&mut truth) {
            let fresh = pb::EvaluateFlagsRequest {
                identity: request.identity.clone(),
                features: request.features.clone(),
                min_revision: revision,
                include_segments: false,
            };
            let fresh = client.evaluate_flags(fresh).await.unwrap().into_inner();
            assert_eq!(fresh.revision, revision);
            truth.insert(revision, fresh.flags);
        }
        // What is hidden because it is disabled is no secret.
        let features = world.load("dev").await.rules.features;
        for (kind, visible) in kinds().iter().zip(&mut visible) {
            let seen = features.iter().filter(|feature| may_see(kind.key, feature));
            visible.extend(seen.map(|feature| feature.key.clone()));
        }
        if written == WRITES {
            return (truth, visible);
        }
        revision = loop {
            let mutations = (0..random.random_range(1..=3)).map(|_| mutation(&mut random)).collect();
            // Some are impossible: a feature that is there already, an override that is not.
            if let Ok(applied) = world.try_apply(mutations).await {
                break applied.revision;
            }
        };
        written += 1;
    }
}

fn pick<'a>(random: &mut StdRng, from: &[&'a str]) -> &'a str {
    from[random.random_range(0..from.len())]
}

fn tags(random: &mut StdRng) -> Vec<String> {
    TAGS.into_iter().filter(|_| random.random()).map(str::to_owned).collect()
}

fn mutation(random: &mut StdRng) -> Mutation {
    let feature = pick(random, &FEATURES);
    let segment_picked = pick(random, &SEGMENTS);
    let environment = if random.random_bool(0.8) { "dev" } else { "production" };
    match random.random_range(0..17) {
        0..4 => switch(environment, feature, random.random()),
        4 => {
            let value = random.random_bool(0.8).then(|| text(&random.random::<u32>().to_string()));
            let patch = FlagStatePatch { value: Some(value), ..Default::default() };
            Mutation::UpdateFlag { flag: flag_name(environment, feature), patch, etag: None }
        }
        5 => {
            let share = f64::from(random.random_range(0..=100_u32));
            let weights = Some(vec![weight("a", share), weight("b", 100.0 - share)]);
            let patch = FlagStatePatch { weights, ..Default::default() };
            Mutation::UpdateFlag { flag: flag_name(environment, "split"), patch, etag: None }
        }
        6 => {
            let server_side_only = random.random_bool(0.3);
            let new = Feature { server_side_only, tags: tags(random), ..crate::world::feature(feature) };
            Mutation::CreateFeature { feature: new }
        }
        7 => delete_feature(feature),
        8 => {
            let patch = FeaturePatch { server_side_only: Some(random.random()), ..Default::default() };
            Mutation::UpdateFeature { feature: feature_key(feature), patch, etag: None }
        }
        9 => set_override(environment, feature, segment_picked, Some(random.random_range(0..3))),
        10 => {
            let name = override_name(environment, feature, segment_picked);
            Mutation::RemoveSegmentOverride { name, etag: None }
        }
        11 => set_identity_override(environment, feature, pick(random, &IDENTIFIERS)),
        12 => {
            let name = identity_override_name(environment, feature, pick(random, &IDENTIFIERS));
            Mutation::RemoveIdentityOverride { name, etag: None }
        }
        13 => {
            let plan = Operand::Text(pick(random, &["beta", "staff"]).to_owned());
            let condition = Condition::new("plan".to_owned(), Operator::Equal, plan, "").unwrap();
            let rule = Rule { kind: RuleKind::All, conditions: vec![condition], rules: Vec::new() };
            let display_name = Some(random.random::<u32>().to_string());
            let patch = SegmentPatch { rules: Some(vec![rule]), display_name, ..Default::default() };
            Mutation::UpdateSegment { segment: segment_id(segment_picked), patch, etag: None }
        }
        14 if random.random_bool(0.3) => {
            let patch = EnvironmentPatch { hide_disabled_flags: Some(random.random()), ..Default::default() };
            Mutation::UpdateEnvironment {
                environment: environment_name(environment).environment,
                patch,
                etag: None,
            }
        }
        14 => create_segment(segment_picked),
        15 => {
            let patch = FeaturePatch { tags: Some(tags(random)), ..Default::default() };
            Mutation::UpdateFeature { feature: feature_key(feature), patch, etag: None }
        }
        _ if random.random_bool(0.5) => {
            Mutation::DeleteSegment { segment: segment_id(segment_picked), force: true, etag: None }
        }
        _ => {
            let variant = VariantKey::parse(pick(random, &["a", "b", "c"])).unwrap();
            Mutation::DeleteVariant { feature: feature_key("split"), variant, etag: None }
        }
    }
}
