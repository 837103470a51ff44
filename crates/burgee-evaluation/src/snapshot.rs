//! An environment at one revision, compiled and immutable.

use std::sync::Arc;

use burgee_core::access::SecretHash;
use burgee_core::engine::Ruleset;
use burgee_core::project::IdentityHashing;
use burgee_core::rule::{Condition, Rule};
use burgee_core::store::{ActiveKey, LoadedEnvironment, ProjectRef};
use sha2::{Digest as _, Sha256};

use crate::digest::Digest;
use crate::parts::Parts;
use crate::shared::SharedMessages;
use crate::sight::{Sight, SightId};
use crate::view::View;

/// An environment at one revision. A revision that did not touch the environment costs a new number, not a new content.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// The project's revision.
    pub(crate) revision: i64,
    /// What the environment says.
    pub(crate) content: Arc<Content>,
}

/// A snapshot, and what a key may see of it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The snapshot.
    pub(crate) snapshot: Arc<Snapshot>,
    /// The sight of its content that is the key's.
    pub(crate) sight: SightId,
}

/// A key that may be presented.
#[derive(Debug)]
pub(crate) struct HeldKey {
    /// The key.
    pub(crate) key: ActiveKey,
    /// What it may see.
    pub(crate) sight: SightId,
}

/// What an environment says, since the revision that touched it last.
#[derive(Debug)]
pub(crate) struct Content {
    /// The revision that this was read at: at any earlier one, the content may have been another.
    pub(crate) revision: i64,
    /// The environment's project.
    pub(crate) project: ProjectRef,
    /// Tells the environment from all others, also those of other databases, by the time of its creation. The same environment in a database that was restored from a backup is not told from what it
    /// was before.
    pub(crate) fingerprint: Digest,
    /// See [`LoadedEnvironment::settings_revision`].
    pub(crate) settings_revision: i64,
    /// See [`LoadedEnvironment::created_revision`].
    pub(crate) created_revision: i64,
    /// See [`LoadedEnvironment::hide_disabled_flags`]; [`Self::flags`] are made accordingly.
    #[cfg(test)]
    pub(crate) hide_disabled_flags: bool,
    /// See [`LoadedEnvironment::allow_client_traits`].
    pub(crate) allow_client_traits: bool,
    /// See [`LoadedEnvironment::identity_hashing`].
    pub(crate) identity_hashing: IdentityHashing,
    /// See [`LoadedEnvironment::persist_trait_data`].
    pub(crate) persist_trait_data: bool,
    /// See [`LoadedEnvironment::stop_serving_flags`].
    pub(crate) stop_serving_flags: bool,
    /// The flags and segments.
    pub(crate) ruleset: Ruleset,
    /// The answers for all flags, by [`OutcomeId`](burgee_core::engine::OutcomeId); empty for those that are hidden because
    /// they are disabled.
    pub(crate) flags: Parts,
    /// What the answers for all flags take without an identity, as fields of a message.
    pub(crate) flags_bytes: usize,
    /// The answers for segments that match, by index.
    pub(crate) segments: Parts,
    /// Features that were deleted, and when.
    pub(crate) deleted_features: Vec<(String, i64)>,
    /// Whether rules look at flags or segments, so that a change of one may change others.
    pub(crate) is_entangled: bool,
    /// Messages that were sent of it.
    pub(crate) messages: SharedMessages,
    /// What its keys may see.
    sights: Vec<Sight>,
    /// Ordered by hash.
    keys: Vec<HeldKey>,
}

