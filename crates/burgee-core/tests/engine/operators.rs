//! Every operator on every type of value. The results are those of the reference engine's rules.

use burgee_core::engine::Identity;
use burgee_core::rule::{Condition, Operand, Operator};
use burgee_core::value::TraitValue;

use super::{condition, matches, text, with_trait};

fn check(condition_text: &str, value: Option<TraitValue>, expected: bool) {
    let identity = with_trait("t", value.clone());
    assert_eq!(
        matches(condition(condition_text), Some(&identity)),
        expected,
        "{condition_text}; t={value:?}"
    );
}

fn integer(value: i64) -> Option<TraitValue> {
    Some(TraitValue::Integer(value))
}

fn double(value: f64) -> Option<TraitValue> {
    Some(TraitValue::Double(value))
}

fn boolean(value: bool) -> Option<TraitValue> {
    Some(TraitValue::Boolean(value))
}

/// Checks the six comparisons: whether the value is below, equal to or above the operand.
fn check_order(operand: &str, value: Option<TraitValue>, [below, equal, above]: [bool; 3]) {
    let is_ordered = below || equal || above;
    check(&format!("t EQUAL {operand}"), value.clone(), equal);
    check(&format!("t NOT_EQUAL {operand}"), value.clone(), is_ordered && !equal);
    check(&format!("t GREATER_THAN {operand}"), value.clone(), above);
    check(&format!("t GREATER_THAN_INCLUSIVE {operand}"), value.clone(), above || equal);
    check(&format!("t LESS_THAN {operand}"), value.clone(), below);
    check(&format!("t LESS_THAN_INCLUSIVE {operand}"), value, below || equal);
}

const BELOW: [bool; 3] = [true, false, false];
const EQUAL: [bool; 3] = [false, true, false];
const ABOVE: [bool; 3] = [false, false, true];
/// The operand cannot be cast: every comparison is false, also `NOT_EQUAL`.
const NO_CAST: [bool; 3] = [false, false, false];

#[test]
fn booleans_are_compared_with_anything_but_false() {
    for operand in ["true", "True", "TRUE", "FALSE", "0", "", "abc", "1.0.0:semver"] {
        check_order(operand, boolean(true), EQUAL);
        check_order(operand, boolean(false), BELOW);
    }
    for operand in ["false", "False"] {
        check_order(operand, boolean(true), ABOVE);
        check_order(operand, boolean(false), EQUAL);
    }
}

#[test]
fn integers_are_compared_with_whole_numbers() {
    check_order("7", integer(7), EQUAL);
    check_order("007", integer(7), EQUAL);
    check_order(" +7\t", integer(7), EQUAL);
    check_order("1_000", integer(1000), EQUAL);
    check_order("१२", integer(12), EQUAL);
    check_order("10", integer(9), BELOW);
    check_order("-10", integer(-9), ABOVE);
    for operand in ["7.0", "7e0", "", "seven", "1.0.0:semver", "_7", "0x7", "nan"] {
        check_order(operand, integer(7), NO_CAST);
    }
}

#[test]
fn integers_have_any_size() {
    check_order("9223372036854775808", integer(i64::MAX), BELOW);
    check_order("-9223372036854775809", integer(i64::MIN), ABOVE);
    check_order("9223372036854775807", text("9223372036854775808"), ABOVE);
    check_order("9223372036854775809", text("9223372036854775808"), BELOW);
    check_order("0000100000000000000000000", text("100000000000000000000"), EQUAL);
    check_order("99999999999999999999", text("-100000000000000000000"), BELOW);
    check_order("-99999999999999999999", text("-100000000000000000000"), BELOW);
    check("t IN 100000000000000000000", text("00100000000000000000000"), true);
    check("t IN -100000000000000000000", text("-100000000000000000000"), true);
    check("t REGEX 1000000000000000000000$", text("01000000000000000000000"), true);
    check("t MODULO 10|0", text("100000000000000000000"), true);
    check("t MODULO 10|0", text(&"9".repeat(400)), false);
}

