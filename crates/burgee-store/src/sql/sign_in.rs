//! Who signs in with a token of an issuer.

use burgee_core::account::SignIn;
use burgee_core::change::WriteContext;
use burgee_core::name::{ID_CHARACTERS, MemberName, UserId, UserName};
use burgee_core::organisation::{Role, User};
use burgee_core::{Error, Result};

use super::account_write::AccountWrite;
use super::members::find_member;
use super::users::{UserRecord, insert_user};
use super::write::Stored;
use super::{Backend, Connection};
use crate::error::{overtaken, storage, stored};
use crate::retry::retrying;

/// Ids that are tried for a new account: the one that was asked for, and with `-2`, `-3`… behind it.
const IDS_TRIED: usize = 100;

/// Refuses an address that has an account, which nobody proved to be theirs.
pub(super) fn account_exists(email: &str) -> Error {
    let message = format!("the e-mail address `{email}` has an account; sign in to it first");
    Error::Precondition { reason: "ACCOUNT_EXISTS", message }
}

/// Finds the user whom an issuer means.
async fn linked_user(connection: &mut Connection, sign_in: &SignIn) -> Result<Option<Stored<User>>> {
    let record: Option<UserRecord> = sqlx::query_as(
        "SELECT u.id, u.key, u.email, u.email_verified, u.display_name, u.administrator, u.version, u.created_at
        FROM user_subjects s JOIN users u ON u.id = s.user_id WHERE s.issuer = $1 AND s.subject = $2",
    )
    .bind(&sign_in.issuer)
    .bind(&sign_in.subject)
    .fetch_optional(connection)
    .await
    .map_err(storage)?;
    record.map(UserRecord::into_stored).transpose()
}

/// Finds the user with an address.
async fn user_with_email(connection: &mut Connection, email: &str) -> Result<Option<Stored<User>>> {
    let record: Option<UserRecord> = sqlx::query_as(
        "SELECT id, key, email, email_verified, display_name, administrator, version, created_at
        FROM users WHERE email_lower = $1",
    )
    .bind(email.to_ascii_lowercase())
    .fetch_optional(connection)
    .await
    .map_err(storage)?;
    record.map(UserRecord::into_stored).transpose()
}

/// Finds the user whose address the issuer vouches for. One that is not known to be the user's is refused.
async fn known_user(connection: &mut Connection, sign_in: &SignIn) -> Result<Option<Stored<User>>> {
    let Some(email) = &sign_in.email else { return Ok(None) };
    match user_with_email(connection, email).await? {
        Some(user) if !user.resource.email_verified => Err(account_exists(email)),
        found => Ok(found),
    }
}

impl Backend {
    pub(crate) async fn sign_in(&self, sign_in: &SignIn) -> Result<Option<User>> {
        let mut connection = self.reads.acquire().await.map_err(storage)?;
        if let Some(user) = linked_user(&mut connection, sign_in).await? {
            return Ok(Some(user.resource));
        }
        if sign_in.create.is_none() && known_user(&mut connection, sign_in).await?.is_none() {
            return Ok(None);
        }
        drop(connection);
        retrying(|| Box::pin(self.first_sign_in(sign_in))).await
    }

    /// Links an account, which is created if that is asked for.
    async fn first_sign_in(&self, sign_in: &SignIn) -> Result<Option<User>> {
        let mut write = AccountWrite::open(self, sign_in.join.as_ref(), sign_in.now).await?;
        if let Some(user) = linked_user(&mut write.tx, sign_in).await? {
            return Ok(Some(user.resource));
        }
        let user = match (known_user(&mut write.tx, sign_in).await?, &sign_in.create) {
            (Some(user), _) => {
                // The change says by its credential and on whose behalf it is who is linked.
                write.record(&user.resource.name, Some(&user.resource), Some(&user.resource))?;
                user
            }
            (None, Some(create)) => {
                let created = write.create_account(create).await?;
                write.record(&created.resource.name, None, Some(&created.resource))?;
                created
            }
            (None, None) => return Ok(None),
        };
        let Stored { id, resource: user } = user;
        sqlx::query(
            "INSERT INTO user_subjects (issuer, subject, user_id, created_at) VALUES ($1, $2, $3, $4)",
        )
        .bind(&sign_in.issuer)
        .bind(&sign_in.subject)
        .bind(id)
        .bind(write.now)
        .execute(&mut *write.tx)
        .await
        .map_err(|error| match error.as_database_error() {
            // Somebody signed in at the same time, by another log.
            Some(database) if database.is_unique_violation() => overtaken(),
            _ => storage(error),
        })?;
        if let Some(organisation) = &sign_in.join {
            let member = MemberName { organisation: organisation.clone(), user: user.name.user.clone() };
            match find_member(&mut write.tx, &member).await {
                Err(Error::NotFound { .. }) => {
                    write.add_member(&member, Role::Member).await?;
                }
                found => drop(found?),
            }
        }
        write.finish(self, &context(sign_in, &user)).await?;
        Ok(Some(user))
    }
}

impl AccountWrite<'_> {
    /// Creates the account of somebody who signs in for the first time.
    async fn create_account(&mut self, create: &User) -> Result<Stored<User>> {
        if user_with_email(&mut self.tx, &create.email).await?.is_some() {
            return Err(account_exists(&create.email));
        }
        for id in ids(create.name.user.as_str()) {
            let taken: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM users WHERE key = $1)")
                .bind(&id)
                .fetch_one(&mut *self.tx)
                .await
                .map_err(storage)?;
            if !taken {
                let user = User { name: UserName { user: stored(UserId::parse(&id))? }, ..create.clone() };
                return match insert_user(&mut self.tx, &user).await {
                    // It was free a moment ago.
                    Err(Error::AlreadyExists { .. }) => Err(overtaken()),
                    created => created,
                };
            }
        }
        Err(Error::AlreadyExists { kind: "user", name: create.name.to_string() })
    }
}

/// Returns an id, and then the same with numbers behind it.
fn ids(id: &str) -> impl Iterator<Item = String> {
    let numbered = |number: usize| {
        let suffix = format!("-{number}");
        // Ids are ASCII, so they can be cut anywhere.
        format!("{}{suffix}", &id[..id.len().min(ID_CHARACTERS - suffix.len())])
    };
    std::iter::once(id.to_owned()).chain((2..=IDS_TRIED).map(numbered))
}

fn context(sign_in: &SignIn, user: &User) -> WriteContext {
    WriteContext {
        actor: user.name.to_string(),
        credential: sign_in.issuer.clone(),
        on_behalf_of: sign_in.subject.clone(),
        address: sign_in.address.clone(),
        method: "SignIn".to_owned(),
        request_id: None,
        request_digest: [0; 32],
        reason: String::new(),
        validate_only: false,
        now: sign_in.now,
    }
}
