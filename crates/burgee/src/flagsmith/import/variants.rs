//! Variants: Flagsmith's belong to a state and are ordered there; Burgee's belong to the feature, in one
//! order for all its states. So that everybody stays in the same bucket, the feature's list is one in which
//! the variants of every state can be found in their order.

use std::collections::HashSet;

use burgee_core::name::VariantKey;
use burgee_core::value::Value;

use crate::flagsmith::model::Variant;

/// A variant of a feature.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) value: Option<Value>,
}

/// A feature's variants, and which of them those of its states are.
#[derive(Debug, PartialEq)]
pub(super) struct Assignment {
    /// All variants; those that the feature has already come first.
    pub(super) entries: Vec<Entry>,
    /// For every state, the indices of its variants, which only go up.
    pub(super) states: Vec<Vec<usize>>,
}

/// Finds the variants of every state among those that the feature has, and adds what is missing.
pub(super) fn assign(existing: Vec<Entry>, states: &[&[Variant]]) -> Assignment {
    let wanted: Vec<Vec<Wanted<'_>>> =
        states.iter().map(|variants| variants.iter().map(Wanted::new).collect()).collect();
    let originals: HashSet<&str> =
        states.iter().copied().flatten().filter_map(|item| item.key.as_deref()).collect();
    let mut entries = existing;
    if entries.is_empty() {
        let mut common: Vec<&Wanted<'_>> = Vec::new();
        for state in &wanted {
            common = supersequence(&common, state);
        }
        common.into_iter().for_each(|item| add(&mut entries, item, &originals));
    }
    // What one state adds, another may find earlier in its order than what it had found before; so the last
    // round adds nothing, and a later import, which begins with this list, finds the same.
    loop {
        let before = entries.len();
        let states = wanted.iter().map(|state| find(&mut entries, state, &originals)).collect();
        if entries.len() == before {
            return Assignment { entries, states };
        }
    }
}

/// Returns shares that add up to at most 100 and put everybody in the same bucket as `weights` added up in
/// order, of which the first that reaches somebody counts.
pub(super) fn clamp(weights: impl Iterator<Item = f64>) -> Vec<f64> {
    let (mut start, mut reach) = (0.0_f64, 0.0_f64);
    let share = |weight: f64| {
        let end = start + weight;
        let below = end.min(100.0);
        let share =
            if start == reach && weight >= 0.0 && end <= 100.0 { weight } else { (below - reach).max(0.0) };
        start = end;
        reach = reach.max(below);
        share
    };
    weights.map(share).collect()
}

/// A variant of a state, and the key that it would like to have.
#[derive(Clone, Debug, PartialEq)]
struct Wanted<'a> {
    base: String,
    value: &'a Option<Value>,
}

/// The key of variants of which nothing better is known; they are numbered.
const UNNAMED: &str = "variant";

impl<'a> Wanted<'a> {
    fn new(variant: &'a Variant) -> Self {
        let text = match (&variant.key, &variant.value) {
            (Some(key), _) => {
                key.chars().map(|character| if is_plain(character) { character } else { '-' }).collect()
            }
            (None, Some(Value::String(text))) if text.chars().all(is_plain) && text.len() <= 40 => {
                text.clone()
            }
            (None, Some(Value::Boolean(boolean))) => boolean.to_string(),
            (None, Some(Value::Integer(integer))) => integer.to_string(),
            (None, None | Some(Value::String(_) | Value::Double(_) | Value::Json(_))) => UNNAMED.to_owned(),
        };
        let base = if VariantKey::parse(&text).is_ok() { text } else { UNNAMED.to_owned() };
        Self { base, value: &variant.value }
    }

    /// Says whether the entry is this variant: it has the value, and the key, or a key that was made of it.
    fn is(&self, entry: &Entry, originals: &HashSet<&str>) -> bool {
        let is_numbered = |rest: &str| {
            let digits = rest.strip_prefix('-').unwrap_or_default();
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        let has_key = match entry.key.strip_prefix(&self.base) {
            Some("") => true,
            Some(rest) => is_numbered(rest) && !originals.contains(entry.key.as_str()),
            None => false,
        };
        has_key && entry.value == *self.value
    }
}

fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '-')
}

/// Returns the indices of a state's variants, each behind the one before; adds those that are not there.
fn find(entries: &mut Vec<Entry>, state: &[Wanted<'_>], originals: &HashSet<&str>) -> Vec<usize> {
    let mut next = 0;
    let place = |wanted: &Wanted<'_>| {
        let found = entries
            .iter()
            .skip(next)
            .position(|entry| wanted.is(entry, originals))
            .map(|offset| next + offset);
        let index = found.unwrap_or_else(|| {
            add(entries, wanted, originals);
            entries.len() - 1
        });
        next = index + 1;
        index
    };
    state.iter().map(place).collect()
}

