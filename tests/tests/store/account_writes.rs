//! What all writes outside of projects have in common.

use burgee_core::account::{AccountMutation, AccountResource, Joiner};
use burgee_core::change::ChangeKind;
use burgee_core::name::{LogName, ProjectName};
use burgee_core::organisation::Role;
use burgee_core::permission::Permission;

use crate::company::*;
use crate::world::*;

both! {
    every_write_is_one_change_of_its_log,
    a_write_outside_of_projects_wakes_listeners,
    grants_of_creators_are_in_the_log_of_the_organisation,
    stale_etags_are_refused,
}

/// Every kind of write, with the log that it is in, the first of its subjects, and what happened to it.
fn writes() -> Vec<(AccountMutation, LogName, String, ChangeKind)> {
    use AccountMutation::*;
    use ChangeKind::{Created, Deleted, Updated};
    let (server, here) = (|| LogName::Server, acme_log);
    let other = || organisation("other");
    let place = shop().to_string();
    let given = grant("y", "users/eve", &place, Permission::ViewProject);
    vec![
        (CreateOrganisation { organisation: other() }, server(), "organisations/other".into(), Created),
        (
            UpdateOrganisation { name: acme(), patch: Default::default(), etag: None },
            here(),
            acme().to_string(),
            Updated,
        ),
        (CreateUser { user: user("new") }, server(), "users/new".into(), Created),
        (
            UpdateUser { name: user_name("bob"), patch: Default::default(), etag: None },
            server(),
            "users/bob".into(),
            Updated,
        ),
        (
            CreateToken { token: token("users/bob", "y"), secret: secret("uy") },
            server(),
            "users/bob/tokens/y".into(),
            Created,
        ),
        (
            CreateToken { token: token("organisations/acme", "y"), secret: secret("oy") },
            here(),
            "organisations/acme/tokens/y".into(),
            Created,
        ),
        (RevokeToken { name: token("users/ada", "x").name }, server(), "users/ada/tokens/x".into(), Updated),
        (
            AddMember { name: member_name("mia"), role: Role::Member },
            here(),
            member_name("mia").to_string(),
            Created,
        ),
        (
            UpdateMember { name: member_name("bob"), role: Role::Admin, etag: None },
            here(),
            member_name("bob").to_string(),
            Updated,
        ),
        (CreateGroup { group: group("y") }, here(), group_name("y").to_string(), Created),
        (
            UpdateGroup { name: group_name("team"), patch: Default::default(), etag: None },
            here(),
            group_name("team").to_string(),
            Updated,
        ),
        (
            AddGroupMember { name: group_member_name("team", "eve"), administrator: true },
            here(),
            group_member_name("team", "eve").to_string(),
            Created,
        ),
        (
            UpdateGroupMember { name: group_member_name("team", "bob"), administrator: true },
            here(),
            group_member_name("team", "bob").to_string(),
            Updated,
        ),
        (
            CreateInvitation { invitation: invitation("y", None), secret: secret("iy") },
            here(),
            invitation_name("y").to_string(),
            Created,
        ),
        (
            AcceptInvitation {
                name: invitation_name("x"),
                joiner: Joiner::New {
                    user: user("joiner"),
                    token: token("users/joiner", "first"),
                    secret: secret("jx"),
                },
            },
            here(),
            "users/joiner".into(),
            Created,
        ),
        (CreateRole { role: role("y", &[]) }, here(), role_name("y").to_string(), Created),
        (
            UpdateRole { name: role_name("x"), patch: Default::default(), etag: None },
            here(),
            role_name("x").to_string(),
            Updated,
        ),
        (CreateGrant { grant: given }, here(), grant_name("y").to_string(), Created),
        (
            CreateTrustRelationship { trust_relationship: trust("y") },
            here(),
            trust_name("y").to_string(),
            Created,
        ),
        (
            UpdateTrustRelationship { name: trust_name("x"), patch: Default::default(), etag: None },
            here(),
            trust_name("x").to_string(),
            Updated,
        ),
        (RevokeGrant { name: grant_name("x") }, here(), grant_name("x").to_string(), Deleted),
        (DeleteRole { name: role_name("x"), etag: None }, here(), role_name("x").to_string(), Deleted),
        (DeleteInvitation { name: invitation_name("x") }, here(), invitation_name("x").to_string(), Deleted),
        (
            RemoveGroupMember { name: group_member_name("team", "bob") },
            here(),
            group_member_name("team", "bob").to_string(),
            Deleted,
        ),
        (
            DeleteGroup { name: group_name("team"), etag: None },
            here(),
            group_name("team").to_string(),
            Deleted,
        ),
        (
            DeleteTrustRelationship { name: trust_name("x"), etag: None },
            here(),
            trust_name("x").to_string(),
            Deleted,
        ),
        (
            RemoveMember { name: member_name("eve"), etag: None },
            here(),
            member_name("eve").to_string(),
            Deleted,
        ),
        (DeleteUser { name: user_name("mia"), etag: None }, server(), "users/mia".into(), Deleted),
        (DeleteProject { name: shop(), force: true, etag: None }, here(), shop().to_string(), Deleted),
        (DeleteOrganisation { name: acme(), force: true, etag: None }, server(), acme().to_string(), Deleted),
    ]
}

