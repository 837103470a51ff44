//! Identities and their traits.

use burgee_proto::management::v1 as pb;
use pb::identity_service_server::IdentityService;
use tonic::Request;

use super::{Handlers, Reply, reply};
use crate::context::{read, write};
use crate::identities;

#[tonic::async_trait]
impl IdentityService for Handlers {
    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn get_identity(&self, request: Request<pb::GetIdentityRequest>) -> Reply<pb::GetIdentityResponse> {
        let (_, request) = read(&self.gate, request).await?;
        reply(identities::get(&*self.store, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent))]
    async fn list_identities(
        &self,
        request: Request<pb::ListIdentitiesRequest>,
    ) -> Reply<pb::ListIdentitiesResponse> {
        let (_, request) = read(&self.gate, request).await?;
        reply(identities::list(&*self.store, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn delete_identity(
        &self,
        request: Request<pb::DeleteIdentityRequest>,
    ) -> Reply<pb::DeleteIdentityResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(identities::delete(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn set_traits(&self, request: Request<pb::SetTraitsRequest>) -> Reply<pb::SetTraitsResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(identities::set_traits(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn remove_traits(
        &self,
        request: Request<pb::RemoveTraitsRequest>,
    ) -> Reply<pb::RemoveTraitsResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(identities::remove_traits(&*self.store, &context, request).await)
    }
}
