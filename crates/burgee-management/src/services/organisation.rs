//! Organisations and their members.

use burgee_proto::management::v1 as pb;
use pb::organisation_service_server::OrganisationService;
use tonic::Request;

use super::{Handlers, Reply, reply};
use crate::context::{read, write};
use crate::{members, organisations};

#[tonic::async_trait]
impl OrganisationService for Handlers {
    #[tracing::instrument(skip_all, fields(request.id = request.get_ref().organisation_id))]
    async fn create_organisation(
        &self,
        request: Request<pb::CreateOrganisationRequest>,
    ) -> Reply<pb::CreateOrganisationResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(organisations::create(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn get_organisation(
        &self,
        request: Request<pb::GetOrganisationRequest>,
    ) -> Reply<pb::GetOrganisationResponse> {
        let (_, request) = read(&self.gate, request).await?;
        reply(organisations::get(&*self.store, request).await)
    }

    #[tracing::instrument(skip_all)]
    async fn list_organisations(
        &self,
        request: Request<pb::ListOrganisationsRequest>,
    ) -> Reply<pb::ListOrganisationsResponse> {
        let (caller, request) = read(&self.gate, request).await?;
        reply(organisations::list(&*self.store, &caller, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().organisation.as_ref().map(|item| item.name.as_str())))]
    async fn update_organisation(
        &self,
        request: Request<pb::UpdateOrganisationRequest>,
    ) -> Reply<pb::UpdateOrganisationResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(organisations::update(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn delete_organisation(
        &self,
        request: Request<pb::DeleteOrganisationRequest>,
    ) -> Reply<pb::DeleteOrganisationResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(organisations::delete(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent))]
    async fn add_member(&self, request: Request<pb::AddMemberRequest>) -> Reply<pb::AddMemberResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(members::add(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent))]
    async fn list_members(&self, request: Request<pb::ListMembersRequest>) -> Reply<pb::ListMembersResponse> {
        let (_, request) = read(&self.gate, request).await?;
        reply(members::list(&*self.store, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn update_member_role(
        &self,
        request: Request<pb::UpdateMemberRoleRequest>,
    ) -> Reply<pb::UpdateMemberRoleResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(members::update_role(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn remove_member(
        &self,
        request: Request<pb::RemoveMemberRequest>,
    ) -> Reply<pb::RemoveMemberResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(members::remove(&*self.store, &context, request).await)
    }
}
