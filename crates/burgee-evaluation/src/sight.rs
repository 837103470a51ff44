//! What keys may see: of what kind they are, and which tags they are limited to. Worked out once for all keys that see the
//! same, so that a call looks at a list of yes and no.

use std::collections::{HashMap, HashSet};

use burgee_core::access::KeyKind;
use burgee_core::engine::{CompiledFeature, Ruleset};
use burgee_core::store::ActiveKey;

use crate::snapshot::Snapshot;

/// What the keys of a kind with the same tags see of an environment at one revision.
#[derive(Debug)]
pub(crate) struct Sight {
    kind: KeyKind,
    /// Ordered, each once; empty: features need no tag.
    tags: Box<[String]>,
    /// `None`: everything is in sight.
    limits: Option<Limits>,
}

/// Where a sight is in [`Content`](crate::snapshot::Content); of no use with another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SightId(u32);

#[derive(Debug)]
struct Limits {
    /// By index: whether the feature is in sight.
    features: Box<[bool]>,
    /// By index: whether features use the segment, and none of them is in sight.
    hidden_segments: Box<[bool]>,
    /// Features that were in sight earlier and are not any more, and by when that was known.
    withdrawn: HashMap<String, i64>,
    /// Since when every single revision of this environment is known here.
    known_since: i64,
}

impl SightId {
    /// Returns the id as an index.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

impl Sight {
    /// Works out what keys see, and which sight is whose, in the order of the keys.
    pub(crate) fn compile(
        keys: &[ActiveKey],
        ruleset: &Ruleset,
        revision: i64,
        before: Option<&Snapshot>,
    ) -> (Vec<Self>, Vec<SightId>) {
        let uses = uses_of_segments(ruleset);
        let mut sights: Vec<Self> = Vec::new();
        let mut ids = HashMap::new();
        let mut id_of = |key: &ActiveKey| {
            let (kind, tags) = (key.kind, ordered(&key.tags));
            *ids.entry((kind, tags)).or_insert_with_key(|(kind, tags)| {
                sights.push(Self::new(*kind, tags.clone(), ruleset, &uses, revision, before));
                SightId(sights.len() as u32 - 1)
            })
        };
        let ids = keys.iter().map(&mut id_of).collect();
        (sights, ids)
    }

    fn new(
        kind: KeyKind,
        tags: Box<[String]>,
        ruleset: &Ruleset,
        uses: &[HashSet<usize>],
        revision: i64,
        before: Option<&Snapshot>,
    ) -> Self {
        let sees_everything = match kind {
            KeyKind::ServerSide => tags.is_empty(),
            KeyKind::ClientSide => false,
        };
        if sees_everything {
            return Self { kind, tags, limits: None };
        }
        let wanted: HashSet<&str> = tags.iter().map(String::as_str).collect();
        let features: Box<[bool]> =
            ruleset.features().iter().map(|feature| is_in_sight(feature, kind, &wanted)).collect();
        let is_hidden =
            |users: &HashSet<usize>| !users.is_empty() && !users.iter().any(|feature| features[*feature]);
        let hidden_segments = uses.iter().map(is_hidden).collect();
        let former = before.and_then(|before| {
            let is_same = |sight: &&Self| sight.kind == kind && sight.tags == tags;
            let sight = before.content.sights().iter().find(is_same)?;
            Some((before, sight.limits.as_ref()?))
        });
        let withdrawn = former.map_or_else(HashMap::new, |(before, former)| {
            former.withdrawn(&before.content.ruleset, ruleset, &features, revision)
        });
        let known_since = match former {
            Some((before, former)) if revision <= before.revision + 1 => former.known_since,
            Some(_) | None => revision,
        };
        Self { kind, tags, limits: Some(Limits { features, hidden_segments, withdrawn, known_since }) }
    }

    /// Returns the kind of the keys.
    pub(crate) fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Returns the tags that the keys are limited to, in order; none, if they are not.
    pub(crate) fn tags(&self) -> &[String] {
        &self.tags
    }

    /// Says whether the feature at an index is in sight.
    pub(crate) fn sees(&self, feature: usize) -> bool {
        self.limits.as_ref().is_none_or(|limits| limits.features[feature])
    }

