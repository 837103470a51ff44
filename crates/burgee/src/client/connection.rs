//! Connections to servers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a quiet connection is asked whether it still is one, and how long the answer may take.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a call may take: what the server allows at most.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of an answer; more is a defect of the server.
pub(crate) const ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// A connection that presents a credential with every call.
pub type Connection = InterceptedService<Channel, Credential>;

/// Where the server is.
#[derive(Clone, Debug, clap::Args)]
pub struct ConnectionArgs {
    /// The server's address; `https://` for TLS.
    #[arg(long, value_name = "URL", env = "BURGEE_SERVER", default_value = "http://127.0.0.1:7777")]
    pub server: String,
    /// How to trust it, and be trusted.
    #[command(flatten)]
    pub tls: TlsArgs,
}

impl ConnectionArgs {
    /// Connects.
    ///
    /// # Errors
    /// The address is wrong, a file cannot be read, or nobody answers.
    pub async fn connect(&self) -> anyhow::Result<Channel> {
        connect(&self.server, &self.tls).await
    }
}

/// How to trust a server, and be trusted.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TlsArgs {
    /// A PEM file of the authorities that may sign the server's certificate, instead of the system's.
    #[arg(long, value_name = "FILE", env = "BURGEE_CLIENT_CA")]
    pub ca: Option<PathBuf>,
    /// A PEM file of the certificate to present, for servers that ask for one.
    #[arg(long, value_name = "FILE", env = "BURGEE_CLIENT_CERTIFICATE", requires = "client_key")]
    pub client_certificate: Option<PathBuf>,
    /// A PEM file of the certificate's private key.
    #[arg(long, value_name = "FILE", env = "BURGEE_CLIENT_KEY", requires = "client_certificate")]
    pub client_key: Option<PathBuf>,
}

/// Connects to `http://HOST:PORT`, `https://HOST:PORT` or `HOST:PORT`.
///
/// # Errors
/// The address is wrong, a file cannot be read, or nobody answers.
pub async fn connect(address: &str, tls: &TlsArgs) -> anyhow::Result<Channel> {
    let endpoint = endpoint(address, tls).await?;
    endpoint.connect().await.with_context(|| format!("could not connect to `{address}`"))
}

/// Prepares a connection that is made when it is first used, and again when it was lost.
///
/// # Errors
/// The address is wrong, or a file cannot be read.
pub async fn endpoint(address: &str, tls: &TlsArgs) -> anyhow::Result<Endpoint> {
    let url = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let wrong = || format!("`{address}` is no address, such as `http://127.0.0.1:7777`");
    let endpoint = Endpoint::from_shared(url.clone()).with_context(wrong)?;
    let endpoint = endpoint
        .user_agent(concat!("burgee/", env!("CARGO_PKG_VERSION")))
        .context("a built-in header is wrong")?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    match endpoint.uri().scheme_str() {
        Some("https") => endpoint.tls_config(tls_config(tls).await?).context("the TLS settings are wrong"),
        Some("http") if endpoint.uri().authority().is_some() => Ok(endpoint),
        _ => bail!(wrong()),
    }
}

async fn tls_config(tls: &TlsArgs) -> anyhow::Result<ClientTlsConfig> {
    let config = match &tls.ca {
        Some(file) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(file).await?)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    Ok(match (&tls.client_certificate, &tls.client_key) {
        (Some(certificate), Some(key)) => {
            config.identity(Identity::from_pem(read(certificate).await?, read(key).await?))
        }
        (None, _) | (_, None) => config,
    })
}

async fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    tokio::fs::read(file).await.with_context(|| format!("could not read `{}`", file.display()))
}

/// What is presented with every call, and how long a call may take.
#[derive(Clone)]
pub struct Credential {
    header: Option<(&'static str, MetadataValue<Ascii>)>,
    timeout: Option<Duration>,
}

impl Credential {
    /// Presents a token of the management API, if there is one.
    ///
    /// # Errors
    /// The token has characters that no token has.
    pub fn token(token: Option<&str>) -> anyhow::Result<Self> {
        let header =
            token.map(|token| secret("authorization", &format!("Bearer {}", token.trim()))).transpose()?;
        Ok(Self { header, timeout: Some(CALL_TIMEOUT) })
    }

    /// Presents an environment key.
    ///
    /// # Errors
    /// The key has characters that no key has.
    pub fn environment_key(key: &str) -> anyhow::Result<Self> {
        Ok(Self { header: Some(secret("x-environment-key", key.trim())?), timeout: Some(CALL_TIMEOUT) })
    }

    /// Lets calls take as long as they like: for streams.
    #[must_use]
    pub fn without_timeout(mut self) -> Self {
        self.timeout = None;
        self
    }

    /// Presents this on a channel.
    pub fn on(self, channel: Channel) -> Connection {
        InterceptedService::new(channel, self)
    }
}

fn secret(header: &'static str, text: &str) -> anyhow::Result<(&'static str, MetadataValue<Ascii>)> {
    // The error would hold the secret, so it is left out.
    let Ok(mut value) = MetadataValue::try_from(text) else {
        bail!("the token or key has characters that none has")
    };
    value.set_sensitive(true);
    Ok((header, value))
}

impl Interceptor for Credential {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some((name, value)) = &self.header {
            request.metadata_mut().insert(*name, value.clone());
        }
        if let Some(timeout) = self.timeout {
            request.set_timeout(timeout);
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_needs_no_scheme() {
        for (address, uri) in [
            ("127.0.0.1:7777", "http://127.0.0.1:7777/"),
            ("http://localhost:1", "http://localhost:1/"),
            ("https://flags.example.com", "https://flags.example.com/"),
        ] {
            let endpoint = endpoint(address, &TlsArgs::default()).await.unwrap();
            assert_eq!(endpoint.uri().to_string(), uri);
        }
    }

    #[tokio::test]
    async fn what_is_no_address_is_refused() {
        for address in ["", "ftp://localhost:1", "http://", "a b"] {
            let error = endpoint(address, &TlsArgs::default()).await.unwrap_err().to_string();
            assert!(error.contains("is no address"), "{error}");
        }
    }

    #[test]
    fn a_wrong_secret_is_not_repeated() {
        let error = Credential::token(Some("se\ncret")).err().unwrap();
        assert!(!format!("{error:?}").contains("cret\""), "{error:?}");
    }
}