#[test]
fn floats_are_compared_with_numbers() {
    check_order("1", double(1.0), EQUAL);
    check_order("1e3", double(1000.0), EQUAL);
    check_order(" 1_0.5 ", double(10.5), EQUAL);
    check_order("1.5", double(-1.5), BELOW);
    check_order("inf", double(f64::MAX), BELOW);
    check_order("-Infinity", double(f64::MIN), ABOVE);
    check_order("-0.0", double(0.0), EQUAL);
    for operand in ["", "one", "1,5", "1.0.0:semver", "1._5"] {
        check_order(operand, double(1.5), NO_CAST);
    }
}

#[test]
fn what_is_not_a_number_differs_from_everything() {
    for operator in ["EQUAL", "GREATER_THAN", "GREATER_THAN_INCLUSIVE", "LESS_THAN", "LESS_THAN_INCLUSIVE"] {
        check(&format!("t {operator} nan"), double(1.5), false);
        check(&format!("t {operator} 1"), double(f64::NAN), false);
    }
    check("t NOT_EQUAL nan", double(1.5), true);
    check("t NOT_EQUAL nan", double(f64::NAN), true);
    check("t REGEX nan$", double(f64::NAN), true);
    check("t MODULO 2|0", double(f64::NAN), false);
}

#[test]
fn texts_are_compared_by_code_point() {
    check_order("b", text("b"), EQUAL);
    check_order("b", text("a"), BELOW);
    check_order("Z", text("a"), ABOVE);
    check_order("\u{ffff}", text("\u{10000}"), ABOVE);
    check_order("9", text("10a"), BELOW);
    check_order("", text(""), EQUAL);
    check_order(" b", text("b"), ABOVE);
    check_order("nan", text("nan"), EQUAL);
    check_order("1e3", text("1e3"), EQUAL);
    check_order("+1", text("+1"), EQUAL);
}

#[test]
fn texts_of_digits_are_numbers() {
    check_order("1", text("01"), EQUAL);
    check_order("0", text("-0"), EQUAL);
    check_order("9", text("10"), ABOVE);
    check_order("1.00", text("1.0"), EQUAL);
    check_order("2", text("2.5"), ABOVE);
    check_order("1.0", text("1"), NO_CAST);
    check_order("١", text("١"), EQUAL); // not an ASCII digit: a text
    check_order("1.", text("1."), EQUAL);
    check_order(".5", text(".5"), EQUAL);
    check_order("-", text("-"), EQUAL);
    check_order("1\n", text("1\n"), EQUAL);
}

#[test]
fn versions_are_compared_by_precedence() {
    check_order("1.2.3:semver", text("1.2.3"), EQUAL);
    check_order("1.9.0:semver", text("1.10.0"), ABOVE);
    check_order("1.0.0:semver", text("1.0.0-alpha"), BELOW);
    check_order("1.0.0-alpha.2:semver", text("1.0.0-alpha.10"), ABOVE);
    check_order("1.0.0-alpha.1:semver", text("1.0.0-alpha.beta"), ABOVE);
    check_order("1.0.0+b:semver", text("1.0.0+c"), EQUAL);
    for version in ["v1.0.0", "1.0.0.0", "01.0.0", "1.0.0-01", "", "one"] {
        check_order("1.0.0:semver", text(version), NO_CAST);
    }
    check_order("1.0.0:semver", text("1.0"), NO_CAST); // a float
    check_order("1.0.0:semver", text("1"), NO_CAST); // an integer
}

#[test]
fn only_comparisons_know_versions() {
    check("t CONTAINS 1.0.0:semver", text("1.0.0"), false);
    check("t CONTAINS 1.0.0:semver", text("is 1.0.0:semver"), true);
    check("t NOT_CONTAINS 1.0.0:semver", text("1.0.0"), true);
    check("t REGEX 1.0.0:semver", text("1.0.0"), false);
    check("t IN 1.0.0:semver", text("1.0.0"), false);
}

#[test]
fn contains_looks_at_texts_only() {
    check("t CONTAINS b", text("abc"), true);
    check("t CONTAINS B", text("abc"), false);
    check("t CONTAINS ", text("abc"), true);
    check("t NOT_CONTAINS z", text("abc"), true);
    check("t NOT_CONTAINS b", text("abc"), false);
    check("t NOT_CONTAINS ", text("abc"), false);
    for value in [integer(123), double(1.5), boolean(true), text("123"), text("1.5"), None] {
        check("t CONTAINS 1", value.clone(), false);
        check("t CONTAINS ", value.clone(), false);
        check("t NOT_CONTAINS z", value, false);
    }
}