async fn every_write_is_one_change_of_its_log(world: World) {
    let world = world.company().await;
    let store = world.flags();
    for (index, (mutation, log, subject, kind)) in writes().into_iter().enumerate() {
        let what = format!("{mutation:?}");
        let before = store.log(&log).await.unwrap().newest;
        let tried = store.apply_account(&validation(), mutation.clone()).await.expect(&what);
        assert_eq!((tried.revision, tried.replayed), (before, false), "{what}");
        assert_eq!(store.log(&log).await.unwrap().newest, before, "{what}");

        let context = request(&format!("r{index}"), 1);
        let done = store.apply_account(&context, mutation.clone()).await.expect(&what);
        assert_eq!((done.revision, done.replayed), (before + 1, false), "{what}");
        let change = world.last_of(&log).await;
        assert_eq!((&change.log, change.revision, change.created_at), (&log, before + 1, now()));
        assert_eq!((change.actor.as_str(), change.address.as_str()), ("users/ada", "192.0.2.1"));
        assert_eq!(change.credential, "users/ada/tokens/laptop");
        assert_eq!((change.method.as_str(), change.reason.as_str()), ("TestService/Test", "because"));
        assert_eq!(change.request_id, format!("r{index}"));
        let first = &change.entries[0];
        assert_eq!((first.subject.as_str(), first.kind), (subject.as_str(), kind), "{what}");
        assert_eq!(
            (first.before.is_some(), first.after.is_some()),
            match kind {
                ChangeKind::Created => (false, true),
                ChangeKind::Updated => (true, true),
                ChangeKind::Deleted => (true, false),
            }
        );
        check_no_secrets(&change.entries);

        let again = store.apply_account(&context, mutation.clone()).await.expect(&what);
        assert_eq!((again.revision, again.replayed), (before + 1, true), "{what}");
        if kind == ChangeKind::Deleted {
            assert_eq!(again.resource, None, "{what}");
        } else if !matches!(done.resource, Some(AccountResource::Organisation(_))) {
            assert_eq!(again.resource, done.resource, "{what}");
        }
        let other = store.apply_account(&request(&format!("r{index}"), 2), mutation).await;
        check_error(other, "different request");
        assert_eq!(store.log(&log).await.unwrap().newest, before + 1, "{what}");
    }
}

fn check_no_secrets(entries: &[burgee_core::change::ChangeEntry]) {
    let text = serde_json::to_string(entries).unwrap();
    for secret_of in ["ux", "ox", "ix", "uy", "oy", "iy", "jx"] {
        let stored = secret(secret_of);
        let hash: String = stored.hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!text.contains(&secret_text(secret_of)) && !text.to_lowercase().contains(&hash), "{text}");
        // The hint of an invitation is what it is looked up by; a token's is its own.
        let looked_up = text.contains(&stored.lookup);
        assert!(!looked_up || secret_of.starts_with('i'), "{text}");
    }
    for word in ["salt", "hash\"", "lookup"] {
        assert!(!text.contains(word), "{text}");
    }
}

async fn a_write_outside_of_projects_wakes_listeners(world: World) {
    let world = world.shop().await;
    let mut listener = world.flags().wakeups().await.unwrap();
    world.flags().create_user(&write(), user("ada")).await.unwrap();
    let server = world.flags().log(&LogName::Server).await.unwrap();
    assert_eq!(listener.next().await.unwrap(), server.wakeup);
}

