//! What flags serve and what identities carry: values, value types and trait values.

use serde::{Deserialize, Serialize};

use crate::Violation;
use crate::engine::number::FloatText;
use crate::limits::{JSON_VALUE_BYTES, TRAIT_VALUE_CHARACTERS, VALUE_BYTES};

/// A value served by a flag. An absent value is `None` around it: the caller's default applies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// True or false.
    Boolean(bool),
    /// A 64-bit integer.
    Integer(i64),
    /// A finite double.
    Double(f64),
    /// A text.
    String(String),
    /// A JSON document, as its text.
    Json(String),
}

impl Value {
    /// Returns the type that this value has by itself; never [`ValueType::Any`].
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Boolean(_) => ValueType::Boolean,
            Self::Integer(_) => ValueType::Integer,
            Self::Double(_) => ValueType::Double,
            Self::String(_) => ValueType::String,
            Self::Json(_) => ValueType::Json,
        }
    }
}

/// The type that every value of a feature must have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueType {
    /// Each value has its own type: features that were imported with mixed values.
    #[default]
    Any,
    /// True or false.
    Boolean,
    /// A 64-bit integer.
    Integer,
    /// A finite double.
    Double,
    /// A text.
    String,
    /// A JSON document.
    Json,
}

impl ValueType {
    /// Every type, in the order of declaration.
    pub const ALL: [Self; 6] =
        [Self::Any, Self::Boolean, Self::Integer, Self::Double, Self::String, Self::Json];

    /// Returns the type's name, as stored: `boolean`, `integer`…
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Double => "double",
            Self::String => "string",
            Self::Json => "json",
        }
    }

    /// Parses a name as [`Self::as_str`] returns it.
    pub fn parse(name: &str) -> Result<Self, Violation> {
        Self::ALL
            .into_iter()
            .find(|value_type| value_type.as_str() == name)
            .ok_or_else(|| Violation::new("", format!("must be a value type, is `{name}`")))
    }

    /// Checks that `value` has this type and keeps its type's rules; the violation's field is empty.
    pub fn check(self, value: &Value) -> Result<(), Violation> {
        let actual = value.value_type();
        if self != Self::Any && self != actual {
            return Err(Violation::new(
                "",
                format!("must be of type `{}`, is of type `{}`", self.as_str(), actual.as_str()),
            ));
        }
        match value {
            Value::Boolean(_) | Value::Integer(_) => Ok(()),
            Value::Double(double) => check_finite(*double),
            Value::String(text) => {
                check_bytes(text, VALUE_BYTES)?;
                check_storable(text)
            }
            Value::Json(text) => {
                check_bytes(text, JSON_VALUE_BYTES)?;
                check_json(text)
            }
        }
    }
}

/// A trait's value. An explicit null is `None` around it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TraitValue {
    /// A text.
    String(String),
    /// A 64-bit integer.
    Integer(i64),
    /// A finite double.
    Double(f64),
    /// True or false.
    Boolean(bool),
}

impl TraitValue {
    /// Returns the value's text as Python prints it, which rules compare with: `True`, `1.0`.
    pub fn to_text(&self) -> String {
        match self {
            Self::String(text) => text.clone(),
            Self::Integer(integer) => integer.to_string(),
            Self::Double(double) => FloatText(*double).to_string(),
            Self::Boolean(true) => "True".to_owned(),
            Self::Boolean(false) => "False".to_owned(),
        }
    }

    /// Checks that the value may be stored; the violation's field is empty.
    pub fn check(&self) -> Result<(), Violation> {
        match self {
            Self::Integer(_) | Self::Boolean(_) => Ok(()),
            Self::Double(double) => check_finite(*double),
            Self::String(text) => {
                check_characters(text, TRAIT_VALUE_CHARACTERS)?;
                check_storable(text)
            }
        }
    }
}

/// Checks the length of a text in characters.
pub(crate) fn check_characters(text: &str, most: usize) -> Result<(), Violation> {
    // A text has at most as many characters as bytes, so most texts need not be counted.
    if text.len() <= most {
        return Ok(());
    }
    match text.chars().count() {
        count if count <= most => Ok(()),
        count => Err(Violation::new("", format!("must have at most {most} characters, has {count}"))),
    }
}

/// Checks the length of a text in bytes.
pub(crate) fn check_bytes(text: &str, most: usize) -> Result<(), Violation> {
    match text.len() {
        length if length <= most => Ok(()),
        length => Err(Violation::new("", format!("must have at most {most} bytes, has {length}"))),
    }
}

