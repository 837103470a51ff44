//! Environments.

use burgee_core::change::{Mutation, WriteContext};
use burgee_core::name::{EnvironmentId, EnvironmentName, ProjectName};
use burgee_core::permission::Place;
use burgee_core::project::{Environment, EnvironmentPatch};
use burgee_core::store::FlagStore;
use burgee_core::{Result, Violation};
use burgee_proto::management::v1 as pb;
use burgee_proto::mask::Mask;

use crate::fields::{self, At as _, given, required};
use crate::gate::Caller;
use crate::grants::creator;
use crate::page::Paging;
use crate::transaction::{Planned, apply};

/// Environments that are looked at for one page.
const LOOKED_AT: usize = 5_000;
/// Environments that are read at once.
const READ_AT_ONCE: usize = 500;

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
    caller: &Caller,
    context: &WriteContext,
    request: pb::CreateEnvironmentRequest,
) -> Result<pb::CreateEnvironmentResponse> {
    let environment = new_environment(context, request)?;
    let project = environment.name.project.clone();
    let rights = caller.rights(store, &project.organisation).await?;
    let above = Place::Project(project.clone());
    let creator = creator(&caller.principal, &rights, &above);
    let planned = Planned {
        project,
        name_field: "parent",
        mutation: Mutation::CreateEnvironment { environment, creator },
        locate: |violation| violation.at("environment"),
    };
    let written = apply(store, context, planned).await?;
    Ok(pb::CreateEnvironmentResponse { environment: written.environment(), revision: written.revision })
}

fn new_environment(
    context: &WriteContext,
    request: pb::CreateEnvironmentRequest,
) -> Result<Environment, Violation> {
    let project = ProjectName::parse(&request.parent).at("parent")?;
    let id = EnvironmentId::parse(&request.environment_id).at("environment_id")?;
    let wire = request.environment.unwrap_or_default();
    let identity_hashing = wire.identity_hashing().into();
    Ok(Environment {
        display_name: fields::display_name(wire.display_name, id.as_str()).at("environment")?,
        description: fields::description(wire.description).at("environment")?,
        hide_disabled_flags: wire.hide_disabled_flags.unwrap_or_default(),
        allow_client_traits: wire.allow_client_traits.unwrap_or(true),
        identity_hashing,
        hashing_key: fields::new_hashing_key(wire.hashing_key).at("environment")?,
        created_at: context.now,
        etag: String::new(),
        name: EnvironmentName { project, environment: id },
    })
}

/// Checks a new environment for the fuzzer.
#[cfg(fuzzing)]
pub(crate) fn check_new(
    context: &WriteContext,
    request: pb::CreateEnvironmentRequest,
) -> Result<(), Violation> {
    new_environment(context, request).map(drop)
}

pub(crate) async fn clone(
    store: &dyn FlagStore,
    caller: &Caller,
    context: &WriteContext,
    request: pb::CloneEnvironmentRequest,
) -> Result<pb::CloneEnvironmentResponse> {
    let source = EnvironmentName::parse(&request.name).at("name")?;
    let id = EnvironmentId::parse(&request.environment_id).at("environment_id")?;
    let display_name = fields::display_name(request.display_name, id.as_str())?;
    let rights = caller.rights(store, &source.project.organisation).await?;
    let above = Place::Project(source.project.clone());
    let creator = creator(&caller.principal, &rights, &above);
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
        mutation: Mutation::CloneEnvironment { source: source.environment, environment, creator },
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
    caller: &Caller,
    request: pb::ListEnvironmentsRequest,
) -> Result<pb::ListEnvironmentsResponse> {
    let parent = ProjectName::parse(&request.parent).at("parent")?;
    let paging = Paging::parse(request.page_size, &request.page_token, &["environments", &request.parent])?;
    let rights = caller.rights(store, &parent.organisation).await?;

    let mut kept: Vec<Environment> = Vec::new();
    let mut query = paging.query();
    let mut looked_at = 0;
    // One more than the page has is kept, to know whether there are more.
    let more = loop {
        query.limit = READ_AT_ONCE;
        let found = store.environments(&parent, &query).await?;
        let (length, last) = (found.len(), found.last().map(|item| item.name.environment.to_string()));
        kept.extend(found.into_iter().filter(|item| rights.sees(&Place::Environment(item.name.clone()))));
        looked_at += length;
        if kept.len() > paging.items || length < READ_AT_ONCE {
            break None;
        }
        if looked_at >= LOOKED_AT {
            break last;
        }
        query.after = last;
    };

    let (environments, mut next_page_token) =
        paging.cut(kept, |item: &Environment| item.name.environment.to_string());
    if let (Some(last), true) = (more, next_page_token.is_empty()) {
        next_page_token = paging.token(&last);
    }
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
