//! What an import did, for people and programs.

use std::collections::BTreeMap;

use crate::flagsmith::json::Json;
use crate::flagsmith::model::{Note, NoteKind};

/// How many names of a kind are printed.
const NAMES: usize = 10;

/// A kind of resource, in the order in which a report lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An organisation.
    Organisation,
    /// A project.
    Project,
    /// An environment.
    Environment,
    /// A feature.
    Feature,
    /// A variant that was added to a feature.
    Variant,
    /// A segment.
    Segment,
    /// What a flag serves to everybody.
    Flag,
    /// A segment override, or the order of a flag's overrides.
    SegmentOverride,
    /// An identity override.
    IdentityOverride,
    /// The traits or the hashing key of an identity.
    Identity,
}

impl Kind {
    /// Returns the word for one of them, and for many.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Organisation => ("organisation", "organisations"),
            Self::Project => ("project", "projects"),
            Self::Environment => ("environment", "environments"),
            Self::Feature => ("feature", "features"),
            Self::Variant => ("variant", "variants"),
            Self::Segment => ("segment", "segments"),
            Self::Flag => ("flag", "flags"),
            Self::SegmentOverride => ("segment override", "segment overrides"),
            Self::IdentityOverride => ("identity override", "identity overrides"),
            Self::Identity => ("identity", "identities"),
        }
    }
}

/// What an import did, or would do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// What was not there before.
    pub made: BTreeMap<Kind, Vec<String>>,
    /// What was there and differed.
    pub changed: BTreeMap<Kind, Vec<String>>,
    /// What people should know.
    pub notes: Vec<Note>,
    /// The revision after the last write of configuration; none if nothing was written.
    pub revision: Option<i64>,
}

impl Report {
    /// Remembers something that is made.
    pub(super) fn make(&mut self, kind: Kind, name: impl ToString) {
        self.made.entry(kind).or_default().push(name.to_string());
    }

    /// Remembers something that is changed.
    pub(super) fn change(&mut self, kind: Kind, name: impl ToString) {
        self.changed.entry(kind).or_default().push(name.to_string());
    }

    /// Says whether all was there already.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.made.is_empty() && self.changed.is_empty()
    }

    /// Returns the notes on what was left out.
    pub fn not_taken(&self) -> impl Iterator<Item = &Note> {
        self.notes.iter().filter(|note| note.kind == NoteKind::NotTaken)
    }

    /// Returns lines of text.
    #[must_use]
    pub fn to_lines(&self, environment: &str) -> Vec<String> {
        let mut lines = vec![environment.to_owned()];
        for (kind, names) in &self.made {
            lines.push(format!("  made {}", count(*kind, names.len())));
        }
        for (kind, names) in &self.changed {
            let shown = names.iter().take(NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = if names.len() > NAMES { ", …" } else { "" };
            lines.push(format!("  changed {}: {shown}{more}", count(*kind, names.len())));
        }
        if self.is_empty() {
            lines.push("  nothing to change".to_owned());
        }
        if let Some(revision) = self.revision {
            lines.push(format!("  revision {revision}"));
        }
        for (kind, title) in [
            (NoteKind::Changed, "taken in another form, or left as it is:"),
            (NoteKind::NotTaken, "could not be taken:"),
        ] {
            let mut notes = self.notes.iter().filter(|note| note.kind == kind).peekable();
            if notes.peek().is_some() {
                lines.push(title.to_owned());
                lines.extend(notes.map(|note| format!("  {note}")));
            }
        }
        lines
    }

    /// Returns an object.
    #[must_use]
    pub fn to_json(&self, environment: &str) -> Json {
        let names = |lists: &BTreeMap<Kind, Vec<String>>| {
            let list = |names: &Vec<String>| {
                Json::List(names.iter().map(|name| Json::from(name.as_str())).collect())
            };
            let member =
                |(kind, names): (&Kind, &Vec<String>)| (kind.words().1.replace(' ', "_"), list(names));
            Json::Map(lists.iter().map(member).collect())
        };
        let notes = |kind| {
            let note = |note: &Note| {
                Json::Map(vec![
                    ("subject".to_owned(), Json::from(note.subject.as_str())),
                    ("text".to_owned(), Json::from(note.text.as_str())),
                ])
            };
            Json::List(self.notes.iter().filter(|note| note.kind == kind).map(note).collect())
        };
        let revision = self.revision.map_or(Json::Null, |revision| Json::Number(revision.to_string()));
        Json::Map(vec![
            ("environment".to_owned(), Json::from(environment)),
            ("revision".to_owned(), revision),
            ("made".to_owned(), names(&self.made)),
            ("changed".to_owned(), names(&self.changed)),
            ("notes".to_owned(), notes(NoteKind::Changed)),
            ("not_taken".to_owned(), notes(NoteKind::NotTaken)),
        ])
    }
}

fn count(kind: Kind, number: usize) -> String {
    let (one, many) = kind.words();
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_was_done() {
        let mut report = Report { revision: Some(7), ..Report::default() };
        report.make(Kind::Feature, "a");
        report.make(Kind::Feature, "b");
        report.change(Kind::Flag, "c");
        report.notes.push(Note::not_taken("x", "is too long"));
        let lines = report.to_lines("e").join("\n");
        assert_eq!(
            lines,
            "e\n  made 2 features\n  changed 1 flag: c\n  revision 7\ncould not be taken:\n  x: is too long"
        );
        assert_eq!(
            report.to_json("e").to_string(),
            r#"{"environment":"e","revision":7,"made":{"features":["a","b"]},"changed":{"flags":["c"]},"notes":[],"not_taken":[{"subject":"x","text":"is too long"}]}"#
        );
    }

    #[test]
    fn an_import_without_differences_says_so() {
        assert_eq!(Report::default().to_lines("e"), ["e", "  nothing to change"]);
    }
}
