//! Trust relationships.

use burgee_core::Result;
use burgee_core::claims::ClaimRule;
use burgee_core::name::{OrganisationName, TrustRelationshipId, TrustRelationshipName};
use burgee_core::store::Page;
use burgee_core::trust::{TrustRelationship, TrustRelationshipPatch};
use chrono::{DateTime, Utc};
use sqlx::types::Json;

use super::account_write::AccountWrite;
use super::grants::grants_of_trust_relationship;
use super::organisations::{check_etag, organisation_id};
use super::write::{Stored, check_limit, microseconds, not_found, taken};
use super::{Backend, Connection, rows};
use crate::error::{corrupt, storage, stored};

#[derive(sqlx::FromRow)]
struct TrustRecord {
    id: i64,
    key: String,
    display_name: String,
    issuer: String,
    audience: String,
    claim_rules: Json<Vec<ClaimRule>>,
    token_lifetime_seconds: i64,
    version: i64,
    created_at: DateTime<Utc>,
}

impl TrustRecord {
    fn into_stored(self, organisation: &OrganisationName) -> Result<Stored<TrustRelationship>> {
        let trust_relationship = stored(TrustRelationshipId::parse(&self.key))?;
        let token_lifetime_seconds = u32::try_from(self.token_lifetime_seconds)
            .map_err(|_| corrupt("a stored lifetime of tokens is out of range".to_owned()))?;
        let resource = TrustRelationship {
            name: TrustRelationshipName { organisation: organisation.clone(), trust_relationship },
            display_name: self.display_name,
            issuer: self.issuer,
            audience: self.audience,
            claim_rules: self.claim_rules.0,
            token_lifetime_seconds,
            created_at: self.created_at,
            etag: self.version.to_string(),
        };
        Ok(Stored { id: self.id, resource })
    }
}

/// Finds a trust relationship.
pub(super) async fn find_trust_relationship(
    connection: &mut Connection,
    name: &TrustRelationshipName,
) -> Result<Stored<TrustRelationship>> {
    let record: Option<TrustRecord> = sqlx::query_as(
        "SELECT s.id, s.key, s.display_name, s.issuer, s.audience, s.claim_rules, s.token_lifetime_seconds,
            s.version, s.created_at
        FROM trust_relationships s JOIN organisations o ON o.id = s.organisation_id
        WHERE o.key = $1 AND s.key = $2",
    )
    .bind(name.organisation.organisation.as_str())
    .bind(name.trust_relationship.as_str())
    .fetch_optional(connection)
    .await
    .map_err(storage)?;
    record.ok_or_else(|| not_found("trust relationship", name))?.into_stored(&name.organisation)
}

impl Backend {
    pub(crate) async fn trust_relationship(&self, name: &TrustRelationshipName) -> Result<TrustRelationship> {
        let mut connection = self.reads.acquire().await.map_err(storage)?;
        Ok(find_trust_relationship(&mut connection, name).await?.resource)
    }

    pub(crate) async fn trust_relationships(
        &self,
        organisation: &OrganisationName,
        page: &Page,
    ) -> Result<Vec<TrustRelationship>> {
        let mut tx = self.snapshot().await?;
        let id = organisation_id(&mut tx, organisation).await?;
        let records: Vec<TrustRecord> = sqlx::query_as(
            "SELECT id, key, display_name, issuer, audience, claim_rules, token_lifetime_seconds, version, created_at
            FROM trust_relationships WHERE organisation_id = $1 AND key > $2 ORDER BY key LIMIT $3",
        )
        .bind(id)
        .bind(page.after.as_deref().unwrap_or_default())
        .bind(rows(page.limit))
        .fetch_all(&mut *tx)
        .await
        .map_err(storage)?;
        records.into_iter().map(|record| Ok(record.into_stored(organisation)?.resource)).collect()
    }
}