async fn grants_of_creators_are_in_the_log_of_the_organisation(world: World) {
    use burgee_core::change::{ChangeEntry, Mutation};
    use burgee_core::grant::{Grant, Grantee};
    use burgee_core::store::{ChangeOrder, GrantFilter};
    let world = world.company().await;
    let store = world.flags();
    let bob = Grantee::parse("users/bob").unwrap();
    let name = project("second").name;
    let before = store.log(&acme_log()).await.unwrap().newest;
    store.create_project(&write(), project("second"), Some(bob.clone())).await.unwrap();
    let mut created = environment("dev");
    created.name.project = name.clone();
    let create = |environment, creator: &str| Mutation::CreateEnvironment {
        environment,
        creator: Some(Grantee::parse(creator).unwrap()),
    };
    store.apply(&write(), &name, vec![create(created.clone(), "organisations/acme/tokens/x")]).await.unwrap();
    let mut cloned = environment("clone");
    cloned.name.project = name.clone();
    let clone = Mutation::CloneEnvironment {
        source: created.name.environment.clone(),
        environment: cloned,
        creator: Some(Grantee::parse("users/mia").unwrap()),
    };
    store.apply(&write(), &name, vec![clone]).await.unwrap();

    let grants = store.grants(&acme(), &GrantFilter::default(), &all()).await.unwrap();
    let made: Vec<&Grant> =
        grants.iter().filter(|grant| grant.name.grant.as_str().starts_with("creator-")).collect();
    assert_eq!(made.len(), 2, "who is not a member is granted nothing");
    let of_project = made.iter().find(|grant| grant.grantee == bob).unwrap();
    assert_eq!(of_project.permissions, [Permission::ProjectAdmin]);
    assert_eq!(of_project.place.to_string(), name.to_string());
    let of_environment = made.iter().find(|grant| grant.grantee != bob).unwrap();
    assert_eq!(of_environment.permissions, [Permission::EnvironmentAdmin]);
    assert_eq!(of_environment.place.to_string(), created.name.to_string());
    // The grants are in the log of the organisation, where all grants are; the rest is in the project's.
    for revision in 1..=3 {
        let change = store.change(&LogName::Project(name.clone()), revision).await.unwrap();
        assert_eq!(change.entries.len(), 1, "{change:?}");
    }
    let recorded = store.changes(&acme_log(), ChangeOrder::After(before), 10).await.unwrap();
    let recorded: Vec<&ChangeEntry> = recorded.iter().flat_map(|change| &change.entries).collect();
    assert_eq!(recorded.len(), 2, "{recorded:?}");
    for (entry, grant) in recorded.iter().zip([of_project, of_environment]) {
        assert_eq!((&entry.subject, entry.kind), (&grant.name.to_string(), ChangeKind::Created));
        assert_eq!(entry.after, Some(serde_json::to_value(grant).unwrap()));
    }

    let environment = created.name.environment.clone();
    store
        .apply(&write(), &name, vec![Mutation::DeleteEnvironment { environment, etag: None }])
        .await
        .unwrap();
    check_missing(store.grant(&of_environment.name).await, &of_environment.name.to_string());
    let deleted = (ChangeKind::Deleted, of_environment.name.to_string());
    assert_eq!(world.last_subjects(&acme_log()).await, [deleted]);
    store.delete_project(&write(), &name, true, None).await.unwrap();
    check_missing(store.grant(&of_project.name).await, &of_project.name.to_string());
    let deleted = world.last_subjects(&acme_log()).await;
    assert_eq!(
        deleted,
        [&ProjectName::to_string(&name), &of_project.name.to_string()]
            .map(|subject| (ChangeKind::Deleted, subject.clone()))
    );
}

async fn stale_etags_are_refused(world: World) {
    use AccountMutation::*;
    let world = world.company().await;
    let etag = || Some("9".to_owned());
    for (mutation, name) in [
        (
            UpdateUser { name: user_name("bob"), patch: Default::default(), etag: etag() },
            "users/bob".to_owned(),
        ),
        (DeleteUser { name: user_name("bob"), etag: etag() }, "users/bob".to_owned()),
        (
            UpdateGroup { name: group_name("team"), patch: Default::default(), etag: etag() },
            group_name("team").to_string(),
        ),
        (DeleteGroup { name: group_name("team"), etag: etag() }, group_name("team").to_string()),
        (
            UpdateRole { name: role_name("x"), patch: Default::default(), etag: etag() },
            role_name("x").to_string(),
        ),
        (DeleteRole { name: role_name("x"), etag: etag() }, role_name("x").to_string()),
        (
            UpdateTrustRelationship { name: trust_name("x"), patch: Default::default(), etag: etag() },
            trust_name("x").to_string(),
        ),
        (DeleteTrustRelationship { name: trust_name("x"), etag: etag() }, trust_name("x").to_string()),
    ] {
        check_stale(world.flags().apply_account(&write(), mutation).await, &name, "1");
    }
}
