//! One evaluation: everything that is worked out for one identity, at most once.

use std::cell::{Cell, OnceCell};

use serde_json::Value as Json;
use serde_json_path::JsonPath;

use super::buckets::BucketIndex;
use super::condition::{CompiledCondition, CompiledRule, Subject};
use super::document;
use super::hash::percentage;
use super::identity::Identity;
use super::lanes::LANES;
use super::property::{Source, Target};
use super::ruleset::{CompiledSegment, OutcomeId, Ruleset, Split, StateIndex};
use super::scalar::{OwnedScalar, Scalar};
use crate::rule::RuleKind;
use crate::value::Value;

/// The evaluation of an environment for one identity. It works out what is asked for, and remembers it.
#[derive(Debug)]
pub struct Evaluation<'a> {
    ruleset: &'a Ruleset,
    identity: Option<&'a Identity<'a>>,
    /// The features that the identity overrides, in order, and their states.
    identity_overrides: &'a [(usize, StateIndex)],
    /// The identity's key, if it has none of its own.
    composite_key: OnceCell<String>,
    /// The values of properties that were looked at.
    slots: Box<[Cell<Option<Scalar<'a>>>]>,
    /// Whether the segments that were looked at match.
    segments: Box<[Cell<Option<bool>>]>,
    /// The identity's buckets that were looked at, and their neighbours, by group.
    buckets: Box<[OnceCell<[f64; LANES]>]>,
    /// What the queries that were needed found, by slot.
    found: OnceCell<Box<[OnceCell<OwnedScalar>]>>,
    /// The documents that queries look at: the identity's alone, and the whole context.
    identity_document: OnceCell<Json>,
    whole_document: OnceCell<Json>,
}

/// What a flag comes to, and why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome<'a> {
    /// The feature's key.
    pub feature: &'a str,
    /// Whether the feature is on.
    pub enabled: bool,
    /// The value; `None` is absent.
    pub value: Option<&'a Value>,
    /// What decided.
    pub reason: Reason,
    /// The id and the display name of the segment whose override won, also if a variant decided.
    pub segment: Option<(&'a str, &'a str)>,
    /// The variant's key; `control` if the state has variants and none was picked.
    pub variant: Option<&'a str>,
    /// The weight of the variant that was picked; `None` for `control`.
    pub weight: Option<f64>,
    /// The state's metadata, a JSON object with at least one member, as text.
    pub metadata: Option<&'a str>,
}

/// Why a flag comes to its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The environment's own state, which is on.
    Default,
    /// The environment's own state, which is off.
    Disabled,
    /// The state of a segment that the identity is in.
    SegmentOverride,
    /// The state of this identity.
    IdentityOverride,
    /// A variant of whichever state won.
    Split,
}

impl<'a> Evaluation<'a> {
    pub(super) fn new(ruleset: &'a Ruleset, identity: Option<&'a Identity<'a>>) -> Self {
        let identity_overrides = identity
            .and_then(|identity| ruleset.identity_overrides.get(&*identity.identifier))
            .map_or(&[][..], Vec::as_slice);
        Self {
            ruleset,
            identity,
            identity_overrides,
            composite_key: OnceCell::new(),
            slots: vec![Cell::new(None); ruleset.sources.len()].into(),
            segments: vec![Cell::new(None); ruleset.segments.len()].into(),
            buckets: vec![OnceCell::new(); ruleset.buckets.len()].into(),
            found: OnceCell::new(),
            identity_document: OnceCell::new(),
            whole_document: OnceCell::new(),
        }
    }

