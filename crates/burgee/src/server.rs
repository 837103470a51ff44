//! The server: the services over a store, on their listeners, until they are told to stop.

use std::future::Future;
use std::net::{self, SocketAddr};
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use burgee_core::store::{FlagStore, Page};
use burgee_evaluation::{CopySettings, Evaluation};
use burgee_management::Management;
use burgee_store::Store;
use chrono::TimeDelta;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;
use tonic::transport::Server as TonicServer;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tracing::{info, warn};

use crate::incoming::Gate;
use crate::metrics::{Metrics, Page as MetricsPage, registry};
use crate::settings::ServerSettings;
use crate::tls::{Reloader, Tls};

/// A connection that is silent for so long is asked whether it still lives.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// A connection that does not answer that for so long is closed.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// The largest headers of a request, as HTTP/2 counts them. A client whose headers are four times as large loses its
/// connection.
const MAX_HEADER_LIST_BYTES: u32 = 16 * 1024;
/// Requests that a client took back before the server looked at them; with more at once, it loses its connection.
const MAX_PENDING_RESETS: usize = 20;
/// Requests that the server took back because of how the client behaved; with more, it loses its connection.
const MAX_ERROR_RESETS: usize = 1_024;
/// How often readiness of management is looked at.
const READINESS_INTERVAL: Duration = Duration::from_secs(1);

/// The name under which the health service tells whether the process lives, whatever becomes of the database.
const LIVENESS: &str = "liveness";
/// The prefix of the names of management services.
const MANAGEMENT: &str = "burgee.management.v1.";
/// The name of the evaluation service.
const EVALUATION: &str = "burgee.evaluation.v1.EvaluationService";

/// What is served on one address.
struct Listener {
    listener: TcpListener,
    address: SocketAddr,
    management: bool,
    evaluation: bool,
}

/// A server whose addresses are bound.
pub struct Server {
    listeners: Vec<Listener>,
    tls: Option<(Tls, Reloader)>,
    metrics: Metrics,
    metrics_page: Option<MetricsPage>,
    store: Store,
    settings: ServerSettings,
}

impl Server {
    /// Binds the addresses, and reads the certificates; services with the same address share it.
    ///
    /// # Errors
    /// An address cannot be bound, or a certificate cannot be used.
    pub fn bind(
        store: Store,
        management: Option<SocketAddr>,
        evaluation: Option<SocketAddr>,
        settings: ServerSettings,
    ) -> anyhow::Result<Self> {
        let shared = management.is_some() && management == evaluation;
        let mut listeners = Vec::new();
        if let Some(address) = management {
            listeners.push(Listener::bind(address, true, shared)?);
        }
        if let Some(address) = evaluation.filter(|_| !shared) {
            listeners.push(Listener::bind(address, false, true)?);
        }
        let metrics = Metrics::default();
        let tls = Tls::open(&settings, &metrics).context("TLS could not be configured")?;
        Ok(Self { listeners, tls, metrics, metrics_page: None, store, settings })
    }

