//! Features and their variants.

use burgee_proto::management::v1 as pb;
use pb::feature_service_server::FeatureService;
use tonic::Request;

use super::{Handlers, Reply, reply};
use crate::context::{read, write};
use crate::{features, variants};

#[tonic::async_trait]
impl FeatureService for Handlers {
    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent, request.id = request.get_ref().feature_id))]
    async fn create_feature(
        &self,
        request: Request<pb::CreateFeatureRequest>,
    ) -> Reply<pb::CreateFeatureResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(features::create(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn get_feature(&self, request: Request<pb::GetFeatureRequest>) -> Reply<pb::GetFeatureResponse> {
        let (_, request) = read(&self.gate, request).await?;
        reply(features::get(&*self.store, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent))]
    async fn list_features(
        &self,
        request: Request<pb::ListFeaturesRequest>,
    ) -> Reply<pb::ListFeaturesResponse> {
        let (_, request) = read(&self.gate, request).await?;
        reply(features::list(&*self.store, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().feature.as_ref().map(|item| item.name.as_str())))]
    async fn update_feature(
        &self,
        request: Request<pb::UpdateFeatureRequest>,
    ) -> Reply<pb::UpdateFeatureResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(features::update(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn archive_feature(
        &self,
        request: Request<pb::ArchiveFeatureRequest>,
    ) -> Reply<pb::ArchiveFeatureResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(features::archive(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn delete_feature(
        &self,
        request: Request<pb::DeleteFeatureRequest>,
    ) -> Reply<pb::DeleteFeatureResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(features::delete(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.parent = request.get_ref().parent, request.id = request.get_ref().variant_id))]
    async fn create_variant(
        &self,
        request: Request<pb::CreateVariantRequest>,
    ) -> Reply<pb::CreateVariantResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(variants::create(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().variant.as_ref().map(|item| item.name.as_str())))]
    async fn update_variant(
        &self,
        request: Request<pb::UpdateVariantRequest>,
    ) -> Reply<pb::UpdateVariantResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(variants::update(&*self.store, &context, request).await)
    }

    #[tracing::instrument(skip_all, fields(request.name = request.get_ref().name))]
    async fn delete_variant(
        &self,
        request: Request<pb::DeleteVariantRequest>,
    ) -> Reply<pb::DeleteVariantResponse> {
        let (context, _, request) = write(&self.gate, request).await?;
        reply(variants::delete(&*self.store, &context, request).await)
    }
}
