//! Streams and calls agree: after every step of a random history, what a stream brought to a key is what a fresh call by that
//! key is answered with, and both are what a simple model says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use burgee_core::Error;
use burgee_core::engine::{FeatureRules, State};
use burgee_core::store::{ActiveKey, LoadedEnvironment};
use burgee_proto::evaluation::v1 as pb;
use burgee_proto::v1;
use futures_util::{FutureExt as _, StreamExt as _};
use pb::watch_flags_response::Event;
use proptest::prelude::*;

use crate::call::Call;
use crate::testing::*;
use crate::watch_flags::{self, Responses};
use crate::{Shared, evaluate};

const FEATURES: [&str; 5] = ["a", "b", "c", "d", "e"];
const SEGMENTS: usize = 3;
const TAGS: [&str; 3] = ["x", "y", "z"];
/// The keys, by secret.
const KEYS: [(&str, bool, &[&str]); 8] = [
    ("server", false, &[]),
    ("client", true, &[]),
    ("server-x", false, &["x"]),
    ("client-x", true, &["x"]),
    ("server-xy", false, &["y", "x"]),
    ("client-yz", true, &["y", "z"]),
    ("client-zy", true, &["z", "y"]),
    ("server-none", false, &["unused"]),
];

/// A write to the environment.
#[derive(Clone, Debug)]
enum Write {
    /// Creates a feature, or changes it.
    Set { feature: usize, rules: Rules },
    /// Deletes a feature, if there is one.
    Delete { feature: usize },
    /// Hides flags that are disabled, or does not.
    Hide(bool),
    /// Something that did not touch the environment.
    Elsewhere,
}

#[derive(Clone, Debug)]
struct Rules {
    server_side_only: bool,
    tags: Vec<&'static str>,
    enabled: bool,
    segments: Vec<usize>,
}

/// Writes that are looked at as one, and the subscribers that resume after it, on the one replica or the other.
#[derive(Clone, Debug)]
struct Step {
    writes: Vec<Write>,
    resumes: Vec<Option<bool>>,
}

