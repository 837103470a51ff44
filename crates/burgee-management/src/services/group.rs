//! Groups and their members.

use burgee_proto::management::v1 as pb;
use pb::group_service_server::GroupService;
use tonic::Request;

use super::{Handlers, Reply, reply};
use crate::context::{read, write};
use crate::groups;

#[tonic::async_trait]
impl GroupService for Handlers {
    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent, request.id = request.get_ref().group_id))]
    async fn create_group(&self, request: Request<pb::CreateGroupRequest>) -> Reply<pb::CreateGroupResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(groups::create(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn get_group(&self, request: Request<pb::GetGroupRequest>) -> Reply<pb::GetGroupResponse> {
        let (_, request) = read(&self.gate, request).await?;
        reply(groups::get(&*self.store, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent))]
    async fn list_groups(&self, request: Request<pb::ListGroupsRequest>) -> Reply<pb::ListGroupsResponse> {
        let (_, request) = read(&self.gate, request).await?;
        reply(groups::list(&*self.store, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().group.as_ref().map(|item| item.name.as_str())))]
    async fn update_group(&self, request: Request<pb::UpdateGroupRequest>) -> Reply<pb::UpdateGroupResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(groups::update(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn delete_group(&self, request: Request<pb::DeleteGroupRequest>) -> Reply<pb::DeleteGroupResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(groups::delete(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent))]
    async fn add_group_member(
        &self,
        request: Request<pb::AddGroupMemberRequest>,
    ) -> Reply<pb::AddGroupMemberResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(groups::add_member(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent))]
    async fn list_group_members(
        &self,
        request: Request<pb::ListGroupMembersRequest>,
    ) -> Reply<pb::ListGroupMembersResponse> {
        let (_, request) = read(&self.gate, request).await?;
        reply(groups::list_members(&*self.store, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn update_group_member(
        &self,
        request: Request<pb::UpdateGroupMemberRequest>,
    ) -> Reply<pb::UpdateGroupMemberResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(groups::update_member(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn remove_group_member(
        &self,
        request: Request<pb::RemoveGroupMemberRequest>,
    ) -> Reply<pb::RemoveGroupMemberResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(groups::remove_member(&*self.store, &context, request).await)
    }
}
