//! Roles.

use burgee_proto::management::v1::*;
use burgee_proto::v1 as pb;
use tonic::Code;

use crate::world::*;

both! {
    a_role_is_created_read_changed_and_deleted,
    a_role_that_is_granted_is_not_deleted,
    a_changed_role_counts_at_once,
    members_see_roles_and_administrators_change_them,
}

const RELEASE: &str = "organisations/acme/roles/release";

fn create(id: &str, permissions: &[pb::Permission]) -> CreateRoleRequest {
    CreateRoleRequest {
        parent: ACME.into(),
        role_id: id.into(),
        role: Some(pb::PermissionRole {
            permissions: permissions.iter().map(|permission| (*permission).into()).collect(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn update(permissions: &[pb::Permission]) -> UpdateRoleRequest {
    let role = create("release", permissions).role.unwrap();
    UpdateRoleRequest {
        role: Some(pb::PermissionRole { name: RELEASE.into(), ..role }),
        update_mask: mask(&["permissions"]),
        ..Default::default()
    }
}

fn granted(grantee: &str) -> CreateGrantRequest {
    let mut request = new_grant("release", grantee, SHOP, &[]);
    request.grant.as_mut().unwrap().role = RELEASE.into();
    request
}

async fn a_role_is_created_read_changed_and_deleted(world: World) {
    use pb::Permission::{UpdateFeatureState, ViewEnvironment, ViewProject};
    let world = world.shop().await;
    let request = create("release", &[UpdateFeatureState, ViewProject]);
    let created = world.permissions().create_role(request.clone()).await.unwrap().into_inner().role.unwrap();
    assert_eq!((created.name.as_str(), created.display_name.as_str()), (RELEASE, "release"));
    assert_eq!(created.permissions().collect::<Vec<_>>(), [ViewProject, UpdateFeatureState]);
    check_taken(world.permissions().create_role(request).await, RELEASE);
    check_invalid(world.permissions().create_role(create("x", &[])).await, "role.permissions");
    let twice = create("x", &[ViewProject, ViewProject]);
    check_invalid(world.permissions().create_role(twice).await, "role.permissions[1]");
    let nothing = create("x", &[pb::Permission::Unspecified]);
    check_invalid(world.permissions().create_role(nothing).await, "role.permissions[0]");

    let get = GetRoleRequest { name: RELEASE.into() };
    let read = world.permissions().get_role(get.clone()).await.unwrap().into_inner().role;
    assert_eq!(read.as_ref(), Some(&created));
    let updated =
        world.permissions().update_role(update(&[ViewEnvironment])).await.unwrap().into_inner().role.unwrap();
    assert_eq!(updated.permissions().collect::<Vec<_>>(), [ViewEnvironment]);
    assert_ne!(updated.etag, created.etag);
    let mut stale = update(&[ViewProject]);
    stale.role.as_mut().unwrap().etag = created.etag;
    check_stale(world.permissions().update_role(stale).await, &updated.etag);
    let list = ListRolesRequest { parent: ACME.into(), ..Default::default() };
    assert_eq!(world.permissions().list_roles(list).await.unwrap().into_inner().roles, [updated]);
    let delete = DeleteRoleRequest { name: RELEASE.into(), ..Default::default() };
    world.permissions().delete_role(delete).await.unwrap();
    check_missing(world.permissions().get_role(get).await, RELEASE);
}

async fn a_role_that_is_granted_is_not_deleted(world: World) {
    let world = world.shop().await;
    world.as_member("ada").await;
    check_missing(world.permissions().create_grant(granted("users/ada")).await, RELEASE);
    world.permissions().create_role(create("release", &[pb::Permission::ViewProject])).await.unwrap();
    let request = granted("users/ada");
    let grant = world.permissions().create_grant(request).await.unwrap().into_inner().grant.unwrap();
    assert_eq!((grant.role.as_str(), grant.permissions.len()), (RELEASE, 0));
    let delete = DeleteRoleRequest { name: RELEASE.into(), ..Default::default() };
    let outcome = world.permissions().delete_role(delete.clone()).await;
    assert_eq!(metadata(&check(outcome, Code::FailedPrecondition, "IN_USE"), "users"), grant.name);
    let revoke = RevokeGrantRequest { name: grant.name, ..Default::default() };
    world.permissions().revoke_grant(revoke).await.unwrap();
    world.permissions().delete_role(delete).await.unwrap();
}

async fn a_changed_role_counts_at_once(world: World) {
    use pb::Permission::{ManageSegments, OrganisationAdmin, ViewProject};
    let world = world.shop().await;
    let ada = world.as_member("ada").await;
    world.permissions().create_role(create("release", &[ManageSegments])).await.unwrap();
    world.permissions().create_grant(granted("users/ada")).await.unwrap();
    let get = GetProjectRequest { name: SHOP.into() };
    check_denied(ada.projects().get_project(get.clone()).await, "VIEW_PROJECT");
    world.permissions().update_role(update(&[ViewProject])).await.unwrap();
    ada.projects().get_project(get.clone()).await.unwrap();
    // The role is granted on the project: what belongs to the organisation has no effect there.
    world.permissions().update_role(update(&[OrganisationAdmin])).await.unwrap();
    check_denied(ada.projects().get_project(get).await, "VIEW_PROJECT");
}

async fn members_see_roles_and_administrators_change_them(world: World) {
    let world = world.shop().await;
    world.permissions().create_role(create("release", &[pb::Permission::ViewProject])).await.unwrap();
    let ada = world.as_member("ada").await;
    ada.permissions().get_role(GetRoleRequest { name: RELEASE.into() }).await.unwrap();
    let request = create("x", &[pb::Permission::ViewProject]);
    check_denied(ada.permissions().create_role(request).await, "ORGANISATION_ADMIN");
    let delete = DeleteRoleRequest { name: RELEASE.into(), ..Default::default() };
    check_denied(ada.permissions().delete_role(delete).await, "ORGANISATION_ADMIN");
    let eve = world.as_user("eve").await;
    let outcome = eve.permissions().get_role(GetRoleRequest { name: RELEASE.into() }).await;
    check(outcome, Code::NotFound, "NOT_FOUND");
}
