//! How a copy of an environment is written: a head, which is quick to read, and the environment itself.
//!
//! ```text
//! 8 bytes    "brgcopy" and the version of the format
//! block      the head
//! block      the environment
//!
//! A block is its length (4 bytes, little-endian), the CRC-32 of its content (4 bytes), and its content: MessagePack
//! with the names of fields.
//! ```

use std::io::{self, Read};

use burgee_core::access::SecretHash;
use burgee_core::store::{EnvironmentRef, LoadedEnvironment};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// What every file begins with. The last byte is the version of the format: it changes with what is written in the blocks.
const MAGIC: [u8; 8] = *b"brgcopy\x01";
/// The longest head: room for more keys than an environment can have.
const HEAD_BYTES: u32 = 1024 * 1024;

/// What is known of a copy without reading all of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    /// Tells which database the environment is of.
    pub(super) database: [u8; crate::digest::BYTES],
    /// The environment.
    pub(super) environment: EnvironmentRef,
    /// The revision that it was read at.
    pub(super) revision: i64,
    /// When the database was asked for it, in milliseconds since 1970.
    pub(super) read_at: i64,
    /// The hashes of its keys.
    pub(super) keys: Box<[SecretHash]>,
}

/// How current a copy is: nothing has changed since it was read, up to this revision and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Confirmation {
    /// The environment.
    pub(crate) environment: EnvironmentRef,
    /// The revision that the copy was read at.
    pub(crate) read_revision: i64,
    /// The newest revision that did not touch it.
    pub(crate) revision: i64,
    /// When the database last said so, in milliseconds since 1970.
    pub(crate) confirmed_at: i64,
}

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum FormatError {
    #[error("it is not a copy of this version's format")]
    Unknown,
    #[error("it is damaged")]
    Damaged,
    #[error("it holds what this version does not understand: {0}")]
    Content(#[from] rmp_serde::decode::Error),
    #[error(transparent)]
    Unreadable(#[from] io::Error),
}

/// Returns the copy of an environment.
pub(super) fn write_copy(
    database: Digest,
    loaded: &LoadedEnvironment,
    read_at: i64,
) -> Result<(Head, Vec<u8>), rmp_serde::encode::Error> {
    let head = Head {
        database: database.0,
        environment: loaded.environment,
        revision: loaded.revision,
        read_at,
        keys: loaded.keys.iter().map(|key| key.hash).collect(),
    };
    let mut bytes = MAGIC.to_vec();
    add_block(&mut bytes, &head)?;
    add_block(&mut bytes, loaded)?;
    Ok((head, bytes))
}

/// Reads the head of a copy, and no more.
pub(super) fn read_head(mut file: impl Read) -> Result<Head, FormatError> {
    check_magic(&mut file)?;
    read_block(&mut file, HEAD_BYTES)
}

/// Reads a copy.
pub(super) fn read_copy(mut bytes: &[u8]) -> Result<(Head, LoadedEnvironment), FormatError> {
    check_magic(&mut bytes)?;
    let head = read_block(&mut bytes, HEAD_BYTES)?;
    let loaded = read_block(&mut bytes, u32::MAX)?;
    Ok((head, loaded))
}

/// Returns the list of what was confirmed.
pub(super) fn write_confirmations(
    database: Digest,
    confirmations: &[Confirmation],
) -> Result<Vec<u8>, rmp_serde::encode::Error> {
    let mut bytes = MAGIC.to_vec();
    add_block(&mut bytes, &database.0)?;
    add_block(&mut bytes, &confirmations)?;
    Ok(bytes)
}

/// Reads the list of what was confirmed; nothing, if it is about another database.
pub(super) fn read_confirmations(
    database: Digest,
    mut bytes: &[u8],
) -> Result<Vec<Confirmation>, FormatError> {
    check_magic(&mut bytes)?;
    let of: [u8; crate::digest::BYTES] = read_block(&mut bytes, HEAD_BYTES)?;
    let confirmations = read_block(&mut bytes, u32::MAX)?;
    Ok(if of == database.0 { confirmations } else { Vec::new() })
}

fn add_block(bytes: &mut Vec<u8>, content: &impl Serialize) -> Result<(), rmp_serde::encode::Error> {
    let content = rmp_serde::to_vec_named(content)?;
    let length = u32::try_from(content.len())
        .map_err(|_| rmp_serde::encode::Error::Syntax("a block is too long".to_owned()))?;
    bytes.extend(length.to_le_bytes());
    bytes.extend(crc32fast::hash(&content).to_le_bytes());
    bytes.extend(content);
    Ok(())
}

fn check_magic(file: &mut impl Read) -> Result<(), FormatError> {
    let mut magic = [0; MAGIC.len()];
    read_exactly(file, &mut magic)?;
    if magic == MAGIC { Ok(()) } else { Err(FormatError::Unknown) }
}

fn read_block<T: DeserializeOwned>(file: &mut impl Read, longest: u32) -> Result<T, FormatError> {
    let (mut length, mut checksum) = ([0; 4], [0; 4]);
    read_exactly(file, &mut length)?;
    read_exactly(file, &mut checksum)?;
    let length = u32::from_le_bytes(length);
    if length > longest {
        return Err(FormatError::Damaged);
    }
    // A damaged length must not take more memory than the file has bytes.
    let mut content = Vec::new();
    file.by_ref().take(length.into()).read_to_end(&mut content)?;
    if content.len() != length as usize || crc32fast::hash(&content) != u32::from_le_bytes(checksum) {
        return Err(FormatError::Damaged);
    }
    Ok(rmp_serde::from_slice(&content)?)
}

fn read_exactly(file: &mut impl Read, bytes: &mut [u8]) -> Result<(), FormatError> {
    file.read_exact(bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => FormatError::Damaged,
        _ => FormatError::Unreadable(error),
    })
}

#[cfg(test)]
mod tests {
    use burgee_core::engine::{State, VariantRules};
    use burgee_core::value::Value;
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::testing::{environment, feature, override_for, segment, tagged};

    const DATABASE: Digest = Digest([7; crate::digest::BYTES]);

    /// An environment with something of everything.
    fn everything() -> LoadedEnvironment {
        let mut split = tagged(feature("split", 3), &["beta"]);
        split.state.variants = vec![
            VariantRules { key: "a".to_owned(), weight: 100.0 / 3.0, value: Some(Value::Integer(i64::MIN)) },
            VariantRules { key: "b".to_owned(), weight: 0.1 + 0.2, value: Some(Value::Double(-0.0)) },
        ];
        split.segment_overrides = vec![override_for(0)];
        let state = State { value: Some(Value::Json("{}".to_owned())), ..State::default() };
        split.identity_overrides.insert("ada".to_owned(), state);
        let mut loaded = environment(5, vec![feature("plain", 1), split]);
        loaded.rules.segments = vec![segment("beta", "plan", "1.2.0:semver")];
        loaded.deleted_features = vec![("old".to_owned(), 2)];
        loaded
    }

    #[test]
    fn what_is_written_is_read_again() {
        let loaded = everything();
        let (head, bytes) = write_copy(DATABASE, &loaded, 11).unwrap();
        assert_eq!(read_head(&*bytes).unwrap(), head);
        assert_eq!(read_copy(&bytes).unwrap(), (head, loaded));
        let confirmation =
            Confirmation { environment: EnvironmentRef(1), read_revision: 5, revision: 9, confirmed_at: 12 };
        let bytes = write_confirmations(DATABASE, &[confirmation]).unwrap();
        assert_eq!(read_confirmations(DATABASE, &bytes).unwrap(), [confirmation]);
        assert_eq!(read_confirmations(Digest([8; 16]), &bytes).unwrap(), []);
    }

    #[test]
    fn no_byte_can_change_unnoticed() {
        let (_, bytes) = write_copy(DATABASE, &everything(), 11).unwrap();
        for index in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[index] ^= 1;
            assert!(read_copy(&damaged).is_err(), "byte {index}");
            assert!(read_copy(&bytes[..index]).is_err(), "{index} bytes");
        }
        assert!(matches!(read_copy(b"brgcopy\x02 and more"), Err(FormatError::Unknown)));
    }

    /// If this fails, what is written has changed: raise the version in `MAGIC`, and write the new digest here.
    #[test]
    fn the_format_is_that_of_its_version() {
        let (_, bytes) = write_copy(DATABASE, &everything(), 11).unwrap();
        let digest = hex::encode(&Sha256::digest(&bytes)[..8]);
        assert_eq!((MAGIC[7], digest.as_str()), (1, "121dd32db1013589"));
    }
}