    /// Returns what the flag at an index of [`Ruleset::features`] comes to.
    #[inline]
    pub fn flag(&self, feature_index: usize) -> Outcome<'a> {
        self.ruleset.outcome(self.outcome_id(feature_index))
    }

    /// Returns which of its outcomes the flag at an index of [`Ruleset::features`] comes to.
    pub fn outcome_id(&self, feature_index: usize) -> OutcomeId {
        let state = &self.ruleset.states[self.state(feature_index)];
        let bucket = match &state.split {
            None => None,
            Some(Split::Shared(bucket)) => self.bucket(*bucket),
            Some(Split::Own(hashing_key)) => self.key().map(|key| percentage(hashing_key, key)),
        };
        state.outcome(bucket)
    }

    /// Returns the identity's bucket; `None` without an identity.
    fn bucket(&self, index: BucketIndex) -> Option<f64> {
        let (identity, group) = (self.identity?, index.group());
        let work_out = || self.ruleset.buckets[group].buckets(identity, || self.key().unwrap_or_default());
        Some(self.buckets[group].get_or_init(work_out)[index.lane()])
    }

    /// Iterates over the segments that match, in document order.
    pub fn segments(&self) -> impl Iterator<Item = &'a CompiledSegment> {
        let segments = self.ruleset.segments.iter().enumerate();
        segments.filter(|(index, _)| self.is_in_segment(*index)).map(|(_, segment)| segment)
    }

    /// Says whether the segment at an index of [`Ruleset::segments`] matches.
    #[inline]
    pub fn is_in_segment(&self, segment_index: usize) -> bool {
        let memo = &self.segments[segment_index];
        memo.get().unwrap_or_else(|| {
            let CompiledSegment { hashing_key, rules, .. } = &self.ruleset.segments[segment_index];
            let matches = !rules.is_empty() && rules.iter().all(|rule| self.holds(rule, hashing_key));
            memo.set(Some(matches));
            matches
        })
    }

    /// Returns the state that wins, before variants.
    fn state(&self, feature_index: usize) -> StateIndex {
        if !self.identity_overrides.is_empty() {
            let found = self.identity_overrides.binary_search_by_key(&feature_index, |(feature, _)| *feature);
            if let Ok(index) = found {
                return self.identity_overrides[index].1;
            }
        }
        let feature = &self.ruleset.features[feature_index];
        let winner = feature.segment_overrides.iter().find(|(segment, _)| self.is_in_segment(*segment));
        winner.map_or(feature.state, |(_, state)| *state)
    }

    fn holds(&self, rule: &CompiledRule, segment_key: &str) -> bool {
        let mut conditions = rule.conditions.iter().map(|condition| self.meets(condition, segment_key));
        let mut rules = rule.rules.iter().map(|rule| self.holds(rule, segment_key));
        // Neither conditions nor sub-rules that are not there stand in the way, whatever the kind.
        match rule.kind {
            RuleKind::All => conditions.all(|holds| holds) && rules.all(|holds| holds),
            RuleKind::Any => {
                (rule.conditions.is_empty() || conditions.any(|holds| holds))
                    && (rule.rules.is_empty() || rules.any(|holds| holds))
            }
            RuleKind::None => !conditions.any(|holds| holds) && !rules.any(|holds| holds),
        }
    }

    #[inline]
    fn meets(&self, condition: &CompiledCondition, segment_key: &str) -> bool {
        match condition.subject {
            Subject::Property(slot) => condition.holds(self.property(slot), segment_key),
            Subject::Bucket(index) => self.bucket(index).is_some_and(|bucket| condition.takes(bucket)),
        }
    }

    /// Returns the key that hashes use; `None` without an identity.
    fn key(&self) -> Option<&str> {
        let identity = self.identity?;
        match identity.own_key() {
            Some(key) => Some(key),
            None => Some(self.composite_key.get_or_init(|| {
                // Joining allocates once; formatting would take ten times as long.
                [self.ruleset.hashing_key.as_str(), "_", &*identity.identifier].concat()
            })),
        }
    }

    #[inline]
    fn property(&self, slot: usize) -> Scalar<'_> {
        self.slots[slot].get().unwrap_or_else(|| self.look_up(slot))
    }

    /// Works out the value of a property, and remembers it if it can.
    #[cold]
    fn look_up(&self, slot: usize) -> Scalar<'_> {
        let value = match &self.ruleset.sources[slot] {
            Source::Trait(key) => self.trait_value(key),
            Source::Path { path, target } => {
                match self.identity.and_then(|identity| identity.traits.get_path(path)) {
                    Some(value) => Scalar::of_trait(value),
                    None => match target {
                        Target::Constant(value) => value.get(),
                        Target::Trait(key) => self.trait_value(key),
                        Target::Identifier => self
                            .identity
                            .map_or(Scalar::Unset, |identity| Scalar::retype(&identity.identifier)),
                        // These borrow from this evaluation, which cannot hold borrows from itself.
                        Target::Key => return self.key().map_or(Scalar::Unset, Scalar::retype),
                        Target::Identity(query) => return self.find(slot, query, self.identity_document()),
                        Target::Anywhere(query) => return self.find(slot, query, self.whole_document()),
                    },
                }
            }
        };
        self.slots[slot].set(Some(value));
        value
    }

    fn trait_value(&self, key: &str) -> Scalar<'a> {
        let value = self.identity.and_then(|identity| identity.traits.get(key));
        value.map_or(Scalar::Unset, Scalar::of_trait)
    }

    /// Returns the first node that the query finds.
    fn find(&self, slot: usize, query: &JsonPath, document: &Json) -> Scalar<'_> {
        let found = self.found.get_or_init(|| self.slots.iter().map(|_| OnceCell::new()).collect());
        found[slot].get_or_init(|| OwnedScalar::of_node(query.query(document).first())).get()
    }

    fn identity_document(&self) -> &Json {
        self.identity_document.get_or_init(|| match (self.identity, self.key()) {
            (Some(identity), Some(key)) => {
                serde_json::json!({ "identity": document::of_identity(identity, key) })
            }
            (Some(_) | None, _) => serde_json::json!({}),
        })
    }

    fn whole_document(&self) -> &Json {
        self.whole_document.get_or_init(|| {
            let mut whole = self.ruleset.document.clone().unwrap_or_default();
            if let Some(identity) = self.identity_document().get("identity") {
                whole["identity"] = identity.clone();
            }
            whole
        })
    }
}
