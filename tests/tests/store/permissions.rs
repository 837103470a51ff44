//! Groups, roles, grants, and what they come to.

use burgee_core::change::ChangeKind;
use burgee_core::grant::{Grantee, Held, PermissionRolePatch, Rights};
use burgee_core::limits::Limits;
use burgee_core::name::OrganisationName;
use burgee_core::organisation::{GroupPatch, Role};
use burgee_core::permission::{Permission, Place};
use burgee_core::store::GrantFilter;

use crate::company::*;
use crate::world::*;

both! {
    rights_are_the_union_of_everything_held,
    rights_of_tokens_groups_and_trust_relationships,
    claimed_groups_count_for_members_only,
    a_new_member_is_put_into_default_groups,
    who_leaves_loses_places_and_grants,
    what_a_deleted_group_or_trust_relationship_held_is_gone,
    nothing_is_granted_across_organisations,
    grants_are_listed_by_place_and_grantee,
    a_granted_role_stays,
    external_ids_are_unique_in_an_organisation,
    what_does_not_exist_is_said,
    things_of_an_organisation_are_limited,
}

async fn rights(world: &World, grantee: &str, claimed: &[&str]) -> Rights {
    let claimed: Vec<String> = claimed.iter().map(|group| (*group).to_owned()).collect();
    let grantee = Grantee::parse(grantee).unwrap();
    world.flags().rights(&grantee, &claimed, &acme()).await.unwrap()
}

fn held(place: &str, permissions: &[Permission], tags: &[&str]) -> Held {
    Held {
        place: Place::parse(place).unwrap(),
        permissions: permissions.to_vec(),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
    }
}

async fn rights_are_the_union_of_everything_held(world: World) {
    let world = world.company().await;
    let store = world.flags();
    let (project, dev) = (shop().to_string(), environment_name("dev").to_string());
    let mut tagged = grant("y", "users/bob", &dev, Permission::UpdateFeatureState);
    tagged.tags = vec!["a".to_owned()];
    store.create_grant(&write(), tagged).await.unwrap();
    let team = group_name("team").to_string();
    let mut by_role = grant("z", &team, "organisations/acme", Permission::CreateProject);
    by_role.role = Some(role_name("x"));
    store.create_grant(&write(), by_role.clone()).await.unwrap();
    store.update_group_member(&write(), &group_member_name("team", "bob"), true).await.unwrap();

    let bob = rights(&world, "users/bob", &[]).await;
    assert_eq!((bob.administrator, bob.role), (false, Some(Role::Member)));
    assert_eq!(bob.administered_groups, [group_name("team").group]);
    assert_eq!(
        bob.held,
        [
            held(&project, &[Permission::ViewProject], &[]),
            held(&dev, &[Permission::UpdateFeatureState], &["a"]),
            held("organisations/acme", &[Permission::CreateProject, Permission::CreateFeature], &[]),
        ]
    );
    let patch =
        PermissionRolePatch { permissions: Some(vec![Permission::ViewAuditLog]), ..Default::default() };
    store.update_role(&write(), &role_name("x"), patch, Some("1")).await.unwrap();
    assert!(rights(&world, "users/bob", &[]).await.held[2].permissions.contains(&Permission::ViewAuditLog));

    assert_eq!(rights(&world, "users/ada", &[]).await.role, Some(Role::Admin));
    assert_eq!(rights(&world, "users/eve", &[]).await.held, []);
    assert_eq!(rights(&world, "users/mia", &[]).await, Rights::default(), "no member");
    assert_eq!(rights(&world, "users/nobody", &[]).await, Rights::default());
    let nowhere = OrganisationName::parse("organisations/nowhere").unwrap();
    let grantee = Grantee::parse("users/bob").unwrap();
    assert_eq!(store.rights(&grantee, &[], &nowhere).await.unwrap(), Rights::default());
}

async fn rights_of_tokens_groups_and_trust_relationships(world: World) {
    let world = world.company().await;
    let store = world.flags();
    let member = [
        group_name("team").to_string(),
        token("organisations/acme", "x").name.to_string(),
        trust_name("x").to_string(),
    ];
    for (index, grantee) in member.iter().enumerate() {
        let given = grant(&format!("g{index}"), grantee, "organisations/acme", Permission::CreateProject);
        store.create_grant(&write(), given).await.unwrap();
        let found = rights(&world, grantee, &[]).await;
        assert_eq!(found.held, [held("organisations/acme", &[Permission::CreateProject], &[])]);
        assert_eq!(found.role, if index == 0 { None } else { Some(Role::Member) }, "{grantee}");
        assert!(!found.administrator);
    }
    store.create_organisation(&write(), organisation("other")).await.unwrap();
    let other = organisation("other").name;
    for grantee in &member {
        let grantee = Grantee::parse(grantee).unwrap();
        assert_eq!(store.rights(&grantee, &[], &other).await.unwrap(), Rights::default());
    }
    store.revoke_token(&write(), &token("organisations/acme", "x").name).await.unwrap();
    assert_eq!(rights(&world, &member[1], &[]).await, Rights::default(), "it is revoked");
}

