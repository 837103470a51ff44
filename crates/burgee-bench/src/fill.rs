//! Fills a database through the management API.

use anyhow::Context as _;
use burgee_bench::profile::{FeatureSpec, Profile, VariantSpec};
use burgee_proto::management::v1 as pb;
use burgee_proto::v1 as shared;
use burgee_tests::server::Credential;
use pb::change_request::Change;
use pb::environment_service_client::EnvironmentServiceClient;
use pb::feature_service_client::FeatureServiceClient;
use pb::flag_service_client::FlagServiceClient;
use pb::organisation_service_client::OrganisationServiceClient;
use pb::project_service_client::ProjectServiceClient;
use pb::segment_service_client::SegmentServiceClient;
use prost::Message as _;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

use crate::burgee_server::BurgeeServer;
use crate::load::job::{Requests, Service};

/// The organisation of all projects.
const ORGANISATION: &str = "organisations/acme";
/// Changes of one request.
const CHANGES: usize = 2_000;
/// Resources of a page.
const PAGE: i32 = 1_000;

/// A running management server over a database of its own.
pub(crate) struct Management {
    server: BurgeeServer,
    channel: Channel,
    credential: Credential,
}

/// An environment that is filled.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    /// What it holds.
    pub(crate) profile: Profile,
    /// The project's resource name.
    pub(crate) project: String,
    /// Its resource name.
    pub(crate) name: String,
    /// A server-side key.
    pub(crate) key: String,
}

type Client = InterceptedService<Channel, Credential>;

impl Management {
    /// Makes the tables and an organisation in an empty database, and serves management over it.
    ///
    /// # Errors
    /// The database cannot be used.
    pub(crate) async fn start(database: &str) -> anyhow::Result<Self> {
        BurgeeServer::migrate(database).await?;
        let server = BurgeeServer::management(database).await?;
        let channel = server.channel().await?;
        let credential = Credential::token(server.token()?);
        let management = Self { server, channel, credential };
        let request = pb::CreateOrganisationRequest { organisation_id: "acme".into(), ..Default::default() };
        let mut organisations = OrganisationServiceClient::new(management.client());
        organisations.create_organisation(request).await?;
        Ok(management)
    }

    fn client(&self) -> Client {
        InterceptedService::new(self.channel.clone(), self.credential.clone())
    }

    /// Returns what the load generator needs to call it.
    ///
    /// # Errors
    /// The server has ended.
    pub(crate) fn service(&self) -> anyhow::Result<Service> {
        self.server.service("authorization", &format!("Bearer {}", self.server.token()?))
    }

    /// Makes a project with an environment `main` that holds a profile.
    ///
    /// # Errors
    /// A request fails.
    pub(crate) async fn project(&self, id: &str, profile: Profile) -> anyhow::Result<Environment> {
        let request = pb::CreateProjectRequest {
            parent: ORGANISATION.into(),
            project_id: id.into(),
            ..Default::default()
        };
        ProjectServiceClient::new(self.client()).create_project(request).await?;
        let project = format!("{ORGANISATION}/projects/{id}");
        let request = pb::CreateEnvironmentRequest {
            parent: project.clone(),
            environment_id: "main".into(),
            ..Default::default()
        };
        EnvironmentServiceClient::new(self.client()).create_environment(request).await?;
        let name = format!("{project}/environments/main");
        self.apply(&project, changes(&name, &profile)).await?;
        let key = self.key(&name).await?;
        Ok(Environment { profile, project, name, key })
    }

    /// Clones the environment `main` of a project.
    ///
    /// # Errors
    /// A request fails.
    pub(crate) async fn clone_environment(
        &self,
        main: &Environment,
        id: &str,
    ) -> anyhow::Result<Environment> {
        let request = pb::CloneEnvironmentRequest {
            name: main.name.clone(),
            environment_id: id.into(),
            ..Default::default()
        };
        EnvironmentServiceClient::new(self.client()).clone_environment(request).await?;
        let name = format!("{}/environments/{id}", main.project);
        let key = self.key(&name).await?;
        Ok(Environment { name, key, ..main.clone() })
    }

    async fn key(&self, environment: &str) -> anyhow::Result<String> {
        let key = shared::EnvironmentKey { kind: shared::KeyKind::ServerSide.into(), ..Default::default() };
        let request = pb::CreateEnvironmentKeyRequest {
            parent: environment.into(),
            key_id: "server".into(),
            key: Some(key),
            ..Default::default()
        };
        let mut environments = EnvironmentServiceClient::new(self.client());
        Ok(environments.create_environment_key(request).await?.into_inner().secret)
    }

    async fn apply(&self, project: &str, changes: Vec<Change>) -> anyhow::Result<()> {
        let mut flags = FlagServiceClient::new(self.client());
        for changes in changes.chunks(CHANGES) {
            let changes = changes.iter().cloned().map(|change| pb::ChangeRequest { change: Some(change) });
            let request = pb::ApplyChangesRequest {
                project: project.into(),
                changes: changes.collect(),
                ..Default::default()
            };
            flags.apply_changes(request).await.context("a profile could not be stored")?;
        }
        Ok(())
    }

