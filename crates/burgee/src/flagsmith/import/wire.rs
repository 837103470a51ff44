//! States as the wire has them, and whether two are the same.

use burgee_core::feature::check_metadata;
use burgee_core::limits::DISPLAY_NAME_CHARACTERS;
use burgee_core::name::VariantKey;
use burgee_core::value::{Value, ValueType};
use burgee_proto::v1 as pb;

use super::variants::clamp;
use crate::flagsmith::json::Json;
use crate::flagsmith::model::{Note, State, Variant};

/// Characters of a hashing key.
const HASHING_KEY_CHARACTERS: usize = 255;

/// Returns why a state cannot be taken, if it cannot.
pub(super) fn check(state: &State) -> Result<(), String> {
    let values = state.variants.iter().map(|variant| &variant.value).chain([&state.value]);
    for value in values.flatten() {
        ValueType::Any.check(value).map_err(|violation| format!("its value {}", violation.description))?;
    }
    check_hashing_key(&state.hashing_key)
}

/// Returns why a hashing key cannot be taken, if it cannot.
pub(super) fn check_hashing_key(key: &str) -> Result<(), String> {
    if key.chars().count() > HASHING_KEY_CHARACTERS || key.contains('\0') {
        return Err(format!("its key must be at most {HASHING_KEY_CHARACTERS} characters without NUL"));
    }
    Ok(())
}

/// Returns why a display name cannot be taken, if it cannot.
pub(super) fn check_display_name(name: &str) -> Result<(), String> {
    if name.chars().count() > DISPLAY_NAME_CHARACTERS || name.contains('\0') {
        return Err(format!("its name must be at most {DISPLAY_NAME_CHARACTERS} characters without NUL"));
    }
    Ok(())
}

/// Returns the text, or none if it cannot be taken.
pub(super) fn checked(
    subject: &str,
    text: &str,
    check: fn(&str) -> Result<(), String>,
    notes: &mut Vec<Note>,
) -> String {
    match check(text) {
        Ok(()) => text.to_owned(),
        Err(problem) => {
            notes.push(Note::not_taken(subject, problem));
            String::new()
        }
    }
}

/// Returns the metadata, or none if there is too much of it.
pub(super) fn metadata(subject: &str, metadata: Option<&String>, notes: &mut Vec<Note>) -> String {
    let Some(text) = metadata else { return String::new() };
    match check_metadata(text) {
        Ok(()) => text.clone(),
        Err(violation) => {
            notes.push(Note::not_taken(subject, format!("the metadata {}", violation.description)));
            String::new()
        }
    }
}

/// Converts a state whose variants have these keys.
pub(super) fn state(subject: &str, state: &State, keys: &[String], notes: &mut Vec<Note>) -> pb::FlagState {
    let shares = clamp(state.variants.iter().map(|variant| variant.weight));
    if shares.iter().zip(&state.variants).any(|(share, variant)| *share != variant.weight) {
        let text =
            "the weights are not percentages that add up to at most 100; they now are, with the same buckets";
        notes.push(Note::changed(subject, text));
    }
    if state.hashing_key.is_empty() && !state.variants.is_empty() {
        let text = "the state has no key to hash; its split now hashes the feature's";
        notes.push(Note::not_taken(subject, text));
    }
    let weights =
        keys.iter().zip(shares).map(|(key, weight)| pb::VariantWeight { variant: key.clone(), weight });
    pb::FlagState {
        enabled: Some(state.enabled),
        value: state.value.as_ref().map(Into::into),
        weights: weights.collect(),
        hashing_key: state.hashing_key.clone(),
        metadata: metadata(subject, state.metadata.as_ref(), notes),
    }
}

/// Says whether a state serves what is wanted. A wanted state without a hashing key keeps the one that is
/// there.
pub(super) fn is_same_state(wanted: &pb::FlagState, actual: &pb::FlagState) -> bool {
    let weights = |state: &pb::FlagState| {
        let mut weights: Vec<_> =
            state.weights.iter().map(|item| (item.variant.clone(), item.weight)).collect();
        weights.sort_by(|(left, _), (right, _)| left.cmp(right));
        weights
    };
    wanted.enabled == actual.enabled
        && value(wanted.value.as_ref()) == value(actual.value.as_ref())
        && weights(wanted) == weights(actual)
        && (wanted.hashing_key.is_empty() || wanted.hashing_key == actual.hashing_key)
        && is_same_metadata(&wanted.metadata, &actual.metadata)
}

/// Says whether two texts are the same object.
pub(super) fn is_same_metadata(left: &str, right: &str) -> bool {
    left == right || matches!((Json::parse(left), Json::parse(right)), (Ok(left), Ok(right)) if left == right)
}

/// Reads a value; no value and a value without a kind mean the same.
pub(super) fn value(value: Option<&pb::Value>) -> Option<Value> {
    value.cloned().and_then(Into::into)
}

/// Returns the type that all values have: text if there is none, any if they differ.
pub(super) fn value_type<'a>(states: impl Iterator<Item = &'a State>) -> ValueType {
    let values = |state: &'a State| {
        state.variants.iter().map(|variant: &Variant| &variant.value).chain([&state.value]).flatten()
    };
    let mut types = states.flat_map(values).map(Value::value_type);
    match types.next() {
        None => ValueType::String,
        Some(first) if types.all(|other| other == first) => first,
        Some(_) => ValueType::Any,
    }
}

/// Reads the key of a variant out of its name.
pub(super) fn variant_key(variant: &pb::Variant) -> Option<String> {
    let key = variant.name.rsplit('/').next()?;
    VariantKey::parse(key).ok().map(|key| key.to_string())
}
