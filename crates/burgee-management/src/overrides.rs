//! Overrides of flags, for members of segments and for single identities.

use burgee_core::change::{Mutation, WriteContext};
use burgee_core::name::{FlagName, IdentityOverrideName, SegmentId, SegmentOverrideName};
use burgee_core::store::FlagStore;
use burgee_core::{Error, Result, Violation};
use burgee_proto::management::v1 as pb;

use crate::fields::{At as _, given};
use crate::flags::state;
use crate::page::Paging;
use crate::transaction::{Planned, apply};

pub(crate) async fn set_segment(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::SetSegmentOverrideRequest,
) -> Result<pb::SetSegmentOverrideResponse> {
    let written = apply(store, context, plan_set_segment(request)?).await?;
    Ok(pb::SetSegmentOverrideResponse { flag: written.flag(), revision: written.revision })
}

pub(crate) fn plan_set_segment(request: pb::SetSegmentOverrideRequest) -> Result<Planned, Violation> {
    let name = SegmentOverrideName::parse(&request.name).at("name")?;
    let priority = request.priority.map(u32::try_from).transpose();
    let priority = priority.map_err(|_| Violation::new("priority", "must not be negative"))?;
    Ok(Planned {
        project: name.flag.environment.project.clone(),
        name_field: "name",
        mutation: Mutation::SetSegmentOverride {
            name,
            state: state(request.state)?,
            priority,
            etag: given(request.etag),
        },
        locate: |violation| violation.at("state"),
    })
}

pub(crate) async fn remove_segment(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::RemoveSegmentOverrideRequest,
) -> Result<pb::RemoveSegmentOverrideResponse> {
    let allow_missing = request.allow_missing;
    let (name, planned) = plan_remove_segment(request)?;
    match apply(store, context, planned).await {
        Ok(written) => {
            Ok(pb::RemoveSegmentOverrideResponse { flag: written.flag(), revision: written.revision })
        }
        Err(error) if allow_missing && is_missing(&error, &name.to_string()) => {
            // The revision is read first: what it holds is in the flag, at least.
            let revision = store.project(&name.flag.environment.project).await?.revision;
            let flag = Some((&store.flag(&name.flag).await?).into());
            Ok(pb::RemoveSegmentOverrideResponse { flag, revision })
        }
        Err(error) => Err(error),
    }
}

pub(crate) fn plan_remove_segment(
    request: pb::RemoveSegmentOverrideRequest,
) -> Result<(SegmentOverrideName, Planned), Violation> {
    let name = SegmentOverrideName::parse(&request.name).at("name")?;
    let planned = Planned {
        project: name.flag.environment.project.clone(),
        name_field: "name",
        mutation: Mutation::RemoveSegmentOverride { name: name.clone(), etag: given(request.etag) },
        locate: |violation| violation,
    };
    Ok((name, planned))
}

/// Tells whether it is this very resource that is missing, and not one that it is in.
fn is_missing(error: &Error, missing: &str) -> bool {
    matches!(error, Error::NotFound { name, .. } if name == missing)
}

pub(crate) async fn reorder_segments(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::ReorderSegmentOverridesRequest,
) -> Result<pb::ReorderSegmentOverridesResponse> {
    let written = apply(store, context, plan_reorder_segments(request)?).await?;
    Ok(pb::ReorderSegmentOverridesResponse { flag: written.flag(), revision: written.revision })
}

pub(crate) fn plan_reorder_segments(
    request: pb::ReorderSegmentOverridesRequest,
) -> Result<Planned, Violation> {
    let flag = FlagName::parse(&request.name).at("name")?;
    let parse =
        |(index, segment): (usize, &String)| SegmentId::parse(segment).at(format_args!("segments[{index}]"));
    let segments = request.segments.iter().enumerate().map(parse).collect::<Result<_, _>>()?;
    Ok(Planned {
        project: flag.environment.project.clone(),
        name_field: "name",
        mutation: Mutation::ReorderSegmentOverrides { flag, segments, etag: given(request.etag) },
        locate: |violation| violation,
    })
}

pub(crate) async fn set_identity(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::SetIdentityOverrideRequest,
) -> Result<pb::SetIdentityOverrideResponse> {
    let written = apply(store, context, plan_set_identity(request)?).await?;
    let identity_override = written.identity_override();
    Ok(pb::SetIdentityOverrideResponse { identity_override, revision: written.revision })
}

pub(crate) fn plan_set_identity(request: pb::SetIdentityOverrideRequest) -> Result<Planned, Violation> {
    let name = IdentityOverrideName::parse(&request.name).at("name")?;
    Ok(Planned {
        project: name.flag.environment.project.clone(),
        name_field: "name",
        mutation: Mutation::SetIdentityOverride {
            name,
            state: state(request.state)?,
            etag: given(request.etag),
        },
        locate: |violation| violation.at("state"),
    })
}

pub(crate) async fn remove_identity(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::RemoveIdentityOverrideRequest,
) -> Result<pb::RemoveIdentityOverrideResponse> {
    let allow_missing = request.allow_missing;
    let (name, planned) = plan_remove_identity(request)?;
    match apply(store, context, planned).await {
        Ok(written) => Ok(pb::RemoveIdentityOverrideResponse { revision: written.revision }),
        Err(error) if allow_missing && is_missing(&error, &name.to_string()) => {
            let revision = store.project(&name.flag.environment.project).await?.revision;
            Ok(pb::RemoveIdentityOverrideResponse { revision })
        }
        Err(error) => Err(error),
    }
}

pub(crate) fn plan_remove_identity(
    request: pb::RemoveIdentityOverrideRequest,
) -> Result<(IdentityOverrideName, Planned), Violation> {
    let name = IdentityOverrideName::parse(&request.name).at("name")?;
    let planned = Planned {
        project: name.flag.environment.project.clone(),
        name_field: "name",
        mutation: Mutation::RemoveIdentityOverride { name: name.clone(), etag: given(request.etag) },
        locate: |violation| violation,
    };
    Ok((name, planned))
}

pub(crate) async fn list_identities(
    store: &dyn FlagStore,
    request: pb::ListIdentityOverridesRequest,
) -> Result<pb::ListIdentityOverridesResponse> {
    let parent = FlagName::parse(&request.parent).at("parent")?;
    let paging =
        Paging::parse(request.page_size, &request.page_token, &["identityOverrides", &request.parent])?;
    let found = store.identity_overrides(&parent, &paging.query()).await?;
    let (identity_overrides, next_page_token) = paging.cut(found, |item| item.name.identifier.to_string());
    Ok(pb::ListIdentityOverridesResponse { identity_overrides, next_page_token })
}
