//! A project to test with, made through the API.

use burgee_proto::management::v1::environment_service_client::EnvironmentServiceClient;
use burgee_proto::management::v1::feature_service_client::FeatureServiceClient;
use burgee_proto::management::v1::flag_service_client::FlagServiceClient;
use burgee_proto::management::v1::organisation_service_client::OrganisationServiceClient;
use burgee_proto::management::v1::project_service_client::ProjectServiceClient;
use burgee_proto::management::v1::{
    CreateEnvironmentKeyRequest, CreateEnvironmentRequest, CreateFeatureRequest, CreateOrganisationRequest,
    CreateProjectRequest, UpdateFlagRequest,
};
use burgee_proto::v1 as pb;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

use crate::server::{Credential, Server};

/// The project, as `burgee dev` names it.
pub const PROJECT: &str = "organisations/acme/projects/shop";
/// The environment, as `burgee dev` names it.
pub const ENVIRONMENT: &str = "organisations/acme/projects/shop/environments/development";

/// A project on a server.
pub struct Fixture {
    channel: Channel,
    credential: Credential,
}

impl Fixture {
    /// The project that `burgee dev` made.
    pub async fn existing(server: &Server) -> Self {
        Self { channel: server.management_channel().await, credential: server.token() }
    }

    /// Makes the organisation, the project and the environment.
    pub async fn new(server: &Server) -> Self {
        let fixture = Self::existing(server).await;
        let request = CreateOrganisationRequest { organisation_id: "acme".into(), ..Default::default() };
        let mut organisations =
            OrganisationServiceClient::with_interceptor(fixture.channel(), fixture.credential());
        organisations.create_organisation(request).await.expect("an organisation");
        let request = CreateProjectRequest {
            parent: "organisations/acme".into(),
            project_id: "shop".into(),
            ..Default::default()
        };
        let mut projects = ProjectServiceClient::with_interceptor(fixture.channel(), fixture.credential());
        projects.create_project(request).await.expect("a project");
        let request = CreateEnvironmentRequest {
            parent: PROJECT.into(),
            environment_id: "development".into(),
            ..Default::default()
        };
        fixture.environments().create_environment(request).await.expect("an environment");
        fixture
    }

    fn channel(&self) -> Channel {
        self.channel.clone()
    }

    fn credential(&self) -> Credential {
        self.credential.clone()
    }

    fn environments(&self) -> EnvironmentServiceClient<InterceptedService<Channel, Credential>> {
        EnvironmentServiceClient::with_interceptor(self.channel(), self.credential())
    }

    /// Makes integer features `feature-0`, `feature-1`, ….
    pub async fn features(self, count: usize) -> Self {
        let mut features = FeatureServiceClient::with_interceptor(self.channel(), self.credential());
        for number in 0..count {
            let request = CreateFeatureRequest {
                parent: PROJECT.into(),
                feature_id: format!("feature-{number}"),
                feature: Some(pb::Feature {
                    value_type: pb::ValueType::Integer.into(),
                    ..Default::default()
                }),
                ..Default::default()
            };
            features.create_feature(request).await.expect("a feature");
        }
        self
    }

    /// Makes a server-side key, and returns its secret.
    pub async fn server_side_key(&self) -> String {
        let request = CreateEnvironmentKeyRequest {
            parent: ENVIRONMENT.into(),
            key_id: "server".into(),
            key: Some(pb::EnvironmentKey { kind: pb::KeyKind::ServerSide.into(), ..Default::default() }),
            ..Default::default()
        };
        self.environments().create_environment_key(request).await.expect("a key").into_inner().secret
    }

    /// Changes the metadata of a flag, and returns the revision.
    pub async fn set_metadata(&self, feature: &str, metadata: &str) -> i64 {
        let request = UpdateFlagRequest {
            flag: Some(pb::Flag {
                name: format!("{ENVIRONMENT}/flags/{feature}"),
                state: Some(pb::FlagState { metadata: metadata.to_owned(), ..Default::default() }),
                ..Default::default()
            }),
            update_mask: Some(prost_types::FieldMask { paths: vec!["state.metadata".to_owned()] }),
            ..Default::default()
        };
        let mut flags = FlagServiceClient::with_interceptor(self.channel(), self.credential());
        flags.update_flag(request).await.expect("the flag can be changed").into_inner().revision
    }
}
