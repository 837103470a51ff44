//! Users.

use burgee_proto::management::v1::*;
use burgee_proto::v1 as pb;
use tonic::Code;

use crate::world::*;

both! {
    users_are_created_read_and_listed,
    a_user_changes_only_their_own_display_name,
    administrators_change_and_delete_users,
    the_last_administrator_of_the_server_stays,
    a_deleted_user_leaves_nothing_behind,
}

async fn users_are_created_read_and_listed(world: World) {
    let create = |id: &str, email: &str| CreateUserRequest {
        user_id: id.into(),
        user: Some(pb::User { email: email.into(), ..Default::default() }),
        ..Default::default()
    };
    let user =
        world.users().create_user(create("ada", "ada@example.com")).await.unwrap().into_inner().user.unwrap();
    assert_eq!((user.name.as_str(), user.display_name.as_str()), ("users/ada", "ada"));
    assert_eq!((user.administrator, user.email_verified), (Some(false), true));
    check_taken(world.users().create_user(create("ada", "eve@example.com")).await, "users/ada");
    check(
        world.users().create_user(create("eve", "ADA@example.com")).await,
        Code::AlreadyExists,
        "ALREADY_EXISTS",
    );
    check_invalid(world.users().create_user(create("eve", "eve")).await, "user.email");
    check_invalid(
        world.users().create_user(CreateUserRequest { user_id: "eve".into(), ..Default::default() }).await,
        "user.email",
    );
    let read =
        world.users().get_user(GetUserRequest { name: "users/ada".into() }).await.unwrap().into_inner();
    assert_eq!(read.user, Some(user));
    check_missing(world.users().get_user(GetUserRequest { name: "users/eve".into() }).await, "users/eve");
    let listed = world.users().list_users(ListUsersRequest::default()).await.unwrap().into_inner().users;
    assert_eq!(
        listed.iter().map(|user| user.name.as_str()).collect::<Vec<_>>(),
        ["users/ada", "users/administrator"]
    );
}

fn update(user: pb::User, paths: &[&str]) -> UpdateUserRequest {
    UpdateUserRequest { user: Some(user), update_mask: mask(paths), ..Default::default() }
}

fn ada() -> pb::User {
    pb::User {
        name: "users/ada".into(),
        email: "ada@acme.example".into(),
        display_name: "Ada".into(),
        administrator: Some(true),
        ..Default::default()
    }
}

async fn a_user_changes_only_their_own_display_name(world: World) {
    let caller = world.as_user("ada").await;
    let updated = caller.users().update_user(update(ada(), &["display_name"])).await.unwrap().into_inner();
    let user = updated.user.unwrap();
    assert_eq!((user.display_name.as_str(), user.email.as_str()), ("Ada", "ada@example.com"));
    for paths in [&["email"][..], &["administrator"], &["*"], &["display_name", "administrator"]] {
        check_denied(caller.users().update_user(update(ada(), paths)).await, "SERVER_ADMINISTRATOR");
    }
    let other = world.as_user("eve").await;
    let outcome = other.users().update_user(update(ada(), &["display_name"])).await;
    assert!(outcome.is_err(), "{outcome:?}");
    let get = GetUserRequest { name: "users/ada".into() };
    let read = world.users().get_user(get).await.unwrap().into_inner().user.unwrap();
    assert_eq!((read.administrator, read.etag), (Some(false), user.etag));
}

async fn administrators_change_and_delete_users(world: World) {
    let caller = world.as_user("ada").await;
    check_invalid(
        world.users().update_user(update(pb::User { email: "ada".into(), ..ada() }, &["email"])).await,
        "user.email",
    );
    let updated = world.users().update_user(update(ada(), &["*"])).await.unwrap().into_inner().user.unwrap();
    assert_eq!((updated.email.as_str(), updated.administrator), ("ada@acme.example", Some(true)));
    // What was given counts at once.
    caller.users().list_users(ListUsersRequest::default()).await.unwrap();
    let stale = pb::User { etag: "old".into(), ..ada() };
    check_stale(world.users().update_user(update(stale, &["display_name"])).await, &updated.etag);
    world.as_user("eve").await;
    let taken = pb::User { email: "EVE@example.com".into(), ..ada() };
    check(world.users().update_user(update(taken, &["email"])).await, Code::AlreadyExists, "ALREADY_EXISTS");
    let delete = DeleteUserRequest { name: "users/ada".into(), etag: "old".into(), ..Default::default() };
    check_stale(world.users().delete_user(delete.clone()).await, &updated.etag);
    world.users().delete_user(DeleteUserRequest { etag: updated.etag, ..delete }).await.unwrap();
    check_missing(world.users().get_user(GetUserRequest { name: "users/ada".into() }).await, "users/ada");
    let outcome = caller.users().get_current_user(GetCurrentUserRequest {}).await;
    check(outcome, Code::Unauthenticated, "CREDENTIAL_INVALID");
}

async fn the_last_administrator_of_the_server_stays(world: World) {
    let name = "users/administrator";
    let demoted = pb::User { name: name.into(), administrator: Some(false), ..Default::default() };
    let demote = update(demoted, &["administrator"]);
    let outcome = world.users().update_user(demote.clone()).await;
    check(outcome, Code::FailedPrecondition, "LAST_ADMINISTRATOR");
    let delete = DeleteUserRequest { name: name.into(), ..Default::default() };
    let outcome = world.users().delete_user(delete).await;
    check(outcome, Code::FailedPrecondition, "LAST_ADMINISTRATOR");
    let other = world.as_user("ada").await;
    world.users().update_user(update(ada(), &["administrator"])).await.unwrap();
    other.users().update_user(demote).await.unwrap();
    let create = CreateOrganisationRequest { organisation_id: "acme".into(), ..Default::default() };
    check_denied(world.organisations().create_organisation(create).await, "SERVER_ADMINISTRATOR");
}

async fn a_deleted_user_leaves_nothing_behind(world: World) {
    let world = world.shop().await;
    world.as_member("ada").await;
    world.grant("ada", "users/ada", SHOP, &[pb::Permission::ViewProject]).await;
    let delete = DeleteUserRequest { name: "users/ada".into(), ..Default::default() };
    world.users().delete_user(delete).await.unwrap();
    let request = ListMembersRequest { parent: ACME.into(), ..Default::default() };
    assert!(world.organisations().list_members(request).await.unwrap().into_inner().members.is_empty());
    let request = ListGrantsRequest { parent: ACME.into(), ..Default::default() };
    assert!(world.permissions().list_grants(request).await.unwrap().into_inner().grants.is_empty());
}