impl AccountWrite<'_> {
    /// Creates a trust relationship.
    pub(super) async fn create_trust_relationship(
        &mut self,
        trust_relationship: &TrustRelationship,
    ) -> Result<TrustRelationship> {
        let organisation = self.organisation()?;
        let present: i64 =
            sqlx::query_scalar("SELECT count(*) FROM trust_relationships WHERE organisation_id = $1")
                .bind(organisation)
                .fetch_one(&mut *self.tx)
                .await
                .map_err(storage)?;
        let maximum = self.limits.trust_relationships_per_organisation;
        check_limit("trust_relationships_per_organisation", maximum, present)?;
        let created_at = microseconds(trust_relationship.created_at);
        let created = TrustRelationship { created_at, etag: "1".to_owned(), ..trust_relationship.clone() };
        sqlx::query(
            "INSERT INTO trust_relationships
                (organisation_id, key, display_name, issuer, audience, claim_rules, token_lifetime_seconds, version,
                    created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8)",
        )
        .bind(organisation)
        .bind(created.name.trust_relationship.as_str())
        .bind(&created.display_name)
        .bind(&created.issuer)
        .bind(&created.audience)
        .bind(Json(&created.claim_rules))
        .bind(i64::from(created.token_lifetime_seconds))
        .bind(created_at)
        .execute(&mut *self.tx)
        .await
        .map_err(taken("trust relationship", &created.name))?;
        self.record(&created.name, None, Some(&created))?;
        Ok(created)
    }

    /// Changes a trust relationship; if who may exchange changes, tokens that it gave are gone.
    pub(super) async fn update_trust_relationship(
        &mut self,
        name: &TrustRelationshipName,
        patch: &TrustRelationshipPatch,
        etag: Option<&str>,
    ) -> Result<TrustRelationship> {
        let Stored { id, resource: before } = find_trust_relationship(&mut self.tx, name).await?;
        check_etag(name, etag, &before.etag)?;
        let TrustRelationshipPatch { display_name, audience, claim_rules, token_lifetime_seconds } =
            patch.clone();
        let after = TrustRelationship {
            display_name: display_name.unwrap_or_else(|| before.display_name.clone()),
            audience: audience.unwrap_or_else(|| before.audience.clone()),
            claim_rules: claim_rules.unwrap_or_else(|| before.claim_rules.clone()),
            token_lifetime_seconds: token_lifetime_seconds.unwrap_or(before.token_lifetime_seconds),
            ..before.clone()
        };
        // The row first: whoever exchanges a token at the same time holds it.
        let version: i64 = sqlx::query_scalar(
            "UPDATE trust_relationships
            SET display_name = $2, audience = $3, claim_rules = $4, token_lifetime_seconds = $5, version = version + 1
            WHERE id = $1 RETURNING version",
        )
        .bind(id)
        .bind(&after.display_name)
        .bind(&after.audience)
        .bind(Json(&after.claim_rules))
        .bind(i64::from(after.token_lifetime_seconds))
        .fetch_one(&mut *self.tx)
        .await
        .map_err(storage)?;
        if (&before.audience, &before.claim_rules) != (&after.audience, &after.claim_rules) {
            sqlx::query("DELETE FROM exchanged_tokens WHERE trust_relationship_id = $1")
                .bind(id)
                .execute(&mut *self.tx)
                .await
                .map_err(storage)?;
        }
        let after = TrustRelationship { etag: version.to_string(), ..after };
        self.record(name, Some(&before), Some(&after))?;
        Ok(after)
    }

    /// Deletes a trust relationship, with what was granted to it and the tokens that it gave.
    pub(super) async fn delete_trust_relationship(
        &mut self,
        name: &TrustRelationshipName,
        etag: Option<&str>,
    ) -> Result<TrustRelationship> {
        let Stored { id, resource } = find_trust_relationship(&mut self.tx, name).await?;
        check_etag(name, etag, &resource.etag)?;
        let grants = grants_of_trust_relationship(&mut self.tx, id).await?;
        sqlx::query("DELETE FROM trust_relationships WHERE id = $1")
            .bind(id)
            .execute(&mut *self.tx)
            .await
            .map_err(storage)?;
        self.record(name, Some(&resource), None)?;
        self.record_revoked(&grants)?;
        Ok(resource)
    }
}
