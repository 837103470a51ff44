//! Whom flags are evaluated for: what the request says, over what is stored.

use burgee_core::engine::{Identity, Traits};
use burgee_core::name::{FeatureKey, Identifier};
use burgee_core::project::IdentityHashing;
use burgee_core::store::StoredIdentity;
use burgee_core::value::TraitValue;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::digest::{Digest, add_text, add_trait};
use crate::view::View;

/// Traits by key; a trait without a value hides the stored one.
pub(crate) type RequestTraits = Vec<(String, Option<TraitValue>)>;

/// An identity, as a request describes it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Who {
    /// What the caller knows it by.
    pub(crate) identifier: Identifier,
    /// Ordered by key.
    pub(crate) traits: RequestTraits,
    /// Whether stored traits do not count.
    pub(crate) ignore_stored_traits: bool,
    /// What percentages hash, if the caller says so.
    pub(crate) hashing_key: Option<String>,
}

impl Who {
    /// Returns the identity as evaluation takes it.
    pub(crate) fn identity<'a>(&'a self, view: View<'_>, stored: Option<&'a StoredIdentity>) -> Identity<'a> {
        let key = self.hashing_key.as_deref();
        identity(view, self.identifier.as_str(), key, view.admitted_traits(&self.traits), stored)
    }
}

/// Returns an identity as evaluation takes it. The traits of the request win over those stored.
pub(crate) fn identity<'a>(
    view: View<'_>,
    identifier: &'a str,
    hashing_key: Option<&'a str>,
    traits: &'a [(String, Option<TraitValue>)],
    stored: Option<&'a StoredIdentity>,
) -> Identity<'a> {
    let stored_traits = stored.map_or(&[][..], |stored| &stored.traits);
    let stored_key = stored.and_then(|stored| stored.hashing_key.as_deref());
    let own_key = hashing_key.or(stored_key).filter(|key| !key.is_empty());
    let key = own_key.or(match view.content.identity_hashing {
        IdentityHashing::Identifier => Some(identifier),
        // The engine joins the environment's key and the identifier.
        IdentityHashing::Composite => None,
    });
    Identity {
        identifier: identifier.into(),
        key: key.map(Into::into),
        traits: Traits::merged(stored_traits, traits),
    }
}

/// Digests what a stream is asked for, and the tags that its key is limited to.
pub(crate) fn request_digest(who: Option<&Who>, selection: Option<&[FeatureKey]>, tags: &[String]) -> Digest {
    let mut hasher = Sha256::new();
    if !tags.is_empty() {
        // What follows without tags begins with 0 or 1.
        hasher.update([2]);
        hasher.update((tags.len() as u64).to_be_bytes());
        tags.iter().for_each(|tag| add_text(&mut hasher, Some(tag)));
    }
    match selection {
        None => hasher.update([0]),
        Some(keys) => {
            hasher.update([1]);
            hasher.update((keys.len() as u64).to_be_bytes());
            keys.iter().for_each(|key| add_text(&mut hasher, Some(key.as_str())));
        }
    }
    if let Some(Who { identifier, traits, ignore_stored_traits, hashing_key }) = who {
        add_text(&mut hasher, Some(identifier.as_str()));
        add_text(&mut hasher, hashing_key.as_deref());
        hasher.update([u8::from(*ignore_stored_traits)]);
        traits.iter().for_each(|(key, value)| add_trait(&mut hasher, key, value.as_ref()));
    }
    Digest::of(hasher)
}

/// Returns the identifier of somebody who is only known by traits: the same traits are the same identity. Without
/// traits, nobody is like any other.
pub(crate) fn transient_identifier(traits: &[(String, Option<TraitValue>)]) -> String {
    let mut hasher = Sha256::new();
    let mut is_anybody = true;
    for (key, value) in traits {
        if let Some(value) = value {
            hasher.update(key);
            hasher.update(value.to_text());
            is_anybody = false;
        }
    }
    if is_anybody { Uuid::new_v4().simple().to_string() } else { hex::encode(hasher.finalize()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Option<TraitValue> {
        Some(TraitValue::String(value.to_owned()))
    }

    #[test]
    fn keys_with_other_tags_ask_for_something_else() {
        let digest = |tags: &[&str]| {
            let tags: Vec<_> = tags.iter().map(|tag| (*tag).to_owned()).collect();
            request_digest(None, None, &tags)
        };
        let digests = [&[][..], &["x"], &["y"], &["x", "y"], &["xy"], &[""]].map(digest);
        for (index, digest) in digests.iter().enumerate() {
            assert!(!digests[..index].contains(digest), "{index}");
        }
    }

    #[test]
    fn the_same_traits_are_the_same_identity() {
        let traits = [
            ("age".to_owned(), Some(TraitValue::Integer(41))),
            ("beta".to_owned(), Some(TraitValue::Boolean(true))),
            ("gone".to_owned(), None),
            ("plan".to_owned(), text("pro")),
            ("score".to_owned(), Some(TraitValue::Double(1.0))),
        ];
        let expected = hex::encode(Sha256::digest("age41betaTrueplanproscore1.0"));
        assert_eq!(transient_identifier(&traits), expected);
        assert_eq!(expected.len(), 64);
    }

    #[test]
    fn without_traits_nobody_is_like_any_other() {
        let one = transient_identifier(&[]);
        assert_eq!(one.len(), 32);
        assert_ne!(one, transient_identifier(&[("gone".to_owned(), None)]));
    }
}
