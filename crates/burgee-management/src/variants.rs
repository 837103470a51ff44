//! Variants of features.

use burgee_core::change::{Mutation, WriteContext};
use burgee_core::feature::Variant;
use burgee_core::name::{FeatureName, VariantKey, VariantName};
use burgee_core::store::FlagStore;
use burgee_core::{Error, Result, Violation};
use burgee_proto::feature::variant;
use burgee_proto::management::v1 as pb;
use burgee_proto::mask::Mask;

use crate::fields::{At as _, given, required};
use crate::transaction::{Planned, Written, apply};

/// The fields that can change, and whether they are set.
fn changeable(wire: &burgee_proto::v1::Variant) -> [(&'static str, bool); 2] {
    [("value", wire.value.is_some()), ("default_weight", wire.default_weight != 0.0)]
}
/// How often a part of a variant is changed when others change the feature at the same time.
const ATTEMPTS: u32 = 5;

pub(crate) async fn create(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::CreateVariantRequest,
) -> Result<pb::CreateVariantResponse> {
    let name = FeatureName::parse(&request.parent).at("parent")?;
    let key = VariantKey::parse(&request.variant_id).at("variant_id")?;
    let variant = variant(key, request.variant.unwrap_or_default());
    let mutation = Mutation::CreateVariant { feature: name.feature, variant, etag: given(request.etag) };
    let planned = Planned { project: name.project, name_field: "parent", mutation, locate };
    let written = apply(store, context, planned).await?;
    Ok(pb::CreateVariantResponse { feature: written.feature(), revision: written.revision })
}

/// The store sees the variant among the others of its feature.
fn locate(violation: Violation) -> Violation {
    let field = match violation.field.rsplit_once("].") {
        Some((_, field)) => format!("variant.{field}"),
        // Of all together, it is the weights that must fit.
        None => "variant.default_weight".to_owned(),
    };
    Violation { field, description: violation.description }
}

pub(crate) async fn update(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::UpdateVariantRequest,
) -> Result<pb::UpdateVariantResponse> {
    let wire = required(request.variant, "variant")?;
    let name = VariantName::parse(&wire.name).at("variant.name")?;
    let mask = Mask::parse(request.update_mask, &changeable(&wire))?;
    let change = Change { variant: variant(name.variant.clone(), wire), name, mask };
    let written = match given(request.etag) {
        Some(etag) => change.apply(store, context, Some(etag)).await?,
        None => change.apply_to_current(store, context).await?,
    };
    Ok(pb::UpdateVariantResponse { feature: written.feature(), revision: written.revision })
}

/// A change to a part of a variant. The store replaces a variant as a whole, so the rest is read first.
struct Change {
    name: VariantName,
    mask: Mask,
    variant: Variant,
}

impl Change {
    /// Applies the change to whatever the feature is then.
    async fn apply_to_current(&self, store: &dyn FlagStore, context: &WriteContext) -> Result<Written> {
        for _ in 1..ATTEMPTS {
            match self.apply(store, context, None).await {
                // Somebody changed the feature since it was read; the caller did not ask to be told.
                Err(Error::StaleEtag { .. }) => {}
                outcome => return outcome,
            }
        }
        self.apply(store, context, None).await
    }

    async fn apply(
        &self,
        store: &dyn FlagStore,
        context: &WriteContext,
        etag: Option<String>,
    ) -> Result<Written> {
        let (variant, etag) = if ["value", "default_weight"].iter().all(|field| self.mask.has(field)) {
            (self.variant.clone(), etag)
        } else {
            let feature = store.feature(&self.name.feature).await?;
            let found = feature.variants.into_iter().find(|variant| variant.key == self.name.variant);
            let missing = || Error::NotFound { kind: "variant", name: self.name.to_string() };
            (self.merged(found.ok_or_else(missing)?), etag.or(Some(feature.etag)))
        };
        let FeatureName { project, feature } = self.name.feature.clone();
        let mutation = Mutation::UpdateVariant { feature, variant, etag };
        apply(store, context, Planned { project, name_field: "variant.name", mutation, locate }).await
    }

    fn merged(&self, current: Variant) -> Variant {
        let Variant { key, value, default_weight } = self.variant.clone();
        Variant {
            key,
            value: self.mask.select("value", value).unwrap_or(current.value),
            default_weight: self
                .mask
                .select("default_weight", default_weight)
                .unwrap_or(current.default_weight),
        }
    }
}

pub(crate) async fn delete(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::DeleteVariantRequest,
) -> Result<pb::DeleteVariantResponse> {
    let VariantName { feature: FeatureName { project, feature }, variant } =
        VariantName::parse(&request.name).at("name")?;
    let mutation = Mutation::DeleteVariant { feature, variant, etag: given(request.etag) };
    let planned = Planned { project, name_field: "name", mutation, locate: |violation| violation };
    let written = apply(store, context, planned).await?;
    Ok(pb::DeleteVariantResponse { feature: written.feature(), revision: written.revision })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_names_the_field_of_the_request() {
        for (field, located) in [
            ("variants[3].value", "variant.value"),
            ("variants[3].default_weight", "variant.default_weight"),
            ("variants", "variant.default_weight"),
        ] {
            assert_eq!(locate(Violation::new(field, "")).field, located);
        }
    }
}
