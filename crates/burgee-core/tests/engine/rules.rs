//! How rules combine, and what may be stored.

use burgee_core::engine::Ruleset;
use burgee_core::rule::{Condition, Operand, Operator, Rule, RuleKind, check_rules};

use super::{condition, environment, rule, segment};

const TRUE: &str = "$.environment.name EQUAL Prod";
const FALSE: &str = "$.environment.name EQUAL Test";

/// Builds a rule from `T` and `F`, its conditions and its sub-rules, and checks whether it holds.
fn check(kind: RuleKind, conditions: &str, rules: &str, expected: bool) {
    let condition_of = |letter| if letter == 'T' { TRUE } else { FALSE };
    let conditions: Vec<_> = conditions.chars().map(condition_of).collect();
    let sub_rules = rules.chars().map(|letter| rule(RuleKind::All, &[condition_of(letter)], vec![]));
    let rules = vec![rule(kind, &conditions, sub_rules.collect())];
    check_segment(rules, expected);
}

fn check_segment(rules: Vec<Rule>, expected: bool) {
    let description = format!("{rules:?}");
    let ruleset = Ruleset::compile(environment(vec![segment("seg", rules)]));
    assert_eq!(ruleset.evaluate(None).is_in_segment(0), expected, "{description}");
}

#[test]
fn conditions_and_sub_rules_are_combined_alike_and_must_both_hold() {
    let table = [
        // conditions, sub-rules: all, any, none
        ("", "", [true, true, true]),
        ("T", "", [true, true, false]),
        ("F", "", [false, false, true]),
        ("TF", "", [false, true, false]),
        ("", "T", [true, true, false]),
        ("", "F", [false, false, true]),
        ("", "TF", [false, true, false]),
        ("T", "T", [true, true, false]),
        ("T", "F", [false, false, false]),
        ("T", "TF", [false, true, false]),
        ("F", "T", [false, false, false]),
        ("F", "F", [false, false, true]),
        ("F", "TF", [false, false, false]),
        ("TF", "T", [false, true, false]),
        ("TF", "F", [false, false, false]),
        ("TF", "TF", [false, true, false]),
        ("FF", "FF", [false, false, true]),
        ("TT", "TT", [true, true, false]),
    ];
    for (conditions, rules, [all, any, none]) in table {
        check(RuleKind::All, conditions, rules, all);
        check(RuleKind::Any, conditions, rules, any);
        check(RuleKind::None, conditions, rules, none);
    }
}

#[test]
fn every_top_level_rule_must_hold() {
    let holds = || rule(RuleKind::Any, &[TRUE], vec![]);
    let fails = || rule(RuleKind::Any, &[FALSE], vec![]);
    check_segment(vec![holds(), holds()], true);
    check_segment(vec![holds(), fails()], false);
    check_segment(vec![fails(), holds()], false);
}

#[test]
fn a_segment_without_rules_never_matches() {
    check_segment(vec![], false);
    check_segment(vec![rule(RuleKind::All, &[], vec![])], true);
}

#[test]
fn nested_rules_combine_as_their_own_kind_says() {
    let none_of_any = |inner| rule(RuleKind::None, &[], vec![rule(RuleKind::Any, inner, vec![])]);
    check_segment(vec![none_of_any(&[FALSE, FALSE])], true);
    check_segment(vec![none_of_any(&[FALSE, TRUE])], false);
    check_segment(vec![rule(RuleKind::None, &[], vec![none_of_any(&[FALSE, TRUE])])], true);
}

/// Checks the violation of a condition that may not be stored: its field and how it begins.
fn check_refused(property: &str, operator: Operator, operand: Operand, field: &str, description: &str) {
    let violation = Condition::new(property, operator, operand.clone(), "").unwrap_err();
    assert_eq!(violation.field, field, "{operand:?}");
    assert!(violation.description.starts_with(description), "{violation}");
}

fn text(text: &str) -> Operand {
    Operand::Text(text.into())
}

#[test]
fn a_pattern_must_compile() {
    check_refused("t", Operator::Regex, text("(a"), "operand", "must be a regular expression: ");
    check_refused("t", Operator::Regex, text("[b-a]"), "operand", "must be a regular expression: ");
    condition("t REGEX (?P<year>\\d{4})-(?!00)");
}

#[test]
fn modulo_takes_a_divisor_and_a_remainder() {
    for operand in ["", "2", "2|", "|0", "0|0", "-0.0|1", "2|0|1", "a|b", "inf|1", "1|nan", "2,0"] {
        let rule = "must be a divisor other than 0 and a remainder, joined by `|`, is ";
        check_refused("t", Operator::Modulo, text(operand), "operand", rule);
    }
    condition("t MODULO 2.5|-1e0");
}

#[test]
fn a_percentage_lies_between_0_and_100() {
    for operand in ["", "half", "-0.1", "100.01", "nan", "inf", "50%"] {
        check_refused(
            "t",
            Operator::PercentageSplit,
            text(operand),
            "operand",
            "must be a number from 0 to 100",
        );
    }
    condition("t PERCENTAGE_SPLIT 0");
    condition(" PERCENTAGE_SPLIT 1e2");
}

