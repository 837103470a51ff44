//! The change log.

use burgee_proto::management::v1 as pb;
use futures_util::stream::BoxStream;
use pb::change_service_server::ChangeService;
use tonic::{Request, Status};

use super::{Handlers, Reply, reply, reply_stream};
use crate::context::caller;
use crate::{changes, watch};

#[tonic::async_trait]
impl ChangeService for Handlers {
    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent))]
    async fn list_changes(&self, request: Request<pb::ListChangesRequest>) -> Reply<pb::ListChangesResponse> {
        reply(changes::list(&*self.store, request.into_inner()).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn get_change(&self, request: Request<pb::GetChangeRequest>) -> Reply<pb::GetChangeResponse> {
        reply(changes::get(&*self.store, request.into_inner()).await)
    }

    type WatchChangesStream = BoxStream<'static, Result<pb::WatchChangesResponse, Status>>;

    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent))]
    async fn watch_changes(
        &self,
        request: Request<pb::WatchChangesRequest>,
    ) -> Reply<Self::WatchChangesStream> {
        let caller = caller(&request)?;
        reply_stream(watch::changes(self.watching.clone(), caller, request.into_inner()).await)
    }
}
