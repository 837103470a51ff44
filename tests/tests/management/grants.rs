//! Grants, and what they let somebody do.

use burgee_proto::management::v1::*;
use burgee_proto::v1 as pb;
use pb::Permission::{
    CreateEnvironment, CreateProject, DeleteFeature, OrganisationAdmin, ProjectAdmin, UpdateFeatureState,
    ViewEnvironment, ViewProject,
};
use tonic::Code;

use crate::world::*;

both! {
    a_grant_is_given_read_listed_and_revoked,
    a_grant_has_rules,
    administrators_of_a_project_grant_only_there,
    a_grant_of_what_one_may_not_see_does_not_exist,
    lists_hold_what_the_caller_may_see,
    whoever_creates_something_administers_it,
    an_environment_is_cloned_by_who_sees_it,
    permissions_can_be_tested,
    a_grant_by_tag_counts_for_features_that_have_it,
}

const GRANT: &str = "organisations/acme/grants/ada";

async fn a_grant_is_given_read_listed_and_revoked(world: World) {
    let world = world.with_features().await;
    let ada = world.as_member("ada").await;
    let get = GetFlagRequest { name: flag("dark") };
    check(ada.flags().get_flag(get.clone()).await, Code::NotFound, "NOT_FOUND");
    let request = new_grant("ada", "users/ada", SHOP, &[ViewEnvironment, ViewProject]);
    let created =
        world.permissions().create_grant(request.clone()).await.unwrap().into_inner().grant.unwrap();
    assert_eq!((created.name.as_str(), created.resource.as_str()), (GRANT, SHOP));
    assert_eq!(created.permissions().collect::<Vec<_>>(), [ViewProject, ViewEnvironment]);
    check_taken(world.permissions().create_grant(request).await, GRANT);
    ada.flags().get_flag(get.clone()).await.unwrap();
    check_denied(ada.flags().update_flag(update_flag("dark", true)).await, "UPDATE_FEATURE_STATE");

    let read = GetGrantRequest { name: GRANT.into() };
    let read = world.permissions().get_grant(read).await.unwrap().into_inner().grant;
    assert_eq!(read.as_ref(), Some(&created));
    let list = ListGrantsRequest { parent: ACME.into(), ..Default::default() };
    for (resource, grantee, count) in
        [("", "", 1), (SHOP, "", 1), (DEV, "", 0), ("", "users/ada", 1), ("", "users/administrator", 0)]
    {
        let list = ListGrantsRequest { resource: resource.into(), grantee: grantee.into(), ..list.clone() };
        let listed = world.permissions().list_grants(list).await.unwrap().into_inner().grants;
        assert_eq!(listed.len(), count, "{resource} {grantee}");
    }
    let revoke = RevokeGrantRequest { name: GRANT.into(), request_id: "1".into(), ..Default::default() };
    world.permissions().revoke_grant(revoke.clone()).await.unwrap();
    check(ada.flags().get_flag(get).await, Code::NotFound, "NOT_FOUND");
    world.permissions().revoke_grant(revoke.clone()).await.unwrap();
    let other = RevokeGrantRequest { request_id: "2".into(), ..revoke };
    check_missing(world.permissions().revoke_grant(other).await, GRANT);
}

