//! Environments.

use burgee_core::change::{Mutation, WriteContext};
use burgee_core::name::{EnvironmentId, EnvironmentName, ProjectName};
use burgee_core::project::{Environment, EnvironmentPatch};
use burgee_core::store::FlagStore;
use burgee_core::{Result, Violation};
use burgee_proto::management::v1 as pb;
use burgee_proto::mask::Mask;

use crate::fields::{self, At as _, given, required};
use crate::page::Paging;
use crate::transaction::{Planned, apply};

/// The fields that can change, and whether they are set.
fn changeable(wire: &burgee_proto::v1::Environment) -> [(&'static str, bool); 6] {
    [
        ("display_name", !wire.display_name.is_empty()),
        ("description", !wire.description.is_empty()),
        ("hide_disabled_flags", wire.hide_disabled_flags.is_some()),
        ("allow_client_traits", wire.allow_client_traits.is_some()),
        ("identity_hashing", wire.identity_hashing != 0),
        ("hashing_key", !wire.hashing_key.is_empty()),
    ]
}

pub(crate) async fn create(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::CreateEnvironmentRequest,
) -> Result<pb::CreateEnvironmentResponse> {
    let written = apply(store, context, plan_create(context, request)?).await?;
    Ok(pb::CreateEnvironmentResponse { environment: written.environment(), revision: written.revision })
}

fn plan_create(context: &WriteContext, request: pb::CreateEnvironmentRequest) -> Result<Planned, Violation> {
    let project = ProjectName::parse(&request.parent).at("parent")?;
    let id = EnvironmentId::parse(&request.environment_id).at("environment_id")?;
    let wire = request.environment.unwrap_or_default();
    let identity_hashing = wire.identity_hashing().into();
    let environment = Environment {
        display_name: fields::display_name(wire.display_name, id.as_str()).at("environment")?,
        description: fields::description(wire.description).at("environment")?,
        hide_disabled_flags: wire.hide_disabled_flags.unwrap_or_default(),
        allow_client_traits: wire.allow_client_traits.unwrap_or(true),
        identity_hashing,
        hashing_key: fields::new_hashing_key(wire.hashing_key).at("environment")?,
        created_at: context.now,
        etag: String::new(),
        name: EnvironmentName { project: project.clone(), environment: id },
    };
    Ok(Planned {
        project,
        name_field: "parent",
        mutation: Mutation::CreateEnvironment { environment },
        locate: |violation| violation.at("environment"),
    })
}

/// Checks a new environment for the fuzzer.
#[cfg(fuzzing)]
pub(crate) fn check_new(
    context: &WriteContext,
    request: pb::CreateEnvironmentRequest,
) -> Result<(), Violation> {
    plan_create(context, request).map(drop)
}

pub(crate) async fn clone(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::CloneEnvironmentRequest,
) -> Result<pb::CloneEnvironmentResponse> {
    let source = EnvironmentName::parse(&request.name).at("name")?;
    let id = EnvironmentId::parse(&request.environment_id).at("environment_id")?;
    let display_name = fields::display_name(request.display_name, id.as_str())?;
    let settings = store.environment(&source).await?;
    let environment = Environment {
        name: EnvironmentName { project: source.project.clone(), environment: id },
        display_name,
        // The clone is an environment of its own: by default, somebody may be in another bucket there.
        hashing_key: fields::new_hashing_key(String::new())?,
        created_at: context.now,
        etag: String::new(),
        ..settings
    };
    let planned = Planned {
        project: source.project,
        name_field: "name",
        mutation: Mutation::CloneEnvironment { source: source.environment, environment },
        locate: |violation| violation,
    };
    let written = apply(store, context, planned).await?;
    Ok(pb::CloneEnvironmentResponse { environment: written.environment(), revision: written.revision })
}

pub(crate) async fn get(
    store: &dyn FlagStore,
    request: pb::GetEnvironmentRequest,
) -> Result<pb::GetEnvironmentResponse> {
    let name = EnvironmentName::parse(&request.name).at("name")?;
    Ok(pb::GetEnvironmentResponse { environment: Some((&store.environment(&name).await?).into()) })
}

pub(crate) async fn list(
    store: &dyn FlagStore,
    request: pb::ListEnvironmentsRequest,
) -> Result<pb::ListEnvironmentsResponse> {
    let parent = ProjectName::parse(&request.parent).at("parent")?;
    let paging = Paging::parse(request.page_size, &request.page_token, &["environments", &request.parent])?;
    let found = store.environments(&parent, &paging.query()).await?;
    let (environments, next_page_token) = paging.cut(found, |item| item.name.environment.to_string());
    Ok(pb::ListEnvironmentsResponse { environments, next_page_token })
}

pub(crate) async fn update(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::UpdateEnvironmentRequest,
) -> Result<pb::UpdateEnvironmentResponse> {
    let written = apply(store, context, plan_update(request)?).await?;
    Ok(pb::UpdateEnvironmentResponse { environment: written.environment(), revision: written.revision })
}

fn plan_update(request: pb::UpdateEnvironmentRequest) -> Result<Planned, Violation> {
    let wire = required(request.environment, "environment")?;
    let EnvironmentName { project, environment } =
        EnvironmentName::parse(&wire.name).at("environment.name")?;
    let mask = Mask::parse(request.update_mask, &changeable(&wire))?;
    let identity_hashing = wire.identity_hashing().into();
    let display_name = mask
        .select("display_name", wire.display_name)
        .map(|text| fields::display_name(text, environment.as_str()));
    let description = mask.select("description", wire.description).map(fields::description);
    let hashing_key = mask.select("hashing_key", wire.hashing_key).map(fields::changed_hashing_key);
    let patch = EnvironmentPatch {
        display_name: display_name.transpose().at("environment")?,
        description: description.transpose().at("environment")?,
        hide_disabled_flags: mask.select("hide_disabled_flags", wire.hide_disabled_flags.unwrap_or_default()),
        allow_client_traits: mask.select("allow_client_traits", wire.allow_client_traits.unwrap_or(true)),
        identity_hashing: mask.select("identity_hashing", identity_hashing),
        hashing_key: hashing_key.transpose().at("environment")?,
    };
    Ok(Planned {
        project,
        name_field: "environment.name",
        mutation: Mutation::UpdateEnvironment { environment, patch, etag: given(wire.etag) },
        locate: |violation| violation.at("environment"),
    })
}

pub(crate) async fn delete(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::DeleteEnvironmentRequest,
) -> Result<pb::DeleteEnvironmentResponse> {
    let EnvironmentName { project, environment } = EnvironmentName::parse(&request.name).at("name")?;
    let planned = Planned {
        project,
        name_field: "name",
        mutation: Mutation::DeleteEnvironment { environment, etag: given(request.etag) },
        locate: |violation| violation,
    };
    let written = apply(store, context, planned).await?;
    Ok(pb::DeleteEnvironmentResponse { revision: written.revision })
}
