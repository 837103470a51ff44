//! Accounts and tokens.

use burgee_proto::management::v1 as pb;
use pb::user_service_server::UserService;
use tonic::Request;

use super::{Handlers, Reply, reply};
use crate::context::{caller, write};
use crate::{tokens, users};

#[tonic::async_trait]
impl UserService for Handlers {
    #[tracing::instrument(skip_all)]
    async fn get_current_user(
        &self,
        request: Request<pb::GetCurrentUserRequest>,
    ) -> Reply<pb::GetCurrentUserResponse> {
        let caller = caller(&request)?;
        reply(users::current(&*self.store, &caller).await)
    }

    #[tracing::instrument(skip_all, fields(request.id = request.get_ref().user_id))]
    async fn create_user(&self, request: Request<pb::CreateUserRequest>) -> Reply<pb::CreateUserResponse> {
        let (context, request) = write("UserService/CreateUser", request)?;
        reply(users::create(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn get_user(&self, request: Request<pb::GetUserRequest>) -> Reply<pb::GetUserResponse> {
        reply(users::get(&*self.store, request.into_inner()).await)
    }

    #[tracing::instrument(skip_all)]
    async fn list_users(&self, request: Request<pb::ListUsersRequest>) -> Reply<pb::ListUsersResponse> {
        reply(users::list(&*self.store, request.into_inner()).await)
    }

    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent, request.id = request.get_ref().token_id))]
    async fn create_token(&self, request: Request<pb::CreateTokenRequest>) -> Reply<pb::CreateTokenResponse> {
        let caller = caller(&request)?;
        let (context, request) = write("UserService/CreateToken", request)?;
        reply(tokens::create(&*self.store, &caller, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent))]
    async fn list_tokens(&self, request: Request<pb::ListTokensRequest>) -> Reply<pb::ListTokensResponse> {
        let caller = caller(&request)?;
        reply(tokens::list(&*self.store, &caller, request.into_inner()).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn revoke_token(&self, request: Request<pb::RevokeTokenRequest>) -> Reply<pb::RevokeTokenResponse> {
        let caller = caller(&request)?;
        let (context, request) = write("UserService/RevokeToken", request)?;
        reply(tokens::revoke(&*self.store, &caller, &context, request).await)
    }
}
