//! Trust relationships, and the tokens that they give.

use burgee_proto::management::v1 as pb;
use chrono::Utc;
use pb::trust_service_server::TrustService;
use tonic::Request;

use super::{Handlers, Reply, reply};
use crate::context::{read, read_optional, write};
use crate::trust;

#[tonic::async_trait]
impl TrustService for Handlers {
    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent, request.id = request.get_ref().trust_relationship_id))]
    async fn create_trust_relationship(
        &self,
        request: Request<pb::CreateTrustRelationshipRequest>,
    ) -> Reply<pb::CreateTrustRelationshipResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(trust::create(&*self.store, &self.verifier, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn get_trust_relationship(
        &self,
        request: Request<pb::GetTrustRelationshipRequest>,
    ) -> Reply<pb::GetTrustRelationshipResponse> {
        let (_, request) = read(&self.gate, request).await?;
        reply(trust::get(&*self.store, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent))]
    async fn list_trust_relationships(
        &self,
        request: Request<pb::ListTrustRelationshipsRequest>,
    ) -> Reply<pb::ListTrustRelationshipsResponse> {
        let (_, request) = read(&self.gate, request).await?;
        reply(trust::list(&*self.store, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().trust_relationship.as_ref().map(|item| item.name.as_str())))]
    async fn update_trust_relationship(
        &self,
        request: Request<pb::UpdateTrustRelationshipRequest>,
    ) -> Reply<pb::UpdateTrustRelationshipResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(trust::update(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn delete_trust_relationship(
        &self,
        request: Request<pb::DeleteTrustRelationshipRequest>,
    ) -> Reply<pb::DeleteTrustRelationshipResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(trust::delete(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn exchange_token(
        &self,
        request: Request<pb::ExchangeTokenRequest>,
    ) -> Reply<pb::ExchangeTokenResponse> {
        let (_, request) = read_optional(&self.gate, request).await?;
        reply(trust::exchange(&*self.store, &self.verifier, Utc::now(), request).await)
    }
}
