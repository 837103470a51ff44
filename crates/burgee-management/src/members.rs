//! Members of organisations.

use burgee_core::account::AccountMutation;
use burgee_core::change::WriteContext;
use burgee_core::name::{MemberName, OrganisationName, UserName};
use burgee_core::organisation::Role;
use burgee_core::store::FlagStore;
use burgee_core::{Result, Violation};
use burgee_proto::management::v1 as pb;
use burgee_proto::v1 as shared;

use crate::fields::{At as _, given};
use crate::page::Paging;
use crate::transaction::apply_account;

pub(crate) async fn add(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::AddMemberRequest,
) -> Result<pb::AddMemberResponse> {
    let organisation = OrganisationName::parse(&request.parent).at("parent")?;
    let user = UserName::parse(&request.user).at("user")?.user;
    let role = role(request.role())?;
    let mutation = AccountMutation::AddMember { name: MemberName { organisation, user }, role };
    let written = apply_account(store, context, mutation).await?;
    Ok(pb::AddMemberResponse { member: written.member() })
}

pub(crate) async fn list(
    store: &dyn FlagStore,
    request: pb::ListMembersRequest,
) -> Result<pb::ListMembersResponse> {
    let parent = OrganisationName::parse(&request.parent).at("parent")?;
    let paging = Paging::parse(request.page_size, &request.page_token, &["members", &request.parent])?;
    let found = store.members(&parent, &paging.query()).await?;
    let (members, next_page_token) = paging.cut(found, |item| item.name.user.to_string());
    Ok(pb::ListMembersResponse { members, next_page_token })
}

pub(crate) async fn update_role(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::UpdateMemberRoleRequest,
) -> Result<pb::UpdateMemberRoleResponse> {
    let name = MemberName::parse(&request.name).at("name")?;
    let role = role(request.role())?;
    let mutation = AccountMutation::UpdateMember { name, role, etag: given(request.etag) };
    let written = apply_account(store, context, mutation).await?;
    Ok(pb::UpdateMemberRoleResponse { member: written.member() })
}

pub(crate) async fn remove(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::RemoveMemberRequest,
) -> Result<pb::RemoveMemberResponse> {
    let name = MemberName::parse(&request.name).at("name")?;
    apply_account(store, context, AccountMutation::RemoveMember { name, etag: given(request.etag) }).await?;
    Ok(pb::RemoveMemberResponse {})
}

fn role(role: shared::Role) -> Result<Role, Violation> {
    role.try_into().at("role")
}
