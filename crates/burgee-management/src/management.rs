//! The management services, ready to be served.

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use burgee_core::rate::RequestLimiter;
use burgee_core::store::FlagStore;
use burgee_proto::management::v1::change_service_server::ChangeServiceServer;
use burgee_proto::management::v1::environment_service_server::EnvironmentServiceServer;
use burgee_proto::management::v1::feature_service_server::FeatureServiceServer;
use burgee_proto::management::v1::flag_service_server::FlagServiceServer;
use burgee_proto::management::v1::group_service_server::GroupServiceServer;
use burgee_proto::management::v1::identity_service_server::IdentityServiceServer;
use burgee_proto::management::v1::invitation_service_server::InvitationServiceServer;
use burgee_proto::management::v1::organisation_service_server::OrganisationServiceServer;
use burgee_proto::management::v1::permission_service_server::PermissionServiceServer;
use burgee_proto::management::v1::project_service_server::ProjectServiceServer;
use burgee_proto::management::v1::segment_service_server::SegmentServiceServer;
use burgee_proto::management::v1::trust_service_server::TrustServiceServer;
use burgee_proto::management::v1::user_service_server::UserServiceServer;
use chrono::TimeDelta;
use http::{Request, Response};
use ipnet::IpNet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::RoutesBuilder;
use tower::Service;

use crate::access::{Methods, RightsError};
use crate::address::Proxies;
use crate::failures::Failures;
use crate::gate::Gate;
use crate::guard::{Guard, Guarding};
use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::oidc::{IssuerSettings, SettingsError, Verifier};
use crate::rate::TokenLimit;
use crate::retention::keep_trimming;
use crate::services::Handlers;
use crate::uses::Uses;
use crate::watch::{Places, Reads, Watching};

/// What an operator may set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The most bytes of a message that is received. Default: 4 MiB.
    pub max_message_bytes: usize,
    /// The longest time that a call without a stream may take; a caller may ask for less. Default: 60 seconds.
    pub max_deadline: Duration,
    /// How long a stream of changes stays silent. Default: 15 seconds.
    pub checkpoint_interval: Duration,
    /// How often a stream of changes looks for new ones, and whether its caller still may, when it is not told of any. Default:
    /// half a second.
    pub poll_interval: Duration,
    /// Streams of changes at once with one credential. Default: 100.
    pub streams_per_token: usize,
    /// Whose tokens are accepted beside those of the store. Default: nobody's.
    pub issuers: Vec<IssuerSettings>,
    /// How many requests a credential may make, if that is limited. In a second, and at once. Default: any number.
    pub requests_per_token: Option<(NonZeroU32, NonZeroU32)>,
    /// How many sign-ins of one address may fail in a minute; `None`: any number. Default: 60.
    pub sign_in_failures_per_minute: Option<NonZeroU32>,
    /// Proxies that are believed when they say in `x-forwarded-for` for whom they call. Default: none.
    pub trusted_proxies: Vec<IpNet>,
    /// For how long changes are kept; the newest of a log always is. Default: for ever.
    pub change_retention: Option<TimeDelta>,
    /// What is counted.
    pub metrics: Metrics,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_message_bytes: 4 * 1024 * 1024,
            max_deadline: Duration::from_secs(60),
            checkpoint_interval: Duration::from_secs(15),
            poll_interval: Duration::from_millis(500),
            streams_per_token: 100,
            issuers: Vec::new(),
            requests_per_token: None,
            sign_in_failures_per_minute: NonZeroU32::new(60),
            trusted_proxies: Vec::new(),
            change_retention: None,
            metrics: Metrics::default(),
        }
    }
}

