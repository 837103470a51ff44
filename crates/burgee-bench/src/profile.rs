//! The environments that are measured, as plain data: the same on every run and every machine.

use std::collections::HashMap;

use burgee_core::engine::{
    EnvironmentRules, FeatureRules, Identity, SegmentOverrideRules, SegmentRules, State, VariantRules,
};
use burgee_core::rule::{Condition, Operand, Operator, Rule, RuleKind};
use burgee_core::value::{TraitValue, Value};

/// What an environment holds. Every feature's values are texts.
#[derive(Clone, Debug)]
pub struct Profile {
    /// What results are printed under.
    pub name: &'static str,
    /// The features, in the order of their keys.
    pub features: Vec<FeatureSpec>,
    /// The segments, in the order of their ids.
    pub segments: Vec<SegmentSpec>,
    /// The states of single identities, at most one per identity and feature.
    pub identity_overrides: Vec<IdentityOverrideSpec>,
}

/// A feature and its flag.
#[derive(Clone, Debug)]
pub struct FeatureSpec {
    /// The id in its resource name.
    pub key: String,
    /// Whether it is on.
    pub enabled: bool,
    /// The value of whoever gets no variant.
    pub value: String,
    /// The variants; empty if there is no split.
    pub variants: Vec<VariantSpec>,
    /// What members of segments get. The first wins: their priorities count from 0.
    pub segment_overrides: Vec<SegmentOverrideSpec>,
}

/// A variant of a feature.
#[derive(Clone, Debug)]
pub struct VariantSpec {
    /// Unique in the feature.
    pub key: String,
    /// The value.
    pub value: String,
    /// The share of the identities, in per cent.
    pub weight: f64,
}

/// What the members of a segment get instead; without variants.
#[derive(Clone, Debug)]
pub struct SegmentOverrideSpec {
    /// The index of the segment in [`Profile::segments`].
    pub segment: usize,
    /// Whether the feature is on.
    pub enabled: bool,
    /// The value.
    pub value: String,
}

/// A segment.
#[derive(Clone, Debug)]
pub struct SegmentSpec {
    /// The id in its resource name; also its display name.
    pub id: String,
    /// All must hold.
    pub rules: Vec<Rule>,
}

/// What one identity gets instead; without variants.
#[derive(Clone, Debug)]
pub struct IdentityOverrideSpec {
    /// The index of the feature in [`Profile::features`].
    pub feature: usize,
    /// One that [`identity`] returns.
    pub identifier: String,
    /// Whether the feature is on.
    pub enabled: bool,
    /// The value.
    pub value: String,
}

impl Profile {
    /// The standard environment: 50 features, of which 10 have 3 variants and 20 one segment override
    /// each; 20 segments of 3 conditions, two on traits and one percentage split. An identity is in about
    /// half of the segments.
    pub fn standard() -> Self {
        let segments = (0..20).map(|index| segment(index, standard_rule(index))).collect();
        Self { name: "standard", features: features(50, 20), segments, identity_overrides: Vec::new() }
    }

    /// The profile that Flagsmith publishes figures for: 50 features and 15 segments of 15 conditions
    /// each, of which every one overrides every feature.
    pub fn reference() -> Self {
        let segments = (0..15).map(|index| segment(index, reference_rule(index))).collect();
        let mut features = features(50, 15);
        for (index, feature) in features.iter_mut().enumerate() {
            feature.variants.clear();
            // Not the same segment first in every feature.
            feature.segment_overrides =
                (0..15).map(|offset| segment_override(feature, (index + offset) % 15)).collect();
        }
        Self { name: "reference", features, segments, identity_overrides: Vec::new() }
    }

    /// Twenty times the standard environment's features, five times its segments, and 5,000 identity
    /// overrides: five for each of the first 1,000 identities.
    pub fn large() -> Self {
        let segments = (0..100).map(|index| segment(index, standard_rule(index))).collect();
        let identity_overrides = (0..5_000).map(|index| IdentityOverrideSpec {
            feature: (index * 7) % 1_000,
            identifier: identifier(index / 5),
            enabled: index % 2 == 0,
            value: format!("own {index}"),
        });
        Self {
            name: "large",
            features: features(1_000, 100),
            segments,
            identity_overrides: identity_overrides.collect(),
        }
    }

    /// Every profile.
    pub fn all() -> [Self; 3] {
        [Self::standard(), Self::reference(), Self::large()]
    }

