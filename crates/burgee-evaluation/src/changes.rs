//! What changed between a revision that a subscriber has and the one that is served: all that a stream sends.

use burgee_core::engine::{Identity, OutcomeId};
use burgee_core::name::FeatureKey;
use burgee_proto::evaluation::v1 as pb;

use crate::shared::MessageKind;
use crate::snapshot::Seen;
use crate::view::View;

/// The largest part of a snapshot or an update, with what is around it.
pub(crate) const PART_BYTES: usize = 256 * 1024;
/// What is around a part's flags and keys: the revision, the token, lengths.
const ENVELOPE_BYTES: usize = 1024;
/// What a flag or a key takes in a part beside itself: a tag and a length.
const FIELD_BYTES: usize = 6;

/// Which flags a subscriber is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// Those that changed after a revision.
    Revision(i64),
    /// All, because what they are evaluated with changed after this revision.
    Everything(i64),
}

/// A snapshot or an update on its way to a subscriber, in parts that are made when the subscriber takes them.
pub(crate) struct Changes {
    /// What is sent.
    pub(crate) seen: Seen,
    identity: Option<Box<Identity<'static>>>,
    kind: MessageKind,
    has_begun: bool,
    /// Indices of features that are to be sent, the next one last.
    flags: Vec<usize>,
    /// Keys that are to be removed, the next one last.
    removed: Vec<String>,
}

/// A part.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Part {
    /// What flags come to.
    pub(crate) flags: Vec<OutcomeId>,
    pub(crate) removed: Vec<String>,
    /// Whether there are no more.
    pub(crate) last: bool,
}

impl Changes {
    /// Prepares a snapshot of the flags selected.
    pub(crate) fn snapshot(
        seen: Seen,
        identity: Option<Identity<'static>>,
        selection: Option<&[FeatureKey]>,
        reason: pb::SnapshotReason,
    ) -> Self {
        let mut flags = seen.view().select(selection);
        flags.reverse();
        let identity = identity.map(Box::new);
        let kind = MessageKind::Snapshot(reason);
        Self { seen, identity, kind, has_begun: false, flags, removed: Vec::new() }
    }

    /// Prepares an update; `None` if nothing that the subscriber sees has changed.
    pub(crate) fn update(
        seen: Seen,
        identity: Option<Identity<'static>>,
        selection: Option<&[FeatureKey]>,
        since: Since,
    ) -> Option<Self> {
        let view = seen.view();
        let features = view.content.ruleset.features();
        let mut flags = view.select(selection);
        if let Since::Revision(since) = since {
            flags.retain(|index| features[*index].revision() > since);
        }
        let (Since::Revision(after) | Since::Everything(after)) = since;
        let mut removed = gone(view, after, selection);
        if flags.is_empty() && removed.is_empty() {
            return None;
        }
        flags.reverse();
        removed.reverse();
        let identity = identity.map(Box::new);
        Some(Self { seen, identity, kind: MessageKind::Update(since), has_begun: false, flags, removed })
    }

    /// Returns what it is.
    pub(crate) fn kind(&self) -> MessageKind {
        self.kind
    }

    /// Says whether a part was taken.
    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Takes as many flags and keys as the next part has room for. After the last part, there is none to take.
    pub(crate) fn part(&mut self) -> Part {
        let view = self.seen.view();
        let evaluation = view.content.ruleset.evaluate(self.identity.as_deref());
        self.has_begun = true;
        let mut part = Part::default();
        let mut room = PART_BYTES - ENVELOPE_BYTES;
        while let Some(index) = self.flags.last() {
            let outcome = evaluation.outcome_id(*index);
            let size = match (view.content.flags.get(outcome.index()).len(), self.kind) {
                // Hidden, because it is disabled. The subscriber may have it from before.
                (0, MessageKind::Update(_)) => {
                    let key = view.content.ruleset.features()[*index].key();
                    let size = key.len() + FIELD_BYTES;
                    if size <= room {
                        part.removed.push(key.to_owned());
                    }
                    size
                }
                (0, MessageKind::Snapshot(_)) => 0,
                (bytes, _) => {
                    let size = bytes + FIELD_BYTES;
                    if size <= room {
                        part.flags.push(outcome);
                    }
                    size
                }
            };
            let Some(left) = room.checked_sub(size) else { return part };
            room = left;
            self.flags.pop();
        }
        while let Some(key) = self.removed.pop_if(|key| key.len() + FIELD_BYTES <= room) {
            room -= key.len() + FIELD_BYTES;
            part.removed.push(key);
        }
        part.last = self.removed.is_empty();
        part
    }
}

