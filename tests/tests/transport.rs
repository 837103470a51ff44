//! Clients that mean ill, or are broken: the real server, over sockets whose frames are written by hand. Beside each, a
//! client that does nothing wrong goes on being answered.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use burgee_proto::evaluation::v1::evaluation_service_client::EvaluationServiceClient;
use burgee_proto::evaluation::v1::{EvaluateFlagsRequest, WatchFlagsRequest};
use burgee_tests::fixture::Fixture;
use burgee_tests::frames::{
    ACK, CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS,
    INITIAL_WINDOW_SIZE, PING, PREFACE, RST_STREAM, RawConnection, SETTINGS, frame, request, settings, text,
};
use burgee_tests::metrics::{until, value};
use burgee_tests::server::{Credential, PATIENCE, Server, channel};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

const EVALUATE_FLAGS: &str = "/burgee.evaluation.v1.EvaluationService/EvaluateFlags";
const WATCH_FLAGS: &str = "/burgee.evaluation.v1.EvaluationService/WatchFlags";
/// A gRPC message of no bytes: a request whose fields all have their defaults.
const EMPTY_MESSAGE: &[u8] = &[0; 5];
/// How much a server may grow under an attack.
const MAX_GROWTH_BYTES: u64 = 64 * 1024 * 1024;
/// How often an attack that is soon over is made.
const ATTACKS: usize = 30;
/// What no server needs to take in of a flood.
const MAX_FLOOD_BYTES: usize = 512 * 1024 * 1024;
/// A writer who gets nothing rid for so long is held back by the server.
const STALL: Duration = Duration::from_secs(2);

/// A server with a project, metrics, and a key.
struct World {
    server: Server,
    fixture: Fixture,
    key: String,
    _folder: TempDir,
}

impl World {
    async fn new(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database_url = format!("sqlite:{}", folder.path().join("burgee.db").display());
        let more = [&["--metrics", "127.0.0.1:0"], more].concat();
        let server = Server::serve_some(&database_url, true, true, &more).await;
        let fixture = Fixture::new(&server).await.features(3).await;
        let key = fixture.server_side_key().await;
        Self { server, fixture, key, _folder: folder }
    }

    fn address(&self) -> SocketAddr {
        self.server.evaluation.unwrap()
    }

    async fn connect(&self, with: &[(u16, u32)]) -> RawConnection {
        RawConnection::open(self.address(), with).await.unwrap()
    }

    fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.server.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Evaluates on a connection of its own.
    async fn check_served(&self) {
        let channel = channel(self.address()).await;
        let mut client = EvaluationServiceClient::with_interceptor(channel, Credential::key(&self.key));
        let answer = timeout(PATIENCE, client.evaluate_flags(EvaluateFlagsRequest::default())).await;
        assert_eq!(answer.expect("an answer in time").unwrap().into_inner().flags.len(), 3);
    }

    /// Attacks; beside it, a client must go on being answered, and the server must not grow without bound.
    async fn beside<T>(&self, attack: impl Future<Output = T>) -> T {
        self.check_served().await;
        let before = self.resident_bytes();
        let mut client = self.server.evaluator(&self.key).await;
        let mut answered = 0;
        let neighbour = async {
            loop {
                let answer = timeout(PATIENCE, client.evaluate_flags(EvaluateFlagsRequest::default())).await;
                answer.expect("an answer in time").expect("an answer");
                answered += 1;
                let growth = self.resident_bytes().saturating_sub(before);
                assert!(growth < MAX_GROWTH_BYTES, "the server grew by {growth} bytes");
                // The attack has a share of this thread, too.
                tokio::task::yield_now().await;
            }
        };
        let result = tokio::select! {
            result = attack => result,
            () = neighbour => unreachable!("the neighbour never ends"),
        };
        assert!(answered > 0, "nobody else was answered");
        self.check_served().await;
        result
    }
}

/// Sends the same frames over and over, reading nothing, until the server takes no more for a while.
async fn flood(connection: &mut RawConnection, frames: &[u8]) {
    let mut sent = 0;
    while sent < MAX_FLOOD_BYTES {
        // A frame that was sent in part goes on where it stopped.
        match timeout(STALL, connection.stream.write(&frames[sent % frames.len()..])).await {
            Ok(written) => sent += written.expect("the connection is not closed yet"),
            Err(_) => return,
        }
    }
    panic!("the server took {sent} bytes");
}

#[tokio::test]
async fn requests_that_are_taken_back_at_once_cost_the_connection() {
    let world = World::new(&[]).await;
    let headers = request(EVALUATE_FLAGS, &[("x-environment-key", &world.key)]);
    let mut burst = Vec::new();
    for stream in (1..1_000).step_by(2) {
        burst.extend(frame(HEADERS, END_HEADERS, stream, &headers));
        burst.extend(frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()));
    }
    let told = world.beside(async {
        let mut told = 0;
        for _ in 0..ATTACKS {
            let mut connection = world.connect(&[]).await;
            // The server may close before it has read all.
            let _ = connection.stream.write_all(&burst).await;
            let goaway = timeout(PATIENCE, connection.goaway()).await.expect("the connection is closed");
            told += usize::from(goaway.is_some_and(|goaway| goaway.reason() == ENHANCE_YOUR_CALM));
        }
        told
    });
    // A broken connection may swallow the reason, but not each time.
    assert!(told.await > 0, "nobody was told why");
}