#[test]
fn a_pattern_is_anchored_at_the_start_only() {
    check("t REGEX a", text("abc"), true);
    check("t REGEX b", text("abc"), false);
    check("t REGEX .*c$", text("abc"), true);
    check("t REGEX b|a", text("abc"), true);
    check("t REGEX ab$", text("abc"), false);
    check("t REGEX ", text(""), true);
}

#[test]
fn a_pattern_sees_the_text_that_python_prints() {
    check("t REGEX True$", boolean(true), true);
    check("t REGEX false", boolean(false), false);
    check("t REGEX -42$", integer(-42), true);
    check("t REGEX 1\\.0$", double(1.0), true);
    check("t REGEX 1e\\+16$", double(1e16), true);
    check("t REGEX 1e-05$", double(0.00001), true);
    check("t REGEX 7$", text("007"), true);
    check("t REGEX 1\\.5$", text("01.50"), true);
    check("t REGEX .*", None, false);
}

#[test]
fn modulo_has_the_sign_of_the_divisor() {
    check("t MODULO 3|1", integer(-2), true);
    check("t MODULO -3|-2", integer(1), true);
    check("t MODULO 3|2", integer(-2), false);
    check("t MODULO 2|0", text("4.0"), true);
    check("t MODULO 0.5|0.25", double(1.75), true);
    check("t MODULO 2|1", boolean(true), true);
    check("t MODULO 2|0", boolean(false), true);
    check("t MODULO 3|-0.0", integer(3), true);
    check("t MODULO  2_0 | ١ ", integer(41), true);
    check("t MODULO 2|0", text("four"), false);
    check("t MODULO 2|0", None, false);
}

#[test]
fn in_takes_items_joined_by_commas_without_trimming() {
    check("t IN a,b", text("b"), true);
    check("t IN a, b", text("b"), false);
    check("t IN a, b", text(" b"), true);
    check("t IN 1,2", integer(2), true);
    check("t IN 1, 2", integer(2), false);
    check("t IN 01", text("01"), false);
    check("t IN 1", text("01"), true);
    check("t IN +1", integer(1), false);
    check("t IN ", text(""), true);
    check("t IN a,,b", text(""), true);
    check("t IN a", text(""), false);
    check("t IN a", None, false);
}

#[test]
fn in_takes_a_json_array() {
    check("t IN [\"a,b\", \"c\"]", text("a,b"), true);
    check("t IN [\"\\u0061\"]", text("a"), true);
    check("t IN [1, 2]", integer(1), true);
    check("t IN [\"1\"]", text("1"), true);
    check("t IN [-0]", integer(0), true);
    check("t IN [123456789012345678901234567890]", text("123456789012345678901234567890"), true);
    check("t IN [true, null, [1]]", text("True"), true);
    check("t IN [true, null, [1]]", text("None"), true);
    check("t IN [true, null, [1]]", text("true"), false);
    check("t IN [1e400]", text("inf"), true);
    check("t IN []", text(""), false);
    check("t IN [\"a\"", text("[\"a\""), true);
    check("t IN [a,b]", text("[a"), true);
    check("t IN  [\"a\"]", text("a"), false);
    check("t IN {\"a\":1}", text("{\"a\":1}"), true);
}

#[test]
fn booleans_and_floats_are_in_no_list() {
    for value in [boolean(true), double(1.5), text("1.5"), double(1.0)] {
        check("t IN true,True,1.5,1.0,1", value.clone(), false);
        check("t IN [true, 1.5, 1.0, \"1.5\"]", value, false);
    }
}

#[test]
fn in_takes_a_list() {
    let check_list = |items: &[&str], value: Option<TraitValue>, expected| {
        let operand = Operand::List(items.iter().map(|item| (*item).to_owned()).collect());
        let condition = Condition::new("t", Operator::In, operand, "").unwrap();
        assert_eq!(matches(condition, Some(&with_trait("t", value))), expected, "{items:?}");
    };
    check_list(&["a,b", "[1]"], text("a,b"), true);
    check_list(&["a,b", "[1]"], text("a"), false);
    check_list(&["a,b", "[1]"], text("[1]"), true);
    check_list(&["2", "1"], integer(1), true);
    check_list(&[], text(""), false);
}

