//! An environment's rules, compiled: what can be evaluated without looking anything up by name.

use std::cell::LazyCell;
use std::collections::HashMap;
use std::ops::Deref;

use serde_json::Value as Json;

use super::buckets::{BucketIndex, Buckets, Group};
use super::condition::{CompiledRule, Subject};
use super::document;
use super::evaluation::{Evaluation, Outcome, Reason};
use super::identity::Identity;
use super::property::{Source, Target};
use super::rules::{EnvironmentRules, FeatureRules, SegmentRules, State};
use crate::rule::Operator;
use crate::value::Value;

/// A compiled environment, immutable. Compile it once per revision and share it.
#[derive(Debug)]
pub struct Ruleset {
    /// What the keys of identities begin with.
    pub(super) hashing_key: String,
    pub(super) features: Box<[CompiledFeature]>,
    features_by_key: HashMap<String, usize>,
    pub(super) segments: Box<[CompiledSegment]>,
    pub(super) states: Box<[CompiledState]>,
    /// The buckets that splits of features and segments look at.
    pub(super) buckets: Box<[Group]>,
    outcomes: Box<[CompiledOutcome]>,
    /// By identifier: the features with an override, in order, and its state.
    pub(super) identity_overrides: HashMap<String, Vec<(usize, StateIndex)>>,
    /// Where the properties of conditions come from; conditions know them by slot.
    pub(super) sources: Box<[Source]>,
    /// The context without an identity, if some path may lead anywhere in it.
    pub(super) document: Option<Json>,
}

/// The index of a state in [`Ruleset::states`].
pub(super) type StateIndex = usize;

/// A flag of a compiled environment.
#[derive(Debug)]
pub struct CompiledFeature {
    key: String,
    revision: i64,
    server_side_only: bool,
    tags: Vec<String>,
    pub(super) state: StateIndex,
    /// The segments and their states; the first whose segment matches wins.
    pub(super) segment_overrides: Box<[(usize, StateIndex)]>,
}

impl CompiledFeature {
    /// Returns the feature's key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns the newest revision that touched the flag's rules.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Says whether only callers with a server-side key may see the flag.
    pub fn server_side_only(&self) -> bool {
        self.server_side_only
    }

    /// Returns the feature's tags.
    pub fn tags(&self) -> &[String] {
        &self.tags
    }
}

/// A segment of a compiled environment.
#[derive(Debug)]
pub struct CompiledSegment {
    id: String,
    name: String,
    pub(super) hashing_key: String,
    metadata: Option<String>,
    pub(super) rules: Box<[CompiledRule]>,
}

impl CompiledSegment {
    fn new(segment: SegmentRules, rules: Box<[CompiledRule]>) -> Self {
        let SegmentRules { id, name, hashing_key, metadata, rules: _ } = segment;
        Self { id, name, hashing_key, metadata: metadata.filter(|text| has_members(text)), rules }
    }

    /// Returns the id in the segment's resource name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the display name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the metadata, a JSON object with at least one member, as text.
    pub fn metadata(&self) -> Option<&str> {
        self.metadata.as_deref()
    }
}

/// A state, its variants laid out on the line from 0 to 100.
#[derive(Debug)]
pub(super) struct CompiledState {
    enabled: bool,
    value: Option<Value>,
    variants: Box<[CompiledVariant]>,
    metadata: Option<String>,
    /// Which bucket picks the variant; `None` without variants.
    pub(super) split: Option<Split>,
    /// The id of the first of the state's outcomes: no split, control, and each variant.
    first_outcome: u32,
}

/// Where the bucket of a split comes from.
#[derive(Debug)]
pub(super) enum Split {
    /// Worked out along with others.
    Shared(BucketIndex),
    /// Worked out alone, with this hashing key: the states of single identities, which are many and seldom looked at.
    Own(String),
}

impl CompiledState {
    /// Returns what the state comes to for a bucket; `None` if there is no split, or nobody to split.
    pub(super) fn outcome(&self, bucket: Option<f64>) -> OutcomeId {
        let offset = bucket.map_or(0, |bucket| {
            let is_in = |variant: &CompiledVariant| variant.from <= bucket && bucket < variant.below;
            self.variants.iter().position(is_in).map_or(1, |variant| variant as u32 + 2)
        });
        OutcomeId(self.first_outcome + offset)
    }
}

#[derive(Debug)]
struct CompiledVariant {
    key: String,
    weight: f64,
    value: Option<Value>,
    from: f64,
    below: f64,
}