async fn claimed_groups_count_for_members_only(world: World) {
    let world = world.company().await;
    let store = world.flags();
    let patch = GroupPatch { external_id: Some(Some("ext".to_owned())), ..Default::default() };
    store.update_group(&write(), &group_name("team"), patch, None).await.unwrap();
    let team = group_name("team").to_string();
    let given = grant("y", &team, "organisations/acme", Permission::CreateProject);
    store.create_grant(&write(), given).await.unwrap();
    assert_eq!(rights(&world, "users/eve", &["ext", "unknown"]).await.held.len(), 1);
    assert_eq!(rights(&world, "users/eve", &["team"]).await.held.len(), 0, "an id is no external id");
    assert_eq!(rights(&world, "users/bob", &["ext"]).await.held.len(), 2, "each grant counts once");
    assert_eq!(rights(&world, "users/mia", &["ext"]).await, Rights::default());
}

async fn a_new_member_is_put_into_default_groups(world: World) {
    let world = world.company().await;
    let store = world.flags();
    let everybody = burgee_core::organisation::Group { is_default: true, ..group("everybody") };
    store.create_group(&write(), everybody).await.unwrap();
    store.add_member(&write(), &member_name("mia"), Role::Member).await.unwrap();
    let place = group_member_name("everybody", "mia");
    let created = |subject: String| (ChangeKind::Created, subject);
    let expected = [created(member_name("mia").to_string()), created(place.to_string())];
    assert_eq!(world.last_subjects(&acme_log()).await, expected);
    let members = store.group_members(&group_name("everybody"), &all()).await.unwrap();
    assert_eq!(members.len(), 1, "who was a member before stays out");
    assert_eq!((&members[0].name, members[0].administrator), (&place, false));
}

async fn who_leaves_loses_places_and_grants(world: World) {
    let world = world.company().await;
    let store = world.flags();
    store.remove_member(&write(), &member_name("bob"), None).await.unwrap();
    let subjects = [
        member_name("bob").to_string(),
        group_member_name("team", "bob").to_string(),
        grant_name("x").to_string(),
    ];
    let gone = subjects.map(|subject| (ChangeKind::Deleted, subject));
    assert_eq!(world.last_subjects(&acme_log()).await, gone);
    check_missing(store.grant(&grant_name("x")).await, &grant_name("x").to_string());
    assert_eq!(store.group_members(&group_name("team"), &all()).await.unwrap(), []);
    store.add_member(&write(), &member_name("bob"), Role::Member).await.unwrap();
    assert_eq!(rights(&world, "users/bob", &[]).await.held, [], "who comes back begins anew");

    let given = grant("y", "users/bob", "organisations/acme", Permission::CreateProject);
    store.create_grant(&write(), given).await.unwrap();
    store.delete_user(&write(), &user_name("bob"), None).await.unwrap();
    let subjects = ["users/bob".to_owned(), member_name("bob").to_string(), grant_name("y").to_string()];
    let gone = subjects.map(|subject| (ChangeKind::Deleted, subject));
    assert_eq!(world.last_subjects(&burgee_core::name::LogName::Server).await, gone);
    assert!(!store.are_colleagues(&user_name("ada"), &user_name("bob")).await.unwrap());
    assert!(store.are_colleagues(&user_name("ada"), &user_name("eve")).await.unwrap());
    assert!(!store.are_colleagues(&user_name("ada"), &user_name("mia")).await.unwrap());
}

async fn what_a_deleted_group_or_trust_relationship_held_is_gone(world: World) {
    let world = world.company().await;
    let store = world.flags();
    for (id, grantee) in [("g", group_name("team").to_string()), ("t", trust_name("x").to_string())] {
        let given = grant(id, &grantee, "organisations/acme", Permission::CreateProject);
        store.create_grant(&write(), given).await.unwrap();
    }
    store.delete_group(&write(), &group_name("team"), None).await.unwrap();
    let gone = [group_name("team").to_string(), grant_name("g").to_string()];
    assert_eq!(world.last_subjects(&acme_log()).await, gone.map(|subject| (ChangeKind::Deleted, subject)));
    store.exchange(&trust_name("x"), "1", exchanged("e")).await.unwrap();
    store.delete_trust(&write(), &trust_name("x"), None).await.unwrap();
    let gone = [trust_name("x").to_string(), grant_name("t").to_string()];
    assert_eq!(world.last_subjects(&acme_log()).await, gone.map(|subject| (ChangeKind::Deleted, subject)));
    assert_eq!(store.credential(&secret("e").lookup).await.unwrap(), None);
}

