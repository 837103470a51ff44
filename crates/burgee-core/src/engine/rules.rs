//! What an environment says about its flags, before it is compiled.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::rule::Rule;
use crate::value::Value;

/// Everything needed to evaluate one environment, in document order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentRules {
    /// What `$.environment.key` sees, and what the keys of identities begin with.
    pub hashing_key: String,
    /// What `$.environment.name` sees: the display name.
    pub name: String,
    /// The flags.
    pub features: Vec<FeatureRules>,
    /// The segments; the earlier one wins where priorities tie.
    pub segments: Vec<SegmentRules>,
}

/// One flag: a feature's own state in the environment, and what overrides it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FeatureRules {
    /// The feature's key, by which callers ask for it.
    pub key: String,
    /// The newest revision that touched these rules; carried, not used.
    pub revision: i64,
    /// Whether only callers with a server-side key may see it; carried, not used.
    pub server_side_only: bool,
    /// The feature's tags; carried, not used.
    pub tags: Vec<String>,
    /// The environment's own state.
    pub state: State,
    /// The states of segments' members, in any order.
    pub segment_overrides: Vec<SegmentOverrideRules>,
    /// The states of single identities, by identifier; they win over everything.
    pub identity_overrides: HashMap<String, State>,
}

/// The state that the members of a segment get.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SegmentOverrideRules {
    /// The index of the segment in [`EnvironmentRules::segments`]; an override of no segment is ignored.
    pub segment: usize,
    /// The lowest priority wins; of equal ones, the earlier segment.
    pub priority: i64,
    /// The whole state.
    pub state: State,
}

/// A segment: it matches if it has rules and every one of them holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SegmentRules {
    /// The id in the segment's resource name.
    pub id: String,
    /// The display name.
    pub name: String,
    /// What percentage splits hash along with the property.
    pub hashing_key: String,
    /// A JSON object, as text; an empty one counts as none.
    pub metadata: Option<String>,
    /// The rules.
    pub rules: Vec<Rule>,
}

/// What a flag serves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Whether the feature is on; variants do not touch it.
    pub enabled: bool,
    /// The value, unless a variant is picked.
    pub value: Option<Value>,
    /// What the choice of a variant hashes along with the identity's key.
    pub hashing_key: String,
    /// The variants in the order of their priority; empty if there is no split.
    pub variants: Vec<VariantRules>,
    /// A JSON object, as text; an empty one counts as none.
    pub metadata: Option<String>,
}

/// A variant of a state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VariantRules {
    /// The variant's key.
    pub key: String,
    /// Its share of the identities, in percent.
    pub weight: f64,
    /// Its value.
    pub value: Option<Value>,
}
