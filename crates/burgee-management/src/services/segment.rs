//! Segments.

use burgee_proto::management::v1 as pb;
use pb::segment_service_server::SegmentService;
use tonic::Request;

use super::{Handlers, Reply, reply};
use crate::context::{read, write};
use crate::segments;

#[tonic::async_trait]
impl SegmentService for Handlers {
    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent, request.id = request.get_ref().segment_id))]
    async fn create_segment(
        &self,
        request: Request<pb::CreateSegmentRequest>,
    ) -> Reply<pb::CreateSegmentResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(segments::create(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn get_segment(&self, request: Request<pb::GetSegmentRequest>) -> Reply<pb::GetSegmentResponse> {
        let (_, request) = read(&self.gate, request).await?;
        reply(segments::get(&*self.store, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent))]
    async fn list_segments(
        &self,
        request: Request<pb::ListSegmentsRequest>,
    ) -> Reply<pb::ListSegmentsResponse> {
        let (_, request) = read(&self.gate, request).await?;
        reply(segments::list(&*self.store, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().segment.as_ref().map(|item| item.name.as_str())))]
    async fn update_segment(
        &self,
        request: Request<pb::UpdateSegmentRequest>,
    ) -> Reply<pb::UpdateSegmentResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(segments::update(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn delete_segment(
        &self,
        request: Request<pb::DeleteSegmentRequest>,
    ) -> Reply<pb::DeleteSegmentResponse> {
        let (context, caller, request) = write(&self.gate, request).await?;
        reply(segments::delete(&*self.store, &caller, &context, request).await)
    }
}
