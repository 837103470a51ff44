//! The evaluation context as a JSON document, for the paths that are not plain.

use serde_json::{Map, Value as Json, json};

use super::identity::Identity;
use super::rules::{EnvironmentRules, FeatureRules, SegmentRules};
use crate::value::{TraitValue, Value};

/// Builds the context without an identity: environment, features and segments.
pub(super) fn of_environment(rules: &EnvironmentRules) -> Json {
    let features = rules.features.iter().map(|feature| (feature.key.clone(), of_feature(feature)));
    let segments = rules.segments.iter().map(|segment| (segment.hashing_key.clone(), of_segment(segment)));
    json!({
        "environment": { "key": rules.hashing_key, "name": rules.name },
        "features": features.collect::<Map<_, _>>(),
        "segments": segments.collect::<Map<_, _>>(),
    })
}

/// Builds the context's identity; `key` is what hashes use.
pub(super) fn of_identity(identity: &Identity<'_>, key: &str) -> Json {
    let traits = identity.traits.iter().map(|(name, value)| {
        let value = match value {
            None => Json::Null,
            Some(TraitValue::String(text)) => json!(text),
            Some(TraitValue::Integer(integer)) => json!(integer),
            Some(TraitValue::Double(double)) => json!(double),
            Some(TraitValue::Boolean(boolean)) => json!(boolean),
        };
        (name.to_owned(), value)
    });
    json!({
        "identifier": identity.identifier,
        "key": key,
        "traits": traits.collect::<Map<_, _>>(),
    })
}

fn of_feature(feature: &FeatureRules) -> Json {
    let state = &feature.state;
    let variants = state.variants.iter().enumerate().map(|(priority, variant)| {
        json!({
            "key": variant.key,
            "value": of_value(variant.value.as_ref()),
            "weight": variant.weight,
            "priority": priority,
        })
    });
    let mut document = json!({
        "key": state.hashing_key,
        "name": feature.key,
        "enabled": state.enabled,
        "value": of_value(state.value.as_ref()),
        "variants": variants.collect::<Vec<_>>(),
    });
    add_metadata(&mut document, state.metadata.as_deref());
    document
}

fn of_segment(segment: &SegmentRules) -> Json {
    let mut document = json!({ "key": segment.hashing_key, "name": segment.name });
    add_metadata(&mut document, segment.metadata.as_deref());
    document
}

fn add_metadata(document: &mut Json, metadata: Option<&str>) {
    if let Some(metadata) = metadata.and_then(|text| serde_json::from_str(text).ok()) {
        document["metadata"] = metadata;
    }
}

/// A JSON value is a text here, as in Flagsmith, which has no type for it.
fn of_value(value: Option<&Value>) -> Json {
    match value {
        None => Json::Null,
        Some(Value::Boolean(boolean)) => json!(boolean),
        Some(Value::Integer(integer)) => json!(integer),
        Some(Value::Double(double)) => json!(double),
        Some(Value::String(text) | Value::Json(text)) => json!(text),
    }
}
