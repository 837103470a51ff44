//! What holds of all rules that are sent: see `burgee_core::fuzzing`.

use burgee_core::engine::{
    EnvironmentRules, FeatureRules, Identity, Ruleset, SegmentOverrideRules, SegmentRules, State,
};
use burgee_core::rule::Rule;
use burgee_core::value::{TraitValue, Value};
use prost::Message as _;

use crate::segment::rules as convert;
use crate::v1 as pb;

/// Rules that are accepted are the same after a way over the wire and through the database, and can be evaluated.
pub fn rules(data: &[u8]) {
    if let Ok(segment) = pb::Segment::decode(data) {
        check(segment.rules);
    }
    if let Ok(rule) = pb::Rule::decode(data) {
        check(vec![rule]);
    }
}

fn check(wire: Vec<pb::Rule>) {
    let rules = match convert(wire) {
        Ok(rules) => rules,
        Err(violation) => {
            assert!(violation.field.starts_with("rules"), "{violation}");
            return;
        }
    };
    let wire: Vec<pb::Rule> = rules.iter().map(Into::into).collect();
    assert_eq!(convert(wire).as_ref(), Ok(&rules));
    let json = serde_json::to_string(&rules).expect("rules are stored as JSON");
    let stored: Vec<Rule> = serde_json::from_str(&json).expect("what is stored can be read");
    assert_eq!(stored, rules);
    evaluate(rules);
}

fn evaluate(rules: Vec<Rule>) {
    let segment = SegmentRules {
        id: "beta".to_owned(),
        name: "Beta".to_owned(),
        hashing_key: "31".to_owned(),
        metadata: Some(r#"{"owner": "ada"}"#.to_owned()),
        rules,
    };
    let on = |text: &str| State {
        enabled: true,
        value: Some(Value::String(text.to_owned())),
        hashing_key: "5".to_owned(),
        ..State::default()
    };
    let feature = FeatureRules {
        key: "dark".to_owned(),
        state: State { metadata: Some(r#"{"deep": [{"er": 1}]}"#.to_owned()), ..on("own") },
        segment_overrides: vec![SegmentOverrideRules { segment: 0, priority: 1, state: on("of segment") }],
        ..FeatureRules::default()
    };
    let ruleset = Ruleset::compile(EnvironmentRules {
        hashing_key: "env".to_owned(),
        name: "Production".to_owned(),
        features: vec![feature],
        segments: vec![segment],
    });
    let text = |text: &str| Some(TraitValue::String(text.to_owned()));
    let traits = [
        ("age", Some(TraitValue::Integer(36))),
        ("score", Some(TraitValue::Double(1.5))),
        ("beta", Some(TraitValue::Boolean(true))),
        ("plan", text("pro")),
        ("version", text("1.2.3-rc.1")),
        ("digits", text("-00123456789012345678901234567890")),
        ("lines", text("aaaaaaaaaaaaaaaaaaaa!\n")),
        ("gone", None),
        ("", text("empty")),
    ];
    let identity = Identity::new("ada", traits.map(|(key, value)| (key.to_owned(), value)));
    for identity in [Some(&identity), None] {
        let evaluation = ruleset.evaluate(identity);
        let expected = if evaluation.is_in_segment(0) { "of segment" } else { "own" };
        assert_eq!(evaluation.flag(0).value, Some(&Value::String(expected.to_owned())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_evaluated_as_they_were_sent() {
        let folder = format!("{}/../../fuzz/corpus/rules", env!("CARGO_MANIFEST_DIR"));
        let files: Vec<_> = std::fs::read_dir(folder).unwrap().collect();
        assert!(!files.is_empty());
        files.into_iter().for_each(|file| rules(&std::fs::read(file.unwrap().path()).unwrap()));
    }
}
