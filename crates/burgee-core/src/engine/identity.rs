//! Whom flags are evaluated for.

use std::borrow::Cow;

use crate::value::TraitValue;

/// An identity as evaluation sees it. Its texts may be borrowed, as an identity often lives for one evaluation only.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Identity<'a> {
    /// The identifier: what `$.identity.identifier` sees, and what identity overrides name.
    pub identifier: Cow<'a, str>,
    /// The key that hashes use. `None`, or empty: the environment's hashing key, `_` and the identifier.
    pub key: Option<Cow<'a, str>>,
    /// The traits.
    pub traits: Traits<'a>,
}

impl Identity<'_> {
    /// Creates an identity without a key of its own; the last of duplicate traits wins.
    pub fn new(
        identifier: impl Into<String>,
        traits: impl IntoIterator<Item = (String, Option<TraitValue>)>,
    ) -> Self {
        Self { identifier: Cow::Owned(identifier.into()), key: None, traits: traits.into_iter().collect() }
    }

    /// Returns the key that hashes use, if the identity has one of its own.
    pub(super) fn own_key(&self) -> Option<&str> {
        self.key.as_deref().filter(|key| !key.is_empty())
    }

    /// Sets the key that hashes use.
    #[must_use]
    pub fn with_key(mut self, key: Option<String>) -> Self {
        self.key = key.map(Cow::Owned);
        self
    }

    /// Returns the identity with texts of its own.
    #[must_use]
    pub fn into_owned(self) -> Identity<'static> {
        Identity {
            identifier: Cow::Owned(self.identifier.into_owned()),
            key: self.key.map(|key| Cow::Owned(key.into_owned())),
            traits: self.traits.into_owned(),
        }
    }
}

/// Traits by key; `None` is an explicit null.
///
/// Identities have few traits and live for one evaluation, so a sorted list is quicker to build and to
/// search than a hash table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traits<'a> {
    sorted: Vec<Entry<'a>>,
    /// Whether a key begins with `$.`, and so hides what the path of the same name sees.
    hide_paths: bool,
}

type Entry<'a> = (Cow<'a, str>, Option<Cow<'a, TraitValue>>);

impl<'a> Traits<'a> {
    /// Borrows traits; of those with the same key, the one in `over` wins.
    pub fn merged(under: &'a [(String, TraitValue)], over: &'a [(String, Option<TraitValue>)]) -> Self {
        let mut entries = Vec::with_capacity(under.len() + over.len());
        let borrow = |key: &'a String, value: Option<&'a TraitValue>| {
            (Cow::Borrowed(key.as_str()), value.map(Cow::Borrowed))
        };
        entries.extend(under.iter().map(|(key, value)| borrow(key, Some(value))));
        entries.extend(over.iter().map(|(key, value)| borrow(key, value.as_ref())));
        Self::sort(entries)
    }

    /// Orders traits by key, and keeps the last of each key.
    fn sort(mut entries: Vec<Entry<'a>>) -> Self {
        // The sort is stable, so that the last of duplicates is the last of its run.
        entries.sort_by(|(left, _), (right, _)| left.cmp(right));
        entries.dedup_by(|later, earlier| {
            let is_duplicate = later.0 == earlier.0;
            if is_duplicate {
                std::mem::swap(later, earlier);
            }
            is_duplicate
        });
        let hide_paths = entries.iter().any(|(key, _)| key.starts_with("$."));
        Self { sorted: entries, hide_paths }
    }

    /// Returns the traits with texts of their own.
    fn into_owned(self) -> Traits<'static> {
        let own = |(key, value): Entry<'a>| -> Entry<'static> {
            (Cow::Owned(key.into_owned()), value.map(|value| Cow::Owned(value.into_owned())))
        };
        Traits { sorted: self.sorted.into_iter().map(own).collect(), hide_paths: self.hide_paths }
    }

    /// Returns the trait's value: `None` if there is no such trait, `Some(None)` if it is null.
    pub fn get(&self, key: &str) -> Option<Option<&TraitValue>> {
        let index = self.sorted.binary_search_by(|(other, _)| (**other).cmp(key)).ok()?;
        Some(self.sorted[index].1.as_deref())
    }

    /// Returns the trait whose key is exactly the path, if there is one.
    pub(super) fn get_path(&self, path: &str) -> Option<Option<&TraitValue>> {
        if self.hide_paths { self.get(path) } else { None }
    }

    /// Iterates over keys and values, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&TraitValue>)> {
        self.sorted.iter().map(|(key, value)| (&**key, value.as_deref()))
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

impl FromIterator<(String, Option<TraitValue>)> for Traits<'_> {
    fn from_iter<T: IntoIterator<Item = (String, Option<TraitValue>)>>(traits: T) -> Self {
        let own = |(key, value): (String, Option<TraitValue>)| (Cow::Owned(key), value.map(Cow::Owned));
        Self::sort(traits.into_iter().map(own).collect())
    }
}
