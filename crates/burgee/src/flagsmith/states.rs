//! What both shapes say of states: values, variants, and which override wins.

use std::collections::HashMap;

use burgee_core::value::{TraitValue, Value};

use super::json::{Json, is_integer, python_text};
use super::model::{Feature, Note, Priority, SegmentOverride, State, Variant};
use super::node::{Misplaced, Node};

type Result<T> = std::result::Result<T, Misplaced>;

/// Reads the value of a flag. What is no boolean, 64-bit integer, double or text stays JSON.
pub(super) fn value(json: &Json) -> Option<Value> {
    Some(match json {
        Json::Null => return None,
        Json::Boolean(boolean) => Value::Boolean(*boolean),
        Json::Text(text) => Value::String(text.clone()),
        Json::Number(number) => match (is_integer(number), number.parse(), number.parse::<f64>()) {
            (true, Ok(integer), _) => Value::Integer(integer),
            (false, _, Ok(double)) if double.is_finite() => Value::Double(double),
            (true | false, _, _) => Value::Json(number.clone()),
        },
        Json::List(_) | Json::Map(_) => Value::Json(json.to_string()),
    })
}

/// Reads the value of a trait; what is no scalar counts as not set.
pub(super) fn trait_value(json: &Json) -> Option<TraitValue> {
    match json {
        Json::Null | Json::List(_) | Json::Map(_) => None,
        Json::Boolean(boolean) => Some(TraitValue::Boolean(*boolean)),
        Json::Text(text) => Some(TraitValue::String(text.clone())),
        Json::Number(number) => match (is_integer(number), number.parse(), number.parse::<f64>()) {
            (true, Ok(integer), _) => Some(TraitValue::Integer(integer)),
            (false, _, Ok(double)) if double.is_finite() => Some(TraitValue::Double(double)),
            // Digits are read as the integer again.
            (true, ..) => Some(TraitValue::String(number.clone())),
            (false, ..) => None,
        },
    }
}

/// Reads the number that a weight is.
pub(super) fn variant(key: Option<String>, json: &Json, weight: &Node<'_>) -> Result<Variant> {
    let number = weight.number()?;
    let parsed = number.parse().ok().filter(|weight: &f64| weight.is_finite());
    let parsed = parsed.ok_or_else(|| weight.problem("must be a finite number"))?;
    Ok(Variant { key, value: value(json), weight: parsed, weight_text: python_text(number) })
}

/// Puts variants in the order in which weights are added up.
pub(super) fn in_order(mut variants: Vec<(Priority, Variant)>) -> Vec<Variant> {
    variants.sort_by(|(left, _), (right, _)| left.cmp(right));
    variants.into_iter().map(|(_, variant)| variant).collect()
}

/// Reads a metadata object; one without members is none.
pub(super) fn metadata(node: &Node<'_>) -> Result<Option<String>> {
    Ok(node.members()?.next().map(|_| node.json().to_string()))
}

/// An override as it stands in its segment.
pub(super) struct Override {
    /// The feature's name.
    pub(super) feature: String,
    /// The index of the segment.
    pub(super) segment: usize,
    /// The lowest wins; missing is last.
    pub(super) priority: Option<Priority>,
    pub(super) state: State,
    /// Where it stands.
    pub(super) place: String,
}

/// Gives every feature its overrides, the one that wins first.
pub(super) fn distribute(features: &mut [Feature], mut overrides: Vec<Override>, notes: &mut Vec<Note>) {
    let places: HashMap<String, usize> =
        features.iter().enumerate().map(|(index, feature)| (feature.key.clone(), index)).collect();
    // Stable: of equal priorities the one that comes first in the document wins.
    overrides.sort_by(|left, right| match (&left.priority, &right.priority) {
        (Some(left), Some(right)) => left.cmp(right),
        (left, right) => right.is_some().cmp(&left.is_some()),
    });
    for item in overrides {
        let Override { feature, segment, priority: _, state, place } = item;
        let Some(feature) = places.get(&feature).map(|index| &mut features[*index]) else {
            let text =
                format!("the override is of the feature `{feature}`, which the environment does not have");
            notes.push(Note::changed(place, text));
            continue;
        };
        if feature.segment_overrides.iter().any(|other| other.segment == segment) {
            let text = format!("the segment overrides `{}` twice; this override never wins", feature.key);
            notes.push(Note::changed(place, text));
            continue;
        }
        feature.segment_overrides.push(SegmentOverride { segment, state });
    }
}
