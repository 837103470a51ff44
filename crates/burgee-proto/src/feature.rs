//! Features and variants.

use burgee_core::Violation;
use burgee_core::feature::{Feature, Variant};
use burgee_core::name::{FeatureName, VariantKey, VariantName};

use crate::time::timestamp;
use crate::v1 as pb;

impl From<&Feature> for pb::Feature {
    fn from(feature: &Feature) -> Self {
        Self {
            name: feature.name.to_string(),
            description: feature.description.clone(),
            value_type: pb::ValueType::from(feature.value_type).into(),
            initial_value: feature.initial_value.as_ref().map(Into::into),
            default_enabled: feature.default_enabled,
            variants: feature.variants.iter().map(|variant| to_wire(&feature.name, variant)).collect(),
            tags: feature.tags.clone(),
            owners: feature.owners.iter().map(ToString::to_string).collect(),
            archived: feature.archived,
            server_side_only: Some(feature.server_side_only),
            hashing_key: feature.hashing_key.clone(),
            create_time: Some(timestamp(feature.created_at)),
            etag: feature.etag.clone(),
        }
    }
}

fn to_wire(feature: &FeatureName, variant: &Variant) -> pb::Variant {
    let name = VariantName { feature: feature.clone(), variant: variant.key.clone() };
    pb::Variant {
        name: name.to_string(),
        value: variant.value.as_ref().map(Into::into),
        default_weight: variant.default_weight,
    }
}

/// Converts the variant of that key; its name is not looked at.
#[must_use]
pub fn variant(key: VariantKey, variant: pb::Variant) -> Variant {
    let pb::Variant { name: _, value, default_weight } = variant;
    Variant { key, value: value.and_then(Into::into), default_weight }
}

/// Converts the variants of a new feature; of their names, only the last part counts, which may stand alone.
///
/// # Errors
/// A key breaks its rule, or is given twice.
pub fn variants(variants: Vec<pb::Variant>) -> Result<Vec<Variant>, Violation> {
    let mut converted: Vec<Variant> = Vec::with_capacity(variants.len());
    for (index, wire) in variants.into_iter().enumerate() {
        let here = format!("variants[{index}].name");
        let key = wire.name.rsplit('/').next().unwrap_or_default();
        let key = VariantKey::parse(key).map_err(|violation| violation.at(&here))?;
        if converted.iter().any(|other| other.key == key) {
            return Err(Violation::new(here, format!("is given twice: `{key}`")));
        }
        converted.push(variant(key, wire));
    }
    Ok(converted)
}
