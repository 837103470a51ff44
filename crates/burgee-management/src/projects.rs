//! Projects.

use burgee_core::account::AccountMutation;
use burgee_core::change::{Mutation, WriteContext};
use burgee_core::name::{OrganisationName, ProjectId, ProjectName};
use burgee_core::permission::Place;
use burgee_core::project::{Project, ProjectPatch};
use burgee_core::store::FlagStore;
use burgee_core::{Result, Violation};
use burgee_proto::management::v1 as pb;
use burgee_proto::mask::Mask;

use crate::fields::{self, At as _, given, required};
use crate::gate::Caller;
use crate::grants::creator;
use crate::page::Paging;
use crate::transaction::{Planned, apply, apply_account, log_write};

/// Projects that are looked at for one page.
const LOOKED_AT: usize = 5_000;
/// Projects that are read at once.
const READ_AT_ONCE: usize = 500;

/// The fields that can change, and whether they are set.
fn changeable(wire: &burgee_proto::v1::Project) -> [(&'static str, bool); 2] {
    [
        ("display_name", !wire.display_name.is_empty()),
        ("prevent_flag_defaults", wire.prevent_flag_defaults.is_some()),
    ]
}

pub(crate) async fn create(
    store: &dyn FlagStore,
    caller: &Caller,
    context: &WriteContext,
    request: pb::CreateProjectRequest,
) -> Result<pb::CreateProjectResponse> {
    let project = new_project(context, request)?;
    let organisation = &project.name.organisation;
    let rights = caller.rights(store, organisation).await?;
    let above = Place::Organisation(organisation.clone());
    let creator = creator(&caller.principal, &rights, &above);
    let project = store.create_project(context, project, creator).await?;
    log_write(context, &project.name);
    Ok(pb::CreateProjectResponse { revision: project.revision, project: Some((&project).into()) })
}

fn new_project(context: &WriteContext, request: pb::CreateProjectRequest) -> Result<Project, Violation> {
    let organisation = OrganisationName::parse(&request.parent).at("parent")?;
    let id = ProjectId::parse(&request.project_id).at("project_id")?;
    let project = request.project.unwrap_or_default();
    Ok(Project {
        display_name: fields::display_name(project.display_name, id.as_str()).at("project")?,
        prevent_flag_defaults: project.prevent_flag_defaults.unwrap_or_default(),
        revision: 0,
        created_at: context.now,
        etag: String::new(),
        name: ProjectName { organisation, project: id },
    })
}

/// Checks a new project for the fuzzer.
#[cfg(fuzzing)]
pub(crate) fn check_new(context: &WriteContext, request: pb::CreateProjectRequest) -> Result<(), Violation> {
    new_project(context, request).map(drop)
}

pub(crate) async fn get(
    store: &dyn FlagStore,
    request: pb::GetProjectRequest,
) -> Result<pb::GetProjectResponse> {
    let name = ProjectName::parse(&request.name).at("name")?;
    Ok(pb::GetProjectResponse { project: Some((&store.project(&name).await?).into()) })
}

pub(crate) async fn list(
    store: &dyn FlagStore,
    caller: &Caller,
    request: pb::ListProjectsRequest,
) -> Result<pb::ListProjectsResponse> {
    let parent = OrganisationName::parse(&request.parent).at("parent")?;
    let paging = Paging::parse(request.page_size, &request.page_token, &["projects", &request.parent])?;
    let rights = caller.rights(store, &parent).await?;

    let mut kept: Vec<Project> = Vec::new();
    let mut query = paging.query();
    let mut looked_at = 0;
    // One more than the page has is kept, to know whether there are more.
    let more = loop {
        query.limit = READ_AT_ONCE;
        let found = store.projects(&parent, &query).await?;
        let (length, last) = (found.len(), found.last().map(|project| project.name.project.to_string()));
        kept.extend(found.into_iter().filter(|project| rights.sees(&Place::Project(project.name.clone()))));
        looked_at += length;
        if kept.len() > paging.items || length < READ_AT_ONCE {
            break None;
        }
        if looked_at >= LOOKED_AT {
            break last;
        }
        query.after = last;
    };

    let (projects, mut next_page_token) =
        paging.cut(kept, |project: &Project| project.name.project.to_string());
    if let (Some(last), true) = (more, next_page_token.is_empty()) {
        next_page_token = paging.token(&last);
    }
    Ok(pb::ListProjectsResponse { projects, next_page_token })
}

pub(crate) async fn update(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::UpdateProjectRequest,
) -> Result<pb::UpdateProjectResponse> {
    let written = apply(store, context, plan_update(request)?).await?;
    Ok(pb::UpdateProjectResponse { project: written.project(), revision: written.revision })
}

fn plan_update(request: pb::UpdateProjectRequest) -> Result<Planned, Violation> {
    let project = required(request.project, "project")?;
    let name = ProjectName::parse(&project.name).at("project.name")?;
    let mask = Mask::parse(request.update_mask, &changeable(&project))?;
    let display_name = mask
        .select("display_name", project.display_name)
        .map(|text| fields::display_name(text, name.project.as_str()).at("project"));
    let patch = ProjectPatch {
        display_name: display_name.transpose()?,
        prevent_flag_defaults: mask
            .select("prevent_flag_defaults", project.prevent_flag_defaults.unwrap_or_default()),
    };
    Ok(Planned {
        project: name,
        name_field: "project.name",
        mutation: Mutation::UpdateProject { patch, etag: given(project.etag) },
        locate: |violation| violation.at("project"),
    })
}

pub(crate) async fn delete(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::DeleteProjectRequest,
) -> Result<pb::DeleteProjectResponse> {
    let name = ProjectName::parse(&request.name).at("name")?;
    let etag = given(request.etag);
    let mutation = AccountMutation::DeleteProject { name, force: request.force, etag };
    apply_account(store, context, mutation).await?;
    Ok(pb::DeleteProjectResponse {})
}
