//! Users.

use burgee_core::access::{StoredSecret, Token};
use burgee_core::change::WriteContext;
use burgee_core::name::{UserId, UserName};
use burgee_core::organisation::{User, UserPatch};
use burgee_core::store::Page;
use burgee_core::{Error, Result};
use chrono::{DateTime, Utc};

use super::super::dialect::lock_users;
use super::account_write::AccountWrite;
use super::grants::grants_of_user;
use super::members::{check_administrators_without, memberships};
use super::organisations::check_etag;
use super::tokens::insert_token;
use super::write::{Stored, already_exists, microseconds, not_found, taken};
use super::{Backend, Connection, rows};
use crate::error::{overtaken, storage, stored};
use crate::retry::retrying;

#[derive(sqlx::FromRow)]
pub(super) struct UserRecord {
    id: i64,
    key: String,
    email: String,
    email_verified: bool,
    display_name: String,
    administrator: bool,
    version: i64,
    created_at: DateTime<Utc>,
}

impl UserRecord {
    pub(super) fn into_stored(self) -> Result<Stored<User>> {
        let Self { id, key, email, email_verified, display_name, administrator, version, created_at } = self;
        let name = UserName { user: stored(UserId::parse(&key))? };
        let etag = version.to_string();
        let resource = User { name, email, display_name, email_verified, administrator, created_at, etag };
        Ok(Stored { id, resource })
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

/// Finds a user.
pub(super) async fn find_user(connection: &mut Connection, name: &UserName) -> Result<Stored<User>> {
    let record: Option<UserRecord> = sqlx::query_as(
        "SELECT id, key, email, email_verified, display_name, administrator, version, created_at
        FROM users WHERE key = $1",
    )
    .bind(name.user.as_str())
    .fetch_optional(connection)
    .await
    .map_err(storage)?;
    record.ok_or_else(|| not_found("user", name))?.into_stored()
}

/// Refuses an address that another user has.
async fn check_email(connection: &mut Connection, user: &User) -> Result<()> {
    let holder: Option<String> = sqlx::query_scalar("SELECT key FROM users WHERE email_lower = $1")
        .bind(user.email.to_ascii_lowercase())
        .fetch_optional(connection)
        .await
        .map_err(storage)?;
    match holder {
        Some(key) if key != user.name.user.as_str() => {
            Err(already_exists("user with the email", &user.email))
        }
        _ => Ok(()),
    }
}

/// Adds a user.
pub(super) async fn insert_user(connection: &mut Connection, user: &User) -> Result<Stored<User>> {
    check_email(connection, user).await?;
    let created_at = microseconds(user.created_at);
    let id: i64 = sqlx::query_scalar(
        "INSERT INTO users
            (key, email, email_lower, email_verified, display_name, administrator, version, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, 1, $7) RETURNING id",
    )
    .bind(user.name.user.as_str())
    .bind(&user.email)
    .bind(user.email.to_ascii_lowercase())
    .bind(user.email_verified)
    .bind(&user.display_name)
    .bind(user.administrator)
    .bind(created_at)
    .fetch_one(connection)
    .await
    .map_err(taken("user", &user.name))?;
    Ok(Stored { id, resource: User { created_at, etag: "1".to_owned(), ..user.clone() } })
}

/// Locks the organisations that a user is a member of, in the order of their numbers, which everybody keeps.
pub(super) async fn lock_organisations_of(connection: &mut Connection, user: &UserName) -> Result<Vec<i64>> {
    sqlx::query_scalar(concat!(
        "SELECT id FROM organisations WHERE id IN (
            SELECT m.organisation_id FROM members m JOIN users u ON u.id = m.user_id WHERE u.key = $1
        ) ORDER BY id",
        for_update!(),
    ))
    .bind(user.user.as_str())
    .fetch_all(connection)
    .await
    .map_err(storage)
}

impl Backend {
    pub(crate) async fn create_first_user(
        &self,
        user: User,
        token: Token,
        secret: StoredSecret,
    ) -> Result<bool> {
        let (user, token, secret) = (&user, &token, &secret);
        retrying(|| async move {
            let mut write = AccountWrite::open(self, None, user.created_at).await?;
            lock_users(&mut write.tx).await.map_err(storage)?;
            let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM users)")
                .fetch_one(&mut *write.tx)
                .await
                .map_err(storage)?;
            if exists {
                return Ok(false);
            }
            let user = insert_user(&mut write.tx, user).await?.resource;
            write.record(&user.name, None, Some(&user))?;
            let token = insert_token(&mut write.tx, token, secret).await?;
            write.record(&token.name, None, Some(&token))?;
            write.finish(self, &first_context(user.created_at)).await?;
            Ok(true)
        })
        .await
    }

    pub(crate) async fn user(&self, name: &UserName) -> Result<User> {
        let mut connection = self.reads.acquire().await.map_err(storage)?;
        Ok(find_user(&mut connection, name).await?.resource)
    }

