//! Organisations.

use burgee_core::account::AccountMutation;
use burgee_core::change::WriteContext;
use burgee_core::name::{OrganisationId, OrganisationName};
use burgee_core::organisation::{Organisation, OrganisationPatch};
use burgee_core::store::FlagStore;
use burgee_core::{Result, Violation};
use burgee_proto::management::v1 as pb;
use burgee_proto::mask::Mask;

use crate::fields::{self, At as _, given, required};
use crate::gate::Caller;
use crate::page::Paging;
use crate::transaction::apply_account;

/// The fields that can change, and whether they are set.
fn changeable(wire: &burgee_proto::v1::Organisation) -> [(&'static str, bool); 3] {
    [
        ("display_name", !wire.display_name.is_empty()),
        ("persist_trait_data", wire.persist_trait_data.is_some()),
        ("stop_serving_flags", wire.stop_serving_flags.is_some()),
    ]
}

pub(crate) async fn create(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::CreateOrganisationRequest,
) -> Result<pb::CreateOrganisationResponse> {
    let organisation = new_organisation(context, request)?;
    let mutation = AccountMutation::CreateOrganisation { organisation };
    let written = apply_account(store, context, mutation).await?;
    Ok(pb::CreateOrganisationResponse { organisation: written.organisation() })
}

/// Checks a new organisation for the fuzzer.
#[cfg(fuzzing)]
pub(crate) fn check_new(
    context: &WriteContext,
    request: pb::CreateOrganisationRequest,
) -> Result<(), Violation> {
    new_organisation(context, request).map(drop)
}

fn new_organisation(
    context: &WriteContext,
    request: pb::CreateOrganisationRequest,
) -> Result<Organisation, Violation> {
    let id = OrganisationId::parse(&request.organisation_id).at("organisation_id")?;
    let organisation = request.organisation.unwrap_or_default();
    Ok(Organisation {
        display_name: fields::display_name(organisation.display_name, id.as_str()).at("organisation")?,
        persist_trait_data: organisation.persist_trait_data.unwrap_or(true),
        stop_serving_flags: organisation.stop_serving_flags.unwrap_or_default(),
        created_at: context.now,
        etag: String::new(),
        name: OrganisationName { organisation: id },
    })
}

pub(crate) async fn get(
    store: &dyn FlagStore,
    request: pb::GetOrganisationRequest,
) -> Result<pb::GetOrganisationResponse> {
    let name = OrganisationName::parse(&request.name).at("name")?;
    Ok(pb::GetOrganisationResponse { organisation: Some((&store.organisation(&name).await?).into()) })
}

pub(crate) async fn list(
    store: &dyn FlagStore,
    caller: &Caller,
    request: pb::ListOrganisationsRequest,
) -> Result<pb::ListOrganisationsResponse> {
    let paging = Paging::parse(request.page_size, &request.page_token, &["organisations"])?;
    let of = if caller.administrator { None } else { Some(&caller.principal) };
    let found = store.organisations(of, &paging.query()).await?;
    let (organisations, next_page_token) = paging.cut(found, |item| item.name.organisation.to_string());
    Ok(pb::ListOrganisationsResponse { organisations, next_page_token })
}

pub(crate) async fn update(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::UpdateOrganisationRequest,
) -> Result<pb::UpdateOrganisationResponse> {
    let organisation = required(request.organisation, "organisation")?;
    let name = OrganisationName::parse(&organisation.name).at("organisation.name")?;
    let mask = Mask::parse(request.update_mask, &changeable(&organisation))?;
    let display_name = mask
        .select("display_name", organisation.display_name)
        .map(|text| fields::display_name(text, name.organisation.as_str()).at("organisation"));
    let patch = OrganisationPatch {
        display_name: display_name.transpose()?,
        persist_trait_data: mask
            .select("persist_trait_data", organisation.persist_trait_data.unwrap_or(true)),
        stop_serving_flags: mask
            .select("stop_serving_flags", organisation.stop_serving_flags.unwrap_or_default()),
    };
    let etag = given(organisation.etag);
    let mutation = AccountMutation::UpdateOrganisation { name, patch, etag };
    let written = apply_account(store, context, mutation).await?;
    Ok(pb::UpdateOrganisationResponse { organisation: written.organisation() })
}

pub(crate) async fn delete(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::DeleteOrganisationRequest,
) -> Result<pb::DeleteOrganisationResponse> {
    let name = OrganisationName::parse(&request.name).at("name")?;
    let etag = given(request.etag);
    let mutation = AccountMutation::DeleteOrganisation { name, force: request.force, etag };
    apply_account(store, context, mutation).await?;
    Ok(pb::DeleteOrganisationResponse {})
}
