//! Identities, as the management service reads and writes them.

use std::collections::BTreeMap;

use burgee_core::change::WriteContext;
use burgee_core::identity::{Identity, Trait, TraitChanges};
use burgee_core::name::{EnvironmentName, Identifier, IdentityName, TraitKey};
use burgee_core::store::{EnvironmentRef, IdentityFilter, IdentityWrite, NO_BATCH, Page};
use burgee_core::value::TraitValue;
use burgee_core::{Error, Result};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::types::Json;

use super::super::dialect::tell_written;
use super::environment_reads::environment_id;
use super::identify::identify_in;
use super::identity_overrides::overrides_of_identity;
use super::requests::{Claim, claim, project_scope};
use super::write::{Write, not_found};
use super::{Backend, Connection, rows};
use crate::error::{corrupt, storage, stored};
use crate::hash::identity_hash;
use crate::retry::retrying;

#[derive(sqlx::FromRow)]
struct IdentityRecord {
    identifier: String,
    hashing_key: Option<String>,
    created_at: DateTime<Utc>,
    traits: Json<BTreeMap<String, TraitValue>>,
}

fn read_identity(environment: &EnvironmentName, record: IdentityRecord) -> Result<Identity> {
    let IdentityRecord { identifier, hashing_key, created_at, traits: Json(traits) } = record;
    let name = IdentityName {
        environment: environment.clone(),
        identifier: stored(Identifier::parse(&identifier))?,
    };
    let read = |(key, value): (String, _)| Ok(Trait { key: stored(TraitKey::parse(&key))?, value });
    let traits = traits.into_iter().map(read).collect::<Result<_>>()?;
    Ok(Identity { name, hashing_key, traits, created_at })
}

async fn find_identity(
    connection: &mut Connection,
    environment: i64,
    name: &IdentityName,
) -> Result<Identity> {
    let record: Option<IdentityRecord> = sqlx::query_as(
        "SELECT identifier, hashing_key, created_at, traits FROM identities
        WHERE environment_id = $1 AND identity_hash = $2",
    )
    .bind(environment)
    .bind(identity_hash(&name.identifier))
    .fetch_optional(connection)
    .await
    .map_err(storage)?;
    read_identity(&name.environment, record.ok_or_else(|| not_found("identity", name))?)
}

impl Backend {
    pub(crate) async fn identity(&self, name: &IdentityName) -> Result<Identity> {
        let mut tx = self.snapshot().await?;
        let environment = environment_id(&mut tx, &name.environment).await?;
        find_identity(&mut tx, environment, name).await
    }

