//! TLS of the listeners: certificates are read again when their files change, without a restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::metrics::{Metrics, ReloadResult};
use crate::settings::ServerSettings;

/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Files that have changed are taken once they have not changed for so long: a certificate and its key are seldom written
/// at once.
const SETTLE_TIME: Duration = Duration::from_secs(1);
/// The only protocol that is spoken.
const ALPN_HTTP2: &[u8] = b"h2";

/// The files of a server's TLS.
#[derive(Clone, Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

/// What the files held at one time; of those that cannot be read, why.
#[derive(Clone, PartialEq, Eq)]
struct Contents {
    certificate: Result<Vec<u8>, String>,
    key: Result<Vec<u8>, String>,
    client_ca: Option<Result<Vec<u8>, String>>,
}

/// The TLS of a server, as its files said last.
#[derive(Clone)]
pub(crate) struct Tls(watch::Receiver<Arc<ServerConfig>>);

/// Keeps a [`Tls`] in step with its files.
pub(crate) struct Reloader {
    files: Files,
    /// What was tried last, be it good or bad.
    tried: Contents,
    current: watch::Sender<Arc<ServerConfig>>,
    metrics: Metrics,
    hang_ups: Signal,
}

impl Tls {
    /// Reads the files of the settings, if TLS is set. The certificate stays as it is unless the reloader runs.
    ///
    /// # Errors
    /// A file cannot be read, or what they hold cannot be used; SIGHUP cannot be watched.
    pub(crate) fn open(
        settings: &ServerSettings,
        metrics: &Metrics,
    ) -> anyhow::Result<Option<(Self, Reloader)>> {
        let (Some(certificate), Some(key)) = (&settings.tls_certificate, &settings.tls_key) else {
            return Ok(None);
        };
        let client_ca = settings.tls_client_ca.clone();
        let files = Files { certificate: certificate.clone(), key: key.clone(), client_ca };
        let tried = files.read();
        let (current, receiver) = watch::channel(tried.config()?);
        let hang_ups = signal(SignalKind::hangup()).context("SIGHUP cannot be watched")?;
        Ok(Some((Self(receiver), Reloader { files, tried, current, metrics: metrics.clone(), hang_ups })))
    }

    /// Returns what does the next handshake.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.0.borrow()))
    }
}

impl Reloader {
    /// Takes new certificates as they come, until the end.
    pub(crate) async fn run(mut self, stopping: CancellationToken) {
        stopping.run_until_cancelled(self.follow()).await;
    }

    async fn follow(&mut self) {
        let mut hang_ups_are_watched = true;
        loop {
            let is_asked = tokio::select! {
                asked = self.hang_ups.recv(), if hang_ups_are_watched => {
                    hang_ups_are_watched = asked.is_some();
                    hang_ups_are_watched
                }
                () = tokio::time::sleep(LOOK_INTERVAL) => false,
            };
            let found = if is_asked { self.look().await } else { self.settled().await };
            if is_asked || found != self.tried {
                self.take(found);
            }
        }
    }

    /// Returns what the files hold; if it is new, once it stays.
    async fn settled(&self) -> Contents {
        let mut found = self.look().await;
        while found != self.tried {
            tokio::time::sleep(SETTLE_TIME).await;
            let before = std::mem::replace(&mut found, self.look().await);
            if found == before {
                break;
            }
        }
        found
    }

    async fn look(&self) -> Contents {
        let files = self.files.clone();
        // A read only fails to be made while the process ends.
        tokio::task::spawn_blocking(move || files.read()).await.unwrap_or_else(|_| self.tried.clone())
    }

    fn take(&mut self, found: Contents) {
        let certificate = self.files.certificate.display();
        match found.config() {
            Ok(config) => {
                self.current.send_replace(config);
                self.metrics.note_reload(ReloadResult::Ok);
                info!("the certificate `{certificate}` was read again; new connections get it");
            }
            Err(error) => {
                self.metrics.note_reload(ReloadResult::Failed);
                error!("the certificate `{certificate}` cannot be used, the former one stays: {error:#}");
            }
        }
        self.tried = found;
    }
}

impl Files {
    fn read(&self) -> Contents {
        Contents {
            certificate: read(&self.certificate),
            key: read(&self.key),
            client_ca: self.client_ca.as_deref().map(read),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("could not read `{}`: {error}", path.display()))
}

impl Contents {
    /// Makes what the listeners need of it. Every time, it begins with no sessions to resume: who was let in by a former
    /// authority must show its certificate again.
    fn config(&self) -> anyhow::Result<Arc<ServerConfig>> {
        let pem = |content: &Result<Vec<u8>, String>| content.clone().map_err(anyhow::Error::msg);
        let chain = certificates(&pem(&self.certificate)?).context("the certificate is not PEM")?;
        let key = PrivateKeyDer::from_pem_slice(&pem(&self.key)?).context("the key is not PEM")?;

        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .context("TLS could not be configured")?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(authorities) => {
                let mut roots = RootCertStore::empty();
                for authority in
                    certificates(&pem(authorities)?).context("the client authority is not PEM")?
                {
                    roots.add(authority).context("a client authority cannot be used")?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .context("the client authority cannot be used")?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config =
            builder.with_single_cert(chain, key).context("certificate and key cannot be used")?;
        config.alpn_protocols.push(ALPN_HTTP2.to_vec());
        Ok(Arc::new(config))
    }
}

fn certificates(pem: &[u8]) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>()?;
    ensure!(!certificates.is_empty(), "there is no certificate in it");
    Ok(certificates)
}
