//! Roles, grants, and what they let somebody do.

use burgee_proto::management::v1 as pb;
use pb::permission_service_server::PermissionService;
use tonic::Request;

use super::{Handlers, Reply, reply};
use crate::context::{read, write};
use crate::{grants, roles};

#[tonic::async_trait]
impl PermissionService for Handlers {
    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent, request.id = request.get_ref().role_id))]
    async fn create_role(&self, request: Request<pb::CreateRoleRequest>) -> Reply<pb::CreateRoleResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(roles::create(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn get_role(&self, request: Request<pb::GetRoleRequest>) -> Reply<pb::GetRoleResponse> {
        let (_, request) = read(&self.gate, request).await?;
        reply(roles::get(&*self.store, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent))]
    async fn list_roles(&self, request: Request<pb::ListRolesRequest>) -> Reply<pb::ListRolesResponse> {
        let (_, request) = read(&self.gate, request).await?;
        reply(roles::list(&*self.store, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().role.as_ref().map(|item| item.name.as_str())))]
    async fn update_role(&self, request: Request<pb::UpdateRoleRequest>) -> Reply<pb::UpdateRoleResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(roles::update(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn delete_role(&self, request: Request<pb::DeleteRoleRequest>) -> Reply<pb::DeleteRoleResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(roles::delete(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent, request.id = request.get_ref().grant_id))]
    async fn create_grant(&self, request: Request<pb::CreateGrantRequest>) -> Reply<pb::CreateGrantResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(grants::create(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn get_grant(&self, request: Request<pb::GetGrantRequest>) -> Reply<pb::GetGrantResponse> {
        let (_, request) = read(&self.gate, request).await?;
        reply(grants::get(&*self.store, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent))]
    async fn list_grants(&self, request: Request<pb::ListGrantsRequest>) -> Reply<pb::ListGrantsResponse> {
        let (_, request) = read(&self.gate, request).await?;
        reply(grants::list(&*self.store, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn revoke_grant(&self, request: Request<pb::RevokeGrantRequest>) -> Reply<pb::RevokeGrantResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(grants::revoke(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.resource = request.get_ref().resource))]
    async fn test_permissions(
        &self,
        request: Request<pb::TestPermissionsRequest>,
    ) -> Reply<pb::TestPermissionsResponse> {
        let (caller, request) = read(&self.gate, request).await?;
        reply(grants::test(&*self.store, &caller, request).await)
    }
}