async fn nothing_is_granted_across_organisations(world: World) {
    let world = world.company().await;
    let store = world.flags();
    store.create_organisation(&write(), organisation("other")).await.unwrap();
    store.create_token(&write(), token("organisations/other", "x"), secret("other")).await.unwrap();
    let here = "organisations/acme";
    for (grantee, place, missing) in [
        ("organisations/other/groups/g", here, "organisations/other/groups/g"),
        ("organisations/other/tokens/x", here, "organisations/other/tokens/x"),
        ("organisations/other/trustRelationships/t", here, "organisations/other/trustRelationships/t"),
        ("users/mia", here, "organisations/acme/members/mia"),
        ("users/nobody", here, "organisations/acme/members/nobody"),
        ("users/bob", "organisations/other", "organisations/other"),
        ("users/bob", "organisations/other/projects/p", "organisations/other/projects/p"),
        ("users/bob", "organisations/acme/projects/p", "organisations/acme/projects/p"),
        ("organisations/acme/groups/none", here, "organisations/acme/groups/none"),
        ("organisations/acme/tokens/none", here, "organisations/acme/tokens/none"),
    ] {
        let refused = store.create_grant(&write(), grant("y", grantee, place, Permission::ViewProject)).await;
        check_missing(refused, missing);
    }
    for role in ["organisations/other/roles/x", "organisations/acme/roles/none"] {
        let mut given = grant("y", "users/bob", here, Permission::ViewProject);
        given.role = Some(burgee_core::name::RoleName::parse(role).unwrap());
        check_missing(store.create_grant(&write(), given).await, role);
    }
    let twice = grant("x", "users/bob", here, Permission::ViewProject);
    check_taken(store.create_grant(&write(), twice).await, &grant_name("x").to_string());
}

