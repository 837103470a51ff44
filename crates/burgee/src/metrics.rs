//! Metrics: what the binary counts, and the page where Prometheus reads everything.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, StatusCode};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tracing::error;

/// Where the metrics are, on their address.
const PATH: &str = "/metrics";
/// The format of the page, for those who read it.
const FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the binary counts. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    /// Connections that are open, those on their way in included.
    pub(crate) connections_open: Gauge,
    /// Connections that were closed at once because there were too many.
    pub(crate) connections_refused: Counter,
    /// TLS handshakes that failed or took too long.
    pub(crate) tls_handshake_failures: Counter,
    certificate_reloads: Family<Reload, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reload {
    result: ReloadResult,
}

/// How reading a certificate again ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ReloadResult {
    /// It is served.
    Ok,
    /// The former one is.
    Failed,
}

impl EncodeLabelValue for ReloadResult {
    fn encode(
        &self,
        encoder: &mut prometheus_client::encoding::LabelValueEncoder<'_>,
    ) -> Result<(), std::fmt::Error> {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
        }
        .encode(encoder)
    }
}

impl Metrics {
    /// Counts a certificate that was read again.
    pub(crate) fn note_reload(&self, result: ReloadResult) {
        self.certificate_reloads.get_or_create(&Reload { result }).inc();
    }

    fn register(&self, registry: &mut Registry) {
        let Self { connections_open, connections_refused, tls_handshake_failures, certificate_reloads } =
            self;
        // So that both are there before anything happens.
        for result in [ReloadResult::Ok, ReloadResult::Failed] {
            drop(certificate_reloads.get_or_create(&Reload { result }));
        }
        let registry = registry.sub_registry_with_prefix("burgee");
        registry.register("connections_open", "Connections that are open", connections_open.clone());
        registry.register(
            "connections_refused",
            "Connections closed at once because too many were open",
            connections_refused.clone(),
        );
        registry.register(
            "tls_handshake_failures",
            "TLS handshakes that failed or took too long",
            tls_handshake_failures.clone(),
        );
        registry.register(
            "certificate_reloads",
            "Certificates read again while the server ran",
            certificate_reloads.clone(),
        );
    }
}

/// Returns everything that is counted. Labels come from the code alone: never a name, an id or a secret.
pub(crate) fn registry(
    metrics: &Metrics,
    management: Option<&burgee_management::Metrics>,
    evaluation: Option<&burgee_evaluation::Metrics>,
) -> Registry {
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    if let Some(management) = management {
        management.register(&mut registry);
    }
    if let Some(evaluation) = evaluation {
        evaluation.register(&mut registry);
    }
    registry
}

/// The page, on an address that is bound.
pub(crate) struct Page {
    listener: TcpListener,
    address: SocketAddr,
}

impl Page {
    /// Binds the address.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub(crate) fn bind(address: SocketAddr) -> anyhow::Result<Self> {
        let (listener, address) = crate::server::listen(address)?;
        Ok(Self { listener, address })
    }

    /// Returns where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the end.
    ///
    /// # Errors
    /// The listener fails.
    pub(crate) async fn serve(
        self,
        registry: Registry,
        end: impl Future<Output = ()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let registry = Arc::new(registry);
        let router = Router::new().route(PATH, get(move || page(Arc::clone(&registry))));
        let served = axum::serve(self.listener, router).with_graceful_shutdown(end);
        served.await.context("the listener of the metrics failed")
    }
}

async fn page(registry: Arc<Registry>) -> Result<([(HeaderName, &'static str); 1], String), StatusCode> {
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => Ok(([(CONTENT_TYPE, FORMAT)], text)),
        Err(error) => {
            error!("the metrics could not be written: {error}");
            Err(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_there_before_anything_happens() {
        let metrics = Metrics::default();
        let registry = registry(
            &metrics,
            Some(&burgee_management::Metrics::default()),
            Some(&burgee_evaluation::Metrics::default()),
        );
        metrics.note_reload(ReloadResult::Failed);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "burgee_connections_open 0",
            "burgee_connections_refused_total 0",
            "burgee_tls_handshake_failures_total 0",
            "burgee_certificate_reloads_total{result=\"ok\"} 0",
            "burgee_certificate_reloads_total{result=\"failed\"} 1",
            "burgee_evaluation_requests_limited_total 0",
            "burgee_evaluation_streams_open 0",
            "burgee_evaluation_environments_held 0",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in {text}");
        }
    }
}