    pub(crate) async fn users(&self, page: &Page) -> Result<Vec<User>> {
        let records: Vec<UserRecord> = sqlx::query_as(
            "SELECT id, key, email, email_verified, display_name, administrator, version, created_at
            FROM users WHERE key > $1 ORDER BY key LIMIT $2",
        )
        .bind(page.after.as_deref().unwrap_or_default())
        .bind(rows(page.limit))
        .fetch_all(&self.reads)
        .await
        .map_err(storage)?;
        records.into_iter().map(|record| Ok(record.into_stored()?.resource)).collect()
    }
}

impl AccountWrite<'_> {
    /// Creates a user.
    pub(super) async fn create_user(&mut self, user: &User) -> Result<User> {
        let created = insert_user(&mut self.tx, user).await?.resource;
        self.record(&created.name, None, Some(&created))?;
        Ok(created)
    }

    /// Changes a user.
    pub(super) async fn update_user(
        &mut self,
        name: &UserName,
        patch: &UserPatch,
        etag: Option<&str>,
    ) -> Result<User> {
        let Stored { id, resource: before } = find_user(&mut self.tx, name).await?;
        check_etag(name, etag, &before.etag)?;
        let UserPatch { display_name, email, administrator } = patch.clone();
        let after = User {
            email_verified: before.email_verified || email.is_some(),
            display_name: display_name.unwrap_or_else(|| before.display_name.clone()),
            email: email.unwrap_or_else(|| before.email.clone()),
            administrator: administrator.unwrap_or(before.administrator),
            ..before.clone()
        };
        check_email(&mut self.tx, &after).await?;
        if before.administrator && !after.administrator {
            self.check_not_last(name).await?;
        }
        let version: i64 = sqlx::query_scalar(
            "UPDATE users
            SET email = $2, email_lower = $3, email_verified = $4, display_name = $5, administrator = $6,
                version = version + 1
            WHERE id = $1 RETURNING version",
        )
        .bind(id)
        .bind(&after.email)
        .bind(after.email.to_ascii_lowercase())
        .bind(after.email_verified)
        .bind(&after.display_name)
        .bind(after.administrator)
        .fetch_one(&mut *self.tx)
        .await
        .map_err(taken("user with the email", &after.email))?;
        if !after.email.eq_ignore_ascii_case(&before.email) {
            // Whoever signed in by the former address is not known to be who has the new one.
            sqlx::query("DELETE FROM user_subjects WHERE user_id = $1")
                .bind(id)
                .execute(&mut *self.tx)
                .await
                .map_err(storage)?;
        }
        let after = User { etag: version.to_string(), ..after };
        self.record(name, Some(&before), Some(&after))?;
        Ok(after)
    }

    /// Deletes a user with tokens, memberships and grants.
    pub(super) async fn delete_user(&mut self, name: &UserName, etag: Option<&str>) -> Result<User> {
        // Nobody makes the user a member of anything from here on.
        sqlx::query(concat!("SELECT id FROM users WHERE key = $1", for_update!()))
            .bind(name.user.as_str())
            .fetch_optional(&mut *self.tx)
            .await
            .map_err(storage)?;
        let Stored { id, resource } = find_user(&mut self.tx, name).await?;
        check_etag(name, etag, &resource.etag)?;
        if resource.administrator {
            self.check_not_last(name).await?;
        }
        let memberships = memberships(&mut self.tx, name).await?;
        for (organisation, member) in &memberships {
            if !self.held.organisations.contains(organisation) {
                return Err(overtaken());
            }
            check_administrators_without(&mut self.tx, *organisation, member).await?;
        }
        let grants = grants_of_user(&mut self.tx, id).await?;
        sqlx::query("DELETE FROM users WHERE id = $1")
            .bind(id)
            .execute(&mut *self.tx)
            .await
            .map_err(storage)?;
        self.record(name, Some(&resource), None)?;
        for (_, member) in &memberships {
            self.record(&member.name, Some(member), None)?;
        }
        self.record_revoked(&grants)?;
        Ok(resource)
    }

    /// Refuses to leave the server without an administrator.
    async fn check_not_last(&mut self, administrator: &UserName) -> Result<()> {
        let administrators: i64 = sqlx::query_scalar("SELECT count(*) FROM users WHERE administrator")
            .fetch_one(&mut *self.tx)
            .await
            .map_err(storage)?;
        if administrators > 1 {
            return Ok(());
        }
        let message = format!("`{administrator}` is the last administrator of the server");
        Err(Error::Precondition { reason: "LAST_ADMINISTRATOR", message })
    }
}

/// Returns who creates the first user: nobody yet.
fn first_context(now: DateTime<Utc>) -> WriteContext {
    WriteContext {
        actor: "system".to_owned(),
        credential: String::new(),
        on_behalf_of: String::new(),
        address: String::new(),
        method: "CreateFirstUser".to_owned(),
        request_id: None,
        request_digest: [0; 32],
        reason: String::new(),
        validate_only: false,
        now,
    }
}
