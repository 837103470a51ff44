//! What holds of all filters and page tokens that are sent: see `burgee_core::fuzzing`.

use burgee_core::Violation;
use burgee_core::access::{SALT_BYTES, StoredSecret};

use crate::filter::terms;
use crate::oidc;
use crate::page::Paging;
use crate::secret::is_mistyped;
use crate::{changes, features, identities};

/// A filter that is accepted means what its terms mean in quotes, and a refusal names the field.
pub fn filters(filter: &str) {
    match terms(filter) {
        Ok(terms) => {
            let quoted: Vec<String> = terms
                .iter()
                .map(|term| {
                    let symbol = term.comparison.symbol();
                    let text = term.text.replace('\\', r"\\").replace('"', "\\\"");
                    format!("{}{symbol}\"{text}\"", term.field)
                })
                .collect();
            assert_eq!(self::terms(&quoted.join(" AND ")), Ok(terms), "{filter:?}");
        }
        Err(violation) => assert_eq!(violation.field, "filter", "{violation}"),
    }
    let parsers = [changes::parse_filter, features::parse_filter, identities::parse_filter];
    for violation in
        parsers.iter().filter_map(|parse: &fn(&str) -> Result<(), Violation>| parse(filter).err())
    {
        assert_eq!(violation.field, "filter", "{violation}");
    }
}

/// A token is read by the list that made it, as it was made, and by no other; nothing else is a token.
pub fn page_tokens(data: &[u8]) {
    const LIST: [&str; 2] = ["features", "organisations/acme/projects/shop"];
    const OTHER: [&str; 2] = ["features", "organisations/acme/projects/shops"];
    let open = |token: &str| Paging::parse(0, token, &LIST);
    let first = Paging::parse(0, "", &LIST).expect("a list has a first page");

    let text = String::from_utf8_lossy(data);
    if let Ok(paging) = open(&text) {
        let same = paging.after.as_deref().map(|after| first.token(after)).unwrap_or_default();
        assert_eq!(same, text, "a position has one token");
    }

    let token = first.token(&text);
    let after = open(&token).map(|paging| paging.after);
    assert_eq!(after, Ok(Some(text.to_string())));
    assert!(Paging::parse(0, &token, &OTHER).is_err(), "{token}");
    // One character is changed, removed or added.
    let (place, replacement) = (data.first().copied().unwrap_or(0), data.last().copied().unwrap_or(0));
    let place = usize::from(place) % token.len();
    let replacement = char::from(replacement & 0x7f);
    for changed in [
        format!("{}{replacement}{}", &token[..place], &token[place + 1..]),
        format!("{}{}", &token[..place], &token[place + 1..]),
        format!("{}{replacement}{}", &token[..place], &token[place..]),
    ] {
        if changed != token
            && let Ok(paging) = open(&changed)
        {
            let same = paging.after.as_deref().map(|after| first.token(after)).unwrap_or_default();
            assert_eq!(same, changed, "a position has one token");
        }
    }
}

/// What is presented as a credential is looked up by a short text, is its own secret and no other's, and a signed token is read
/// or refused.
pub fn credentials(presented: &str) {
    let lookup = StoredSecret::lookup(presented);
    assert!((16..=64).contains(&lookup.len()), "{lookup}");
    let stored = StoredSecret::new(presented, [7; SALT_BYTES]);
    assert!(stored.is(presented) && !stored.is(&format!("{presented}x")));
    // Of two texts that differ in one character, at most one has a checksum that fits.
    if presented.starts_with("bgu_") && presented.is_ascii() && !is_mistyped(presented) {
        let other = if presented.ends_with('0') { '1' } else { '0' };
        assert!(is_mistyped(&format!("{}{other}", &presented[..presented.len() - 1])), "{presented}");
    }
    oidc::read(presented);
}

/// Says what the service says of requests to write, as far as it can without a database.
#[cfg(fuzzing)]
pub mod writes {
    use burgee_core::Violation;
    use burgee_core::change::{Mutation, WriteContext};
    use burgee_core::name::ProjectName;
    use burgee_proto::management::v1 as pb;
    use chrono::DateTime;

    use crate::{apply, environments, identities, organisations, projects};

    fn context() -> WriteContext {
        WriteContext {
            credential: String::new(),
            on_behalf_of: String::new(),
            address: String::new(),
            actor: "users/ada".to_owned(),
            method: "FlagService/ApplyChanges".to_owned(),
            request_id: None,
            request_digest: [0; 32],
            reason: String::new(),
            validate_only: false,
            now: DateTime::UNIX_EPOCH,
        }
    }

    /// Checks a new organisation.
    pub fn organisation(request: pb::CreateOrganisationRequest) -> Result<(), Violation> {
        organisations::check_new(&context(), request)
    }

    /// Checks a new project.
    pub fn project(request: pb::CreateProjectRequest) -> Result<(), Violation> {
        projects::check_new(&context(), request)
    }

    /// Checks a new environment.
    pub fn environment(request: pb::CreateEnvironmentRequest) -> Result<(), Violation> {
        environments::check_new(&context(), request)
    }

    /// Checks the traits of an identity.
    pub fn traits(request: pb::SetTraitsRequest) -> Result<(), Violation> {
        identities::check_traits(request)
    }

    /// Returns what changes come to.
    pub fn changes(
        project: &ProjectName,
        changes: Vec<pb::ChangeRequest>,
    ) -> Result<Vec<Mutation>, Violation> {
        apply::mutations(project, &context(), changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replay(target: &str, check: impl Fn(&[u8])) {
        let folder = format!("{}/../../fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
        let files: Vec<_> = std::fs::read_dir(folder).unwrap().collect();
        assert!(!files.is_empty());
        files.into_iter().for_each(|file| check(&std::fs::read(file.unwrap().path()).unwrap()));
    }

    #[test]
    fn a_filter_means_the_same_in_quotes() {
        replay("filters", |data| {
            if let Ok(filter) = str::from_utf8(data) {
                filters(filter);
            }
        });
    }

    #[test]
    fn a_page_token_is_read_as_it_was_made() {
        replay("page_tokens", page_tokens);
        replay("credentials", |data| {
            if let Ok(text) = std::str::from_utf8(data) {
                credentials(text);
            }
        });
    }
}
