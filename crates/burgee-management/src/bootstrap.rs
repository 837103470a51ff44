//! The first user of a server.

use burgee_core::Result;
use burgee_core::access::Token;
use burgee_core::name::{TokenId, TokenName, TokenOwner, UserName};
use burgee_core::organisation::User;
use burgee_core::store::FlagStore;
use chrono::{DateTime, Utc};

use crate::secret::Secret;

/// The first user.
const USER: &str = "users/administrator";
/// Its e-mail address.
const EMAIL: &str = "administrator@localhost";
/// Its token.
const TOKEN: &str = "first";

/// Creates the first user, `users/administrator`, and a token for it, if the store has no user. Returns the token's
/// secret, which is not kept: whoever starts the server is shown it once.
///
/// # Errors
/// The store or the system's random numbers fail.
pub async fn bootstrap(store: &dyn FlagStore, now: DateTime<Utc>) -> Result<Option<String>> {
    let secret = Secret::user_token()?;
    let name = UserName::parse(USER)?;
    let token = Token {
        name: TokenName { owner: TokenOwner::User(name.clone()), token: TokenId::parse(TOKEN)? },
        display_name: "First token".to_owned(),
        hint: secret.hint(),
        created_at: now,
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    };
    let user = User {
        name,
        email: EMAIL.to_owned(),
        display_name: "Administrator".to_owned(),
        // Nobody has this address, so nobody may sign in by it.
        email_verified: false,
        administrator: true,
        created_at: now,
        etag: String::new(),
    };
    let created = store.create_first_user(user, token, secret.stored()).await?;
    Ok(created.then(|| secret.reveal()))
}
