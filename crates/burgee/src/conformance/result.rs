//! Results in the published shape.

use burgee_core::value::Value;

use crate::flagsmith::json::Json;

/// What decided, in the published words.
pub(super) enum Reason<'a> {
    /// The environment's own state.
    Default,
    /// The override of a segment.
    Segment(&'a str),
    /// A variant, and its weight as it is written.
    Split(&'a str),
}

/// One flag of a result.
pub(super) struct FlagResult<'a> {
    pub(super) name: &'a str,
    pub(super) enabled: bool,
    pub(super) value: Option<&'a Value>,
    pub(super) reason: Reason<'a>,
    pub(super) variant: Option<&'a str>,
    pub(super) metadata: Option<&'a str>,
}

impl FlagResult<'_> {
    /// Returns the member of `flags`.
    pub(super) fn to_json(&self) -> (String, Json) {
        let reason = match self.reason {
            Reason::Default => "DEFAULT".to_owned(),
            Reason::Segment(segment) => format!("TARGETING_MATCH; segment={segment}"),
            Reason::Split(weight) => format!("SPLIT; weight={weight}"),
        };
        let mut members = vec![
            ("name".to_owned(), Json::from(self.name)),
            ("enabled".to_owned(), Json::Boolean(self.enabled)),
            ("value".to_owned(), value(self.value)),
            ("reason".to_owned(), Json::Text(reason)),
            ("variant".to_owned(), self.variant.map_or(Json::Null, Json::from)),
        ];
        members.extend(metadata(self.metadata));
        (self.name.to_owned(), Json::Map(members))
    }
}

/// Returns an item of `segments`.
pub(super) fn segment(name: &str, object: Option<&str>) -> Json {
    let mut members = vec![("name".to_owned(), Json::from(name))];
    members.extend(metadata(object));
    Json::Map(members)
}

/// Returns a whole result.
pub(super) fn whole(flags: Vec<(String, Json)>, segments: Vec<Json>) -> Json {
    Json::Map(vec![("flags".to_owned(), Json::Map(flags)), ("segments".to_owned(), Json::List(segments))])
}

fn metadata(object: Option<&str>) -> Option<(String, Json)> {
    let json = object.and_then(|text| Json::parse(text).ok())?;
    Some(("metadata".to_owned(), json))
}

fn value(value: Option<&Value>) -> Json {
    match value {
        None => Json::Null,
        Some(Value::Boolean(boolean)) => Json::Boolean(*boolean),
        Some(Value::Integer(integer)) => Json::Number(integer.to_string()),
        Some(Value::Double(double)) => Json::Number(format!("{double:?}")),
        Some(Value::String(text)) => Json::Text(text.clone()),
        Some(Value::Json(text)) => Json::parse(text).unwrap_or_else(|_| Json::Text(text.clone())),
    }
}
