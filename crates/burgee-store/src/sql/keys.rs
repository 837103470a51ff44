//! Keys of environments. Only hashes of their secrets are stored.

use burgee_core::access::{EnvironmentKey, KeyKind, KeyScope, SecretHash};
use burgee_core::name::{EnvironmentId, EnvironmentName, KeyId, KeyName};
use burgee_core::store::Page;
use burgee_core::{Error, Result};
use chrono::{DateTime, Utc};
use sqlx::types::Json;

use super::environment_reads::{environment_id, find_environment};
use super::write::{Stored, Write, microseconds, not_found, taken};
use super::{Backend, Connection, rows};
use crate::error::{corrupt, storage, stored};

#[derive(sqlx::FromRow)]
struct KeyRecord {
    id: i64,
    key: String,
    display_name: String,
    kind: String,
    scopes: Json<Vec<KeyScope>>,
    tags: Json<Vec<String>>,
    hint: String,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    revision: i64,
}

impl KeyRecord {
    fn into_stored(self, environment: &EnvironmentName) -> Result<Stored<EnvironmentKey>> {
        let resource = EnvironmentKey {
            name: KeyName { environment: environment.clone(), key: stored(KeyId::parse(&self.key))? },
            display_name: self.display_name,
            kind: parse_key_kind(&self.kind)?,
            scopes: self.scopes.0,
            tags: self.tags.0,
            hint: self.hint,
            created_at: self.created_at,
            expires_at: self.expires_at,
            revoked_at: self.revoked_at,
            etag: self.revision.to_string(),
        };
        Ok(Stored { id: self.id, resource })
    }
}

fn key_kind_text(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::ClientSide => "client_side",
        KeyKind::ServerSide => "server_side",
    }
}

/// Parses a stored kind of key.
pub(super) fn parse_key_kind(text: &str) -> Result<KeyKind> {
    match text {
        "client_side" => Ok(KeyKind::ClientSide),
        "server_side" => Ok(KeyKind::ServerSide),
        _ => Err(corrupt(format!("a stored kind of key is `{text}`"))),
    }
}

/// Finds a key.
pub(super) async fn find_key(
    connection: &mut Connection,
    environment: i64,
    name: &KeyName,
) -> Result<Stored<EnvironmentKey>> {
    let record: Option<KeyRecord> = sqlx::query_as(
        "SELECT id, key, display_name, kind, scopes, tags, hint, created_at, expires_at, revoked_at, revision
        FROM environment_keys WHERE environment_id = $1 AND key = $2",
    )
    .bind(environment)
    .bind(name.key.as_str())
    .fetch_optional(connection)
    .await
    .map_err(storage)?;
    record.ok_or_else(|| not_found("key", name))?.into_stored(&name.environment)
}

impl Backend {
    pub(crate) async fn key(&self, name: &KeyName) -> Result<EnvironmentKey> {
        let mut tx = self.snapshot().await?;
        let environment = environment_id(&mut tx, &name.environment).await?;
        Ok(find_key(&mut tx, environment, name).await?.resource)
    }

    pub(crate) async fn keys(
        &self,
        environment: &EnvironmentName,
        page: &Page,
    ) -> Result<Vec<EnvironmentKey>> {
        let mut tx = self.snapshot().await?;
        let id = environment_id(&mut tx, environment).await?;
        let records: Vec<KeyRecord> = sqlx::query_as(
            "SELECT id, key, display_name, kind, scopes, tags, hint, created_at, expires_at, revoked_at, revision
            FROM environment_keys WHERE environment_id = $1 AND key > $2 ORDER BY key LIMIT $3",
        )
        .bind(id)
        .bind(page.after.as_deref().unwrap_or_default())
        .bind(rows(page.limit))
        .fetch_all(&mut *tx)
        .await
        .map_err(storage)?;
        records.into_iter().map(|record| Ok(record.into_stored(environment)?.resource)).collect()
    }
}

