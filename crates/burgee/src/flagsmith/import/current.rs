//! What a server has already.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;

use burgee_core::name::{
    EnvironmentName, FeatureKey, FeatureName, FlagName, Identifier, IdentityName, ProjectName,
};
use burgee_proto::management::v1 as rpc;
use burgee_proto::v1 as pb;
use futures_util::{StreamExt, TryStreamExt, stream};
use tonic::{Response, Status};

use super::Target;
use crate::client::error::{failed, found};
use crate::client::management::Management;
use crate::flagsmith::model::Model;

/// Items of a page.
const PAGE_SIZE: i32 = 1_000;
/// Calls at a time.
const CALLS: usize = 16;

/// What is there of what an import may write.
#[derive(Debug, Default)]
pub(super) struct Current {
    /// Whether the organisation is there.
    pub(super) has_organisation: bool,
    /// The project.
    pub(super) project: Option<pb::Project>,
    /// Its environments.
    pub(super) environments: Vec<pb::Environment>,
    /// Its features by key, archived ones, too.
    pub(super) features: BTreeMap<String, pb::Feature>,
    /// Its segments.
    pub(super) segments: Vec<pb::Segment>,
    /// The flags of the environment by feature.
    pub(super) flags: HashMap<String, pb::Flag>,
    /// The identity overrides of the flags that the import overrides for identities, by feature and
    /// identifier.
    pub(super) identity_overrides: HashMap<(String, String), pb::FlagState>,
    /// The identities that the import tells something about, by identifier.
    pub(super) identities: HashMap<String, pb::Identity>,
}

impl Current {
    /// Reads the project and what is in it, but for what belongs to one environment.
    pub(super) async fn read(server: &Management, target: &Target) -> anyhow::Result<Self> {
        let request = rpc::GetProjectRequest { name: target.project.to_string() };
        let answer = server.projects.clone().get_project(request).await;
        let Some(answer) = found(answer).map_err(failed("could not get the project"))? else {
            let request = rpc::GetOrganisationRequest { name: target.project.organisation.to_string() };
            let answer = server.organisations.clone().get_organisation(request).await;
            let answer = found(answer).map_err(failed("could not get the organisation"))?;
            return Ok(Self { has_organisation: answer.is_some(), ..Self::default() });
        };
        let environments = environments(server, &target.project);
        let (environments, features, segments) = tokio::try_join!(
            environments,
            features(server, &target.project),
            segments(server, &target.project)
        )
        .map_err(failed("could not read the project"))?;
        let key = |feature: pb::Feature| {
            Some((FeatureName::parse(&feature.name).ok()?.feature.to_string(), feature))
        };
        Ok(Self {
            has_organisation: true,
            project: answer.project,
            environments,
            features: features.into_iter().filter_map(key).collect(),
            segments,
            ..Self::default()
        })
    }

    /// Reads what belongs to the environment, which must be there.
    pub(super) async fn read_environment(
        &mut self,
        server: &Management,
        environment: &EnvironmentName,
        model: &Model,
    ) -> anyhow::Result<()> {
        let flags = flags(server, environment).await.map_err(failed("could not read the flags"))?;
        let key = |flag: pb::Flag| Some((FlagName::parse(&flag.name).ok()?.feature.to_string(), flag));
        self.flags = flags.into_iter().filter_map(key).collect();

        let overridden = model.features.iter().filter(|feature| !feature.identity_overrides.is_empty());
        let overridden = overridden.filter(|feature| self.flags.contains_key(&feature.key));
        let names: Vec<FlagName> = overridden
            .filter_map(|feature| FeatureKey::parse(&feature.key).ok())
            .map(|feature| FlagName { environment: environment.clone(), feature })
            .collect();
        let lists = stream::iter(names).map(|flag| async move {
            let list = identity_overrides(server, &flag).await?;
            let feature = flag.feature.to_string();
            let item = |item: pb::IdentityOverride| Some(((feature.clone(), item.identifier), item.state?));
            Ok(list.into_iter().filter_map(item).collect::<Vec<_>>())
        });
        let lists: Vec<_> = lists
            .buffer_unordered(CALLS)
            .try_collect()
            .await
            .map_err(failed("could not read identity overrides"))?;
        self.identity_overrides = lists.into_iter().flatten().collect();

        let names: Vec<IdentityName> = model
            .identities
            .iter()
            .filter_map(|identity| Identifier::parse(&identity.identifier).ok())
            .map(|identifier| IdentityName { environment: environment.clone(), identifier })
            .collect();
        let identities = stream::iter(names).map(|name| async move {
            let request = rpc::GetIdentityRequest { name: name.to_string() };
            found(server.identities.clone().get_identity(request).await)
        });
        let identities: Vec<_> = identities
            .buffer_unordered(CALLS)
            .try_collect()
            .await
            .map_err(failed("could not read identities"))?;
        let identities = identities.into_iter().flatten().filter_map(|answer| answer.identity);
        self.identities = identities.map(|identity| (identity.identifier.clone(), identity)).collect();
        Ok(())
    }
}

