//! The change log, read.

use burgee_core::change::{Change, ChangeEntry, ChangeKind};
use burgee_core::name::{ChangeName, EnvironmentId, EnvironmentName, LogName};
use burgee_core::store::{ChangeOrder, FlagStore};
use burgee_core::{Result, Violation};
use burgee_proto::management::v1 as pb;
use chrono::{DateTime, Utc};

use crate::fields::At as _;
use crate::filter::{Comparison, Term, terms, unknown};
use crate::page::{Filling, Paging};

/// Changes that are read at once; the store reads fewer if they are large (`CHANGES_READ_BYTES`). The filter
/// looks through all their text, so it is the text of one read that others on the same thread wait for.
const READ_AT_ONCE: usize = 100;
/// How often changes are read for one page: it looks at 2,000 changes at most.
const READS: usize = 20;

pub(crate) async fn get(
    store: &dyn FlagStore,
    request: pb::GetChangeRequest,
) -> Result<pb::GetChangeResponse> {
    let ChangeName { log, revision } = ChangeName::parse(&request.name).at("name")?;
    Ok(pb::GetChangeResponse { change: Some((&store.change(&log, revision).await?).into()) })
}

pub(crate) async fn list(
    store: &dyn FlagStore,
    request: pb::ListChangesRequest,
) -> Result<pb::ListChangesResponse> {
    let pb::ListChangesRequest { parent, page_size, page_token, filter } = request;
    let log = LogName::parse(&parent).at("parent")?;
    let paging = Paging::parse(page_size, &page_token, &["changes", &parent, &filter])?;
    let filter = Filter::parse(&log, &filter)?;
    let mut filling = Filling::new(paging.items);
    let mut behind = behind(&paging)?;
    let oldest_revision = store.log(&log).await?.oldest;
    let more = 'page: {
        for _ in 0..READS {
            let found = store.changes(&log, ChangeOrder::Before(behind), READ_AT_ONCE).await?;
            let end = found.is_empty();
            for change in found {
                if filter.passes(&change) && !filling.push((&change).into()) {
                    break 'page true;
                }
                behind = change.revision;
            }
            if end || behind <= oldest_revision {
                break 'page false;
            }
        }
        true
    };
    let next_page_token = if more { paging.token(&behind.to_string()) } else { String::new() };
    Ok(pb::ListChangesResponse { changes: filling.page, next_page_token, oldest_revision })
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

/// The terms of a filter; `environment=` of a project's log only.
const KNOWN: &[&str] = &[
    "actor=",
    "credential=",
    "on_behalf_of=",
    "address=",
    "subject=",
    "subject:",
    "environment=",
    "method=",
    "kind=",
    "request_id=",
    "time>=",
    "time<",
    "text:",
];

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
    Credential(String),
    OnBehalfOf(String),
    Address(String),
    AtOrAfter(DateTime<Utc>),
    Before(DateTime<Utc>),
    Text(String),
}

#[derive(Debug)]
enum EntryTerm {
    Subject(String),
    SubjectHas(String),
    Environment(EnvironmentName),
    Kind(ChangeKind),
}

impl Filter {
    fn parse(log: &LogName, filter: &str) -> Result<Self, Violation> {
        let mut parsed = Self { of_change: Vec::new(), of_entry: Vec::new() };
        for term in terms(filter)? {
            parsed.add(log, &term)?;
        }
        Ok(parsed)
    }

