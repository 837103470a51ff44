//! JSON objects in which every name stands once: two readers of a token must not see two different claims.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Parses an object that, at any depth, repeats no name.
pub(super) fn parse_object(text: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(text) {
        Ok(Unique(Value::Object(object))) => Some(object),
        Ok(Unique(_)) | Err(_) => None,
    }
}

/// A value without repeated names.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Self)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unique(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Unique(value))) = entries.next_entry::<String, _>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a name is repeated"));
            }
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, right: bool) {
        let parsed = parse_object(text.as_bytes());
        assert_eq!(parsed.is_some(), right, "{text}");
        if let Some(parsed) = parsed {
            assert_eq!(Value::Object(parsed), serde_json::from_str::<Value>(text).unwrap());
        }
    }

    #[test]
    fn an_object_says_everything_once() {
        check("{}", true);
        check(
            r#"{"a":null,"b":[1,-2,3.5,"x",true,{"a":1}],"c":{"a":{"a":1}},"d":18446744073709551615}"#,
            true,
        );
        check(r#"{"sub":"a","sub":"b"}"#, false);
        check(r#"{"sub":"a","s\u0075b":"b"}"#, false);
        check(r#"{"a":{"b":1,"b":1}}"#, false);
        check(r#"{"a":[{"b":1,"b":1}]}"#, false);
        check("[]", false);
        check("\"a\"", false);
        check("{} {}", false);
        check("", false);
        check(&format!("{}1{}", r#"{"a":"#.repeat(5_000), "}".repeat(5_000)), false);
    }
}
