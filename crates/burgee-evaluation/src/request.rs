//! Requests, checked: from here on nobody looks at their fields again.

use std::collections::BTreeMap;
use std::time::Duration;

use burgee_core::limits::{IDENTIFIER_CHARACTERS, TRAIT_KEY_CHARACTERS, TRAITS_PER_IDENTITY};
use burgee_core::name::{FeatureKey, Identifier, TraitKey};
use burgee_core::value::TraitValue;
use burgee_core::{Error, Result, Violation};
use burgee_proto::evaluation::v1 as pb;
use burgee_proto::{time, v1};

use crate::subject::{RequestTraits, Who};
use crate::view::Selection;

/// Features that a request may name.
const FEATURES: usize = 1_000;
/// Items of a batch.
const ITEMS: usize = 1_000;
/// Characters of an item's id.
const ITEM_ID_CHARACTERS: usize = 255;
/// The shortest and the longest silence of a stream.
const CHECKPOINT_INTERVALS: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(300);

/// Collects what is wrong with a request, so that the caller learns all of it at once.
#[derive(Default)]
pub(crate) struct Checks(Vec<Violation>);

impl Checks {
    /// Returns the request if nothing was wrong.
    pub(crate) fn finish<T>(self, request: T) -> Result<T> {
        if self.0.is_empty() { Ok(request) } else { Err(Error::Invalid(self.0)) }
    }

    fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.0.push(Violation::new(field, description));
    }

    fn take<T>(&mut self, parsed: Result<T, Violation>, field: impl std::fmt::Display) -> Option<T> {
        parsed.map_err(|violation| self.0.push(violation.at(field))).ok()
    }

    /// Checks `min_revision`.
    pub(crate) fn min_revision(&mut self, revision: i64) -> i64 {
        if revision < 0 {
            self.add("min_revision", format!("must not be negative, is {revision}"));
        }
        revision
    }

    /// Checks `features`.
    pub(crate) fn features(&mut self, features: &[String]) -> Selection {
        if features.is_empty() {
            return None;
        }
        if features.len() > FEATURES {
            self.add("features", format!("must be at most {FEATURES}, are {}", features.len()));
            return None;
        }
        let keys = features.iter().enumerate();
        let mut keys: Vec<_> = keys
            .filter_map(|(index, key)| self.take(FeatureKey::parse(key), format_args!("features[{index}]")))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        Some(keys.into())
    }

    /// Checks `identity`.
    pub(crate) fn who(&mut self, context: Option<pb::IdentityContext>) -> Option<Who> {
        let pb::IdentityContext { identifier, traits, ignore_stored_traits, hashing_key } = context?;
        let length = if hashing_key.len() > IDENTIFIER_CHARACTERS { hashing_key.chars().count() } else { 0 };
        if length > IDENTIFIER_CHARACTERS {
            let description = format!("must be at most {IDENTIFIER_CHARACTERS} characters, is {length}");
            self.add("identity.hashing_key", description);
        }
        let traits = self.traits(traits, "identity.traits");
        let identifier = self.take(Identifier::parse_owned(identifier), "identity.identifier")?;
        let hashing_key = Some(hashing_key).filter(|key| !key.is_empty());
        Some(Who { identifier, traits, ignore_stored_traits, hashing_key })
    }

    /// Checks traits; they stay ordered by key.
    pub(crate) fn traits(&mut self, traits: BTreeMap<String, v1::TraitValue>, field: &str) -> RequestTraits {
        if traits.len() > TRAITS_PER_IDENTITY {
            self.add(field, format!("must be at most {TRAITS_PER_IDENTITY}, are {}", traits.len()));
            return Vec::new();
        }
        let mut checked = Vec::with_capacity(traits.len());
        for (key, value) in traits {
            let value: Option<TraitValue> = value.into();
            let valid_key = check_trait_key(&key);
            let valid_value = value.as_ref().map_or(Ok(()), TraitValue::check);
            if let Err(violation) = valid_key.and(valid_value) {
                self.0.push(violation.at(format_args!("{field}[{key}]")));
            }
            checked.push((key, value));
        }
        checked
    }

    /// Checks that `transient_traits` are keys of `traits`.
    pub(crate) fn transient_traits(&mut self, keys: &[String], traits: &RequestTraits) {
        if keys.len() > TRAITS_PER_IDENTITY {
            self.add(
                "transient_traits",
                format!("must be at most {TRAITS_PER_IDENTITY}, are {}", keys.len()),
            );
            return;
        }
        for (index, key) in keys.iter().enumerate() {
            if traits.binary_search_by(|(other, _)| other.cmp(key)).is_err() {
                let description = format!("must be a key of `traits`, is `{key}`");
                self.add(format!("transient_traits[{index}]"), description);
            }
        }
    }

    /// Checks the identifier of `Identify`, which may be empty.
    pub(crate) fn identifier(&mut self, identifier: &str) -> Option<Identifier> {
        if identifier.is_empty() { None } else { self.take(Identifier::parse(identifier), "identifier") }
    }

    /// Checks `feature`.
    pub(crate) fn feature(&mut self, key: &str) -> Option<FeatureKey> {
        self.take(FeatureKey::parse(key), "feature")
    }

    /// Checks how many items a batch has.
    pub(crate) fn items(&mut self, items: usize) {
        if !(1..=ITEMS).contains(&items) {
            self.add("items", format!("must be 1 to {ITEMS}, are {items}"));
        }
    }

    /// Checks an item's id.
    pub(crate) fn item_id(&mut self, item_id: &str) {
        let length = item_id.chars().count();
        if length > ITEM_ID_CHARACTERS {
            self.add("item_id", format!("must be at most {ITEM_ID_CHARACTERS} characters, is {length}"));
        }
    }

    /// Checks `checkpoint_interval`.
    pub(crate) fn checkpoint_interval(
        &mut self,
        interval: Option<prost_types::Duration>,
        default: Duration,
    ) -> Duration {
        let Some(interval) = interval else { return default };
        match time::length(&interval) {
            Ok(interval) if CHECKPOINT_INTERVALS.contains(&interval) => interval,
            Ok(_) | Err(_) => {
                self.add("checkpoint_interval", "must be 1 to 300 seconds");
                default
            }
        }
    }
}

