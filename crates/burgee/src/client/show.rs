//! Flags as text and as JSON.

use std::time::Duration;

use burgee_proto::evaluation::v1::{EvaluatedFlag, Reason};
use burgee_proto::v1::{FlagState, Value, value::Kind};

use crate::flagsmith::json::Json;

/// Returns a value as JSON.
pub(super) fn value_json(value: Option<&Value>) -> Json {
    match value.and_then(|value| value.kind.as_ref()) {
        None => Json::Null,
        Some(Kind::BooleanValue(boolean)) => Json::Boolean(*boolean),
        Some(Kind::IntegerValue(integer)) => Json::Number(integer.to_string()),
        Some(Kind::DoubleValue(double)) => Json::Number(format!("{double:?}")),
        Some(Kind::StringValue(text)) => Json::Text(text.clone()),
        Some(Kind::JsonValue(text)) => json_or_text(text),
    }
}

/// Returns an evaluated flag as JSON.
pub(super) fn flag_json(flag: &EvaluatedFlag) -> Json {
    let mut members = vec![
        member("key", Json::from(flag.key.as_str())),
        member("enabled", Json::Boolean(flag.enabled)),
        member("value", value_json(flag.value.as_ref())),
        member("reason", Json::Text(reason(flag))),
    ];
    if let Some(segment) = &flag.segment {
        let names = [("id", &segment.id), ("display_name", &segment.display_name)];
        let names = names.into_iter().map(|(name, text)| member(name, Json::Text(text.clone())));
        members.push(member("segment", Json::Map(names.collect())));
    }
    if let Some(variant) = &flag.variant {
        members.push(member("variant", Json::Text(variant.clone())));
    }
    if !flag.metadata.is_empty() {
        members.push(member("metadata", json_or_text(&flag.metadata)));
    }
    Json::Map(members)
}

/// Returns an evaluated flag as a line of text, without its end.
pub(super) fn flag_text(flag: &EvaluatedFlag) -> String {
    let on = if flag.enabled { "on" } else { "off" };
    let mut why = vec![reason(flag)];
    if let Some(segment) = &flag.segment {
        why.push(format!("segment={}", segment.id));
    }
    if let Some(variant) = &flag.variant {
        why.push(format!("variant={variant}"));
    }
    format!("{} {on} {} ({})", flag.key, value_json(flag.value.as_ref()), why.join(" "))
}

/// Returns a state as JSON.
pub(super) fn state_json(state: &FlagState) -> Json {
    let weights =
        state.weights.iter().map(|item| member(&item.variant, Json::Number(format!("{:?}", item.weight))));
    let mut members = vec![
        member("enabled", Json::Boolean(state.enabled())),
        member("value", value_json(state.value.as_ref())),
        member("weights", Json::Map(weights.collect())),
        member("hashing_key", Json::from(state.hashing_key.as_str())),
    ];
    if !state.metadata.is_empty() {
        members.push(member("metadata", json_or_text(&state.metadata)));
    }
    Json::Map(members)
}

/// Returns a state as text.
pub(super) fn state_text(state: &FlagState) -> String {
    let on = if state.enabled() { "on" } else { "off" };
    let weights = state.weights.iter().map(|item| format!(" {}={}%", item.variant, item.weight));
    format!("{on} {}{}", value_json(state.value.as_ref()), weights.collect::<String>())
}

/// Returns a member of an object.
pub(super) fn member(name: &str, value: Json) -> (String, Json) {
    (name.to_owned(), value)
}

/// Returns for how long the answer may have been out of date, in seconds.
pub(super) fn stale_seconds(stale_for: Option<&prost_types::Duration>) -> Option<f64> {
    stale_for.and_then(|length| burgee_proto::time::length(length).ok()).as_ref().map(Duration::as_secs_f64)
}

fn reason(flag: &EvaluatedFlag) -> String {
    let name = Reason::try_from(flag.reason).unwrap_or_default().as_str_name();
    name.trim_start_matches("REASON_").to_owned()
}

fn json_or_text(text: &str) -> Json {
    Json::parse(text).unwrap_or_else(|_| Json::from(text))
}
