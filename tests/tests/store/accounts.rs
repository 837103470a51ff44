//! Organisations, members, users and tokens.

use burgee_core::account::{AccountMutation, AccountResource};
use burgee_core::grant::Principal;
use burgee_core::name::{LogName, TokenOwner};
use burgee_core::organisation::{OrganisationPatch, Role};
use burgee_core::store::ChangeOrder;

use crate::world::*;

both! {
    an_organisation_is_created_read_changed_and_deleted,
    organisations_are_listed_by_id,
    an_organisation_with_projects_is_deleted_only_by_force,
    settings_that_evaluation_looks_at_take_a_revision_of_every_project,
    members_come_and_go,
    the_last_administrator_stays,
    emails_are_unique_ignoring_case,
    a_token_is_presented_until_it_is_revoked_or_expires,
    a_token_of_an_organisation_never_administrates,
    only_an_empty_store_gets_a_first_user,
    writes_outside_of_projects_are_idempotent,
    writes_outside_of_projects_can_be_tried,
}

async fn an_organisation_is_created_read_changed_and_deleted(world: World) {
    let store = world.flags();
    let created = store.create_organisation(&write(), organisation("acme")).await.unwrap();
    assert_eq!(created.etag, "1");
    assert_eq!(store.organisation(&acme()).await.unwrap(), created);
    check_taken(store.create_organisation(&write(), organisation("acme")).await, "organisations/acme");

    let patch = OrganisationPatch { display_name: Some("Acme".to_owned()), ..Default::default() };
    let changed = store.update_organisation(&write(), &acme(), patch.clone(), Some("1")).await.unwrap();
    assert_eq!((changed.display_name.as_str(), changed.etag.as_str()), ("Acme", "2"));
    assert_eq!(store.organisation(&acme()).await.unwrap(), changed);
    check_stale(
        store.update_organisation(&write(), &acme(), patch, Some("1")).await,
        "organisations/acme",
        "2",
    );

    check_stale(
        store.delete_organisation(&write(), &acme(), false, Some("1")).await,
        "organisations/acme",
        "2",
    );
    store.delete_organisation(&write(), &acme(), false, Some("2")).await.unwrap();
    check_missing(store.organisation(&acme()).await, "organisations/acme");
    check_missing(store.delete_organisation(&write(), &acme(), false, None).await, "organisations/acme");
}

