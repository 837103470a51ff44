//! The bare server: tonic, the methods and messages of the real one, and nothing else. It decodes each request and answers
//! with bytes that were made before, which it is told over its own control service.

use std::convert::Infallible;
use std::future::{Ready as Done, ready};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use burgee_proto::evaluation::v1 as pb;
use bytes::Bytes;
use prost::Message as _;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::body::Body;
use tonic::server::{Grpc, NamedService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::service_fn;

use crate::load::job::{Requests, Service};
use crate::ready::Ready;
use crate::role::Role;

/// What it prints before its address.
const GREETING: &str = "bare server on ";
/// Sets the answer of a method: [`Answer`].
const ANSWER: &str = "/burgee.bench.v1.BareService/Answer";
/// Sends a message to all subscribers: the request itself.
const PUBLISH: &str = "/burgee.bench.v1.BareService/Publish";

/// What a method is to answer, a stream at first.
#[derive(Clone, PartialEq, prost::Message)]
struct Answer {
    /// The method's path.
    #[prost(string, tag = "1")]
    path: String,
    /// The encoded message.
    #[prost(bytes = "bytes", tag = "2")]
    message: Bytes,
}

/// Messages that a subscriber may lag behind.
const CHANNEL: usize = 64;

/// A running bare server.
pub(crate) struct BareServer {
    process: Child,
    address: SocketAddr,
}

impl BareServer {
    /// Starts one, on a core if one is given.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) async fn start(core: Option<usize>) -> anyhow::Result<Self> {
        let mut process = Role::Bare.start(&[], core)?;
        let output = process.stdout.take().context("standard output is piped")?;
        let line = BufReader::new(output).lines().next_line().await?.unwrap_or_default();
        let address = line.strip_prefix(GREETING).and_then(|address| address.parse().ok());
        Ok(Self { process, address: address.context("the bare server did not start")? })
    }

    /// Returns what the load generator needs to call it. It looks at no credential, but gets the same as the real server.
    ///
    /// # Errors
    /// The server has ended.
    pub(crate) fn service(&self, like: &Service) -> anyhow::Result<Service> {
        let process = self.process.id().context("the server has ended")?;
        Ok(Service { address: self.address, process, credential: like.credential.clone() })
    }
}

/// Returns the request that sets a method's answer.
pub(crate) fn set_answer(path: &str, message: Vec<u8>) -> Requests {
    let answer = Answer { path: path.to_owned(), message: message.into() };
    Requests { path: ANSWER.to_owned(), bodies: vec![answer.encode_to_vec()] }
}

/// Returns so many requests that send a message to all subscribers.
pub(crate) fn publish(message: &[u8], count: usize) -> Requests {
    Requests { path: PUBLISH.to_owned(), bodies: vec![message.to_vec(); count] }
}

/// Serves until whoever started this ends it.
pub(crate) fn run() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let served = runtime.context("could not start").and_then(|runtime| runtime.block_on(serve()));
    crate::exit_code(served)
}

async fn serve() -> anyhow::Result<()> {
    let incoming = TcpIncoming::bind((Ipv4Addr::LOCALHOST, 0).into()).context("could not listen")?;
    let incoming = incoming.with_nodelay(Some(true));
    crate::print(&format!("{GREETING}{}", incoming.local_addr()?));
    let state = Arc::new(State::default());
    // As the real server sets it, as far as it bears on speed.
    Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .max_concurrent_streams(Some(10_000))
        .add_service(Evaluation(state.clone()))
        .add_service(Control(state))
        .serve_with_incoming(incoming)
        .await
        .context("could not serve")
}

/// The answers, and the subscribers.
struct State {
    evaluate_flag: RwLock<Ready>,
    evaluate_flags: RwLock<Ready>,
    batch_evaluate_flags: RwLock<Ready>,
    identify: RwLock<Ready>,
    watch_flags: RwLock<Ready>,
    messages: broadcast::Sender<Ready>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            evaluate_flag: RwLock::default(),
            evaluate_flags: RwLock::default(),
            batch_evaluate_flags: RwLock::default(),
            identify: RwLock::default(),
            watch_flags: RwLock::default(),
            messages: broadcast::Sender::new(CHANNEL),
        }
    }
}

