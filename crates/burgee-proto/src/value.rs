//! Values of flags and traits.

use burgee_core::Violation;
use burgee_core::value::{TraitValue, Value, ValueType};

use crate::v1 as pb;

/// No value, and a value without a kind, mean the same: none.
impl From<pb::Value> for Option<Value> {
    fn from(value: pb::Value) -> Self {
        use pb::value::Kind;
        value.kind.map(|kind| match kind {
            Kind::BooleanValue(value) => Value::Boolean(value),
            Kind::IntegerValue(value) => Value::Integer(value),
            Kind::DoubleValue(value) => Value::Double(value),
            Kind::StringValue(value) => Value::String(value),
            Kind::JsonValue(value) => Value::Json(value),
        })
    }
}

impl From<&Value> for pb::Value {
    fn from(value: &Value) -> Self {
        use pb::value::Kind;
        let kind = match value {
            Value::Boolean(value) => Kind::BooleanValue(*value),
            Value::Integer(value) => Kind::IntegerValue(*value),
            Value::Double(value) => Kind::DoubleValue(*value),
            Value::String(value) => Kind::StringValue(value.clone()),
            Value::Json(value) => Kind::JsonValue(value.clone()),
        };
        Self { kind: Some(kind) }
    }
}

impl From<pb::TraitValue> for Option<TraitValue> {
    fn from(value: pb::TraitValue) -> Self {
        use pb::trait_value::Kind;
        value.kind.map(|kind| match kind {
            Kind::StringValue(value) => TraitValue::String(value),
            Kind::IntegerValue(value) => TraitValue::Integer(value),
            Kind::DoubleValue(value) => TraitValue::Double(value),
            Kind::BooleanValue(value) => TraitValue::Boolean(value),
        })
    }
}

impl From<&TraitValue> for pb::TraitValue {
    fn from(value: &TraitValue) -> Self {
        use pb::trait_value::Kind;
        let kind = match value {
            TraitValue::String(value) => Kind::StringValue(value.clone()),
            TraitValue::Integer(value) => Kind::IntegerValue(*value),
            TraitValue::Double(value) => Kind::DoubleValue(*value),
            TraitValue::Boolean(value) => Kind::BooleanValue(*value),
        };
        Self { kind: Some(kind) }
    }
}

impl From<ValueType> for pb::ValueType {
    fn from(value_type: ValueType) -> Self {
        match value_type {
            ValueType::Any => Self::Any,
            ValueType::Boolean => Self::Boolean,
            ValueType::Integer => Self::Integer,
            ValueType::Double => Self::Double,
            ValueType::String => Self::String,
            ValueType::Json => Self::Json,
        }
    }
}

impl TryFrom<pb::ValueType> for ValueType {
    type Error = Violation;

    fn try_from(value_type: pb::ValueType) -> Result<Self, Violation> {
        match value_type {
            pb::ValueType::Unspecified => Err(Violation::new("", "must be set")),
            pb::ValueType::Any => Ok(Self::Any),
            pb::ValueType::Boolean => Ok(Self::Boolean),
            pb::ValueType::Integer => Ok(Self::Integer),
            pb::ValueType::Double => Ok(Self::Double),
            pb::ValueType::String => Ok(Self::String),
            pb::ValueType::Json => Ok(Self::Json),
        }
    }
}