    /// Binds an address for metrics, and returns it.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub fn serve_metrics(&mut self, address: SocketAddr) -> anyhow::Result<SocketAddr> {
        let page = MetricsPage::bind(address)?;
        let address = page.address();
        self.metrics_page = Some(page);
        Ok(address)
    }

    /// Returns where management is served, if it is.
    #[must_use]
    pub fn management(&self) -> Option<SocketAddr> {
        self.listeners.iter().find(|listener| listener.management).map(|listener| listener.address)
    }

    /// Returns where evaluation is served, if it is.
    #[must_use]
    pub fn evaluation(&self) -> Option<SocketAddr> {
        self.listeners.iter().find(|listener| listener.evaluation).map(|listener| listener.address)
    }

    /// Serves until `stop` is done; then reports "not ready", says goodbye to streams, and lets calls end.
    ///
    /// # Errors
    /// A service cannot start, or a listener fails.
    pub async fn run(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { listeners, tls, metrics, metrics_page, store, settings } = self;
        let management_metrics = burgee_management::Metrics::default();
        let evaluation_metrics = burgee_evaluation::Metrics::default();
        let stopping = CancellationToken::new();
        let shutdown = CancellationToken::new();
        let flag_store: Arc<dyn FlagStore> = Arc::new(store.clone());

        let serves_management = listeners.iter().any(|listener| listener.management);
        let management = serves_management
            .then(|| {
                let settings = management_settings(&settings, management_metrics.clone());
                Management::new(flag_store.clone(), settings, shutdown.clone())
            })
            .transpose()
            .context("management could not start")?;
        let serves_evaluation = listeners.iter().any(|listener| listener.evaluation);
        let evaluation = serves_evaluation
            .then(|| {
                let feed = Arc::new(store.clone());
                Evaluation::start(
                    feed,
                    Arc::new(store.clone()),
                    evaluation_settings(&settings, evaluation_metrics.clone()),
                    shutdown.clone(),
                )
            })
            .transpose()
            .context("evaluation could not start")?;

        let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
        if let Some(page) = metrics_page {
            info!(metrics.address = %page.address(), "metrics on {}", page.address());
            let registry = registry(
                &metrics,
                management.is_some().then_some(&management_metrics),
                evaluation.is_some().then_some(&evaluation_metrics),
            );
            tasks.spawn(page.serve(registry, shutdown.clone().cancelled_owned()));
        }
        let tls = tls.map(|(tls, reloader)| {
            tokio::spawn(reloader.run(stopping.clone()));
            tls
        });
        let max_connections = usize::try_from(settings.max_connections).unwrap_or(usize::MAX);
        let gate = Gate::new(tls, max_connections, metrics);
        let mut reporters = Vec::new();
        for listener in listeners {
            let (reporter, health) = tonic_health::server::health_reporter();
            reporter.set_service_status(LIVENESS, ServingStatus::Serving).await;
            let mut routes = RoutesBuilder::default();
            routes.add_service(health);
            for service in reflection(listener.management, listener.evaluation)? {
                service(&mut routes);
            }
            if let Some(management) = management.as_ref().filter(|_| listener.management) {
                management.add_to(&mut routes);
            }
            if let Some(evaluation) = evaluation.as_ref().filter(|_| listener.evaluation) {
                evaluation.add_to(&mut routes);
            }
            let evaluation = evaluation.clone().filter(|_| listener.evaluation);
            let management = flag_store.clone();
            let management = listener.management.then_some(management);
            let reporting = report_health(reporter.clone(), management, evaluation, stopping.clone());
            reporters.push((reporter, listener.management, listener.evaluation, tokio::spawn(reporting)));

            let mut server = TonicServer::builder()
                .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
                .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
                .max_concurrent_streams(Some(settings.streams_per_connection))
                .http2_max_header_list_size(Some(MAX_HEADER_LIST_BYTES))
                .http2_max_pending_accept_reset_streams(Some(MAX_PENDING_RESETS))
                .http2_max_local_error_reset_streams(Some(MAX_ERROR_RESETS));
            if let Some(age) = settings.max_connection_age_seconds.map(NonZeroU64::get) {
                server = server.max_connection_age(Duration::from_secs(age));
            }
            info!(
                server.address = %listener.address,
                management = listener.management,
                evaluation = listener.evaluation,
                "listening on {}",
                listener.address,
            );
            let ended = shutdown.clone().cancelled_owned();
            let router = server.add_routes(routes.routes());
            let connections = gate.clone().connections(listener.listener);
            tasks.spawn(async move {
                router.serve_with_incoming_shutdown(connections, ended).await.context("a listener failed")
            });
        }

        let mut failure = None;
        tokio::select! {
            () = stop => {}
            Some(ended) = tasks.join_next() => failure = Some(ended),
        }

        info!("stopping: not ready any more");
        stopping.cancel();
        for (reporter, management, evaluation, reporting) in reporters {
            // What it was about to report would be out of date.
            reporting.abort();
            let _ = reporting.await;
            set_all(&reporter, management, evaluation, ServingStatus::NotServing).await;
        }
        tokio::time::sleep(settings.shutdown_delay()).await;
        shutdown.cancel();
        let drained = async {
            while let Some(ended) = tasks.join_next().await {
                ended.context("a listener was aborted")??;
            }
            if let Some(management) = &management {
                management.stopped().await;
            }
            if let Some(evaluation) = &evaluation {
                evaluation.stopped().await;
            }
            store.close().await;
            anyhow::Ok(())
        };
        match tokio::time::timeout(settings.shutdown_timeout(), drained).await {
            Ok(ended) => ended?,
            Err(_) => warn!("what was still open after {} ms is cut", settings.shutdown_timeout_ms),
        }
        info!("stopped");
        match failure {
            Some(ended) => ended.context("a listener was aborted")?,
            None => Ok(()),
        }
    }
}

impl Listener {
    fn bind(address: SocketAddr, management: bool, evaluation: bool) -> anyhow::Result<Self> {
        let (listener, address) = listen(address)?;
        Ok(Self { listener, address, management, evaluation })
    }
}

/// Binds an address, and returns it: a port 0 is a free one then.
///
/// # Errors
/// The address cannot be bound.
pub(crate) fn listen(address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let bind = || {
        let listener = net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    };
    let listener = bind().with_context(|| format!("could not listen on {address}"))?;
    let address = listener.local_addr().context("a listener has no address")?;
    Ok((listener, address))
}

fn management_settings(
    settings: &ServerSettings,
    metrics: burgee_management::Metrics,
) -> burgee_management::Settings {
    let defaults = burgee_management::Settings::default();
    let per_second = settings.requests_per_token_per_second;
    burgee_management::Settings {
        // Whoever lost a right is to notice within a second, notifications or not.
        poll_interval: Duration::from_millis(settings.poll_interval_ms).min(defaults.poll_interval),
        max_message_bytes: settings.max_message_bytes(),
        max_deadline: settings.max_deadline(),
        streams_per_token: usize::try_from(settings.streams_per_token).unwrap_or(usize::MAX),
        issuers: settings.issuers.clone(),
        requests_per_token: per_second
            .map(|per_second| (per_second, settings.requests_per_token_burst.unwrap_or(per_second))),
        sign_in_failures_per_minute: NonZeroU32::new(settings.sign_in_failures_per_minute),
        trusted_proxies: settings.trusted_proxies.clone(),
        change_retention: settings.change_retention_days.map(|days| TimeDelta::days(days.get().into())),
        metrics,
        ..defaults
    }
}