async fn a_grant_has_rules(world: World) {
    let world = world.with_features().await;
    world.as_member("ada").await;
    world.as_user("eve").await;
    let check_rule = async |change: fn(&mut pb::Grant), field: &str| {
        let mut request = new_grant("x", "users/ada", SHOP, &[ViewProject]);
        change(request.grant.as_mut().unwrap());
        check_invalid(world.permissions().create_grant(request).await, field);
    };
    check_rule(|grant| grant.permissions.clear(), "grant.permissions").await;
    check_rule(|grant| grant.permissions.push(ViewProject.into()), "grant.permissions[1]").await;
    check_rule(|grant| grant.permissions.push(CreateProject.into()), "grant.permissions[1]").await;
    check_rule(|grant| grant.permissions.push(99), "grant.permissions[1]").await;
    check_rule(|grant| grant.role = format!("{ACME}/roles/release"), "grant.permissions").await;
    check_rule(|grant| grant.grantee = "users/ada/tokens/laptop".into(), "grant.grantee").await;
    check_rule(|grant| grant.grantee = "organisations/evil/groups/eng".into(), "grant.grantee").await;
    check_rule(|grant| grant.tags = vec!["a".into(), "a".into()], "grant.tags[1]").await;
    check_rule(
        |grant| {
            grant.permissions = vec![ProjectAdmin.into()];
            grant.tags = vec!["a".into()];
        },
        "grant.tags",
    )
    .await;
    // Eve has an account, but does not belong to the organisation.
    for grantee in ["users/eve", "users/none", "organisations/acme/groups/none"] {
        let request = new_grant("x", grantee, SHOP, &[ViewProject]);
        check(world.permissions().create_grant(request).await, Code::NotFound, "NOT_FOUND");
    }
    let nowhere = "organisations/acme/projects/none";
    let request = new_grant("x", "users/ada", nowhere, &[ViewProject]);
    check_missing(world.permissions().create_grant(request).await, nowhere);
}

async fn administrators_of_a_project_grant_only_there(world: World) {
    let world = world.with_features().await;
    world.create_project("other").await;
    let ada = world.as_member("ada").await;
    world.as_member("eve").await;
    world.grant("ada", "users/ada", SHOP, &[ProjectAdmin]).await;
    ada.grant("eve", "users/eve", DEV, &[UpdateFeatureState]).await;
    ada.grant("eve2", "users/eve", SHOP, &[ProjectAdmin]).await;
    let request = new_grant("x", "users/ada", ACME, &[OrganisationAdmin]);
    check_denied(ada.permissions().create_grant(request).await, "ORGANISATION_ADMIN");
    let request = new_grant("x", "users/ada", "organisations/acme/projects/other", &[ViewProject]);
    check(ada.permissions().create_grant(request).await, Code::NotFound, "NOT_FOUND");

    let list = ListGrantsRequest { parent: ACME.into(), resource: SHOP.into(), ..Default::default() };
    assert_eq!(ada.permissions().list_grants(list.clone()).await.unwrap().into_inner().grants.len(), 2);
    let all = ListGrantsRequest { resource: String::new(), ..list.clone() };
    check_denied(ada.permissions().list_grants(all).await, "ORGANISATION_ADMIN");
    // The grants of one organisation are not read by naming a place of another.
    let create = CreateOrganisationRequest { organisation_id: "evil".into(), ..Default::default() };
    world.organisations().create_organisation(create).await.unwrap();
    let other = ListGrantsRequest { parent: "organisations/evil".into(), ..list };
    assert!(ada.permissions().list_grants(other.clone()).await.is_err());
    check_invalid(world.permissions().list_grants(other).await, "resource");
}

async fn a_grant_of_what_one_may_not_see_does_not_exist(world: World) {
    let world = world.with_features().await;
    let other = "organisations/acme/projects/other";
    world.create_project("other").await;
    let ada = world.as_member("ada").await;
    world.as_member("eve").await;
    world.grant("ada", "users/ada", SHOP, &[ProjectAdmin]).await;
    world.grant("eve", "users/eve", other, &[ViewProject]).await;
    let name = "organisations/acme/grants/eve";
    check_missing(ada.permissions().get_grant(GetGrantRequest { name: name.into() }).await, name);
    let revoke = RevokeGrantRequest { name: name.into(), request_id: "1".into(), ..Default::default() };
    check_missing(ada.permissions().revoke_grant(revoke.clone()).await, name);
    world.grant("ada2", "users/ada", other, &[ViewProject]).await;
    check_denied(ada.permissions().get_grant(GetGrantRequest { name: name.into() }).await, "PROJECT_ADMIN");
    check_denied(ada.permissions().revoke_grant(revoke).await, "PROJECT_ADMIN");
    world.permissions().get_grant(GetGrantRequest { name: name.into() }).await.unwrap();
}

