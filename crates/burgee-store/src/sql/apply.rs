//! Mutations, applied together or not at all.

use burgee_core::change::{Applied, Mutation, Resource, WriteContext};
use burgee_core::name::{FeatureKey, KeyName, ProjectName};
use burgee_core::{Error, Result};

use super::environment_reads::find_environment;
use super::feature_reads::find_feature;
use super::flag_reads::find_flag;
use super::identity_overrides::find_override;
use super::keys::{NewSecret, find_key};
use super::projects::{find_project, project_id};
use super::requests::{Claim, claim, project_scope};
use super::segments::find_segment;
use super::write::{Write, not_found};
use super::{Backend, Connection};
use crate::retry::retrying;

impl Backend {
    pub(crate) async fn apply(
        &self,
        context: &WriteContext,
        project: &ProjectName,
        mutations: Vec<Mutation>,
    ) -> Result<Applied> {
        if mutations.is_empty() {
            return Err(Error::invalid("changes", "must not be empty"));
        }
        for (index, mutation) in mutations.iter().enumerate() {
            check_inside(mutation, project).map_err(|error| of_change(error, index, mutations.len()))?;
        }
        retrying(|| self.apply_once(context, project, &mutations)).await
    }

    async fn apply_once(
        &self,
        context: &WriteContext,
        project: &ProjectName,
        mutations: &[Mutation],
    ) -> Result<Applied> {
        let mut write = if mutations.iter().any(grants) {
            Write::begin_granting(self, project, context).await?
        } else {
            Write::begin(self, project, context).await?
        };
        let scope = project_scope(write.project);
        if let Claim::Replayed(revision) = claim(&mut write.tx, context, &scope, write.revision).await? {
            drop(write);
            return self.replay(project, revision, mutations).await;
        }
        let mut resources = Vec::with_capacity(mutations.len());
        for (index, mutation) in mutations.iter().enumerate() {
            // On the heap: every kind of mutation has a large future of its own.
            let outcome = Box::pin(write.perform(mutation)).await;
            resources.push(Some(outcome.map_err(|error| of_change(error, index, mutations.len()))?));
        }
        let revision = write.finish(self, context).await?;
        for resource in resources.iter_mut().flatten() {
            if let Resource::Project(project) = resource {
                project.revision = revision;
            }
        }
        Ok(Applied { revision, resources, replayed: false })
    }

    /// Answers a repeated request: nothing is done, and the resources are as they are now.
    async fn replay(&self, project: &ProjectName, revision: i64, mutations: &[Mutation]) -> Result<Applied> {
        let mut tx = self.snapshot().await?;
        let id = project_id(&mut tx, project).await?;
        let mut resources = Vec::with_capacity(mutations.len());
        for mutation in mutations {
            resources.push(match current(&mut tx, id, project, mutation).await {
                Ok(resource) => Some(resource),
                Err(Error::NotFound { .. }) => None,
                Err(error) => return Err(error),
            });
        }
        Ok(Applied { revision, resources, replayed: true })
    }
}