    /// Returns the bytes of an environment's flags, of its project's features, and of its segments, as the API encodes them:
    /// what evaluating it takes.
    ///
    /// # Errors
    /// A request fails, or there is more than one page.
    pub(crate) async fn encoded_bytes(&self, environment: &Environment) -> anyhow::Result<usize> {
        let request =
            pb::ListFlagsRequest { parent: environment.name.clone(), page_size: PAGE, ..Default::default() };
        let flags = FlagServiceClient::new(self.client()).list_flags(request).await?.into_inner();
        let request = pb::ListFeaturesRequest {
            parent: environment.project.clone(),
            page_size: PAGE,
            ..Default::default()
        };
        let features = FeatureServiceClient::new(self.client()).list_features(request).await?.into_inner();
        let request = pb::ListSegmentsRequest {
            parent: environment.project.clone(),
            page_size: PAGE,
            ..Default::default()
        };
        let segments = SegmentServiceClient::new(self.client()).list_segments(request).await?.into_inner();
        let pages = [&flags.next_page_token, &features.next_page_token, &segments.next_page_token];
        anyhow::ensure!(pages.iter().all(|page| page.is_empty()), "an environment has several pages");
        Ok(flags.encoded_len() + features.encoded_len() + segments.encoded_len())
    }
}

/// Returns what makes an empty environment hold a profile.
fn changes(environment: &str, profile: &Profile) -> Vec<Change> {
    let segments = profile.segments.iter().map(|segment| {
        Change::CreateSegment(pb::CreateSegmentChange {
            segment_id: segment.id.clone(),
            segment: Some(shared::Segment {
                rules: segment.rules.iter().map(Into::into).collect(),
                ..Default::default()
            }),
        })
    });
    let features = profile.features.iter().map(|feature| {
        Change::CreateFeature(pb::CreateFeatureChange {
            feature_id: feature.key.clone(),
            feature: Some(new_feature(feature)),
        })
    });
    let segment_overrides = profile.features.iter().flat_map(|feature| {
        feature.segment_overrides.iter().zip(0..).map(|(own, priority)| {
            let segment = &profile.segments[own.segment].id;
            Change::SetSegmentOverride(pb::SetSegmentOverrideRequest {
                name: format!("{environment}/flags/{}/segmentOverrides/{segment}", feature.key),
                state: Some(state(own.enabled, &own.value)),
                priority: Some(priority),
                ..Default::default()
            })
        })
    });
    let identity_overrides = profile.identity_overrides.iter().map(|own| {
        let feature = &profile.features[own.feature].key;
        Change::SetIdentityOverride(pb::SetIdentityOverrideRequest {
            name: format!("{environment}/flags/{feature}/identityOverrides/{}", own.identifier),
            state: Some(state(own.enabled, &own.value)),
            ..Default::default()
        })
    });
    segments.chain(features).chain(segment_overrides).chain(identity_overrides).collect()
}

fn new_feature(feature: &FeatureSpec) -> shared::Feature {
    let variants = feature.variants.iter().map(|VariantSpec { key, value, weight }| shared::Variant {
        name: key.clone(),
        value: Some(text(value)),
        default_weight: *weight,
    });
    shared::Feature {
        value_type: shared::ValueType::String.into(),
        initial_value: Some(text(&feature.value)),
        default_enabled: feature.enabled,
        variants: variants.collect(),
        ..Default::default()
    }
}

fn state(enabled: bool, value: &str) -> shared::FlagState {
    shared::FlagState { enabled: Some(enabled), value: Some(text(value)), ..Default::default() }
}

fn text(value: &str) -> shared::Value {
    shared::Value { kind: Some(shared::value::Kind::StringValue(value.to_owned())) }
}

impl Environment {
    /// Returns so many changes of one flag: each gives it another metadata, of the same length.
    pub(crate) fn changes(&self, count: usize) -> Requests {
        let bodies = (0..count).map(|number| {
            let state = shared::FlagState {
                metadata: format!("{{\"n\":{:09}}}", 100_000_000 + number),
                ..Default::default()
            };
            let request = pb::UpdateFlagRequest {
                flag: Some(shared::Flag {
                    name: format!("{}/flags/{}", self.name, self.plain_feature()),
                    state: Some(state),
                    ..Default::default()
                }),
                update_mask: Some(prost_types::FieldMask { paths: vec!["state.metadata".to_owned()] }),
                ..Default::default()
            };
            request.encode_to_vec()
        });
        Requests { path: "/burgee.management.v1.FlagService/UpdateFlag".to_owned(), bodies: bodies.collect() }
    }

    /// A feature with neither variants nor overrides, if there is one.
    fn plain_feature(&self) -> &str {
        let is_plain =
            |feature: &&FeatureSpec| feature.variants.is_empty() && feature.segment_overrides.is_empty();
        let features = &self.profile.features;
        let plain = features.iter().find(is_plain).or(features.first());
        plain.map_or("", |feature| feature.key.as_str())
    }
}