async fn projects(world: &World) -> Vec<String> {
    let mut request = ListProjectsRequest { parent: ACME.into(), page_size: 1, ..Default::default() };
    let mut names = Vec::new();
    loop {
        let page = world.projects().list_projects(request.clone()).await.unwrap().into_inner();
        names.extend(page.projects.into_iter().map(|project| project.name));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return names;
        }
    }
}

async fn lists_hold_what_the_caller_may_see(world: World) {
    let world = world.with_features().await;
    world.create_environment("live").await;
    world.create_project("books").await;
    world.create_project("toys").await;
    let create = CreateOrganisationRequest { organisation_id: "evil".into(), ..Default::default() };
    world.organisations().create_organisation(create).await.unwrap();
    let ada = world.as_member("ada").await;
    assert!(projects(&ada).await.is_empty());
    world.grant("dev", "users/ada", DEV, &[ViewEnvironment]).await;
    world.grant("shop", "users/ada", SHOP, &[ViewProject]).await;
    world.grant("toys", "users/ada", "organisations/acme/projects/toys", &[ViewProject]).await;
    assert_eq!(projects(&ada).await, [SHOP, "organisations/acme/projects/toys"]);
    assert_eq!(projects(&world).await.len(), 3);

    let environments = ListEnvironmentsRequest { parent: SHOP.into(), ..Default::default() };
    let listed = ada.environments().list_environments(environments.clone()).await.unwrap().into_inner();
    assert_eq!(listed.environments.iter().map(|item| item.name.as_str()).collect::<Vec<_>>(), [DEV]);
    let all = world.environments().list_environments(environments).await.unwrap().into_inner();
    assert_eq!(all.environments.len(), 2);
    let organisations = ListOrganisationsRequest::default();
    let listed = ada.organisations().list_organisations(organisations.clone()).await.unwrap().into_inner();
    assert_eq!(listed.organisations.iter().map(|item| item.name.as_str()).collect::<Vec<_>>(), [ACME]);
    let all = world.organisations().list_organisations(organisations).await.unwrap().into_inner();
    assert_eq!(all.organisations.len(), 2);
}