/// Floods the server until it stops reading, and waits until it closes the connection.
async fn check_flood_ends(world: &World, one: &[u8]) {
    let mut connection = world.connect(&[]).await;
    flood(&mut connection, &one.repeat(4_096)).await;
    let closed = async { while connection.stream.write(one).await.is_ok() {} };
    timeout(PATIENCE, closed).await.expect("the connection is closed in time");
}

#[tokio::test]
async fn who_sends_pings_and_settings_and_reads_nothing_is_read_no_more_and_cut() {
    let world = World::new(&[]).await;
    let (pings, settings) = (frame(PING, 0, 0, &[7; 8]), settings(&[(1, 4_096)]));
    let attack =
        async { tokio::join!(check_flood_ends(&world, &pings), check_flood_ends(&world, &settings)) };
    world.beside(attack).await;
}

/// Begins a request whose headers go on in these frames, on several connections in turn; each must be closed.
async fn check_headers_cost_the_connection(more: &[u8]) {
    let world = World::new(&[]).await;
    let frames = [&frame(HEADERS, 0, 1, &request(EVALUATE_FLAGS, &[])), more].concat();
    world
        .beside(async {
            for _ in 0..ATTACKS {
                let mut connection = world.connect(&[]).await;
                // The server may close before it has read all.
                let _ = connection.stream.write_all(&frames).await;
                let goaway = timeout(PATIENCE, connection.goaway()).await.expect("the connection is closed");
                assert!(goaway.is_none_or(|goaway| goaway.reason() == ENHANCE_YOUR_CALM));
            }
        })
        .await;
}

#[tokio::test]
async fn headers_that_never_end_cost_the_connection() {
    let mut part = vec![0];
    part.extend(text("x-more"));
    part.extend(text(&"x".repeat(16_000)));
    check_headers_cost_the_connection(&frame(CONTINUATION, 0, 1, &part).repeat(1_000)).await;
}

#[tokio::test]
async fn many_empty_continuations_cost_the_connection() {
    check_headers_cost_the_connection(&frame(CONTINUATION, 0, 1, &[]).repeat(100_000)).await;
}

#[tokio::test]
async fn small_headers_that_unpack_to_large_ones_are_refused() {
    let world = World::new(&[]).await;
    // Into the table with 4,000 bytes, and 16,000 times out of it: 64 MB from 20 kB.
    let mut block = request(EVALUATE_FLAGS, &[("x-environment-key", &world.key)]);
    block.push(0x40);
    block.extend(text("x-bomb"));
    block.extend(text(&"x".repeat(4_000)));
    let mut bomb = frame(HEADERS, 0, 1, &block);
    bomb.extend(frame(CONTINUATION, END_HEADERS, 1, &[0xbe; 16_000]));
    bomb.extend(frame(DATA, END_STREAM, 1, EMPTY_MESSAGE));
    world
        .beside(async {
            for _ in 0..ATTACKS {
                let mut connection = world.connect(&[]).await;
                connection.stream.write_all(&bomb).await.unwrap();
                let refused = timeout(PATIENCE, is_refused(&mut connection)).await;
                assert!(refused.expect("a refusal in time"), "the request was answered");
            }
        })
        .await;
}

/// Says whether a request is refused, or its connection closed, and not answered.
async fn is_refused(connection: &mut RawConnection) -> bool {
    loop {
        match connection.read().await {
            Ok(Some(frame)) if frame.kind == DATA => return false,
            Ok(Some(frame)) if [GOAWAY, RST_STREAM].contains(&frame.kind) => return true,
            // `:status: 431` comes alone.
            Ok(Some(frame)) if frame.kind == HEADERS => return frame.flags & END_STREAM == END_STREAM,
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return true,
        }
    }
}

#[tokio::test]
async fn headers_above_the_limit_cost_the_request_only() {
    let world = World::new(&[]).await;
    let mut client = world.server.evaluator(&world.key).await;
    let with = |bytes: usize| {
        let mut request = tonic::Request::new(EvaluateFlagsRequest::default());
        request.metadata_mut().insert("x-more", "x".repeat(bytes).parse().unwrap());
        request
    };
    client.evaluate_flags(with(8_000)).await.unwrap();
    client.evaluate_flags(with(20_000)).await.unwrap_err();
    client.evaluate_flags(with(0)).await.unwrap();
}

