//! The change log, read.

use burgee_core::change::{Change, ChangeEntry, ChangeKind};
use burgee_core::name::{ChangeName, EnvironmentId, EnvironmentName, ProjectName};
use burgee_core::store::{ChangeOrder, FlagStore};
use burgee_core::{Result, Violation};
use burgee_proto::management::v1 as pb;

use crate::fields::At as _;
use crate::filter::{Comparison, Term, terms, unknown};
use crate::page::{Filling, Paging};

/// Changes that are looked at for one page.
const LOOKED_AT: usize = 2_000;
/// Changes that are read at once.
const READ_AT_ONCE: usize = 100;

pub(crate) async fn get(
    store: &dyn FlagStore,
    request: pb::GetChangeRequest,
) -> Result<pb::GetChangeResponse> {
    let ChangeName { project, revision } = ChangeName::parse(&request.name).at("name")?;
    Ok(pb::GetChangeResponse { change: Some((&store.change(&project, revision).await?).into()) })
}

pub(crate) async fn list(
    store: &dyn FlagStore,
    request: pb::ListChangesRequest,
) -> Result<pb::ListChangesResponse> {
    let pb::ListChangesRequest { parent, page_size, page_token, filter } = request;
    let project = ProjectName::parse(&parent).at("parent")?;
    let paging = Paging::parse(page_size, &page_token, &["changes", &parent, &filter])?;
    let filter = Filter::parse(&project, &filter)?;
    let mut filling = Filling::new(paging.items);
    let mut behind = behind(&paging)?;
    let more = 'page: {
        for _ in 0..LOOKED_AT / READ_AT_ONCE {
            let found = store.changes(&project, ChangeOrder::Before(behind), READ_AT_ONCE).await?;
            let oldest = found.len() < READ_AT_ONCE;
            for change in found {
                if filter.passes(&change) && !filling.push((&change).into()) {
                    break 'page true;
                }
                behind = change.revision;
            }
            if oldest {
                break 'page false;
            }
        }
        true
    };
    let next_page_token = if more { paging.token(&behind.to_string()) } else { String::new() };
    Ok(pb::ListChangesResponse { changes: filling.page, next_page_token })
}

/// Returns the revision that the page begins below.
fn behind(paging: &Paging) -> Result<i64, Violation> {
    match &paging.after {
        None => Ok(i64::MAX),
        Some(revision) => {
            revision.parse().map_err(|_| Violation::new("page_token", "must be of this very list"))
        }
    }
}

/// What a list of changes is narrowed to.
#[derive(Debug)]
struct Filter {
    of_change: Vec<ChangeTerm>,
    /// One and the same entry must pass all of these.
    of_entry: Vec<EntryTerm>,
}

#[derive(Debug)]
enum ChangeTerm {
    Actor(String),
    Method(String),
    RequestId(String),
}

#[derive(Debug)]
enum EntryTerm {
    Subject(String),
    SubjectHas(String),
    Environment(EnvironmentName),
    Kind(ChangeKind),
}

impl Filter {
    fn parse(project: &ProjectName, filter: &str) -> Result<Self, Violation> {
        let mut parsed = Self { of_change: Vec::new(), of_entry: Vec::new() };
        for term in terms(filter)? {
            parsed.add(project, &term)?;
        }
        Ok(parsed)
    }

    fn add(&mut self, project: &ProjectName, term: &Term) -> Result<(), Violation> {
        let text = term.text.clone();
        match (term.field.as_str(), term.comparison) {
            ("actor", Comparison::Equals) => self.of_change.push(ChangeTerm::Actor(text)),
            ("method", Comparison::Equals) => self.of_change.push(ChangeTerm::Method(text)),
            ("request_id", Comparison::Equals) => self.of_change.push(ChangeTerm::RequestId(text)),
            ("subject", Comparison::Equals) => self.of_entry.push(EntryTerm::Subject(text)),
            ("subject", Comparison::Has) => self.of_entry.push(EntryTerm::SubjectHas(text)),
            ("environment", Comparison::Equals) => {
                let environment =
                    EnvironmentId::parse(&text).map_err(|_| term.must_be("the id of an environment"))?;
                let environment = EnvironmentName { project: project.clone(), environment };
                self.of_entry.push(EntryTerm::Environment(environment));
            }
            ("kind", Comparison::Equals) => self.of_entry.push(EntryTerm::Kind(kind(term)?)),
            _ => {
                let known =
                    ["actor=", "subject=", "subject:", "environment=", "method=", "kind=", "request_id="];
                return Err(unknown(term, &known));
            }
        }
        Ok(())
    }

