//! Properties that are paths into the evaluation context.

use burgee_core::engine::{FeatureRules, Identity, Ruleset, State, VariantRules};
use burgee_core::rule::RuleKind;
use burgee_core::value::{TraitValue, Value};

use super::{environment, rule, segment, text};

/// An identity with a key of its own and traits of every type.
fn identity() -> Identity<'static> {
    let traits = [
        ("age", Some(TraitValue::Integer(42))),
        ("a b", text("blank")),
        ("ünï", text("code")),
        ("price", Some(TraitValue::Double(1.0))),
        ("beta", Some(TraitValue::Boolean(true))),
        ("none", None),
        ("zip", text("0123")),
    ];
    let traits = traits.map(|(key, value)| (key.to_owned(), value));
    Identity::new("user-1", traits).with_key(Some("key-1".into()))
}

/// Says whether a condition on `property` holds; properties may have blanks.
fn holds(property: &str, operator: &str, operand: &str, identity: Option<&Identity>) -> bool {
    let operator = burgee_core::rule::Operator::parse(operator).unwrap();
    let operand = burgee_core::rule::Operand::Text(operand.into());
    let condition = burgee_core::rule::Condition::new(property, operator, operand, "").unwrap();
    let mut rules = rule(RuleKind::All, &[], vec![]);
    rules.conditions.push(condition);
    let mut rules = environment(vec![segment("seg", vec![rules])]);
    rules.segments[0].metadata = Some("{\"owner\": {\"id\": 18446744073709551615}}".into());
    let state = State {
        enabled: true,
        value: Some(Value::Integer(5)),
        hashing_key: "101".into(),
        variants: vec![VariantRules { key: "v".into(), weight: 12.5, value: Some(Value::Boolean(false)) }],
        metadata: None,
    };
    rules.features.push(FeatureRules { key: "my feature".into(), state, ..FeatureRules::default() });
    Ruleset::compile(rules).evaluate(identity).is_in_segment(0)
}

fn check(property: &str, operand: &str) {
    assert!(holds(property, "EQUAL", operand, Some(&identity())), "{property} is {operand}");
    assert!(
        !holds(property, "EQUAL", &format!("{operand}1"), Some(&identity())),
        "{property} is just {operand}"
    );
}

fn check_unset(property: &str) {
    assert!(holds(property, "IS_NOT_SET", "", Some(&identity())), "{property} is not set");
    assert!(!holds(property, "REGEX", ".*", Some(&identity())), "{property} is not set");
}

#[test]
fn plain_paths_lead_to_the_context() {
    check("$.environment.key", "env");
    check("$.environment.name", "Prod");
    check("$.environment['name']", "Prod");
    check("$.identity.identifier", "user-1");
    check("$.identity.key", "key-1");
    check("$.identity[\"key\"]", "key-1");
    check("$.identity.traits.age", "42");
    check("$.identity.traits['a b']", "blank");
    check("$.identity.traits.ünï", "code");
    check("$.identity.traits.price", "1");
    check("$.identity.traits.zip", "123");
    check("$.features['my feature'].value", "5");
    check("$.features['my feature'].key", "101");
    check("$.segments.seg.name", "seg");
    check("$.segments.seg.metadata.owner.id", "18446744073709551615");
}

#[test]
fn the_identitys_key_is_made_of_the_environments_and_the_identifier() {
    for key in [None, Some(String::new())] {
        let identity = identity().with_key(key);
        assert!(holds("$.identity.key", "EQUAL", "env_user-1", Some(&identity)));
    }
}

#[test]
fn other_paths_are_queries() {
    check("$.identity.traits[ 'a b' ]", "blank");
    check("$.identity .key", "key-1");
    check("$.identity.traits['\\u0061ge']", "42");
    check("$.identity['identifier','key']", "user-1");
    check("$..identifier", "user-1");
    check("$.environment[?@ == 'Prod']", "Prod");
    check("$.*.key", "env");
    check("$.features.*.variants[0].weight", "12.5");
    check("$.features[?@.enabled == true].key", "101");
    check("$.features.*.variants[?$.identity.identifier == 'user-1'].key", "v");
    check("$.environment[?$.identity.traits.age == 42]", "env");
}

#[test]
fn what_is_no_primitive_is_not_set() {
    for property in [
        "$.identity",
        "$.identity.traits",
        "$.identity.traits.none",
        "$.identity.traits.other",
        "$.identity.other",
        "$.identity.identifier.x",
        "$.environment",
        "$.environment.other",
        "$.features",
        "$.leads.to.nowhere",
        "$.features[0]",
        "$..nowhere",
    ] {
        check_unset(property);
    }
}

#[test]
fn what_is_no_path_is_not_set() {
    for property in ["$.", "$.[", "$.identity.", "$.identity.traits.a b", "$.identity.traits.a-b", "$.1a"] {
        check_unset(property);
    }
}

#[test]
fn only_what_begins_with_dollar_dot_is_a_path() {
    for property in ["$", "$['identity']['key']", "identity.key", " $.identity.key"] {
        check_unset(property);
    }
}

#[test]
fn a_trait_with_the_paths_name_hides_it() {
    for path in ["$.environment.name", "$.identity.key", "$.identity.traits.age", "$..key", "$.["] {
        let identity = Identity::new("user", [(path.to_owned(), text("007"))]);
        assert!(holds(path, "EQUAL", "7", Some(&identity)), "{path}");
        let identity = Identity::new("user", [(path.to_owned(), None)]);
        assert!(holds(path, "IS_NOT_SET", "", Some(&identity)), "{path}");
    }
}

#[test]
fn values_from_paths_are_retyped() {
    let identity = Identity::new("0042", []);
    assert!(holds("$.identity.identifier", "GREATER_THAN", "9", Some(&identity)));
    assert!(holds("$..identifier", "EQUAL", "42", Some(&identity)));
    assert!(holds("$.identity.identifier", "IN", "42", Some(&identity)));
    assert!(!holds("$.identity.identifier", "CONTAINS", "4", Some(&identity)));
}

#[test]
fn without_an_identity_only_the_environment_is_there() {
    assert!(holds("$.environment.name", "EQUAL", "Prod", None));
    assert!(holds("$..key", "EQUAL", "env", None));
    for property in
        ["$.identity.key", "$.identity.identifier", "$.identity.traits.age", "$..identifier", "age"]
    {
        assert!(holds(property, "IS_NOT_SET", "", None), "{property}");
    }
    assert!(holds("$.identity .key", "IS_NOT_SET", "", None));
}

#[test]
fn one_evaluation_may_follow_many_paths() {
    let segments =
        ["$..identifier EQUAL user-1", "$.identity['key','x'] EQUAL key-1", "$..nowhere IS_NOT_SET"]
            .map(|condition| segment(condition, vec![rule(RuleKind::All, &[condition, condition], vec![])]));
    let ruleset = Ruleset::compile(environment(segments.into()));
    let identity = identity();
    let evaluation = ruleset.evaluate(Some(&identity));
    assert_eq!(evaluation.segments().count(), 3);
    assert_eq!(evaluation.segments().count(), 3);
}
