//! The handlers of the services.

use std::sync::Arc;

use burgee_core::Result;
use burgee_core::store::FlagStore;
use burgee_proto::status::status;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _};
use tonic::{Response, Status};

use crate::gate::Gate;
use crate::oidc::Verifier;
use crate::watch::Watching;

mod change;
mod environment;
mod feature;
mod flag;
mod group;
mod identity;
mod invitation;
mod organisation;
mod permission;
mod project;
mod segment;
mod trust;
mod user;

/// What a handler answers.
type Reply<T> = Result<Response<T>, Status>;

/// What the handlers need.
pub(crate) struct Handlers {
    /// Where everything is.
    pub(crate) store: Arc<dyn FlagStore>,
    /// Hands out requests to those who have the right.
    pub(crate) gate: Gate,
    /// Knows the tokens of issuers.
    pub(crate) verifier: Verifier,
    /// What streams need.
    pub(crate) watching: Watching,
}

fn reply<T>(outcome: Result<T>) -> Reply<T> {
    outcome.map(Response::new).map_err(status)
}

fn reply_stream<T>(
    outcome: Result<impl Stream<Item = Result<T>> + Send + 'static>,
) -> Reply<BoxStream<'static, Result<T, Status>>> {
    outcome.map(|stream| Response::new(stream.map(|item| item.map_err(status)).boxed())).map_err(status)
}
