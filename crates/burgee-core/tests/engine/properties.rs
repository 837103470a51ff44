//! What holds for all rules and identities.

use std::collections::HashMap;

use burgee_core::engine::{
    EnvironmentRules, FeatureRules, Identity, Ruleset, SegmentOverrideRules, SegmentRules, State,
    VariantRules,
};
use burgee_core::rule::{Condition, Operand, Operator, Rule, RuleKind};
use burgee_core::value::{TraitValue, Value};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::{condition, environment, reference, rule, segment};

const IDENTITIES: usize = 10_000;
/// Six standard deviations of a fair coin that is tossed so often, in per cent.
const TOLERANCE: f64 = 3.0;

/// Says for each of many identities whether a split of the segment takes it.
fn split(hashing_key: &str, threshold: f64) -> Vec<bool> {
    let condition = condition(&format!(" PERCENTAGE_SPLIT {threshold}"));
    let rules = vec![Rule { kind: RuleKind::All, conditions: vec![condition], rules: vec![] }];
    let ruleset = Ruleset::compile(environment(vec![segment(hashing_key, rules)]));
    let is_in = |index| ruleset.evaluate(Some(&Identity::new(format!("user-{index}"), []))).is_in_segment(0);
    (0..IDENTITIES).map(is_in).collect()
}

fn share(taken: &[bool]) -> f64 {
    taken.iter().filter(|taken| **taken).count() as f64 / taken.len() as f64 * 100.0
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_split_takes_its_share(key in "[a-z0-9]{1,12}", threshold in 0.0..=100.0) {
        prop_assert!((share(&split(&key, threshold)) - threshold).abs() < TOLERANCE);
    }

    #[test]
    fn a_split_is_stable(key in "[a-z0-9]{1,12}", threshold in 0.0..=100.0) {
        prop_assert_eq!(split(&key, threshold), split(&key, threshold));
    }

    #[test]
    fn raising_a_split_takes_nobody_out(key in "[a-z0-9]{1,12}", low in 0.0..=100.0, more in 0.0..=100.0) {
        let high = f64::min(low + more, 100.0);
        let pairs = split(&key, low).into_iter().zip(split(&key, high));
        prop_assert!(pairs.into_iter().all(|(before, after)| !before || after));
    }

    #[test]
    fn variants_take_their_shares(key in "[a-z0-9]{1,12}", first in 0.0..=50.0, second in 0.0..=50.0) {
        let variant = |key: &str, weight| VariantRules { key: key.into(), weight, value: None };
        let variants = vec![variant("a", first), variant("b", second)];
        let state = State { hashing_key: key, variants, ..State::default() };
        let feature = FeatureRules { key: "f".into(), state, ..FeatureRules::default() };
        let ruleset = Ruleset::compile(EnvironmentRules { features: vec![feature], ..environment(vec![]) });
        let mut counts: HashMap<String, usize> = HashMap::new();
        for index in 0..IDENTITIES {
            let identity = Identity::new(format!("user-{index}"), []);
            let variant = ruleset.evaluate(Some(&identity)).flag(0).variant;
            *counts.entry(variant.unwrap_or_default().to_owned()).or_default() += 1;
        }
        for (variant, weight) in [("a", first), ("b", second), ("control", 100.0 - first - second)] {
            let share = counts.get(variant).copied().unwrap_or_default() as f64 / IDENTITIES as f64 * 100.0;
            prop_assert!((share - weight).abs() < TOLERANCE, "{} takes {} of {}", variant, share, weight);
        }
    }
}

/// The texts that values and operands are made of: few, so that they often meet.
const TEXTS: [&str; 22] = [
    "",
    "a",
    "b",
    "ab",
    "True",
    "true",
    "false",
    "0",
    "1",
    "2",
    "-1",
    "01",
    "1.0",
    "1.5",
    "-1.5",
    "10",
    "9223372036854775808",
    "-9223372036854775809",
    "1.0.0",
    "1.0.0-rc.1",
    "2.0.0+x",
    "ünï",
];

const PROPERTIES: [&str; 12] = [
    "t",
    "u",
    "",
    "$.environment.name",
    "$.environment.key",
    "$.identity.identifier",
    "$.identity.key",
    "$.identity.traits.t",
    "$..identifier",
    "$.identity[ 'key' ]",
    "$.environment[ 'name' ]",
    "$.nowhere",
];

fn trait_values() -> impl Strategy<Value = Option<TraitValue>> {
    option::weighted(
        0.9,
        prop_oneof![
            3 => select(&TEXTS[..]).prop_map(|text| TraitValue::String(text.into())),
            1 => (-2_i64..=10).prop_map(TraitValue::Integer),
            1 => select(vec![i64::MIN, i64::MAX]).prop_map(TraitValue::Integer),
            1 => select(vec![0.0, 1.0, -1.5, 1.5, 10.25]).prop_map(TraitValue::Double),
            1 => any::<bool>().prop_map(TraitValue::Boolean),
        ],
    )
}

