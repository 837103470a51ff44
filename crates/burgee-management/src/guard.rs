//! What stands before every service: who calls, whether they may, and for how long.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use burgee_core::Result;
use burgee_proto::status::status;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

use crate::access::{Gate, Rights, credential};
use crate::deadline::deadline;

/// A service that only those reach who may call it.
#[derive(Clone)]
pub(crate) struct Guard<S> {
    service: S,
    rights: Arc<Rights>,
    gate: Gate,
    max_deadline: Duration,
}

impl<S> Guard<S> {
    /// Puts a guard before a service.
    pub(crate) fn new(service: S, rights: Arc<Rights>, gate: Gate, max_deadline: Duration) -> Self {
        Self { service, rights, gate, max_deadline }
    }
}

impl<S: NamedService> NamedService for Guard<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Guard<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let Some(method) = self.rights.method(request.uri().path()) else {
            return Box::pin(std::future::ready(Ok(Status::unimplemented("no such method").into_http())));
        };
        // The one that is ready is used; its copy waits in its place.
        let copy = self.service.clone();
        let mut service = std::mem::replace(&mut self.service, copy);
        let gate = self.gate.clone();
        let credential = credential(request.headers());
        let length = deadline(request.headers(), self.max_deadline);
        let ends = tokio::time::Instant::now() + length;
        Box::pin(async move {
            let answer = async {
                match gate.admit(credential, method.right).await {
                    Ok(caller) => {
                        request.extensions_mut().insert(caller);
                        service.call(request).await
                    }
                    Err(error) => {
                        tracing::debug!(path = request.uri().path(), %error, "refused a caller: {error}");
                        Ok(status(error).into_http())
                    }
                }
            };
            if method.streaming {
                return answer.await;
            }
            match tokio::time::timeout_at(ends, answer).await {
                Ok(answer) => answer,
                Err(_) => {
                    Ok(Status::deadline_exceeded(format!("the call took longer than {length:?}")).into_http())
                }
            }
        })
    }
}
