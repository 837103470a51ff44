//! The gRPC service: each method is a line here, and a function elsewhere.

use std::sync::Arc;

use burgee_core::Result;
use burgee_proto::encoded::Encoded;
use burgee_proto::evaluation::encoded::evaluation_service_server::EvaluationService;
use burgee_proto::evaluation::v1 as pb;
use burgee_proto::status::status;
use tonic::{Request, Response, Status};

use crate::call::Call;
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
        let call = Call::begin(&metadata, &self.0.settings);
        answer(&call, evaluate::flags(&self.0, &call, request)).await
    }

    async fn evaluate_flag(
        &self,
        request: Request<pb::EvaluateFlagRequest>,
    ) -> EncodedReply<pb::EvaluateFlagResponse> {
        let (metadata, _, request) = request.into_parts();
        let call = Call::begin(&metadata, &self.0.settings);
        answer(&call, evaluate::flag(&self.0, &call, request)).await
    }

    async fn batch_evaluate_flags(
        &self,
        request: Request<pb::BatchEvaluateFlagsRequest>,
    ) -> EncodedReply<pb::BatchEvaluateFlagsResponse> {
        let (metadata, _, request) = request.into_parts();
        let call = Call::begin(&metadata, &self.0.settings);
        answer(&call, evaluate::batch(&self.0, &call, request)).await
    }

    async fn identify(&self, request: Request<pb::IdentifyRequest>) -> EncodedReply<pb::IdentifyResponse> {
        let (metadata, _, request) = request.into_parts();
        let call = Call::begin(&metadata, &self.0.settings);
        answer(&call, identify::identify(&self.0, &call, request)).await
    }

    async fn watch_flags(&self, request: Request<pb::WatchFlagsRequest>) -> Reply<Self::WatchFlagsStream> {
        let connection = request.remote_addr();
        let (metadata, _, request) = request.into_parts();
        watch_flags::open(&self.0, &metadata, connection, request).await.map(Response::new).map_err(status)
    }
}

/// Answers a call, or ends it when its time is over.
async fn answer<T>(call: &Call<'_>, work: impl Future<Output = Result<T>>) -> Reply<T> {
    match call.work(work).await {
        Some(result) => result.map(Response::new).map_err(status),
        None => Err(Status::deadline_exceeded("the call took longer than its caller waits")),
    }
}
