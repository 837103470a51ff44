//! Projects.

use burgee_core::change::{ChangeKind, Mutation};
use burgee_core::project::ProjectPatch;
use burgee_core::store::Wakeup;

use crate::world::*;

both! {
    a_project_begins_at_revision_1,
    projects_are_listed_by_id,
    the_etag_of_a_project_stays_when_its_content_changes,
    a_project_with_content_is_deleted_only_by_force,
    numbers_are_never_used_again,
    the_deletion_of_a_project_is_announced,
    new_flags_of_a_careful_project_are_off_and_have_no_value,
}

async fn a_project_begins_at_revision_1(world: World) {
    let store = world.flags();
    check_missing(store.create_project(&write(), project("shop"), None).await, "organisations/acme");
    let world = world.shop().await;
    let read = world.flags().project(&shop()).await.unwrap();
    assert_eq!((read.revision, read.etag.as_str()), (1, "1"));
    let change = world.last_change().await;
    assert_eq!((change.revision, change.entries[0].kind), (1, ChangeKind::Created));
    assert_eq!(change.entries[0].subject, shop().to_string());
    check_taken(world.flags().create_project(&write(), project("shop"), None).await, &shop().to_string());
}

async fn projects_are_listed_by_id(world: World) {
    let world = world.shop().await;
    for id in ["zoo", "a1", "a-1"] {
        world.flags().create_project(&write(), project(id), None).await.unwrap();
    }
    let ids = |projects: Vec<burgee_core::project::Project>| {
        projects.iter().map(|project| project.name.project.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(ids(world.flags().projects(&acme(), &all()).await.unwrap()), ["a-1", "a1", "shop", "zoo"]);
    assert_eq!(ids(world.flags().projects(&acme(), &page("a1", 1)).await.unwrap()), ["shop"]);
    check_missing(world.flags().projects(&organisation("nobody").name, &all()).await, "organisations/nobody");
}

async fn the_etag_of_a_project_stays_when_its_content_changes(world: World) {
    let world = world.with_environments().await;
    let before = world.flags().project(&shop()).await.unwrap();
    assert_eq!((before.revision, before.etag.as_str()), (2, "1"));
    let update = |name: &str, etag: &str| Mutation::UpdateProject {
        patch: ProjectPatch { display_name: Some(name.to_owned()), ..Default::default() },
        etag: Some(etag.to_owned()),
    };
    let after = only!(Project, world.apply(vec![update("The Shop", "1")]).await);
    assert_eq!((after.revision, after.etag.as_str()), (3, "3"));
    assert_eq!(world.flags().project(&shop()).await.unwrap(), after);
    check_stale(world.try_apply(vec![update("Shop", "1")]).await, &shop().to_string(), "3");
}

async fn a_project_with_content_is_deleted_only_by_force(world: World) {
    let world = world.with_flags().await;
    let users = [
        environment_name("dev").to_string(),
        environment_name("production").to_string(),
        feature_name("banner").to_string(),
        feature_name("limit").to_string(),
    ];
    check_users(world.flags().delete_project(&write(), &shop(), false, None).await, &users);
    check_stale(
        world.flags().delete_project(&write(), &shop(), true, Some("9")).await,
        &shop().to_string(),
        "1",
    );
    let dev = world.environment_ref("dev").await;
    world.flags().delete_project(&write(), &shop(), true, Some("1")).await.unwrap();
    assert!(world.feed().load_environment(dev).await.unwrap().is_none());
    check_missing(world.flags().environments(&shop(), &all()).await, &shop().to_string());
    check_missing(world.flags().delete_project(&write(), &shop(), true, None).await, &shop().to_string());
}

async fn numbers_are_never_used_again(world: World) {
    let world = world.with_environments().await;
    let (project, environment) = (world.project_ref().await, world.environment_ref("production").await);
    world.flags().delete_organisation(&write(), &acme(), true, None).await.unwrap();
    let world = world.with_environments().await;
    assert!(world.project_ref().await > project);
    assert!(world.environment_ref("dev").await > environment);
}

async fn the_deletion_of_a_project_is_announced(world: World) {
    let world = world.with_environments().await;
    let project = world.project_ref().await;
    let mut wakeups = world.feed().wakeups().await.unwrap();
    world.flags().delete_project(&write(), &shop(), true, None).await.unwrap();
    assert_eq!(wakeups.next().await.unwrap(), Wakeup::Project(project));
}

async fn new_flags_of_a_careful_project_are_off_and_have_no_value(world: World) {
    let world = world.with_environments().await;
    let patch = ProjectPatch { prevent_flag_defaults: Some(true), ..Default::default() };
    let mut split = feature("split");
    split.variants = vec![variant("a", 40.0)];
    world
        .apply(vec![
            Mutation::UpdateProject { patch, etag: None },
            create_feature("banner"),
            Mutation::CreateFeature { feature: split },
            create_environment("staging"),
        ])
        .await;
    for environment in ["dev", "staging"] {
        let flag = world.flags().flag(&flag_name(environment, "banner")).await.unwrap();
        assert_eq!((flag.state.enabled, flag.state.value), (false, None), "{environment}");
        let flag = world.flags().flag(&flag_name(environment, "split")).await.unwrap();
        assert_eq!(flag.state.weights, [weight("a", 40.0)], "{environment}");
    }
}
