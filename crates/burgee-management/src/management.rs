//! The management services, ready to be served.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use burgee_core::store::FlagStore;
use burgee_proto::management::v1::change_service_server::ChangeServiceServer;
use burgee_proto::management::v1::environment_service_server::EnvironmentServiceServer;
use burgee_proto::management::v1::feature_service_server::FeatureServiceServer;
use burgee_proto::management::v1::flag_service_server::FlagServiceServer;
use burgee_proto::management::v1::identity_service_server::IdentityServiceServer;
use burgee_proto::management::v1::organisation_service_server::OrganisationServiceServer;
use burgee_proto::management::v1::project_service_server::ProjectServiceServer;
use burgee_proto::management::v1::segment_service_server::SegmentServiceServer;
use burgee_proto::management::v1::user_service_server::UserServiceServer;
use http::{Request, Response};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::RoutesBuilder;
use tower::Service;

use crate::access::{Gate, Rights, RightsError};
use crate::guard::Guard;
use crate::hub::Hub;
use crate::services::Handlers;
use crate::watch::Watching;

/// What an operator may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The most bytes of a message that is received. Default: 4 MiB.
    pub max_message_bytes: usize,
    /// The longest time that a call without a stream may take; a caller may ask for less. Default: 60 seconds.
    pub max_deadline: Duration,
    /// How long a stream of changes stays silent. Default: 15 seconds.
    pub checkpoint_interval: Duration,
    /// How often a stream of changes looks for new ones when it is not told of any. Default: 1 second.
    pub poll_interval: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_message_bytes: 4 * 1024 * 1024,
            max_deadline: Duration::from_secs(60),
            checkpoint_interval: Duration::from_secs(15),
            poll_interval: Duration::from_secs(1),
        }
    }
}

/// The nine management services over one store.
#[derive(Clone)]
pub struct Management {
    handlers: Arc<Handlers>,
    rights: Arc<Rights>,
    gate: Gate,
    settings: Settings,
}

impl Management {
    /// Creates the services. Their streams end when `shutdown` is cancelled.
    ///
    /// # Errors
    /// A method of the services has no right in the table of rights: nobody could say who may call it.
    pub fn new(
        store: Arc<dyn FlagStore>,
        settings: Settings,
        shutdown: CancellationToken,
    ) -> Result<Self, RightsError> {
        let rights = Arc::new(Rights::new(burgee_proto::DESCRIPTORS)?);
        let gate = Gate::new(store.clone());
        let watching = Watching {
            store: store.clone(),
            hub: Hub::new(store.clone(), shutdown.clone()),
            gate: gate.clone(),
            shutdown,
            poll_interval: settings.poll_interval,
            checkpoint_interval: settings.checkpoint_interval,
        };
        Ok(Self { handlers: Arc::new(Handlers { store, watching }), rights, gate, settings })
    }

    /// Adds the services to those that a server serves.
    pub fn add_to(&self, routes: &mut RoutesBuilder) {
        let bytes = self.settings.max_message_bytes;
        let handlers = || self.handlers.clone();
        self.add(routes, OrganisationServiceServer::from_arc(handlers()).max_decoding_message_size(bytes));
        self.add(routes, UserServiceServer::from_arc(handlers()).max_decoding_message_size(bytes));
        self.add(routes, ProjectServiceServer::from_arc(handlers()).max_decoding_message_size(bytes));
        self.add(routes, EnvironmentServiceServer::from_arc(handlers()).max_decoding_message_size(bytes));
        self.add(routes, FeatureServiceServer::from_arc(handlers()).max_decoding_message_size(bytes));
        self.add(routes, FlagServiceServer::from_arc(handlers()).max_decoding_message_size(bytes));
        self.add(routes, SegmentServiceServer::from_arc(handlers()).max_decoding_message_size(bytes));
        self.add(routes, IdentityServiceServer::from_arc(handlers()).max_decoding_message_size(bytes));
        self.add(routes, ChangeServiceServer::from_arc(handlers()).max_decoding_message_size(bytes));
    }

    /// Adds a service behind a guard: there is no other way to add one.
    fn add<S>(&self, routes: &mut RoutesBuilder, service: S)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
        S: NamedService + Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        let max_deadline = self.settings.max_deadline;
        routes.add_service(Guard::new(service, self.rights.clone(), self.gate.clone(), max_deadline));
    }
}
