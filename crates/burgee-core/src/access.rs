//! Credentials: tokens for management, environment keys for evaluation. Only their hashes are stored.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::name::{KeyName, TokenName};

/// The SHA-256 of a secret. The secrets have at least 128 random bits, so that a plain hash cannot be searched.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// What an environment key may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// Public, for browsers and apps: never sees server-side-only features.
    ClientSide,
    /// Secret, for backends; begins with `ser.`.
    ServerSide,
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
}