    fn passes(&self, change: &Change) -> bool {
        self.of_change.iter().all(|term| term.passes(change))
            && (self.of_entry.is_empty()
                || change.entries.iter().any(|entry| self.of_entry.iter().all(|term| term.passes(entry))))
    }
}

/// Parses a filter for the fuzzer.
#[cfg(any(test, fuzzing))]
pub(crate) fn parse_filter(filter: &str) -> Result<(), Violation> {
    let name = ProjectName::parse("organisations/acme/projects/shop")?;
    Filter::parse(&name, filter).map(drop)
}

fn kind(term: &Term) -> Result<ChangeKind, Violation> {
    match term.text.as_str() {
        "created" => Ok(ChangeKind::Created),
        "updated" => Ok(ChangeKind::Updated),
        "deleted" => Ok(ChangeKind::Deleted),
        _ => Err(term.must_be("`created`, `updated` or `deleted`")),
    }
}

impl ChangeTerm {
    fn passes(&self, change: &Change) -> bool {
        match self {
            Self::Actor(actor) => change.actor == *actor,
            Self::Method(method) => change.method == *method,
            Self::RequestId(request_id) => change.request_id == *request_id,
        }
    }
}

impl EntryTerm {
    fn passes(&self, entry: &ChangeEntry) -> bool {
        match self {
            Self::Subject(subject) => entry.subject == *subject,
            Self::SubjectHas(part) => entry.subject.contains(part),
            Self::Environment(environment) => {
                let rest = entry.subject.strip_prefix(&environment.to_string());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            Self::Kind(kind) => entry.kind == *kind,
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    const SHOP: &str = "organisations/acme/projects/shop";

    fn change() -> Change {
        let entry = |subject: &str, kind| ChangeEntry {
            subject: format!("{SHOP}/{subject}"),
            kind,
            before: None,
            after: None,
        };
        Change {
            project: ProjectName::parse(SHOP).unwrap(),
            revision: 7,
            created_at: DateTime::UNIX_EPOCH,
            actor: "users/ada".into(),
            method: "FlagService/ApplyChanges".into(),
            request_id: "deploy 12".into(),
            reason: String::new(),
            entries: vec![
                entry("environments/production/flags/dark", ChangeKind::Updated),
                entry("segments/beta", ChangeKind::Deleted),
            ],
        }
    }

    fn check(filter: &str, passes: bool) {
        let filter = Filter::parse(&ProjectName::parse(SHOP).unwrap(), filter).unwrap();
        assert_eq!(filter.passes(&change()), passes, "{filter:?}");
    }

    #[test]
    fn changes_are_found_by_who_how_and_what() {
        check("", true);
        check("actor=users/ada AND method=FlagService/ApplyChanges", true);
        check("actor=users/eve", false);
        check("request_id=\"deploy 12\"", true);
        check("request_id=deploy", false);
        check("subject=organisations/acme/projects/shop/segments/beta", true);
        check("subject=segments/beta", false);
        check("subject:flags/dark", true);
    }

    #[test]
    fn an_environment_is_not_one_whose_name_begins_like_it() {
        check("environment=production", true);
        check("environment=prod", false);
    }

    #[test]
    fn one_entry_must_pass_all_that_is_asked_of_entries() {
        check("subject:segments AND kind=deleted", true);
        check("subject:segments AND kind=updated", false);
        check("environment=production AND kind=updated", true);
        check("environment=production AND kind=deleted", false);
        check("kind=created", false);
    }

    #[test]
    fn a_filter_says_what_it_takes() {
        for filter in ["who=x", "actor:x", "kind=gone", "environment=No"] {
            let violation = Filter::parse(&ProjectName::parse(SHOP).unwrap(), filter).unwrap_err();
            assert_eq!(violation.field, "filter", "{filter}");
        }
    }
}