fn evaluation_settings(
    settings: &ServerSettings,
    metrics: burgee_evaluation::Metrics,
) -> burgee_evaluation::Settings {
    burgee_evaluation::Settings {
        poll_interval: Duration::from_millis(settings.poll_interval_ms),
        max_message_bytes: settings.max_message_bytes(),
        max_deadline: settings.max_deadline(),
        identity_staleness: Duration::from_millis(settings.identity_staleness_ms),
        streams_per_connection: usize::try_from(settings.streams_per_connection).unwrap_or(usize::MAX),
        streams_per_key: usize::try_from(settings.streams_per_key).unwrap_or(usize::MAX),
        requests_per_key_per_second: settings.requests_per_key_per_second,
        requests_per_key_burst: settings.requests_per_key_burst,
        copies: settings.snapshot_dir.clone().map(|folder| CopySettings {
            longest_age: Duration::from_secs(settings.snapshot_max_age_seconds),
            ..CopySettings::new(folder, settings.database())
        }),
        unready_when_stale_for: settings.unready_when_stale_for_ms.map(Duration::from_millis),
        metrics,
        ..Default::default()
    }
}

type AddService = Box<dyn FnOnce(&mut RoutesBuilder)>;

/// Returns both versions of reflection over what the listener serves.
fn reflection(management: bool, evaluation: bool) -> anyhow::Result<[AddService; 2]> {
    let mut names = vec!["grpc.health.v1.Health".to_owned()];
    names.extend(services(management, evaluation));
    let builder = || {
        let builder = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(burgee_proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // So that clients which know the services by reflection alone can read the details of errors.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET);
        names.iter().fold(builder, |builder, name| builder.with_service_name(name.clone()))
    };
    let v1 = builder().build_v1().context("reflection v1 could not start")?;
    let v1alpha = builder().build_v1alpha().context("reflection v1alpha could not start")?;
    Ok([
        Box::new(|routes| {
            routes.add_service(v1);
        }),
        Box::new(|routes| {
            routes.add_service(v1alpha);
        }),
    ])
}

/// Returns the names of the services that a listener serves.
fn services(management: bool, evaluation: bool) -> Vec<String> {
    let names = [
        "ChangeService",
        "EnvironmentService",
        "FeatureService",
        "FlagService",
        "GroupService",
        "IdentityService",
        "InvitationService",
        "OrganisationService",
        "PermissionService",
        "ProjectService",
        "SegmentService",
        "TrustService",
        "UserService",
    ];
    let mut services = Vec::new();
    if management {
        services.extend(names.iter().map(|name| format!("{MANAGEMENT}{name}")));
    }
    if evaluation {
        services.push(EVALUATION.to_owned());
    }
    services
}

async fn set_all(reporter: &HealthReporter, management: bool, evaluation: bool, status: ServingStatus) {
    for service in services(management, evaluation) {
        reporter.set_service_status(service, status).await;
    }
    reporter.set_service_status("", status).await;
}

/// Keeps the health service in step: management is ready while the database answers, evaluation while it has data that is
/// fresh enough, the server as a whole when all that it serves is.
async fn report_health(
    reporter: HealthReporter,
    management: Option<Arc<dyn FlagStore>>,
    evaluation: Option<Evaluation>,
    stopping: CancellationToken,
) {
    let mut evaluation = evaluation.map(|evaluation| evaluation.readiness());
    let first = Page { after: None, limit: 1 };
    loop {
        let management_ready = match &management {
            Some(store) => Some(store.organisations(None, &first).await.is_ok()),
            None => None,
        };
        let evaluation_ready = evaluation.as_mut().map(|ready| *ready.borrow_and_update());
        let status = |ready| if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        if stopping.is_cancelled() {
            return;
        }
        if let Some(ready) = management_ready {
            for service in services(true, false) {
                reporter.set_service_status(service, status(ready)).await;
            }
        }
        if let Some(ready) = evaluation_ready {
            reporter.set_service_status(EVALUATION, status(ready)).await;
        }
        let all = management_ready.unwrap_or(true) && evaluation_ready.unwrap_or(true);
        reporter.set_service_status("", status(all)).await;

        let evaluation_changed = async {
            let changed = match &mut evaluation {
                Some(ready) => ready.changed().await.is_ok(),
                None => false,
            };
            if !changed {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(READINESS_INTERVAL) => {}
            () = evaluation_changed => {}
        }
    }
}

/// Waits for SIGTERM or SIGINT.
///
/// # Errors
/// The signals cannot be watched.
pub fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be watched")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be watched")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
