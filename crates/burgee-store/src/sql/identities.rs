//! Identities, as the management service reads and writes them.

use std::collections::BTreeMap;

use burgee_core::Result;
use burgee_core::change::WriteContext;
use burgee_core::identity::{Identity, Trait, TraitChanges};
use burgee_core::name::{EnvironmentName, Identifier, IdentityName, TraitKey};
use burgee_core::store::{EnvironmentRef, IdentityFilter, IdentityWrite, Page};
use burgee_core::value::TraitValue;
use chrono::{DateTime, Utc};
use sqlx::types::Json;

use super::super::dialect::BEGIN_WRITE;
use super::environments::environment_id;
use super::identify::identify_in;
use super::identity_overrides::overrides_of_identity;
use super::organisations::settle;
use super::projects::project_id;
use super::requests::{Claim, claim, project_scope};
use super::write::{Write, not_found};
use super::{Backend, Connection, rows};
use crate::error::{corrupt, storage, stored};
use crate::hash::identity_hash;
use crate::retry::retrying;

/// One trait of an identity, or an identity without traits.
#[derive(sqlx::FromRow)]
struct IdentityRecord {
    identity_hash: Vec<u8>,
    identifier: String,
    hashing_key: Option<String>,
    created_at: DateTime<Utc>,
    key: Option<String>,
    value: Option<Json<TraitValue>>,
}

/// Gathers the traits of each identity; the rows are in the order of identities.
fn gather(environment: &EnvironmentName, records: Vec<IdentityRecord>) -> Result<Vec<Identity>> {
    let mut identities: BTreeMap<Vec<u8>, Identity> = BTreeMap::new();
    for record in records {
        let IdentityRecord { identity_hash, identifier, hashing_key, created_at, key, value } = record;
        let name = IdentityName {
            environment: environment.clone(),
            identifier: stored(Identifier::parse(&identifier))?,
        };
        let identity = identities.entry(identity_hash);
        let identity = identity.or_insert(Identity { name, hashing_key, traits: Vec::new(), created_at });
        if let (Some(key), Some(Json(value))) = (key, value) {
            identity.traits.push(Trait { key: stored(TraitKey::parse(&key))?, value });
        }
    }
    Ok(identities.into_values().collect())
}