impl Write<'_> {
    /// Creates a key.
    pub(super) async fn create_key(
        &mut self,
        key: &EnvironmentKey,
        hash: &SecretHash,
    ) -> Result<EnvironmentKey> {
        let environment = find_environment(&mut self.tx, &key.name.environment).await?.id;
        let keys: i64 = sqlx::query_scalar("SELECT count(*) FROM environment_keys WHERE environment_id = $1")
            .bind(environment)
            .fetch_one(&mut *self.tx)
            .await
            .map_err(storage)?;
        self.check_limit("keys_per_environment", self.limits.keys_per_environment, keys)?;
        let created = EnvironmentKey {
            created_at: microseconds(key.created_at),
            expires_at: key.expires_at.map(microseconds),
            revoked_at: None,
            etag: self.revision.to_string(),
            ..key.clone()
        };
        sqlx::query(
            "INSERT INTO environment_keys
                (environment_id, key, display_name, kind, hash, hint, created_at, expires_at, revision, scopes, tags)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(environment)
        .bind(created.name.key.as_str())
        .bind(&created.display_name)
        .bind(key_kind_text(created.kind))
        .bind(hash.as_bytes())
        .bind(&created.hint)
        .bind(created.created_at)
        .bind(created.expires_at)
        .bind(self.revision)
        .bind(Json(&created.scopes))
        .bind(Json(&created.tags))
        .execute(&mut *self.tx)
        .await
        .map_err(taken("key", &created.name))?;
        self.touch(environment);
        self.record(&created.name, None, Some(&created))?;
        Ok(created)
    }

    /// Gives a key a new secret; the former one is accepted for a while.
    pub(super) async fn rotate_key(
        &mut self,
        name: &KeyName,
        secret: &NewSecret<'_>,
        etag: Option<&str>,
    ) -> Result<EnvironmentKey> {
        let environment = find_environment(&mut self.tx, &name.environment).await?.id;
        let Stored { id, resource: before } = find_key(&mut self.tx, environment, name).await?;
        self.check_etag(name, etag, &before.etag)?;
        if before.revoked_at.is_some() {
            let message = format!("`{name}` is revoked; create another key");
            return Err(Error::Precondition { reason: "KEY_REVOKED", message });
        }
        self.keep_former_secret(id, &before, microseconds(secret.former_expires_at)).await?;
        let after = EnvironmentKey {
            hint: secret.hint.to_owned(),
            expires_at: secret.expires_at.map(microseconds),
            etag: self.revision.to_string(),
            ..before.clone()
        };
        sqlx::query(
            "UPDATE environment_keys SET hash = $2, hint = $3, expires_at = $4, revision = $5 WHERE id = $1",
        )
        .bind(id)
        .bind(secret.hash.as_bytes())
        .bind(&after.hint)
        .bind(after.expires_at)
        .bind(self.revision)
        .execute(&mut *self.tx)
        .await
        .map_err(storage)?;
        self.touch(environment);
        self.record(name, Some(&before), Some(&after))?;
        Ok(after)
    }

    async fn keep_former_secret(
        &mut self,
        key: i64,
        before: &EnvironmentKey,
        until: DateTime<Utc>,
    ) -> Result<()> {
        sqlx::query("DELETE FROM environment_key_secrets WHERE key_id = $1 AND expires_at <= $2")
            .bind(key)
            .bind(self.now)
            .execute(&mut *self.tx)
            .await
            .map_err(storage)?;
        let until = before.expires_at.map_or(until, |expires_at| expires_at.min(until));
        if until <= self.now {
            return Ok(());
        }
        let secrets: i64 =
            sqlx::query_scalar("SELECT count(*) FROM environment_key_secrets WHERE key_id = $1")
                .bind(key)
                .fetch_one(&mut *self.tx)
                .await
                .map_err(storage)?;
        self.check_limit("former_secrets_per_key", self.limits.former_secrets_per_key, secrets)?;
        sqlx::query(
            "INSERT INTO environment_key_secrets (hash, key_id, hint, expires_at)
            SELECT hash, id, hint, $2 FROM environment_keys WHERE id = $1",
        )
        .bind(key)
        .bind(until)
        .execute(&mut *self.tx)
        .await
        .map_err(storage)?;
        Ok(())
    }

    /// Makes a key, and every former secret of it, useless at once; doing so again changes nothing.
    pub(super) async fn revoke_key(&mut self, name: &KeyName, etag: Option<&str>) -> Result<EnvironmentKey> {
        let environment = find_environment(&mut self.tx, &name.environment).await?.id;
        let Stored { id, resource: before } = find_key(&mut self.tx, environment, name).await?;
        self.check_etag(name, etag, &before.etag)?;
        let after = EnvironmentKey {
            revoked_at: before.revoked_at.or(Some(self.now)),
            etag: self.revision.to_string(),
            ..before.clone()
        };
        sqlx::query("UPDATE environment_keys SET revoked_at = $2, revision = $3 WHERE id = $1")
            .bind(id)
            .bind(after.revoked_at)
            .bind(self.revision)
            .execute(&mut *self.tx)
            .await
            .map_err(storage)?;
        sqlx::query("DELETE FROM environment_key_secrets WHERE key_id = $1")
            .bind(id)
            .execute(&mut *self.tx)
            .await
            .map_err(storage)?;
        self.touch(environment);
        self.record(name, Some(&before), Some(&after))?;
        Ok(after)
    }

    /// Returns the name of a key of this project.
    pub(super) fn key_name(&self, environment: &EnvironmentId, key: &KeyId) -> KeyName {
        KeyName { environment: self.environment_name(environment), key: key.clone() }
    }
}

/// What a rotation gives a key.
pub(super) struct NewSecret<'a> {
    pub(super) hash: &'a SecretHash,
    pub(super) hint: &'a str,
    pub(super) expires_at: Option<DateTime<Utc>>,
    pub(super) former_expires_at: DateTime<Utc>,
}
