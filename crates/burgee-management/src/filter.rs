//! Filters of lists: terms such as `tag=beta` and `key:"dark mode"`, joined with ` AND `.

use burgee_core::Violation;

/// How a term compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// `=`
    Equals,
    /// `:`
    Has,
    /// `>=`
    AtLeast,
    /// `<`
    Below,
}

impl Comparison {
    /// All of them.
    const ALL: [Self; 4] = [Self::Equals, Self::Has, Self::AtLeast, Self::Below];

    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Equals => "=",
            Self::Has => ":",
            Self::AtLeast => ">=",
            Self::Below => "<",
        }
    }
}

/// One term of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Term {
    /// What is compared.
    pub(crate) field: String,
    /// How.
    pub(crate) comparison: Comparison,
    /// With what.
    pub(crate) text: String,
}

impl Term {
    /// Creates the violation of a text that is none of those that the term takes.
    pub(crate) fn must_be(&self, what: &str) -> Violation {
        violation(format!(
            "must have {what} behind `{}{}`, has `{}`",
            self.field,
            self.comparison.symbol(),
            self.text
        ))
    }

    /// Reads the text as true or false.
    pub(crate) fn boolean(&self) -> Result<bool, Violation> {
        match self.text.as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(self.must_be("`true` or `false`")),
        }
    }
}

/// Parses a filter; no terms pass everything.
pub(crate) fn terms(filter: &str) -> Result<Vec<Term>, Violation> {
    let mut rest = filter.trim();
    let mut terms = Vec::new();
    while !rest.is_empty() {
        let (term, behind) = term(rest)?;
        terms.push(term);
        rest = match behind.trim_start() {
            "" => "",
            joined => joined
                .strip_prefix("AND")
                .filter(|next| {
                    next.starts_with(char::is_whitespace) && !next.trim().is_empty() && behind != joined
                })
                .ok_or_else(|| violation(format!("must have ` AND ` and a term before `{joined}`")))?
                .trim_start(),
        };
    }
    Ok(terms)
}

/// Creates the violation of a term that the list does not have.
pub(crate) fn unknown(term: &Term, known: &[&str]) -> Violation {
    let known = known.iter().map(|term| format!("`{term}`")).collect::<Vec<_>>().join(", ");
    violation(format!("must be of {known}, has `{}{}`", term.field, term.comparison.symbol()))
}

fn violation(description: String) -> Violation {
    Violation::new("filter", description)
}

fn term(text: &str) -> Result<(Term, &str), Violation> {
    let is_name = |symbol: char| symbol.is_ascii_alphanumeric() || symbol == '_';
    let end = text.find(|symbol| !is_name(symbol)).unwrap_or(text.len());
    let (field, behind) = text.split_at(end);
    let compared = Comparison::ALL
        .into_iter()
        .filter(|_| !field.is_empty())
        .find_map(|comparison| Some((comparison, behind.strip_prefix(comparison.symbol())?)));
    let (comparison, behind) = compared
        .ok_or_else(|| violation(format!("must have a field and `=`, `:`, `>=` or `<` at `{text}`")))?;
    let (value, behind) = if behind.starts_with('"') { quoted(behind)? } else { bare(behind)? };
    Ok((Term { field: field.to_owned(), comparison, text: value }, behind))
}

fn bare(text: &str) -> Result<(String, &str), Violation> {
    let (value, behind) = text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()));
    if value.is_empty() || value.contains('"') {
        return Err(violation(format!(
            "must have text at `{text}`, in double quotes if it is empty or has any"
        )));
    }
    Ok((value.to_owned(), behind))
}

/// Reads text in double quotes, in which `\` stands before `"` and `\`.
fn quoted(text: &str) -> Result<(String, &str), Violation> {
    let mut value = String::new();
    let mut symbols = text.char_indices().skip(1);
    while let Some((index, symbol)) = symbols.next() {
        match symbol {
            '"' => {
                let behind = &text[index + 1..];
                if behind.starts_with(|symbol: char| !symbol.is_whitespace()) {
                    return Err(violation(format!("must have a blank before `{behind}`")));
                }
                return Ok((value, behind));
            }
            '\\' => match symbols.next() {
                Some((_, escaped @ ('"' | '\\'))) => value.push(escaped),
                _ => return Err(violation(r#"must have `\` only before `"` and `\`"#.to_owned())),
            },
            _ => value.push(symbol),
        }
    }
    Err(violation(format!("must have a closing quote behind `{text}`")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(filter: &str, expected: Result<&[(&str, &str, &str)], &str>) {
        let parsed = terms(filter);
        let parsed = parsed.as_ref().map_err(|violation| violation.description.as_str()).map(|terms| {
            let terms = terms.iter().map(|term| (&*term.field, term.comparison.symbol(), &*term.text));
            terms.collect::<Vec<_>>()
        });
        assert_eq!(parsed, expected.map(<[_]>::to_vec), "{filter}");
    }

    #[test]
    fn terms_are_joined_with_and() {
        check("", Ok(&[]));
        check("  ", Ok(&[]));
        check("tag=beta", Ok(&[("tag", "=", "beta")]));
        check("key:dark AND tag=a=b", Ok(&[("key", ":", "dark"), ("tag", "=", "a=b")]));
        check(" key:\"dark mode\"  AND  tag=\"\" ", Ok(&[("key", ":", "dark mode"), ("tag", "=", "")]));
        check("time>=5 AND time<7", Ok(&[("time", ">=", "5"), ("time", "<", "7")]));
        check(r#"key="a \"b\" \\ AND c""#, Ok(&[("key", "=", r#"a "b" \ AND c"#)]));
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        check("tag", Err("must have a field and `=`, `:`, `>=` or `<` at `tag`"));
        check("=x", Err("must have a field and `=`, `:`, `>=` or `<` at `=x`"));
        check("tag = x", Err("must have a field and `=`, `:`, `>=` or `<` at `tag = x`"));
        check("tag=", Err("must have text at ``, in double quotes if it is empty or has any"));
        check("tag=a tag=b", Err("must have ` AND ` and a term before `tag=b`"));
        check("tag=a OR tag=b", Err("must have ` AND ` and a term before `OR tag=b`"));
        check("tag=a AND", Err("must have ` AND ` and a term before `AND`"));
        check("tag=a ANDtag=b", Err("must have ` AND ` and a term before `ANDtag=b`"));
        check("tag=\"a", Err("must have a closing quote behind `\"a`"));
        check("tag=\"a\"b", Err("must have a blank before `b`"));
        check(r#"tag="\n""#, Err(r#"must have `\` only before `"` and `\`"#));
        check("AND tag=a", Err("must have a field and `=`, `:`, `>=` or `<` at `AND tag=a`"));
    }

    proptest! {
        #[test]
        fn any_text_can_be_quoted(texts in proptest::collection::vec(any::<String>(), 1..4)) {
            let quote = |text: &String| format!("key:\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""));
            let filter = texts.iter().map(quote).collect::<Vec<_>>().join(" AND ");
            let parsed: Vec<_> = terms(&filter).unwrap().into_iter().map(|term| term.text).collect();
            prop_assert_eq!(parsed, texts);
        }

        #[test]
        fn no_text_breaks_the_parser(filter in "[a-z=:\"\\\\ AND]{0,40}|\\PC{0,40}") {
            if let Err(violation) = terms(&filter) {
                prop_assert_eq!(violation.field, "filter");
            }
        }
    }
}
