//! Groups of members, and who is in them.

use burgee_core::account::AccountMutation;
use burgee_core::change::WriteContext;
use burgee_core::limits::EXTERNAL_ID_CHARACTERS;
use burgee_core::name::{GroupId, GroupMemberName, GroupName, OrganisationName, UserName};
use burgee_core::organisation::{Group, GroupPatch};
use burgee_core::store::FlagStore;
use burgee_core::{Result, Violation};
use burgee_proto::management::v1 as pb;
use burgee_proto::mask::Mask;

use crate::fields::{self, At as _, given, required};
use crate::page::Paging;
use crate::transaction::apply_account;

/// The fields that can change, and whether they are set.
fn changeable(wire: &burgee_proto::v1::Group) -> [(&'static str, bool); 3] {
    [
        ("display_name", !wire.display_name.is_empty()),
        ("is_default", wire.is_default.is_some()),
        ("external_id", wire.external_id.is_some()),
    ]
}

pub(crate) async fn create(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::CreateGroupRequest,
) -> Result<pb::CreateGroupResponse> {
    let group = new_group(context, request)?;
    let written = apply_account(store, context, AccountMutation::CreateGroup { group }).await?;
    Ok(pb::CreateGroupResponse { group: written.group() })
}

fn new_group(context: &WriteContext, request: pb::CreateGroupRequest) -> Result<Group, Violation> {
    let organisation = OrganisationName::parse(&request.parent).at("parent")?;
    let id = GroupId::parse(&request.group_id).at("group_id")?;
    let group = request.group.unwrap_or_default();
    Ok(Group {
        display_name: fields::display_name(group.display_name, id.as_str()).at("group")?,
        is_default: group.is_default.unwrap_or_default(),
        external_id: external_id(group.external_id).at("group")?,
        created_at: context.now,
        etag: String::new(),
        name: GroupName { organisation, group: id },
    })
}

/// Checks the field `external_id`; an empty one means none.
fn external_id(id: Option<String>) -> Result<Option<String>, Violation> {
    let id = fields::text(id.unwrap_or_default(), EXTERNAL_ID_CHARACTERS).at("external_id")?;
    Ok(given(id))
}

pub(crate) async fn get(store: &dyn FlagStore, request: pb::GetGroupRequest) -> Result<pb::GetGroupResponse> {
    let name = GroupName::parse(&request.name).at("name")?;
    Ok(pb::GetGroupResponse { group: Some((&store.group(&name).await?).into()) })
}

pub(crate) async fn list(
    store: &dyn FlagStore,
    request: pb::ListGroupsRequest,
) -> Result<pb::ListGroupsResponse> {
    let parent = OrganisationName::parse(&request.parent).at("parent")?;
    let paging = Paging::parse(request.page_size, &request.page_token, &["groups", &request.parent])?;
    let found = store.groups(&parent, &paging.query()).await?;
    let (groups, next_page_token) = paging.cut(found, |item| item.name.group.to_string());
    Ok(pb::ListGroupsResponse { groups, next_page_token })
}

pub(crate) async fn update(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::UpdateGroupRequest,
) -> Result<pb::UpdateGroupResponse> {
    let written = apply_account(store, context, plan_update(request)?).await?;
    Ok(pb::UpdateGroupResponse { group: written.group() })
}

fn plan_update(request: pb::UpdateGroupRequest) -> Result<AccountMutation, Violation> {
    let group = required(request.group, "group")?;
    let name = GroupName::parse(&group.name).at("group.name")?;
    let mask = Mask::parse(request.update_mask, &changeable(&group))?;
    let display_name = mask
        .select("display_name", group.display_name)
        .map(|text| fields::display_name(text, name.group.as_str()));
    let external_id = mask.select("external_id", group.external_id).map(external_id);
    let patch = GroupPatch {
        display_name: display_name.transpose().at("group")?,
        is_default: mask.select("is_default", group.is_default.unwrap_or_default()),
        external_id: external_id.transpose().at("group")?,
    };
    Ok(AccountMutation::UpdateGroup { name, patch, etag: given(group.etag) })
}

pub(crate) async fn delete(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::DeleteGroupRequest,
) -> Result<pb::DeleteGroupResponse> {
    let name = GroupName::parse(&request.name).at("name")?;
    apply_account(store, context, AccountMutation::DeleteGroup { name, etag: given(request.etag) }).await?;
    Ok(pb::DeleteGroupResponse {})
}

pub(crate) async fn add_member(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::AddGroupMemberRequest,
) -> Result<pb::AddGroupMemberResponse> {
    let group = GroupName::parse(&request.parent).at("parent")?;
    let user = UserName::parse(&request.user).at("user")?.user;
    let name = GroupMemberName { group, user };
    let mutation = AccountMutation::AddGroupMember { name, administrator: request.administrator };
    let written = apply_account(store, context, mutation).await?;
    Ok(pb::AddGroupMemberResponse { member: written.group_member() })
}

pub(crate) async fn list_members(
    store: &dyn FlagStore,
    request: pb::ListGroupMembersRequest,
) -> Result<pb::ListGroupMembersResponse> {
    let parent = GroupName::parse(&request.parent).at("parent")?;
    let paging = Paging::parse(request.page_size, &request.page_token, &["group members", &request.parent])?;
    let found = store.group_members(&parent, &paging.query()).await?;
    let (members, next_page_token) = paging.cut(found, |item| item.name.user.to_string());
    Ok(pb::ListGroupMembersResponse { members, next_page_token })
}

pub(crate) async fn update_member(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::UpdateGroupMemberRequest,
) -> Result<pb::UpdateGroupMemberResponse> {
    let name = GroupMemberName::parse(&request.name).at("name")?;
    let mutation = AccountMutation::UpdateGroupMember { name, administrator: request.administrator };
    let written = apply_account(store, context, mutation).await?;
    Ok(pb::UpdateGroupMemberResponse { member: written.group_member() })
}

pub(crate) async fn remove_member(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::RemoveGroupMemberRequest,
) -> Result<pb::RemoveGroupMemberResponse> {
    let name = GroupMemberName::parse(&request.name).at("name")?;
    apply_account(store, context, AccountMutation::RemoveGroupMember { name }).await?;
    Ok(pb::RemoveGroupMemberResponse {})
}

#[cfg(test)]
mod tests {
    use burgee_proto::v1 as shared;

    use super::*;

    const ENG: &str = "organisations/acme/groups/eng";

    fn update(group: shared::Group, paths: &[&str]) -> Result<AccountMutation, Violation> {
        plan_update(pb::UpdateGroupRequest {
            group: Some(group),
            update_mask: Some(prost_types::FieldMask {
                paths: paths.iter().map(ToString::to_string).collect(),
            }),
            ..Default::default()
        })
    }

    #[test]
    fn what_is_named_is_changed_and_an_empty_external_id_is_none() {
        let check = |group: shared::Group, paths: &[&str], patch: GroupPatch| {
            let name = GroupName::parse(ENG).unwrap();
            let expected = AccountMutation::UpdateGroup { name, patch, etag: None };
            assert_eq!(update(shared::Group { name: ENG.into(), ..group }, paths).unwrap(), expected);
        };
        let named = shared::Group { external_id: Some("Eng".into()), ..Default::default() };
        let patch = |external_id: &str| GroupPatch {
            external_id: Some(given(external_id.to_owned())),
            ..GroupPatch::default()
        };
        check(named.clone(), &["external_id"], patch("Eng"));
        check(named, &[], patch("Eng"));
        check(shared::Group::default(), &["external_id"], patch(""));
        check(shared::Group { external_id: Some(String::new()), ..Default::default() }, &[], patch(""));
        let all =
            GroupPatch { display_name: Some("eng".into()), is_default: Some(false), external_id: Some(None) };
        check(shared::Group::default(), &["*"], all);
    }

    #[test]
    fn an_update_names_the_field_at_fault() {
        let check = |group: shared::Group, field: &str| {
            assert_eq!(update(group, &["*"]).unwrap_err().field, field);
        };
        let eng = || shared::Group { name: ENG.into(), ..Default::default() };
        check(shared::Group::default(), "group.name");
        check(shared::Group { display_name: "x".repeat(2_001), ..eng() }, "group.display_name");
        check(shared::Group { external_id: Some("é".repeat(256)), ..eng() }, "group.external_id");
        assert!(update(shared::Group { external_id: Some("é".repeat(255)), ..eng() }, &["*"]).is_ok());
        assert_eq!(update(eng(), &["name"]).unwrap_err().field, "update_mask");
    }
}