fn rules() -> impl Strategy<Value = Rules> {
    let tags = proptest::sample::subsequence(TAGS.to_vec(), 0..=TAGS.len());
    let segments = proptest::sample::subsequence((0..SEGMENTS).collect::<Vec<_>>(), 0..=SEGMENTS);
    (prop::bool::weighted(0.3), tags, any::<bool>(), prop::bool::weighted(0.3), segments).prop_map(
        |(server_side_only, tags, enabled, has_overrides, segments)| {
            let segments = if has_overrides { segments } else { Vec::new() };
            Rules { server_side_only, tags, enabled, segments }
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let write = prop_oneof![
        12 => (0..FEATURES.len(), rules()).prop_map(|(feature, rules)| Write::Set { feature, rules }),
        4 => (0..FEATURES.len()).prop_map(|feature| Write::Delete { feature }),
        1 => any::<bool>().prop_map(Write::Hide),
        1 => Just(Write::Elsewhere),
    ];
    let resumes = prop::collection::vec(prop::option::weighted(0.3, any::<bool>()), KEYS.len());
    (prop::collection::vec(write, 1..4), resumes).prop_map(|(writes, resumes)| Step { writes, resumes })
}

fn key_of((secret, is_client, tags): (&str, bool, &[&str])) -> ActiveKey {
    limited(if is_client { client_key(secret) } else { key(secret) }, tags)
}

fn beginning() -> LoadedEnvironment {
    let mut loaded = environment(1, Vec::new());
    loaded.keys = KEYS.map(key_of).to_vec();
    loaded.rules.segments = (0..SEGMENTS).map(|index| segment(&format!("s{index}"), "plan", "pro")).collect();
    loaded
}

fn apply(loaded: &mut LoadedEnvironment, revision: i64, write: Write) {
    match write {
        Write::Set { feature: index, rules } => {
            let Rules { server_side_only, tags, enabled, segments } = rules;
            let state = State { enabled, ..State::default() };
            let segment_overrides = segments.into_iter().map(override_for).collect();
            let plain = feature(FEATURES[index], revision);
            let set = FeatureRules { server_side_only, state, segment_overrides, ..tagged(plain, &tags) };
            remove(loaded, FEATURES[index]);
            loaded.deleted_features.retain(|(key, _)| key != FEATURES[index]);
            loaded.rules.features.push(set);
            loaded.rules.features.sort_by(|one, other| one.key.cmp(&other.key));
        }
        Write::Delete { feature } => {
            if remove(loaded, FEATURES[feature]) {
                loaded.deleted_features.push((FEATURES[feature].to_owned(), revision));
            }
        }
        Write::Hide(hide) => {
            loaded.hide_disabled_flags = hide;
            loaded.settings_revision = revision;
        }
        Write::Elsewhere => {}
    }
}

fn remove(loaded: &mut LoadedEnvironment, key: &str) -> bool {
    let before = loaded.rules.features.len();
    loaded.rules.features.retain(|feature| feature.key != key);
    loaded.rules.features.len() < before
}

/// What a key may see, in the simplest words.
struct Model {
    visible: BTreeSet<String>,
    /// Without those that are hidden because they are disabled.
    flags: Vec<String>,
    segments: Vec<String>,
}

impl Model {
    fn of(loaded: &LoadedEnvironment, (_, is_client, tags): (&str, bool, &[&str])) -> Self {
        let may_see = |feature: &FeatureRules| {
            let has_tag = tags.iter().any(|tag| feature.tags.iter().any(|other| other == tag));
            (tags.is_empty() || has_tag) && !(is_client && feature.server_side_only)
        };
        // Everybody is in every segment, whose overrides are off.
        let is_on = |feature: &FeatureRules| feature.state.enabled && feature.segment_overrides.is_empty();
        let visible: Vec<_> = loaded.rules.features.iter().filter(|feature| may_see(feature)).collect();
        let flags = visible.iter().filter(|feature| !loaded.hide_disabled_flags || is_on(feature));
        let is_told = |segment: &usize| {
            let uses = |feature: &&FeatureRules| {
                feature.segment_overrides.iter().any(|other| other.segment == *segment)
            };
            let mut users = loaded.rules.features.iter().filter(uses).peekable();
            let sees_everything = !is_client && tags.is_empty();
            sees_everything || users.peek().is_none() || users.any(may_see)
        };
        Self {
            flags: flags.map(|feature| feature.key.clone()).collect(),
            visible: visible.into_iter().map(|feature| feature.key.clone()).collect(),
            segments: (0..SEGMENTS).filter(is_told).map(|index| format!("s{index}")).collect(),
        }
    }
}

fn somebody() -> Option<pb::IdentityContext> {
    let pro = v1::TraitValue { kind: Some(v1::trait_value::Kind::StringValue("pro".to_owned())) };
    Some(pb::IdentityContext {
        identifier: "ada".to_owned(),
        traits: [("plan".to_owned(), pro)].into(),
        ignore_stored_traits: true,
        ..Default::default()
    })
}

/// A subscriber, and what it has.
struct Subscriber {
    stream: Responses,
    flags: BTreeMap<String, pb::EvaluatedFlag>,
    /// Parts that are not yet whole.
    parts: Vec<Event>,
    token: String,
    /// The names of all features that it was told of.
    named: BTreeSet<String>,
}

impl Subscriber {
    async fn open(shared: &Arc<Shared>, secret: &str) -> Self {
        let (flags, parts, token, named) = Default::default();
        Self { stream: stream(shared, secret, String::new()).await, flags, parts, token, named }
    }

    /// Breaks off, and goes on with its token.
    async fn resume(&mut self, shared: &Arc<Shared>, secret: &str) {
        self.stream = stream(shared, secret, self.token.clone()).await;
        self.parts.clear();
    }

    /// Takes what is there, and waits for no more.
    fn take(&mut self) {
        while let Some(message) = tokio::task::unconstrained(self.stream.next()).now_or_never() {
            let message = message.expect("the stream goes on").unwrap().decode().unwrap();
            self.parts.extend(message.event);
            if message.resume_token.is_empty() {
                continue;
            }
            self.token = message.resume_token;
            let parts = std::mem::take(&mut self.parts);
            if matches!(parts[0], Event::Snapshot(_)) {
                self.flags.clear();
            }
            parts.into_iter().for_each(|part| self.add(part));
        }
    }

    fn add(&mut self, event: Event) {
        let (flags, removed) = match event {
            Event::Snapshot(pb::FlagsSnapshot { flags, .. }) => (flags, Vec::new()),
            Event::Update(pb::FlagsUpdate { flags, removed, .. }) => (flags, removed),
            Event::UpToDate(_) | Event::Checkpoint(_) => return,
            Event::Goodbye(goodbye) => panic!("{goodbye:?}"),
        };
        self.named.extend(flags.iter().map(|flag| flag.key.clone()).chain(removed.iter().cloned()));
        self.flags.retain(|key, _| !removed.contains(key));
        self.flags.extend(flags.into_iter().map(|flag| (flag.key.clone(), flag)));
    }
}

async fn stream(shared: &Arc<Shared>, secret: &str, resume_token: String) -> Responses {
    let request = pb::WatchFlagsRequest { identity: somebody(), resume_token, ..Default::default() };
    watch_flags::open(shared, &metadata(secret), None, request).await.unwrap()
}

/// Calls with a key, once the replica has a revision.
async fn call(shared: &Shared, secret: &str, min_revision: i64) -> pb::EvaluateFlagsResponse {
    let request = pb::EvaluateFlagsRequest {
        identity: somebody(),
        min_revision,
        include_segments: true,
        features: Vec::new(),
    };
    evaluate::flags(shared, &Call::begin(&metadata(secret), &shared.settings), request)
        .await
        .unwrap()
        .decode()
        .unwrap()
}

/// Checks that naming features answers no more than asking for all.
async fn check_named(shared: &Shared, secret: &str, flags: &[pb::EvaluatedFlag]) {
    let features = FEATURES.map(str::to_owned).to_vec();
    let request = pb::EvaluateFlagsRequest { identity: somebody(), features, ..Default::default() };
    let named = evaluate::flags(shared, &Call::begin(&metadata(secret), &shared.settings), request)
        .await
        .unwrap()
        .decode()
        .unwrap();
    assert_eq!(named.flags, flags, "`{secret}` names all");
    for feature in FEATURES {
        let request = pb::EvaluateFlagRequest {
            feature: feature.to_owned(),
            identity: somebody(),
            ..Default::default()
        };
        let expected = flags.iter().find(|flag| flag.key == feature);
        match evaluate::flag(shared, &Call::begin(&metadata(secret), &shared.settings), request).await {
            Ok(answer) => {
                assert_eq!(answer.decode().unwrap().flag.as_ref(), expected, "`{secret}` names `{feature}`")
            }
            Err(Error::NotFound { kind, name }) => {
                assert_eq!((kind, name.as_str(), expected), ("feature", feature, None));
            }
            Err(other) => panic!("{other}"),
        }
    }
}

async fn check(steps: Vec<Step>) {
    let feed = Silent::new(beginning());
    let replicas = [shared_over(feed.clone()), shared_over(feed.clone())];
    let mut subscribers = Vec::new();
    for (secret, ..) in KEYS {
        subscribers.push((0, Subscriber::open(&replicas[0], secret).await));
    }
    let mut visible = vec![BTreeSet::new(); KEYS.len()];
    for Step { writes, resumes } in steps {
        let mut revision = 0;
        for write in writes {
            revision = feed.write(|loaded, revision| apply(loaded, revision, write));
            let loaded = feed.read();
            for (key, visible) in KEYS.into_iter().zip(&mut visible) {
                visible.append(&mut Model::of(&loaded, key).visible);
            }
        }
        let loaded = feed.read();
        let keys = KEYS.into_iter().zip(&mut subscribers).zip(resumes).zip(&visible);
        for (((key, (replica, subscriber)), resumes), visible) in keys {
            let secret = key.0;
            if let Some(other) = resumes {
                *replica = usize::from(other);
                subscriber.resume(&replicas[*replica], secret).await;
            }
            let shared = &replicas[*replica];
            let fresh = call(shared, secret, revision).await;
            subscriber.take();
            assert_eq!(fresh.revision, revision);
            let flags: Vec<_> = subscriber.flags.values().cloned().collect();
            assert_eq!(flags, fresh.flags, "the stream of `{secret}`");
            let model = Model::of(&loaded, key);
            let keys: Vec<_> = fresh.flags.iter().map(|flag| flag.key.clone()).collect();
            assert_eq!(keys, model.flags, "the flags of `{secret}`");
            let segments: Vec<_> = fresh.segments.into_iter().map(|segment| segment.id).collect();
            assert_eq!(segments, model.segments, "the segments of `{secret}`");
            check_named(shared, secret, &fresh.flags).await;
            let told: Vec<_> = subscriber.named.difference(visible).collect();
            assert!(told.is_empty(), "`{secret}` was told of {told:?}");
        }
    }
    replicas.iter().for_each(|replica| replica.shutdown.cancel());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_stream_brings_what_a_fresh_call_answers(steps in prop::collection::vec(step(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(steps));
    }
}