/// Returns the keys of features that a subscriber may have and that are gone, or out of its sight.
fn gone(view: View<'_>, since: i64, selection: Option<&[FeatureKey]>) -> Vec<String> {
    let is_selected = |key: &str| {
        let find = |keys: &[FeatureKey]| keys.binary_search_by(|other| other.as_str().cmp(key)).is_ok();
        selection.is_none_or(find)
    };
    let is_gone = |(key, revision): &(&str, i64)| *revision > since && is_selected(key);
    let keys = |(key, _): (&str, i64)| key.to_owned();
    let mut gone: Vec<String> = match view.sight.withdrawn() {
        None => {
            let deleted = view.content.deleted_features.iter();
            deleted.map(|(key, revision)| (key.as_str(), *revision)).filter(is_gone).map(keys).collect()
        }
        // Of others, such a key must not even learn the name.
        Some(withdrawn) => {
            let withdrawn = withdrawn.iter();
            withdrawn.map(|(key, revision)| (key.as_str(), *revision)).filter(is_gone).map(keys).collect()
        }
    };
    gone.sort_unstable();
    gone
}

#[cfg(test)]
mod tests {
    use burgee_core::engine::{FeatureRules, State};
    use burgee_core::store::LoadedEnvironment;
    use prost::Message as _;

    use super::*;
    use crate::outcome::evaluated_flag;
    use crate::snapshot::Snapshot;
    use crate::testing::*;

    fn parts(mut changes: Changes) -> Vec<Part> {
        let mut parts = vec![changes.part()];
        while parts.last().is_some_and(|part| !part.last) {
            parts.push(changes.part());
        }
        parts
    }

    fn flags(snapshot: &Snapshot, part: &Part) -> Vec<pb::EvaluatedFlag> {
        part.flags.iter().map(|id| evaluated_flag(&snapshot.content.ruleset.outcome(*id))).collect()
    }

    /// Returns the keys of flags and the keys removed, of an update as a whole.
    fn update(
        snapshot: &Snapshot,
        key: &str,
        selection: Option<&[&str]>,
        since: Since,
    ) -> Option<(Vec<String>, Vec<String>)> {
        let parse =
            |keys: &[&str]| keys.iter().map(|key| FeatureKey::parse(key).unwrap()).collect::<Vec<_>>();
        let selection = selection.map(parse);
        let changes = Changes::update(seen(snapshot, key), None, selection.as_deref(), since)?;
        let parts = parts(changes);
        assert!(parts.iter().rev().skip(1).all(|part| !part.last) && parts.last().unwrap().last);
        let flags = parts.iter().flat_map(|part| flags(snapshot, part));
        Some((
            flags.map(|flag| flag.key).collect(),
            parts.iter().flat_map(|part| part.removed.clone()).collect(),
        ))
    }

    #[track_caller]
    fn check(actual: Option<(Vec<String>, Vec<String>)>, flags: &[&str], removed: &[&str]) {
        let owned = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
        assert_eq!(actual, Some((owned(flags), owned(removed))));
    }

    const SERVER: &str = KEY;
    const CLIENT: &str = CLIENT_KEY;

    #[test]
    fn an_update_holds_what_a_later_revision_touched() {
        let loaded = LoadedEnvironment {
            deleted_features: vec![("gone".into(), 6), ("long-gone".into(), 2)],
            ..environment(9, vec![feature("a", 3), feature("b", 7), feature("c", 9)])
        };
        let snapshot = compile(loaded, None);
        check(update(&snapshot, SERVER, None, Since::Revision(5)), &["b", "c"], &["gone"]);
        check(update(&snapshot, SERVER, None, Since::Revision(7)), &["c"], &[]);
        check(update(&snapshot, SERVER, None, Since::Everything(7)), &["a", "b", "c"], &[]);
        check(
            update(&snapshot, SERVER, Some(&["a", "c", "gone", "x"]), Since::Revision(5)),
            &["c"],
            &["gone"],
        );
        assert_eq!(update(&snapshot, SERVER, None, Since::Revision(9)), None);
        assert_eq!(update(&snapshot, SERVER, Some(&["a"]), Since::Revision(5)), None);
    }

    #[test]
    fn what_is_hidden_is_removed() {
        let off = FeatureRules { state: State::default(), ..feature("off", 4) };
        let loaded =
            LoadedEnvironment { hide_disabled_flags: true, ..environment(9, vec![feature("a", 3), off]) };
        let snapshot = compile(loaded, None);
        check(update(&snapshot, CLIENT, None, Since::Revision(3)), &[], &["off"]);
        check(update(&snapshot, CLIENT, None, Since::Everything(8)), &["a"], &["off"]);
        let all = Changes::snapshot(seen(&snapshot, CLIENT), None, None, pb::SnapshotReason::Initial);
        let parts = parts(all);
        assert_eq!((parts.len(), parts[0].flags.len(), parts[0].removed.len()), (1, 1, 0));
    }

