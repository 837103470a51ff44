//! Groups and their members.

use burgee_proto::management::v1::*;
use burgee_proto::v1 as pb;
use tonic::Code;

use crate::world::*;

both! {
    a_group_is_created_read_changed_and_deleted,
    members_of_a_group_come_and_go,
    new_members_join_default_groups,
    an_administrator_of_a_group_manages_its_members,
    what_is_granted_to_a_group_is_held_by_its_members,
}

const ENG: &str = "organisations/acme/groups/eng";

fn create(id: &str, group: pb::Group) -> CreateGroupRequest {
    CreateGroupRequest { parent: ACME.into(), group_id: id.into(), group: Some(group), ..Default::default() }
}

async fn create_eng(world: &World) {
    world.groups().create_group(create("eng", pb::Group::default())).await.unwrap();
}

fn add(user: &str, administrator: bool) -> AddGroupMemberRequest {
    AddGroupMemberRequest { parent: ENG.into(), user: user.into(), administrator, ..Default::default() }
}

async fn members(world: &World) -> Vec<(String, bool)> {
    let request = ListGroupMembersRequest { parent: ENG.into(), ..Default::default() };
    let members = world.groups().list_group_members(request).await.unwrap().into_inner().members;
    members.into_iter().map(|member| (member.user, member.administrator)).collect()
}

async fn a_group_is_created_read_changed_and_deleted(world: World) {
    let world = world.shop().await;
    let group = pb::Group { external_id: Some("Engineering".into()), ..Default::default() };
    let created =
        world.groups().create_group(create("eng", group.clone())).await.unwrap().into_inner().group.unwrap();
    assert_eq!((created.name.as_str(), created.display_name.as_str()), (ENG, "eng"));
    assert_eq!((created.is_default, created.external_id.as_deref()), (Some(false), Some("Engineering")));
    check_taken(world.groups().create_group(create("eng", pb::Group::default())).await, ENG);
    check(world.groups().create_group(create("ops", group)).await, Code::AlreadyExists, "ALREADY_EXISTS");
    check_invalid(world.groups().create_group(create("Eng", pb::Group::default())).await, "group_id");
    let long = pb::Group { external_id: Some("x".repeat(256)), ..Default::default() };
    check_invalid(world.groups().create_group(create("ops", long)).await, "group.external_id");

    let get = GetGroupRequest { name: ENG.into() };
    let read = world.groups().get_group(get.clone()).await.unwrap().into_inner().group;
    assert_eq!(read.as_ref(), Some(&created));
    let update = UpdateGroupRequest {
        group: Some(pb::Group { display_name: "Engineers".into(), external_id: None, ..created.clone() }),
        update_mask: mask(&["display_name", "external_id"]),
        ..Default::default()
    };
    let updated = world.groups().update_group(update.clone()).await.unwrap().into_inner().group.unwrap();
    assert_eq!((updated.display_name.as_str(), updated.external_id.as_deref()), ("Engineers", Some("")));
    check_stale(world.groups().update_group(update).await, &updated.etag);

    let list = ListGroupsRequest { parent: ACME.into(), ..Default::default() };
    let listed = world.groups().list_groups(list).await.unwrap().into_inner().groups;
    assert_eq!((listed.len(), &listed[0]), (1, &updated));
    let delete = DeleteGroupRequest { name: ENG.into(), etag: created.etag, ..Default::default() };
    check_stale(world.groups().delete_group(delete.clone()).await, &updated.etag);
    world.groups().delete_group(DeleteGroupRequest { etag: updated.etag, ..delete }).await.unwrap();
    check_missing(world.groups().get_group(get).await, ENG);
}

async fn members_of_a_group_come_and_go(world: World) {
    let world = world.shop().await;
    create_eng(&world).await;
    world.as_member("ada").await;
    world.as_user("eve").await;
    let added =
        world.groups().add_group_member(add("users/ada", false)).await.unwrap().into_inner().member.unwrap();
    assert_eq!((added.name, added.user.as_str()), (format!("{ENG}/members/ada"), "users/ada"));
    let outcome = world.groups().add_group_member(add("users/ada", true)).await;
    check_taken(outcome, &format!("{ENG}/members/ada"));
    // Eve has an account, but does not belong to the organisation.
    check(world.groups().add_group_member(add("users/eve", false)).await, Code::NotFound, "NOT_FOUND");
    check_invalid(world.groups().add_group_member(add("eve", false)).await, "user");

    let name = format!("{ENG}/members/ada");
    let update = UpdateGroupMemberRequest { name: name.clone(), administrator: true, ..Default::default() };
    let updated = world.groups().update_group_member(update).await.unwrap().into_inner().member.unwrap();
    assert!(updated.administrator);
    assert_eq!(members(&world).await, [("users/ada".to_owned(), true)]);
    let remove = RemoveGroupMemberRequest { name: name.clone(), ..Default::default() };
    world.groups().remove_group_member(remove.clone()).await.unwrap();
    assert!(members(&world).await.is_empty());
    check(world.groups().remove_group_member(remove).await, Code::NotFound, "NOT_FOUND");
}

async fn new_members_join_default_groups(world: World) {
    let world = world.shop().await;
    world.as_member("ada").await;
    let group = pb::Group { is_default: Some(true), ..Default::default() };
    world.groups().create_group(create("eng", group)).await.unwrap();
    world.as_member("eve").await;
    assert_eq!(members(&world).await, [("users/eve".to_owned(), false)]);
    let remove = RemoveMemberRequest { name: format!("{ACME}/members/eve"), ..Default::default() };
    world.organisations().remove_member(remove).await.unwrap();
    assert!(members(&world).await.is_empty());
}

async fn an_administrator_of_a_group_manages_its_members(world: World) {
    let world = world.shop().await;
    create_eng(&world).await;
    let ada = world.as_member("ada").await;
    world.as_member("eve").await;
    check_denied(ada.groups().add_group_member(add("users/eve", false)).await, "MANAGE_USER_GROUPS");
    world.groups().add_group_member(add("users/ada", true)).await.unwrap();
    ada.groups().add_group_member(add("users/eve", false)).await.unwrap();
    assert_eq!(members(&ada).await.len(), 2);
    let request = create("ops", pb::Group::default());
    check_denied(ada.groups().create_group(request).await, "MANAGE_USER_GROUPS");
    let delete = DeleteGroupRequest { name: ENG.into(), ..Default::default() };
    check_denied(ada.groups().delete_group(delete).await, "MANAGE_USER_GROUPS");
}

async fn what_is_granted_to_a_group_is_held_by_its_members(world: World) {
    let world = world.shop().await;
    create_eng(&world).await;
    let ada = world.as_member("ada").await;
    world.grant("eng", ENG, SHOP, &[pb::Permission::ViewProject]).await;
    let get = GetProjectRequest { name: SHOP.into() };
    check_missing(ada.projects().get_project(get.clone()).await, SHOP);
    world.groups().add_group_member(add("users/ada", false)).await.unwrap();
    ada.projects().get_project(get.clone()).await.unwrap();
    let delete = DeleteGroupRequest { name: ENG.into(), ..Default::default() };
    world.groups().delete_group(delete).await.unwrap();
    check_missing(ada.projects().get_project(get).await, SHOP);
}
