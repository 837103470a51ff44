//! Secrets: made from the random numbers of the operating system, shown once, never logged.

use std::fmt;

use burgee_core::access::{KeyKind, SecretHash};
use burgee_core::{Error, Result};
use rand::TryRngCore as _;
use rand::rngs::OsRng;

/// What tokens begin with, so that scanners of repositories recognise them.
const TOKEN_PREFIX: &str = "bgt_";
/// What server-side keys begin with.
const SERVER_SIDE_PREFIX: &str = "ser.";
/// Random characters of a token and of a server-side key: 238 bits.
const SECRET_CHARACTERS: usize = 40;
/// Random characters of a client-side key: 178 bits, of which the hint shows 48.
const CLIENT_SIDE_CHARACTERS: usize = 30;
/// Characters of a secret that are kept to recognise it by.
const HINT_CHARACTERS: usize = 8;
/// What random characters are drawn from.
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// A new secret.
pub struct Secret(String);

impl Secret {
    /// Makes the secret of a token.
    pub fn token() -> Result<Self> {
        Ok(Self(format!("{TOKEN_PREFIX}{}", random(SECRET_CHARACTERS)?)))
    }

    /// Makes the secret of an environment key.
    pub fn key(kind: KeyKind) -> Result<Self> {
        match kind {
            KeyKind::ClientSide => Ok(Self(random(CLIENT_SIDE_CHARACTERS)?)),
            KeyKind::ServerSide => Ok(Self(format!("{SERVER_SIDE_PREFIX}{}", random(SECRET_CHARACTERS)?))),
        }
    }

    /// Returns what the store keeps instead of it.
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.0)
    }

    /// Returns the first characters.
    pub fn hint(&self) -> String {
        self.0.chars().take(HINT_CHARACTERS).collect()
    }

    /// Returns the secret, to be shown to the caller this once.
    pub fn reveal(self) -> String {
        self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

/// Draws characters, each as likely as any other.
fn random(characters: usize) -> Result<String> {
    let mut text = String::with_capacity(characters);
    let mut bytes = [0_u8; 64];
    while text.len() < characters {
        OsRng.try_fill_bytes(&mut bytes).map_err(|error| Error::Storage(Box::new(error)))?;
        let drawn = bytes.iter().filter_map(|&byte| symbol(byte));
        text.extend(drawn.take(characters - text.len()));
    }
    Ok(text)
}

/// Returns the character of a random byte. Bytes that would make some characters likelier than others have none.
fn symbol(byte: u8) -> Option<char> {
    let fair = u8::MAX - u8::MAX % 62;
    (byte < fair).then(|| char::from(ALPHABET[usize::from(byte % 62)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(secret: Secret, prefix: &str, characters: usize) {
        let hint = secret.hint();
        let hash = secret.hash();
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        let text = secret.reveal();
        let random = text.strip_prefix(prefix).unwrap();
        assert_eq!(random.len(), characters);
        assert!(random.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert!(text.starts_with(&hint) && hint.len() == HINT_CHARACTERS);
        assert_eq!(hash, SecretHash::of(&text));
    }

    #[test]
    fn secrets_tell_what_they_are_for() {
        check(Secret::token().unwrap(), "bgt_", 40);
        check(Secret::key(KeyKind::ServerSide).unwrap(), "ser.", 40);
        check(Secret::key(KeyKind::ClientSide).unwrap(), "", 30);
    }

    #[test]
    fn no_two_secrets_are_equal() {
        assert_ne!(Secret::token().unwrap().reveal(), Secret::token().unwrap().reveal());
    }

    #[test]
    fn every_character_is_as_likely_as_any_other() {
        let mut counts = std::collections::HashMap::new();
        for symbol in (0..=u8::MAX).filter_map(symbol) {
            *counts.entry(symbol).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 62);
        assert!(counts.values().all(|&count| count == 4));
    }
}
