//! Credentials: tokens for management, environment keys for evaluation. Only their hashes are stored.
//!
//! The secret of a token is `{prefix}{12 characters}{32 characters}{6 characters}`: what it is for, what it is looked up by, what is
//! secret, and a checksum by which scanners of repositories tell it from other text.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

use crate::grant::Principal;
use crate::name::{KeyName, TokenName};

/// The SHA-256 of a secret. The secrets have at least 128 random bits, so that a plain hash cannot be searched.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// Hashes a secret.
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// Takes a hash as it is stored.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Returns the hash as it is stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretHash(…)")
    }
}

/// Characters of a secret that say what it is for, such as `bgu_`.
pub const PREFIX_CHARACTERS: usize = 4;
/// Characters of a secret behind the prefix that it is looked up by. They are not secret.
pub const LOOKUP_CHARACTERS: usize = 12;
/// Bytes of a salt.
pub const SALT_BYTES: usize = 16;

/// The secret of a token or an invitation, as it is stored: with a salt, so that equal secrets are not seen to be equal, and a table
/// of hashes made in advance is of no use.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredSecret {
    /// What it is looked up by: its first 16 characters, which are not secret.
    pub lookup: String,
    /// Random; `None` for tokens of before version 2 of the tables, which have 238 random bits and no salt.
    pub salt: Option<[u8; SALT_BYTES]>,
    /// SHA-256 of the salt and the whole secret.
    pub hash: [u8; 32],
}

impl StoredSecret {
    /// Returns what is stored of a secret.
    pub fn new(secret: &str, salt: [u8; SALT_BYTES]) -> Self {
        Self { lookup: Self::lookup(secret), salt: Some(salt), hash: salted(&salt, secret) }
    }

    /// Returns what a presented secret is looked up by.
    pub fn lookup(secret: &str) -> String {
        let characters = PREFIX_CHARACTERS + LOOKUP_CHARACTERS;
        match secret.get(..characters) {
            Some(lookup) if !secret.starts_with(UNSALTED_PREFIX) => lookup.to_owned(),
            _ => hex::encode(SecretHash::of(secret).as_bytes()),
        }
    }

    /// Says whether a presented secret is this one; takes the same time whether it is or not.
    pub fn is(&self, secret: &str) -> bool {
        let salt = self.salt.as_ref().map(<[u8; SALT_BYTES]>::as_slice).unwrap_or_default();
        salted(salt, secret).ct_eq(&self.hash).into()
    }
}

impl fmt::Debug for StoredSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "StoredSecret({}…)", self.lookup)
    }
}

/// What tokens of before version 2 of the tables begin with.
const UNSALTED_PREFIX: &str = "bgt_";

fn salted(salt: &[u8], secret: &str) -> [u8; 32] {
    Sha256::new().chain_update(salt).chain_update(secret.as_bytes()).finalize().into()
}

/// What an environment key may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// Public, for browsers and apps: never sees server-side-only features.
    ClientSide,
    /// Secret, for backends; begins with `ser.`.
    ServerSide,
}

/// What an environment key may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyScope {
    /// Evaluate flags, and watch their values.
    Evaluate,
    /// Watch the rules of the environment.
    WatchRules,
    /// Store identities and their traits.
    Identify,
    /// Have an evaluation explained.
    Explain,
}

impl KeyScope {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Evaluate, Self::WatchRules, Self::Identify, Self::Explain];

    /// Returns those that a kind of key can have.
    pub fn of_kind(kind: KeyKind) -> Vec<Self> {
        match kind {
            KeyKind::ClientSide => vec![Self::Evaluate, Self::Identify],
            KeyKind::ServerSide => Self::ALL.to_vec(),
        }
    }

    /// Returns the name that errors use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Evaluate => "KEY_SCOPE_EVALUATE",
            Self::WatchRules => "KEY_SCOPE_WATCH_RULES",
            Self::Identify => "KEY_SCOPE_IDENTIFY",
            Self::Explain => "KEY_SCOPE_EXPLAIN",
        }
    }
}

/// A key of an environment, without its secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentKey {
    /// The resource name.
    pub name: KeyName,
    /// What people read.
    pub display_name: String,
    /// What it may see.
    pub kind: KeyKind,
    /// What it may be used for, in their order, each once.
    pub scopes: Vec<KeyScope>,
    /// It sees only features that have one of these tags; empty: all features.
    pub tags: Vec<String>,
    /// The first characters of the secret, to recognise it by.
    pub hint: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// From when it is refused, if ever.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<DateTime<Utc>>,
    /// Changes with every write.
    pub etag: String,
}

/// A token of the management API, without its secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// The resource name.
    pub name: TokenName,
    /// What people read.
    pub display_name: String,
    /// The first characters of the secret, to recognise it by.
    pub hint: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// From when it is refused, if ever.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    #[serde(skip)]
    pub last_used_at: Option<DateTime<Utc>>,
}

/// The token that a trust relationship gives.
#[derive(Clone, Debug, PartialEq)]
pub struct ExchangedToken {
    /// Its secret, as it is stored.
    pub secret: StoredSecret,
    /// On whose behalf: the `sub` of the token that was shown.
    pub subject: String,
    /// When it was given.
    pub created_at: DateTime<Utc>,
    /// From when it is refused.
    pub expires_at: DateTime<Utc>,
}

/// The number of a token in the store; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenRef(pub i64);

/// A credential that may be presented, and whose it is.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredCredential {
    /// Its secret.
    pub secret: StoredSecret,
    /// Who acts with it.
    pub principal: Principal,
    /// Whether its user may do everything on this server.
    pub administrator: bool,
    /// The name of the token, or of the trust relationship that gave it.
    pub name: String,
    /// Of an exchanged token: on whose behalf.
    pub on_behalf_of: String,
    /// From when it is refused, if ever.
    pub expires_at: Option<DateTime<Utc>>,
    /// The token, to note that it was used; `None` for exchanged ones.
    pub token: Option<TokenRef>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_secret_knows_its_secret_and_no_other() {
        let secret = "bgu_abcdefghijklmnopqrstuvwxyz";
        let stored = StoredSecret::new(secret, [7; SALT_BYTES]);
        assert_eq!(stored.lookup, "bgu_abcdefghijkl");
        assert!(stored.is(secret) && !stored.is("bgu_abcdefghijklmnopqrstuvwxyy"));
        assert_ne!(stored.hash, StoredSecret::new(secret, [8; SALT_BYTES]).hash);
        assert_eq!(format!("{stored:?}"), "StoredSecret(bgu_abcdefghijkl…)");
    }

    #[test]
    fn tokens_without_a_salt_are_looked_up_by_their_hash() {
        let stored = StoredSecret {
            lookup: StoredSecret::lookup("bgt_x"),
            salt: None,
            hash: SecretHash::of("bgt_x").0,
        };
        assert_eq!(stored.lookup.len(), 64);
        assert!(stored.is("bgt_x"));
        assert_eq!(StoredSecret::lookup("é".repeat(9).as_str()).len(), 16);
        assert_eq!(StoredSecret::lookup("short").len(), 64);
    }
}
