//! Flags: what an environment serves.

use burgee_core::change::{Mutation, WriteContext};
use burgee_core::flag::{FlagState, FlagStatePatch};
use burgee_core::name::{EnvironmentName, FlagName};
use burgee_core::store::FlagStore;
use burgee_core::{Result, Violation};
use burgee_proto::management::v1 as pb;
use burgee_proto::mask::Mask;
use burgee_proto::v1 as shared;

use crate::fields::{self, At as _, given, required};
use crate::page::Paging;
use crate::transaction::{Planned, apply};

/// The field of a state that stays when the whole state is replaced without it.
const HASHING_KEY: &str = "state.hashing_key";
/// The fields that can change, and whether they are set.
fn changeable(wire: &shared::Flag) -> [(&'static str, bool); 6] {
    let state = wire.state.as_ref();
    let is_set = |set: fn(&shared::FlagState) -> bool| state.is_some_and(set);
    [
        ("state", false),
        ("state.enabled", is_set(|state| state.enabled.is_some())),
        ("state.value", is_set(|state| state.value.is_some())),
        ("state.weights", is_set(|state| !state.weights.is_empty())),
        (HASHING_KEY, is_set(|state| !state.hashing_key.is_empty())),
        ("state.metadata", is_set(|state| !state.metadata.is_empty())),
    ]
}

pub(crate) async fn get(store: &dyn FlagStore, request: pb::GetFlagRequest) -> Result<pb::GetFlagResponse> {
    let name = FlagName::parse(&request.name).at("name")?;
    Ok(pb::GetFlagResponse { flag: Some((&store.flag(&name).await?).into()) })
}

pub(crate) async fn list(
    store: &dyn FlagStore,
    request: pb::ListFlagsRequest,
) -> Result<pb::ListFlagsResponse> {
    let parent = EnvironmentName::parse(&request.parent).at("parent")?;
    let paging = Paging::parse(request.page_size, &request.page_token, &["flags", &request.parent])?;
    let found = store.flags(&parent, &paging.query()).await?;
    let (flags, next_page_token) = paging.cut(found, |item| item.name.feature.to_string());
    Ok(pb::ListFlagsResponse { flags, next_page_token })
}

pub(crate) async fn update(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::UpdateFlagRequest,
) -> Result<pb::UpdateFlagResponse> {
    let written = apply(store, context, plan_update(request)?).await?;
    Ok(pb::UpdateFlagResponse { flag: written.flag(), revision: written.revision })
}

pub(crate) fn plan_update(request: pb::UpdateFlagRequest) -> Result<Planned, Violation> {
    let wire = required(request.flag, "flag")?;
    let flag = FlagName::parse(&wire.name).at("flag.name")?;
    let names_hashing_key =
        request.update_mask.as_ref().is_some_and(|mask| mask.paths.iter().any(|path| path == HASHING_KEY));
    let mask = Mask::parse(request.update_mask, &changeable(&wire))?;
    let FlagState { enabled, value, weights, hashing_key, metadata } = state(wire.state).at("flag")?;
    let hashing_key = match given(hashing_key) {
        None if !names_hashing_key => None,
        key => mask.select(HASHING_KEY, key),
    };
    let patch = FlagStatePatch {
        enabled: mask.select("state.enabled", enabled),
        value: mask.select("state.value", value),
        weights: mask.select("state.weights", weights),
        hashing_key,
        metadata: mask.select("state.metadata", metadata),
    };
    Ok(Planned {
        project: flag.environment.project.clone(),
        name_field: "flag.name",
        mutation: Mutation::UpdateFlag { flag, patch, etag: given(wire.etag) },
        locate: |violation| violation.at("flag.state"),
    })
}

/// Checks the field `state`, as far as it can be without its feature.
pub(crate) fn state(state: Option<shared::FlagState>) -> Result<FlagState, Violation> {
    let check = |state: FlagState| {
        let hashing_key = fields::hashing_key(state.hashing_key)?;
        let metadata = fields::metadata(state.metadata.unwrap_or_default())?;
        Ok(FlagState { hashing_key, metadata, ..state })
    };
    required(state, "state").and_then(|state| FlagState::try_from(state).and_then(check).at("state"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "organisations/acme/projects/shop/environments/dev/flags/dark";

    fn plan(state: Option<shared::FlagState>, paths: &[&str]) -> Result<FlagStatePatch, String> {
        let request = pb::UpdateFlagRequest {
            flag: Some(shared::Flag { name: NAME.into(), state, ..Default::default() }),
            update_mask: Some(prost_types::FieldMask {
                paths: paths.iter().map(ToString::to_string).collect(),
            }),
            ..Default::default()
        };
        match plan_update(request).map_err(|violation| violation.field)?.mutation {
            Mutation::UpdateFlag { patch, .. } => Ok(patch),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_what_the_mask_names_changes() {
        let on = shared::FlagState { enabled: Some(true), ..Default::default() };
        let enabled = FlagStatePatch { enabled: Some(true), ..FlagStatePatch::default() };
        assert_eq!(plan(Some(on.clone()), &["state.enabled"]), Ok(enabled));
        let whole = FlagStatePatch {
            enabled: Some(true),
            value: Some(None),
            weights: Some(vec![]),
            hashing_key: None,
            metadata: Some(None),
        };
        assert_eq!(plan(Some(on.clone()), &["state"]), Ok(whole.clone()));
        assert_eq!(plan(Some(on), &["*"]), Ok(whole));
    }

    #[test]
    fn a_hashing_key_is_only_reset_by_name() {
        let patch = |key: &str, path| {
            let state = shared::FlagState { hashing_key: key.into(), ..Default::default() };
            plan(Some(state), &[path]).unwrap().hashing_key
        };
        assert_eq!(patch("", "state"), None);
        assert_eq!(patch("17", "state"), Some(Some("17".into())));
        assert_eq!(patch("", "state.hashing_key"), Some(None));
        assert_eq!(patch("17", "state.enabled"), None);
    }

    #[test]
    fn a_violation_names_its_field() {
        let weight = shared::VariantWeight { variant: "no variant".into(), weight: 1.0 };
        let state = |change: fn(&mut shared::FlagState)| {
            let mut state = shared::FlagState::default();
            change(&mut state);
            Some(state)
        };
        assert_eq!(plan(None, &["state"]), Err("flag.state".into()));
        assert_eq!(plan(state(|_| ()), &["name"]), Err("update_mask".into()));
        assert_eq!(
            plan(state(|state| state.metadata = "1".into()), &["state"]),
            Err("flag.state.metadata".into())
        );
        let split = shared::FlagState { weights: vec![weight], ..Default::default() };
        assert_eq!(plan(Some(split), &["state"]), Err("flag.state.weights[0].variant".into()));
    }
}
