//! Whom flags are evaluated for.

use crate::value::TraitValue;

/// An identity as evaluation sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Identity {
    /// The identifier: what `$.identity.identifier` sees, and what identity overrides name.
    pub identifier: String,
    /// The key that hashes use. `None`, or empty: the environment's hashing key, `_` and the identifier.
    pub key: Option<String>,
    /// The traits.
    pub traits: Traits,
}

impl Identity {
    /// Creates an identity without a key of its own; the last of duplicate traits wins.
    pub fn new(
        identifier: impl Into<String>,
        traits: impl IntoIterator<Item = (String, Option<TraitValue>)>,
    ) -> Self {
        Self { identifier: identifier.into(), key: None, traits: traits.into_iter().collect() }
    }

    /// Returns the key that hashes use, if the identity has one of its own.
    pub(super) fn own_key(&self) -> Option<&str> {
        self.key.as_deref().filter(|key| !key.is_empty())
    }

    /// Sets the key that hashes use.
    #[must_use]
    pub fn with_key(mut self, key: Option<String>) -> Self {
        self.key = key;
        self
    }
}

/// Traits by key; `None` is an explicit null.
///
/// Identities have few traits and live for one evaluation, so a sorted list is quicker to build and to
/// search than a hash table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traits {
    sorted: Vec<(String, Option<TraitValue>)>,
    /// Whether a key begins with `$.`, and so hides what the path of the same name sees.
    hide_paths: bool,
}

impl Traits {
    /// Returns the trait's value: `None` if there is no such trait, `Some(None)` if it is null.
    pub fn get(&self, key: &str) -> Option<Option<&TraitValue>> {
        let index = self.sorted.binary_search_by(|(other, _)| other.as_str().cmp(key)).ok()?;
        Some(self.sorted[index].1.as_ref())
    }

    /// Returns the trait whose key is exactly the path, if there is one.
    pub(super) fn get_path(&self, path: &str) -> Option<Option<&TraitValue>> {
        if self.hide_paths { self.get(path) } else { None }
    }

    /// Iterates over keys and values, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&TraitValue>)> {
        self.sorted.iter().map(|(key, value)| (key.as_str(), value.as_ref()))
    }

    /// Returns how many traits there are.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Says whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }
}

impl FromIterator<(String, Option<TraitValue>)> for Traits {
    fn from_iter<T: IntoIterator<Item = (String, Option<TraitValue>)>>(traits: T) -> Self {
        let mut sorted: Vec<_> = traits.into_iter().collect();
        // The sort is stable, so that the last of duplicates is the last of its run.
        sorted.sort_by(|(left, _), (right, _)| left.cmp(right));
        sorted.dedup_by(|later, earlier| {
            let is_duplicate = later.0 == earlier.0;
            if is_duplicate {
                std::mem::swap(later, earlier);
            }
            is_duplicate
        });
        let hide_paths = sorted.iter().any(|(key, _)| key.starts_with("$."));
        Self { sorted, hide_paths }
    }
}
