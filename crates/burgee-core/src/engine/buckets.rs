//! The buckets of identities: where an identity stands in the splits of features and of segments.
//!
//! Whoever asks for one bucket mostly asks for several, so they are worked out in groups, for little more than the price
//! of one.

use std::collections::HashMap;

use super::hash::{percentage, spread};
use super::identity::Identity;
use super::lanes::{Beginnings, LANES};

/// The index of a bucket: its group, and its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BucketIndex(u32);

impl BucketIndex {
    fn new(group: usize, lane: usize) -> Self {
        Self((group * LANES + lane) as u32)
    }

    /// Returns the index of the group in [`Buckets::groups`].
    pub(super) fn group(self) -> usize {
        self.0 as usize / LANES
    }

    /// Returns the place in the group.
    pub(super) fn lane(self) -> usize {
        self.0 as usize % LANES
    }
}

/// Buckets that are worked out together.
#[derive(Debug)]
pub(super) struct Group {
    hashing_keys: Box<[String]>,
    /// What is hashed before an identity's own key.
    own: Beginnings,
    /// What is hashed before an identifier, if the identity has no key of its own.
    composite: Beginnings,
}

impl Group {
    /// Works out an identity's buckets. `key` returns what it hashes, own or not.
    pub(super) fn buckets<'a>(&self, identity: &Identity, key: impl Fn() -> &'a str) -> [f64; LANES] {
        let digests = match identity.own_key() {
            Some(key) => self.own.digests(key),
            None => self.composite.digests(&identity.identifier),
        };
        let alone = |lane: usize| self.bucket_alone(lane, key());
        let Some(digests) = digests else { return std::array::from_fn(alone) };
        let mut buckets = [0.0; LANES];
        for (lane, bucket) in buckets.iter_mut().enumerate() {
            *bucket = spread(digests.map(|part| part[lane])).unwrap_or_else(|| alone(lane));
        }
        buckets
    }

    /// Works out one bucket in the way that always works.
    #[cold]
    fn bucket_alone(&self, lane: usize, key: &str) -> f64 {
        // Nobody asks for what is at a place that is not taken.
        self.hashing_keys.get(lane).map_or(0.0, |hashing_key| percentage(hashing_key, key))
    }
}

/// Collects what buckets are needed.
#[derive(Default)]
pub(super) struct Buckets {
    groups: Vec<Vec<String>>,
    by_hashing_key: HashMap<String, BucketIndex>,
}

impl Buckets {
    /// Returns the bucket of this hashing key, if it was added.
    pub(super) fn find(&self, hashing_key: &str) -> Option<BucketIndex> {
        self.by_hashing_key.get(hashing_key).copied()
    }

    /// Adds the bucket of a hashing key, unless it is there.
    pub(super) fn add(&mut self, hashing_key: String) -> BucketIndex {
        if let Some(index) = self.find(&hashing_key) {
            return index;
        }
        // What is hashed side by side has to begin with as many bytes.
        let has_room = |group: &Vec<String>| group.len() < LANES && group[0].len() == hashing_key.len();
        let group = self.groups.iter().position(has_room).unwrap_or_else(|| {
            self.groups.push(Vec::new());
            self.groups.len() - 1
        });
        let index = BucketIndex::new(group, self.groups[group].len());
        self.groups[group].push(hashing_key.clone());
        self.by_hashing_key.insert(hashing_key, index);
        index
    }

    /// Prepares the groups. `environment_key` is what composite keys begin with.
    pub(super) fn into_groups(self, environment_key: &str) -> Box<[Group]> {
        let groups = self.groups.into_iter().map(|hashing_keys| {
            let before = |separator: &str| {
                let texts = hashing_keys.iter().map(|key| [key, separator].concat());
                Beginnings::new(&texts.collect::<Vec<_>>())
            };
            Group {
                own: before(","),
                composite: before(&format!(",{environment_key}_")),
                hashing_keys: hashing_keys.into(),
            }
        });
        groups.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks that buckets worked out together are those worked out alone.
    fn check(hashing_keys: &[&str], environment_key: &str, identity: &Identity, key: &str) {
        let mut buckets = Buckets::default();
        let indices: Vec<_> = hashing_keys.iter().map(|key| buckets.add((*key).to_owned())).collect();
        let groups = buckets.into_groups(environment_key);
        for (hashing_key, index) in hashing_keys.iter().zip(indices) {
            let bucket = groups[index.group()].buckets(identity, || key)[index.lane()];
            assert_eq!(bucket, percentage(hashing_key, key), "{hashing_key},{key}");
        }
    }

    fn own(key: &str) -> Identity<'static> {
        Identity::new("user", []).with_key(Some(key.to_owned()))
    }

    #[test]
    fn buckets_are_the_same_alone_and_together() {
        let keys: Vec<_> = (0..30).map(|number| "k".repeat(number % 3) + &number.to_string()).collect();
        let keys: Vec<_> = keys.iter().map(String::as_str).collect();
        for length in [0, 1, 40, 50, 53, 54, 60, 64, 100, 113, 114, 118, 119, 120, 5_000] {
            let long = "x".repeat(length);
            check(&keys, "env", &Identity::new(&long, []), &format!("env_{long}"));
            check(&keys, &long, &Identity::new("user", []), &format!("{long}_user"));
            check(&keys, "env", &own(&format!("x{long}")), &format!("x{long}"));
        }
    }

    #[test]
    fn a_hundred_is_hashed_again() {
        // These come to 100 at first.
        check(&["11", "34", "65"], "env", &own("253"), "253");
        check(&["34", "11"], "env", &own("53"), "53");
        check(&["65"], "env", &own("144"), "144");
    }

    #[test]
    fn equal_hashing_keys_have_one_bucket() {
        let mut buckets = Buckets::default();
        let first = buckets.add("a".to_owned());
        assert_eq!(buckets.add("b".to_owned()).lane(), 1);
        assert_eq!(buckets.add("a".to_owned()), first);
        assert_eq!((buckets.find("a"), buckets.find("c")), (Some(first), None));
    }
}