/// One of the things that a flag can come to: a state, whole or split.
///
/// A flag has few of them, so an answer can be prepared for each when a ruleset is compiled. Ids count
/// from 0 to below [`Ruleset::outcome_count`]; the outcomes of identity overrides, which may be many, come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutcomeId(u32);

impl OutcomeId {
    /// Returns the id as the index of a list that has an item per outcome.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Debug)]
struct CompiledOutcome {
    feature: usize,
    state: StateIndex,
    /// Whose state it is.
    holder: Holder,
    share: Share,
}

#[derive(Clone, Copy, Debug)]
enum Holder {
    Environment,
    Segment(usize),
    Identity,
}

#[derive(Clone, Copy, Debug)]
enum Share {
    Whole,
    Control,
    Variant(usize),
}

impl Ruleset {
    /// Compiles the rules of an environment. Never fails: what is stored can be evaluated.
    pub fn compile(rules: EnvironmentRules) -> Self {
        let document = LazyCell::new(|| document::of_environment(&rules));
        let mut subjects = Subjects::new(&document);
        let segment_rules: Vec<_> =
            rules.segments.iter().map(|segment| subjects.compile_rules(segment)).collect();
        let Subjects { sources, buckets, .. } = subjects;
        let needs_document =
            |source: &Source| matches!(source, Source::Path { target: Target::Anywhere(_), .. });
        let document = sources.iter().any(needs_document).then(|| document::of_environment(&rules));

        let EnvironmentRules { hashing_key, name: _, features, segments } = rules;
        let mut flags = Flags { segment_count: segments.len(), buckets, ..Flags::default() };
        features.into_iter().for_each(|feature| flags.add(feature));
        flags.add_identity_overrides();
        let segments = segments.into_iter().zip(segment_rules);
        Self {
            features: flags.features.into(),
            features_by_key: flags.features_by_key,
            segments: segments.map(|(segment, rules)| CompiledSegment::new(segment, rules)).collect(),
            states: flags.states.into(),
            buckets: flags.buckets.into_groups(&hashing_key),
            outcomes: flags.outcomes.into(),
            identity_overrides: flags.identity_overrides,
            hashing_key,
            document,
            sources: sources.into(),
        }
    }

    /// Returns the flags, in document order.
    pub fn features(&self) -> &[CompiledFeature] {
        &self.features
    }

    /// Returns the index of the flag with this key.
    pub fn feature(&self, key: &str) -> Option<usize> {
        self.features_by_key.get(key).copied()
    }

    /// Returns the segments, in document order.
    pub fn segments(&self) -> &[CompiledSegment] {
        &self.segments
    }

    /// Returns how many outcomes all flags have together.
    pub fn outcome_count(&self) -> usize {
        self.outcomes.len()
    }

    /// Iterates over every outcome of every flag, in the order of their ids.
    pub fn outcomes(&self) -> impl Iterator<Item = (OutcomeId, Outcome<'_>)> {
        (0..self.outcomes.len() as u32).map(|index| (OutcomeId(index), self.outcome(OutcomeId(index))))
    }

    /// Returns an outcome. The id must be one of this ruleset's.
    #[inline]
    pub fn outcome(&self, id: OutcomeId) -> Outcome<'_> {
        let CompiledOutcome { feature, state, holder, share } = &self.outcomes[id.index()];
        let state = &self.states[*state];
        let (reason, segment) = match *holder {
            Holder::Identity => (Reason::IdentityOverride, None),
            Holder::Segment(segment) => (Reason::SegmentOverride, Some(&self.segments[segment])),
            Holder::Environment if state.enabled => (Reason::Default, None),
            Holder::Environment => (Reason::Disabled, None),
        };
        let whole = Outcome {
            feature: &self.features[*feature].key,
            enabled: state.enabled,
            value: state.value.as_ref(),
            reason,
            segment: segment.map(|segment| (segment.id(), segment.name())),
            variant: None,
            weight: None,
            metadata: state.metadata.as_deref(),
        };
        match *share {
            Share::Whole => whole,
            Share::Control => Outcome { variant: Some("control"), ..whole },
            Share::Variant(index) => {
                let CompiledVariant { key, weight, value, from: _, below: _ } = &state.variants[index];
                Outcome {
                    value: value.as_ref(),
                    reason: Reason::Split,
                    variant: Some(key),
                    weight: Some(*weight),
                    ..whole
                }
            }
        }
    }

    /// Begins an evaluation for an identity, or for the environment as a whole. Nothing is looked at
    /// until a flag or a segment is asked for.
    pub fn evaluate<'a>(&'a self, identity: Option<&'a Identity<'a>>) -> Evaluation<'a> {
        Evaluation::new(self, identity)
    }
}

