//! Projects.

use burgee_core::change::{Mutation, WriteContext};
use burgee_core::name::{OrganisationName, ProjectId, ProjectName};
use burgee_core::project::{Project, ProjectPatch};
use burgee_core::store::FlagStore;
use burgee_core::{Result, Violation};
use burgee_proto::management::v1 as pb;
use burgee_proto::mask::Mask;

use crate::fields::{self, At as _, given, required};
use crate::page::Paging;
use crate::transaction::{Planned, apply, log_write};

/// The fields that can change, and whether they are set.
fn changeable(wire: &burgee_proto::v1::Project) -> [(&'static str, bool); 2] {
    [
        ("display_name", !wire.display_name.is_empty()),
        ("prevent_flag_defaults", wire.prevent_flag_defaults.is_some()),
    ]
}

pub(crate) async fn create(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::CreateProjectRequest,
) -> Result<pb::CreateProjectResponse> {
    let project = new_project(context, request)?;
    let project = store.create_project(context, project).await?;
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
    request: pb::ListProjectsRequest,
) -> Result<pb::ListProjectsResponse> {
    let parent = OrganisationName::parse(&request.parent).at("parent")?;
    let paging = Paging::parse(request.page_size, &request.page_token, &["projects", &request.parent])?;
    let found = store.projects(&parent, &paging.query()).await?;
    let (projects, next_page_token) = paging.cut(found, |item| item.name.project.to_string());
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
    store.delete_project(context, &name, request.force, given(request.etag).as_deref()).await?;
    log_write(context, &name);
    Ok(pb::DeleteProjectResponse {})
}
