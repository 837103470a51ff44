//! Projects.

use burgee_proto::management::v1 as pb;
use pb::project_service_server::ProjectService;
use tonic::Request;

use super::{Handlers, Reply, reply};
use crate::context::write;
use crate::projects;

#[tonic::async_trait]
impl ProjectService for Handlers {
    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent, request.id = request.get_ref().project_id))]
    async fn create_project(
        &self,
        request: Request<pb::CreateProjectRequest>,
    ) -> Reply<pb::CreateProjectResponse> {
        let (context, request) = write("ProjectService/CreateProject", request)?;
        reply(projects::create(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn get_project(&self, request: Request<pb::GetProjectRequest>) -> Reply<pb::GetProjectResponse> {
        reply(projects::get(&*self.store, request.into_inner()).await)
    }

    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent))]
    async fn list_projects(
        &self,
        request: Request<pb::ListProjectsRequest>,
    ) -> Reply<pb::ListProjectsResponse> {
        reply(projects::list(&*self.store, request.into_inner()).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().project.as_ref().map(|item| item.name.as_str())))]
    async fn update_project(
        &self,
        request: Request<pb::UpdateProjectRequest>,
    ) -> Reply<pb::UpdateProjectResponse> {
        let (context, request) = write("ProjectService/UpdateProject", request)?;
        reply(projects::update(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn delete_project(
        &self,
        request: Request<pb::DeleteProjectRequest>,
    ) -> Reply<pb::DeleteProjectResponse> {
        let (context, request) = write("ProjectService/DeleteProject", request)?;
        reply(projects::delete(&*self.store, &context, request).await)
    }
}
