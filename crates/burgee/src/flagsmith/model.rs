//! One environment of Flagsmith, in the words of Burgee's domain: what both shapes are read into.

use std::cmp::Ordering;
use std::fmt;

use burgee_core::project::IdentityHashing;
use burgee_core::rule::Rule;
use burgee_core::value::{TraitValue, Value};

use super::json::is_integer;

/// An environment with all that decides what it serves. Lists are in document order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    /// The environment itself.
    pub environment: Environment,
    /// Where it belongs, if the document says so.
    pub origin: Option<Origin>,
    /// The features, each with its states in this environment.
    pub features: Vec<Feature>,
    /// The segments.
    pub segments: Vec<Segment>,
    /// The identities that the document tells something about beside overrides.
    pub identities: Vec<Identity>,
    /// What was changed, and what was not taken.
    pub notes: Vec<Note>,
}

/// The environment itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Environment {
    /// The client-side key, which hashes begin with.
    pub key: String,
    /// What people read.
    pub name: String,
    /// The settings; an evaluation context has none.
    pub settings: Option<Settings>,
}

/// The settings of an environment that Burgee has, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether disabled flags are left out.
    pub hide_disabled_flags: bool,
    /// Whether traits sent with a client-side key count.
    pub allow_client_traits: bool,
    /// What percentages hash.
    pub identity_hashing: IdentityHashing,
}

/// The project and the organisation of the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The project's name.
    pub project: String,
    /// The organisation's name.
    pub organisation: String,
    /// Whether the organisation has stopped serving flags.
    pub stop_serving_flags: bool,
    /// Whether the organisation stores traits.
    pub persist_trait_data: bool,
}

/// A feature, and what it comes to in the environment.
#[derive(Clone, Debug, PartialEq)]
pub struct Feature {
    /// The name.
    pub key: String,
    /// The original's id; of a context, the key of its state.
    pub id: String,
    /// Whether client-side keys never see it; a context does not say.
    pub server_side_only: Option<bool>,
    /// The environment's own state.
    pub state: State,
    /// The states of segments, the one that wins first; at most one for each segment.
    pub segment_overrides: Vec<SegmentOverride>,
    /// The states of identities; at most one for each identifier.
    pub identity_overrides: Vec<IdentityOverride>,
}

/// The state that the members of a segment get.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentOverride {
    /// The index in [`Model::segments`].
    pub segment: usize,
    /// The whole state.
    pub state: State,
}

/// The state that one identity gets.
#[derive(Clone, Debug, PartialEq)]
pub struct IdentityOverride {
    /// Who.
    pub identifier: String,
    /// The whole state.
    pub state: State,
}

/// What is served.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Whether the feature is on.
    pub enabled: bool,
    /// The value of the control.
    pub value: Option<Value>,
    /// What the split hashes; empty if the original has none.
    pub hashing_key: String,
    /// The split, in the order in which weights are added up.
    pub variants: Vec<Variant>,
    /// A JSON object with members, as text.
    pub metadata: Option<String>,
}

/// A variant of a state.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// The key, if it has one.
    pub key: Option<String>,
    /// What is served.
    pub value: Option<Value>,
    /// The share, in percent; as the document has it, so it may be anything.
    pub weight: f64,
    /// The share, as the original prints it in its reasons.
    pub weight_text: String,
}

/// A segment.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// What percentage splits hash: the original's id.
    pub key: String,
    /// What people read.
    pub name: String,
    /// The rules.
    pub rules: Vec<Rule>,
    /// A JSON object with members, as text.
    pub metadata: Option<String>,
}

/// An identity's data.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Identity {
    /// What callers know it by.
    pub identifier: String,
    /// What percentages hash, if it is not what the environment's rule says.
    pub hashing_key: Option<String>,
    /// The traits that have a value.
    pub traits: Vec<(String, TraitValue)>,
}

/// Something that people should know of a document that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whether something is lost.
    pub kind: NoteKind,
    /// What it is about: a place in the document, or a name.
    pub subject: String,
    /// What happened, and why.
    pub text: String,
}

/// Whether something is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteKind {
    /// Evaluates as before, though it is written in another way.
    Changed,
    /// Was left out, so that something may evaluate differently.
    NotTaken,
}

impl Note {
    /// Creates a note on what is written in another way.
    pub fn changed(subject: impl fmt::Display, text: impl Into<String>) -> Self {
        Self { kind: NoteKind::Changed, subject: subject.to_string(), text: text.into() }
    }

    /// Creates a note on what was left out.
    pub fn not_taken(subject: impl fmt::Display, text: impl Into<String>) -> Self {
        Self { kind: NoteKind::NotTaken, subject: subject.to_string(), text: text.into() }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.subject, self.text)
    }
}

/// A priority, ordered as numbers of any size.
#[derive(Clone, Debug)]
pub struct Priority {
    nearest: f64,
    /// The exact integer: its sign, and its digits.
    integer: Option<(bool, String)>,
}

impl Priority {
    /// Reads a number as JSON writes it.
    pub fn parse(number: &str) -> Self {
        let integer = is_integer(number).then(|| match number.strip_prefix('-') {
            Some(digits) => (true, digits.to_owned()),
            None => (false, number.to_owned()),
        });
        Self { nearest: number.parse().unwrap_or(f64::INFINITY), integer }
    }

    /// Reads the integer that a UUID is.
    pub fn of_uuid(uuid: uuid::Uuid) -> Self {
        Self::parse(&uuid.as_u128().to_string())
    }
}

impl Ord for Priority {
    fn cmp(&self, other: &Self) -> Ordering {
        // Rounding keeps the order, so only what rounds alike needs its digits.
        self.nearest.total_cmp(&other.nearest).then_with(|| match (&self.integer, &other.integer) {
            (Some((negative, left)), Some((_, right))) => {
                let magnitude = left.len().cmp(&right.len()).then_with(|| left.cmp(right));
                if *negative { magnitude.reverse() } else { magnitude }
            }
            (left, right) => left.is_some().cmp(&right.is_some()),
        })
    }
}

impl PartialOrd for Priority {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Priority {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Priority {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_are_ordered_as_numbers() {
        let check = |left: &str, right: &str, expected| {
            assert_eq!(Priority::parse(left).cmp(&Priority::parse(right)), expected, "{left} {right}");
        };
        check("9", "10", Ordering::Less);
        check("-1", "0", Ordering::Less);
        check("1.5", "1", Ordering::Greater);
        check(
            "340282366920938463463374607431768211454",
            "340282366920938463463374607431768211455",
            Ordering::Less,
        );
        check(
            "-340282366920938463463374607431768211454",
            "-340282366920938463463374607431768211455",
            Ordering::Greater,
        );
        check("3", "3", Ordering::Equal);
    }
}
