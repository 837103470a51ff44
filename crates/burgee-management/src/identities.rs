//! Identities and their traits.

use burgee_core::change::WriteContext;
use burgee_core::identity::{Identity, Trait, TraitChanges};
use burgee_core::limits::TRAITS_PER_IDENTITY;
use burgee_core::name::{EnvironmentName, Identifier, IdentityName, TraitKey};
use burgee_core::store::{FlagStore, IdentityFilter};
use burgee_core::value::TraitValue;
use burgee_core::{Error, Result, Violation};
use burgee_proto::management::v1 as pb;

use crate::fields::{self, At as _, required};
use crate::filter::{Comparison, terms, unknown};
use crate::page::Paging;
use crate::transaction::log_write;

pub(crate) async fn get(
    store: &dyn FlagStore,
    request: pb::GetIdentityRequest,
) -> Result<pb::GetIdentityResponse> {
    let name = IdentityName::parse(&request.name).at("name")?;
    Ok(pb::GetIdentityResponse { identity: Some((&store.identity(&name).await?).into()) })
}

pub(crate) async fn list(
    store: &dyn FlagStore,
    request: pb::ListIdentitiesRequest,
) -> Result<pb::ListIdentitiesResponse> {
    let pb::ListIdentitiesRequest { parent, page_size, page_token, filter } = request;
    let environment = EnvironmentName::parse(&parent).at("parent")?;
    let paging = Paging::parse(page_size, &page_token, &["identities", &parent, &filter])?;
    let found = match Filter::parse(&filter)? {
        Filter::All => store.identities(&environment, &IdentityFilter::default(), &paging.query()).await?,
        Filter::Contains(text) => {
            let filter = IdentityFilter { identifier_contains: Some(text) };
            store.identities(&environment, &filter, &paging.query()).await?
        }
        Filter::Is(identifier) => one(store, environment, identifier).await?,
    };
    let (identities, next_page_token) = paging.cut(found, |item| item.name.identifier.to_string());
    Ok(pb::ListIdentitiesResponse { identities, next_page_token })
}

async fn one(
    store: &dyn FlagStore,
    environment: EnvironmentName,
    identifier: Identifier,
) -> Result<Vec<Identity>> {
    let name = IdentityName { environment, identifier };
    match store.identity(&name).await {
        Ok(identity) => Ok(vec![identity]),
        Err(Error::NotFound { name: missing, .. }) if missing == name.to_string() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// What a list of identities is narrowed to.
#[derive(Debug, PartialEq)]
enum Filter {
    All,
    Is(Identifier),
    Contains(String),
}

impl Filter {
    fn parse(filter: &str) -> Result<Self, Violation> {
        let terms = terms(filter)?;
        let term = match terms.as_slice() {
            [] => return Ok(Self::All),
            [term] => term,
            _ => return Err(Violation::new("filter", "must be at most one term")),
        };
        match (term.field.as_str(), term.comparison) {
            ("identifier", Comparison::Equals) => Identifier::parse(&term.text)
                .map(Self::Is)
                .map_err(|violation| Violation::new("filter", violation.description)),
            ("identifier", Comparison::Has) => Ok(Self::Contains(term.text.clone())),
            _ => Err(unknown(term, &["identifier=", "identifier:"])),
        }
    }
}

/// Parses a filter for the fuzzer.
#[cfg(any(test, fuzzing))]
pub(crate) fn parse_filter(filter: &str) -> Result<(), Violation> {
    Filter::parse(filter).map(drop)
}

pub(crate) async fn delete(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::DeleteIdentityRequest,
) -> Result<pb::DeleteIdentityResponse> {
    let name = IdentityName::parse(&request.name).at("name")?;
    let revision = store.delete_identity(context, &name).await?;
    log_write(context, &name);
    Ok(pb::DeleteIdentityResponse { revision })
}

pub(crate) async fn set_traits(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::SetTraitsRequest,
) -> Result<pb::SetTraitsResponse> {
    let name = IdentityName::parse(&request.name).at("name")?;
    let hashing_key = request.hashing_key.map(fields::changed_hashing_key).transpose()?;
    let set = request.traits.into_iter().map(new_trait).collect::<Result<Vec<_>, _>>()?;
    let changes = TraitChanges { set, remove: Vec::new() };
    let (identity, revision) = store.set_identity(context, &name, changes, hashing_key).await?;
    log_write(context, &name);
    Ok(pb::SetTraitsResponse { identity: Some((&identity).into()), revision })
}

/// Checks traits for the fuzzer.
#[cfg(fuzzing)]
pub(crate) fn check_traits(request: pb::SetTraitsRequest) -> Result<(), Violation> {
    IdentityName::parse(&request.name).at("name")?;
    request.hashing_key.map(fields::changed_hashing_key).transpose()?;
    if request.traits.len() > TRAITS_PER_IDENTITY {
        return Err(Violation::new("traits", "are too many"));
    }
    request.traits.into_iter().try_for_each(|traits| new_trait(traits).map(drop))
}

fn new_trait((key, value): (String, burgee_proto::v1::TraitValue)) -> Result<Trait, Violation> {
    let check = || {
        let value: Option<TraitValue> = value.into();
        let value = required(value, "")?;
        value.check()?;
        Ok(Trait { key: TraitKey::parse(&key)?, value })
    };
    check().at(format_args!("traits[\"{key}\"]"))
}

pub(crate) async fn remove_traits(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::RemoveTraitsRequest,
) -> Result<pb::RemoveTraitsResponse> {
    let name = IdentityName::parse(&request.name).at("name")?;
    if request.keys.len() > TRAITS_PER_IDENTITY {
        return Err(Error::invalid("keys", format!("must be at most {TRAITS_PER_IDENTITY}")));
    }
    let parse = |(index, key): (usize, &String)| TraitKey::parse(key).at(format_args!("keys[{index}]"));
    let remove = request.keys.iter().enumerate().map(parse).collect::<Result<Vec<_>, _>>()?;
    // Removing traits makes no identity.
    store.identity(&name).await?;
    let changes = TraitChanges { set: Vec::new(), remove };
    let (identity, revision) = store.set_identity(context, &name, changes, None).await?;
    log_write(context, &name);
    Ok(pb::RemoveTraitsResponse { identity: Some((&identity).into()), revision })
}

#[cfg(test)]
mod tests {
    use burgee_proto::v1 as shared;

    use super::*;

    #[test]
    fn identities_are_found_by_identifier() {
        let ada = Identifier::parse("ada lovelace").unwrap();
        assert_eq!(Filter::parse(""), Ok(Filter::All));
        assert_eq!(Filter::parse("identifier=\"ada lovelace\""), Ok(Filter::Is(ada)));
        assert_eq!(Filter::parse("identifier:ada"), Ok(Filter::Contains("ada".into())));
        for filter in ["name=x", "identifier=\"\"", "identifier:a AND identifier:b"] {
            assert_eq!(Filter::parse(filter).unwrap_err().field, "filter");
        }
    }

    #[test]
    fn a_violation_names_the_trait() {
        let check = |key: &str, kind: Option<shared::trait_value::Kind>, field: Option<&str>| {
            let made = new_trait((key.to_owned(), shared::TraitValue { kind }));
            assert_eq!(made.err().map(|violation| violation.field).as_deref(), field);
        };
        let text = |length| Some(shared::trait_value::Kind::StringValue("x".repeat(length)));
        check("plan", text(2_000), None);
        check("plan", text(2_001), Some("traits[\"plan\"]"));
        check("plan", None, Some("traits[\"plan\"]"));
        check("", text(1), Some("traits[\"\"]"));
    }
}
