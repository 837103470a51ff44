//! Organisations, members and tokens.

use burgee_proto::management::v1::*;
use burgee_proto::v1 as pb;
use tonic::Code;

use crate::world::*;

both! {
    an_organisation_is_created_read_changed_and_deleted,
    an_organisation_with_projects_is_deleted_only_by_force,
    organisations_are_listed_in_pages,
    members_come_and_go,
    a_token_may_expire_in_the_future,
    a_secret_is_shown_once,
}

async fn an_organisation_is_created_read_changed_and_deleted(world: World) {
    let create = |id: &str| CreateOrganisationRequest { organisation_id: id.into(), ..Default::default() };
    let created = world.organisations().create_organisation(create("acme")).await.unwrap().into_inner();
    let created = created.organisation.unwrap();
    assert_eq!((created.name.as_str(), created.display_name.as_str()), (ACME, "acme"));
    assert_eq!(created.persist_trait_data, Some(true));
    check_taken(world.organisations().create_organisation(create("acme")).await, ACME);
    check_invalid(world.organisations().create_organisation(create("Acme")).await, "organisation_id");
    let long = CreateOrganisationRequest {
        organisation: Some(pb::Organisation { display_name: "x".repeat(2_001), ..Default::default() }),
        ..create("long")
    };
    check_invalid(world.organisations().create_organisation(long).await, "organisation.display_name");

    let get = GetOrganisationRequest { name: ACME.into() };
    let read = world.organisations().get_organisation(get.clone()).await.unwrap().into_inner();
    assert_eq!(read.organisation.as_ref(), Some(&created));

    let update = UpdateOrganisationRequest {
        organisation: Some(pb::Organisation { display_name: "Acme".into(), ..created.clone() }),
        update_mask: mask(&["display_name"]),
        ..Default::default()
    };
    let updated = world.organisations().update_organisation(update.clone()).await.unwrap().into_inner();
    let updated = updated.organisation.unwrap();
    assert_eq!(updated.display_name, "Acme");
    assert_ne!(updated.etag, created.etag);
    check_stale(world.organisations().update_organisation(update.clone()).await, &updated.etag);
    let nothing = UpdateOrganisationRequest { update_mask: mask(&["create_time"]), ..update.clone() };
    check_invalid(world.organisations().update_organisation(nothing).await, "update_mask");
    let nobody = UpdateOrganisationRequest { organisation: None, ..update };
    check_invalid(world.organisations().update_organisation(nobody).await, "organisation.name");

    let delete = DeleteOrganisationRequest { name: ACME.into(), etag: created.etag, ..Default::default() };
    check_stale(world.organisations().delete_organisation(delete.clone()).await, &updated.etag);
    let delete = DeleteOrganisationRequest { etag: updated.etag, ..delete };
    world.organisations().delete_organisation(delete).await.unwrap();
    check_missing(world.organisations().get_organisation(get).await, ACME);
}

async fn an_organisation_with_projects_is_deleted_only_by_force(world: World) {
    let world = world.shop().await;
    let delete = DeleteOrganisationRequest { name: ACME.into(), ..Default::default() };
    let status = world.organisations().delete_organisation(delete.clone()).await;
    assert_eq!(metadata(&check(status, Code::FailedPrecondition, "IN_USE"), "users"), SHOP);
    let delete = DeleteOrganisationRequest { force: true, ..delete };
    world.organisations().delete_organisation(delete).await.unwrap();
    check_missing(world.projects().get_project(GetProjectRequest { name: SHOP.into() }).await, SHOP);
}

async fn organisations_are_listed_in_pages(world: World) {
    for id in ["c", "a", "b"] {
        let request = CreateOrganisationRequest { organisation_id: id.into(), ..Default::default() };
        world.organisations().create_organisation(request).await.unwrap();
    }
    let mut request = ListOrganisationsRequest { page_size: 2, ..Default::default() };
    let first = world.organisations().list_organisations(request.clone()).await.unwrap().into_inner();
    let names = |page: &ListOrganisationsResponse| {
        page.organisations.iter().map(|item| item.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&first), ["organisations/a", "organisations/b"]);
    request.page_token = first.next_page_token.clone();
    let last = world.organisations().list_organisations(request.clone()).await.unwrap().into_inner();
    assert_eq!((names(&last), last.next_page_token.as_str()), (vec!["organisations/c".to_owned()], ""));
    check_invalid(
        world
            .users()
            .list_users(ListUsersRequest { page_token: first.next_page_token, ..Default::default() })
            .await,
        "page_token",
    );
    request.page_size = -1;
    check_invalid(world.organisations().list_organisations(request).await, "page_size");
}

