//! A server and a database of its own for every test, and short words for what tests write.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use burgee_management::{Management, Settings, bootstrap};
use burgee_proto::management::v1::*;
use burgee_proto::v1 as pb;
use burgee_store::{Store, StoreOptions};
use burgee_tests::postgres::Cluster;
use chrono::Utc;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::service::{Interceptor, RoutesBuilder};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt as _;

/// Makes each promise a test on both databases.
macro_rules! both {
    ($($name:ident,)*) => {
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    super::$name(crate::world::World::postgres().await).await;
                }
            )*
        }
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    super::$name(crate::world::World::sqlite().await).await;
                }
            )*
        }
    };
}

pub(crate) const ACME: &str = "organisations/acme";
pub(crate) const SHOP: &str = "organisations/acme/projects/shop";
pub(crate) const DEV: &str = "organisations/acme/projects/shop/environments/dev";

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A server over a store of its own.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) shutdown: CancellationToken,
    pub(crate) channel: Channel,
    pub(crate) token: String,
    url: String,
    _folder: Option<Arc<TempDir>>,
}

/// Presents a token.
#[derive(Clone)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

type Authenticated = InterceptedService<Channel, Bearer>;

macro_rules! clients {
    ($($name:ident: $module:ident::$client:ident)*) => {
        impl World {
            $(
                pub(crate) fn $name(&self) -> $module::$client<Authenticated> {
                    $module::$client::with_interceptor(self.channel.clone(), bearer(&self.token))
                }
            )*
        }
    };
}

clients! {
    organisations: organisation_service_client::OrganisationServiceClient
    users: user_service_client::UserServiceClient
    projects: project_service_client::ProjectServiceClient
    environments: environment_service_client::EnvironmentServiceClient
    features: feature_service_client::FeatureServiceClient
    flags: flag_service_client::FlagServiceClient
    segments: segment_service_client::SegmentServiceClient
    identities: identity_service_client::IdentityServiceClient
    changes: change_service_client::ChangeServiceClient
    groups: group_service_client::GroupServiceClient
    invitations: invitation_service_client::InvitationServiceClient
    permissions: permission_service_client::PermissionServiceClient
    trust: trust_service_client::TrustServiceClient
}

fn bearer(token: &str) -> Bearer {
    Bearer(
        Some(token).filter(|token| !token.is_empty()).map(|token| format!("Bearer {token}").parse().unwrap()),
    )
}

/// Intervals that let tests see checkpoints; writes are heard of, so that no test depends on the poll.
pub(crate) fn settings() -> Settings {
    Settings { checkpoint_interval: Duration::from_millis(300), ..Settings::default() }
}