    /// Says whether naming the segment at an index would tell of features that are out of sight.
    pub(crate) fn hides_segment(&self, segment: usize) -> bool {
        self.limits.as_ref().is_some_and(|limits| limits.hidden_segments[segment])
    }

    /// Returns the features that were in sight earlier and are not any more, and by when that was known. `None` if only
    /// deletions take features out of sight.
    pub(crate) fn withdrawn(&self) -> Option<&HashMap<String, i64>> {
        self.limits.as_ref().map(|limits| &limits.withdrawn)
    }

    /// Says whether all features are in sight that revisions after `since` touched, or whether it is known here step by step
    /// what these revisions took out of sight.
    pub(crate) fn can_tell_changes(
        &self,
        ruleset: &Ruleset,
        deleted_features: &[(String, i64)],
        since: i64,
    ) -> bool {
        let Some(Limits { features, known_since, .. }) = &self.limits else { return true };
        let mut unseen = ruleset.features().iter().zip(features).filter(|(_, is_seen)| !**is_seen);
        since >= *known_since
            || !unseen.any(|(feature, _)| feature.revision() > since)
                && !deleted_features.iter().any(|(_, deleted)| *deleted > since)
    }
}

impl Limits {
    /// Works out what is out of sight at a revision and was not earlier. `self` is how it was before.
    fn withdrawn(
        &self,
        before: &Ruleset,
        ruleset: &Ruleset,
        features: &[bool],
        revision: i64,
    ) -> HashMap<String, i64> {
        let is_seen = |key: &str| ruleset.feature(key).is_some_and(|index| features[index]);
        let seen_before = before.features().iter().zip(&self.features).filter(|(_, is_seen)| **is_seen);
        let lost = seen_before.map(|(feature, _)| (feature.key(), revision));
        let lost_earlier = self.withdrawn.iter().map(|(key, revision)| (key.as_str(), *revision));
        lost_earlier
            .chain(lost)
            .filter(|(key, _)| !is_seen(key))
            .map(|(key, revision)| (key.to_owned(), revision))
            .collect()
    }
}

fn ordered(tags: &[String]) -> Box<[String]> {
    let mut tags = tags.to_vec();
    tags.sort_unstable();
    tags.dedup();
    tags.into()
}

fn is_in_sight(feature: &CompiledFeature, kind: KeyKind, wanted: &HashSet<&str>) -> bool {
    let is_open = match kind {
        KeyKind::ServerSide => true,
        KeyKind::ClientSide => !feature.server_side_only(),
    };
    is_open && (wanted.is_empty() || feature.tags().iter().any(|tag| wanted.contains(tag.as_str())))
}

/// Returns, by the index of the segment, the features that have an override for it.
fn uses_of_segments(ruleset: &Ruleset) -> Vec<HashSet<usize>> {
    let segments: HashMap<&str, usize> =
        ruleset.segments().iter().enumerate().map(|(index, segment)| (segment.id(), index)).collect();
    let mut uses = vec![HashSet::new(); ruleset.segments().len()];
    for (_, outcome) in ruleset.outcomes() {
        let segment = outcome.segment.and_then(|(id, _)| segments.get(id));
        if let (Some(segment), Some(feature)) = (segment, ruleset.feature(outcome.feature)) {
            uses[*segment].insert(feature);
        }
    }
    uses
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use burgee_core::engine::FeatureRules;
    use burgee_core::store::LoadedEnvironment;

    use super::*;
    use crate::testing::*;

    fn with_keys(keys: &[ActiveKey], loaded: LoadedEnvironment) -> LoadedEnvironment {
        LoadedEnvironment { keys: keys.to_vec(), ..loaded }
    }

    #[track_caller]
    fn check_can_tell(snapshot: &Snapshot, secret: &str, since: i64, expected: bool) {
        let can_tell = snapshot.content.can_tell_changes(seen(snapshot, secret).sight, since);
        assert_eq!(can_tell, expected, "`{secret}` since {since}");
    }

    #[test]
    fn a_client_is_told_changes_only_if_they_are_known_step_by_step() {
        let check = |snapshot: &Snapshot, since, expected| {
            check_can_tell(snapshot, KEY, since, true);
            check_can_tell(snapshot, CLIENT_KEY, since, expected);
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
    fn a_limited_key_is_told_changes_only_if_they_are_known_step_by_step() {
        let keys = [key(KEY), limited(key("x"), &["x"])];
        let features = |revision| vec![tagged(feature("a", 1), &["x"]), feature("b", revision)];
        let first = compile(with_keys(&keys, environment(5, features(4))), None);
        check_can_tell(&first, "x", 4, true);
        check_can_tell(&first, "x", 3, false);
        check_can_tell(&first, KEY, 3, true);
        let second = compile(with_keys(&keys, environment(6, features(6))), Some(&first));
        check_can_tell(&second, "x", 5, true);
        let deleted_features = vec![("b".to_owned(), 8)];
        let loaded = LoadedEnvironment { deleted_features, ..environment(8, vec![feature("a", 1)]) };
        let gap = compile(with_keys(&keys, loaded), Some(&second));
        check_can_tell(&gap, "x", 7, false);
    }

    #[test]
    fn of_what_was_before_a_key_only_its_likes_are_told() {
        let features = |tags: &[&str], revision| vec![tagged(feature("a", revision), tags)];
        let first = compile(environment(5, features(&["x"], 1)), None);
        let keys = [limited(key("x"), &["x"])];
        let second = compile(with_keys(&keys, environment(6, features(&[], 6))), Some(&first));
        check_can_tell(&second, "x", 5, false);
        check_can_tell(&second, "x", 6, true);
        assert!(seen(&second, "x").view().sight.withdrawn().unwrap().is_empty());
    }

    #[test]
    fn a_limited_key_sees_features_that_have_one_of_its_tags() {
        let keys = [
            key("all"),
            client_key("client"),
            limited(key("x"), &["x"]),
            limited(client_key("client-yx"), &["y", "x"]),
            limited(client_key("client-xy"), &["x", "y", "x"]),
            limited(key("other"), &["X"]),
        ];
        let features = vec![
            tagged(feature("a", 1), &["x"]),
            tagged(secret("b", 1), &["x"]),
            tagged(feature("c", 1), &["z", "y"]),
            feature("d", 1),
        ];
        let snapshot = compile(with_keys(&keys, environment(1, features)), None);
        for (secret, expected) in [
            ("all", "abcd"),
            ("client", "acd"),
            ("x", "ab"),
            ("client-yx", "ac"),
            ("client-xy", "ac"),
            ("other", ""),
        ] {
            let seen = seen(&snapshot, secret);
            let keys = snapshot.content.ruleset.features().iter().map(CompiledFeature::key);
            let visible: String = keys
                .enumerate()
                .filter(|(index, _)| seen.view().sight.sees(*index))
                .map(|(_, key)| key)
                .collect();
            assert_eq!(visible, expected, "{secret}");
        }
        assert_eq!(seen(&snapshot, "client-yx").sight, seen(&snapshot, "client-xy").sight);
        assert_eq!(snapshot.content.sights().len(), 5);
    }

    #[test]
    fn a_segment_that_only_features_out_of_sight_use_is_hidden() {
        let with = |rules: FeatureRules, segments: &[usize]| FeatureRules {
            segment_overrides: segments.iter().map(|index| override_for(*index)).collect(),
            ..rules
        };
        let keys = [key(KEY), client_key(CLIENT_KEY), limited(key("x"), &["x"])];
        let a = with(feature("a", 1), &[0, 1]);
        let s = with(tagged(secret("s", 1), &["x"]), &[1, 2]);
        let mut loaded = with_keys(&keys, environment(1, vec![a, s]));
        loaded.rules.segments = ["one", "both", "other", "unused"].map(|id| segment(id, "plan", id)).to_vec();
        let snapshot = compile(loaded, None);
        for (secret, hidden) in [(KEY, &[][..]), (CLIENT_KEY, &[2]), ("x", &[0])] {
            let seen = seen(&snapshot, secret);
            let actual: Vec<_> = (0..4).filter(|index| seen.view().sight.hides_segment(*index)).collect();
            assert_eq!(actual, hidden, "{secret}");
        }
    }
}