async fn whoever_creates_something_administers_it(world: World) {
    let world = world.shop().await;
    let ada = world.as_member("ada").await;
    world.grant("ada", "users/ada", ACME, &[CreateProject]).await;
    ada.create_project("toys").await;
    let update = UpdateProjectRequest {
        project: Some(pb::Project {
            name: "organisations/acme/projects/toys".into(),
            display_name: "Toys".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    ada.projects().update_project(update).await.unwrap();
    world.grant("ada2", "users/ada", SHOP, &[CreateEnvironment]).await;
    let environment = ada.create_environment("dev").await;
    let update = UpdateEnvironmentRequest {
        environment: Some(pb::Environment { description: "hers".into(), ..environment }),
        update_mask: mask(&["description"]),
        ..Default::default()
    };
    ada.environments().update_environment(update).await.unwrap();
    // An administrator of the level above needs no grant.
    let count = async || {
        let list = ListGrantsRequest { parent: ACME.into(), ..Default::default() };
        world.permissions().list_grants(list).await.unwrap().into_inner().grants.len()
    };
    let before = count().await;
    world.create_project("books").await;
    world.create_environment("live").await;
    assert_eq!((before, count().await), (4, 4));
}

async fn an_environment_is_cloned_by_who_sees_it(world: World) {
    let world = world.with_features().await;
    let ada = world.as_member("ada").await;
    world.grant("ada", "users/ada", SHOP, &[CreateEnvironment]).await;
    let clone =
        CloneEnvironmentRequest { name: DEV.into(), environment_id: "copy".into(), ..Default::default() };
    check_missing(ada.environments().clone_environment(clone.clone()).await, DEV);
    world.grant("ada2", "users/ada", DEV, &[ViewEnvironment]).await;
    ada.environments().clone_environment(clone).await.unwrap();
    let delete = DeleteEnvironmentRequest { name: format!("{SHOP}/environments/copy"), ..Default::default() };
    ada.environments().delete_environment(delete).await.unwrap();
}

async fn held(world: &World, request: TestPermissionsRequest) -> Vec<(pb::Permission, Vec<String>)> {
    let held = world.permissions().test_permissions(request).await.unwrap().into_inner().held;
    held.into_iter().map(|held| (held.permission(), held.tags)).collect()
}

async fn permissions_can_be_tested(world: World) {
    let world = world.with_features().await;
    let ada = world.as_member("ada").await;
    let eve = world.as_member("eve").await;
    let mut grant = new_grant("ada", "users/ada", SHOP, &[DeleteFeature, ViewProject]);
    grant.grant.as_mut().unwrap().tags = vec!["b".into(), "a".into()];
    world.permissions().create_grant(grant).await.unwrap();
    let test = |resource: &str, permissions: &[pb::Permission], grantee: &str| TestPermissionsRequest {
        resource: resource.into(),
        permissions: permissions.iter().map(|permission| (*permission).into()).collect(),
        grantee: grantee.into(),
    };
    let tags = vec!["a".to_owned(), "b".to_owned()];
    let of_ada = vec![(ViewProject, vec![]), (DeleteFeature, tags)];
    assert_eq!(held(&ada, test(SHOP, &[], "")).await, of_ada);
    assert_eq!(held(&ada, test(SHOP, &[], "users/ada")).await, of_ada);
    assert_eq!(held(&world, test(SHOP, &[], "users/ada")).await, of_ada);
    assert_eq!(held(&ada, test(SHOP, &[ViewEnvironment, ViewProject], "")).await, of_ada[..1]);
    check_denied(ada.permissions().test_permissions(test(SHOP, &[], "users/eve")).await, "PROJECT_ADMIN");
    // Nobody holds anything on what does not exist, and eve does not learn what does.
    for nowhere in [SHOP, "organisations/acme/projects/none", "organisations/none"] {
        assert!(held(&eve, test(nowhere, &[], "")).await.is_empty(), "{nowhere}");
    }
    assert!(held(&world, test("organisations/acme/projects/none", &[], "")).await.is_empty());
    assert!(held(&world, test(DEV, &[ViewProject], "")).await.is_empty());
    let many = test(SHOP, &[ViewProject; 101], "");
    check_invalid(world.permissions().test_permissions(many).await, "permissions");
}

async fn a_grant_by_tag_counts_for_features_that_have_it(world: World) {
    let world = world.with_features().await;
    let ada = world.as_member("ada").await;
    world.grant("sight", "users/ada", SHOP, &[ViewProject, ViewEnvironment]).await;
    let mut grant = new_grant("tagged", "users/ada", DEV, &[UpdateFeatureState]);
    grant.grant.as_mut().unwrap().tags = vec!["beta".into()];
    world.permissions().create_grant(grant).await.unwrap();
    check_denied(ada.flags().update_flag(update_flag("dark", true)).await, "UPDATE_FEATURE_STATE");
    let tag = async |tags: &[&str]| {
        let feature = pb::Feature {
            name: format!("{SHOP}/features/dark"),
            tags: tags.iter().map(ToString::to_string).collect(),
            ..Default::default()
        };
        let request = UpdateFeatureRequest {
            feature: Some(feature),
            update_mask: mask(&["tags"]),
            ..Default::default()
        };
        world.features().update_feature(request).await.unwrap();
    };
    tag(&["alpha", "beta"]).await;
    ada.flags().update_flag(update_flag("dark", true)).await.unwrap();
    // Of several changes, one that is not hers is one too many.
    let change = |feature: &str| ChangeRequest {
        change: Some(change_request::Change::UpdateFlag(update_flag(feature, false))),
    };
    let both = ApplyChangesRequest {
        project: SHOP.into(),
        changes: vec![change("dark"), change("title")],
        ..Default::default()
    };
    let before = world.revision().await;
    check_denied(ada.flags().apply_changes(both.clone()).await, "UPDATE_FEATURE_STATE");
    assert_eq!(world.revision().await, before);
    let one = ApplyChangesRequest { changes: vec![change("dark")], ..both };
    ada.flags().apply_changes(one).await.unwrap();
    tag(&["alpha"]).await;
    check_denied(ada.flags().update_flag(update_flag("dark", true)).await, "UPDATE_FEATURE_STATE");
}
