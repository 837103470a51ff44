//! Invitations.

use burgee_proto::management::v1::*;
use burgee_proto::time::timestamp;
use burgee_proto::v1 as pb;
use chrono::{TimeDelta, Utc};
use tonic::Code;

use crate::world::*;

both! {
    an_invitation_is_created_read_listed_and_deleted,
    an_invitation_has_rules,
    somebody_new_accepts_an_invitation_once,
    many_may_follow_a_link,
    a_user_accepts_what_is_for_them,
    an_address_with_an_account_must_sign_in,
    a_secret_that_opens_nothing_tells_nothing,
    accepting_again_with_the_same_request_id_changes_nothing,
}

const FOR_EVE: &str = "organisations/acme/invitations/eve";

fn create(id: &str, email: &str) -> CreateInvitationRequest {
    CreateInvitationRequest {
        parent: ACME.into(),
        invitation_id: id.into(),
        invitation: Some(pb::Invitation {
            email: email.into(),
            role: pb::Role::Member.into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

async fn invite(world: &World, id: &str, email: &str) -> String {
    world.invitations().create_invitation(create(id, email)).await.unwrap().into_inner().secret
}

fn accept(secret: &str, user_id: &str, email: &str) -> AcceptInvitationRequest {
    let user = pb::User { email: email.into(), ..Default::default() };
    AcceptInvitationRequest {
        secret: secret.into(),
        user_id: user_id.into(),
        user: Some(user).filter(|_| !user_id.is_empty()),
        ..Default::default()
    }
}

async fn an_invitation_is_created_read_listed_and_deleted(world: World) {
    let world = world.shop().await;
    let request = CreateInvitationRequest { request_id: "1".into(), ..create("eve", "eve@example.com") };
    let tried = CreateInvitationRequest { validate_only: true, ..request.clone() };
    assert_eq!(world.invitations().create_invitation(tried).await.unwrap().into_inner().secret, "");
    let first = world.invitations().create_invitation(request.clone()).await.unwrap().into_inner();
    let again = world.invitations().create_invitation(request).await.unwrap().into_inner();
    let invitation = first.invitation.unwrap();
    assert_eq!((Some(&invitation), again.secret.as_str()), (again.invitation.as_ref(), ""));
    assert!(first.secret.starts_with("bgi_") && first.secret.starts_with(&invitation.hint));
    assert_eq!((invitation.name.as_str(), invitation.inviter.as_str()), (FOR_EVE, "users/administrator"));
    check_taken(world.invitations().create_invitation(create("eve", "")).await, FOR_EVE);
    check(
        world.invitations().create_invitation(create("eve2", "EVE@example.com")).await,
        Code::AlreadyExists,
        "ALREADY_EXISTS",
    );

    let get = GetInvitationRequest { name: FOR_EVE.into() };
    let read = world.invitations().get_invitation(get.clone()).await.unwrap().into_inner().invitation;
    assert_eq!(read.as_ref(), Some(&invitation));
    let list = ListInvitationsRequest { parent: ACME.into(), ..Default::default() };
    let listed = world.invitations().list_invitations(list).await.unwrap().into_inner().invitations;
    assert_eq!(listed, [invitation]);
    let delete = DeleteInvitationRequest { name: FOR_EVE.into(), ..Default::default() };
    world.invitations().delete_invitation(delete).await.unwrap();
    check_missing(world.invitations().get_invitation(get).await, FOR_EVE);
    let outcome = world.as_nobody().invitations().accept_invitation(accept(&first.secret, "eve", "")).await;
    check_missing(outcome, "of this secret");
}

async fn an_invitation_has_rules(world: World) {
    let world = world.shop().await;
    let check_rule = async |invitation: pb::Invitation, field: &str| {
        let request = CreateInvitationRequest { invitation: Some(invitation), ..create("x", "") };
        check_invalid(world.invitations().create_invitation(request).await, field);
    };
    let link = || pb::Invitation { role: pb::Role::Member.into(), ..Default::default() };
    check_rule(pb::Invitation::default(), "invitation.role").await;
    check_rule(pb::Invitation { role: pb::Role::Admin.into(), ..link() }, "invitation.role").await;
    check_rule(pb::Invitation { email: "eve".into(), ..link() }, "invitation.email").await;
    for days in [-1, 31] {
        let expire_time = Some(timestamp(Utc::now() + TimeDelta::days(days)));
        check_rule(pb::Invitation { expire_time, ..link() }, "invitation.expire_time").await;
    }
    let groups = vec!["organisations/evil/groups/eng".to_owned()];
    check_rule(pb::Invitation { groups, ..link() }, "invitation.groups[0]").await;
    let groups = vec![format!("{ACME}/groups/none")];
    let request =
        CreateInvitationRequest { invitation: Some(pb::Invitation { groups, ..link() }), ..create("x", "") };
    let outcome = world.invitations().create_invitation(request).await;
    check_missing(outcome, &format!("{ACME}/groups/none"));
    let ada = world.as_member("ada").await;
    check_denied(ada.invitations().create_invitation(create("x", "")).await, "ORGANISATION_ADMIN");
}

async fn somebody_new_accepts_an_invitation_once(world: World) {
    let world = world.shop().await;
    let group = CreateGroupRequest { parent: ACME.into(), group_id: "eng".into(), ..Default::default() };
    world.groups().create_group(group).await.unwrap();
    let mut request = create("eve", "eve@example.com");
    request.invitation.as_mut().unwrap().groups = vec![format!("{ACME}/groups/eng")];
    let secret = world.invitations().create_invitation(request).await.unwrap().into_inner().secret;

    let nobody = world.as_nobody();
    check_invalid(nobody.invitations().accept_invitation(accept(&secret, "", "")).await, "user_id");
    // The address is that of the invitation, whatever is given.
    let request = accept(&secret, "eve", "ada@example.com");
    let joined = nobody.invitations().accept_invitation(request).await.unwrap().into_inner();
    assert_eq!(joined.member.unwrap().name, format!("{ACME}/members/eve"));
    let user = joined.user.unwrap();
    assert_eq!((user.email.as_str(), user.email_verified), ("eve@example.com", false));
    assert_eq!(joined.token.unwrap().name, "users/eve/tokens/first");
    let eve = world.as_caller(&joined.token_secret);
    let current = eve.users().get_current_user(GetCurrentUserRequest {}).await.unwrap().into_inner();
    assert_eq!(current.user, Some(user));
    let members = ListGroupMembersRequest { parent: format!("{ACME}/groups/eng"), ..Default::default() };
    let members = eve.groups().list_group_members(members).await.unwrap().into_inner().members;
    assert_eq!(members[0].user, "users/eve");

    let outcome = nobody.invitations().accept_invitation(accept(&secret, "eve2", "")).await;
    check_missing(outcome, "of this secret");
    let get = GetInvitationRequest { name: FOR_EVE.into() };
    let read = world.invitations().get_invitation(get).await.unwrap().into_inner().invitation;
    assert!(read.unwrap().accept_time.is_some());
}

async fn many_may_follow_a_link(world: World) {
    let world = world.shop().await;
    let secret = invite(&world, "all", "").await;
    let nobody = world.as_nobody();
    check_invalid(nobody.invitations().accept_invitation(accept(&secret, "eve", "")).await, "user.email");
    for id in ["eve", "ida"] {
        let request = accept(&secret, id, &format!("{id}@example.com"));
        let joined = nobody.invitations().accept_invitation(request).await.unwrap().into_inner();
        let user = joined.user.unwrap();
        assert_eq!((user.email_verified, user.administrator), (false, Some(false)));
    }
    let request = ListMembersRequest { parent: ACME.into(), ..Default::default() };
    assert_eq!(world.organisations().list_members(request).await.unwrap().into_inner().members.len(), 2);
}

async fn a_user_accepts_what_is_for_them(world: World) {
    let world = world.shop().await;
    let ada = world.as_user("ada").await;
    let for_eve = invite(&world, "eve", "eve@example.com").await;
    assert!(ada.invitations().accept_invitation(accept(&for_eve, "", "")).await.is_err());
    let for_ada = invite(&world, "ada", "Ada@example.com").await;
    check_invalid(ada.invitations().accept_invitation(accept(&for_ada, "ada2", "")).await, "user_id");
    let joined = ada.invitations().accept_invitation(accept(&for_ada, "", "")).await.unwrap().into_inner();
    assert_eq!(joined.member.unwrap().user, "users/ada");
    assert_eq!((joined.user, joined.token, joined.token_secret.as_str()), (None, None, ""));
    let link = invite(&world, "all", "").await;
    let outcome = ada.invitations().accept_invitation(accept(&link, "", "")).await;
    check_taken(outcome, &format!("{ACME}/members/ada"));
    let ci = world.as_caller(&world.create_token(ACME, "ci").await);
    check_invalid(ci.invitations().accept_invitation(accept(&link, "", "")).await, "secret");
}

async fn an_address_with_an_account_must_sign_in(world: World) {
    let world = world.shop().await;
    world.as_user("ada").await;
    let secret = invite(&world, "ada", "ada@example.com").await;
    let nobody = world.as_nobody();
    let outcome = nobody.invitations().accept_invitation(accept(&secret, "ada2", "")).await;
    check(outcome, Code::FailedPrecondition, "ACCOUNT_EXISTS");
    let link = invite(&world, "all", "").await;
    let outcome = nobody.invitations().accept_invitation(accept(&link, "ada2", "ADA@example.com")).await;
    check(outcome, Code::FailedPrecondition, "ACCOUNT_EXISTS");
}

async fn a_secret_that_opens_nothing_tells_nothing(world: World) {
    let world = world.shop().await;
    let secret = invite(&world, "all", "").await;
    // The part that it is looked up by is right.
    let guess = format!("{}{}", &secret[..16], "x".repeat(secret.len() - 16));
    for secret in ["", "bgi_", "bgi_guess", &guess, &"x".repeat(10_000)] {
        let outcome = world.as_nobody().invitations().accept_invitation(accept(secret, "eve", "e@b")).await;
        check_missing(outcome, "of this secret");
    }
}

async fn accepting_again_with_the_same_request_id_changes_nothing(world: World) {
    let world = world.shop().await;
    let secret = invite(&world, "eve", "eve@example.com").await;
    let request = AcceptInvitationRequest { request_id: "1".into(), ..accept(&secret, "eve", "") };
    let nobody = world.as_nobody();
    let first = nobody.invitations().accept_invitation(request.clone()).await.unwrap().into_inner();
    let again = nobody.invitations().accept_invitation(request).await.unwrap().into_inner();
    assert_eq!((first.member, first.user), (again.member, again.user));
    assert!(!first.token_secret.is_empty() && again.token_secret.is_empty());
}
