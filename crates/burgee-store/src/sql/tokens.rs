//! Tokens of the management API.

use burgee_core::Result;
use burgee_core::access::{StoredSecret, Token};
use burgee_core::name::{TokenId, TokenName, TokenOwner};
use burgee_core::store::Page;
use chrono::{DateTime, Utc};

use super::account_write::AccountWrite;
use super::organisations::organisation_id;
use super::users::user_id;
use super::write::{Stored, check_limit, microseconds, not_found, taken};
use super::{Backend, Connection, rows};
use crate::error::{storage, stored};

#[derive(sqlx::FromRow)]
struct TokenRecord {
    id: i64,
    key: String,
    display_name: String,
    hint: String,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
}

impl TokenRecord {
    fn into_stored(self, owner: TokenOwner) -> Result<Stored<Token>> {
        let Self { id, key, display_name, hint, created_at, expires_at, revoked_at, last_used_at } = self;
        let name = TokenName { owner, token: stored(TokenId::parse(&key))? };
        let resource = Token { name, display_name, hint, created_at, expires_at, revoked_at, last_used_at };
        Ok(Stored { id, resource })
    }
}

/// The number of a token's owner, as a user and as an organisation: exactly one is set.
async fn owner_ids(connection: &mut Connection, owner: &TokenOwner) -> Result<(Option<i64>, Option<i64>)> {
    Ok(match owner {
        TokenOwner::User(user) => (Some(user_id(connection, user).await?), None),
        TokenOwner::Organisation(organisation) => {
            (None, Some(organisation_id(connection, organisation).await?))
        }
    })
}

/// Finds a token.
pub(super) async fn find_token(connection: &mut Connection, name: &TokenName) -> Result<Stored<Token>> {
    let (user, organisation) = owner_ids(connection, &name.owner).await?;
    let record: Option<TokenRecord> = sqlx::query_as(
        "SELECT id, key, display_name, hint, created_at, expires_at, revoked_at, last_used_at
        FROM tokens WHERE (user_id = $1 OR organisation_id = $2) AND key = $3",
    )
    .bind(user)
    .bind(organisation)
    .bind(name.token.as_str())
    .fetch_optional(connection)
    .await
    .map_err(storage)?;
    record.ok_or_else(|| not_found("token", name))?.into_stored(name.owner.clone())
}

/// Adds a token.
pub(super) async fn insert_token(
    connection: &mut Connection,
    token: &Token,
    secret: &StoredSecret,
) -> Result<Token> {
    let (user, organisation) = owner_ids(connection, &token.name.owner).await?;
    let created = Token {
        created_at: microseconds(token.created_at),
        expires_at: token.expires_at.map(microseconds),
        revoked_at: None,
        last_used_at: None,
        ..token.clone()
    };
    sqlx::query(
        "INSERT INTO tokens
            (user_id, organisation_id, key, display_name, lookup, salt, hash, hint, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(user)
    .bind(organisation)
    .bind(created.name.token.as_str())
    .bind(&created.display_name)
    .bind(&secret.lookup)
    .bind(secret.salt.as_ref().map(|salt| &salt[..]))
    .bind(&secret.hash[..])
    .bind(&created.hint)
    .bind(created.created_at)
    .bind(created.expires_at)
    .execute(connection)
    .await
    .map_err(taken("token", &token.name))?;
    Ok(created)
}

impl Backend {
    pub(crate) async fn tokens(&self, owner: &TokenOwner, page: &Page) -> Result<Vec<Token>> {
        let mut tx = self.snapshot().await?;
        let (user, organisation) = owner_ids(&mut tx, owner).await?;
        let records: Vec<TokenRecord> = sqlx::query_as(
            "SELECT id, key, display_name, hint, created_at, expires_at, revoked_at, last_used_at
            FROM tokens WHERE (user_id = $1 OR organisation_id = $2) AND key > $3 ORDER BY key LIMIT $4",
        )
        .bind(user)
        .bind(organisation)
        .bind(page.after.as_deref().unwrap_or_default())
        .bind(rows(page.limit))
        .fetch_all(&mut *tx)
        .await
        .map_err(storage)?;
        records.into_iter().map(|record| Ok(record.into_stored(owner.clone())?.resource)).collect()
    }
}

impl AccountWrite<'_> {
    /// Creates a token.
    pub(super) async fn create_token(&mut self, token: &Token, secret: &StoredSecret) -> Result<Token> {
        let (user, organisation) = owner_ids(&mut self.tx, &token.name.owner).await?;
        let tokens: i64 =
            sqlx::query_scalar("SELECT count(*) FROM tokens WHERE user_id = $1 OR organisation_id = $2")
                .bind(user)
                .bind(organisation)
                .fetch_one(&mut *self.tx)
                .await
                .map_err(storage)?;
        check_limit("tokens_per_owner", self.limits.tokens_per_owner, tokens)?;
        let created = insert_token(&mut self.tx, token, secret).await?;
        self.record(&created.name, None, Some(&created))?;
        Ok(created)
    }

    /// Makes a token useless; doing so again changes nothing.
    pub(super) async fn revoke_token(&mut self, name: &TokenName) -> Result<Token> {
        let Stored { id, resource: before } = find_token(&mut self.tx, name).await?;
        if before.revoked_at.is_some() {
            return Ok(before);
        }
        let after = Token { revoked_at: Some(self.now), ..before.clone() };
        sqlx::query("UPDATE tokens SET revoked_at = $2 WHERE id = $1")
            .bind(id)
            .bind(after.revoked_at)
            .execute(&mut *self.tx)
            .await
            .map_err(storage)?;
        self.record(name, Some(&before), Some(&after))?;
        Ok(after)
    }
}
