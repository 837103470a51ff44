//! Limits of requests and streams by environment key: the real server, with real clients.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::HashMap;
use std::time::{Duration, Instant};

use burgee_proto::evaluation::v1::evaluation_service_client::EvaluationServiceClient;
use burgee_proto::evaluation::v1::{EvaluateFlagsRequest, WatchFlagsRequest};
use burgee_proto::management::v1::environment_service_client::EnvironmentServiceClient;
use burgee_proto::management::v1::user_service_client::UserServiceClient;
use burgee_proto::management::v1::{CreateEnvironmentKeyRequest, GetCurrentUserRequest};
use burgee_proto::status::reason;
use burgee_proto::v1 as pb;
use burgee_tests::fixture::{ENVIRONMENT, Fixture};
use burgee_tests::metrics::value;
use burgee_tests::server::{Credential, Server};
use tempfile::TempDir;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

type Client = EvaluationServiceClient<InterceptedService<Channel, Credential>>;

/// A server with a project, and an environment of two keys.
struct World {
    server: Server,
    keys: [String; 2],
    /// All clients come by one connection: what tells them apart is their keys.
    channel: Channel,
    _folder: TempDir,
}

impl World {
    async fn new(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database_url = format!("sqlite:{}", folder.path().join("burgee.db").display());
        let more = [&["--metrics", "127.0.0.1:0"], more].concat();
        let server = Server::serve_some(&database_url, true, true, &more).await;
        let fixture = Fixture::new(&server).await.features(1).await;
        let request = CreateEnvironmentKeyRequest {
            parent: ENVIRONMENT.into(),
            key_id: "other".into(),
            key: Some(pb::EnvironmentKey { kind: pb::KeyKind::ClientSide.into(), ..Default::default() }),
            ..Default::default()
        };
        let management = server.management_channel().await;
        let mut environments = EnvironmentServiceClient::with_interceptor(management, server.token());
        let other = environments.create_environment_key(request).await.unwrap().into_inner().secret;
        let keys = [fixture.server_side_key().await, other];
        let channel = server.evaluation_channel().await;
        Self { server, keys, channel, _folder: folder }
    }

    fn client(&self, key: &str) -> Client {
        EvaluationServiceClient::with_interceptor(self.channel.clone(), Credential::key(key))
    }
}

async fn evaluate(client: &mut Client) -> Result<(), Status> {
    client.evaluate_flags(EvaluateFlagsRequest::default()).await.map(drop)
}

async fn refused_requests(world: &World) -> f64 {
    value(&world.server, "burgee_evaluation_requests_limited_total").await
}

#[tokio::test]
async fn who_makes_too_many_requests_is_told_when_to_come_back_and_others_go_on() {
    let limits = ["--requests-per-key-per-second", "1", "--requests-per-key-burst", "20"];
    let world = World::new(&limits).await;
    let [one, other] = [0, 1].map(|index| world.client(&world.keys[index]));
    let (mut one, mut other) = (one, other);

    let mut answered = 0;
    let refusal = loop {
        match evaluate(&mut one).await {
            Ok(()) => answered += 1,
            Err(status) => break status,
        }
    };
    // Some come back while the others are made.
    assert!((20..100).contains(&answered), "{answered}");
    assert_eq!(refusal.code(), Code::ResourceExhausted, "{refusal:?}");
    let info = refusal.get_details_error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("REQUEST_LIMIT_EXCEEDED", "burgee"));
    let expected = [("limit", "requests_per_key_per_second"), ("per_second", "1")];
    assert_eq!(info.metadata, HashMap::from(expected.map(|(key, value)| (key.to_owned(), value.to_owned()))));
    let retry_after = refusal.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!(retry_after.as_millis() <= 1_000, "{retry_after:?}");
    assert!(refused_requests(&world).await >= 1.0);

    for _ in 0..20 {
        evaluate(&mut other).await.unwrap();
    }
    tokio::time::sleep(retry_after).await;
    evaluate(&mut one).await.unwrap();
}