async fn find_identity(
    connection: &mut Connection,
    environment: i64,
    name: &IdentityName,
) -> Result<Identity> {
    let records: Vec<IdentityRecord> = sqlx::query_as(
        "SELECT i.identity_hash, i.identifier, i.hashing_key, i.created_at, t.key, t.value
        FROM identities i
        LEFT JOIN traits t ON t.environment_id = i.environment_id AND t.identity_hash = i.identity_hash
        WHERE i.environment_id = $1 AND i.identity_hash = $2 ORDER BY t.key",
    )
    .bind(environment)
    .bind(identity_hash(&name.identifier))
    .fetch_all(connection)
    .await
    .map_err(storage)?;
    gather(&name.environment, records)?.pop().ok_or_else(|| not_found("identity", name))
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
            "SELECT i.identity_hash, i.identifier, i.hashing_key, i.created_at, t.key, t.value
            FROM (
                SELECT environment_id, identity_hash, identifier, hashing_key, created_at FROM identities
                WHERE environment_id = $1 AND identity_hash > $2 AND ($3 = '' OR ",
            contains!("identifier", "$3"),
            ") ORDER BY identity_hash LIMIT $4
            ) i
            LEFT JOIN traits t ON t.environment_id = i.environment_id AND t.identity_hash = i.identity_hash
            ORDER BY i.identity_hash, t.key",
        ))
        .bind(id)
        .bind(after.as_ref().map(identity_hash).unwrap_or_default())
        .bind(filter.identifier_contains.as_deref().unwrap_or_default())
        .bind(rows(page.limit))
        .fetch_all(&mut *tx)
        .await
        .map_err(storage)?;
        gather(environment, records)
    }

    pub(crate) async fn set_identity(
        &self,
        context: &WriteContext,
        name: &IdentityName,
        changes: TraitChanges,
        hashing_key: Option<String>,
    ) -> Result<Identity> {
        let (changes, hashing_key) = (&changes, &hashing_key);
        retrying(|| async move {
            let mut tx = self.identities.begin_with(BEGIN_WRITE).await.map_err(storage)?;
            let project = project_id(&mut tx, &name.environment.project).await?;
            let environment = environment_id(&mut tx, &name.environment).await?;
            if claim(&mut tx, context, &project_scope(project), 0).await? != Claim::New {
                return find_identity(&mut tx, environment, name).await;
            }
            let write = IdentityWrite {
                environment: EnvironmentRef(environment),
                identifier: name.identifier.clone(),
                changes: changes.clone(),
                now: context.now,
            };
            let outcome = identify_in(&mut tx, &self.limits, &[write]).await?.pop();
            outcome.ok_or_else(|| corrupt("a write of an identity has no outcome".to_owned()))??;
            if let Some(hashing_key) = hashing_key {
                sqlx::query(
                    "UPDATE identities SET hashing_key = $3 WHERE environment_id = $1 AND identity_hash = $2",
                )
                .bind(environment)
                .bind(identity_hash(&name.identifier))
                .bind(hashing_key)
                .execute(&mut *tx)
                .await
                .map_err(storage)?;
            }
            let identity = find_identity(&mut tx, environment, name).await?;
            settle(tx, context).await?;
            Ok(identity)
        })
        .await
    }

    pub(crate) async fn delete_identity(&self, context: &WriteContext, name: &IdentityName) -> Result<()> {
        retrying(|| async move {
            let has_overrides = {
                let mut tx = self.snapshot().await?;
                let id = environment_id(&mut tx, &name.environment).await?;
                !overrides_of_identity(&mut tx, id, &name.environment.project, &name.identifier)
                    .await?
                    .is_empty()
            };
            if has_overrides {
                self.delete_overridden_identity(context, name).await
            } else {
                self.delete_plain_identity(context, name).await
            }
        })
        .await
    }

    /// Deletes an identity without overrides, which is data: no revision is taken.
    async fn delete_plain_identity(&self, context: &WriteContext, name: &IdentityName) -> Result<()> {
        let mut tx = self.identities.begin_with(BEGIN_WRITE).await.map_err(storage)?;
        let project = project_id(&mut tx, &name.environment.project).await?;
        let environment = environment_id(&mut tx, &name.environment).await?;
        if claim(&mut tx, context, &project_scope(project), 0).await? != Claim::New {
            return Ok(());
        }
        if !delete_rows(&mut tx, environment, &name.identifier).await? {
            return Err(not_found("identity", name));
        }
        settle(tx, context).await
    }

    /// Deletes an identity and its overrides, which are configuration.
    async fn delete_overridden_identity(&self, context: &WriteContext, name: &IdentityName) -> Result<()> {
        let project = &name.environment.project;
        let mut write = Write::begin(self, project, context).await?;
        let environment = environment_id(&mut write.tx, &name.environment).await?;
        let scope = project_scope(write.project);
        if claim(&mut write.tx, context, &scope, write.revision).await? != Claim::New {
            return Ok(());
        }
        delete_rows(&mut write.tx, environment, &name.identifier).await?;
        for row in overrides_of_identity(&mut write.tx, environment, project, &name.identifier).await? {
            write.delete_identity_override(row.environment, row.feature, &row.resource).await?;
        }
        write.finish(self, context).await?;
        Ok(())
    }
}

/// Deletes an identity with its traits; tells whether it was there.
async fn delete_rows(connection: &mut Connection, environment: i64, identifier: &Identifier) -> Result<bool> {
    let deleted = sqlx::query("DELETE FROM identities WHERE environment_id = $1 AND identity_hash = $2")
        .bind(environment)
        .bind(identity_hash(identifier))
        .execute(connection)
        .await
        .map_err(storage)?;
    Ok(deleted.rows_affected() > 0)
}