/// Reads all pages of a list.
async fn pages<T, R, F>(
    mut get: impl FnMut(String) -> F,
    cut: impl Fn(R) -> (Vec<T>, String),
) -> Result<Vec<T>, Status>
where
    F: Future<Output = Result<Response<R>, Status>>,
{
    let mut items = Vec::new();
    let mut token = String::new();
    loop {
        let (page, next) = cut(get(token).await?.into_inner());
        items.extend(page);
        if next.is_empty() {
            return Ok(items);
        }
        token = next;
    }
}

async fn environments(server: &Management, project: &ProjectName) -> Result<Vec<pb::Environment>, Status> {
    let get = |page_token| {
        let mut client = server.environments.clone();
        let request =
            rpc::ListEnvironmentsRequest { parent: project.to_string(), page_size: PAGE_SIZE, page_token };
        async move { client.list_environments(request).await }
    };
    pages(get, |page: rpc::ListEnvironmentsResponse| (page.environments, page.next_page_token)).await
}

async fn features(server: &Management, project: &ProjectName) -> Result<Vec<pb::Feature>, Status> {
    let get = |page_token| {
        let mut client = server.features.clone();
        let request = rpc::ListFeaturesRequest {
            parent: project.to_string(),
            page_size: PAGE_SIZE,
            page_token,
            filter: String::new(),
            show_archived: true,
        };
        async move { client.list_features(request).await }
    };
    pages(get, |page: rpc::ListFeaturesResponse| (page.features, page.next_page_token)).await
}

async fn segments(server: &Management, project: &ProjectName) -> Result<Vec<pb::Segment>, Status> {
    let get = |page_token| {
        let mut client = server.segments.clone();
        let request =
            rpc::ListSegmentsRequest { parent: project.to_string(), page_size: PAGE_SIZE, page_token };
        async move { client.list_segments(request).await }
    };
    pages(get, |page: rpc::ListSegmentsResponse| (page.segments, page.next_page_token)).await
}

async fn flags(server: &Management, environment: &EnvironmentName) -> Result<Vec<pb::Flag>, Status> {
    let get = |page_token| {
        let mut client = server.flags.clone();
        let request =
            rpc::ListFlagsRequest { parent: environment.to_string(), page_size: PAGE_SIZE, page_token };
        async move { client.list_flags(request).await }
    };
    pages(get, |page: rpc::ListFlagsResponse| (page.flags, page.next_page_token)).await
}

async fn identity_overrides(
    server: &Management,
    flag: &FlagName,
) -> Result<Vec<pb::IdentityOverride>, Status> {
    let get = |page_token| {
        let mut client = server.flags.clone();
        let request =
            rpc::ListIdentityOverridesRequest { parent: flag.to_string(), page_size: PAGE_SIZE, page_token };
        async move { client.list_identity_overrides(request).await }
    };
    pages(get, |page: rpc::ListIdentityOverridesResponse| (page.identity_overrides, page.next_page_token))
        .await
}
