//! The change log.

use burgee_proto::management::v1 as pb;
use futures_util::stream::BoxStream;
use pb::change_service_server::ChangeService;
use tonic::{Request, Status};

use super::{Handlers, Reply, reply, reply_stream};
use crate::context::read;
use crate::{changes, watch};

#[tonic::async_trait]
impl ChangeService for Handlers {
    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent))]
    async fn list_changes(&self, request: Request<pb::ListChangesRequest>) -> Reply<pb::ListChangesResponse> {
        let (_, request) = read(&self.gate, request).await?;
        reply(changes::list(&*self.store, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn get_change(&self, request: Request<pb::GetChangeRequest>) -> Reply<pb::GetChangeResponse> {
        let (_, request) = read(&self.gate, request).await?;
        reply(changes::get(&*self.store, request).await)
    }

    type WatchChangesStream = BoxStream<'static, Result<pb::WatchChangesResponse, Status>>;

    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent))]
    async fn watch_changes(
        &self,
        request: Request<pb::WatchChangesRequest>,
    ) -> Reply<Self::WatchChangesStream> {
        let (caller, request) = read(&self.gate, request).await?;
        reply_stream(watch::changes(self.watching.clone(), caller, request).await)
    }
}
