//! What a caller may see of an environment. Every method looks through this, so that none shows more than another.

use burgee_core::access::KeyKind;
use burgee_core::engine::Evaluation;
use burgee_core::name::FeatureKey;
use burgee_core::value::TraitValue;

use crate::message_writer::MessageWriter;
use crate::sight::Sight;
use crate::snapshot::Content;

/// An environment, as a key sees it.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    /// The environment.
    pub(crate) content: &'a Content,
    /// What the caller's key may see; of the same content.
    pub(crate) sight: &'a Sight,
}

/// The features that a caller asks for; `None`: all. Ordered, each once.
pub(crate) type Selection = Option<Box<[FeatureKey]>>;

impl<'a> View<'a> {
    /// Returns the index of a feature, if there is one and the caller may see it.
    pub(crate) fn find(self, key: &str) -> Option<usize> {
        let index = self.content.ruleset.feature(key)?;
        self.sight.sees(index).then_some(index)
    }

    /// Returns the indices of the features selected that the caller may see, in order of their keys.
    pub(crate) fn select(self, selection: Option<&[FeatureKey]>) -> Vec<usize> {
        match selection {
            Some(keys) => keys.iter().filter_map(|key| self.find(key.as_str())).collect(),
            None => {
                let features = 0..self.content.ruleset.features().len();
                features.filter(|index| self.sight.sees(*index)).collect()
            }
        }
    }

    /// Returns how many features are selected, at most.
    pub(crate) fn count(self, selection: Option<&[FeatureKey]>) -> usize {
        selection.map_or_else(|| self.content.ruleset.features().len(), <[_]>::len)
    }

    /// Returns how many bytes the answers for the features selected take, usually: as many as without an identity, and an eighth
    /// for what decided.
    pub(crate) fn usual_bytes(self, selection: Option<&[FeatureKey]>) -> usize {
        let all = self.content.flags_bytes;
        let features = self.content.ruleset.features().len().max(1);
        let selected = all * self.count(selection).min(features) / features;
        selected + selected / 8
    }

    /// Returns those of the features selected that do not exist, or that the caller may not see.
    pub(crate) fn missing(self, selection: Option<&[FeatureKey]>) -> Vec<String> {
        let keys = selection.into_iter().flatten();
        keys.filter(|key| self.find(key.as_str()).is_none()).map(ToString::to_string).collect()
    }

    /// Returns the answer for a flag as an item of [`Parts`](crate::parts::Parts): empty, if the flag is hidden because it is
    /// disabled.
    #[inline]
    pub(crate) fn flag_part(self, evaluation: &Evaluation<'_>, index: usize) -> &'a [u8] {
        self.content.flags.get(evaluation.outcome_id(index).index())
    }

    /// Writes the answers for the flags selected as values of a field, without those that are hidden because they are disabled.
    pub(crate) fn write_flags<T>(
        self,
        message: &mut MessageWriter<T>,
        field: u8,
        evaluation: &Evaluation<'_>,
        selection: Option<&[FeatureKey]>,
    ) {
        let mut write = |index: usize| message.part(field, self.flag_part(evaluation, index));
        match selection {
            Some(keys) => keys.iter().filter_map(|key| self.find(key.as_str())).for_each(write),
            None => {
                let features = 0..self.content.ruleset.features().len();
                features.filter(|index| self.sight.sees(*index)).for_each(&mut write);
            }
        }
    }

    /// Writes the segments that match as values of a field, without those that would tell of features that the caller may not
    /// see.
    pub(crate) fn write_segments<T>(
        self,
        message: &mut MessageWriter<T>,
        field: u8,
        evaluation: &Evaluation<'_>,
    ) {
        let segments = 0..self.content.ruleset.segments().len();
        let told =
            segments.filter(|index| !self.sight.hides_segment(*index) && evaluation.is_in_segment(*index));
        told.for_each(|index| message.part(field, self.content.segments.get(index)));
    }

    /// Returns those of the traits in a request that count.
    pub(crate) fn admitted_traits(
        self,
        traits: &[(String, Option<TraitValue>)],
    ) -> &[(String, Option<TraitValue>)] {
        match self.sight.kind() {
            KeyKind::ClientSide if !self.content.allow_client_traits => &[],
            KeyKind::ClientSide | KeyKind::ServerSide => traits,
        }
    }
}
