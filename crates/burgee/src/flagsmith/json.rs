//! JSON that keeps what `serde_json::Value` loses: how a number is written, and integers of any size.

use std::fmt;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// How deep arrays and objects may be nested.
const DEPTH: usize = 128;

/// A JSON value. Objects keep their order.
#[derive(Clone, Debug)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Boolean(bool),
    /// A number, as it is written.
    Number(String),
    /// A text.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object; of members with the same name, the last counts.
    Map(Vec<(String, Json)>),
}

impl Json {
    /// Parses a document.
    ///
    /// # Errors
    /// The text is no JSON; the error names line and column.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        from_raw(serde_json::from_str(text)?, DEPTH)
    }

    /// Returns the member of an object.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(members) => members.iter().find(|(member, _)| member == name).map(|(_, value)| value),
            Self::Null | Self::Boolean(_) | Self::Number(_) | Self::Text(_) | Self::List(_) => None,
        }
    }

    /// Returns what the value is, for people: `a number`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "an object",
        }
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Writes compact JSON.
impl fmt::Display for Json {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

/// Compares as Python compares what it has parsed, but with types: `1` differs from `1.0`, and `true` from
/// `1`. Objects are equal whatever the order of their members.
impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Boolean(left), Self::Boolean(right)) => left == right,
            (Self::Number(left), Self::Number(right)) => same_number(left, right),
            (Self::Text(left), Self::Text(right)) => left == right,
            (Self::List(left), Self::List(right)) => left == right,
            (Self::Map(left), Self::Map(right)) => {
                left.len() == right.len() && left.iter().all(|(name, value)| other.get(name) == Some(value))
            }
            (
                Self::Null
                | Self::Boolean(_)
                | Self::Number(_)
                | Self::Text(_)
                | Self::List(_)
                | Self::Map(_),
                _,
            ) => false,
        }
    }
}

/// Says whether a number is written as an integer.
pub fn is_integer(number: &str) -> bool {
    !number.contains(['.', 'e', 'E'])
}

/// Returns how Python prints a number that is written so in JSON: `30` as it is, `30.50` as `30.5`.
pub fn python_text(number: &str) -> String {
    if is_integer(number) {
        return if number == "-0" { "0".to_owned() } else { number.to_owned() };
    }
    let float: f64 = number.parse().unwrap_or(f64::NAN);
    // Rust's shortest digits are Python's; only where the exponent begins, and how it is written, differ.
    let scientific = format!("{float:e}");
    match scientific.split_once('e').map(|(digits, exponent)| (digits, exponent.parse::<i32>())) {
        Some((digits, Ok(exponent))) if !(-4..16).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
        }
        Some(_) | None => {
            let plain = format!("{float}");
            if plain.contains('.') || !float.is_finite() { plain } else { format!("{plain}.0") }
        }
    }
}

fn same_number(left: &str, right: &str) -> bool {
    match (is_integer(left), is_integer(right)) {
        (true, true) => left == right || (is_zero(left) && is_zero(right)),
        (false, false) => left.parse::<f64>().ok() == right.parse().ok(),
        (true, false) | (false, true) => false,
    }
}

fn is_zero(integer: &str) -> bool {
    matches!(integer, "0" | "-0")
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        from_raw(&raw, DEPTH).map_err(D::Error::custom)
    }
}

fn from_raw(raw: &RawValue, depth: usize) -> Result<Json, serde_json::Error> {
    let text = raw.get();
    let inner = |raw: &RawValue| match depth.checked_sub(1) {
        Some(depth) => from_raw(raw, depth),
        None => Err(serde_json::Error::custom(format!("must be nested at most {DEPTH} deep"))),
    };
    Ok(match text.as_bytes().first() {
        Some(b'n') => Json::Null,
        Some(b't') => Json::Boolean(true),
        Some(b'f') => Json::Boolean(false),
        Some(b'"') => Json::Text(serde_json::from_str(text)?),
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            Json::List(items.into_iter().map(inner).collect::<Result<_, _>>()?)
        }
        Some(b'{') => {
            let Members(members) = serde_json::from_str(text)?;
            let mut map: Vec<(String, Json)> = Vec::with_capacity(members.len());
            let mut index = std::collections::HashMap::with_capacity(members.len());
            for (name, raw) in members {
                let value = inner(raw)?;
                match index.get(&name) {
                    Some(&place) => map[place] = (name, value),
                    None => {
                        index.insert(name.clone(), map.len());
                        map.push((name, value));
                    }
                }
            }
            Json::Map(map)
        }
        Some(_) | None => Json::Number(text.to_owned()),
    })
}

/// The members of an object, in order.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = access.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Boolean(boolean) => serializer.serialize_bool(*boolean),
            Self::Number(number) => {
                let raw = RawValue::from_string(number.clone()).map_err(serde::ser::Error::custom)?;
                raw.serialize(serializer)
            }
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| list.serialize_element(item))?;
                list.end()
            }
            Self::Map(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                members.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_written_as_it_was_read() {
        let text = r#"{"b":[1,1.0,1e3,123456789012345678901234567890],"a":{"x":null,"é":"\"\n"},"c":true}"#;
        assert_eq!(Json::parse(text).unwrap().to_string(), text);
    }

    #[test]
    fn numbers_are_compared_with_their_type() {
        let check = |left: &str, right: &str, same| {
            assert_eq!(Json::parse(left).unwrap() == Json::parse(right).unwrap(), same, "{left} {right}");
        };
        check("1", "1", true);
        check("1", "1.0", false);
        check("1.0", "1.00", true);
        check("1", "true", false);
        check("0", "-0", true);
        check("100000000000000000000000001", "100000000000000000000000002", false);
        check(r#"{"a":1,"b":[2]}"#, r#"{"b":[2],"a":1}"#, true);
        check("[1,2]", "[2,1]", false);
    }

    #[test]
    fn the_last_of_equal_members_counts() {
        assert_eq!(Json::parse(r#"{"a":1,"b":2,"a":3}"#).unwrap().to_string(), r#"{"a":3,"b":2}"#);
    }

    #[test]
    fn numbers_are_printed_as_python_does() {
        for (number, text) in [
            ("30", "30"),
            ("30.0", "30.0"),
            ("54.540", "54.54"),
            ("1e1", "10.0"),
            ("0.00001", "1e-05"),
            ("1e16", "1e+16"),
            ("-0", "0"),
        ] {
            assert_eq!(python_text(number), text);
        }
    }

    #[test]
    fn errors_name_the_place() {
        let error = Json::parse("{\n  \"a\": }").unwrap_err().to_string();
        assert!(error.contains("line 2 column 8"), "{error}");
        assert!(Json::parse(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Json::parse(&nested(100)).is_ok());
        assert!(Json::parse(&nested(50_000)).is_err());
    }
}
