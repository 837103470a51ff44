//! The gRPC service: each method is a line here, and a function elsewhere.

use std::sync::Arc;

use burgee_core::Result;
use burgee_proto::encoded::Encoded;
use burgee_proto::evaluation::encoded::evaluation_service_server::EvaluationService;
use burgee_proto::evaluation::v1 as pb;
use burgee_proto::status::status;
use tonic::{Request, Response, Status};

use crate::watch_flags::Responses;
use crate::{Shared, evaluate, identify, watch_flags};

type Reply<T> = Result<Response<T>, Status>;
type EncodedReply<T> = Reply<Encoded<T>>;

/// Serves `burgee.evaluation.v1.EvaluationService`.
pub(crate) struct Service(pub(crate) Arc<Shared>);

// No spans: at the rate of these calls they would cost more than the answers.
#[tonic::async_trait]
impl EvaluationService for Service {
    type WatchFlagsStream = Responses;

    async fn evaluate_flags(
        &self,
        request: Request<pb::EvaluateFlagsRequest>,
    ) -> EncodedReply<pb::EvaluateFlagsResponse> {
        let (metadata, _, request) = request.into_parts();
        reply(evaluate::flags(&self.0, &metadata, request).await)
    }

    async fn evaluate_flag(
        &self,
        request: Request<pb::EvaluateFlagRequest>,
    ) -> EncodedReply<pb::EvaluateFlagResponse> {
        let (metadata, _, request) = request.into_parts();
        reply(evaluate::flag(&self.0, &metadata, request).await)
    }

    async fn batch_evaluate_flags(
        &self,
        request: Request<pb::BatchEvaluateFlagsRequest>,
    ) -> EncodedReply<pb::BatchEvaluateFlagsResponse> {
        let (metadata, _, request) = request.into_parts();
        reply(evaluate::batch(&self.0, &metadata, request).await)
    }

    async fn identify(&self, request: Request<pb::IdentifyRequest>) -> EncodedReply<pb::IdentifyResponse> {
        let (metadata, _, request) = request.into_parts();
        reply(identify::identify(&self.0, &metadata, request).await)
    }

    async fn watch_flags(&self, request: Request<pb::WatchFlagsRequest>) -> Reply<Self::WatchFlagsStream> {
        let connection = request.remote_addr();
        let (metadata, _, request) = request.into_parts();
        reply(watch_flags::open(&self.0, &metadata, connection, request).await)
    }
}

fn reply<T: Into<U>, U>(result: Result<T>) -> Reply<U> {
    result.map(|answer| Response::new(answer.into())).map_err(status)
}
