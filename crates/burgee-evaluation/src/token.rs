//! Resume tokens: all that is needed to go on with a stream, on any replica.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use burgee_core::access::KeyKind;
use burgee_core::{Error, Result};
use sha2::{Digest as _, Sha256};

use crate::digest::{BYTES, Digest};

/// Tells what follows from what another version may write.
const VERSION: u8 = 1;
/// Bytes of the checksum: enough to tell a token that was cut or mistyped.
const CHECKSUM_BYTES: usize = 8;
const LENGTH: usize = 1 + BYTES + 8 + 1 + BYTES + BYTES + CHECKSUM_BYTES;

/// Where a stream had got to, and what it was a stream of. It is not a secret and gives no rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResumeToken {
    /// The environment's fingerprint.
    pub(crate) environment: Digest,
    /// The revision that the caller has.
    pub(crate) revision: i64,
    /// What the caller's key could see.
    pub(crate) kind: KeyKind,
    /// What was asked for, and the tags that the key is limited to.
    pub(crate) request: Digest,
    /// The stored traits that flags were evaluated with.
    pub(crate) traits: Digest,
}

impl ResumeToken {
    /// Writes the token.
    pub(crate) fn encode(&self) -> String {
        let Self { environment, revision, kind, request, traits } = self;
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.push(VERSION);
        bytes.extend_from_slice(&environment.0);
        bytes.extend_from_slice(&revision.to_be_bytes());
        bytes.push(match kind {
            KeyKind::ClientSide => 1,
            KeyKind::ServerSide => 2,
        });
        bytes.extend_from_slice(&request.0);
        bytes.extend_from_slice(&traits.0);
        let checksum = checksum(&bytes);
        bytes.extend_from_slice(&checksum);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token.
    pub(crate) fn decode(token: &str) -> Result<Self> {
        parse(token)
            .ok_or_else(|| Error::invalid("resume_token", "must be a token of this server, unchanged"))
    }
}

fn parse(token: &str) -> Option<ResumeToken> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (body, found) = bytes.split_last_chunk::<CHECKSUM_BYTES>()?;
    if bytes.len() != LENGTH || checksum(body) != *found {
        return None;
    }
    let ([VERSION], rest) = body.split_first_chunk()? else { return None };
    let (environment, rest) = rest.split_first_chunk()?;
    let (revision, rest) = rest.split_first_chunk()?;
    let ([kind], rest) = rest.split_first_chunk()?;
    let (request, rest) = rest.split_first_chunk()?;
    Some(ResumeToken {
        environment: Digest(*environment),
        revision: i64::from_be_bytes(*revision),
        kind: match kind {
            1 => KeyKind::ClientSide,
            2 => KeyKind::ServerSide,
            _ => return None,
        },
        request: Digest(*request),
        traits: Digest(rest.try_into().ok()?),
    })
}

/// Writes a token of any bytes, for the fuzzer.
#[cfg(any(test, fuzzing))]
pub(crate) fn seal(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode([bytes, &checksum(bytes)].concat())
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let hash = Sha256::new().chain_update("burgee.resume_token").chain_update(bytes).finalize();
    let mut checksum = [0; CHECKSUM_BYTES];
    checksum.copy_from_slice(&hash[..CHECKSUM_BYTES]);
    checksum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(kind: KeyKind) -> ResumeToken {
        ResumeToken {
            environment: Digest([7; BYTES]),
            revision: i64::MAX - 1,
            kind,
            request: Digest([8; BYTES]),
            traits: Digest([9; BYTES]),
        }
    }

    #[test]
    fn a_token_is_read_as_it_was_written() {
        for kind in [KeyKind::ClientSide, KeyKind::ServerSide] {
            assert_eq!(ResumeToken::decode(&token(kind).encode()).unwrap(), token(kind));
        }
    }

    #[test]
    fn a_mangled_token_is_refused() {
        let token = token(KeyKind::ServerSide).encode();
        for index in 0..token.len() {
            let mut mangled = token.clone().into_bytes();
            mangled[index] = if mangled[index] == b'A' { b'B' } else { b'A' };
            assert!(ResumeToken::decode(str::from_utf8(&mangled).unwrap()).is_err(), "{index}");
            assert!(ResumeToken::decode(&token[..index]).is_err(), "{index}");
        }
        assert!(ResumeToken::decode(&format!("{token}A")).is_err());
        assert!(ResumeToken::decode("what?").is_err());
    }
}
