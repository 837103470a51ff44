//! An environment at one revision, compiled and immutable.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use burgee_core::access::{KeyKind, SecretHash};
use burgee_core::engine::Ruleset;
use burgee_core::project::IdentityHashing;
use burgee_core::rule::{Condition, Rule};
use burgee_core::store::{ActiveKey, LoadedEnvironment, ProjectRef};
use sha2::{Digest as _, Sha256};

use crate::digest::Digest;

/// An environment at one revision. A revision that did not touch the environment costs a new number, not a new content.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// The project's revision.
    pub(crate) revision: i64,
    /// What the environment says.
    pub(crate) content: Arc<Content>,
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
    /// See [`LoadedEnvironment::hide_disabled_flags`].
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
    /// Features that were deleted, and when.
    pub(crate) deleted_features: Vec<(String, i64)>,
    /// Features that client-side keys could see earlier and cannot any more, and by when that was known.
    pub(crate) withdrawn: HashMap<String, i64>,
    /// Whether rules look at flags or segments, so that a change of one may change others.
    pub(crate) is_entangled: bool,
    /// Segments that only server-side-only features use.
    pub(crate) server_side_segments: HashSet<String>,
    /// Since when every single revision of this environment is known here.
    contiguous_since: i64,
    /// Ordered by hash.
    keys: Vec<ActiveKey>,
}

impl Content {
    /// Compiles an environment. `before` is what was served until now, if anything.
    pub(crate) fn compile(loaded: LoadedEnvironment, before: Option<&Snapshot>) -> Self {
        let LoadedEnvironment {
            environment,
            project,
            name,
            revision,
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
        Self {
            revision,
            project,
            fingerprint: Digest::of(fingerprint),
            settings_revision,
            created_revision,
            hide_disabled_flags,
            allow_client_traits,
            identity_hashing,
            persist_trait_data,
            stop_serving_flags,
            deleted_features,
            withdrawn: withdrawn(&ruleset, revision, before),
            is_entangled,
            server_side_segments: server_side_segments(&ruleset),
            contiguous_since: match before {
                Some(before) if revision <= before.revision + 1 => before.content.contiguous_since,
                Some(_) | None => revision,
            },
            ruleset,
            keys,
        }
    }

    /// Returns the key with this hash, unless it is revoked or another environment's.
    pub(crate) fn key(&self, hash: &SecretHash) -> Option<&ActiveKey> {
        let index = self.keys.binary_search_by_key(hash, |key| key.hash).ok()?;
        Some(&self.keys[index])
    }

    /// Returns the hashes of all keys.
    pub(crate) fn key_hashes(&self) -> impl Iterator<Item = SecretHash> {
        self.keys.iter().map(|key| key.hash)
    }

    /// Says whether a caller with such a key can be told what changed since a revision that another replica gave it.
    ///
    /// A client-side key may only be told of features gone that it could see then. If what happened to a feature
    /// since is not known here step by step, naming it could give away a feature that was always server-side only.
    pub(crate) fn can_tell_changes(&self, kind: KeyKind, since: i64) -> bool {
        let is_secret = || {
            let mut features = self.ruleset.features().iter();
            features.any(|feature| feature.server_side_only() && feature.revision() > since)
                || self.deleted_features.iter().any(|(_, deleted)| *deleted > since)
        };
        match kind {
            KeyKind::ServerSide => true,
            KeyKind::ClientSide => since >= self.contiguous_since || !is_secret(),
        }
    }
}

/// Works out which features client-side keys have lost sight of.
fn withdrawn(ruleset: &Ruleset, revision: i64, before: Option<&Snapshot>) -> HashMap<String, i64> {
    let Some(before) = before else { return HashMap::new() };
    let is_visible =
        |key: &str| ruleset.feature(key).is_some_and(|index| !ruleset.features()[index].server_side_only());
    let former = before.content.ruleset.features().iter();
    let lost = former.filter(|feature| !feature.server_side_only()).map(|feature| (feature.key(), revision));
    let lost_earlier = before.content.withdrawn.iter().map(|(key, revision)| (key.as_str(), *revision));
    lost_earlier
        .chain(lost)
        .filter(|(key, _)| !is_visible(key))
        .map(|(key, revision)| (key.to_owned(), revision))
        .collect()
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

fn server_side_segments(ruleset: &Ruleset) -> HashSet<String> {
    let mut server_side = HashSet::new();
    let mut visible = HashSet::new();
    for (_, outcome) in ruleset.outcomes() {
        let (Some((segment, _)), Some(feature)) = (outcome.segment, ruleset.feature(outcome.feature)) else {
            continue;
        };
        match ruleset.features()[feature].server_side_only() {
            true => server_side.insert(segment.to_owned()),
            false => visible.insert(segment),
        };
    }
    server_side.retain(|segment| !visible.contains(segment.as_str()));
    server_side
}

#[cfg(test)]
mod tests {
    use burgee_core::engine::FeatureRules;

    use super::*;
    use crate::testing::{KEY, compile, environment, feature, override_for, secret, segment};

    #[test]
    fn a_client_is_told_changes_only_if_they_are_known_step_by_step() {
        let check = |snapshot: &Snapshot, since, expected| {
            assert!(snapshot.content.can_tell_changes(KeyKind::ServerSide, since));
            assert_eq!(snapshot.content.can_tell_changes(KeyKind::ClientSide, since), expected, "{since}");
        };
        let first = compile(environment(5, vec![feature("a", 1), secret("s", 4)]), None);
        check(&first, 5, true);
        check(&first, 4, true);
        check(&first, 3, false);
        // Revision 6 did not touch the environment.
        let bumped = Snapshot { revision: 6, content: Arc::clone(&first.content) };
        let next = compile(environment(7, vec![feature("a", 1), secret("s", 7)]), Some(&bumped));
        check(&next, 5, true);
        let gap = compile(environment(9, vec![feature("a", 1), secret("s", 8)]), Some(&next));
        check(&gap, 7, false);
        check(&gap, 8, true);
        let harmless = compile(environment(11, vec![feature("a", 11), secret("s", 8)]), Some(&gap));
        check(&harmless, 9, true);
    }

    #[test]
    fn a_segment_that_only_secret_features_use_is_secret() {
        let with = |rules: FeatureRules, segments: &[usize]| FeatureRules {
            segment_overrides: segments.iter().map(|index| override_for(*index)).collect(),
            ..rules
        };
        let mut loaded = environment(1, vec![with(feature("a", 1), &[0, 1]), with(secret("s", 1), &[1, 2])]);
        loaded.rules.segments = ["one", "both", "other", "unused"].map(|id| segment(id, "plan", id)).to_vec();
        let snapshot = compile(loaded, None);
        assert_eq!(snapshot.content.server_side_segments, HashSet::from(["other".to_owned()]));
    }

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
