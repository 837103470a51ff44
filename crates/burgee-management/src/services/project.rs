//! Projects.

use burgee_proto::management::v1 as pb;
use pb::project_service_server::ProjectService;
use tonic::Request;

use super::{Handlers, Reply, reply};
use crate::context::{read, write};
use crate::projects;

#[tonic::async_trait]
impl ProjectService for Handlers {
    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent, request.id = request.get_ref().project_id))]
    async fn create_project(
        &self,
        request: Request<pb::CreateProjectRequest>,
    ) -> Reply<pb::CreateProjectResponse> {
        let (context, caller, request) = write(&self.gate, request).await?;
        reply(projects::create(&*self.store, &caller, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn get_project(&self, request: Request<pb::GetProjectRequest>) -> Reply<pb::GetProjectResponse> {
        let (_, request) = read(&self.gate, request).await?;
        reply(projects::get(&*self.store, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent))]
    async fn list_projects(
        &self,
        request: Request<pb::ListProjectsRequest>,
    ) -> Reply<pb::ListProjectsResponse> {
        let (caller, request) = read(&self.gate, request).await?;
        reply(projects::list(&*self.store, &caller, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().project.as_ref().map(|item| item.name.as_str())))]
    async fn update_project(
        &self,
        request: Request<pb::UpdateProjectRequest>,
    ) -> Reply<pb::UpdateProjectResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(projects::update(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn delete_project(
        &self,
        request: Request<pb::DeleteProjectRequest>,
    ) -> Reply<pb::DeleteProjectResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(projects::delete(&*self.store, &context, request).await)
    }
}
