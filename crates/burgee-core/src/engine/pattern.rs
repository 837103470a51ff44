//! Regular expressions as Python's `re.match` takes them: anchored at the start, not at the end.
//!
//! Patterns without look-around and back-references run in linear time; the others backtrack, within
//! [`BACKTRACK_LIMIT`]. Where the two languages write the same thing differently, the pattern is
//! translated (see [`translate`]). What Python refuses and this engine understands, such as `\p{L}`, is
//! accepted; `\w` and `\s` differ in a few characters that are neither letters, digits nor blanks.

use fancy_regex::{Regex, RegexBuilder, RegexInput};

use super::translate::{End, translate};

/// How often a pattern may backtrack on one text; a pattern that needs more does not match.
pub(crate) const BACKTRACK_LIMIT: usize = 100_000;
/// Bytes of one compiled pattern.
pub(crate) const PATTERN_BYTES: usize = 4 * 1024 * 1024;
/// Instructions of one compiled pattern that backtracks.
pub(crate) const PATTERN_INSTRUCTIONS: usize = 100_000;

/// A compiled regular expression.
#[derive(Debug)]
pub(crate) struct Pattern {
    regex: Regex,
    /// For texts that end with a line feed, before which Python's `$` also matches; `None` if the
    /// pattern has no `$`.
    before_line_feed: Option<Regex>,
}

impl Pattern {
    /// Compiles a pattern; the error is one line, for people.
    pub(crate) fn compile(pattern: &str) -> Result<Self, String> {
        let plain = translate(pattern, End::OfText)?;
        let regex = build(&plain)?;
        let line_feed = translate(pattern, End::OfTextOrBeforeFinalLineFeed)?;
        let before_line_feed = if line_feed == plain { None } else { Some(build(&line_feed)?) };
        Ok(Self { regex, before_line_feed })
    }

    /// Says whether the text begins with a match; a pattern that gives up does not match.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let regex = match &self.before_line_feed {
            Some(regex) if text.ends_with('\n') => regex,
            Some(_) | None => &self.regex,
        };
        // `is_match_input` of fancy-regex 0.20 forgets the anchor.
        regex.find_input(RegexInput::new(text).anchored(true)).is_ok_and(|found| found.is_some())
    }
}

fn build(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .backtrack_limit(BACKTRACK_LIMIT)
        .delegate_size_limit(PATTERN_BYTES)
        .max_prog_size(PATTERN_INSTRUCTIONS)
        .build()
        .map_err(|error| error.to_string().lines().last().unwrap_or_default().trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_python() {
        // Each result is `bool(re.match(pattern, text))` of CPython 3.11.
        for (pattern, text, expected) in [
            ("a", "abc", true),
            ("b", "abc", false),
            ("^a.*c$", "abc", true),
            ("abc$", "abc\u{a}", true),
            ("abc$", "abc\u{a}\u{a}", false),
            ("abc\\Z", "abc\u{a}", false),
            ("abc\\Z", "abc", true),
            ("(?m)a$", "a\u{a}b", true),
            ("(?m)^b", "a\u{a}b", false),
            ("(?i)ABC", "abc", true),
            ("(?s)a.b", "a\u{a}b", true),
            ("a.b", "a\u{a}b", false),
            ("(?=a)a", "abc", true),
            ("(?!a)b", "abc", false),
            ("a(?!b)", "abc", false),
            ("(?<=a)b", "ab", false),
            ("(?P<x>.)(?P=x)", "aab", true),
            ("(.)\\1", "aab", true),
            ("(.)\\1", "abb", false),
            ("[[]", "[", true),
            ("[[a]b", "[b", true),
            ("[[a]b", "ab", true),
            ("[a&&b]+$", "&", true),
            ("[a&&b]+$", "a&b", true),
            ("[+--]", ",", true),
            ("[+--]", "-", true),
            ("[a-z-9]+$", "-9", true),
            ("[]]", "]", true),
            ("[^]]", "]", false),
            ("[a-]+$", "a-", true),
            ("[-a]+$", "a-", true),
            ("a{,2}b", "aab", true),
            ("a{,2}b", "aaab", false),
            ("a{", "a{", true),
            ("a{x}", "a{x}", true),
            ("a{2", "a{2", true),
            ("x{}", "x{}", true),
            ("a{2}", "aa", true),
            ("a{2,}", "a", false),
            ("{", "{", true),
            ("}", "}", true),
            ("]", "]", true),
            ("\\<a\\>", "<a>", true),
            ("\\-\\#\\ \\&\\~", "-# &~", true),
            ("\\0", "\u{0}", true),
            ("\\101", "A", true),
            ("[\\b]", "\u{8}", true),
            ("[\\101]", "A", true),
            ("\\d+$", "\u{ff11}\u{ff12}", true),
            ("\\w+$", "\u{e9}_9", true),
            ("\\bfoo\\b", "foo bar", true),
            ("\\bfoo\\b", "foobar", false),
            ("(?x) a b # comment", "ab", true),
            ("(?#note)a", "a", true),
            ("a|b", "b", true),
            ("", "anything", true),
            ("a*+a", "aaa", false),
            ("(?>a*)a", "aaa", false),
            ("a++b", "aab", true),
            ("(a)?(?(1)b|c)", "ab", true),
            ("(a)?(?(1)b|c)", "c", true),
            ("\\.", ".", true),
            ("$", "", true),
            ("$", "\u{a}", true),
            ("a$b", "ab", false),
            ("[$]", "$", true),
            ("\\$", "$", true),
            ("(a$|b)", "a\u{a}", true),
            ("\\x41", "A", true),
            ("\\u0041", "A", true),
            ("\u{e9}", "\u{c9}", false),
            ("(?i)\u{e9}", "\u{c9}", true),
            ("(?i:A)b", "ab", true),
            ("\\t", "\u{9}", true),
            ("\\a\\f\\v", "\u{7}\u{c}\u{b}", true),
            ("[^\\d]", "x", true),
            ("[\\w.-]+@[\\w-]+\\.\\w+$", "joe.b-c@exa-mple.com", true),
        ] {
            let compiled = Pattern::compile(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            assert_eq!(compiled.matches(text), expected, "{pattern:?} {text:?}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in ["(", ")", "[", "*a", "a{2,1}", "\\", "(?P<x", "(?P=x)", "[z-a]", "(?z)"] {
            assert!(Pattern::compile(pattern).is_err(), "{pattern}");
        }
        let error = Pattern::compile("(?P<year>").unwrap_err();
        assert!(!error.is_empty() && !error.contains('\n'), "{error}");
    }

    #[test]
    fn classes_of_characters_by_property_are_understood() {
        assert!(Pattern::compile(r"\p{Greek}+$").unwrap().matches("αβγ"));
        assert!(Pattern::compile(r"[\p{L}\d]+$").unwrap().matches("aβ1"));
    }

    #[test]
    fn a_pattern_that_backtracks_too_often_does_not_match() {
        let pattern = Pattern::compile(r"(?=(a+a+)+$)(a)\2*b").unwrap();
        assert!(!pattern.matches(&("a".repeat(2_000) + "!")));
    }

    #[test]
    fn a_pattern_that_is_too_large_is_refused() {
        assert!(Pattern::compile(r"(\w{1000}){1000}").is_err());
    }
}