#[tokio::test]
async fn who_does_not_begin_in_time_is_cut() {
    let world = World::new(&[]).await;
    let open = value(&world.server, "burgee_connections_open").await;
    world
        .beside(async {
            let mut silent = Vec::new();
            for number in 0..200 {
                let mut stream = TcpStream::connect(world.address()).await.unwrap();
                stream.write_all(&PREFACE[..number % PREFACE.len()]).await.unwrap();
                silent.push(stream);
            }
            until(&world.server, "burgee_connections_open", |now| now >= open + 200.0).await;
            let began = Instant::now();
            for stream in &mut silent {
                let read = timeout(PATIENCE, stream.read(&mut [0])).await.expect("it is cut in time");
                assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
            }
            assert!(began.elapsed() > Duration::from_secs(5), "cut after {:?}", began.elapsed());
        })
        .await;
    until(&world.server, "burgee_connections_open", |now| now < open + 10.0).await;
}

#[tokio::test]
async fn what_is_not_http2_is_turned_away_at_once() {
    let world = World::new(&[]).await;
    for begin in [b"GET / HTTP/1.1\r\n\r\n".as_slice(), b"\x16\x03\x01\x02\x00", b"PRI * HTTP/1.1\r\n"] {
        let mut stream = TcpStream::connect(world.address()).await.unwrap();
        stream.write_all(begin).await.unwrap();
        let read = timeout(Duration::from_secs(5), stream.read(&mut [0])).await.expect("at once");
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }
    world.check_served().await;
}

#[tokio::test]
async fn who_never_opens_the_window_makes_the_server_keep_little() {
    let world = World::new(&[]).await;
    let streams: u32 = 500;
    world
        .beside(async {
            let mut connection = world.connect(&[(INITIAL_WINDOW_SIZE, 0)]).await;
            let mut frames = frame(SETTINGS, ACK, 0, &[]);
            let headers = |path| request(path, &[("x-environment-key", &world.key)]);
            for stream in 0..streams {
                let (watch, evaluate) = (4 * stream + 1, 4 * stream + 3);
                frames.extend(frame(HEADERS, END_HEADERS, watch, &headers(WATCH_FLAGS)));
                frames.extend(frame(DATA, END_STREAM, watch, EMPTY_MESSAGE));
                frames.extend(frame(HEADERS, END_HEADERS, evaluate, &headers(EVALUATE_FLAGS)));
                frames.extend(frame(DATA, END_STREAM, evaluate, EMPTY_MESSAGE));
            }
            connection.stream.write_all(&frames).await.unwrap();
            let open = f64::from(streams);
            until(&world.server, "burgee_evaluation_streams_open", |now| now == open).await;

            // Changes that nobody takes; who does, gets them.
            let mut client = world.server.evaluator(&world.key).await;
            let mut reader = client.watch_flags(WatchFlagsRequest::default()).await.unwrap().into_inner();
            for number in 0..50 {
                let metadata = format!("{{\"text\": \"{}\"}}", number.to_string().repeat(500));
                let revision = world.fixture.set_metadata("feature-0", &metadata).await;
                while reader.message().await.unwrap().unwrap().revision < revision {}
            }
            // Not a byte of an answer came by.
            drop(reader);
            until(&world.server, "burgee_evaluation_streams_open", |now| now == open).await;
        })
        .await;
    // With the connection, all of it is gone.
    until(&world.server, "burgee_evaluation_streams_open", |now| now == 0.0).await;
}

#[tokio::test]
async fn connections_above_the_limit_are_closed_at_once() {
    let world = World::new(&["--max-connections", "20"]).await;
    let mut client = world.server.evaluator(&world.key).await;
    let mut served = Vec::new();
    let mut refused = 0;
    for _ in 0..40 {
        let read = async {
            let mut connection = RawConnection::open(world.address(), &[]).await?;
            let first = connection.read().await?;
            std::io::Result::Ok(first.map(|first| (connection, first)))
        };
        match timeout(PATIENCE, read).await.expect("served or closed in time") {
            Ok(Some((connection, first))) => {
                assert_eq!(first.kind, SETTINGS);
                served.push(connection);
            }
            Ok(None) | Err(_) => refused += 1,
        }
    }
    assert!((1..20).contains(&served.len()), "{} were served", served.len());
    assert_eq!(value(&world.server, "burgee_connections_refused_total").await, f64::from(refused));
    assert_eq!(value(&world.server, "burgee_connections_open").await, 20.0);
    client.evaluate_flags(EvaluateFlagsRequest::default()).await.unwrap();

    drop(served);
    until(&world.server, "burgee_connections_open", |open| open < 20.0).await;
    world.check_served().await;
}

#[tokio::test]
async fn an_old_connection_is_asked_to_come_again_and_its_streams_go_on() {
    let world = World::new(&["--max-connection-age-seconds", "1"]).await;
    let mut client = world.server.evaluator(&world.key).await;
    let mut stream = client.watch_flags(WatchFlagsRequest::default()).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    // Younger than the stream's: when it is asked, that one was, too.
    let mut connection = world.connect(&[]).await;
    let goaway = timeout(PATIENCE, connection.goaway()).await.expect("it is asked in time").unwrap();
    assert_eq!(goaway.reason(), 0);
    let revision = world.fixture.set_metadata("feature-0", r#"{"changed": true}"#).await;
    while stream.message().await.unwrap().unwrap().revision < revision {}
    world.check_served().await;
}