impl World {
    pub(crate) async fn postgres() -> Self {
        Self::open(Cluster::shared().database().await, None).await
    }

    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("burgee.db").display());
        Self::open(url, Some(folder)).await
    }

    pub(crate) async fn open(url: String, folder: Option<TempDir>) -> Self {
        let store = open(&url);
        store.migrate().await.unwrap();
        let token = bootstrap(&store, Utc::now()).await.unwrap().unwrap();
        let (channel, shutdown) = serve(store.clone(), settings()).await;
        Self { store, shutdown, channel, token, url, _folder: folder.map(Arc::new) }
    }

    /// Another server over the same database, as another replica would be.
    pub(crate) async fn another(&self, settings: Settings) -> Self {
        let store = open(&self.url);
        let (channel, shutdown) = serve(store.clone(), settings).await;
        let (token, url) = (self.token.clone(), self.url.clone());
        Self { store, shutdown, channel, token, url, _folder: self._folder.clone() }
    }

    /// The same server, for somebody else.
    pub(crate) fn as_caller(&self, token: &str) -> Self {
        Self {
            store: self.store.clone(),
            shutdown: self.shutdown.clone(),
            channel: self.channel.clone(),
            token: token.to_owned(),
            url: self.url.clone(),
            _folder: self._folder.clone(),
        }
    }

    /// The same server, for somebody without a token.
    pub(crate) fn as_nobody(&self) -> Self {
        self.as_caller("")
    }

    /// The same server, for a new user.
    pub(crate) async fn as_user(&self, id: &str) -> Self {
        let user = pb::User { email: format!("{id}@example.com"), ..Default::default() };
        let request = CreateUserRequest { user_id: id.into(), user: Some(user), ..Default::default() };
        self.users().create_user(request).await.unwrap();
        let secret = self.create_token(&format!("users/{id}"), "laptop").await;
        self.as_caller(&secret)
    }

    /// The same server, for a new user who is a member of `acme`.
    pub(crate) async fn as_member(&self, id: &str) -> Self {
        let world = self.as_user(id).await;
        let request = AddMemberRequest {
            parent: ACME.into(),
            user: format!("users/{id}"),
            role: pb::Role::Member.into(),
            ..Default::default()
        };
        self.organisations().add_member(request).await.unwrap();
        world
    }

    /// Creates a token, and returns its secret.
    pub(crate) async fn create_token(&self, parent: &str, id: &str) -> String {
        let request = CreateTokenRequest { parent: parent.into(), token_id: id.into(), ..Default::default() };
        self.users().create_token(request).await.unwrap().into_inner().secret
    }

    /// Grants permissions on something of `acme`.
    pub(crate) async fn grant(
        &self,
        id: &str,
        grantee: &str,
        resource: &str,
        permissions: &[pb::Permission],
    ) {
        self.permissions().create_grant(new_grant(id, grantee, resource, permissions)).await.unwrap();
    }

    /// Creates the organisation `acme` with the project `shop`: revision 1.
    pub(crate) async fn shop(self) -> Self {
        let request = CreateOrganisationRequest { organisation_id: "acme".into(), ..Default::default() };
        self.organisations().create_organisation(request).await.unwrap();
        self.create_project("shop").await;
        self
    }

    pub(crate) async fn create_project(&self, id: &str) -> pb::Project {
        let request =
            CreateProjectRequest { parent: ACME.into(), project_id: id.into(), ..Default::default() };
        self.projects().create_project(request).await.unwrap().into_inner().project.unwrap()
    }

    /// Creates the shop with the environment `dev` and the features `dark` (boolean) and `title` (text): revision 4.
    pub(crate) async fn with_features(self) -> Self {
        let world = self.shop().await;
        world.create_environment("dev").await;
        world.create_feature("dark", pb::ValueType::Boolean).await;
        world.create_feature("title", pb::ValueType::String).await;
        world
    }

    pub(crate) async fn create_environment(&self, id: &str) -> pb::Environment {
        let request =
            CreateEnvironmentRequest { parent: SHOP.into(), environment_id: id.into(), ..Default::default() };
        self.environments().create_environment(request).await.unwrap().into_inner().environment.unwrap()
    }

    pub(crate) async fn create_feature(&self, key: &str, value_type: pb::ValueType) -> pb::Feature {
        let request = new_feature(key, value_type);
        self.features().create_feature(request).await.unwrap().into_inner().feature.unwrap()
    }

    pub(crate) async fn create_segment(&self, id: &str) -> pb::Segment {
        let request = CreateSegmentRequest {
            parent: SHOP.into(),
            segment_id: id.into(),
            segment: Some(segment("plan")),
            ..Default::default()
        };
        self.segments().create_segment(request).await.unwrap().into_inner().segment.unwrap()
    }

    pub(crate) async fn revision(&self) -> i64 {
        let request = GetProjectRequest { name: SHOP.into() };
        self.projects().get_project(request).await.unwrap().into_inner().project.unwrap().revision
    }

    /// Switches a flag of `dev` on, and returns the revision.
    pub(crate) async fn switch_on(&self, feature: &str) -> i64 {
        self.flags().update_flag(update_flag(feature, true)).await.unwrap().into_inner().revision
    }
}

fn open(url: &str) -> Store {
    let options = StoreOptions { read_connections: 4, write_connections: 2, ..StoreOptions::default() };
    Store::open(url, &options).unwrap()
}

async fn serve(store: Store, settings: Settings) -> (Channel, CancellationToken) {
    let shutdown = CancellationToken::new();
    let management = Management::new(Arc::new(store), settings, shutdown.clone()).unwrap();
    let mut routes = RoutesBuilder::default();
    management.add_to(&mut routes);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(
        Server::builder().add_routes(routes.routes()).serve_with_incoming_shutdown(
            TcpListenerStream::new(listener),
            shutdown.clone().cancelled_owned(),
        ),
    );
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    (endpoint.connect().await.unwrap(), shutdown)
}