/// Why the services do not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Nobody could say who may call what.
    #[error(transparent)]
    Rights(#[from] RightsError),

    /// The settings of an issuer break a rule.
    #[error(transparent)]
    Issuers(#[from] SettingsError),
}

/// The management services over one store.
#[derive(Clone)]
pub struct Management {
    handlers: Arc<Handlers>,
    guarding: Arc<Guarding>,
    max_message_bytes: usize,
    tasks: TaskTracker,
}

impl Management {
    /// Creates the services. Their streams and tasks end when `shutdown` is cancelled. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// A method of the services has no right in the table of rights, or the settings of an issuer break a rule.
    pub fn new(
        store: Arc<dyn FlagStore>,
        settings: Settings,
        shutdown: CancellationToken,
    ) -> Result<Self, StartError> {
        let methods = Methods::new(burgee_proto::DESCRIPTORS)?;
        let verifier = Verifier::new(settings.issuers)?;
        let metrics = settings.metrics;
        let uses = Uses::default();
        let failures = Failures::new(settings.sign_in_failures_per_minute, metrics.clone());
        let gate = Gate::new(store.clone(), verifier.clone(), uses.clone(), Arc::new(failures));
        let limiter = settings.requests_per_token.map(|(per_second, burst)| {
            RequestLimiter::new(per_second, burst).named("requests_per_token_per_second")
        });
        let watching = Watching {
            places: Places::default(),
            streams_per_token: settings.streams_per_token,
            store: store.clone(),
            reads: Reads::default(),
            hub: Hub::new(store.clone(), shutdown.clone()),
            gate: gate.clone(),
            shutdown: shutdown.clone(),
            poll_interval: settings.poll_interval,
            checkpoint_interval: settings.checkpoint_interval,
        };
        let tasks = TaskTracker::new();
        tasks.spawn(uses.keep_writing(store.clone(), shutdown.clone()));
        if let Some(retention) = settings.change_retention {
            tasks.spawn(keep_trimming(store.clone(), retention, metrics.clone(), shutdown));
        }
        tasks.close();
        let guarding = Guarding {
            methods,
            gate: gate.clone(),
            proxies: Proxies(settings.trusted_proxies),
            limit: TokenLimit::new(limiter, metrics),
            max_deadline: settings.max_deadline,
        };
        Ok(Self {
            handlers: Arc::new(Handlers { store, gate, verifier, watching }),
            guarding: Arc::new(guarding),
            max_message_bytes: settings.max_message_bytes,
            tasks,
        })
    }

    /// Waits until the tasks have ended, after the shutdown: what was noted of tokens is then written.
    pub async fn stopped(&self) {
        self.tasks.wait().await;
    }

    /// Adds the services to those that a server serves.
    pub fn add_to(&self, routes: &mut RoutesBuilder) {
        let bytes = self.max_message_bytes;
        let handlers = || self.handlers.clone();
        self.add(routes, OrganisationServiceServer::from_arc(handlers()).max_decoding_message_size(bytes));
        self.add(routes, UserServiceServer::from_arc(handlers()).max_decoding_message_size(bytes));
        self.add(routes, ProjectServiceServer::from_arc(handlers()).max_decoding_message_size(bytes));
        self.add(routes, EnvironmentServiceServer::from_arc(handlers()).max_decoding_message_size(bytes));
        self.add(routes, FeatureServiceServer::from_arc(handlers()).max_decoding_message_size(bytes));
        self.add(routes, FlagServiceServer::from_arc(handlers()).max_decoding_message_size(bytes));
        self.add(routes, SegmentServiceServer::from_arc(handlers()).max_decoding_message_size(bytes));
        self.add(routes, IdentityServiceServer::from_arc(handlers()).max_decoding_message_size(bytes));
        self.add(routes, GroupServiceServer::from_arc(handlers()).max_decoding_message_size(bytes));
        self.add(routes, InvitationServiceServer::from_arc(handlers()).max_decoding_message_size(bytes));
        self.add(routes, PermissionServiceServer::from_arc(handlers()).max_decoding_message_size(bytes));
        self.add(routes, TrustServiceServer::from_arc(handlers()).max_decoding_message_size(bytes));
        self.add(routes, ChangeServiceServer::from_arc(handlers()).max_decoding_message_size(bytes));
    }

    /// Adds a service behind a guard: there is no other way to add one.
    fn add<S>(&self, routes: &mut RoutesBuilder, service: S)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
        S: NamedService + Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        routes.add_service(Guard::new(service, self.guarding.clone()));
    }
}
