//! Segments.

use burgee_proto::management::v1 as pb;
use pb::segment_service_server::SegmentService;
use tonic::Request;

use super::{Handlers, Reply, reply};
use crate::context::write;
use crate::segments;

#[tonic::async_trait]
impl SegmentService for Handlers {
    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent, request.id = request.get_ref().segment_id))]
    async fn create_segment(
        &self,
        request: Request<pb::CreateSegmentRequest>,
    ) -> Reply<pb::CreateSegmentResponse> {
        let (context, request) = write("SegmentService/CreateSegment", request)?;
        reply(segments::create(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn get_segment(&self, request: Request<pb::GetSegmentRequest>) -> Reply<pb::GetSegmentResponse> {
        reply(segments::get(&*self.store, request.into_inner()).await)
    }

    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent))]
    async fn list_segments(
        &self,
        request: Request<pb::ListSegmentsRequest>,
    ) -> Reply<pb::ListSegmentsResponse> {
        reply(segments::list(&*self.store, request.into_inner()).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().segment.as_ref().map(|item| item.name.as_str())))]
    async fn update_segment(
        &self,
        request: Request<pb::UpdateSegmentRequest>,
    ) -> Reply<pb::UpdateSegmentResponse> {
        let (context, request) = write("SegmentService/UpdateSegment", request)?;
        reply(segments::update(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn delete_segment(
        &self,
        request: Request<pb::DeleteSegmentRequest>,
    ) -> Reply<pb::DeleteSegmentResponse> {
        let (context, request) = write("SegmentService/DeleteSegment", request)?;
        reply(segments::delete(&*self.store, &context, request).await)
    }
}
