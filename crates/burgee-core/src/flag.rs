//! Flags: what is served of a feature in one environment, and to whom else.

use serde::{Deserialize, Serialize};

use crate::Violation;
use crate::feature::{Feature, check_metadata, check_sum, check_weight};
use crate::name::{FlagName, IdentityOverrideName, SegmentOverrideName, VariantKey};
use crate::value::Value;

/// The share of one variant in a split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VariantWeight {
    /// A variant of the feature.
    pub variant: VariantKey,
    /// Percent, 0 to 100.
    pub weight: f64,
}

/// What is served, as a whole: an override replaces all of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlagState {
    /// Whether the flag is on.
    pub enabled: bool,
    /// The value of the control; `None` means: use the caller's default.
    pub value: Option<Value>,
    /// The split; empty means that everybody gets `value`. What the weights leave of 100 gets it, too.
    pub weights: Vec<VariantWeight>,
    /// What the split hashes with the identity's key.
    pub hashing_key: String,
    /// A JSON object that is served with the value, as text.
    pub metadata: Option<String>,
}

impl FlagState {
    /// Checks the state against its feature.
    pub fn check(&self, feature: &Feature) -> Result<(), Violation> {
        if let Some(value) = &self.value {
            feature.value_type.check(value).map_err(|violation| violation.at("value"))?;
        }
        for (index, weight) in self.weights.iter().enumerate() {
            let here = format!("weights[{index}]");
            if !feature.variants.iter().any(|variant| variant.key == weight.variant) {
                return Err(Violation::new(
                    format!("{here}.variant"),
                    format!("must be a variant of the feature, is `{}`", weight.variant),
                ));
            }
            if self.weights[..index].iter().any(|other| other.variant == weight.variant) {
                return Err(Violation::new(
                    format!("{here}.variant"),
                    format!("is given twice: `{}`", weight.variant),
                ));
            }
            check_weight(weight.weight).map_err(|violation| violation.at("weight").at(&here))?;
        }
        check_sum(self.weights.iter().map(|weight| weight.weight))
            .map_err(|violation| violation.at("weights"))?;
        if let Some(metadata) = &self.metadata {
            check_metadata(metadata).map_err(|violation| violation.at("metadata"))?;
        }
        Ok(())
    }
}

/// Changes to a state; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FlagStatePatch {
    /// See [`FlagState::enabled`].
    pub enabled: Option<bool>,
    /// See [`FlagState::value`].
    pub value: Option<Option<Value>>,
    /// See [`FlagState::weights`].
    pub weights: Option<Vec<VariantWeight>>,
    /// See [`FlagState::hashing_key`]; `None` inside means the feature's.
    pub hashing_key: Option<Option<String>>,
    /// See [`FlagState::metadata`].
    pub metadata: Option<Option<String>>,
}

/// A state that replaces the flag's for members of a segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentOverride {
    /// The resource name.
    pub name: SegmentOverrideName,
    /// What members get.
    pub state: FlagState,
}

/// The state of a feature in an environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flag {
    /// The resource name.
    pub name: FlagName,
    /// What everybody gets whom no override reaches.
    pub state: FlagState,
    /// First match wins: priority 0 comes first.
    pub segment_overrides: Vec<SegmentOverride>,
    /// Changes with every write of the flag and its segment overrides.
    pub etag: String,
}

/// A state that replaces the flag's for one identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IdentityOverride {
    /// The resource name.
    pub name: IdentityOverrideName,
    /// What the identity gets.
    pub state: FlagState,
    /// Changes with every write.
    pub etag: String,
}