async fn grants_are_listed_by_place_and_grantee(world: World) {
    let world = world.company().await;
    let store = world.flags();
    let dev = environment_name("dev").to_string();
    let team = group_name("team").to_string();
    for (id, grantee, place) in
        [("a", "users/bob", "organisations/acme"), ("b", team.as_str(), &dev), ("c", "users/eve", &dev)]
    {
        store.create_grant(&write(), grant(id, grantee, place, Permission::EnvironmentAdmin)).await.unwrap();
    }
    let list = async |place: Option<&str>, grantee: Option<&str>| {
        let filter = GrantFilter {
            place: place.map(|place| Place::parse(place).unwrap()),
            grantee: grantee.map(|grantee| Grantee::parse(grantee).unwrap()),
        };
        let grants = store.grants(&acme(), &filter, &all()).await.unwrap();
        grants.into_iter().map(|grant| grant.name.grant.to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(list(None, None).await, "a b c x");
    assert_eq!(list(Some("organisations/acme"), None).await, "a", "on this very place");
    assert_eq!(list(Some(&shop().to_string()), None).await, "x");
    assert_eq!(list(Some(&dev), None).await, "b c");
    assert_eq!(list(None, Some("users/bob")).await, "a x");
    assert_eq!(list(Some(&dev), Some(&team)).await, "b");
    assert_eq!(list(Some("organisations/other"), None).await, "");
    assert_eq!(list(None, Some("organisations/other/groups/team")).await, "");
    let part = store.grants(&acme(), &GrantFilter::default(), &page("a", 2)).await.unwrap();
    assert_eq!(part.iter().map(|grant| grant.name.grant.as_str()).collect::<Vec<_>>(), ["b", "c"]);
    let read = store.grant(&grant_name("b")).await.unwrap();
    assert_eq!(read, grant("b", &team, &dev, Permission::EnvironmentAdmin));
}

async fn a_granted_role_stays(world: World) {
    let world = world.company().await;
    let store = world.flags();
    for id in ["p", "q"] {
        let mut given = grant(id, "users/bob", "organisations/acme", Permission::CreateProject);
        given.role = Some(role_name("x"));
        given.permissions = Vec::new();
        store.create_grant(&write(), given).await.unwrap();
    }
    let users = [grant_name("p").to_string(), grant_name("q").to_string()];
    check_users(store.delete_role(&write(), &role_name("x"), None).await, &users);
    for id in ["p", "q"] {
        store.revoke_grant(&write(), &grant_name(id)).await.unwrap();
    }
    store.delete_role(&write(), &role_name("x"), None).await.unwrap();
    store.delete_organisation(&write(), &acme(), true, None).await.unwrap();
}

async fn external_ids_are_unique_in_an_organisation(world: World) {
    let world = world.company().await;
    let store = world.flags();
    let with =
        |id: &str| burgee_core::organisation::Group { external_id: Some("ext".to_owned()), ..group(id) };
    let created = store.create_group(&write(), with("a")).await.unwrap();
    assert_eq!(store.group(&group_name("a")).await.unwrap(), created);
    check_taken(store.create_group(&write(), with("b")).await, "ext");
    let patch = |external_id: Option<&str>| GroupPatch {
        external_id: Some(external_id.map(str::to_owned)),
        ..Default::default()
    };
    check_taken(store.update_group(&write(), &group_name("team"), patch(Some("ext")), None).await, "ext");
    store.update_group(&write(), &group_name("a"), patch(Some("ext")), None).await.unwrap();
    assert_eq!(
        store.update_group(&write(), &group_name("a"), patch(None), None).await.unwrap().external_id,
        None
    );
    store.create_group(&write(), with("b")).await.unwrap();
    let ids: Vec<String> = store
        .groups(&acme(), &page("a", 9))
        .await
        .unwrap()
        .iter()
        .map(|group| group.name.group.to_string())
        .collect();
    assert_eq!(ids, ["b", "team"]);
}

async fn what_does_not_exist_is_said(world: World) {
    let world = world.company().await;
    let store = world.flags();
    let (group, place) = (group_name("none"), group_member_name("team", "eve"));
    check_missing(store.group(&group).await, &group.to_string());
    check_missing(store.group_members(&group, &all()).await, &group.to_string());
    check_missing(store.delete_group(&write(), &group, None).await, &group.to_string());
    check_missing(store.update_group_member(&write(), &place, true).await, &place.to_string());
    check_missing(store.remove_group_member(&write(), &place).await, &place.to_string());
    let stranger = group_member_name("team", "mia");
    check_missing(store.add_group_member(&write(), &stranger, true).await, &member_name("mia").to_string());
    let present = group_member_name("team", "bob");
    check_taken(store.add_group_member(&write(), &present, true).await, &present.to_string());
    check_missing(store.role(&role_name("none")).await, &role_name("none").to_string());
    check_missing(store.revoke_grant(&write(), &grant_name("none")).await, &grant_name("none").to_string());
    check_missing(store.trust_relationship(&trust_name("none")).await, &trust_name("none").to_string());
    check_missing(
        store.exchange(&trust_name("none"), "1", exchanged("e")).await,
        &trust_name("none").to_string(),
    );
    let name = invitation_name("none");
    check_missing(store.delete_invitation(&write(), &name).await, &name.to_string());
    let other = organisation("other").name;
    check_missing(store.roles(&other, &all()).await, &other.to_string());
    check_missing(
        store.log(&burgee_core::name::LogName::Organisation(other.clone())).await,
        &other.to_string(),
    );
}

async fn things_of_an_organisation_are_limited(world: World) {
    let limits = Limits {
        groups_per_organisation: 1,
        invitations_per_organisation: 1,
        roles_per_organisation: 1,
        grants_per_organisation: 1,
        trust_relationships_per_organisation: 1,
        tokens_per_trust_relationship: 1,
        ..Default::default()
    };
    let world = world.company().await.with_limits(limits);
    let store = world.flags();
    check_limit(store.create_group(&write(), group("y")).await, "groups_per_organisation", 1);
    let refused = store.create_invitation(&write(), invitation("y", None), secret("iy")).await;
    check_limit(refused, "invitations_per_organisation", 1);
    check_limit(store.create_role(&write(), role("y", &[])).await, "roles_per_organisation", 1);
    let given = grant("y", "users/bob", "organisations/acme", Permission::CreateProject);
    check_limit(store.create_grant(&write(), given).await, "grants_per_organisation", 1);
    let creator = Grantee::parse("users/bob").unwrap();
    let refused = store.create_project(&write(), project("b"), Some(creator)).await;
    check_limit(refused, "grants_per_organisation", 1);
    check_limit(store.create_trust(&write(), trust("y")).await, "trust_relationships_per_organisation", 1);
    store.exchange(&trust_name("x"), "1", exchanged("e")).await.unwrap();
    let refused = store.exchange(&trust_name("x"), "1", exchanged("f")).await;
    check_limit(refused, "tokens_per_trust_relationship", 1);
    let mut much_later = exchanged("f");
    (much_later.created_at, much_later.expires_at) = (later(1), later(2));
    store.exchange(&trust_name("x"), "1", much_later).await.unwrap();
    assert_eq!(store.credential(&secret("e").lookup).await.unwrap(), None, "it had expired");
}