#[tokio::test]
async fn opening_a_stream_is_a_request_and_following_it_is_none() {
    let limits = ["--requests-per-key-per-second", "1", "--requests-per-key-burst", "1"];
    let world = World::new(&limits).await;
    let mut client = world.client(&world.keys[0]);
    let mut stream = client.watch_flags(WatchFlagsRequest::default()).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    let refusal = loop {
        if let Err(status) = client.watch_flags(WatchFlagsRequest::default()).await {
            break status;
        }
    };
    assert_eq!(reason(&refusal).as_deref(), Some("REQUEST_LIMIT_EXCEEDED"), "{refusal:?}");
    // The stream is still told of changes.
    let fixture = Fixture::existing(&world.server).await;
    let revision = fixture.set_metadata("feature-0", r#"{"changed": true}"#).await;
    while stream.message().await.unwrap().unwrap().revision < revision {}
}

#[tokio::test]
async fn a_bad_key_uses_up_nothing() {
    let limits = ["--requests-per-key-per-second", "1", "--requests-per-key-burst", "1"];
    let world = World::new(&limits).await;
    let mut stranger = world.client("ser.nobodys-key");
    for _ in 0..20 {
        let status = evaluate(&mut stranger).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    }
    assert_eq!(refused_requests(&world).await, 0.0);
    evaluate(&mut world.client(&world.keys[0])).await.unwrap();
}

#[tokio::test]
async fn requests_are_not_limited_unless_it_is_set() {
    let world = World::new(&[]).await;
    let mut client = world.client(&world.keys[0]);
    for _ in 0..300 {
        evaluate(&mut client).await.unwrap();
    }
    assert_eq!(refused_requests(&world).await, 0.0);
}

#[tokio::test]
async fn a_key_has_so_many_streams_on_all_connections_together() {
    let world = World::new(&["--streams-per-key", "2"]).await;
    let open = |key: &str, channel: Channel| {
        let mut client = EvaluationServiceClient::with_interceptor(channel, Credential::key(key));
        async move { client.watch_flags(WatchFlagsRequest::default()).await }
    };
    let [one, other] = &world.keys;
    let first = open(one, world.channel.clone()).await.unwrap();
    let _second = open(one, world.server.evaluation_channel().await).await.unwrap();
    let refusal = open(one, world.server.evaluation_channel().await).await.unwrap_err();
    assert_eq!(refusal.code(), Code::ResourceExhausted);
    let info = refusal.get_details_error_info().unwrap();
    assert_eq!(
        (info.reason.as_str(), info.metadata["limit"].as_str()),
        ("LIMIT_EXCEEDED", "streams_per_key")
    );
    let _others = open(other, world.channel.clone()).await.unwrap();

    drop(first);
    while open(one, world.channel.clone()).await.is_err() {
        tokio::task::yield_now().await;
    }
}

/// A call of management as if by a proxy, for whom it calls in `x-forwarded-for`.
async fn call(world: &World, secret: &str, address: &str) -> Result<(), Status> {
    let mut users = UserServiceClient::new(world.server.management_channel().await);
    let mut request = tonic::Request::new(GetCurrentUserRequest {});
    request.metadata_mut().insert("authorization", format!("Bearer {secret}").parse().unwrap());
    request.metadata_mut().insert("x-forwarded-for", address.parse().unwrap());
    users.get_current_user(request).await.map(drop)
}

#[tokio::test]
async fn settings_of_management_are_in_force_and_counted() {
    let settings = [
        ["--requests-per-token-per-second", "1", "--requests-per-token-burst", "50"],
        ["--sign-in-failures-per-minute", "3", "--trusted-proxies", "127.0.0.0/8"],
    ];
    let world = World::new(&settings.concat()).await;
    let count = async |name: &str| value(&world.server, &format!("burgee_management_{name}_total")).await;
    for _ in 0..3 {
        let status = call(&world, "bgt_guess", "192.0.2.1").await.unwrap_err();
        assert_eq!(reason(&status).as_deref(), Some("CREDENTIAL_INVALID"));
    }
    let status = call(&world, "bgt_guess", "192.0.2.1").await.unwrap_err();
    assert_eq!(reason(&status).as_deref(), Some("SIGN_IN_LIMIT_EXCEEDED"));
    // Others behind the same proxy are others.
    let status = call(&world, "bgt_guess", "192.0.2.2").await.unwrap_err();
    assert_eq!(reason(&status).as_deref(), Some("CREDENTIAL_INVALID"));
    assert_eq!((count("sign_ins_failed").await, count("sign_ins_refused").await), (4.0, 1.0));

    let token = world.server.credentials.token.clone();
    let refusal = loop {
        if let Err(status) = call(&world, &token, "192.0.2.3").await {
            break status;
        }
    };
    assert_eq!(reason(&refusal).as_deref(), Some("REQUEST_LIMIT_EXCEEDED"), "{refusal:?}");
    assert!(count("requests_limited").await >= 1.0);
}

#[tokio::test]
async fn the_largest_request_and_the_longest_deadline_are_settings_of_both_services() {
    let world = World::new(&["--max-message-bytes", "262144", "--max-deadline-ms", "300"]).await;
    let mut evaluation = world.client(&world.keys[0]);
    let mut management = EnvironmentServiceClient::with_interceptor(
        world.server.management_channel().await,
        world.server.token(),
    );
    for (bytes, refused) in [(262_144 - 1_000, false), (262_144, true)] {
        let text = "x".repeat(bytes);
        let features = vec![text.clone()];
        let evaluated =
            evaluation.evaluate_flags(EvaluateFlagsRequest { features, ..Default::default() }).await;
        let request = CreateEnvironmentKeyRequest { parent: text, ..Default::default() };
        let written = management.create_environment_key(request).await;
        for code in [evaluated.err().map(|status| status.code()), written.err().map(|status| status.code())] {
            assert_eq!(code == Some(Code::OutOfRange), refused, "{bytes} bytes: {code:?}");
        }
    }

    // A caller who sets no deadline waits no longer than the longest, less the tenth that is left for the answer.
    let started = Instant::now();
    let request = EvaluateFlagsRequest { min_revision: 1_000_000, ..Default::default() };
    let status = evaluation.evaluate_flags(request).await.unwrap_err();
    assert_eq!(reason(&status).as_deref(), Some("REVISION_NOT_REACHED"), "{status:?}");
    assert!(started.elapsed() >= Duration::from_millis(270), "{:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
}
