//! What stands before every service: who calls, how often, and for how long. Whether they may is decided when the request is
//! read (see `context`).

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use burgee_core::Result;
use burgee_proto::status::status;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tower::Service;

use crate::access::Methods;
use crate::address::Proxies;
use crate::context::Visitor;
use crate::deadline::deadline;
use crate::gate::{Gate, credential};
use crate::rate::TokenLimit;

/// What guards of all services have in common.
pub(crate) struct Guarding {
    pub(crate) methods: Methods,
    pub(crate) gate: Gate,
    pub(crate) proxies: Proxies,
    pub(crate) limit: TokenLimit,
    pub(crate) max_deadline: Duration,
}

/// A service that only those reach who say who they are.
#[derive(Clone)]
pub(crate) struct Guard<S> {
    service: S,
    guarding: Arc<Guarding>,
}

impl<S> Guard<S> {
    /// Puts a guard before a service.
    pub(crate) fn new(service: S, guarding: Arc<Guarding>) -> Self {
        Self { service, guarding }
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
        let Some(method) = self.guarding.methods.get(request.uri().path()) else {
            return Box::pin(std::future::ready(Ok(Status::unimplemented("no such method").into_http())));
        };
        // The one that is ready is used; its copy waits in its place.
        let copy = self.service.clone();
        let mut service = std::mem::replace(&mut self.service, copy);
        let guarding = Arc::clone(&self.guarding);
        let length = deadline(request.headers(), guarding.max_deadline);
        let ends = tokio::time::Instant::now() + length;
        let address = guarding.proxies.caller(request.extensions(), request.headers());
        let presented = credential(request.headers()).map(str::to_owned);
        Box::pin(async move {
            let answer = async {
                match guarding.admit(presented, address, method.open).await {
                    Ok(visitor) => {
                        request.extensions_mut().insert(visitor);
                        let answer = service.call(request).await;
                        if method.open {
                            guarding.note(address, &answer);
                        }
                        answer
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

/// Says whether an answer tells somebody who guesses something: that a secret is no good, or that a name or an address is taken.
fn is_guess(code: Code) -> bool {
    matches!(code, Code::Unauthenticated | Code::NotFound | Code::AlreadyExists | Code::FailedPrecondition)
}

impl Guarding {
    /// Finds out who sends a request. To an open method, nobody has to say.
    async fn admit(&self, presented: Result<String>, address: Option<IpAddr>, open: bool) -> Result<Visitor> {
        let caller = match presented {
            Ok(presented) => Some(self.gate.authenticate(&presented, address).await?),
            Err(_) if open => None,
            Err(error) => return Err(error),
        };
        match &caller {
            Some(caller) => self.limit.check(&caller.key)?,
            None => self.gate.check_failures(address)?,
        }
        Ok(Visitor { caller, address })
    }

    /// Counts the answer of an open method as a failed sign-in, if it says that what the request held is no good.
    fn note(&self, address: Option<IpAddr>, answer: &Result<Response<Body>, Infallible>) {
        let status = answer.as_ref().ok().and_then(|answer| Status::from_header_map(answer.headers()));
        if status.is_some_and(|status| is_guess(status.code())) {
            self.gate.note_failure(address);
        }
    }
}