/// Collects what conditions look at.
struct Subjects<'a, D> {
    /// The context without an identity.
    document: &'a D,
    sources: Vec<Source>,
    slots: HashMap<String, usize>,
    buckets: Buckets,
}

impl<'a, D: Deref<Target = Json>> Subjects<'a, D> {
    fn new(document: &'a D) -> Self {
        Self { document, sources: Vec::new(), slots: HashMap::new(), buckets: Buckets::default() }
    }

    fn compile_rules(&mut self, segment: &SegmentRules) -> Box<[CompiledRule]> {
        let SegmentRules { hashing_key, rules, .. } = segment;
        CompiledRule::compile(rules, &mut |condition| match (condition.property(), condition.operator()) {
            // Only here does the empty property not name a trait.
            ("", Operator::PercentageSplit) => Subject::Bucket(self.buckets.add(hashing_key.clone())),
            (property, _) => Subject::Property(self.slot(property)),
        })
    }

    fn slot(&mut self, property: &str) -> usize {
        if let Some(slot) = self.slots.get(property) {
            return *slot;
        }
        let slot = self.sources.len();
        self.sources.push(Source::new(property, self.document));
        self.slots.insert(property.to_owned(), slot);
        slot
    }
}

/// Collects flags, their states and outcomes.
#[derive(Default)]
struct Flags {
    segment_count: usize,
    features: Vec<CompiledFeature>,
    features_by_key: HashMap<String, usize>,
    states: Vec<CompiledState>,
    buckets: Buckets,
    outcomes: Vec<CompiledOutcome>,
    /// The states of identities by feature, until all others are added.
    states_of_identities: Vec<(usize, HashMap<String, State>)>,
    identity_overrides: HashMap<String, Vec<(usize, StateIndex)>>,
}

impl Flags {
    fn add(&mut self, feature: FeatureRules) {
        let index = self.features.len();
        let FeatureRules {
            key,
            revision,
            server_side_only,
            tags,
            state,
            segment_overrides,
            identity_overrides,
        } = feature;
        let state = self.add_state(index, Holder::Environment, state);
        let mut overrides = segment_overrides;
        overrides.retain(|entry| entry.segment < self.segment_count);
        overrides.sort_by_key(|entry| (entry.priority, entry.segment));
        let segment_overrides = overrides
            .into_iter()
            .map(|entry| (entry.segment, self.add_state(index, Holder::Segment(entry.segment), entry.state)))
            .collect();
        self.states_of_identities.push((index, identity_overrides));
        self.features_by_key.entry(key.clone()).or_insert(index);
        self.features.push(CompiledFeature {
            key,
            revision,
            server_side_only,
            tags,
            state,
            segment_overrides,
        });
    }

    fn add_identity_overrides(&mut self) {
        for (feature, states) in std::mem::take(&mut self.states_of_identities) {
            for (identifier, state) in states {
                let state = self.add_state(feature, Holder::Identity, state);
                self.identity_overrides.entry(identifier).or_default().push((feature, state));
            }
        }
    }

    fn add_state(&mut self, feature: usize, holder: Holder, state: State) -> StateIndex {
        let State { enabled, value, hashing_key, variants, metadata } = state;
        let first_outcome = self.outcomes.len() as u32;
        let index = self.states.len();
        let split = match holder {
            _ if variants.is_empty() => None,
            Holder::Environment | Holder::Segment(_) => Some(Split::Shared(self.buckets.add(hashing_key))),
            Holder::Identity => {
                let shared = self.buckets.find(&hashing_key).map(Split::Shared);
                Some(shared.unwrap_or(Split::Own(hashing_key)))
            }
        };
        let mut shares = vec![Share::Whole];
        if !variants.is_empty() {
            shares.push(Share::Control);
            shares.extend((0..variants.len()).map(Share::Variant));
        }
        self.outcomes.extend(shares.into_iter().map(|share| CompiledOutcome {
            feature,
            state: index,
            holder,
            share,
        }));
        let mut from = 0.0;
        let variants = variants.into_iter().map(|variant| {
            let below = from + variant.weight;
            let start = std::mem::replace(&mut from, below);
            CompiledVariant {
                key: variant.key,
                weight: variant.weight,
                value: variant.value,
                from: start,
                below,
            }
        });
        self.states.push(CompiledState {
            enabled,
            value,
            variants: variants.collect(),
            metadata: metadata.filter(|text| has_members(text)),
            split,
            first_outcome,
        });
        index
    }
}

/// Says whether the text of a JSON object is not just `{}`.
fn has_members(object: &str) -> bool {
    !object.chars().filter(|character| !character.is_ascii_whitespace()).eq("{}".chars())
}
