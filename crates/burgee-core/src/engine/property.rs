//! Properties of conditions, resolved when compiled.

use std::ops::Deref;

use serde_json::Value as Json;
use serde_json_path::JsonPath;

use super::scalar::OwnedScalar;
use crate::Violation;
use crate::limits::{PATH_BRANCHES, PATH_DESCENTS, PATH_FILTERS, PATH_PARENTHESES};

/// Where the value of a property comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// A trait.
    Trait(String),
    /// A path, unless the identity has a trait whose key is exactly the path.
    Path { path: String, target: Target },
}

/// Where a path leads.
#[derive(Debug)]
pub(super) enum Target {
    /// To the same value for every identity.
    Constant(OwnedScalar),
    /// To the identity's identifier.
    Identifier,
    /// To the identity's key.
    Key,
    /// To a trait.
    Trait(String),
    /// Below the identity, in a way that a library must find.
    Identity(JsonPath),
    /// Anywhere: wildcards at the top, and filters.
    Anywhere(JsonPath),
}

impl Source {
    /// Resolves the property of a condition. `document` is the context without an identity, made if it is needed.
    pub(super) fn new(property: &str, document: &impl Deref<Target = Json>) -> Self {
        if !property.starts_with("$.") {
            return Self::Trait(property.to_owned());
        }
        Self::Path { path: property.to_owned(), target: Target::new(property, document) }
    }
}

impl Target {
    fn new(path: &str, document: &impl Deref<Target = Json>) -> Self {
        if let Some(names) = parse_plain(path) {
            return match names.as_slice() {
                ["identity", "identifier"] => Self::Identifier,
                ["identity", "key"] => Self::Key,
                ["identity", "traits", key] => Self::Trait((*key).to_owned()),
                names => {
                    let node = names.iter().try_fold(&**document, |node, name| node.as_object()?.get(*name));
                    Self::Constant(OwnedScalar::of_node(node))
                }
            };
        }
        let Some(query) = parse(path) else { return Self::Constant(OwnedScalar::Unset) };
        // A filter may look at the whole context wherever it stands, and so may `$..` and `$.*`.
        match first_name(&path[2..]) {
            _ if path.contains('?') => Self::Anywhere(query),
            Some("identity") => Self::Identity(query),
            Some(_) => Self::Constant(OwnedScalar::of_node(query.query(document).first())),
            None => Self::Anywhere(query),
        }
    }
}

/// Parses a path, if it is valid.
pub(super) fn parse(path: &str) -> Option<JsonPath> {
    // `serde_json_path` 0.7 panics where a path ends within an escape, as in `$['\u` and `$['\uD83D\uD`; no valid one does.
    let ends_within_escape = path.trim_end_matches(['d', 'D']).ends_with(r"\u");
    if ends_within_escape { None } else { JsonPath::parse(path).ok() }
}

/// Checks that a path takes little time and stack to parse and to follow, whatever the context holds: a path that finds a
/// million values would be followed with every evaluation. The violation's field is empty.
pub(crate) fn check_path(path: &str) -> Result<(), Violation> {
    if !path.starts_with("$.") || parse_plain(path).is_some() {
        return Ok(());
    }
    // Symbols within names count, too: few are.
    let is_branch = |symbol: &char| matches!(symbol, '*' | ',' | ':');
    let checks = [
        ("descents (`..`)", path.matches("..").count(), PATH_DESCENTS),
        ("filters (`?`)", path.matches('?').count(), PATH_FILTERS),
        ("parentheses", path.matches('(').count(), PATH_PARENTHESES),
        ("wildcards, commas and colons", path.chars().filter(is_branch).count(), PATH_BRANCHES),
    ];
    if let Some((what, count, most)) = checks.into_iter().find(|(_, count, most)| count > most) {
        return Err(Violation::new("", format!("must be a path with at most {most} {what}, has {count}")));
    }
    // The library compiles their pattern anew for every value that it looks at.
    match ["match", "search"].into_iter().find(|function| path.contains(function) && path.contains('?')) {
        None => Ok(()),
        Some(function) => {
            Err(Violation::new("", format!("must be a path without the function `{function}`")))
        }
    }
}

