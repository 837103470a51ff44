//! An evaluation service in this process, on a real socket, over a test's database; and short words for its callers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use burgee_core::access::{EnvironmentKey, KeyKind, KeyScope, SecretHash};
use burgee_core::change::Mutation;
use burgee_core::feature::Feature;
use burgee_core::project::EnvironmentPatch;
use burgee_core::store::{FlagFeed, IdentityStore};
use burgee_evaluation::{Evaluation, Settings};
use burgee_proto::evaluation::v1 as pb;
use burgee_proto::evaluation::v1::evaluation_service_client::EvaluationServiceClient;
use burgee_proto::v1;
use burgee_tests::server::{Credential, channel};
use burgee_tests::watcher::Watcher;
use pb::watch_flags_response::Event;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use crate::world::*;

/// The server-side key of `dev`.
pub(crate) const SERVER_KEY: &str = "ser.dev";
/// The client-side key of `dev`.
pub(crate) const CLIENT_KEY: &str = "dev";
/// The server-side key of `production`.
pub(crate) const OTHER_KEY: &str = "ser.production";
/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) type Client = EvaluationServiceClient<InterceptedService<Channel, Credential>>;

/// A running service.
pub(crate) struct Service {
    pub(crate) evaluation: Evaluation,
    pub(crate) shutdown: CancellationToken,
    address: SocketAddr,
}

impl Service {
    pub(crate) async fn start(world: &World) -> Self {
        Self::start_with(world, Settings::default()).await
    }

    pub(crate) async fn start_with(world: &World, settings: Settings) -> Self {
        let store = Arc::new(world.store.clone());
        Self::start_over(store.clone(), store, settings).await
    }

    pub(crate) async fn start_over(
        feed: Arc<dyn FlagFeed>,
        identities: Arc<dyn IdentityStore>,
        settings: Settings,
    ) -> Self {
        let shutdown = CancellationToken::new();
        let evaluation = Evaluation::start(feed, identities, settings, shutdown.clone()).unwrap();
        let mut routes = tonic::service::Routes::builder();
        evaluation.add_to(&mut routes);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder()
            .add_routes(routes.routes())
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        Self { evaluation, shutdown, address }
    }

    pub(crate) async fn client(&self, key: &str) -> Client {
        EvaluationServiceClient::with_interceptor(channel(self.address).await, Credential::key(key))
    }

    pub(crate) async fn channel(&self) -> Channel {
        channel(self.address).await
    }

    pub(crate) async fn watch(&self, key: &str, request: pb::WatchFlagsRequest) -> Subscriber {
        Subscriber::open(self.client(key).await, request).await.unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// A subscriber and its stream.
pub(crate) struct Subscriber {
    stream: Streaming<pb::WatchFlagsResponse>,
    pub(crate) state: Watcher,
    /// Every message, the last one last.
    pub(crate) messages: Vec<pb::WatchFlagsResponse>,
}

impl Subscriber {
    pub(crate) async fn open(mut client: Client, request: pb::WatchFlagsRequest) -> Result<Self, Status> {
        let stream = client.watch_flags(request).await?.into_inner();
        Ok(Self { stream, state: Watcher::default(), messages: Vec::new() })
    }

    /// Takes the next message; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        let message = tokio::time::timeout(PATIENCE, self.stream.message());
        let message = message.await.expect("a message should come").expect("a stream ends well")?;
        self.check(&message);
        self.state.apply(message.clone());
        self.messages.push(message.clone());
        message.event
    }

    /// Revisions only go up, and only whole messages carry a token.
    fn check(&self, message: &pb::WatchFlagsResponse) {
        let is_whole = match message.event.as_ref().unwrap() {
            Event::Snapshot(pb::FlagsSnapshot { last, .. }) => *last,
            Event::Update(update) => {
                assert!(message.revision > self.state.revision, "an update of the same revision");
                assert!(!update.flags.is_empty() || !update.removed.is_empty(), "an empty update");
                update.last
            }
            Event::UpToDate(_) | Event::Checkpoint(_) => true,
            Event::Goodbye(_) => false,
        };
        assert_eq!(is_whole, !message.resume_token.is_empty(), "{message:?}");
        assert!(message.revision >= self.state.revision, "back from {}: {message:?}", self.state.revision);
    }

    /// Takes messages until the subscriber has everything through a revision.
    pub(crate) async fn reach(&mut self, revision: i64) -> &mut Self {
        while self.state.revision < revision {
            let event = self.next().await;
            assert!(event.is_some(), "the stream ended at revision {} of {revision}", self.state.revision);
        }
        self
    }

    /// Takes messages to the end, and returns the goodbye.
    pub(crate) async fn goodbye(&mut self) -> pb::Goodbye {
        while self.next().await.is_some() {}
        self.state.goodbye.expect("a goodbye")
    }

    pub(crate) fn token(&self) -> String {
        self.state.resume_token.clone()
    }

    pub(crate) fn keys(&self) -> Vec<&str> {
        self.state.flags.keys().map(String::as_str).collect()
    }
}

impl World {
    /// Creates the shop with flags and the keys. `secret` is server-side only; `split` has variants; `banner` has an
    /// override for `beta` and `limit` one for Ada.
    pub(crate) async fn served(self) -> Self {
        let world = self.with_flags().await;
        let split = Feature { variants: vec![variant("a", 50.0), variant("b", 50.0)], ..feature("split") };
        world
            .apply(vec![
                secret_feature("secret"),
                Mutation::CreateFeature { feature: split },
                set_override("dev", "banner", "beta", None),
                set_identity_override("dev", "limit", "ada"),
                environment_key("dev", "server", KeyKind::ServerSide, SERVER_KEY),
                environment_key("dev", "client", KeyKind::ClientSide, CLIENT_KEY),
                environment_key("production", "server", KeyKind::ServerSide, OTHER_KEY),
            ])
            .await;
        world
    }