    pub(crate) async fn identities(
        &self,
        environment: &EnvironmentName,
        filter: &IdentityFilter,
        page: &Page,
    ) -> Result<Vec<Identity>> {
        let after = page.after.as_deref().map(Identifier::parse).transpose()?;
        let mut tx = self.snapshot().await?;
        let id = environment_id(&mut tx, environment).await?;
        let records: Vec<IdentityRecord> = sqlx::query_as(concat!(
            "SELECT identifier, hashing_key, created_at, traits FROM identities
            WHERE environment_id = $1 AND identity_hash > $2 AND ($3 = '' OR ",
            contains!("identifier", "$3"),
            ") ORDER BY identity_hash LIMIT $4",
        ))
        .bind(id)
        .bind(after.as_ref().map(identity_hash).unwrap_or_default())
        .bind(filter.identifier_contains.as_deref().unwrap_or_default())
        .bind(rows(page.limit))
        .fetch_all(&mut *tx)
        .await
        .map_err(storage)?;
        records.into_iter().map(|record| read_identity(environment, record)).collect()
    }

    pub(crate) async fn set_identity(
        &self,
        context: &WriteContext,
        name: &IdentityName,
        changes: TraitChanges,
        hashing_key: Option<String>,
    ) -> Result<(Identity, i64)> {
        let (changes, hashing_key) = (&changes, &hashing_key);
        retrying(|| self.set_identity_once(context, name, changes, hashing_key.as_deref())).await
    }

    async fn set_identity_once(
        &self,
        context: &WriteContext,
        name: &IdentityName,
        changes: &TraitChanges,
        hashing_key: Option<&str>,
    ) -> Result<(Identity, i64)> {
        let mut write = Write::begin(self, &name.environment.project, context).await?;
        let scope = project_scope(write.project);
        if let Claim::Replayed(revision) = claim(&mut write.tx, context, &scope, write.revision).await? {
            drop(write);
            return Ok((self.identity(name).await?, revision));
        }
        let environment = environment_id(&mut write.tx, &name.environment).await?;
        let before = found(find_identity(&mut write.tx, environment, name).await)?;
        let identity_write = IdentityWrite {
            environment: EnvironmentRef(environment),
            identifier: name.identifier.clone(),
            changes: changes.clone(),
            now: context.now,
        };
        let outcome = identify_in(&mut write.tx, &self.limits, &[identity_write], NO_BATCH).await?.pop();
        outcome.ok_or_else(|| corrupt("a write of an identity has no outcome".to_owned()))??;
        if let Some(hashing_key) = hashing_key {
            sqlx::query(
                "UPDATE identities SET hashing_key = $3 WHERE environment_id = $1 AND identity_hash = $2",
            )
            .bind(environment)
            .bind(identity_hash(&name.identifier))
            .bind(hashing_key)
            .execute(&mut *write.tx)
            .await
            .map_err(storage)?;
        }
        let identity = find_identity(&mut write.tx, environment, name).await?;
        write.record(name, before.as_ref().map(Recorded::from).as_ref(), Some(&Recorded::from(&identity)))?;
        let revision = write.finish(self, context).await?;
        Ok((identity, revision))
    }

    pub(crate) async fn delete_identity(&self, context: &WriteContext, name: &IdentityName) -> Result<i64> {
        retrying(|| self.delete_identity_once(context, name)).await
    }

    /// Deletes an identity and its overrides. Only these change what evaluation answers.
    async fn delete_identity_once(&self, context: &WriteContext, name: &IdentityName) -> Result<i64> {
        let project = &name.environment.project;
        let mut write = Write::begin(self, project, context).await?;
        let scope = project_scope(write.project);
        if let Claim::Replayed(revision) = claim(&mut write.tx, context, &scope, write.revision).await? {
            return Ok(revision);
        }
        let environment = environment_id(&mut write.tx, &name.environment).await?;
        let before = found(find_identity(&mut write.tx, environment, name).await)?;
        let overrides = overrides_of_identity(&mut write.tx, environment, project, &name.identifier).await?;
        match &before {
            Some(before) => {
                let hash = identity_hash(&name.identifier);
                sqlx::query("DELETE FROM identities WHERE environment_id = $1 AND identity_hash = $2")
                    .bind(environment)
                    .bind(&hash)
                    .execute(&mut *write.tx)
                    .await
                    .map_err(storage)?;
                tell_written(&mut write.tx, NO_BATCH, &[(environment, &hash)]).await.map_err(storage)?;
                write.record(name, Some(&Recorded::from(before)), None)?;
            }
            None if overrides.is_empty() => return Err(not_found("identity", name)),
            None => {}
        }
        for row in overrides {
            write.delete_identity_override(row.environment, row.feature, &row.resource).await?;
        }
        write.finish(self, context).await
    }
}

/// What the change log keeps of an identity. It outlives the data of people, so it has no values of traits.
#[derive(Serialize)]
struct Recorded<'a> {
    name: &'a IdentityName,
    hashing_key: &'a Option<String>,
    traits: Vec<&'a TraitKey>,
    created_at: DateTime<Utc>,
}

impl<'a> From<&'a Identity> for Recorded<'a> {
    fn from(identity: &'a Identity) -> Self {
        let Identity { name, hashing_key, traits, created_at } = identity;
        let traits = traits.iter().map(|found| &found.key).collect();
        Self { name, hashing_key, traits, created_at: *created_at }
    }
}

/// Tells an identity that is not stored from a failure.
fn found(identity: Result<Identity>) -> Result<Option<Identity>> {
    match identity {
        Err(Error::NotFound { .. }) => Ok(None),
        found => found.map(Some),
    }
}