/// Checks that a database can hold the text: PostgreSQL has no U+0000.
pub(crate) fn check_storable(text: &str) -> Result<(), Violation> {
    match text.contains('\0') {
        false => Ok(()),
        true => Err(Violation::new("", "must not contain the character U+0000")),
    }
}

fn check_finite(double: f64) -> Result<(), Violation> {
    match double.is_finite() {
        true => Ok(()),
        false => Err(Violation::new("", format!("must be a finite number, is {double}"))),
    }
}

fn check_json(text: &str) -> Result<(), Violation> {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(Violation::new("", format!("must be a JSON document: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value_type: ValueType, value: Value, expected: Result<(), &str>) {
        let actual = value_type.check(&value).map_err(|violation| violation.description);
        assert_eq!(actual.as_ref().map_err(String::as_str), expected.as_ref().map_err(|text| *text));
    }

    #[test]
    fn a_value_must_have_its_features_type() {
        check(ValueType::Boolean, Value::Boolean(true), Ok(()));
        check(ValueType::Integer, Value::Integer(i64::MIN), Ok(()));
        check(ValueType::Double, Value::Double(-0.0), Ok(()));
        check(ValueType::String, Value::String(String::new()), Ok(()));
        check(ValueType::Json, Value::Json("[1, {}]".into()), Ok(()));
        check(ValueType::Double, Value::Integer(1), Err("must be of type `double`, is of type `integer`"));
        check(
            ValueType::Json,
            Value::String("{}".into()),
            Err("must be of type `json`, is of type `string`"),
        );
    }

    #[test]
    fn any_takes_every_type_and_keeps_its_rules() {
        check(ValueType::Any, Value::Integer(1), Ok(()));
        check(ValueType::Any, Value::Json("null".into()), Ok(()));
        check(ValueType::Any, Value::Double(f64::INFINITY), Err("must be a finite number, is inf"));
        check(ValueType::Any, Value::Double(f64::NAN), Err("must be a finite number, is NaN"));
    }

    #[test]
    fn values_have_limits() {
        check(ValueType::String, Value::String("é".repeat(10_000)), Ok(()));
        check(
            ValueType::String,
            Value::String("a".repeat(20_001)),
            Err("must have at most 20000 bytes, has 20001"),
        );
        check(ValueType::Json, Value::Json(format!("\"{}\"", "a".repeat(65_534))), Ok(()));
        check(
            ValueType::Json,
            Value::Json(format!("\"{}\"", "a".repeat(65_535))),
            Err("must have at most 65536 bytes, has 65537"),
        );
        check(ValueType::String, Value::String("a\0".into()), Err("must not contain the character U+0000"));
    }

    #[test]
    fn json_must_be_json() {
        check(
            ValueType::Json,
            Value::Json("{\"a\":}".into()),
            Err("must be a JSON document: expected value at line 1 column 6"),
        );
        assert!(ValueType::Json.check(&Value::Json("1 2".into())).is_err());
        assert!(ValueType::Json.check(&Value::Json(String::new())).is_err());
    }

    #[test]
    fn trait_values_have_limits_in_characters() {
        assert!(TraitValue::String("é".repeat(2_000)).check().is_ok());
        assert!(TraitValue::String("é".repeat(2_001)).check().is_err());
        assert!(TraitValue::Double(f64::NEG_INFINITY).check().is_err());
        assert!(TraitValue::Double(1.5).check().is_ok());
        assert!(TraitValue::Integer(i64::MAX).check().is_ok());
        assert!(TraitValue::Boolean(false).check().is_ok());
    }

    #[test]
    fn type_names_can_be_parsed() {
        for value_type in ValueType::ALL {
            assert_eq!(ValueType::parse(value_type.as_str()), Ok(value_type));
            assert_eq!(serde_json::to_value(value_type).unwrap(), value_type.as_str());
        }
        assert!(ValueType::parse("BOOLEAN").is_err());
    }

    #[test]
    fn values_are_stored_under_their_types_name() {
        for (value, text) in [
            (Value::Boolean(true), r#"{"boolean":true}"#),
            (Value::Integer(5), r#"{"integer":5}"#),
            (Value::Double(5.0), r#"{"double":5.0}"#),
            (Value::String("5".into()), r#"{"string":"5"}"#),
            (Value::Json("5".into()), r#"{"json":"5"}"#),
        ] {
            assert_eq!(serde_json::to_string(&value).unwrap(), text);
            assert_eq!(serde_json::from_str::<Value>(text).unwrap(), value);
        }
    }
}
