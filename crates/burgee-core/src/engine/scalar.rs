//! What a condition looks at: the value of its property.

use serde_json::Value as Json;

use super::number::{FloatText, Integer, with_text};
use crate::value::TraitValue;

/// The value of a property.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scalar<'a> {
    /// Not there, null, or an object or an array.
    Unset,
    Boolean(bool),
    Integer(Integer<'a>),
    Float(f64),
    Text(&'a str),
}

impl<'a> Scalar<'a> {
    /// Reads a text: `-?[0-9]+` is an integer, `-?[0-9]+\.[0-9]+` a float, all else a text.
    pub(super) fn retype(text: &'a str) -> Self {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(unsigned) => (true, unsigned),
            None => (false, text),
        };
        let digits = unsigned.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return Self::Text(text);
        }
        if digits == unsigned.len() {
            return Self::Integer(Integer::from_digits(negative, unsigned));
        }
        let is_float = unsigned[digits..].strip_prefix('.').is_some_and(|decimals| {
            !decimals.is_empty() && decimals.bytes().all(|byte| byte.is_ascii_digit())
        });
        match text.parse() {
            Ok(float) if is_float => Self::Float(float),
            Ok(_) | Err(_) => Self::Text(text),
        }
    }

    /// Reads a trait; a null is not set.
    pub(super) fn of_trait(value: Option<&'a TraitValue>) -> Self {
        match value {
            None => Self::Unset,
            Some(TraitValue::String(text)) => Self::retype(text),
            Some(TraitValue::Integer(integer)) => Self::Integer(Integer::Small(*integer)),
            Some(TraitValue::Double(float)) => Self::Float(*float),
            Some(TraitValue::Boolean(boolean)) => Self::Boolean(*boolean),
        }
    }

    /// Runs `read` on the value's text as Python prints it; `None` if it is not set.
    pub(super) fn with_text<T>(self, read: impl FnOnce(&str) -> T) -> Option<T> {
        match self {
            Self::Unset => None,
            Self::Boolean(true) => Some(read("True")),
            Self::Boolean(false) => Some(read("False")),
            Self::Integer(integer) => Some(with_text(integer, read)),
            Self::Float(float) => Some(with_text(FloatText(float), read)),
            Self::Text(text) => Some(read(text)),
        }
    }
}

/// The value of a property that a query has found in a document.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum OwnedScalar {
    Unset,
    Boolean(bool),
    Float(f64),
    /// A text, or an integer of any size: digits read back as the integer.
    Text(String),
}

impl OwnedScalar {
    /// Reads a node of a document.
    pub(super) fn of_node(node: Option<&Json>) -> Self {
        match node {
            None | Some(Json::Null | Json::Array(_) | Json::Object(_)) => Self::Unset,
            Some(Json::Bool(boolean)) => Self::Boolean(*boolean),
            Some(Json::Number(number)) => match number.as_f64() {
                Some(float) if number.is_f64() => Self::Float(float),
                Some(_) | None => Self::Text(number.to_string()),
            },
            Some(Json::String(text)) => Self::Text(text.clone()),
        }
    }

    /// Returns the value, retyped.
    pub(super) fn get(&self) -> Scalar<'_> {
        match self {
            Self::Unset => Scalar::Unset,
            Self::Boolean(boolean) => Scalar::Boolean(*boolean),
            Self::Float(float) => Scalar::Float(*float),
            Self::Text(text) => Scalar::retype(text),
        }
    }
}