impl State {
    fn answer(&self, path: &str) -> Option<&RwLock<Ready>> {
        match path.strip_prefix("/burgee.evaluation.v1.EvaluationService/")? {
            "EvaluateFlag" => Some(&self.evaluate_flag),
            "EvaluateFlags" => Some(&self.evaluate_flags),
            "BatchEvaluateFlags" => Some(&self.batch_evaluate_flags),
            "Identify" => Some(&self.identify),
            "WatchFlags" => Some(&self.watch_flags),
            _ => None,
        }
    }
}

fn read(answer: &RwLock<Ready>) -> Ready {
    answer.read().unwrap_or_else(PoisonError::into_inner).clone()
}

type Reply = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

/// Answers a call as generated code would.
fn unary<M: prost::Message + Default + 'static>(
    request: http::Request<Body>,
    method: impl FnMut(Request<M>) -> Done<Result<Response<Ready>, Status>> + Send + 'static,
) -> Reply {
    Box::pin(async move {
        let method = service_fn(method);
        Ok(Grpc::new(ProstCodec::<Ready, M>::default()).unary(method, request).await)
    })
}

fn unimplemented() -> Reply {
    Box::pin(async { Ok(Status::unimplemented("").into_http()) })
}

/// The methods that are measured.
#[derive(Clone)]
struct Evaluation(Arc<State>);

impl NamedService for Evaluation {
    const NAME: &'static str = "burgee.evaluation.v1.EvaluationService";
}

impl tower::Service<http::Request<Body>> for Evaluation {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Reply;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Reply {
        let Some(answer) = self.0.answer(request.uri().path()).map(read) else { return unimplemented() };
        match request.uri().path().rsplit('/').next() {
            Some("EvaluateFlag") => unary::<pb::EvaluateFlagRequest>(request, answered(answer)),
            Some("EvaluateFlags") => unary::<pb::EvaluateFlagsRequest>(request, answered(answer)),
            Some("BatchEvaluateFlags") => unary::<pb::BatchEvaluateFlagsRequest>(request, answered(answer)),
            Some("Identify") => unary::<pb::IdentifyRequest>(request, answered(answer)),
            Some("WatchFlags") => self.watch(request, answer),
            _ => unimplemented(),
        }
    }
}

fn answered<M>(answer: Ready) -> impl FnMut(Request<M>) -> Done<Result<Response<Ready>, Status>> {
    move |_| ready(Ok(Response::new(answer.clone())))
}

type Messages = Pin<Box<dyn Stream<Item = Result<Ready, Status>> + Send>>;

impl Evaluation {
    fn watch(&self, request: http::Request<Body>, first: Ready) -> Reply {
        let subscribe = self.0.messages.clone();
        let method = service_fn(move |_: Request<pb::WatchFlagsRequest>| {
            let later = BroadcastStream::new(subscribe.subscribe());
            let later = later.map(|message| message.map_err(|lag| Status::data_loss(lag.to_string())));
            let messages: Messages = Box::pin(tokio_stream::once(Ok(first.clone())).chain(later));
            ready(Ok::<_, Status>(Response::new(messages)))
        });
        Box::pin(async move {
            let codec = ProstCodec::<Ready, pb::WatchFlagsRequest>::default();
            Ok(Grpc::new(codec).server_streaming(method, request).await)
        })
    }
}

/// What tells the server what to answer.
#[derive(Clone)]
struct Control(Arc<State>);

impl NamedService for Control {
    const NAME: &'static str = "burgee.bench.v1.BareService";
}

impl tower::Service<http::Request<Body>> for Control {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Reply;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Reply {
        let state = self.0.clone();
        match request.uri().path() {
            ANSWER => unary(request, move |request: Request<Answer>| {
                let Answer { path, message } = request.into_inner();
                let Some(answer) = state.answer(&path) else {
                    return ready(Err(Status::not_found(path)));
                };
                *answer.write().unwrap_or_else(PoisonError::into_inner) = Ready(message);
                ready(Ok(Response::new(Ready::default())))
            }),
            PUBLISH => unary(request, move |request: Request<Ready>| {
                // Nobody may be listening.
                let _ = state.messages.send(request.into_inner());
                ready(Ok(Response::new(Ready::default())))
            }),
            _ => unimplemented(),
        }
    }
}
