//! Secrets: made from the random numbers of the operating system, shown once, never logged.

use std::fmt;

use burgee_core::access::{
    KeyKind, LOOKUP_CHARACTERS, PREFIX_CHARACTERS, SALT_BYTES, SecretHash, StoredSecret,
};
use burgee_core::{Error, Result};
use rand::TryRngCore as _;
use rand::rngs::OsRng;

/// What the token of a user begins with.
const USER_TOKEN: &str = "bgu_";
/// What the token of an organisation begins with.
const ORGANISATION_TOKEN: &str = "bgo_";
/// What a token that a trust relationship gives begins with.
const EXCHANGED_TOKEN: &str = "bgx_";
/// What the secret of an invitation begins with.
const INVITATION: &str = "bgi_";
/// All of them: what begins so has a checksum.
const PREFIXES: [&str; 4] = [USER_TOKEN, ORGANISATION_TOKEN, EXCHANGED_TOKEN, INVITATION];
/// Random characters behind the part that it is looked up by: 190 bits.
const TOKEN_CHARACTERS: usize = 32;
/// Characters of a checksum: enough for 32 bits.
const CHECKSUM_CHARACTERS: usize = 6;

/// What server-side keys begin with.
const SERVER_SIDE_PREFIX: &str = "ser.";
/// Random characters of a server-side key: 238 bits.
const SECRET_CHARACTERS: usize = 40;
/// Random characters of a client-side key: 178 bits, of which the hint shows 48.
const CLIENT_SIDE_CHARACTERS: usize = 30;
/// Characters of a key that are kept to recognise it by.
const KEY_HINT_CHARACTERS: usize = 8;
/// What random characters are drawn from, and a checksum is written in.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A new secret.
pub struct Secret {
    text: String,
    hint_characters: usize,
    salt: [u8; SALT_BYTES],
}

impl Secret {
    /// Makes the secret of a user's token.
    pub fn user_token() -> Result<Self> {
        Self::token(USER_TOKEN)
    }

    /// Makes the secret of an organisation's token.
    pub fn organisation_token() -> Result<Self> {
        Self::token(ORGANISATION_TOKEN)
    }

    /// Makes the secret of a token that a trust relationship gives.
    pub fn exchanged_token() -> Result<Self> {
        Self::token(EXCHANGED_TOKEN)
    }

    /// Makes the secret of an invitation.
    pub fn invitation() -> Result<Self> {
        Self::token(INVITATION)
    }

    fn token(prefix: &str) -> Result<Self> {
        let text = format!("{prefix}{}", random(LOOKUP_CHARACTERS + TOKEN_CHARACTERS)?);
        let checksum = checksum(&text);
        Self::new(text + &checksum, PREFIX_CHARACTERS + LOOKUP_CHARACTERS)
    }

    /// Makes the secret of an environment key.
    pub fn key(kind: KeyKind) -> Result<Self> {
        let text = match kind {
            KeyKind::ClientSide => random(CLIENT_SIDE_CHARACTERS)?,
            KeyKind::ServerSide => format!("{SERVER_SIDE_PREFIX}{}", random(SECRET_CHARACTERS)?),
        };
        Self::new(text, KEY_HINT_CHARACTERS)
    }

    fn new(text: String, hint_characters: usize) -> Result<Self> {
        let mut salt = [0; SALT_BYTES];
        fill(&mut salt)?;
        Ok(Self { text, hint_characters, salt })
    }

    /// Returns what the store keeps of an environment key.
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.text)
    }

    /// Returns what the store keeps of a token or an invitation.
    pub fn stored(&self) -> StoredSecret {
        StoredSecret::new(&self.text, self.salt)
    }

    /// Returns the first characters. Of a token or an invitation, they are not secret.
    pub fn hint(&self) -> String {
        self.text.chars().take(self.hint_characters).collect()
    }

    /// Returns the secret, to be shown to the caller this once.
    pub fn reveal(self) -> String {
        self.text
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

/// Says whether what is presented looks like a token whose checksum does not fit: a typo, which no store need be asked about.
pub(crate) fn is_mistyped(presented: &str) -> bool {
    let has_checksum = || {
        let length = presented.len().checked_sub(CHECKSUM_CHARACTERS)?;
        Some(presented.get(length..)? == checksum(presented.get(..length)?))
    };
    PREFIXES.iter().any(|prefix| presented.starts_with(prefix)) && has_checksum() != Some(true)
}

/// Returns the CRC-32 of a text in base 62, as secret scanners know it from other services' tokens.
fn checksum(text: &str) -> String {
    let mut rest = crc32fast::hash(text.as_bytes());
    let mut symbols = ['0'; CHECKSUM_CHARACTERS];
    for symbol in symbols.iter_mut().rev() {
        *symbol = char::from(ALPHABET[(rest % 62) as usize]);
        rest /= 62;
    }
    symbols.iter().collect()
}

fn fill(bytes: &mut [u8]) -> Result<()> {
    OsRng.try_fill_bytes(bytes).map_err(|error| Error::Storage(Box::new(error)))
}

/// Draws characters, each as likely as any other.
fn random(characters: usize) -> Result<String> {
    let mut text = String::with_capacity(characters);
    let mut bytes = [0_u8; 64];
    while text.len() < characters {
        fill(&mut bytes)?;
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

    fn check(secret: Secret, prefix: &str, characters: usize, hint_characters: usize) {
        let hint = secret.hint();
        let hash = secret.hash();
        let stored = secret.stored();
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        let text = secret.reveal();
        let random = text.strip_prefix(prefix).unwrap();
        assert_eq!(random.len(), characters);
        assert!(random.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert!(text.starts_with(&hint) && hint.len() == hint_characters);
        assert_eq!(hash, SecretHash::of(&text));
        assert!(stored.is(&text) && !is_mistyped(&text));
    }

    #[test]
    fn secrets_tell_what_they_are_for() {
        check(Secret::user_token().unwrap(), "bgu_", 50, 16);
        check(Secret::organisation_token().unwrap(), "bgo_", 50, 16);
        check(Secret::exchanged_token().unwrap(), "bgx_", 50, 16);
        check(Secret::invitation().unwrap(), "bgi_", 50, 16);
        check(Secret::key(KeyKind::ServerSide).unwrap(), "ser.", 40, 8);
        check(Secret::key(KeyKind::ClientSide).unwrap(), "", 30, 8);
    }

    #[test]
    fn a_typo_is_noticed() {
        // CRC-32 of `123456789` is 0xCBF43926.
        assert_eq!(checksum("123456789"), "3jZRME");
        let text = Secret::user_token().unwrap().reveal();
        for index in 4..text.len() {
            let other = if &text[index..=index] == "a" { "b" } else { "a" };
            let mut typo = text.clone();
            typo.replace_range(index..=index, other);
            assert!(is_mistyped(&typo), "{index}");
        }
        assert!(is_mistyped(&text[..text.len() - 1]));
        for other in ["", "bgt_x", "ser.abc", "bgu", "a.b.c", "ééé"] {
            assert!(!is_mistyped(other), "{other}");
        }
    }

    #[test]
    fn no_two_secrets_are_equal() {
        assert_ne!(Secret::user_token().unwrap().reveal(), Secret::user_token().unwrap().reveal());
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
