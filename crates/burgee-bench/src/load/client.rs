//! A gRPC client that is little more than HTTP/2.

use anyhow::{Context as _, bail, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use h2::client::{Builder, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::net::TcpStream;

use super::job::Service;

/// What the server may send before it is read: enough that it never waits for the generator's permission.
const WINDOW_BYTES: u32 = 16 * 1024 * 1024;

/// The bytes before each message: whether it is compressed, and its length.
pub(super) const PREFIX: usize = 5;

/// A connection to a server.
#[derive(Clone)]
pub(crate) struct Connection {
    sender: SendRequest<Bytes>,
}

/// A method of a server, and the headers that its requests have.
#[derive(Clone)]
pub(crate) struct Method(http::Request<()>);

impl Method {
    /// Prepares the requests of a method.
    ///
    /// # Errors
    /// The path or the credential has characters that none may have.
    pub(crate) fn new(service: &Service, path: &str) -> anyhow::Result<Self> {
        let mut request = http::Request::post(format!("http://{}{path}", service.address));
        let headers = request.headers_mut().context("a path has odd characters")?;
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        headers.insert("te", HeaderValue::from_static("trailers"));
        if let Some((name, value)) = &service.credential {
            headers.insert(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
        }
        Ok(Self(request.body(())?))
    }
}

/// Returns a message as it is sent.
pub(crate) fn frame(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// The server does not listen, or does not speak HTTP/2.
    pub(crate) async fn open(service: &Service) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(service.address).await.context("could not connect")?;
        stream.set_nodelay(true)?;
        let mut builder = Builder::new();
        builder
            .initial_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .enable_push(false);
        let (sender, connection) = builder.handshake(stream).await.context("could not shake hands")?;
        // Ends when the last sender and stream are dropped; errors show on the streams.
        tokio::task::spawn_local(async { connection.await.ok() });
        Ok(Self { sender: sender.ready().await? })
    }

    /// Makes a request, and returns how many bytes the answer's message has.
    ///
    /// # Errors
    /// The connection breaks, or the status is not `OK`.
    pub(crate) async fn call(&self, method: &Method, framed: &Bytes) -> anyhow::Result<usize> {
        self.answer(method, framed, |_| {}).await
    }

    /// Makes a request, and returns the answer's message.
    ///
    /// # Errors
    /// See [`Self::call`].
    pub(crate) async fn ask(&self, method: &Method, framed: &Bytes) -> anyhow::Result<Vec<u8>> {
        let mut answer = Vec::new();
        self.answer(method, framed, |bytes| answer.extend_from_slice(bytes)).await?;
        Ok(answer.split_off(PREFIX))
    }

    async fn answer(
        &self,
        method: &Method,
        framed: &Bytes,
        mut keep: impl FnMut(&[u8]),
    ) -> anyhow::Result<usize> {
        let (mut body, _request) = self.open_stream(method, framed).await?;
        let mut length = 0;
        while let Some(bytes) = body.data().await {
            let bytes = bytes?;
            body.flow_control().release_capacity(bytes.len())?;
            keep(&bytes);
            length += bytes.len();
        }
        let trailers = body.trailers().await?.context("an answer has no trailers")?;
        check_status(&trailers)?;
        ensure!(length >= PREFIX, "an answer has no message");
        Ok(length - PREFIX)
    }

    /// Makes a request, and returns the answer's body once its headers are there. The request stays open as long as the
    /// second part is held.
    pub(super) async fn open_stream(
        &self,
        method: &Method,
        framed: &Bytes,
    ) -> anyhow::Result<(RecvStream, SendStream<Bytes>)> {
        let mut sender = self.sender.clone().ready().await?;
        let (response, mut request) = sender.send_request(method.0.clone(), false)?;
        request.send_data(framed.clone(), true)?;
        let response = response.await?;
        if response.headers().contains_key("grpc-status") {
            check_status(response.headers())?;
        }
        Ok((response.into_body(), request))
    }
}

fn check_status(headers: &HeaderMap) -> anyhow::Result<()> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match text("grpc-status") {
        "0" => Ok(()),
        status => bail!("answered with status {status}: {}", text("grpc-message")),
    }
}