/// Adds a variant under a key that is not taken, nor that of another variant of the original.
fn add(entries: &mut Vec<Entry>, wanted: &Wanted<'_>, originals: &HashSet<&str>) {
    let is_free = |key: &str| !entries.iter().any(|entry| entry.key == key);
    let base = &wanted.base;
    let first = (base != UNNAMED || originals.contains(UNNAMED)).then(|| base.clone());
    let numbers = if first.is_some() { 2_usize.. } else { 1_usize.. };
    let numbered =
        numbers.map(|number| format!("{base}-{number}")).filter(|key| !originals.contains(key.as_str()));
    let key = first.into_iter().chain(numbered).find(|key| is_free(key)).unwrap_or_default();
    entries.push(Entry { key, value: wanted.value.clone() });
}

/// Returns a shortest list in which both lists are found in their order.
fn supersequence<'a, 'b>(left: &[&'b Wanted<'a>], right: &'b [Wanted<'a>]) -> Vec<&'b Wanted<'a>> {
    // The length of the longest common subsequence of what is left of both.
    let mut common = vec![vec![0_usize; right.len() + 1]; left.len() + 1];
    for (i, item) in left.iter().enumerate().rev() {
        for (j, other) in right.iter().enumerate().rev() {
            common[i][j] = if *item == other {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut merged = Vec::with_capacity(left.len() + right.len());
    while i < left.len() && j < right.len() {
        if left[i] == &right[j] {
            merged.push(left[i]);
            (i, j) = (i + 1, j + 1);
        } else if common[i + 1][j] >= common[i][j + 1] {
            merged.push(left[i]);
            i += 1;
        } else {
            merged.push(&right[j]);
            j += 1;
        }
    }
    merged.extend(&left[i..]);
    merged.extend(&right[j..]);
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `red=1 blue=2 =3`: keys and values.
    fn variants(text: &str) -> Vec<Variant> {
        let variant = |item: &str| {
            let (key, value) = item.split_once('=').unwrap();
            Variant {
                key: (!key.is_empty()).then(|| key.to_owned()),
                value: Some(Value::String(value.to_owned())),
                weight: 10.0,
                weight_text: "10".to_owned(),
            }
        };
        text.split_whitespace().map(variant).collect()
    }

    fn check(states: &[&str], keys: &[&str], expected: &[&[usize]]) {
        let lists: Vec<_> = states.iter().map(|text| variants(text)).collect();
        let lists: Vec<_> = lists.iter().map(Vec::as_slice).collect();
        let first = assign(Vec::new(), &lists);
        assert_eq!(
            first.entries.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(),
            keys,
            "{states:?}"
        );
        assert_eq!(first.states, expected, "{states:?}");
        let second = assign(first.entries.clone(), &lists);
        assert_eq!(second, first, "a second import finds what the first made");
    }

    #[test]
    fn states_share_variants() {
        check(&["red=1 blue=2", "", "red=1 blue=2"], &["red", "blue"], &[&[0, 1], &[], &[0, 1]]);
        check(&["red=1", "red=1 blue=2"], &["red", "blue"], &[&[0], &[0, 1]]);
        check(&["red=1 blue=2", "blue=2 green=3"], &["red", "blue", "green"], &[&[0, 1], &[1, 2]]);
    }

    #[test]
    fn an_order_or_a_value_that_conflicts_needs_a_variant_more() {
        check(&["red=1 blue=2", "blue=2 red=1"], &["red", "blue", "red-2"], &[&[0, 1], &[1, 2]]);
        check(&["red=1", "red=9"], &["red", "red-2"], &[&[0], &[1]]);
        check(&["a=1 a-2=1", "a=1 a=1"], &["a", "a-2", "a-3"], &[&[0, 1], &[0, 2]]);
    }

    #[test]
    fn variants_without_keys_get_some() {
        check(&["=foo =two,words =foo"], &["foo", "variant-1", "foo-2"], &[&[0, 1, 2]]);
        check(&["=control sp+ace=x"], &["variant-1", "sp-ace"], &[&[0, 1]]);
    }

    #[test]
    fn what_is_missing_is_added_at_the_end() {
        let states = [variants("red=1 green=3 blue=2")];
        let existing = ["red", "blue"].map(|key| Entry {
            key: key.to_owned(),
            value: Some(Value::String(if key == "red" { "1" } else { "2" }.to_owned())),
        });
        let assignment = assign(existing.to_vec(), &[states[0].as_slice()]);
        let keys: Vec<_> = assignment.entries.iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!(keys, ["red", "blue", "green", "blue-2"]);
        assert_eq!(assignment.states, [[0, 2, 3]]);
    }

    #[test]
    fn shares_add_up_to_100_and_keep_the_buckets() {
        for (weights, shares) in [
            (&[30.0, 30.0][..], &[30.0, 30.0][..]),
            (&[40.0, 90.0, 10.0], &[40.0, 60.0, 0.0]),
            (&[0.0, 100.0, 0.0], &[0.0, 100.0, 0.0]),
            (&[30.0, -20.0, 50.0], &[30.0, 0.0, 30.0]),
            (&[-10.0, 50.0], &[0.0, 40.0]),
            (&[500.0], &[100.0]),
        ] {
            assert_eq!(clamp(weights.iter().copied()), shares, "{weights:?}");
        }
    }
}