#[test]
fn what_is_never_true_is_never_true() {
    for value in [None, text(""), integer(1), boolean(true)] {
        assert!(!matches(Condition::never("t", "was REGEX ("), Some(&with_trait("t", value))));
    }
}

#[test]
fn a_null_is_not_set() {
    for value in [text(""), integer(0), boolean(false), double(f64::NAN)] {
        check("t IS_SET", value.clone(), true);
        check("t IS_NOT_SET", value, false);
    }
    check("t IS_SET", None, false);
    check("t IS_NOT_SET", None, true);
    check("other IS_SET", text("x"), false);
    check("other IS_NOT_SET", text("x"), true);
    assert!(matches(condition("t IS_NOT_SET"), None));
    assert!(!matches(condition("t IS_SET"), None));
}

#[test]
fn what_is_not_set_matches_nothing() {
    for text in [
        "t EQUAL x",
        "t NOT_EQUAL x",
        "t GREATER_THAN 0",
        "t LESS_THAN_INCLUSIVE 0",
        "t CONTAINS ",
        "t NOT_CONTAINS x",
        "t REGEX .*",
        "t PERCENTAGE_SPLIT 100",
        "t IN ",
        "t MODULO 1|0",
    ] {
        check(text, None, false);
        assert!(!matches(condition(text), Some(&Identity::new("user", []))), "{text}");
        assert!(!matches(condition(text), None), "{text}");
    }
}

#[test]
fn a_split_takes_buckets_up_to_its_threshold() {
    // The bucket of `seg,ünïcode`.
    check("t PERCENTAGE_SPLIT 10.032006401280256", text("ünïcode"), true);
    check("t PERCENTAGE_SPLIT 10.032006401280254", text("ünïcode"), false);
    check("t PERCENTAGE_SPLIT 100", text("x"), true);
    check("t PERCENTAGE_SPLIT 1e2", integer(5), true);
    check("t PERCENTAGE_SPLIT 0", text("x"), false);
}

#[test]
fn a_split_hashes_the_text_that_python_prints() {
    // MD5 of `seg,True`, `seg,1.0`, `seg,1e+16` and `seg,7`, modulo 9999, over 9998.
    for (value, remainder) in
        [(boolean(true), 9051.0), (double(1.0), 9985.0), (double(1e16), 7230.0), (text("007"), 7154.0)]
    {
        let bucket: f64 = remainder / 9998.0 * 100.0;
        check(&format!("t PERCENTAGE_SPLIT {bucket}"), value.clone(), true);
        check(&format!("t PERCENTAGE_SPLIT {}", bucket.next_down()), value, false);
    }
}

#[test]
fn a_split_without_a_property_hashes_the_identitys_key() {
    let condition = || condition(" PERCENTAGE_SPLIT 50");
    // MD5 of `seg,env_a` and so on, modulo 9999, is compared with half of 9998.
    for (identifier, expected) in
        [("a", true), ("b", false), ("c", false), ("d", true), ("e", true), ("f", true)]
    {
        let identity = Identity::new(identifier, []);
        assert_eq!(matches(condition(), Some(&identity)), expected, "{identifier}");
        let composite = Identity::new("other", []).with_key(Some(format!("env_{identifier}")));
        assert_eq!(matches(condition(), Some(&composite)), expected, "{identifier}");
        let empty = Identity::new(identifier, []).with_key(Some(String::new()));
        assert_eq!(matches(condition(), Some(&empty)), expected, "{identifier}");
    }
    assert!(!matches(condition(), None));
}

#[test]
fn a_key_of_digits_is_hashed_as_it_is() {
    // The remainder of `seg,007` is 6185, that of `seg,7` is 7154.
    let identity = Identity::new("user", []).with_key(Some("007".into()));
    let threshold = 6185.0 / 9998.0 * 100.0;
    let check = |property: &str, expected| {
        let split = condition(&format!("{property} PERCENTAGE_SPLIT {threshold}"));
        assert_eq!(matches(split, Some(&identity)), expected, "{property}");
    };
    check("", true);
    check("$.identity.key", false);
}