fn conditions() -> impl Strategy<Value = Condition> {
    let texts = || select(&TEXTS[..]).prop_map(str::to_owned);
    let operands = select(&Operator::ALL[..]).prop_flat_map(move |operator| {
        let operand = match operator {
            Operator::Regex => {
                select(vec!["a", "b$", "1", "[^b]*$", "True|-1", ""]).prop_map(str::to_owned).boxed()
            }
            Operator::PercentageSplit => (0..=100_u8).prop_map(|percent| percent.to_string()).boxed(),
            Operator::Modulo => select(vec!["2|0", "3|1", "-3|-2", "0.5|0"]).prop_map(str::to_owned).boxed(),
            Operator::In => {
                prop_oneof![texts(), vec(texts(), 0..4).prop_map(|items| items.join(","))].boxed()
            }
            Operator::Equal
            | Operator::NotEqual
            | Operator::GreaterThan
            | Operator::GreaterThanInclusive
            | Operator::LessThan
            | Operator::LessThanInclusive => prop_oneof![
                4 => texts(),
                1 => select(vec!["1.0.0:semver", "1.0.0-rc.2:semver"]).prop_map(str::to_owned),
            ]
            .boxed(),
            Operator::Contains | Operator::NotContains | Operator::IsSet | Operator::IsNotSet => {
                texts().boxed()
            }
        };
        (Just(operator), operand.prop_map(Operand::Text))
    });
    let lists = vec(texts(), 0..4).prop_map(|items| (Operator::In, Operand::List(items)));
    (select(&PROPERTIES[..]), prop_oneof![12 => operands, 1 => lists])
        .prop_map(|(property, (operator, operand))| Condition::new(property, operator, operand, "").unwrap())
}

fn rules() -> impl Strategy<Value = Rule> {
    let kinds = || select(&RuleKind::ALL[..]);
    let leaves = (kinds(), vec(conditions(), 0..4)).prop_map(|(kind, conditions)| Rule {
        kind,
        conditions,
        rules: vec![],
    });
    leaves.prop_recursive(3, 12, 3, move |inner| {
        (kinds(), vec(conditions(), 0..3), vec(inner, 0..3)).prop_map(|(kind, conditions, rules)| Rule {
            kind,
            conditions,
            rules,
        })
    })
}

fn states() -> impl Strategy<Value = State> {
    let variants = vec((select(vec![0.0, 12.5, 30.0, 50.0]), 0..3_i64), 0..4);
    (any::<bool>(), option::of(0..100_i64), "[0-9]{1,3}", variants).prop_map(
        |(enabled, value, key, variants)| {
            let variants = variants.into_iter().enumerate().map(|(index, (weight, value))| VariantRules {
                key: format!("v{index}"),
                weight,
                value: Some(Value::Integer(value)),
            });
            State {
                enabled,
                value: value.map(Value::Integer),
                hashing_key: key,
                variants: variants.collect(),
                metadata: None,
            }
        },
    )
}

fn environments() -> impl Strategy<Value = EnvironmentRules> {
    let overrides = vec((0..5_usize, -2..2_i64, states()), 0..4);
    let features = vec((states(), overrides, option::weighted(0.2, states())), 0..6);
    let segments = vec(vec(rules(), 0..3), 0..5);
    (select(&TEXTS[..]), select(&TEXTS[..]), features, segments).prop_map(
        |(key, name, features, segments)| {
            let segments = segments.into_iter().enumerate();
            let features = features.into_iter().enumerate();
            EnvironmentRules {
                hashing_key: key.into(),
                name: name.into(),
                segments: segments
                    .map(|(index, rules)| SegmentRules {
                        hashing_key: (10 * index).to_string(),
                        ..segment(&index.to_string(), rules)
                    })
                    .collect(),
                features: features
                    .map(|(index, (state, overrides, own))| FeatureRules {
                        key: index.to_string(),
                        state,
                        segment_overrides: overrides
                            .into_iter()
                            .map(|(segment, priority, state)| SegmentOverrideRules {
                                segment,
                                priority,
                                state,
                            })
                            .collect(),
                        identity_overrides: own.map(|state| ("1".to_owned(), state)).into_iter().collect(),
                        ..FeatureRules::default()
                    })
                    .collect(),
            }
        },
    )
}

fn identities() -> impl Strategy<Value = Identity<'static>> {
    let keys = select(vec!["t", "u", "", "$.environment.name", "$..identifier"]).prop_map(str::to_owned);
    let own_keys = option::weighted(0.3, select(&TEXTS[..]).prop_map(str::to_owned));
    (select(&TEXTS[..]), own_keys, vec((keys, trait_values()), 0..5))
        .prop_map(|(identifier, key, traits)| Identity::new(identifier, traits).with_key(key))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_compiled_means_what_the_rules_say(
        rules in environments(),
        identity in option::weighted(0.9, identities()),
    ) {
        let (flags, segments) = reference::evaluate(&rules, identity.as_ref());
        let ruleset = Ruleset::compile(rules);
        let evaluation = ruleset.evaluate(identity.as_ref());
        let prepared: Vec<_> = ruleset.outcomes().collect();
        // The last flag first: what was looked at before must not matter.
        for (index, expected) in flags.into_iter().enumerate().rev() {
            let outcome = evaluation.flag(index);
            let id = evaluation.outcome_id(index);
            prop_assert_eq!(prepared[id.index()], (id, outcome));
            let variant = outcome.variant.map(str::to_owned);
            let segment = outcome.segment.map(|(id, _)| id.to_owned());
            prop_assert_eq!((outcome.enabled, outcome.value.cloned(), variant, segment), expected);
        }
        prop_assert_eq!(evaluation.segments().map(|segment| segment.id().to_owned()).collect::<Vec<_>>(), segments);
    }

    #[test]
    fn one_condition_means_what_the_rules_say(condition in conditions(), identity in identities()) {
        let mut single = rule(RuleKind::All, &[], vec![]);
        single.conditions.push(condition);
        let rules = environment(vec![segment("seg", vec![single])]);
        let (_, segments) = reference::evaluate(&rules, Some(&identity));
        let ruleset = Ruleset::compile(rules);
        prop_assert_eq!(ruleset.evaluate(Some(&identity)).is_in_segment(0), !segments.is_empty());
    }
}
