//! A connection that was let in: plain or TLS, with the preface of HTTP/2 read.

use std::io;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::metrics::Metrics;

/// What every client of HTTP/2 sends first.
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A client that takes not one byte for so long has its connection closed. Its keepalive does not help: what would be
/// sent to end the connection waits behind all that the client does not take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

/// A connection. Handlers find a [`TcpConnectInfo`] in the extensions of a request, whether it came by TLS or not.
pub(crate) struct Connection {
    io: Io,
    peer: SocketAddr,
    /// How much of the preface was read again.
    replayed: usize,
    /// When the client has taken nothing for too long; runs only while something waits for it.
    stalled: Option<Pin<Box<Sleep>>>,
    _place: Place,
}

/// The place of a connection among those that are open; it is free again when this is dropped.
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    metrics: Metrics,
}

/// What carries the bytes.
pub(crate) enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Place {
    /// Counts a connection that has a permit.
    pub(crate) fn new(permit: OwnedSemaphorePermit, metrics: Metrics) -> Self {
        metrics.connections_open.inc();
        Self { _permit: permit, metrics }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.connections_open.dec();
    }
}

impl Connection {
    /// Waits for the preface of HTTP/2.
    ///
    /// # Errors
    /// The client sends something else, or nothing any more.
    pub(crate) async fn open(mut io: Io, peer: SocketAddr, place: Place) -> io::Result<Self> {
        let mut begin = [0; PREFACE.len()];
        let mut read = 0;
        // Whatever does not begin like the preface is turned away at once.
        while read < begin.len() {
            match io.read(&mut begin[read..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => read += more,
            }
            if begin[..read] != PREFACE[..read] {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "not the preface of HTTP/2"));
            }
        }
        Ok(Self { io, peer, replayed: 0, stalled: None, _place: place })
    }

    /// Lets a write wait, but not for ever.
    fn limit<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(WRITE_TIMEOUT)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        let stream = match &self.io {
            Io::Plain(stream) => stream,
            Io::Tls(stream) => stream.get_ref().0,
        };
        TcpConnectInfo { local_addr: stream.local_addr().ok(), remote_addr: Some(self.peer) }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = &PREFACE[self.replayed..];
        if rest.is_empty() {
            return Pin::new(&mut self.io).poll_read(context, buffer);
        }
        let length = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..length]);
        self.replayed += length;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Io::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        };
        self.limit(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Io::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        };
        self.limit(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(stream) => stream.is_write_vectored(),
            Io::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let written = match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_flush(context),
            Io::Tls(stream) => Pin::new(stream).poll_flush(context),
        };
        self.limit(context, written)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let written = match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Io::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        };
        self.limit(context, written)
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;
    use tokio::sync::Semaphore;

    use super::*;

    /// Opens a connection whose client sends these bytes, in these pieces, and then no more.
    async fn open(pieces: &[&[u8]]) -> io::Result<Connection> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let place = Place::new(permit, Metrics::default());
        let opening = tokio::spawn(Connection::open(Io::Plain(stream), peer, place));
        for piece in pieces {
            client.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        client.shutdown().await.unwrap();
        opening.await.unwrap()
    }

    #[tokio::test]
    async fn the_preface_is_read_again() {
        let mut connection = open(&[&PREFACE[..5], &PREFACE[5..], b"and more"]).await.unwrap();
        let mut all = Vec::new();
        connection.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, [PREFACE.as_slice(), b"and more"].concat());
    }

    #[tokio::test]
    async fn what_is_not_the_preface_is_turned_away() {
        for begin in [b"GET / HTTP/1.1\r\n\r\n".as_slice(), b"PRI * HTTP/1.1", b"\0", b"PRI", b""] {
            assert!(open(&[begin]).await.is_err(), "{begin:?}");
        }
    }
}
