//! Accounts and tokens.

use burgee_proto::management::v1 as pb;
use pb::user_service_server::UserService;
use tonic::Request;

use super::{Handlers, Reply, reply};
use crate::context::{read, write};
use crate::{tokens, users};

#[tonic::async_trait]
impl UserService for Handlers {
    #[tracing::instrument(skip_all)]
    async fn get_current_user(
        &self,
        request: Request<pb::GetCurrentUserRequest>,
    ) -> Reply<pb::GetCurrentUserResponse> {
        let (caller, _) = read(&self.gate, request).await?;
        reply(users::current(&*self.store, &caller).await)
    }

    #[tracing::instrument(skip_all, fields(request.id = request.get_ref().user_id))]
    async fn create_user(&self, request: Request<pb::CreateUserRequest>) -> Reply<pb::CreateUserResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(users::create(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn get_user(&self, request: Request<pb::GetUserRequest>) -> Reply<pb::GetUserResponse> {
        let (_, request) = read(&self.gate, request).await?;
        reply(users::get(&*self.store, request).await)
    }

    #[tracing::instrument(skip_all)]
    async fn list_users(&self, request: Request<pb::ListUsersRequest>) -> Reply<pb::ListUsersResponse> {
        let (_, request) = read(&self.gate, request).await?;
        reply(users::list(&*self.store, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().user.as_ref().map(|item| item.name.as_str())))]
    async fn update_user(&self, request: Request<pb::UpdateUserRequest>) -> Reply<pb::UpdateUserResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(users::update(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn delete_user(&self, request: Request<pb::DeleteUserRequest>) -> Reply<pb::DeleteUserResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(users::delete(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent, request.id = request.get_ref().token_id))]
    async fn create_token(&self, request: Request<pb::CreateTokenRequest>) -> Reply<pb::CreateTokenResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(tokens::create(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent))]
    async fn list_tokens(&self, request: Request<pb::ListTokensRequest>) -> Reply<pb::ListTokensResponse> {
        let (_, request) = read(&self.gate, request).await?;
        reply(tokens::list(&*self.store, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn revoke_token(&self, request: Request<pb::RevokeTokenRequest>) -> Reply<pb::RevokeTokenResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(tokens::revoke(&*self.store, &context, request).await)
    }
}
