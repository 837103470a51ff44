//! The state that flags, segment overrides and identity overrides serve.

use burgee_core::engine::{State, VariantRules};
use burgee_core::feature::{Feature, Variant};
use burgee_core::flag::{FlagState, VariantWeight};
use burgee_core::value::Value;
use sqlx::types::Json;

/// The columns of a state.
#[derive(sqlx::FromRow)]
pub(super) struct StateRecord {
    enabled: bool,
    value: Option<Json<Value>>,
    weights: Json<Vec<VariantWeight>>,
    hashing_key: String,
    metadata: Option<String>,
}

impl From<StateRecord> for FlagState {
    fn from(record: StateRecord) -> Self {
        let StateRecord { enabled, value, weights, hashing_key, metadata } = record;
        Self { enabled, value: value.map(|Json(value)| value), weights: weights.0, hashing_key, metadata }
    }
}

impl StateRecord {
    /// Returns the state as evaluation takes it: with the values of the feature's variants, in their order.
    pub(super) fn into_rules(self, variants: &[Variant]) -> State {
        let StateRecord { enabled, value, weights, hashing_key, metadata } = self;
        let split = variants.iter().filter_map(|variant| {
            let weight = weights.iter().find(|weight| weight.variant == variant.key)?;
            Some(VariantRules {
                key: variant.key.to_string(),
                weight: weight.weight,
                value: variant.value.clone(),
            })
        });
        State {
            enabled,
            value: value.map(|Json(value)| value),
            hashing_key,
            variants: split.collect(),
            metadata,
        }
    }
}

/// Returns the state of a new flag.
pub(super) fn new_state(feature: &Feature, prevent_flag_defaults: bool) -> FlagState {
    let weights = feature
        .variants
        .iter()
        .map(|variant| VariantWeight { variant: variant.key.clone(), weight: variant.default_weight });
    FlagState {
        enabled: feature.default_enabled && !prevent_flag_defaults,
        value: feature.initial_value.clone().filter(|_| !prevent_flag_defaults),
        weights: weights.collect(),
        hashing_key: feature.hashing_key.clone(),
        metadata: None,
    }
}

/// Returns a value as a column takes it.
pub(super) fn value_column(value: &Option<Value>) -> Option<Json<&Value>> {
    value.as_ref().map(Json)
}