/// Reads a path that is nothing but names without escapes: `$.a.b`, `$.a['b']`, `$.a["b"]`.
fn parse_plain(path: &str) -> Option<Vec<&str>> {
    let mut names = Vec::new();
    let mut rest = path.strip_prefix('$')?;
    while !rest.is_empty() {
        let name = match rest.strip_prefix('.') {
            Some(after) => {
                let name = first_name(after)?;
                rest = &after[name.len()..];
                name
            }
            None => {
                let quoted = rest.strip_prefix('[')?;
                let quote = quoted.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
                let (name, after) = quoted[1..].split_once(quote)?;
                rest = after.strip_prefix(']')?;
                name
            }
        };
        if name.contains(|character: char| character == '\\' || character < ' ') {
            return None;
        }
        names.push(name);
    }
    Some(names)
}

/// Returns the name that the text begins with, as RFC 9535 allows it without quotes.
fn first_name(text: &str) -> Option<&str> {
    let is_first =
        |character: char| character.is_ascii_alphabetic() || character == '_' || !character.is_ascii();
    let end = text
        .find(|character: char| !is_first(character) && !character.is_ascii_digit())
        .unwrap_or(text.len());
    text.starts_with(is_first).then(|| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_are_names() {
        for (path, names) in [
            ("$.a", vec!["a"]),
            ("$.a.b_1", vec!["a", "b_1"]),
            ("$.a['b c'].d", vec!["a", "b c", "d"]),
            ("$.a[\"b'c\"]", vec!["a", "b'c"]),
            ("$.ünï['']", vec!["ünï", ""]),
        ] {
            assert_eq!(parse_plain(path), Some(names), "{path}");
        }
    }

    #[test]
    fn a_path_is_quick_to_follow() {
        let check = |path: &str, expected: Result<(), &str>| {
            let checked = check_path(path).map_err(|violation| violation.description);
            assert_eq!(
                checked.as_ref().map_err(String::as_str),
                expected.as_ref().map_err(|text| *text),
                "{path}"
            );
        };
        check("$.a..b[?@.c==1][0,1][*]", Ok(()));
        check("$.a['..??**,,::']..b", Err("must be a path with at most 1 descents (`..`), has 2"));
        check("$.a['..??**,,::']", Ok(()));
        check("..??**,,::", Ok(()));
        check("$..*..*", Err("must be a path with at most 1 descents (`..`), has 2"));
        check("$.a[?@[?@.b]]", Err("must be a path with at most 1 filters (`?`), has 2"));
        check("$.a[?((((((((@.b))))))))]", Ok(()));
        check("$.a[?(((((((((@.b)))))))))]", Err("must be a path with at most 8 parentheses, has 9"));
        check("$.a[*,*][*]", Ok(()));
        check("$.a[*,*][*,*]", Err("must be a path with at most 4 wildcards, commas and colons, has 6"));
        check("$.a[?match(@.b,'x')]", Err("must be a path without the function `match`"));
        check("$.a.match[0]", Ok(()));
    }

    #[test]
    fn a_path_that_ends_within_an_escape_is_none() {
        for path in [
            r"$.a['\u",
            r#"$.a["\u"#,
            r"$.a['\ud",
            r"$.a['\uD83D\u",
            r"$.a['\uD83D\uD",
            r"$.a[?@['\u",
            r"$.a[?@=='\u",
        ] {
            assert_eq!(parse(path), None, "{path}");
        }
        assert!(parse(r"$.a['\uD83D\uDE00']").is_some());
    }

    #[test]
    fn other_paths_are_not() {
        for path in [
            "$.",
            "$.a.",
            "$.1a",
            "$.a-b",
            "$.*",
            "$..a",
            "$.a[0]",
            "$.a['b",
            "$.a['b'",
            "$.a['\\u0041']",
            "$.a .b",
            "$.a['b','c']",
        ] {
            assert_eq!(parse_plain(path), None, "{path}");
        }
    }
}
