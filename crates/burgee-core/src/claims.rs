//! Rules over the claims of a token: which claim, and what its value must look like.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Violation;
use crate::limits::{CLAIM_CHARACTERS, CLAIM_PATTERN_CHARACTERS, PATTERNS_PER_CLAIM_RULE};
use crate::value::{check_characters, check_storable};

/// Asks for a claim whose value matches at least one of the patterns.
///
/// In a pattern `*` matches any run of characters, also an empty one; everything else stands for itself, and case counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Unchecked", into = "Unchecked")]
pub struct ClaimRule {
    claim: String,
    patterns: Vec<String>,
}

/// A rule as it is written down.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    claim: String,
    patterns: Vec<String>,
}

impl ClaimRule {
    /// Creates a rule, or says which of `claim` and `patterns[i]` breaks which rule.
    ///
    /// A claim is found as [`find`] does.
    pub fn new(claim: impl Into<String>, patterns: Vec<String>) -> Result<Self, Violation> {
        let claim = claim.into();
        check_claim(&claim).map_err(|violation| violation.at("claim"))?;
        if !(1..=PATTERNS_PER_CLAIM_RULE).contains(&patterns.len()) {
            let description =
                format!("must have 1 to {PATTERNS_PER_CLAIM_RULE} items, has {}", patterns.len());
            return Err(Violation::new("patterns", description));
        }
        for (index, pattern) in patterns.iter().enumerate() {
            check_pattern(pattern).map_err(|violation| violation.at(format_args!("patterns[{index}]")))?;
        }
        Ok(Self { claim, patterns })
    }

    /// Returns the path of the claim.
    pub fn claim(&self) -> &str {
        &self.claim
    }

    /// Returns the patterns, of which one must match.
    pub fn patterns(&self) -> &[String] {
        &self.patterns
    }

    /// Tells whether the claim is there and matches.
    ///
    /// Numbers and booleans are compared as JSON writes them. A list matches if any of its items does; null, an object and
    /// a list inside a list match nothing.
    pub fn matches(&self, claims: &Map<String, Value>) -> bool {
        match find(claims, &self.claim) {
            Some(Value::Array(items)) => items.iter().any(|item| self.matches_scalar(item)),
            Some(value) => self.matches_scalar(value),
            None => false,
        }
    }

    fn matches_scalar(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.matches_text(text),
            Value::Number(number) => self.matches_text(&number.to_string()),
            Value::Bool(true) => self.matches_text("true"),
            Value::Bool(false) => self.matches_text("false"),
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        }
    }

    fn matches_text(&self, text: &str) -> bool {
        self.patterns.iter().any(|pattern| matches(pattern, text))
    }
}

impl TryFrom<Unchecked> for ClaimRule {
    type Error = Violation;

    fn try_from(rule: Unchecked) -> Result<Self, Violation> {
        let Unchecked { claim, patterns } = rule;
        Self::new(claim, patterns)
    }
}

impl From<ClaimRule> for Unchecked {
    fn from(rule: ClaimRule) -> Self {
        let ClaimRule { claim, patterns } = rule;
        Self { claim, patterns }
    }
}

/// Checks the path of a claim: 1 to 200 characters, no empty name between its dots. The violation's field is empty.
pub fn check_claim(path: &str) -> Result<(), Violation> {
    if path.is_empty() {
        return Err(Violation::new("", format!("must have 1 to {CLAIM_CHARACTERS} characters, is empty")));
    }
    check_characters(path, CLAIM_CHARACTERS)?;
    check_storable(path)?;
    if path.split('.').any(str::is_empty) {
        return Err(Violation::new("", format!("must have a name on both sides of each dot, is `{path}`")));
    }
    Ok(())
}

fn check_pattern(pattern: &str) -> Result<(), Violation> {
    if pattern.is_empty() {
        let description = format!("must have 1 to {CLAIM_PATTERN_CHARACTERS} characters, is empty");
        return Err(Violation::new("", description));
    }
    check_characters(pattern, CLAIM_PATTERN_CHARACTERS)?;
    check_storable(pattern)
}

