//! The clients of the management services.

use burgee_proto::management::v1 as pb;
use pb::environment_service_client::EnvironmentServiceClient;
use pb::feature_service_client::FeatureServiceClient;
use pb::flag_service_client::FlagServiceClient;
use pb::identity_service_client::IdentityServiceClient;
use pb::organisation_service_client::OrganisationServiceClient;
use pb::project_service_client::ProjectServiceClient;
use pb::segment_service_client::SegmentServiceClient;
use tonic::transport::Channel;

use super::connection::{ANSWER_BYTES, Connection, Credential};

/// A client of each management service over one connection. Clones share it.
#[derive(Clone)]
pub struct Management {
    /// Organisations.
    pub organisations: OrganisationServiceClient<Connection>,
    /// Projects.
    pub projects: ProjectServiceClient<Connection>,
    /// Environments and their keys.
    pub environments: EnvironmentServiceClient<Connection>,
    /// Features and variants.
    pub features: FeatureServiceClient<Connection>,
    /// Segments.
    pub segments: SegmentServiceClient<Connection>,
    /// Flags and overrides.
    pub flags: FlagServiceClient<Connection>,
    /// Identities.
    pub identities: IdentityServiceClient<Connection>,
}

impl Management {
    /// Calls over a channel with a token, if there is one.
    ///
    /// # Errors
    /// The token has characters that no token has.
    pub fn new(channel: Channel, token: Option<&str>) -> anyhow::Result<Self> {
        let connection = Credential::token(token)?.on(channel);
        Ok(Self {
            organisations: OrganisationServiceClient::new(connection.clone()),
            projects: ProjectServiceClient::new(connection.clone()),
            environments: EnvironmentServiceClient::new(connection.clone()),
            features: FeatureServiceClient::new(connection.clone()).max_decoding_message_size(ANSWER_BYTES),
            segments: SegmentServiceClient::new(connection.clone()).max_decoding_message_size(ANSWER_BYTES),
            flags: FlagServiceClient::new(connection.clone()).max_decoding_message_size(ANSWER_BYTES),
            identities: IdentityServiceClient::new(connection).max_decoding_message_size(ANSWER_BYTES),
        })
    }
}
