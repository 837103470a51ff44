//! Invitations.

use burgee_proto::management::v1 as pb;
use pb::invitation_service_server::InvitationService;
use tonic::Request;

use super::{Handlers, Reply, reply};
use crate::context::{read, write, write_optional};
use crate::invitations;

#[tonic::async_trait]
impl InvitationService for Handlers {
    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent, request.id = request.get_ref().invitation_id))]
    async fn create_invitation(
        &self,
        request: Request<pb::CreateInvitationRequest>,
    ) -> Reply<pb::CreateInvitationResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(invitations::create(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn get_invitation(
        &self,
        request: Request<pb::GetInvitationRequest>,
    ) -> Reply<pb::GetInvitationResponse> {
        let (_, request) = read(&self.gate, request).await?;
        reply(invitations::get(&*self.store, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent))]
    async fn list_invitations(
        &self,
        request: Request<pb::ListInvitationsRequest>,
    ) -> Reply<pb::ListInvitationsResponse> {
        let (_, request) = read(&self.gate, request).await?;
        reply(invitations::list(&*self.store, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn delete_invitation(
        &self,
        request: Request<pb::DeleteInvitationRequest>,
    ) -> Reply<pb::DeleteInvitationResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(invitations::delete(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all)]
    async fn accept_invitation(
        &self,
        request: Request<pb::AcceptInvitationRequest>,
    ) -> Reply<pb::AcceptInvitationResponse> {
        let (context, caller, request) = write_optional(&self.gate, request).await?;
        reply(invitations::accept(&*self.store, caller.as_ref(), &context, request).await)
    }
}
