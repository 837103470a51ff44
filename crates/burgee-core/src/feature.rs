//! Features: what is switched, and between what.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::Violation;
use crate::limits::{METADATA_BYTES, TAGS_PER_FEATURE, VARIANTS_PER_FEATURE};
use crate::name::{FeatureName, UserName, VariantKey, check_no_nul};
use crate::value::{Value, ValueType};

/// Characters of a tag.
pub const TAG_CHARACTERS: usize = 100;

/// One of the values that a split serves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Variant {
    /// Unique in the feature.
    pub key: VariantKey,
    /// What is served; of the feature's type. `None` means: use the caller's default.
    pub value: Option<Value>,
    /// The percentage that a new flag gives it, 0 to 100.
    pub default_weight: f64,
}

/// Something that can be switched or configured, in every environment of a project.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Feature {
    /// The resource name.
    pub name: FeatureName,
    /// For people.
    pub description: String,
    /// The type of all its values; never changes.
    pub value_type: ValueType,
    /// The value of a new flag.
    pub initial_value: Option<Value>,
    /// Whether a new flag is enabled.
    pub default_enabled: bool,
    /// What splits choose between, in the order in which weights are added up.
    pub variants: Vec<Variant>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Who answers for it.
    pub owners: Vec<UserName>,
    /// Whether lists leave it out by default; it is served as before.
    pub archived: bool,
    /// Whether client-side keys never see it.
    pub server_side_only: bool,
    /// What splits hash, unless a state has its own; an import sets the original's id.
    pub hashing_key: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// Changes with every write of the feature itself.
    pub etag: String,
}

impl Feature {
    /// Checks what holds between the feature's fields.
    pub fn check(&self) -> Result<(), Violation> {
        if let Some(value) = &self.initial_value {
            self.value_type.check(value).map_err(|violation| violation.at("initial_value"))?;
        }
        check_variants(self.value_type, &self.variants)?;
        check_tags(&self.tags)
    }
}

/// Changes to a feature; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeaturePatch {
    /// See [`Feature::description`].
    pub description: Option<String>,
    /// See [`Feature::tags`].
    pub tags: Option<Vec<String>>,
    /// See [`Feature::owners`].
    pub owners: Option<Vec<UserName>>,
    /// See [`Feature::archived`].
    pub archived: Option<bool>,
    /// See [`Feature::server_side_only`].
    pub server_side_only: Option<bool>,
}

/// Checks keys, types and weights of a feature's variants.
pub fn check_variants(value_type: ValueType, variants: &[Variant]) -> Result<(), Violation> {
    if variants.len() > VARIANTS_PER_FEATURE {
        return Err(Violation::new("variants", format!("must be at most {VARIANTS_PER_FEATURE}")));
    }
    for (index, variant) in variants.iter().enumerate() {
        let here = format!("variants[{index}]");
        if variants[..index].iter().any(|other| other.key == variant.key) {
            return Err(Violation::new(format!("{here}.key"), format!("is given twice: `{}`", variant.key)));
        }
        if let Some(value) = &variant.value {
            value_type.check(value).map_err(|violation| violation.at("value").at(&here))?;
        }
        check_weight(variant.default_weight).map_err(|violation| violation.at("default_weight").at(&here))?;
    }
    check_sum(variants.iter().map(|variant| variant.default_weight))
        .map_err(|violation| violation.at("variants"))
}

/// Checks that a weight is a percentage.
pub(crate) fn check_weight(weight: f64) -> Result<(), Violation> {
    if (0.0..=100.0).contains(&weight) {
        Ok(())
    } else {
        Err(Violation::new("", format!("must be a percentage from 0 to 100, is {weight}")))
    }
}

/// Checks that weights leave nothing below zero for the control.
pub(crate) fn check_sum(weights: impl Iterator<Item = f64>) -> Result<(), Violation> {
    let sum: f64 = weights.sum();
    // Decimal fractions such as three times 33.33… add up to 100 and a little in binary.
    if sum <= 100.0 + 1e-9 {
        Ok(())
    } else {
        Err(Violation::new("", format!("must have weights of at most 100 in all, they add up to {sum}")))
    }
}

fn check_tags(tags: &[String]) -> Result<(), Violation> {
    if tags.len() > TAGS_PER_FEATURE {
        return Err(Violation::new("tags", format!("must be at most {TAGS_PER_FEATURE}")));
    }
    for (index, tag) in tags.iter().enumerate() {
        let here = format!("tags[{index}]");
        check_no_nul(tag).map_err(|violation| violation.at(&here))?;
        if tag.is_empty() || tag.chars().count() > TAG_CHARACTERS {
            return Err(Violation::new(here, format!("must be 1 to {TAG_CHARACTERS} characters")));
        }
        if tags[..index].contains(tag) {
            return Err(Violation::new(here, format!("is given twice: `{tag}`")));
        }
    }
    Ok(())
}

/// Checks that text is a JSON object of at most [`METADATA_BYTES`].
pub fn check_metadata(text: &str) -> Result<(), Violation> {
    if text.len() > METADATA_BYTES {
        return Err(Violation::new("", format!("must be at most {METADATA_BYTES} bytes, is {}", text.len())));
    }
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text) {
        Ok(_) => check_no_nul(text),
        Err(error) => Err(Violation::new("", format!("must be a JSON object: {error}"))),
    }
}
