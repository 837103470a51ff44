//! Tokens of the management API.

use burgee_core::Result;
use burgee_core::access::{SecretHash, Token};
use burgee_core::change::WriteContext;
use burgee_core::name::{OrganisationId, OrganisationName, TokenId, TokenName, TokenOwner, UserId, UserName};
use burgee_core::store::{Page, TokenCaller};
use chrono::{DateTime, Utc};

use super::organisations::{organisation_id, settle};
use super::requests::{Claim, SERVER, claim};
use super::users::user_id;
use super::write::{check_limit, microseconds, not_found, taken};
use super::{Backend, Connection, rows};
use crate::error::{corrupt, storage, stored};
use crate::retry::retrying;

#[derive(sqlx::FromRow)]
struct TokenRecord {
    key: String,
    display_name: String,
    hint: String,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
}

impl TokenRecord {
    fn into_token(self, owner: TokenOwner) -> Result<Token> {
        let Self { key, display_name, hint, created_at, expires_at, revoked_at } = self;
        let name = TokenName { owner, token: stored(TokenId::parse(&key))? };
        Ok(Token { name, display_name, hint, created_at, expires_at, revoked_at })
    }
}

#[derive(sqlx::FromRow)]
struct CallerRecord {
    #[sqlx(flatten)]
    token: TokenRecord,
    user_key: Option<String>,
    organisation_key: Option<String>,
    administrator: Option<bool>,
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

async fn token(connection: &mut Connection, name: &TokenName) -> Result<Token> {
    let (user, organisation) = owner_ids(connection, &name.owner).await?;
    let record: Option<TokenRecord> = sqlx::query_as(
        "SELECT key, display_name, hint, created_at, expires_at, revoked_at
        FROM tokens WHERE (user_id = $1 OR organisation_id = $2) AND key = $3",
    )
    .bind(user)
    .bind(organisation)
    .bind(name.token.as_str())
    .fetch_optional(connection)
    .await
    .map_err(storage)?;
    record.ok_or_else(|| not_found("token", name))?.into_token(name.owner.clone())
}

/// Adds a token.
pub(super) async fn insert_token(
    connection: &mut Connection,
    token: &Token,
    hash: &SecretHash,
) -> Result<Token> {
    let (user, organisation) = owner_ids(connection, &token.name.owner).await?;
    let created = Token {
        created_at: microseconds(token.created_at),
        expires_at: token.expires_at.map(microseconds),
        revoked_at: None,
        ..token.clone()
    };
    sqlx::query(
        "INSERT INTO tokens (user_id, organisation_id, key, display_name, hash, hint, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(user)
    .bind(organisation)
    .bind(created.name.token.as_str())
    .bind(&created.display_name)
    .bind(hash.as_bytes())
    .bind(&created.hint)
    .bind(created.created_at)
    .bind(created.expires_at)
    .execute(connection)
    .await
    .map_err(taken("token", &token.name))?;
    Ok(created)
}

impl Backend {
    pub(crate) async fn create_token(
        &self,
        context: &WriteContext,
        token: Token,
        hash: SecretHash,
    ) -> Result<(Token, bool)> {
        let (token, hash) = (&token, &hash);
        retrying(|| async move {
            let mut tx = self.begin().await?;
            if claim(&mut tx, context, SERVER, 0).await? != Claim::New {
                return Ok((self::token(&mut tx, &token.name).await?, true));
            }
            let (user, organisation) = owner_ids(&mut tx, &token.name.owner).await?;
            let tokens: i64 =
                sqlx::query_scalar("SELECT count(*) FROM tokens WHERE user_id = $1 OR organisation_id = $2")
                    .bind(user)
                    .bind(organisation)
                    .fetch_one(&mut *tx)
                    .await
                    .map_err(storage)?;
            check_limit("tokens_per_owner", self.limits.tokens_per_owner, tokens)?;
            let created = insert_token(&mut tx, token, hash).await?;
            settle(tx, context).await?;
            Ok((created, false))
        })
        .await
    }

    pub(crate) async fn tokens(&self, owner: &TokenOwner, page: &Page) -> Result<Vec<Token>> {
        let mut tx = self.snapshot().await?;
        let (user, organisation) = owner_ids(&mut tx, owner).await?;
        let records: Vec<TokenRecord> = sqlx::query_as(
            "SELECT key, display_name, hint, created_at, expires_at, revoked_at
            FROM tokens WHERE (user_id = $1 OR organisation_id = $2) AND key > $3 ORDER BY key LIMIT $4",
        )
        .bind(user)
        .bind(organisation)
        .bind(page.after.as_deref().unwrap_or_default())
        .bind(rows(page.limit))
        .fetch_all(&mut *tx)
        .await
        .map_err(storage)?;
        records.into_iter().map(|record| record.into_token(owner.clone())).collect()
    }

    pub(crate) async fn revoke_token(&self, context: &WriteContext, name: &TokenName) -> Result<Token> {
        retrying(|| async move {
            let mut tx = self.begin().await?;
            if claim(&mut tx, context, SERVER, 0).await? != Claim::New {
                return token(&mut tx, name).await;
            }
            let (user, organisation) = owner_ids(&mut tx, &name.owner).await?;
            sqlx::query(
                "UPDATE tokens SET revoked_at = $4
                WHERE (user_id = $1 OR organisation_id = $2) AND key = $3 AND revoked_at IS NULL",
            )
            .bind(user)
            .bind(organisation)
            .bind(name.token.as_str())
            .bind(microseconds(context.now))
            .execute(&mut *tx)
            .await
            .map_err(storage)?;
            let revoked = token(&mut tx, name).await?;
            settle(tx, context).await?;
            Ok(revoked)
        })
        .await
    }

    pub(crate) async fn token_caller(&self, hash: &SecretHash) -> Result<Option<TokenCaller>> {
        let record: Option<CallerRecord> = sqlx::query_as(
            "SELECT t.key, t.display_name, t.hint, t.created_at, t.expires_at, t.revoked_at,
                u.key AS user_key, o.key AS organisation_key, u.administrator
            FROM tokens t LEFT JOIN users u ON u.id = t.user_id LEFT JOIN organisations o ON o.id = t.organisation_id
            WHERE t.hash = $1 AND t.revoked_at IS NULL",
        )
        .bind(hash.as_bytes())
        .fetch_optional(&self.reads)
        .await
        .map_err(storage)?;
        let Some(CallerRecord { token, user_key, organisation_key, administrator }) = record else {
            return Ok(None);
        };
        let owner = match (user_key, organisation_key) {
            (Some(key), _) => TokenOwner::User(UserName { user: stored(UserId::parse(&key))? }),
            (None, Some(key)) => TokenOwner::Organisation(OrganisationName {
                organisation: stored(OrganisationId::parse(&key))?,
            }),
            (None, None) => return Err(corrupt("a stored token has no owner".to_owned())),
        };
        let token = token.into_token(owner)?;
        Ok(Some(TokenCaller { token, administrator: administrator.unwrap_or(false) }))
    }
}