    #[test]
    fn a_client_is_told_of_the_end_of_what_it_could_see_only() {
        let first = compile(environment(5, vec![feature("a", 1), feature("b", 1), secret("s", 1)]), None);
        let deleted_features = vec![("b".into(), 6), ("s".into(), 7)];
        let loaded = environment(8, vec![secret("a", 8), secret("t", 8)]);
        let second = compile(LoadedEnvironment { deleted_features, ..loaded.clone() }, Some(&first));
        check(update(&second, CLIENT, None, Since::Revision(5)), &[], &["a", "b"]);
        check(update(&second, SERVER, None, Since::Revision(5)), &["a", "t"], &["b", "s"]);
        assert_eq!(update(&second, CLIENT, Some(&["s", "t"]), Since::Revision(5)), None);
        // What is visible again is a flag like any other.
        let third = compile(environment(9, vec![feature("a", 9), feature("s", 9)]), Some(&second));
        check(update(&third, CLIENT, None, Since::Revision(5)), &["a", "s"], &["b"]);
        check(update(&third, CLIENT, None, Since::Revision(8)), &["a", "s"], &[]);
    }

    #[test]
    fn a_limited_key_is_told_when_tags_come_and_go() {
        let with = |loaded: LoadedEnvironment| {
            let keys = vec![limited(key("x"), &["x"]), limited(client_key("xy"), &["y", "x"])];
            LoadedEnvironment { keys, ..loaded }
        };
        let a = |revision, tags| tagged(feature("a", revision), tags);
        let b = |revision, tags| tagged(secret("b", revision), tags);
        let c = tagged(feature("c", 1), &["z"]);
        let first = compile(with(environment(5, vec![a(1, &["x"]), b(1, &["x"]), c.clone()])), None);
        let loaded = environment(6, vec![a(6, &["y"]), b(6, &["x", "y"]), c.clone()]);
        let second = compile(with(loaded), Some(&first));
        check(update(&second, "x", None, Since::Revision(5)), &["b"], &["a"]);
        check(update(&second, "xy", None, Since::Revision(5)), &["a"], &[]);
        // Of what it never saw, it is not told that it is gone.
        let deleted_features = vec![("a".into(), 7), ("b".into(), 7), ("c".into(), 7)];
        let loaded = LoadedEnvironment { deleted_features, ..environment(7, Vec::new()) };
        let third = compile(with(loaded), Some(&second));
        check(update(&third, "x", None, Since::Revision(6)), &[], &["b"]);
        check(update(&third, "xy", None, Since::Revision(6)), &[], &["a"]);
        assert_eq!(update(&third, "x", Some(&["c"]), Since::Revision(6)), None);
        let fourth = compile(with(environment(8, vec![a(8, &["x"]), c])), Some(&third));
        check(update(&fourth, "x", None, Since::Revision(7)), &["a"], &[]);
        check(update(&fourth, "x", None, Since::Revision(5)), &["a"], &["b"]);
    }

    #[test]
    fn a_part_is_never_too_large() {
        let features = (0..20).map(|index| large(&format!("f{index:02}"), 1, 20_000)).collect();
        let snapshot = compile(environment(1, features), None);
        let all = Changes::snapshot(seen(&snapshot, SERVER), None, None, pb::SnapshotReason::Initial);
        let parts = parts(all);
        assert_eq!(parts.len(), 2);
        let keys: Vec<_> =
            parts.iter().flat_map(|part| flags(&snapshot, part)).map(|flag| flag.key).collect();
        assert_eq!(keys, (0..20).map(|index| format!("f{index:02}")).collect::<Vec<_>>());
        for part in parts {
            let flags = flags(&snapshot, &part);
            let message = pb::FlagsUpdate { flags, removed: part.removed, last: part.last };
            assert!(message.encoded_len() <= PART_BYTES - ENVELOPE_BYTES + 16);
        }
    }

    #[test]
    fn keys_that_are_removed_come_in_parts_too() {
        let key = |index: usize| format!("{index:04}{}", "k".repeat(1_000));
        let deleted_features = (0..600).map(|index| (key(index), 2)).collect();
        let loaded = LoadedEnvironment { deleted_features, ..environment(2, vec![feature("a", 2)]) };
        let (flags, removed) = update(&compile(loaded, None), SERVER, None, Since::Revision(1)).unwrap();
        assert_eq!(flags, ["a"]);
        assert_eq!(removed, (0..600).map(key).collect::<Vec<_>>());
    }

    #[test]
    fn an_environment_without_flags_has_a_snapshot() {
        let snapshot = compile(environment(1, Vec::new()), None);
        let all = Changes::snapshot(seen(&snapshot, SERVER), None, None, pb::SnapshotReason::Initial);
        assert_eq!(parts(all), [Part { last: true, ..Part::default() }]);
    }
}
