//! Flags and overrides.

use burgee_core::Violation;
use burgee_core::flag::{Flag, FlagState, IdentityOverride, SegmentOverride, VariantWeight};
use burgee_core::name::{FeatureName, SegmentName, VariantKey};

use crate::v1 as pb;

impl From<&FlagState> for pb::FlagState {
    fn from(state: &FlagState) -> Self {
        let weight = |weight: &VariantWeight| pb::VariantWeight {
            variant: weight.variant.to_string(),
            weight: weight.weight,
        };
        Self {
            enabled: Some(state.enabled),
            value: state.value.as_ref().map(Into::into),
            weights: state.weights.iter().map(weight).collect(),
            hashing_key: state.hashing_key.clone(),
            metadata: state.metadata.clone().unwrap_or_default(),
        }
    }
}

impl TryFrom<pb::FlagState> for FlagState {
    type Error = Violation;

    fn try_from(state: pb::FlagState) -> Result<Self, Violation> {
        let pb::FlagState { enabled, value, weights, hashing_key, metadata } = state;
        let convert = |(index, weight): (usize, pb::VariantWeight)| {
            let pb::VariantWeight { variant, weight } = weight;
            let variant = VariantKey::parse(&variant)
                .map_err(|violation| violation.at(format!("weights[{index}].variant")))?;
            Ok(VariantWeight { variant, weight })
        };
        Ok(Self {
            enabled: enabled.unwrap_or_default(),
            value: value.and_then(Into::into),
            weights: weights.into_iter().enumerate().map(convert).collect::<Result<_, _>>()?,
            hashing_key,
            metadata: Some(metadata).filter(|metadata| !metadata.is_empty()),
        })
    }
}

impl From<&Flag> for pb::Flag {
    fn from(flag: &Flag) -> Self {
        let feature = FeatureName {
            project: flag.name.environment.project.clone(),
            feature: flag.name.feature.clone(),
        };
        let overrides = flag.segment_overrides.iter().zip(0..);
        Self {
            name: flag.name.to_string(),
            feature: feature.to_string(),
            state: Some((&flag.state).into()),
            segment_overrides: overrides.map(|(item, priority)| segment_override(item, priority)).collect(),
            etag: flag.etag.clone(),
        }
    }
}

fn segment_override(item: &SegmentOverride, priority: i32) -> pb::SegmentOverride {
    let project = item.name.flag.environment.project.clone();
    pb::SegmentOverride {
        name: item.name.to_string(),
        segment: SegmentName { project, segment: item.name.segment.clone() }.to_string(),
        state: Some((&item.state).into()),
        priority,
    }
}

impl From<&IdentityOverride> for pb::IdentityOverride {
    fn from(item: &IdentityOverride) -> Self {
        Self {
            name: item.name.to_string(),
            identifier: item.name.identifier.to_string(),
            state: Some((&item.state).into()),
            etag: item.etag.clone(),
        }
    }
}
