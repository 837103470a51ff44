//! A way to the database that can fall silent: connections stay open, and nothing comes through.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What a connection says that listens to news of identities.
const LISTENS: &[u8] = b"burgee_beats";

/// A proxy before a database.
pub struct Proxy {
    address: SocketAddr,
    is_silent: watch::Sender<bool>,
}

impl Proxy {
    /// Starts a proxy to an address.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let is_silent = watch::Sender::new(false);
        let silence = is_silent.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(target).await else { continue };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                let is_listener = Arc::new(watch::Sender::new(false));
                tokio::spawn(pass_requests(from_client, to_server, Arc::clone(&is_listener)));
                tokio::spawn(pass_answers(from_server, to_client, is_listener, silence.subscribe()));
            }
        });
        Self { address, is_silent }
    }

    /// Returns the address of a database, through the proxy.
    #[must_use]
    pub fn url(&self, database_url: &str) -> String {
        let mut url = url::Url::parse(database_url).expect("an address is a URL");
        url.set_port(Some(self.address.port())).expect("the address has a port");
        url.to_string()
    }

    /// Holds back what the database says on connections that listen to news of identities, or lets it through again.
    pub fn silence(&self, is_silent: bool) {
        self.is_silent.send_replace(is_silent);
    }
}

async fn pass_requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    is_listener: Arc<watch::Sender<bool>>,
) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let bytes = &bytes[..count];
        if bytes.windows(LISTENS.len()).any(|window| window == LISTENS) {
            is_listener.send_replace(true);
        }
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}

async fn pass_answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    is_listener: Arc<watch::Sender<bool>>,
    mut is_silent: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let is_held = |is_silent: &bool| *is_silent && *is_listener.borrow();
        if is_silent.wait_for(|is_silent| !is_held(is_silent)).await.is_err() {
            return;
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
