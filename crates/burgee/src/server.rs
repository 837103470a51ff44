//! The server: the services over a store, on their listeners, until they are told to stop.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use burgee_core::store::{FlagStore, Page};
use burgee_evaluation::Evaluation;
use burgee_management::Management;
use burgee_store::Store;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server as TonicServer, ServerTlsConfig};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tracing::{info, warn};

use crate::settings::ServerSettings;

/// A connection that is silent for so long is asked whether it still lives.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// A connection that does not answer that for so long is closed.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
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
    incoming: TcpIncoming,
    address: SocketAddr,
    management: bool,
    evaluation: bool,
}

/// A server whose addresses are bound.
pub struct Server {
    listeners: Vec<Listener>,
    store: Store,
    settings: ServerSettings,
}

impl Server {
    /// Binds the addresses; services with the same address share it.
    ///
    /// # Errors
    /// An address cannot be bound.
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
        Ok(Self { listeners, store, settings })
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
        let Self { listeners, store, settings } = self;
        let stopping = CancellationToken::new();
        let shutdown = CancellationToken::new();
        let flag_store: Arc<dyn FlagStore> = Arc::new(store.clone());

        let serves_management = listeners.iter().any(|listener| listener.management);
        let management = serves_management
            .then(|| Management::new(flag_store.clone(), management_settings(&settings), shutdown.clone()))
            .transpose()
            .context("management could not start")?;
        let serves_evaluation = listeners.iter().any(|listener| listener.evaluation);
        let evaluation = serves_evaluation
            .then(|| {
                let feed = Arc::new(store.clone());
                Evaluation::start(
                    feed,
                    Arc::new(store.clone()),
                    evaluation_settings(&settings),
                    shutdown.clone(),
                )
            })
            .transpose()
            .context("evaluation could not start")?;

        let mut tasks = JoinSet::new();
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
                .max_concurrent_streams(Some(settings.streams_per_connection));
            if let Some(tls) = tls(&settings)? {
                server = server.tls_config(tls).context("TLS could not be configured")?;
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
            tasks.spawn(router.serve_with_incoming_shutdown(listener.incoming, ended));
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
                ended.context("a listener was aborted")?.context("a listener failed")?;
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
            Some(ended) => ended.context("a listener was aborted")?.context("a listener failed"),
            None => Ok(()),
        }
    }
}

impl Listener {
    fn bind(address: SocketAddr, management: bool, evaluation: bool) -> anyhow::Result<Self> {
        let incoming =
            TcpIncoming::bind(address).with_context(|| format!("could not listen on {address}"))?;
        let address = incoming.local_addr().context("a listener has no address")?;
        // Without it, small replies wait for the acknowledgement of earlier ones.
        let incoming = incoming.with_nodelay(Some(true));
        Ok(Self { incoming, address, management, evaluation })
    }
}

fn management_settings(settings: &ServerSettings) -> burgee_management::Settings {
    burgee_management::Settings {
        poll_interval: Duration::from_millis(settings.poll_interval_ms),
        ..Default::default()
    }
}

fn evaluation_settings(settings: &ServerSettings) -> burgee_evaluation::Settings {
    burgee_evaluation::Settings {
        poll_interval: Duration::from_millis(settings.poll_interval_ms),
        streams_per_connection: usize::try_from(settings.streams_per_connection).unwrap_or(usize::MAX),
        unready_when_stale_for: settings.unready_when_stale_for_ms.map(Duration::from_millis),
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
        "IdentityService",
        "OrganisationService",
        "ProjectService",
        "SegmentService",
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
            Some(store) => Some(store.organisations(&first).await.is_ok()),
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

fn tls(settings: &ServerSettings) -> anyhow::Result<Option<ServerTlsConfig>> {
    let (Some(certificate), Some(key)) = (&settings.tls_certificate, &settings.tls_key) else {
        return Ok(None);
    };
    let mut tls = ServerTlsConfig::new().identity(Identity::from_pem(read(certificate)?, read(key)?));
    if let Some(authorities) = &settings.tls_client_ca {
        tls = tls.client_ca_root(Certificate::from_pem(read(authorities)?));
    }
    Ok(Some(tls))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("could not read `{}`", path.display()))
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
