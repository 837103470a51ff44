//! Variants of features, and their weights in states.

use burgee_core::feature::{Feature, Variant};
use burgee_core::flag::{Flag, VariantWeight};
use burgee_core::name::{FeatureKey, VariantKey, VariantName};
use burgee_core::{Error, Result};

use super::flag_reads::{FlagRow, flags_of_feature};
use super::identity_overrides::overrides_of_feature;
use super::write::{Stored, Write, already_exists, not_found};

impl Write<'_> {
    /// Adds a variant at the end, and gives its default weight to the flags that have a split.
    pub(super) async fn create_variant(
        &mut self,
        feature: &FeatureKey,
        variant: &Variant,
        etag: Option<&str>,
    ) -> Result<Feature> {
        let Stored { id, resource: before } = self.feature_to_change(feature, etag).await?;
        if before.variants.iter().any(|other| other.key == variant.key) {
            let name = VariantName { feature: before.name, variant: variant.key.clone() };
            return Err(already_exists("variant", &name));
        }
        let first = before.variants.is_empty();
        let mut after = before.clone();
        after.variants.push(variant.clone());
        let after = self.store_feature(id, &before, after).await?;
        for row in flags_of_feature(&mut self.tx, id, &after.name).await? {
            let mut flag = row.flag.clone();
            if first || !flag.state.weights.is_empty() {
                flag.state
                    .weights
                    .push(VariantWeight { variant: variant.key.clone(), weight: variant.default_weight });
                check_fits(&flag, &after)?;
                self.store_flag(&row, flag).await?;
            }
        }
        Ok(after)
    }

    /// Replaces a variant's value and default weight.
    pub(super) async fn update_variant(
        &mut self,
        feature: &FeatureKey,
        variant: &Variant,
        etag: Option<&str>,
    ) -> Result<Feature> {
        let Stored { id, resource: before } = self.feature_to_change(feature, etag).await?;
        let mut after = before.clone();
        let Some(found) = after.variants.iter_mut().find(|other| other.key == variant.key) else {
            let name = VariantName { feature: before.name, variant: variant.key.clone() };
            return Err(not_found("variant", &name));
        };
        *found = variant.clone();
        self.store_feature(id, &before, after).await
    }

    /// Removes a variant, and its weight from every state.
    pub(super) async fn delete_variant(
        &mut self,
        feature: &FeatureKey,
        variant: &VariantKey,
        etag: Option<&str>,
    ) -> Result<Feature> {
        let Stored { id, resource: before } = self.feature_to_change(feature, etag).await?;
        let mut after = before.clone();
        after.variants.retain(|other| other.key != *variant);
        if after.variants.len() == before.variants.len() {
            let name = VariantName { feature: before.name, variant: variant.clone() };
            return Err(not_found("variant", &name));
        }
        let after = self.store_feature(id, &before, after).await?;
        for row in flags_of_feature(&mut self.tx, id, &after.name).await? {
            self.remove_weight_from_flag(&row, variant).await?;
        }
        for stored in overrides_of_feature(&mut self.tx, id, &after.name).await? {
            let mut state = stored.resource.state.clone();
            state.weights.retain(|weight| weight.variant != *variant);
            if state != stored.resource.state {
                self.store_identity_override(
                    stored.environment,
                    id,
                    Some(&stored.resource),
                    &stored.resource.name,
                    state,
                )
                .await?;
            }
        }
        Ok(after)
    }

    async fn remove_weight_from_flag(&mut self, row: &FlagRow, variant: &VariantKey) -> Result<()> {
        let mut flag = row.flag.clone();
        flag.state.weights.retain(|weight| weight.variant != *variant);
        for (segment, replacement) in row.segments.iter().zip(&mut flag.segment_overrides) {
            let weights = replacement.state.weights.len();
            replacement.state.weights.retain(|weight| weight.variant != *variant);
            if replacement.state.weights.len() != weights {
                self.update_segment_override(row, *segment, &replacement.state).await?;
            }
        }
        if flag != row.flag {
            self.store_flag(row, flag).await?;
        }
        Ok(())
    }
}

/// Refuses a variant for which an environment's split has no room.
fn check_fits(flag: &Flag, feature: &Feature) -> Result<()> {
    flag.state.check(feature).map_err(|violation| Error::Precondition {
        reason: "WEIGHTS_EXCEEDED",
        message: format!(
            "the variant does not fit into the split of `{}`, whose `{}` {}; give it a lower default weight",
            flag.name, violation.field, violation.description
        ),
    })
}
