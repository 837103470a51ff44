//! Users.

use burgee_core::Result;
use burgee_core::access::{SecretHash, Token};
use burgee_core::change::WriteContext;
use burgee_core::name::{UserId, UserName};
use burgee_core::organisation::User;
use burgee_core::store::Page;
use chrono::{DateTime, Utc};

use super::super::dialect::lock_users;
use super::organisations::settle;
use super::requests::{Claim, SERVER, claim};
use super::tokens::insert_token;
use super::write::{already_exists, microseconds, not_found, taken};
use super::{Backend, Connection, rows};
use crate::error::{storage, stored};
use crate::retry::retrying;

#[derive(sqlx::FromRow)]
struct UserRecord {
    key: String,
    email: String,
    display_name: String,
    administrator: bool,
    version: i64,
    created_at: DateTime<Utc>,
}

impl UserRecord {
    fn into_user(self) -> Result<User> {
        let Self { key, email, display_name, administrator, version, created_at } = self;
        let name = UserName { user: stored(UserId::parse(&key))? };
        Ok(User { name, email, display_name, administrator, created_at, etag: version.to_string() })
    }
}

/// Finds a user's number.
pub(super) async fn user_id(connection: &mut Connection, name: &UserName) -> Result<i64> {
    sqlx::query_scalar("SELECT id FROM users WHERE key = $1")
        .bind(name.user.as_str())
        .fetch_optional(connection)
        .await
        .map_err(storage)?
        .ok_or_else(|| not_found("user", name))
}

async fn insert_user(connection: &mut Connection, user: &User) -> Result<User> {
    let email_lower = user.email.to_lowercase();
    let holder: Option<String> = sqlx::query_scalar("SELECT key FROM users WHERE email_lower = $1")
        .bind(&email_lower)
        .fetch_optional(&mut *connection)
        .await
        .map_err(storage)?;
    if holder.is_some_and(|key| key != user.name.user.as_str()) {
        return Err(already_exists("user with the email", &user.email));
    }
    let created_at = microseconds(user.created_at);
    sqlx::query(
        "INSERT INTO users (key, email, email_lower, display_name, administrator, version, created_at)
        VALUES ($1, $2, $3, $4, $5, 1, $6)",
    )
    .bind(user.name.user.as_str())
    .bind(&user.email)
    .bind(email_lower)
    .bind(&user.display_name)
    .bind(user.administrator)
    .bind(created_at)
    .execute(connection)
    .await
    .map_err(taken("user", &user.name))?;
    Ok(User { created_at, etag: "1".to_owned(), ..user.clone() })
}

impl Backend {
    pub(crate) async fn create_user(&self, context: &WriteContext, user: User) -> Result<User> {
        let user = &user;
        retrying(|| async move {
            let mut tx = self.begin().await?;
            if claim(&mut tx, context, SERVER, 0).await? != Claim::New {
                drop(tx);
                return self.user(&user.name).await;
            }
            let created = insert_user(&mut tx, user).await?;
            settle(tx, context).await?;
            Ok(created)
        })
        .await
    }

    pub(crate) async fn create_first_user(&self, user: User, token: Token, hash: SecretHash) -> Result<bool> {
        let (user, token, hash) = (&user, &token, &hash);
        retrying(|| async move {
            let mut tx = self.begin().await?;
            lock_users(&mut tx).await.map_err(storage)?;
            let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM users)")
                .fetch_one(&mut *tx)
                .await
                .map_err(storage)?;
            if exists {
                return Ok(false);
            }
            insert_user(&mut tx, user).await?;
            insert_token(&mut tx, token, hash).await?;
            tx.commit().await.map_err(storage)?;
            Ok(true)
        })
        .await
    }

    pub(crate) async fn user(&self, name: &UserName) -> Result<User> {
        let record: Option<UserRecord> = sqlx::query_as(
            "SELECT key, email, display_name, administrator, version, created_at FROM users WHERE key = $1",
        )
        .bind(name.user.as_str())
        .fetch_optional(&self.reads)
        .await
        .map_err(storage)?;
        record.ok_or_else(|| not_found("user", name))?.into_user()
    }

    pub(crate) async fn users(&self, page: &Page) -> Result<Vec<User>> {
        let records: Vec<UserRecord> = sqlx::query_as(
            "SELECT key, email, display_name, administrator, version, created_at
            FROM users WHERE key > $1 ORDER BY key LIMIT $2",
        )
        .bind(page.after.as_deref().unwrap_or_default())
        .bind(rows(page.limit))
        .fetch_all(&self.reads)
        .await
        .map_err(storage)?;
        records.into_iter().map(UserRecord::into_user).collect()
    }
}
