//! The engine as its users see it: rules in, outcomes out.

#![allow(clippy::unwrap_used)] // clippy.toml's exception for tests does not reach their helpers

mod flags;
mod operators;
mod paths;
mod properties;
mod reference;
mod rules;

use burgee_core::engine::{EnvironmentRules, Identity, Ruleset, SegmentRules};
use burgee_core::rule::{Condition, Operand, Operator, Rule, RuleKind};
use burgee_core::value::TraitValue;

/// Parses a condition such as `age GREATER_THAN 18`; the operand is the rest, blanks and all.
fn condition(text: &str) -> Condition {
    let mut words = text.splitn(3, ' ');
    let property = words.next().unwrap();
    let operator = Operator::parse(words.next().unwrap()).unwrap();
    let operand = Operand::Text(words.next().unwrap_or_default().to_owned());
    Condition::new(property, operator, operand, "").unwrap()
}

fn rule(kind: RuleKind, conditions: &[&str], rules: Vec<Rule>) -> Rule {
    Rule { kind, conditions: conditions.iter().map(|text| condition(text)).collect(), rules }
}

/// A segment whose id, name and hashing key are `id`.
fn segment(id: &str, rules: Vec<Rule>) -> SegmentRules {
    SegmentRules { id: id.into(), name: id.into(), hashing_key: id.into(), metadata: None, rules }
}

/// An environment with the key `env` and the name `Prod`.
fn environment(segments: Vec<SegmentRules>) -> EnvironmentRules {
    EnvironmentRules { hashing_key: "env".into(), name: "Prod".into(), segments, ..Default::default() }
}

fn text(text: &str) -> Option<TraitValue> {
    Some(TraitValue::String(text.into()))
}

/// The identity `user` with one trait.
fn with_trait(key: &str, value: Option<TraitValue>) -> Identity<'static> {
    Identity::new("user", [(key.to_owned(), value)])
}

/// Says whether an identity matches a single condition.
fn matches(condition: Condition, identity: Option<&Identity>) -> bool {
    let rules = vec![Rule { kind: RuleKind::All, conditions: vec![condition], rules: vec![] }];
    Ruleset::compile(environment(vec![segment("seg", rules)])).evaluate(identity).is_in_segment(0)
}
