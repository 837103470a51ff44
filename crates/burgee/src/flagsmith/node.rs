//! A place in a JSON document: reads what is there, and names the place if it is something else.

use std::fmt;

use super::json::{Json, is_integer};

/// A value in a document, and how it was reached.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    json: &'a Json,
    step: Step<'a>,
    parent: Option<&'a Node<'a>>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Root,
    Member(&'a str),
    Item(usize),
}

/// Something in a document that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{place}` {problem}")]
pub struct Misplaced {
    place: String,
    problem: String,
}

type Result<T> = std::result::Result<T, Misplaced>;

impl<'a> Node<'a> {
    /// Begins at the top of a document.
    pub fn root(json: &'a Json) -> Self {
        Self { json, step: Step::Root, parent: None }
    }

    /// Returns what is here.
    pub fn json(&self) -> &'a Json {
        self.json
    }

    /// Returns the member; one that is missing counts as null.
    pub fn get(&'a self, name: &'a str) -> Self {
        const NULL: &Json = &Json::Null;
        Self { json: self.json.get(name).unwrap_or(NULL), step: Step::Member(name), parent: Some(self) }
    }

    /// Says whether the member is there, if only as null.
    pub fn has(&self, name: &str) -> bool {
        self.json.get(name).is_some()
    }

    /// Says whether this is null, or missing.
    pub fn is_null(&self) -> bool {
        matches!(self.json, Json::Null)
    }

    /// Returns this, unless it is null or missing.
    pub fn optional(self) -> Option<Self> {
        (!self.is_null()).then_some(self)
    }

    /// Reads a text.
    pub fn text(&self) -> Result<&'a str> {
        match self.json {
            Json::Text(text) => Ok(text),
            other => Err(self.expected("a text", other)),
        }
    }

    /// Reads a text or a number, which documents use alike for ids.
    pub fn id(&self) -> Result<String> {
        match self.json {
            Json::Text(text) => Ok(text.clone()),
            Json::Number(number) if is_integer(number) => Ok(number.clone()),
            other => Err(self.expected("a text or an integer", other)),
        }
    }

    /// Reads a boolean.
    pub fn boolean(&self) -> Result<bool> {
        match self.json {
            Json::Boolean(boolean) => Ok(*boolean),
            other => Err(self.expected("a boolean", other)),
        }
    }

    /// Reads a number, as it is written.
    pub fn number(&self) -> Result<&'a str> {
        match self.json {
            Json::Number(number) => Ok(number),
            other => Err(self.expected("a number", other)),
        }
    }

    /// Reads a list; null, or none, is an empty one.
    pub fn items(&'a self) -> Result<impl Iterator<Item = Node<'a>>> {
        let items = match self.json {
            Json::List(items) => items.as_slice(),
            Json::Null => &[],
            other => return Err(self.expected("a list", other)),
        };
        let place = move |(index, json)| Node { json, step: Step::Item(index), parent: Some(self) };
        Ok(items.iter().enumerate().map(place))
    }

    /// Reads an object; null, or none, is an empty one.
    pub fn members(&'a self) -> Result<impl Iterator<Item = (&'a str, Node<'a>)>> {
        let members = match self.json {
            Json::Map(members) => members.as_slice(),
            Json::Null => &[],
            other => return Err(self.expected("an object", other)),
        };
        let place = move |(name, json): &'a (String, Json)| {
            (name.as_str(), Node { json, step: Step::Member(name), parent: Some(self) })
        };
        Ok(members.iter().map(place))
    }

    /// Checks that this is an object.
    pub fn object(self) -> Result<Self> {
        match self.json {
            Json::Map(_) => Ok(self),
            other => Err(self.expected("an object", other)),
        }
    }

    /// Creates the error that this is not as it must be.
    pub fn problem(&self, problem: impl Into<String>) -> Misplaced {
        Misplaced { place: self.to_string(), problem: problem.into() }
    }

    fn expected(&self, expected: &str, actual: &Json) -> Misplaced {
        match (actual, self.step, self.parent) {
            (Json::Null, Step::Member(name), Some(parent)) if !parent.has(name) => {
                self.problem(format!("is missing; it must be {expected}"))
            }
            _ => self.problem(format!("must be {expected}, is {}", actual.kind())),
        }
    }
}

/// Writes the place: `context.segments["7"].rules[0].type`.
impl fmt::Display for Node<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(formatter)?;
        }
        let is_top = matches!(self.parent, Some(Node { step: Step::Root, .. }));
        match self.step {
            Step::Root => Ok(()),
            Step::Member(name) if is_plain(name) && is_top => formatter.write_str(name),
            Step::Member(name) if is_plain(name) => write!(formatter, ".{name}"),
            Step::Member(name) => write!(formatter, "[{}]", Json::from(name)),
            Step::Item(index) => write!(formatter, "[{index}]"),
        }
    }
}

fn is_plain(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_place() {
        let json = Json::parse(r#"{"segments": {"7": {"rules": [{"type": 5}]}, "a": 1}}"#).unwrap();
        let root = Node::root(&json);
        let segments = root.get("segments");
        let segment = segments.get("7");
        let rules = segment.get("rules");
        let rule = rules.items().unwrap().next().unwrap();
        let error = rule.get("type").text().unwrap_err();
        assert_eq!(error.to_string(), r#"`segments["7"].rules[0].type` must be a text, is a number"#);
        let error = segment.get("key").text().unwrap_err();
        assert_eq!(error.to_string(), r#"`segments["7"].key` is missing; it must be a text"#);
        let error = segments.get("a").object().unwrap_err();
        assert_eq!(error.to_string(), "`segments.a` must be an object, is a number");
    }
}