    /// Returns what the engine compiles. Hashing keys are as long as those of features and segments that
    /// are created without one: UUIDs.
    pub fn rules(&self) -> EnvironmentRules {
        let mut identity_overrides = vec![HashMap::new(); self.features.len()];
        for IdentityOverrideSpec { feature, identifier, enabled, value } in &self.identity_overrides {
            let state = state(*enabled, value, &uuid("feature", *feature));
            identity_overrides[*feature].insert(identifier.clone(), state);
        }
        let features = self.features.iter().zip(identity_overrides).enumerate();
        let features = features.map(|(index, (spec, identity_overrides))| {
            let FeatureSpec { key, enabled, value, variants, segment_overrides } = spec;
            let hashing_key = uuid("feature", index);
            let variants = variants.iter().map(|VariantSpec { key, value, weight }| VariantRules {
                key: key.clone(),
                weight: *weight,
                value: Some(Value::String(value.clone())),
            });
            let segment_overrides = segment_overrides.iter().zip(0..).map(|(spec, priority)| {
                let SegmentOverrideSpec { segment, enabled, value } = spec;
                let state = state(*enabled, value, &hashing_key);
                SegmentOverrideRules { segment: *segment, priority, state }
            });
            FeatureRules {
                key: key.clone(),
                state: State { variants: variants.collect(), ..state(*enabled, value, &hashing_key) },
                segment_overrides: segment_overrides.collect(),
                identity_overrides,
                ..FeatureRules::default()
            }
        });
        let segments = self.segments.iter().enumerate();
        let segments = segments.map(|(index, SegmentSpec { id, rules })| SegmentRules {
            id: id.clone(),
            name: id.clone(),
            hashing_key: uuid("segment", index),
            metadata: None,
            rules: rules.clone(),
        });
        EnvironmentRules {
            hashing_key: uuid("environment", 0),
            name: self.name.to_owned(),
            features: features.collect(),
            segments: segments.collect(),
        }
    }
}

/// Returns the n-th identity: `user-000000` and on, with five traits.
pub fn identity(number: usize) -> Identity<'static> {
    let traits = traits(number).map(|(key, value)| (key.to_owned(), Some(value)));
    Identity::new(identifier(number), traits)
}

/// Returns the identifier of the n-th identity.
pub fn identifier(number: usize) -> String {
    format!("user-{number:06}")
}

