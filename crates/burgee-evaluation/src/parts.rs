//! Parts of answers that are encoded once, when a snapshot is compiled, and copied into every answer.

use burgee_core::engine::Ruleset;
use prost::Message;

use crate::outcome::{evaluated_flag, matched_segment};

/// Encoded messages, one after another, each with its length before it: whoever copies one into an answer writes the field's
/// key and nothing else. An item may also be empty: there is no message for it.
#[derive(Debug)]
pub(crate) struct Parts {
    bytes: Box<[u8]>,
    /// Where each item ends.
    ends: Box<[usize]>,
}

impl Parts {
    /// Encodes the answers for all outcomes of flags, in the order of their ids. Disabled ones are empty if they are hidden.
    pub(crate) fn of_flags(ruleset: &Ruleset, hide_disabled_flags: bool) -> Self {
        Self::of_messages(ruleset.outcomes().map(|(_, outcome)| {
            let is_hidden = hide_disabled_flags && !outcome.enabled;
            (!is_hidden).then(|| evaluated_flag(&outcome))
        }))
    }

    /// Encodes the answers for segments that match, in the order of the segments.
    pub(crate) fn of_segments(ruleset: &Ruleset) -> Self {
        Self::of_messages(ruleset.segments().iter().map(|segment| Some(matched_segment(segment))))
    }

    fn of_messages<T: Message>(messages: impl Iterator<Item = Option<T>>) -> Self {
        let mut bytes = Vec::new();
        let encode = |message: Option<T>| {
            if let Some(message) = message {
                message.encode_length_delimited(&mut bytes).expect("a vector has room for every message");
            }
            bytes.len()
        };
        let ends = messages.map(encode).collect();
        Self { bytes: bytes.into(), ends }
    }

    /// Returns an item: the length of the message and the message, or nothing.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[index]]
    }
}

#[cfg(test)]
mod tests {
    use burgee_core::engine::{EnvironmentRules, FeatureRules, State};
    use burgee_proto::evaluation::v1 as pb;

    use super::*;
    use crate::testing::{feature, large, segment};

    #[test]
    fn a_part_is_its_message_after_its_length() {
        let off = FeatureRules { state: State::default(), ..feature("off", 1) };
        let ruleset = Ruleset::compile(EnvironmentRules {
            features: vec![feature("a", 1), off, large("c", 1, 20_000)],
            segments: vec![segment("s", "plan", "pro")],
            ..EnvironmentRules::default()
        });
        for hide_disabled_flags in [false, true] {
            let parts = Parts::of_flags(&ruleset, hide_disabled_flags);
            for (id, outcome) in ruleset.outcomes() {
                let expected = match hide_disabled_flags && !outcome.enabled {
                    true => Vec::new(),
                    false => evaluated_flag(&outcome).encode_length_delimited_to_vec(),
                };
                assert_eq!(parts.get(id.index()), expected, "{outcome:?}");
            }
        }
        let expected = pb::MatchedSegment { id: "s".to_owned(), ..Default::default() };
        assert_eq!(Parts::of_segments(&ruleset).get(0), expected.encode_length_delimited_to_vec());
    }
}
