//! What holds of all requests and resume tokens that are sent: see `burgee_core::fuzzing`.

use std::time::Duration;

use burgee_core::access::KeyKind;
use burgee_core::limits::{IDENTIFIER_CHARACTERS, TRAITS_PER_IDENTITY};
use burgee_core::name::TraitKey;
use burgee_core::value::TraitValue;
use burgee_core::{Error, Result};
use burgee_proto::evaluation::v1 as pb;
use burgee_proto::status::status;
use prost::Message as _;

use crate::digest::{BYTES, Digest};
use crate::request::Checks;
use crate::subject::{RequestTraits, Who, request_digest, transient_identifier};
use crate::token::{self, ResumeToken};
use crate::view::Selection;

/// A token is read as it was made, a changed one is refused, and nothing else is a token.
pub fn resume_tokens(data: &[u8]) {
    check_token(&String::from_utf8_lossy(data));
    // With a checksum that is right, all that is behind it is looked at.
    check_token(&token::seal(data));

    let mut bytes = data.iter().copied().chain(std::iter::repeat(0));
    let mut take = || std::array::from_fn::<u8, BYTES, _>(|_| bytes.next().unwrap_or_default());
    let made = ResumeToken {
        environment: Digest(take()),
        request: Digest(take()),
        traits: Digest(take()),
        revision: i64::from_le_bytes(std::array::from_fn(|index| take()[index])),
        kind: if take()[0] % 2 == 0 { KeyKind::ClientSide } else { KeyKind::ServerSide },
    };
    let token = made.encode();
    assert_eq!(ResumeToken::decode(&token).ok(), Some(made));
    let [place, replacement, ..] = take();
    let place = usize::from(place) % token.len();
    let replacement = char::from(replacement & 0x7f);
    let changed = format!("{}{replacement}{}", &token[..place], &token[place + 1..]);
    assert!(changed == token || ResumeToken::decode(&changed).is_err(), "{changed}");
}

fn check_token(token: &str) {
    if let Ok(read) = ResumeToken::decode(token) {
        assert_eq!(read.encode(), token, "a token is written in one way");
    }
}

/// A request that is accepted keeps the limits, and a refusal names fields of the request.
pub fn requests(data: &[u8]) {
    if let Ok(request) = pb::EvaluateFlagsRequest::decode(data) {
        let pb::EvaluateFlagsRequest { identity, features, min_revision, include_segments: _ } = request;
        let mut checks = Checks::default();
        let (who, selection) = (checks.who(identity), checks.features(&features));
        let revision = checks.min_revision(min_revision);
        if check(checks, &["identity", "features", "min_revision"]) {
            check_who(who.as_ref());
            check_selection(&selection, &features);
            request_digest(who.as_ref(), selection.as_deref(), &[]);
            assert!(revision >= 0);
        }
    }
    if let Ok(request) = pb::BatchEvaluateFlagsRequest::decode(data) {
        let pb::BatchEvaluateFlagsRequest { items, features, min_revision } = request;
        let mut checks = Checks::default();
        checks.items(items.len());
        let selection = checks.features(&features);
        checks.min_revision(min_revision);
        if check(checks, &["items", "features", "min_revision"]) {
            check_selection(&selection, &features);
        }
        for pb::BatchEvaluateFlagsItem { item_id, identity } in items {
            let mut checks = Checks::default();
            checks.item_id(&item_id);
            let who = checks.who(identity);
            if check(checks, &["item_id", "identity"]) {
                check_who(who.as_ref());
            }
        }
    }
    if let Ok(request) = pb::IdentifyRequest::decode(data) {
        let pb::IdentifyRequest {
            identifier,
            traits,
            transient_traits,
            transient: _,
            features,
            min_revision,
        } = request;
        let mut checks = Checks::default();
        let parsed = checks.identifier(&identifier);
        let traits = checks.traits(traits, "traits");
        checks.transient_traits(&transient_traits, &traits);
        let selection = checks.features(&features);
        checks.min_revision(min_revision);
        if check(checks, &["identifier", "traits", "transient_traits", "features", "min_revision"]) {
            assert_eq!(parsed.is_none(), identifier.is_empty());
            check_traits(&traits);
            check_selection(&selection, &features);
            assert!(matches!(transient_identifier(&traits).len(), 32 | 64));
        }
    }
    if let Ok(request) = pb::WatchFlagsRequest::decode(data) {
        let pb::WatchFlagsRequest { identity, features, resume_token, checkpoint_interval } = request;
        let mut checks = Checks::default();
        let (who, selection) = (checks.who(identity), checks.features(&features));
        let interval = checks.checkpoint_interval(checkpoint_interval, Duration::from_secs(15));
        if check(checks, &["identity", "features", "checkpoint_interval"]) {
            check_who(who.as_ref());
            check_selection(&selection, &features);
            assert!((1..=300).contains(&interval.as_secs()));
        }
        check_token(&resume_token);
    }
}

/// Bytes of trailers that every client takes.
const TRAILERS_BYTES: usize = 8 * 1024;

/// Says whether the request is accepted.
fn check(checks: Checks, fields: &[&str]) -> bool {
    let result: Result<()> = checks.finish(());
    match result {
        Ok(()) => true,
        Err(Error::Invalid(violations)) => {
            let status = status(Error::Invalid(violations.clone()));
            assert!(status.message().len() * 3 + status.details().len() * 4 / 3 < TRAILERS_BYTES);
            assert!(!violations.is_empty());
            for violation in violations {
                let is_below = |field: &&str| {
                    let rest = violation.field.strip_prefix(*field);
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
                };
                assert!(fields.iter().any(is_below), "{violation}");
            }
            false
        }
        Err(other) => panic!("{other}"),
    }
}

fn check_who(who: Option<&Who>) {
    let Some(Who { identifier, traits, ignore_stored_traits: _, hashing_key }) = who else { return };
    let length = identifier.as_str().chars().count();
    assert!((1..=IDENTIFIER_CHARACTERS).contains(&length));
    assert!(
        hashing_key.as_ref().is_none_or(|key| (1..=IDENTIFIER_CHARACTERS).contains(&key.chars().count()))
    );
    check_traits(traits);
}

/// All that is accepted can be stored.
fn check_traits(traits: &RequestTraits) {
    assert!(traits.len() <= TRAITS_PER_IDENTITY);
    assert!(traits.is_sorted_by(|(left, _), (right, _)| left < right));
    for (key, value) in traits {
        assert!(TraitKey::parse(key).is_ok(), "{key:?}");
        assert!(value.as_ref().is_none_or(|value| TraitValue::check(value).is_ok()), "{value:?}");
    }
}

fn check_selection(selection: &Selection, features: &[String]) {
    match selection {
        None => assert!(features.is_empty()),
        Some(keys) => {
            assert!(keys.is_sorted_by(|left, right| left < right));
            assert!(features.iter().all(|feature| keys.iter().any(|key| key.as_str() == feature)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replay(target: &str, check: impl Fn(&[u8])) {
        let folder = format!("{}/../../fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
        let files: Vec<_> = std::fs::read_dir(folder).unwrap().collect();
        assert!(!files.is_empty());
        files.into_iter().for_each(|file| check(&std::fs::read(file.unwrap().path()).unwrap()));
    }

    #[test]
    fn a_resume_token_is_read_as_it_was_made() {
        replay("resume_tokens", resume_tokens);
    }

    #[test]
    fn a_request_that_is_accepted_keeps_the_limits() {
        replay("requests", requests);
    }
}
