//! Organisations and their members.

use burgee_proto::management::v1 as pb;
use pb::organisation_service_server::OrganisationService;
use tonic::Request;

use super::{Handlers, Reply, reply};
use crate::context::write;
use crate::{members, organisations};

#[tonic::async_trait]
impl OrganisationService for Handlers {
    #[tracing::instrument(skip_all, fields(request.id = request.get_ref().organisation_id))]
    async fn create_organisation(
        &self,
        request: Request<pb::CreateOrganisationRequest>,
    ) -> Reply<pb::CreateOrganisationResponse> {
        let (context, request) = write("OrganisationService/CreateOrganisation", request)?;
        reply(organisations::create(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn get_organisation(
        &self,
        request: Request<pb::GetOrganisationRequest>,
    ) -> Reply<pb::GetOrganisationResponse> {
        reply(organisations::get(&*self.store, request.into_inner()).await)
    }

    #[tracing::instrument(skip_all)]
    async fn list_organisations(
        &self,
        request: Request<pb::ListOrganisationsRequest>,
    ) -> Reply<pb::ListOrganisationsResponse> {
        reply(organisations::list(&*self.store, request.into_inner()).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().organisation.as_ref().map(|item| item.name.as_str())))]
    async fn update_organisation(
        &self,
        request: Request<pb::UpdateOrganisationRequest>,
    ) -> Reply<pb::UpdateOrganisationResponse> {
        let (context, request) = write("OrganisationService/UpdateOrganisation", request)?;
        reply(organisations::update(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn delete_organisation(
        &self,
        request: Request<pb::DeleteOrganisationRequest>,
    ) -> Reply<pb::DeleteOrganisationResponse> {
        let (context, request) = write("OrganisationService/DeleteOrganisation", request)?;
        reply(organisations::delete(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent))]
    async fn add_member(&self, request: Request<pb::AddMemberRequest>) -> Reply<pb::AddMemberResponse> {
        let (context, request) = write("OrganisationService/AddMember", request)?;
        reply(members::add(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent))]
    async fn list_members(&self, request: Request<pb::ListMembersRequest>) -> Reply<pb::ListMembersResponse> {
        reply(members::list(&*self.store, request.into_inner()).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn update_member_role(
        &self,
        request: Request<pb::UpdateMemberRoleRequest>,
    ) -> Reply<pb::UpdateMemberRoleResponse> {
        let (context, request) = write("OrganisationService/UpdateMemberRole", request)?;
        reply(members::update_role(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn remove_member(
        &self,
        request: Request<pb::RemoveMemberRequest>,
    ) -> Reply<pb::RemoveMemberResponse> {
        let (context, request) = write("OrganisationService/RemoveMember", request)?;
        reply(members::remove(&*self.store, &context, request).await)
    }
}
