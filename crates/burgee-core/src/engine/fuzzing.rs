//! The parts of [`crate::fuzzing`] that look inside the engine.

use serde_json::Value as Json;

use super::pattern::Pattern;
use super::property::{Source, Target, parse};
use super::scalar::OwnedScalar;
use super::{EnvironmentRules, FeatureRules, Identity, Ruleset, SegmentRules, State};
use crate::fuzzing::operand;
use crate::rule::{Condition, Operand, Operator, Rule, RuleKind};
use crate::value::TraitValue;

/// A path finds the same with and without the library, and whatever it finds is either set or not.
pub fn jsonpath(path: &str, document: &str) {
    let path = &format!("$.{}", path.strip_prefix("$.").unwrap_or(path));
    let condition = |operator| Condition::new(path, operator, Operand::Text(String::new()), "");
    let (Ok(is_set), Ok(is_not_set)) = (condition(Operator::IsSet), condition(Operator::IsNotSet)) else {
        return;
    };
    let Ok(document) = serde_json::from_str::<Json>(document) else { return };
    if let Source::Path { target: Target::Constant(found), .. } = Source::new(path, &&document) {
        let query = parse(path);
        let expected = query.as_ref().and_then(|query| query.query(&document).first());
        assert_eq!(found, OwnedScalar::of_node(expected), "{path}");
    }
    let set = check(path, is_set, &document);
    let not_set = check(path, is_not_set, &document);
    assert_ne!(set, not_set, "{path}");
}

/// Says whether an identity in an environment, both of which have parts of the document, is in the condition's segment.
fn check(path: &str, condition: Condition, document: &Json) -> bool {
    let metadata = document.is_object().then(|| document.to_string());
    let state = State { metadata: metadata.clone(), ..State::default() };
    let rule = Rule { kind: RuleKind::All, conditions: vec![condition], rules: Vec::new() };
    let rules = EnvironmentRules {
        hashing_key: "env".to_owned(),
        name: "Production".to_owned(),
        features: vec![FeatureRules { key: "feature".to_owned(), state, ..FeatureRules::default() }],
        segments: vec![SegmentRules {
            hashing_key: "segment".to_owned(),
            metadata,
            rules: vec![rule],
            ..SegmentRules::default()
        }],
    };
    let traits = document.as_object().into_iter().flatten().map(|(key, value)| {
        let value = match value {
            Json::Null | Json::Array(_) | Json::Object(_) => None,
            Json::Bool(boolean) => Some(TraitValue::Boolean(*boolean)),
            Json::Number(number) => Some(match number.as_i64() {
                Some(integer) => TraitValue::Integer(integer),
                None => TraitValue::Double(number.as_f64().unwrap_or_default()),
            }),
            Json::String(text) => Some(TraitValue::String(text.clone())),
        };
        (key.clone(), value)
    });
    let identity = Identity::new("ada", traits);
    let ruleset = Ruleset::compile(rules);
    let matches = ruleset.evaluate(Some(&identity)).is_in_segment(0);
    assert_eq!(matches, ruleset.evaluate(Some(&identity)).is_in_segment(0), "{path}");
    ruleset.evaluate(None).is_in_segment(0);
    matches
}

/// A pattern that compiles can be matched, an error is a line, and a text that is escaped as in Python matches itself.
pub fn patterns(pattern: &str, text: &str) {
    let (pattern, text) = (operand(pattern), operand(text));
    match Pattern::compile(pattern) {
        Ok(compiled) => {
            compiled.matches(text);
        }
        Err(error) => assert!(!error.is_empty() && !error.contains('\n'), "{pattern:?} {error:?}"),
    }
    let is_special = |character: char| character.is_ascii_punctuation() || character.is_ascii_whitespace();
    let escaped = text.chars().flat_map(|character| {
        is_special(character).then_some('\\').into_iter().chain(std::iter::once(character))
    });
    let escaped: String = escaped.collect();
    let compiled = Pattern::compile(&escaped);
    assert!(compiled.is_ok_and(|compiled| compiled.matches(text)), "{escaped:?} does not match {text:?}");
}