/// Returns the claim at a path such as `realm_access.roles`.
///
/// A name may have dots itself (`kubernetes.io`, `https://example.com/groups`): the longest name that leads to a value
/// wins.
pub fn find<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    // Each object is reached by one way only, so this looks at no object twice.
    path.rmatch_indices('.').find_map(|(dot, _)| match claims.get(&path[..dot]) {
        Some(Value::Object(inner)) => find(inner, &path[dot + 1..]),
        _ => None,
    })
}

/// Tells whether a text matches a pattern, in time linear in both: the leftmost place of each piece between two `*` is as
/// good as any other, so nothing is ever tried twice.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, pieces)) = pattern.split_once('*') else { return pattern == text };
    let (pieces, last) = pieces.rsplit_once('*').unwrap_or(("", pieces));
    let Some(rest) = text.strip_prefix(first) else { return false };
    let Some(mut rest) = rest.strip_suffix(last) else { return false };
    for piece in pieces.split('*') {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(claims) => claims,
            other => panic!("{other}"),
        }
    }

    fn check(pattern: &str, text: &str, expected: bool) {
        assert_eq!(matches(pattern, text), expected, "`{pattern}` and `{text}`");
    }

    #[test]
    fn a_star_matches_any_run_of_characters() {
        check("*", "", true);
        check("*", "anything", true);
        check("**", "", true);
        check("repo:acme/*", "repo:acme/shop:ref:refs/heads/main", true);
        check("repo:acme/*", "repo:acme", false);
        check("*/main", "refs/heads/main", true);
        check("*/main", "refs/heads/main2", false);
        check("repo:*:ref:*/main", "repo:acme/shop:ref:refs/heads/main", true);
        check("a*b*c", "a-b-b-c", true);
        check("a*b*c", "a-c-b", false);
        check("*é*", "caféine", true);
    }

    #[test]
    fn pieces_of_a_pattern_do_not_overlap() {
        check("ab*ba", "aba", false);
        check("ab*ba", "abba", true);
        check("a*a", "a", false);
        check("*ab*ab*", "aab", false);
        check("*ab*ab*", "abab", true);
    }

    #[test]
    fn everything_but_the_star_stands_for_itself() {
        check("main", "main", true);
        check("main", "Main", false);
        check("ma.n", "main", false);
        check("ma?n", "main", false);
        check("[a-z]+", "abc", false);
        check("a\\*", "a\\bc", true);
        check(" main", "main", false);
    }

    #[test]
    fn a_long_pattern_of_stars_takes_linear_time() {
        // A matcher that goes back would need about 20,000 to the power of 249 steps.
        check(&"*a".repeat(249), &format!("{}b", "a".repeat(20_000)), false);
        check(&format!("{}*", "*a".repeat(249)), &"a".repeat(20_000), true);
    }

    fn check_rule(claim: &str, patterns: &[&str], value: Value, expected: bool) {
        let rule = ClaimRule::new(claim, patterns.iter().map(ToString::to_string).collect()).unwrap();
        assert_eq!(rule.matches(&claims(value.clone())), expected, "{rule:?} and {value}");
    }

    #[test]
    fn strings_numbers_and_booleans_are_compared_as_text() {
        check_rule("sub", &["a", "b*"], json!({"sub": "bcd"}), true);
        check_rule("sub", &["a", "b*"], json!({"sub": "cd"}), false);
        check_rule("id", &["17"], json!({"id": 17}), true);
        check_rule("id", &["17"], json!({"id": "17"}), true);
        check_rule("id", &["1.5"], json!({"id": 1.5}), true);
        check_rule("protected", &["true"], json!({"protected": true}), true);
        check_rule("protected", &["true"], json!({"protected": false}), false);
    }

    #[test]
    fn a_list_matches_if_any_item_does() {
        check_rule("groups", &["admin*"], json!({"groups": ["users", "admins"]}), true);
        check_rule("groups", &["admin*"], json!({"groups": ["users"]}), false);
        check_rule("groups", &["*"], json!({"groups": []}), false);
        check_rule("groups", &["*"], json!({"groups": [["users"], null, {}]}), false);
    }

    #[test]
    fn what_is_missing_never_matches() {
        check_rule("sub", &["*"], json!({}), false);
        check_rule("sub", &["*"], json!({"sub": null}), false);
        check_rule("sub", &["*"], json!({"sub": {"a": 1}}), false);
        check_rule("sub.a", &["*"], json!({"sub": "a"}), false);
        check_rule("sub.a", &["*"], json!({"a": "a"}), false);
    }

    #[test]
    fn a_path_leads_into_objects_and_its_names_may_have_dots() {
        check_rule("realm_access.roles", &["admin"], json!({"realm_access": {"roles": ["admin"]}}), true);
        check_rule(
            "https://acme.example/groups",
            &["a"],
            json!({"https://acme.example/groups": ["a"]}),
            true,
        );
        check_rule(
            "kubernetes.io.namespace",
            &["shop"],
            json!({"kubernetes.io": {"namespace": "shop"}}),
            true,
        );
        check_rule("a.b.c", &["1"], json!({"a": {"b.c": 1}}), true);
        check_rule("a.b.c", &["1"], json!({"a.b": {"d": 2}, "a": {"b": {"c": 1}}}), true);
        check_rule("a.b", &["2"], json!({"a.b": 1, "a": {"b": 2}}), false);
    }

    fn check_refused(claim: &str, patterns: Vec<String>, field: &str) {
        assert_eq!(ClaimRule::new(claim, patterns).unwrap_err().field, field);
    }

    #[test]
    fn a_rule_has_limits() {
        let any = || vec!["*".to_owned()];
        check_refused("", any(), "claim");
        check_refused(&"c".repeat(201), any(), "claim");
        check_refused("a..b", any(), "claim");
        check_refused(".a", any(), "claim");
        check_refused("a\0", any(), "claim");
        check_refused("sub", vec![], "patterns");
        check_refused("sub", vec!["*".to_owned(); 51], "patterns");
        check_refused("sub", vec!["*".to_owned(), String::new()], "patterns[1]");
        check_refused("sub", vec!["é".repeat(501)], "patterns[0]");
        assert!(ClaimRule::new("é".repeat(200), vec!["é".repeat(500); 50]).is_ok());
    }

    #[test]
    fn a_rule_is_checked_when_read() {
        let text = r#"{"claim":"sub","patterns":["repo:*"]}"#;
        let rule: ClaimRule = serde_json::from_str(text).unwrap();
        assert_eq!((rule.claim(), rule.patterns()), ("sub", ["repo:*".to_owned()].as_slice()));
        assert_eq!(serde_json::to_string(&rule).unwrap(), text);
        let error = serde_json::from_str::<ClaimRule>(r#"{"claim":"sub","patterns":[]}"#).unwrap_err();
        assert!(error.to_string().contains("`patterns` must have 1 to 50 items"), "{error}");
        assert!(serde_json::from_str::<ClaimRule>(r#"{"claim":"a","patterns":["*"],"x":1}"#).is_err());
    }

    /// Matches by trying everything.
    fn reference(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|from| reference(rest, &text[from..])),
            Some((first, rest)) => text.first() == Some(first) && reference(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_trying_everything(pattern in "[abé*]{0,8}", text in "[abé]{0,10}") {
            let characters = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches(&pattern, &text), reference(&characters(&pattern), &characters(&text)));
        }

        #[test]
        fn a_text_matches_itself_with_any_part_replaced_by_a_star(text in "[^*]{0,20}", from: usize, length: usize) {
            let characters: Vec<char> = text.chars().collect();
            let from = from % (characters.len() + 1);
            let until = from + length % (characters.len() + 1 - from);
            let pattern: String =
                characters[..from].iter().chain(&['*']).chain(&characters[until..]).collect();
            prop_assert!(matches(&pattern, &text));
        }

        #[test]
        fn a_pattern_without_a_star_matches_only_itself(pattern in "[^*]{0,5}", text in "[ab.?]{0,5}") {
            prop_assert!(matches(&pattern, &pattern));
            prop_assert_eq!(matches(&pattern, &text), pattern == text);
        }
    }
}