impl Write<'_> {
    async fn perform(&mut self, mutation: &Mutation) -> Result<Resource> {
        use Mutation::*;
        Ok(match mutation {
            UpdateProject { patch, etag } => {
                Resource::Project(self.update_project(patch, etag.as_deref()).await?)
            }
            CreateEnvironment { environment, creator } => {
                Resource::Environment(self.create_environment(environment, creator.as_ref()).await?)
            }
            CloneEnvironment { source, environment, creator } => {
                Resource::Environment(self.clone_environment(source, environment, creator.as_ref()).await?)
            }
            UpdateEnvironment { environment, patch, etag } => {
                Resource::Environment(self.update_environment(environment, patch, etag.as_deref()).await?)
            }
            DeleteEnvironment { environment, etag } => {
                Resource::Environment(self.delete_environment(environment, etag.as_deref()).await?)
            }
            CreateKey { key, hash } => Resource::Key(self.create_key(key, hash).await?),
            RotateKey { environment, key, hash, hint, expires_at, former_expires_at, etag } => {
                let name = self.key_name(environment, key);
                let (expires_at, former_expires_at) = (*expires_at, *former_expires_at);
                let secret = NewSecret { hash, hint, expires_at, former_expires_at };
                Resource::Key(self.rotate_key(&name, &secret, etag.as_deref()).await?)
            }
            RevokeKey { environment, key, etag } => {
                let name = self.key_name(environment, key);
                Resource::Key(self.revoke_key(&name, etag.as_deref()).await?)
            }
            CreateFeature { feature } => Resource::Feature(self.create_feature(feature).await?),
            UpdateFeature { feature, patch, etag } => {
                Resource::Feature(self.update_feature(feature, patch, etag.as_deref()).await?)
            }
            DeleteFeature { feature, etag } => {
                Resource::Feature(self.delete_feature(feature, etag.as_deref()).await?)
            }
            CreateVariant { feature, variant, etag } => {
                Resource::Feature(self.create_variant(feature, variant, etag.as_deref()).await?)
            }
            UpdateVariant { feature, variant, etag } => {
                Resource::Feature(self.update_variant(feature, variant, etag.as_deref()).await?)
            }
            DeleteVariant { feature, variant, etag } => {
                Resource::Feature(self.delete_variant(feature, variant, etag.as_deref()).await?)
            }
            UpdateFlag { flag, patch, etag } => {
                Resource::Flag(self.update_flag(flag, patch, etag.as_deref()).await?)
            }
            SetSegmentOverride { name, state, priority, etag } => {
                Resource::Flag(self.set_segment_override(name, state, *priority, etag.as_deref()).await?)
            }
            RemoveSegmentOverride { name, etag } => {
                Resource::Flag(self.remove_segment_override(name, etag.as_deref()).await?)
            }
            ReorderSegmentOverrides { flag, segments, etag } => {
                Resource::Flag(self.reorder_segment_overrides(flag, segments, etag.as_deref()).await?)
            }
            SetIdentityOverride { name, state, etag } => {
                Resource::IdentityOverride(self.set_identity_override(name, state, etag.as_deref()).await?)
            }
            RemoveIdentityOverride { name, etag } => {
                Resource::IdentityOverride(self.remove_identity_override(name, etag.as_deref()).await?)
            }
            CreateSegment { segment } => Resource::Segment(self.create_segment(segment).await?),
            UpdateSegment { segment, patch, etag } => {
                Resource::Segment(self.update_segment(segment, patch, etag.as_deref()).await?)
            }
            DeleteSegment { segment, force, etag } => {
                Resource::Segment(self.delete_segment(segment, *force, etag.as_deref()).await?)
            }
        })
    }
}

/// Says which of several changes an error is about.
fn of_change(error: Error, index: usize, changes: usize) -> Error {
    if changes == 1 { error } else { error.of_change(index) }
}

/// Says whether a mutation also makes somebody an administrator, or takes grants back.
fn grants(mutation: &Mutation) -> bool {
    matches!(
        mutation,
        Mutation::CreateEnvironment { creator: Some(_), .. }
            | Mutation::CloneEnvironment { creator: Some(_), .. }
            | Mutation::DeleteEnvironment { .. }
    )
}