    /// Sets traits of an identity in `dev`.
    pub(crate) async fn set_traits(&self, identifier: &str, set: &[(&str, &str)]) {
        let name = identity_name("dev", identifier);
        self.flags().set_identity(&write(), &name, traits(set, &[]), None).await.unwrap();
    }

    pub(crate) async fn set_environment(&self, patch: EnvironmentPatch) -> i64 {
        let environment = environment_name("dev").environment;
        self.write(Mutation::UpdateEnvironment { environment, patch, etag: None }).await
    }
}

pub(crate) fn secret_feature(key: &str) -> Mutation {
    Mutation::CreateFeature { feature: Feature { server_side_only: true, ..feature(key) } }
}

pub(crate) fn environment_key(environment: &str, id: &str, kind: KeyKind, secret: &str) -> Mutation {
    let key = EnvironmentKey { kind, scopes: KeyScope::of_kind(kind), ..key(environment, id) };
    Mutation::CreateKey { key, hash: SecretHash::of(secret) }
}

pub(crate) fn somebody(identifier: &str) -> pb::IdentityContext {
    pb::IdentityContext { identifier: identifier.to_owned(), ..Default::default() }
}

/// Somebody with traits for this call; an empty text hides a trait.
pub(crate) fn somebody_with(identifier: &str, traits: &[(&str, &str)]) -> pb::IdentityContext {
    pb::IdentityContext { traits: trait_map(traits), ..somebody(identifier) }
}

pub(crate) fn trait_map(traits: &[(&str, &str)]) -> BTreeMap<String, v1::TraitValue> {
    let value = |value: &str| match value {
        "" => v1::TraitValue { kind: None },
        value => v1::TraitValue { kind: Some(v1::trait_value::Kind::StringValue(value.to_owned())) },
    };
    traits.iter().map(|(key, text)| ((*key).to_owned(), value(text))).collect()
}

pub(crate) fn keys_of(flags: &[pb::EvaluatedFlag]) -> Vec<&str> {
    flags.iter().map(|flag| flag.key.as_str()).collect()
}

/// Returns a flag of an answer.
#[track_caller]
pub(crate) fn flag_of<'a>(flags: &'a [pb::EvaluatedFlag], key: &str) -> &'a pb::EvaluatedFlag {
    flags.iter().find(|flag| flag.key == key).expect(key)
}

pub(crate) fn text_of(flag: &pb::EvaluatedFlag) -> &str {
    match &flag.value {
        Some(v1::Value { kind: Some(v1::value::Kind::StringValue(text)) }) => text,
        other => panic!("{other:?} is no text"),
    }
}

#[track_caller]
pub(crate) fn check_status<T: std::fmt::Debug>(
    result: Result<T, Status>,
    code: Code,
    reason: &str,
) -> Status {
    let status = result.map(drop).expect_err("this should fail");
    assert_eq!(status.code(), code, "{status:?}");
    assert_eq!(burgee_proto::status::reason(&status).as_deref(), Some(reason), "{status:?}");
    status
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "{what} should have come true");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