async fn members_come_and_go(world: World) {
    let world = world.shop().await;
    let add = |user: &str, role: pb::Role| AddMemberRequest {
        parent: ACME.into(),
        user: user.into(),
        role: role.into(),
        ..Default::default()
    };
    let member = |outcome: AddMemberResponse| outcome.member.unwrap();
    let request = add("users/administrator", pb::Role::Admin);
    let admin = member(world.organisations().add_member(request.clone()).await.unwrap().into_inner());
    assert_eq!(admin.name, format!("{ACME}/members/administrator"));
    assert_eq!(admin.user, "users/administrator");
    check_taken(world.organisations().add_member(request).await, &admin.name);
    check_missing(world.organisations().add_member(add("users/eve", pb::Role::Member)).await, "users/eve");
    check_invalid(world.organisations().add_member(add("users/eve", pb::Role::Unspecified)).await, "role");
    check_invalid(world.organisations().add_member(add("eve", pb::Role::Member)).await, "user");

    let demote = UpdateMemberRoleRequest {
        name: admin.name.clone(),
        role: pb::Role::Member.into(),
        ..Default::default()
    };
    let outcome = world.organisations().update_member_role(demote.clone()).await;
    check(outcome, Code::FailedPrecondition, "LAST_ADMINISTRATOR");
    let remove = RemoveMemberRequest { name: admin.name, ..Default::default() };
    let outcome = world.organisations().remove_member(remove.clone()).await;
    check(outcome, Code::FailedPrecondition, "LAST_ADMINISTRATOR");

    let user = pb::User { email: "ada@example.com".into(), ..Default::default() };
    let request = CreateUserRequest { user_id: "ada".into(), user: Some(user), ..Default::default() };
    world.users().create_user(request).await.unwrap();
    member(world.organisations().add_member(add("users/ada", pb::Role::Admin)).await.unwrap().into_inner());
    let demoted =
        world.organisations().update_member_role(demote).await.unwrap().into_inner().member.unwrap();
    assert_eq!(demoted.role(), pb::Role::Member);
    world.organisations().remove_member(remove).await.unwrap();
    let request = ListMembersRequest { parent: ACME.into(), ..Default::default() };
    let members = world.organisations().list_members(request).await.unwrap().into_inner().members;
    assert_eq!(members.iter().map(|member| member.user.as_str()).collect::<Vec<_>>(), ["users/ada"]);
}

async fn a_token_may_expire_in_the_future(world: World) {
    let create = |seconds: i64| CreateTokenRequest {
        parent: "users/administrator".into(),
        token_id: "short".into(),
        token: Some(pb::Token {
            expire_time: Some(prost_types::Timestamp { seconds, nanos: 0 }),
            ..Default::default()
        }),
        ..Default::default()
    };
    check_invalid(world.users().create_token(create(0)).await, "token.expire_time");
    let token = world.users().create_token(create(4_000_000_000)).await.unwrap().into_inner().token.unwrap();
    assert_eq!(token.expire_time.unwrap().seconds, 4_000_000_000);
    check_taken(world.users().create_token(create(4_000_000_000)).await, &token.name);
}

async fn a_secret_is_shown_once(world: World) {
    let request = CreateTokenRequest {
        parent: "users/administrator".into(),
        token_id: "ci".into(),
        request_id: "1".into(),
        ..Default::default()
    };
    let tried = CreateTokenRequest { validate_only: true, ..request.clone() };
    assert_eq!(world.users().create_token(tried).await.unwrap().into_inner().secret, "");
    let first = world.users().create_token(request.clone()).await.unwrap().into_inner();
    let again = world.users().create_token(request.clone()).await.unwrap().into_inner();
    assert!(!first.secret.is_empty() && again.secret.is_empty());
    assert_eq!(first.token, again.token);
    let other = CreateTokenRequest { token_id: "cd".into(), ..request };
    check(world.users().create_token(other).await, Code::InvalidArgument, "REQUEST_ID_REUSED");
}
