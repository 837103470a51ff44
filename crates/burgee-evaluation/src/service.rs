//! The gRPC service: each method is a line here, and a function elsewhere.

use std::sync::Arc;

use burgee_core::Result;
use burgee_proto::evaluation::v1 as pb;
use burgee_proto::evaluation::v1::evaluation_service_server::EvaluationService;
use burgee_proto::status::status;
use tonic::{Request, Response, Status};

use crate::watch_flags::Responses;
use crate::{Shared, evaluate, identify, watch_flags};

type Reply<T> = Result<Response<T>, Status>;

/// Serves `burgee.evaluation.v1.EvaluationService`.
pub(crate) struct Service(pub(crate) Arc<Shared>);

// No spans: at the rate of these calls they would cost more than the answers.
#[tonic::async_trait]
impl EvaluationService for Service {
    type WatchFlagsStream = Responses;

    async fn evaluate_flags(
        &self,
        request: Request<pb::EvaluateFlagsRequest>,
    ) -> Reply<pb::EvaluateFlagsResponse> {
        let (metadata, _, request) = request.into_parts();
        reply(evaluate::flags(&self.0, &metadata, request).await)
    }

    async fn evaluate_flag(
        &self,
        request: Request<pb::EvaluateFlagRequest>,
    ) -> Reply<pb::EvaluateFlagResponse> {
        let (metadata, _, request) = request.into_parts();
        reply(evaluate::flag(&self.0, &metadata, request).await)
    }

    async fn batch_evaluate_flags(
        &self,
        request: Request<pb::BatchEvaluateFlagsRequest>,
    ) -> Reply<pb::BatchEvaluateFlagsResponse> {
        let (metadata, _, request) = request.into_parts();
        reply(evaluate::batch(&self.0, &metadata, request).await)
    }

    async fn identify(&self, request: Request<pb::IdentifyRequest>) -> Reply<pb::IdentifyResponse> {
        let (metadata, _, request) = request.into_parts();
        reply(identify::identify(&self.0, &metadata, request).await)
    }

    async fn watch_flags(&self, request: Request<pb::WatchFlagsRequest>) -> Reply<Self::WatchFlagsStream> {
        let connection = request.remote_addr();
        let (metadata, _, request) = request.into_parts();
        reply(watch_flags::open(&self.0, &metadata, connection, request).await)
    }
}

fn reply<T>(result: Result<T>) -> Reply<T> {
    result.map(Response::new).map_err(status)
}