/// Returns the traits of the n-th identity.
pub fn traits(number: usize) -> [(&'static str, TraitValue); 5] {
    let random = |salt: usize, below: usize| (mix((number * 8 + salt) as u64) % below as u64) as usize;
    [
        ("age", TraitValue::Integer(18 + random(0, 60) as i64)),
        ("beta", TraitValue::Boolean(random(1, 5) == 0)),
        ("country", TraitValue::String(COUNTRIES[random(2, COUNTRIES.len())].to_owned())),
        ("plan", TraitValue::String(PLANS[random(3, PLANS.len())].to_owned())),
        ("version", TraitValue::String(format!("4.{}.{}", random(4, 10), random(5, 10)))),
    ]
}

const COUNTRIES: [&str; 8] = ["BR", "DE", "FR", "GB", "IN", "JP", "NL", "US"];
const PLANS: [&str; 5] = ["enterprise", "free", "free", "pro", "team"];

/// Conditions on traits, each of which three to four identities in five meet.
const CONDITIONS: [(&str, Operator, &str); 8] = [
    ("age", Operator::GreaterThanInclusive, "25"),
    ("country", Operator::In, "BR,DE,FR,GB,NL,US"),
    ("plan", Operator::In, "enterprise,pro,team"),
    ("version", Operator::GreaterThan, "4.1.9:semver"),
    ("age", Operator::LessThan, "70"),
    ("country", Operator::NotEqual, "US"),
    ("plan", Operator::NotEqual, "enterprise"),
    ("beta", Operator::Equal, "false"),
];
/// Thresholds of percentage splits.
const THRESHOLDS: [&str; 4] = ["70", "80", "90", "95"];

/// Two conditions on different traits and a percentage split, all of which must hold.
fn standard_rule(index: usize) -> Rule {
    let (first, second) = (index % 8, (index + 1 + index / 8 % 3) % 8);
    let split = condition("", Operator::PercentageSplit, THRESHOLDS[index % 4]);
    all(vec![trait_condition(first), trait_condition(second), split])
}

/// Fifteen conditions that must all hold: twelve that hold for everybody, and three that do not.
fn reference_rule(index: usize) -> Rule {
    let certain = (0..12).map(|offset| {
        let number = index * 12 + offset;
        match offset % 4 {
            0 => condition("age", Operator::GreaterThan, &(number % 18).to_string()),
            1 => condition("country", Operator::NotEqual, &format!("X{number}")),
            2 => condition("plan", Operator::NotEqual, &format!("trial-{number}")),
            _ => condition("version", Operator::GreaterThan, &format!("3.{}.{number}:semver", number % 10)),
        }
    });
    let selective = [index, index + 3, index + 6].map(trait_condition);
    all(certain.chain(selective).collect())
}

fn all(conditions: Vec<Condition>) -> Rule {
    Rule { kind: RuleKind::All, conditions, rules: Vec::new() }
}

fn trait_condition(index: usize) -> Condition {
    let (property, operator, operand) = CONDITIONS[index % CONDITIONS.len()];
    condition(property, operator, operand)
}

fn condition(property: &str, operator: Operator, operand: &str) -> Condition {
    Condition::new(property, operator, Operand::Text(operand.to_owned()), "")
        .expect("the conditions of a profile can be evaluated")
}

fn segment(index: usize, rule: Rule) -> SegmentSpec {
    SegmentSpec { id: format!("segment-{index:03}"), rules: vec![rule] }
}

/// Of five features, one has three variants, and two others a segment override. One in five is off.
fn features(count: usize, segments: usize) -> Vec<FeatureSpec> {
    let feature = |index: usize| {
        let mut feature = FeatureSpec {
            key: format!("feature-{index:04}"),
            enabled: index % 5 != 1,
            value: format!("value of feature {index}"),
            variants: Vec::new(),
            segment_overrides: Vec::new(),
        };
        match index % 5 {
            0 => feature.variants = [("blue", 30.0), ("green", 30.0), ("red", 20.0)].map(variant).into(),
            1 | 2 => {
                feature.segment_overrides = vec![segment_override(&feature, index / 5 * 2 + index % 5 - 1)]
            }
            _ => {}
        }
        feature
    };
    let mut features: Vec<_> = (0..count).map(feature).collect();
    for other in features.iter_mut().flat_map(|feature| &mut feature.segment_overrides) {
        other.segment %= segments;
    }
    features
}

fn variant((key, weight): (&str, f64)) -> VariantSpec {
    VariantSpec { key: key.to_owned(), value: format!("value of variant {key}"), weight }
}

/// Members of the segment have the feature, with a value of their own.
fn segment_override(feature: &FeatureSpec, segment: usize) -> SegmentOverrideSpec {
    let value = format!("{} in segment {segment}", feature.key);
    SegmentOverrideSpec { segment, enabled: true, value }
}

fn state(enabled: bool, value: &str, hashing_key: &str) -> State {
    let value = Some(Value::String(value.to_owned()));
    State { enabled, value, hashing_key: hashing_key.to_owned(), ..State::default() }
}

/// Returns a text in the form of a UUID, always the same for the same arguments.
fn uuid(kind: &str, number: usize) -> String {
    let seed = kind.bytes().fold(number as u64, |sum, byte| mix(sum ^ u64::from(byte)));
    let (high, low) = (mix(seed), mix(seed + 1));
    let parts =
        (high >> 32, high >> 16 & 0xffff, high & 0xfff, low >> 48 & 0x3fff | 0x8000, low & 0xffff_ffff_ffff);
    format!("{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}", parts.0, parts.1, parts.2, parts.3, parts.4)
}

/// Scatters numbers: the step of the generator SplitMix64.
fn mix(number: u64) -> u64 {
    let mut number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use burgee_core::engine::Ruleset;

    use super::*;

    /// Returns the share of segments that identities are in, and of flags that are on, in per cent.
    fn shares(profile: &Profile) -> (usize, usize) {
        const IDENTITIES: usize = 100;
        let ruleset = Ruleset::compile(profile.rules());
        let (mut segments, mut flags) = (0, 0);
        for number in 0..IDENTITIES {
            let identity = identity(number);
            let evaluation = ruleset.evaluate(Some(&identity));
            segments += evaluation.segments().count();
            flags += (0..profile.features.len()).filter(|index| evaluation.flag(*index).enabled).count();
        }
        let share = |count: usize, of: usize| count * 100 / (of * IDENTITIES);
        (share(segments, profile.segments.len()), share(flags, profile.features.len()))
    }

    #[test]
    fn identities_are_in_about_half_of_the_segments() {
        for profile in Profile::all() {
            let (segments, flags) = shares(&profile);
            assert!((40..=60).contains(&segments), "{}: {segments} % of the segments", profile.name);
            assert!((80..=99).contains(&flags), "{}: {flags} % of the flags", profile.name);
        }
    }

    #[test]
    fn the_standard_environment_is_as_described() {
        let Profile { features, segments, .. } = Profile::standard();
        assert_eq!(features.len(), 50);
        assert_eq!(features.iter().filter(|feature| feature.variants.len() == 3).count(), 10);
        assert_eq!(features.iter().filter(|feature| feature.segment_overrides.len() == 1).count(), 20);
        assert_eq!(segments.len(), 20);
        assert!(segments.iter().all(|segment| segment.rules[0].conditions.len() == 3));
        let mut used: Vec<_> = features.iter().flat_map(|feature| &feature.segment_overrides).collect();
        used.sort_by_key(|other| other.segment);
        used.dedup_by_key(|other| other.segment);
        assert_eq!(used.len(), 20, "every segment is used");
    }
}
