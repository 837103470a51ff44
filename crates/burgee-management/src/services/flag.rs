//! Flags and their overrides.

use burgee_proto::management::v1 as pb;
use pb::flag_service_server::FlagService;
use tonic::Request;

use super::{Handlers, Reply, reply};
use crate::context::{read, write};
use crate::{apply, flags, overrides};

#[tonic::async_trait]
impl FlagService for Handlers {
    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn get_flag(&self, request: Request<pb::GetFlagRequest>) -> Reply<pb::GetFlagResponse> {
        let (_, request) = read(&self.gate, request).await?;
        reply(flags::get(&*self.store, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent))]
    async fn list_flags(&self, request: Request<pb::ListFlagsRequest>) -> Reply<pb::ListFlagsResponse> {
        let (_, request) = read(&self.gate, request).await?;
        reply(flags::list(&*self.store, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().flag.as_ref().map(|item| item.name.as_str())))]
    async fn update_flag(&self, request: Request<pb::UpdateFlagRequest>) -> Reply<pb::UpdateFlagResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(flags::update(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn set_segment_override(
        &self,
        request: Request<pb::SetSegmentOverrideRequest>,
    ) -> Reply<pb::SetSegmentOverrideResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(overrides::set_segment(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn remove_segment_override(
        &self,
        request: Request<pb::RemoveSegmentOverrideRequest>,
    ) -> Reply<pb::RemoveSegmentOverrideResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(overrides::remove_segment(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn reorder_segment_overrides(
        &self,
        request: Request<pb::ReorderSegmentOverridesRequest>,
    ) -> Reply<pb::ReorderSegmentOverridesResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(overrides::reorder_segments(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn set_identity_override(
        &self,
        request: Request<pb::SetIdentityOverrideRequest>,
    ) -> Reply<pb::SetIdentityOverrideResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(overrides::set_identity(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn remove_identity_override(
        &self,
        request: Request<pb::RemoveIdentityOverrideRequest>,
    ) -> Reply<pb::RemoveIdentityOverrideResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(overrides::remove_identity(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent))]
    async fn list_identity_overrides(
        &self,
        request: Request<pb::ListIdentityOverridesRequest>,
    ) -> Reply<pb::ListIdentityOverridesResponse> {
        let (_, request) = read(&self.gate, request).await?;
        reply(overrides::list_identities(&*self.store, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().project))]
    async fn apply_changes(
        &self,
        request: Request<pb::ApplyChangesRequest>,
    ) -> Reply<pb::ApplyChangesResponse> {
        let (context, caller, request) = write(&self.gate, request).await?;
        reply(apply::apply_changes(&*self.store, &caller, &context, request).await)
    }
}