#[test]
fn a_version_must_be_one_where_it_is_compared() {
    for operator in [Operator::Equal, Operator::NotEqual, Operator::GreaterThan, Operator::LessThanInclusive]
    {
        for operand in ["1.0:semver", "v1.0.0:semver", ":semver"] {
            check_refused(
                "t",
                operator,
                text(operand),
                "operand",
                "must be a semantic version before `:semver`",
            );
        }
    }
    condition("t EQUAL 1.0.0-rc.1+build:semver");
    condition("t CONTAINS v1.0:semver");
}

#[test]
fn only_in_takes_a_list() {
    for operator in Operator::ALL.into_iter().filter(|operator| *operator != Operator::In) {
        check_refused("t", operator, Operand::List(vec![]), "operand", "must be a text");
    }
    let too_many = Operand::List(vec![String::new(); 1_001]);
    check_refused("t", Operator::In, too_many, "operand", "must have at most 1000 items, has 1001");
    let too_long = Operand::List(vec![String::new(), "x".repeat(2_001)]);
    check_refused("t", Operator::In, too_long, "operand[1]", "must have at most 2000 characters, has 2001");
}

#[test]
fn texts_have_limits() {
    let long = "é".repeat(1_001);
    check_refused(
        &long,
        Operator::IsSet,
        text(""),
        "property",
        "must have at most 1000 characters, has 1001",
    );
    check_refused(
        "t",
        Operator::Equal,
        text(&long),
        "operand",
        "must have at most 1000 characters, has 1001",
    );
    check_refused("t\0", Operator::IsSet, text(""), "property", "must not contain the character U+0000");
    check_refused("t", Operator::In, text("a\0"), "operand", "must not contain the character U+0000");
    let violation = Condition::new("t", Operator::IsSet, text(""), "x".repeat(20_001)).unwrap_err();
    assert_eq!(violation.field, "description");
}

#[test]
fn any_property_may_be_a_traits_key() {
    for property in ["", "$", "$.", "$.[", "$.a b", "a.b", "ünï"] {
        assert_eq!(Condition::new(property, Operator::IsSet, text(""), "").unwrap().property(), property);
    }
}

#[test]
fn what_is_never_true_can_always_be_stored() {
    let never = Condition::never("é\0".repeat(5_000), "é".repeat(20_000));
    assert_eq!(never.property().chars().count(), 1_000);
    assert_eq!(never.description().len(), 20_000);
    let stored = serde_json::to_string(&never).unwrap();
    assert_eq!(serde_json::from_str::<Condition>(&stored).unwrap(), never);
    assert_eq!(Condition::never("$..a..b", "").property(), "");
}

#[test]
fn rules_have_limits() {
    assert_eq!(check_rules(&[]), Ok(()));
    let full = rule(RuleKind::Any, &["t IS_SET"; 50], vec![rule(RuleKind::Any, &["t IS_SET"; 50], vec![])]);
    assert_eq!(check_rules(std::slice::from_ref(&full)), Ok(()));
    let violation = check_rules(&[full, rule(RuleKind::Any, &["t IS_SET"], vec![])]).unwrap_err();
    assert_eq!(violation.field, "");
    assert_eq!(violation.description, "must have at most 100 conditions in all, has 101");

    let deep =
        (1..8).fold(rule(RuleKind::All, &[], vec![]), |inner, _| rule(RuleKind::All, &[], vec![inner]));
    assert_eq!(check_rules(std::slice::from_ref(&deep)), Ok(()));
    let shallow = rule(RuleKind::All, &[], vec![]);
    let violation = check_rules(&[shallow, rule(RuleKind::All, &[], vec![deep])]).unwrap_err();
    assert!(violation.field.starts_with("[1].rules[0].rules[0]"), "{violation}");
    assert_eq!(violation.description, "must be at most 8 rules deep");
}

#[test]
fn names_of_operators_and_kinds_can_be_parsed() {
    for operator in Operator::ALL {
        assert_eq!(Operator::parse(operator.as_str()), Ok(operator));
        let stored = serde_json::to_value(operator).unwrap();
        assert_eq!(stored, operator.as_str().to_lowercase());
    }
    assert!(Operator::parse("BOGUS").is_err());
    for kind in RuleKind::ALL {
        assert_eq!(RuleKind::parse(kind.as_str()), Ok(kind));
    }
    assert!(RuleKind::parse("all").is_err());
}

#[test]
fn rules_are_stored_as_json() {
    let list = Operand::List(vec!["a".into(), "b".into()]);
    let mut inner = rule(RuleKind::None, &["t GREATER_THAN 5"], vec![]);
    inner.conditions.push(Condition::new("u", Operator::In, list, "why").unwrap());
    let rules = vec![rule(RuleKind::All, &[], vec![inner])];
    let stored = serde_json::json!([{
        "kind": "all",
        "rules": [{
            "kind": "none",
            "conditions": [
                { "property": "t", "operator": "greater_than", "operand": "5" },
                { "property": "u", "operator": "in", "operand": ["a", "b"], "description": "why" },
            ],
        }],
    }]);
    assert_eq!(serde_json::to_value(&rules).unwrap(), stored);
    assert_eq!(serde_json::from_value::<Vec<Rule>>(stored).unwrap(), rules);
}

#[test]
fn what_is_stored_is_checked_when_read() {
    let stored = r#"{"property": "t", "operator": "modulo", "operand": "0|1"}"#;
    let error = serde_json::from_str::<Condition>(stored).unwrap_err().to_string();
    assert!(error.contains("`operand` must be a divisor other than 0"), "{error}");
}
