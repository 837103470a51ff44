//! Roles: named sets of permissions, to be granted.

use burgee_core::account::AccountMutation;
use burgee_core::change::WriteContext;
use burgee_core::grant::{PermissionRole, PermissionRolePatch};
use burgee_core::name::{OrganisationName, RoleId, RoleName};
use burgee_core::permission::Permission;
use burgee_core::store::FlagStore;
use burgee_core::{Result, Violation};
use burgee_proto::management::v1 as pb;
use burgee_proto::mask::Mask;
use burgee_proto::v1 as shared;

use crate::fields::{self, At as _, given, required};
use crate::page::Paging;
use crate::transaction::apply_account;

/// The fields that can change, and whether they are set.
fn changeable(wire: &shared::PermissionRole) -> [(&'static str, bool); 3] {
    [
        ("display_name", !wire.display_name.is_empty()),
        ("description", !wire.description.is_empty()),
        ("permissions", !wire.permissions.is_empty()),
    ]
}

pub(crate) async fn create(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::CreateRoleRequest,
) -> Result<pb::CreateRoleResponse> {
    let role = new_role(context, request)?;
    let written = apply_account(store, context, AccountMutation::CreateRole { role }).await?;
    Ok(pb::CreateRoleResponse { role: written.role() })
}

fn new_role(context: &WriteContext, request: pb::CreateRoleRequest) -> Result<PermissionRole, Violation> {
    let organisation = OrganisationName::parse(&request.parent).at("parent")?;
    let id = RoleId::parse(&request.role_id).at("role_id")?;
    let role = request.role.unwrap_or_default();
    Ok(PermissionRole {
        display_name: fields::display_name(role.display_name, id.as_str()).at("role")?,
        description: fields::description(role.description).at("role")?,
        permissions: permissions_of_role(&role.permissions).at("role")?,
        created_at: context.now,
        etag: String::new(),
        name: RoleName { organisation, role: id },
    })
}

/// Checks the field `permissions` of a role, and returns them in order.
fn permissions_of_role(given: &[i32]) -> Result<Vec<Permission>, Violation> {
    let mut permissions = fields::each_once(given, "permissions", permission)?;
    if permissions.is_empty() {
        return Err(Violation::new("permissions", "must have at least one"));
    }
    permissions.sort_unstable();
    Ok(permissions)
}

/// Parses the number of a permission.
pub(crate) fn permission(number: &i32) -> Result<Permission, Violation> {
    let wrong = |_| Violation::new("", format!("must be a permission, is {number}"));
    shared::Permission::try_from(*number).map_err(wrong)?.try_into()
}

pub(crate) async fn get(store: &dyn FlagStore, request: pb::GetRoleRequest) -> Result<pb::GetRoleResponse> {
    let name = RoleName::parse(&request.name).at("name")?;
    Ok(pb::GetRoleResponse { role: Some((&store.role(&name).await?).into()) })
}

pub(crate) async fn list(
    store: &dyn FlagStore,
    request: pb::ListRolesRequest,
) -> Result<pb::ListRolesResponse> {
    let parent = OrganisationName::parse(&request.parent).at("parent")?;
    let paging = Paging::parse(request.page_size, &request.page_token, &["roles", &request.parent])?;
    let found = store.roles(&parent, &paging.query()).await?;
    let (roles, next_page_token) = paging.cut(found, |item| item.name.role.to_string());
    Ok(pb::ListRolesResponse { roles, next_page_token })
}

pub(crate) async fn update(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::UpdateRoleRequest,
) -> Result<pb::UpdateRoleResponse> {
    let written = apply_account(store, context, plan_update(request)?).await?;
    Ok(pb::UpdateRoleResponse { role: written.role() })
}

fn plan_update(request: pb::UpdateRoleRequest) -> Result<AccountMutation, Violation> {
    let role = required(request.role, "role")?;
    let name = RoleName::parse(&role.name).at("role.name")?;
    let mask = Mask::parse(request.update_mask, &changeable(&role))?;
    let display_name = mask
        .select("display_name", role.display_name)
        .map(|text| fields::display_name(text, name.role.as_str()));
    let description = mask.select("description", role.description).map(fields::description);
    let permissions = mask.select("permissions", role.permissions).map(|given| permissions_of_role(&given));
    let patch = PermissionRolePatch {
        display_name: display_name.transpose().at("role")?,
        description: description.transpose().at("role")?,
        permissions: permissions.transpose().at("role")?,
    };
    Ok(AccountMutation::UpdateRole { name, patch, etag: given(role.etag) })
}

pub(crate) async fn delete(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::DeleteRoleRequest,
) -> Result<pb::DeleteRoleResponse> {
    let name = RoleName::parse(&request.name).at("name")?;
    apply_account(store, context, AccountMutation::DeleteRole { name, etag: given(request.etag) }).await?;
    Ok(pb::DeleteRoleResponse {})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_has_permissions_in_order_and_each_once() {
        use shared::Permission::{ManageIdentities, Unspecified, ViewEnvironment, ViewOrganisation};
        let check = |given: &[shared::Permission], expected: Result<&[Permission], &str>| {
            let given: Vec<i32> = given.iter().map(|permission| (*permission).into()).collect();
            let checked = permissions_of_role(&given).map_err(|violation| violation.field);
            assert_eq!(checked, expected.map(<[_]>::to_vec).map_err(str::to_owned), "{given:?}");
        };
        check(
            &[ManageIdentities, ViewOrganisation],
            Ok(&[Permission::ViewOrganisation, Permission::ManageIdentities]),
        );
        check(&[], Err("permissions"));
        check(&[ViewEnvironment, ManageIdentities, ViewEnvironment], Err("permissions[2]"));
        check(&[ViewEnvironment, Unspecified], Err("permissions[1]"));
        let violation = permissions_of_role(&[99]).unwrap_err();
        assert_eq!(violation.to_string(), "`permissions[0]` must be a permission, is 99");
    }

    #[test]
    fn an_update_changes_what_the_mask_names() {
        let update = |role: shared::PermissionRole, paths: &[&str]| {
            plan_update(pb::UpdateRoleRequest {
                role: Some(role),
                update_mask: Some(prost_types::FieldMask {
                    paths: paths.iter().map(ToString::to_string).collect(),
                }),
                ..Default::default()
            })
        };
        let name = "organisations/acme/roles/release";
        let role = || shared::PermissionRole {
            name: name.into(),
            description: "who releases".into(),
            permissions: vec![shared::Permission::UpdateFeatureState.into()],
            etag: "7".into(),
            ..Default::default()
        };
        let patch = PermissionRolePatch {
            description: Some("who releases".into()),
            permissions: Some(vec![Permission::UpdateFeatureState]),
            ..PermissionRolePatch::default()
        };
        let name = RoleName::parse(name).unwrap();
        let expected = AccountMutation::UpdateRole { name, patch, etag: Some("7".into()) };
        assert_eq!(update(role(), &["description", "permissions"]).unwrap(), expected);
        assert_eq!(update(role(), &[]).unwrap(), expected);
        let check = |role: shared::PermissionRole, field: &str| {
            assert_eq!(update(role, &["*"]).unwrap_err().field, field);
        };
        check(shared::PermissionRole { permissions: vec![], ..role() }, "role.permissions");
        check(shared::PermissionRole { permissions: vec![0], ..role() }, "role.permissions[0]");
        check(shared::PermissionRole { description: "x".repeat(20_001), ..role() }, "role.description");
        check(shared::PermissionRole { name: "release".into(), ..role() }, "role.name");
    }
}