async fn organisations_are_listed_by_id(world: World) {
    for id in ["c", "a-b", "a", "ab", "b"] {
        world.flags().create_organisation(&write(), organisation(id)).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut next = Some(String::new());
    while let Some(after) = next {
        let part = world.flags().organisations(None, &page(&after, 2)).await.unwrap();
        let ids: Vec<String> =
            part.iter().map(|organisation| organisation.name.organisation.to_string()).collect();
        next = ids.last().cloned();
        seen.extend(ids);
    }
    assert_eq!(seen, ["a", "a-b", "ab", "b", "c"], "byte by byte: `-` comes before letters");
}

async fn an_organisation_with_projects_is_deleted_only_by_force(world: World) {
    let world = world.with_environments().await;
    let refused = world.flags().delete_organisation(&write(), &acme(), false, None).await;
    check_users(refused, &[shop().to_string()]);
    let project = world.project_ref().await;
    world.flags().delete_organisation(&write(), &acme(), true, None).await.unwrap();
    check_missing(world.flags().project(&shop()).await, &shop().to_string());
    assert_eq!(world.feed().revisions(&[project]).await.unwrap(), []);
}

async fn settings_that_evaluation_looks_at_take_a_revision_of_every_project(world: World) {
    let world = world.with_environments().await;
    world.flags().create_project(&write(), project("other"), None).await.unwrap();
    let (dev, before) = (world.environment_ref("dev").await, world.load("dev").await);
    let etag = world.flags().environment(&environment_name("dev")).await.unwrap().etag;

    let rename = OrganisationPatch { display_name: Some("Acme".to_owned()), ..Default::default() };
    world.flags().update_organisation(&write(), &acme(), rename, None).await.unwrap();
    assert_eq!(world.revision().await, before.revision, "a name is nothing that evaluation looks at");

    let stop = OrganisationPatch { stop_serving_flags: Some(true), ..Default::default() };
    world.flags().update_organisation(&write(), &acme(), stop, None).await.unwrap();
    let after = world.load("dev").await;
    assert_eq!(after.revision, before.revision + 1);
    assert_eq!(after.settings_revision, after.revision);
    assert!(after.stop_serving_flags && after.persist_trait_data);
    let touched = world.feed().touched(after.project, before.revision, after.revision, &[dev]).await.unwrap();
    assert_eq!(touched, [dev]);
    assert_eq!(
        world.flags().environment(&environment_name("dev")).await.unwrap().etag,
        etag,
        "the environment itself is as it was"
    );
    let change = world.last_change().await;
    assert_eq!(change.entries[0].subject, "organisations/acme");
    assert_eq!(change.entries[0].before.as_ref().unwrap()["stop_serving_flags"], false);
    assert_eq!(change.entries[0].after.as_ref().unwrap()["stop_serving_flags"], true);
    assert_eq!(world.flags().project(&project("other").name).await.unwrap().revision, 2);
}

async fn members_come_and_go(world: World) {
    let store = world.flags();
    store.create_organisation(&write(), organisation("acme")).await.unwrap();
    check_missing(store.add_member(&write(), &member_name("ada"), Role::Admin).await, "users/ada");
    for id in ["eve", "ada", "bob"] {
        store.create_user(&write(), user(id)).await.unwrap();
        store.add_member(&write(), &member_name(id), Role::Admin).await.unwrap();
    }
    let name = member_name("ada");
    check_taken(store.add_member(&write(), &name, Role::Member).await, &name.to_string());
    let changed = store.update_member(&write(), &name, Role::Member, Some("1")).await.unwrap();
    assert_eq!((changed.role, changed.etag.as_str()), (Role::Member, "2"));
    check_stale(store.update_member(&write(), &name, Role::Admin, Some("1")).await, &name.to_string(), "2");
    check_stale(store.remove_member(&write(), &name, Some("1")).await, &name.to_string(), "2");

    let listed = store.members(&acme(), &page("ada", 1)).await.unwrap();
    assert_eq!(listed.iter().map(|member| member.name.user.as_str()).collect::<Vec<_>>(), ["bob"]);
    store.remove_member(&write(), &name, Some("2")).await.unwrap();
    check_missing(store.remove_member(&write(), &name, None).await, &name.to_string());
    assert_eq!(store.members(&acme(), &all()).await.unwrap().len(), 2);
}

async fn the_last_administrator_stays(world: World) {
    let store = world.flags();
    store.create_organisation(&write(), organisation("acme")).await.unwrap();
    for (id, role) in [("ada", Role::Admin), ("bob", Role::Member)] {
        store.create_user(&write(), user(id)).await.unwrap();
        store.add_member(&write(), &member_name(id), role).await.unwrap();
    }
    let ada = member_name("ada");
    check_reason(store.remove_member(&write(), &ada, None).await, "LAST_ADMINISTRATOR");
    check_reason(store.update_member(&write(), &ada, Role::Member, None).await, "LAST_ADMINISTRATOR");
    store.update_member(&write(), &member_name("bob"), Role::Admin, None).await.unwrap();
    store.remove_member(&write(), &ada, None).await.unwrap();
}

async fn emails_are_unique_ignoring_case(world: World) {
    let store = world.flags();
    let ada = store.create_user(&write(), user("ada")).await.unwrap();
    assert_eq!(store.user(&user_name("ada")).await.unwrap(), ada);
    let mut other = user("bob");
    other.email = "ADA@Example.com".to_owned();
    check_taken(store.create_user(&write(), other).await, "ADA@Example.com");
    check_taken(store.create_user(&write(), user("ada")).await, "users/ada");
    check_missing(store.user(&user_name("bob")).await, "users/bob");
    assert_eq!(store.users(&all()).await.unwrap(), [ada]);
}

async fn a_token_is_presented_until_it_is_revoked_or_expires(world: World) {
    let store = world.flags();
    let mut administrator = user("ada");
    administrator.administrator = true;
    store.create_user(&write(), administrator).await.unwrap();
    let mut laptop = token("users/ada", "laptop");
    laptop.expires_at = Some(later(1));
    assert_eq!(store.create_token(&write(), laptop.clone(), secret("a")).await.unwrap(), laptop);
    check_taken(store.create_token(&write(), laptop.clone(), secret("b")).await, "users/ada/tokens/laptop");

    let lookup = secret("a").lookup;
    let credential = store.credential(&lookup).await.unwrap().unwrap();
    assert_eq!((&credential.secret, credential.administrator), (&secret("a"), true));
    assert!(credential.secret.is(&secret_text("a")) && !credential.secret.is(&secret_text("b")));
    assert_eq!(credential.principal, Principal::User(user_name("ada")));
    assert_eq!((credential.name.as_str(), credential.on_behalf_of.as_str()), ("users/ada/tokens/laptop", ""));
    assert_eq!(credential.expires_at, Some(later(1)));
    assert_eq!(store.credential("bgu_nothing12345").await.unwrap(), None);

    let used = credential.token.unwrap();
    store.note_uses(&[(used, later(2)), (used, later(3))]).await.unwrap();
    store.note_uses(&[(used, later(1))]).await.unwrap();
    store.note_uses(&[]).await.unwrap();
    let owner = TokenOwner::User(user_name("ada"));
    assert_eq!(store.tokens(&owner, &all()).await.unwrap()[0].last_used_at, Some(later(3)));

    let before = store.log(&LogName::Server).await.unwrap().newest;
    let revoked = store.revoke_token(&write(), &laptop.name).await.unwrap();
    assert_eq!(revoked.revoked_at, Some(now()));
    let mut again = write();
    again.now = later(2);
    let repeated = store.done(&again, AccountMutation::RevokeToken { name: laptop.name.clone() }).await;
    assert_eq!(repeated.revision, before + 1, "again changes nothing");
    assert_eq!(repeated.resource, Some(AccountResource::Token(revoked.clone())));
    assert_eq!(store.credential(&lookup).await.unwrap(), None, "it is revoked");
    assert_eq!(store.tokens(&owner, &all()).await.unwrap(), [revoked]);
    assert_eq!(store.log(&LogName::Server).await.unwrap().newest, before + 1);
    check_missing(
        store.revoke_token(&write(), &token("users/ada", "desk").name).await,
        "users/ada/tokens/desk",
    );
}

async fn a_token_of_an_organisation_never_administrates(world: World) {
    let store = world.flags();
    let robot = token("organisations/acme", "robot");
    let refused = store.create_token(&write(), robot.clone(), secret("a")).await;
    check_missing(refused, "organisations/acme");
    store.create_organisation(&write(), organisation("acme")).await.unwrap();
    store.create_token(&write(), robot.clone(), secret("a")).await.unwrap();
    let lookup = secret("a").lookup;
    let credential = store.credential(&lookup).await.unwrap().unwrap();
    assert_eq!((credential.principal, credential.administrator), (Principal::Token(robot.name), false));
    store.delete_organisation(&write(), &acme(), false, None).await.unwrap();
    assert_eq!(store.credential(&lookup).await.unwrap(), None);
}

async fn only_an_empty_store_gets_a_first_user(world: World) {
    let store = world.flags();
    let laptop = token("users/ada", "laptop");
    assert!(store.create_first_user(user("ada"), laptop.clone(), secret("a")).await.unwrap());
    let second = store.create_first_user(user("bob"), token("users/bob", "laptop"), secret("b")).await;
    assert!(!second.unwrap());
    assert_eq!(store.users(&all()).await.unwrap().len(), 1);
    let credential = store.credential(&secret("a").lookup).await.unwrap().unwrap();
    assert_eq!(credential.name, laptop.name.to_string());
    let change = world.last_of(&LogName::Server).await;
    assert_eq!((change.revision, change.actor.as_str(), change.entries.len()), (1, "system", 2));
}

async fn writes_outside_of_projects_are_idempotent(world: World) {
    let store = world.flags();
    let created = store.create_organisation(&request("o", 1), organisation("acme")).await.unwrap();
    assert_eq!(store.create_organisation(&request("o", 1), organisation("acme")).await.unwrap(), created);
    check_error(store.create_organisation(&request("o", 2), organisation("b")).await, "different request");

    store.create_user(&request("u", 1), user("ada")).await.unwrap();
    store.create_user(&request("u", 1), user("ada")).await.unwrap();
    let laptop = token("users/ada", "laptop");
    store.create_token(&request("t", 1), laptop.clone(), secret("a")).await.unwrap();
    let create = AccountMutation::CreateToken { token: laptop.clone(), secret: secret("b") };
    let again = store.done(&request("t", 1), create).await;
    assert!(again.replayed, "the caller must know that its new secret was not stored");
    assert_eq!((again.revision, again.resource), (3, Some(AccountResource::Token(laptop))));
    assert!(store.credential(&secret("a").lookup).await.unwrap().is_some());
    assert_eq!(store.credential(&secret("b").lookup).await.unwrap(), None);

    store.create_project(&request("p", 1), project("shop"), None).await.unwrap();
    store.create_project(&request("p", 1), project("shop"), None).await.unwrap();
    assert_eq!(store.changes(&shop_log(), ChangeOrder::After(0), 10).await.unwrap().len(), 1);
    let delete = || AccountMutation::DeleteProject { name: shop(), force: false, etag: None };
    let first = store.done(&request("d", 1), delete()).await;
    let again = store.done(&request("d", 1), delete()).await;
    assert_eq!((again.revision, again.resource, again.replayed), (first.revision, None, true));
    let delete = || AccountMutation::DeleteOrganisation { name: acme(), force: false, etag: None };
    let first = store.done(&request("e", 1), delete()).await;
    let again = store.done(&request("e", 1), delete()).await;
    assert_eq!((again.revision, again.resource, again.replayed), (first.revision, None, true));
}

async fn writes_outside_of_projects_can_be_tried(world: World) {
    let store = world.flags();
    store.create_organisation(&validation(), organisation("acme")).await.unwrap();
    check_missing(store.organisation(&acme()).await, "organisations/acme");
    let world = world.shop().await;
    let store = world.flags();
    let patch = OrganisationPatch { stop_serving_flags: Some(true), ..Default::default() };
    assert!(store.update_organisation(&validation(), &acme(), patch, None).await.unwrap().stop_serving_flags);
    assert!(!store.organisation(&acme()).await.unwrap().stop_serving_flags);
    store.delete_project(&validation(), &shop(), false, None).await.unwrap();
    store.delete_organisation(&validation(), &acme(), true, None).await.unwrap();
    assert_eq!(world.revision().await, 1);
}
