//! Environments and their keys.

use burgee_proto::management::v1 as pb;
use pb::environment_service_server::EnvironmentService;
use tonic::Request;

use super::{Handlers, Reply, reply};
use crate::context::{read, write};
use crate::{environments, keys};

#[tonic::async_trait]
impl EnvironmentService for Handlers {
    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent, request.id = request.get_ref().environment_id))]
    async fn create_environment(
        &self,
        request: Request<pb::CreateEnvironmentRequest>,
    ) -> Reply<pb::CreateEnvironmentResponse> {
        let (context, caller, request) = write(&self.gate, request).await?;
        reply(environments::create(&*self.store, &caller, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn clone_environment(
        &self,
        request: Request<pb::CloneEnvironmentRequest>,
    ) -> Reply<pb::CloneEnvironmentResponse> {
        let (context, caller, request) = write(&self.gate, request).await?;
        reply(environments::clone(&*self.store, &caller, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn get_environment(
        &self,
        request: Request<pb::GetEnvironmentRequest>,
    ) -> Reply<pb::GetEnvironmentResponse> {
        let (_, request) = read(&self.gate, request).await?;
        reply(environments::get(&*self.store, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent))]
    async fn list_environments(
        &self,
        request: Request<pb::ListEnvironmentsRequest>,
    ) -> Reply<pb::ListEnvironmentsResponse> {
        let (caller, request) = read(&self.gate, request).await?;
        reply(environments::list(&*self.store, &caller, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().environment.as_ref().map(|item| item.name.as_str())))]
    async fn update_environment(
        &self,
        request: Request<pb::UpdateEnvironmentRequest>,
    ) -> Reply<pb::UpdateEnvironmentResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(environments::update(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn delete_environment(
        &self,
        request: Request<pb::DeleteEnvironmentRequest>,
    ) -> Reply<pb::DeleteEnvironmentResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(environments::delete(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent, request.id = request.get_ref().key_id))]
    async fn create_environment_key(
        &self,
        request: Request<pb::CreateEnvironmentKeyRequest>,
    ) -> Reply<pb::CreateEnvironmentKeyResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(keys::create(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent))]
    async fn list_environment_keys(
        &self,
        request: Request<pb::ListEnvironmentKeysRequest>,
    ) -> Reply<pb::ListEnvironmentKeysResponse> {
        let (_, request) = read(&self.gate, request).await?;
        reply(keys::list(&*self.store, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn rotate_environment_key(
        &self,
        request: Request<pb::RotateEnvironmentKeyRequest>,
    ) -> Reply<pb::RotateEnvironmentKeyResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(keys::rotate(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn revoke_environment_key(
        &self,
        request: Request<pb::RevokeEnvironmentKeyRequest>,
    ) -> Reply<pb::RevokeEnvironmentKeyResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(keys::revoke(&*self.store, &context, request).await)
    }
}