/// Refuses a mutation that names something of another project, whose row is not held.
fn check_inside(mutation: &Mutation, project: &ProjectName) -> Result<()> {
    use Mutation::*;
    let named = match mutation {
        CreateEnvironment { environment, .. } | CloneEnvironment { environment, .. } => {
            &environment.name.project
        }
        CreateKey { key, .. } => &key.name.environment.project,
        CreateFeature { feature } => &feature.name.project,
        CreateSegment { segment } => &segment.name.project,
        UpdateFlag { flag, .. } | ReorderSegmentOverrides { flag, .. } => &flag.environment.project,
        SetSegmentOverride { name, .. } | RemoveSegmentOverride { name, .. } => {
            &name.flag.environment.project
        }
        SetIdentityOverride { name, .. } | RemoveIdentityOverride { name, .. } => {
            &name.flag.environment.project
        }
        UpdateProject { .. }
        | UpdateEnvironment { .. }
        | DeleteEnvironment { .. }
        | RotateKey { .. }
        | RevokeKey { .. }
        | UpdateFeature { .. }
        | DeleteFeature { .. }
        | CreateVariant { .. }
        | UpdateVariant { .. }
        | DeleteVariant { .. }
        | UpdateSegment { .. }
        | DeleteSegment { .. } => return Ok(()),
    };
    match named == project {
        true => Ok(()),
        false => Err(Error::invalid("name", format!("must be in `{project}`, is in `{named}`"))),
    }
}

/// Returns what a mutation is about, as it is now.
async fn current(
    connection: &mut Connection,
    id: i64,
    project: &ProjectName,
    mutation: &Mutation,
) -> Result<Resource> {
    use Mutation::*;
    let environment_name = |environment: &burgee_core::name::EnvironmentId| {
        burgee_core::name::EnvironmentName { project: project.clone(), environment: environment.clone() }
    };
    let feature_name = |feature: &FeatureKey| burgee_core::name::FeatureName {
        project: project.clone(),
        feature: feature.clone(),
    };
    match mutation {
        UpdateProject { .. } => Ok(Resource::Project(find_project(connection, project).await?.resource)),
        CreateEnvironment { environment, .. } | CloneEnvironment { environment, .. } => {
            Ok(Resource::Environment(find_environment(connection, &environment.name).await?.resource))
        }
        UpdateEnvironment { environment, .. } | DeleteEnvironment { environment, .. } => {
            let name = environment_name(environment);
            Ok(Resource::Environment(find_environment(connection, &name).await?.resource))
        }
        CreateKey { key, .. } => current_key(connection, &key.name).await,
        RotateKey { environment, key, .. } | RevokeKey { environment, key, .. } => {
            let name = KeyName { environment: environment_name(environment), key: key.clone() };
            current_key(connection, &name).await
        }
        CreateFeature { feature } => {
            Ok(Resource::Feature(find_feature(connection, id, &feature.name).await?.resource))
        }
        UpdateFeature { feature, .. }
        | DeleteFeature { feature, .. }
        | CreateVariant { feature, .. }
        | UpdateVariant { feature, .. }
        | DeleteVariant { feature, .. } => {
            Ok(Resource::Feature(find_feature(connection, id, &feature_name(feature)).await?.resource))
        }
        UpdateFlag { flag, .. } | ReorderSegmentOverrides { flag, .. } => {
            Ok(Resource::Flag(find_flag(connection, flag).await?.flag))
        }
        SetSegmentOverride { name, .. } | RemoveSegmentOverride { name, .. } => {
            Ok(Resource::Flag(find_flag(connection, &name.flag).await?.flag))
        }
        SetIdentityOverride { name, .. } | RemoveIdentityOverride { name, .. } => {
            let flag = find_flag(connection, &name.flag).await?;
            let found = find_override(connection, flag.environment, flag.feature, name).await?;
            Ok(Resource::IdentityOverride(found.ok_or_else(|| not_found("identity override", name))?))
        }
        CreateSegment { segment } => {
            Ok(Resource::Segment(find_segment(connection, id, &segment.name).await?.resource))
        }
        UpdateSegment { segment, .. } | DeleteSegment { segment, .. } => {
            let name = burgee_core::name::SegmentName { project: project.clone(), segment: segment.clone() };
            Ok(Resource::Segment(find_segment(connection, id, &name).await?.resource))
        }
    }
}

async fn current_key(connection: &mut Connection, name: &KeyName) -> Result<Resource> {
    let environment = find_environment(connection, &name.environment).await?.id;
    Ok(Resource::Key(find_key(connection, environment, name).await?.resource))
}