    fn add(&mut self, log: &LogName, term: &Term) -> Result<(), Violation> {
        let text = term.text.clone();
        match (term.field.as_str(), term.comparison) {
            ("actor", Comparison::Equals) => self.of_change.push(ChangeTerm::Actor(text)),
            ("method", Comparison::Equals) => self.of_change.push(ChangeTerm::Method(text)),
            ("request_id", Comparison::Equals) => self.of_change.push(ChangeTerm::RequestId(text)),
            ("credential", Comparison::Equals) => self.of_change.push(ChangeTerm::Credential(text)),
            ("on_behalf_of", Comparison::Equals) => self.of_change.push(ChangeTerm::OnBehalfOf(text)),
            ("address", Comparison::Equals) => self.of_change.push(ChangeTerm::Address(text)),
            ("time", Comparison::AtLeast) => self.of_change.push(ChangeTerm::AtOrAfter(time(term)?)),
            ("time", Comparison::Below) => self.of_change.push(ChangeTerm::Before(time(term)?)),
            ("text", Comparison::Has) => self.of_change.push(ChangeTerm::Text(text)),
            ("subject", Comparison::Equals) => self.of_entry.push(EntryTerm::Subject(text)),
            ("subject", Comparison::Has) => self.of_entry.push(EntryTerm::SubjectHas(text)),
            ("environment", Comparison::Equals) => {
                let environment =
                    EnvironmentId::parse(&text).map_err(|_| term.must_be("the id of an environment"))?;
                let LogName::Project(project) = log else {
                    return Err(unknown(term, KNOWN));
                };
                let environment = EnvironmentName { project: project.clone(), environment };
                self.of_entry.push(EntryTerm::Environment(environment));
            }
            ("kind", Comparison::Equals) => self.of_entry.push(EntryTerm::Kind(kind(term)?)),
            _ => return Err(unknown(term, KNOWN)),
        }
        Ok(())
    }

    fn passes(&self, change: &Change) -> bool {
        self.of_change.iter().all(|term| term.passes(change))
            && (self.of_entry.is_empty()
                || change.entries.iter().any(|entry| self.of_entry.iter().all(|term| term.passes(entry))))
    }
}

fn time(term: &Term) -> Result<DateTime<Utc>, Violation> {
    let time = DateTime::parse_from_rfc3339(&term.text);
    time.map(|time| time.to_utc()).map_err(|_| term.must_be("a time such as `2026-11-01T00:00:00Z`"))
}

/// Parses a filter for the fuzzer.
#[cfg(any(test, fuzzing))]
pub(crate) fn parse_filter(filter: &str) -> Result<(), Violation> {
    let log = LogName::parse("organisations/acme/projects/shop")?;
    Filter::parse(&log, filter).map(drop)
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
            Self::Credential(credential) => change.credential == *credential,
            Self::OnBehalfOf(subject) => change.on_behalf_of == *subject,
            Self::Address(address) => change.address == *address,
            Self::AtOrAfter(time) => change.created_at >= *time,
            Self::Before(time) => change.created_at < *time,
            Self::Text(text) => {
                change.reason.contains(text) || change.entries.iter().any(|entry| has_text(entry, text))
            }
        }
    }
}

fn has_text(entry: &ChangeEntry, text: &str) -> bool {
    let in_json =
        |json: &Option<serde_json::Value>| json.as_ref().is_some_and(|json| json.to_string().contains(text));
    entry.subject.contains(text) || in_json(&entry.before) || in_json(&entry.after)
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
            log: LogName::parse(SHOP).unwrap(),
            revision: 7,
            created_at: DateTime::UNIX_EPOCH,
            actor: "users/ada".into(),
            credential: "users/ada/tokens/laptop".into(),
            on_behalf_of: String::new(),
            address: "192.0.2.1".into(),
            method: "FlagService/ApplyChanges".into(),
            request_id: "deploy 12".into(),
            reason: "black friday".into(),
            entries: vec![
                entry("environments/production/flags/dark", ChangeKind::Updated),
                entry("segments/beta", ChangeKind::Deleted),
            ],
        }
    }

    fn check(filter: &str, passes: bool) {
        let filter = Filter::parse(&LogName::parse(SHOP).unwrap(), filter).unwrap();
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
        check("credential=users/ada/tokens/laptop AND address=192.0.2.1", true);
        check("on_behalf_of=x", false);
        check("text:friday", true);
        check("text:segments/be", true);
        check("text:saturday", false);
    }

    #[test]
    fn changes_are_found_by_time() {
        check("time>=1970-01-01T00:00:00Z", true);
        check("time<1970-01-01T00:00:00Z", false);
        check("time>=1969-12-31T23:00:00Z AND time<1970-01-01T01:00:00+00:00", true);
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
            let violation = Filter::parse(&LogName::parse(SHOP).unwrap(), filter).unwrap_err();
            assert_eq!(violation.field, "filter", "{filter}");
        }
    }
}
