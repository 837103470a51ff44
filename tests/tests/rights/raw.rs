//! Calls of methods by their names, with requests that are bytes.

use std::net::SocketAddr;

use prost::Message;
use prost::bytes::{Buf as _, BufMut as _};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Status};

/// Messages as bytes.
#[derive(Clone, Copy, Default)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).to_vec()))
    }
}

/// A server, and the package whose methods are called.
#[derive(Clone)]
pub(crate) struct Server {
    channel: Channel,
    package: &'static str,
}

impl Server {
    pub(crate) async fn connect(address: SocketAddr, package: &'static str) -> Self {
        Self { channel: burgee_tests::server::channel(address).await, package }
    }

    /// Calls `Service/Method`. Of a stream, takes the first message.
    pub(crate) async fn call(&self, method: &str, bearer: &str, request: Vec<u8>) -> Result<Vec<u8>, Status> {
        let mut request = Request::new(request);
        if !bearer.is_empty() {
            let value = format!("Bearer {bearer}").parse().expect("a credential is a header");
            request.metadata_mut().insert("authorization", value);
        }
        let mut client = Grpc::new(self.channel.clone());
        client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let path = format!("/{}.{method}", self.package).parse().expect("a path");
        let response = client.server_streaming(request, path, Bytes).await?;
        let mut messages = response.into_inner();
        messages.message().await?.ok_or_else(|| Status::unknown("no message"))
    }

    /// Calls `Service/Method`, which must succeed.
    pub(crate) async fn must<R: Message + Default>(
        &self,
        method: &str,
        bearer: &str,
        request: impl Message,
    ) -> R {
        let answer = self.call(method, bearer, request.encode_to_vec()).await;
        let answer = answer.unwrap_or_else(|status| panic!("{method}: {status:?}"));
        R::decode(&*answer).unwrap()
    }
}