/// Checks a trait's key without making another, as there are many.
fn check_trait_key(key: &str) -> Result<(), Violation> {
    if (1..=TRAIT_KEY_CHARACTERS).contains(&key.len()) && !key.contains('\0') {
        return Ok(());
    }
    TraitKey::parse(key).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expected: &[&str], fill: impl FnOnce(&mut Checks)) {
        let mut checks = Checks::default();
        fill(&mut checks);
        let fields: Vec<_> = checks.0.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, expected, "{:?}", checks.0);
    }

    fn text(value: &str) -> v1::TraitValue {
        v1::TraitValue { kind: Some(v1::trait_value::Kind::StringValue(value.to_owned())) }
    }

    #[test]
    fn features_are_ordered_and_each_is_there_once() {
        let mut checks = Checks::default();
        let selection = checks.features(&["b".to_owned(), "a".to_owned(), "b".to_owned()]).unwrap();
        assert_eq!(selection.iter().map(FeatureKey::as_str).collect::<Vec<_>>(), ["a", "b"]);
        assert!(checks.features(&[]).is_none());
        checks.finish(()).unwrap();
    }

    #[test]
    fn every_limit_names_its_field() {
        check(&["min_revision"], |checks| assert_eq!(checks.min_revision(-1), -1));
        check(&["features"], |checks| drop(checks.features(&vec!["a".to_owned(); 1_001])));
        check(&["features[1]"], |checks| drop(checks.features(&["a".to_owned(), String::new()])));
        check(&["items"], |checks| checks.items(0));
        check(&["items"], |checks| checks.items(1_001));
        check(&["item_id"], |checks| checks.item_id(&"é".repeat(256)));
        check(&[], |checks| checks.item_id(&"é".repeat(255)));
        check(&["feature"], |checks| drop(checks.feature("")));
        check(&["transient_traits[0]"], |checks| checks.transient_traits(&["a".to_owned()], &Vec::new()));
        let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        let interval = |interval| {
            move |checks: &mut Checks| {
                checks.checkpoint_interval(interval, Duration::ZERO);
            }
        };
        check(&["checkpoint_interval"], interval(seconds(0)));
        check(&["checkpoint_interval"], interval(seconds(301)));
        check(&[], interval(seconds(300)));
    }

    #[test]
    fn everything_wrong_with_an_identity_is_said_at_once() {
        let traits = [
            (String::new(), text("a")),
            ("k".repeat(201), text("a")),
            ("long".to_owned(), text(&"v".repeat(2_001))),
            ("fine".to_owned(), v1::TraitValue { kind: None }),
        ];
        let context = pb::IdentityContext {
            identifier: String::new(),
            traits: traits.into(),
            ignore_stored_traits: false,
            hashing_key: "k".repeat(2_001),
        };
        let long_key = format!("identity.traits[{}]", "k".repeat(201));
        let expected = [
            "identity.hashing_key",
            "identity.traits[]",
            &long_key,
            "identity.traits[long]",
            "identity.identifier",
        ];
        check(&expected, |checks| drop(checks.who(Some(context))));
        let many = (0..501).map(|index| (index.to_string(), text(""))).collect();
        check(&["traits"], |checks| drop(checks.traits(many, "traits")));
    }
}