pub(crate) fn new_feature(key: &str, value_type: pb::ValueType) -> CreateFeatureRequest {
    CreateFeatureRequest {
        parent: SHOP.into(),
        feature_id: key.into(),
        feature: Some(pb::Feature { value_type: value_type.into(), ..Default::default() }),
        ..Default::default()
    }
}

pub(crate) fn new_grant(
    id: &str,
    grantee: &str,
    resource: &str,
    permissions: &[pb::Permission],
) -> CreateGrantRequest {
    let grant = pb::Grant {
        grantee: grantee.into(),
        resource: resource.into(),
        permissions: permissions.iter().map(|permission| (*permission).into()).collect(),
        ..Default::default()
    };
    CreateGrantRequest { parent: ACME.into(), grant_id: id.into(), grant: Some(grant), ..Default::default() }
}

/// A segment of those who have a trait.
pub(crate) fn segment(property: &str) -> pb::Segment {
    let condition = pb::Condition {
        property: property.into(),
        operator: pb::Operator::IsSet.into(),
        ..Default::default()
    };
    let rule = pb::Rule { r#type: pb::RuleType::All.into(), conditions: vec![condition], rules: vec![] };
    pb::Segment { rules: vec![rule], ..Default::default() }
}

pub(crate) fn mask(paths: &[&str]) -> Option<prost_types::FieldMask> {
    Some(prost_types::FieldMask { paths: paths.iter().map(ToString::to_string).collect() })
}

pub(crate) fn on() -> Option<pb::FlagState> {
    Some(pb::FlagState { enabled: Some(true), ..Default::default() })
}

pub(crate) fn text(text: &str) -> Option<pb::Value> {
    Some(pb::Value { kind: Some(pb::value::Kind::StringValue(text.into())) })
}

pub(crate) fn flag(feature: &str) -> String {
    format!("{DEV}/flags/{feature}")
}

pub(crate) fn update_flag(feature: &str, enabled: bool) -> UpdateFlagRequest {
    UpdateFlagRequest {
        flag: Some(pb::Flag {
            name: flag(feature),
            state: Some(pb::FlagState { enabled: Some(enabled), ..Default::default() }),
            ..Default::default()
        }),
        update_mask: mask(&["state.enabled"]),
        ..Default::default()
    }
}

/// Checks the code and the reason of an error.
pub(crate) fn check<T: Debug>(outcome: Result<Response<T>, Status>, code: Code, reason: &str) -> Status {
    let status = outcome.map(Response::into_inner).unwrap_err();
    assert_eq!(
        (status.code(), burgee_proto::status::reason(&status).as_deref()),
        (code, Some(reason)),
        "{status:?}"
    );
    status
}

/// Checks that the error names the field at fault.
pub(crate) fn check_invalid<T: Debug>(outcome: Result<Response<T>, Status>, field: &str) {
    let status = check(outcome, Code::InvalidArgument, "INVALID_FIELD");
    let violations = status.get_details_bad_request().unwrap().field_violations;
    assert_eq!(violations[0].field, field, "{}", violations[0].description);
}

pub(crate) fn check_missing<T: Debug>(outcome: Result<Response<T>, Status>, name: &str) {
    let status = check(outcome, Code::NotFound, "NOT_FOUND");
    assert_eq!(metadata(&status, "name"), name);
}

pub(crate) fn check_taken<T: Debug>(outcome: Result<Response<T>, Status>, name: &str) {
    let status = check(outcome, Code::AlreadyExists, "ALREADY_EXISTS");
    assert_eq!(metadata(&status, "name"), name);
}

pub(crate) fn check_stale<T: Debug>(outcome: Result<Response<T>, Status>, current: &str) {
    let status = check(outcome, Code::Aborted, "STALE_ETAG");
    assert_eq!(metadata(&status, "etag"), current);
}

pub(crate) fn check_denied<T: Debug>(outcome: Result<Response<T>, Status>, permission: &str) {
    let status = check(outcome, Code::PermissionDenied, "PERMISSION_MISSING");
    assert_eq!(metadata(&status, "permission"), permission);
}

pub(crate) fn metadata(status: &Status, key: &str) -> String {
    status.get_details_error_info().unwrap().metadata.get(key).cloned().unwrap_or_default()
}