impl Content {
    /// Compiles an environment. `before` is what was served until now, if anything.
    pub(crate) fn compile(loaded: LoadedEnvironment, before: Option<&Snapshot>) -> Self {
        let LoadedEnvironment {
            environment,
            project,
            name,
            revision,
            changed_at: _,
            settings_revision,
            created_revision,
            created_at,
            hide_disabled_flags,
            allow_client_traits,
            identity_hashing,
            persist_trait_data,
            stop_serving_flags,
            rules,
            mut keys,
            deleted_features,
        } = loaded;
        keys.sort_by_key(|key| key.hash);
        let fingerprint = Sha256::new()
            .chain_update(environment.0.to_be_bytes())
            .chain_update(created_revision.to_be_bytes())
            .chain_update(created_at.timestamp_micros().to_be_bytes())
            .chain_update(name.to_string());
        let is_entangled = rules.segments.iter().any(|segment| look_at_flags(&segment.rules));
        let ruleset = Ruleset::compile(rules);
        let flags = Parts::of_flags(&ruleset, hide_disabled_flags);
        let nobody = ruleset.evaluate(None);
        let own = (0..ruleset.features().len()).map(|feature| flags.get(nobody.outcome_id(feature).index()));
        let flags_bytes = own.map(|part| part.len() + 1).sum();
        let segments = Parts::of_segments(&ruleset);
        let (sights, ids) = Sight::compile(&keys, &ruleset, revision, before);
        Self {
            revision,
            project,
            fingerprint: Digest::of(fingerprint),
            settings_revision,
            created_revision,
            #[cfg(test)]
            hide_disabled_flags,
            allow_client_traits,
            identity_hashing,
            persist_trait_data,
            stop_serving_flags,
            deleted_features,
            is_entangled,
            ruleset,
            flags,
            flags_bytes,
            segments,
            messages: SharedMessages::default(),
            sights,
            keys: keys.into_iter().zip(ids).map(|(key, sight)| HeldKey { key, sight }).collect(),
        }
    }

    /// Returns the key with this hash, unless it is revoked or another environment's.
    pub(crate) fn key(&self, hash: &SecretHash) -> Option<&HeldKey> {
        let index = self.keys.binary_search_by_key(hash, |held| held.key.hash).ok()?;
        Some(&self.keys[index])
    }

    /// Returns the hashes of all keys.
    pub(crate) fn key_hashes(&self) -> impl Iterator<Item = SecretHash> {
        self.keys.iter().map(|held| held.key.hash)
    }

    /// Returns the environment, as keys with this sight see it.
    pub(crate) fn view(&self, sight: SightId) -> View<'_> {
        View { content: self, sight: &self.sights[sight.index()] }
    }

    /// Returns what its keys may see.
    pub(crate) fn sights(&self) -> &[Sight] {
        &self.sights
    }

    /// Says whether a caller can be told what changed since a revision that another replica gave it.
    ///
    /// It may only be told of features gone that it could see then. If what happened to a feature since is not known here
    /// step by step, naming it could give away a feature that was always out of its sight.
    pub(crate) fn can_tell_changes(&self, sight: SightId, since: i64) -> bool {
        self.sights[sight.index()].can_tell_changes(&self.ruleset, &self.deleted_features, since)
    }
}

impl Seen {
    /// Returns what the key sees.
    pub(crate) fn view(&self) -> View<'_> {
        self.snapshot.content.view(self.sight)
    }
}

/// Says whether a condition may look at more than the identity and the environment's settings.
fn look_at_flags(rules: &[Rule]) -> bool {
    rules.iter().any(|rule| {
        let mut properties = rule.conditions.iter().map(Condition::property);
        let looks = |path: &str| {
            let names = ["identity", "environment"];
            let is_plain = names.iter().any(|name| path.starts_with(name)) && !path.contains('?');
            !is_plain
        };
        properties.any(|property| property.strip_prefix("$.").is_some_and(looks))
            || look_at_flags(&rule.rules)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{KEY, compile, environment, feature, segment};

    #[test]
    fn rules_that_look_at_flags_are_noticed() {
        for (property, expected) in [
            ("plan", false),
            ("$.identity.traits.plan", false),
            ("$.environment.name", false),
            ("$.features.a.enabled", true),
            ("$.segments.x", true),
            ("$..enabled", true),
            ("$.identity[?@.x == $.features]", true),
        ] {
            let mut loaded = environment(1, vec![feature("a", 1)]);
            loaded.rules.segments = vec![segment("s", property, "x")];
            assert_eq!(compile(loaded, None).content.is_entangled, expected, "{property}");
        }
    }

    #[test]
    fn environments_of_other_databases_have_other_fingerprints() {
        let fingerprint = |microseconds: i64| {
            let mut loaded = environment(1, Vec::new());
            loaded.created_at = chrono::DateTime::from_timestamp_micros(microseconds).unwrap();
            compile(loaded, None).content.fingerprint
        };
        assert_eq!(fingerprint(1), fingerprint(1));
        assert_ne!(fingerprint(1), fingerprint(2));
    }

    #[test]
    fn a_key_is_found_by_its_hash() {
        let snapshot = compile(environment(1, Vec::new()), None);
        assert!(snapshot.content.key(&SecretHash::of(KEY)).is_some());
        assert!(snapshot.content.key(&SecretHash::of("another")).is_none());
    }
}
