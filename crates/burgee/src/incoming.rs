//! Connections on their way in: counted, shaken hands with, and handed over once they speak HTTP/2.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_stream::stream;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_stream::Stream;
use tracing::{debug, warn};

use crate::connection::{Connection, Io, Place};
use crate::metrics::Metrics;
use crate::tls::Tls;

/// How long a TLS handshake may take, waiting for its turn included.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// TLS handshakes at once, on all listeners.
const MAX_HANDSHAKES: usize = 1_000;
/// How long a connection may take to send the preface of HTTP/2.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long accepting rests after it has failed, for want of file descriptors for example.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What lets connections in, the same for all listeners.
#[derive(Clone)]
pub(crate) struct Gate {
    tls: Option<Tls>,
    places: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
    metrics: Metrics,
}

impl Gate {
    /// Creates a gate for so many connections at once.
    pub(crate) fn new(tls: Option<Tls>, max_connections: usize, metrics: Metrics) -> Self {
        let places = Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS)));
        Self { tls, places, handshakes: Arc::new(Semaphore::new(MAX_HANDSHAKES)), metrics }
    }

    /// Lets in what comes to a listener. Dropping the stream closes the listener, and what is on its way in.
    pub(crate) fn connections(self, listener: TcpListener) -> impl Stream<Item = io::Result<Connection>> {
        stream! {
            let mut opening = JoinSet::new();
            let mut is_full = false;
            let mut has_failed = false;
            loop {
                tokio::select! {
                    accepted = listener.accept() => match accepted {
                        Ok((stream, peer)) => {
                            has_failed = false;
                            match Arc::clone(&self.places).try_acquire_owned() {
                                Ok(permit) => {
                                    is_full = false;
                                    let place = Place::new(permit, self.metrics.clone());
                                    opening.spawn(self.clone().open(stream, peer, place));
                                }
                                Err(_) => {
                                    self.metrics.connections_refused.inc();
                                    if !std::mem::replace(&mut is_full, true) {
                                        warn!("`max-connections` are open; further ones are closed at once");
                                    }
                                }
                            }
                        }
                        Err(error) if is_of_the_client(&error) => {}
                        Err(error) => {
                            if !std::mem::replace(&mut has_failed, true) {
                                warn!("could not accept a connection: {error}");
                            }
                            tokio::time::sleep(ACCEPT_PAUSE).await;
                        }
                    },
                    Some(opened) = opening.join_next() => match opened {
                        Ok(Some(connection)) => yield Ok(connection),
                        Ok(None) | Err(_) => {}
                    },
                }
            }
        }
    }

    /// Shakes hands. `None` if the client does not do its part.
    async fn open(self, stream: TcpStream, peer: SocketAddr, place: Place) -> Option<Connection> {
        // Without it, small replies wait for the acknowledgement of earlier ones.
        if let Err(error) = stream.set_nodelay(true) {
            debug!("could not set TCP_NODELAY: {error}");
        }
        let io = match &self.tls {
            None => Io::Plain(stream),
            Some(tls) => {
                let handshake = async {
                    let _turn = self.handshakes.acquire().await.map_err(io::Error::other)?;
                    tls.acceptor().accept(stream).await
                };
                match timeout(HANDSHAKE_TIMEOUT, handshake).await.unwrap_or_else(|late| Err(late.into())) {
                    Ok(stream) => Io::Tls(Box::new(stream)),
                    Err(error) => {
                        self.metrics.tls_handshake_failures.inc();
                        debug!(client.address = %peer, "a TLS handshake failed: {error}");
                        return None;
                    }
                }
            }
        };
        let opened = timeout(PREFACE_TIMEOUT, Connection::open(io, peer, place)).await;
        let opened = opened.unwrap_or_else(|late| Err(late.into()));
        opened.inspect_err(|error| debug!(client.address = %peer, "a connection was closed: {error}")).ok()
    }
}

/// Says whether accepting failed for a reason that lies with one client only.
fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::mpsc;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::ServerName;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};
    use tokio_stream::StreamExt as _;
    use tonic::transport::server::{Connected as _, TcpConnectInfo};

    use super::*;
    use crate::connection::PREFACE;
    use crate::settings::{Given, ServerSettings};

    /// Lets in, and passes on what came in: the connection's information, and the first bytes read from it.
    async fn serve(gate: Gate) -> (SocketAddr, mpsc::Receiver<(TcpConnectInfo, Vec<u8>)>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut connections = pin!(gate.connections(listener));
            while let Some(Ok(mut connection)) = connections.next().await {
                let mut begin = vec![0; PREFACE.len()];
                connection.read_exact(&mut begin).await.unwrap();
                sender.send((connection.connect_info(), begin)).await.unwrap();
            }
        });
        (address, receiver)
    }

    #[tokio::test]
    async fn handlers_see_who_is_at_the_other_end_of_a_plain_connection() {
        let (address, mut served) = serve(Gate::new(None, 1, Metrics::default())).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(PREFACE).await.unwrap();
        let (TcpConnectInfo { local_addr, remote_addr }, begin) = served.recv().await.unwrap();
        assert_eq!((local_addr, remote_addr), (Some(address), Some(client.local_addr().unwrap())));
        assert_eq!(begin, PREFACE);
    }

    #[tokio::test]
    async fn handlers_see_who_is_at_the_other_end_of_a_tls_connection() {
        let folder = tempfile::tempdir().unwrap();
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let files = [folder.path().join("server.pem"), folder.path().join("server.key")];
        std::fs::write(&files[0], certified.cert.pem()).unwrap();
        std::fs::write(&files[1], certified.signing_key.serialize_pem()).unwrap();
        let [tls_certificate, tls_key] = files.map(Some);
        let settings = ServerSettings::from(Given { tls_certificate, tls_key, ..Given::default() });
        let metrics = Metrics::default();
        let (tls, _) = Tls::open(&settings, &metrics).unwrap().unwrap();
        let (address, mut served) = serve(Gate::new(Some(tls), 1, metrics)).await;

        let mut roots = RootCertStore::empty();
        roots.add(certified.cert.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(address).await.unwrap();
        let here = stream.local_addr().unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let mut client = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
        client.write_all(PREFACE).await.unwrap();
        client.flush().await.unwrap();
        let (TcpConnectInfo { local_addr, remote_addr }, begin) = served.recv().await.unwrap();
        assert_eq!((local_addr, remote_addr), (Some(address), Some(here)));
        assert_eq!(begin, PREFACE);
    }
}
