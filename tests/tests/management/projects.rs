//! Projects.

use burgee_proto::management::v1::*;
use burgee_proto::v1 as pb;
use tonic::Code;

use crate::world::*;

both! {
    a_project_is_created_read_changed_and_deleted,
    a_project_with_content_is_deleted_only_by_force,
    projects_are_listed_by_id,
    the_same_request_twice_is_one_change,
    a_change_can_be_tried,
}

async fn a_project_is_created_read_changed_and_deleted(world: World) {
    let world = world.shop().await;
    let get = GetProjectRequest { name: SHOP.into() };
    let created = world.projects().get_project(get.clone()).await.unwrap().into_inner().project.unwrap();
    assert_eq!((created.display_name.as_str(), created.revision), ("shop", 1));
    let create = |parent: &str, id: &str| CreateProjectRequest {
        parent: parent.into(),
        project_id: id.into(),
        ..Default::default()
    };
    check_taken(world.projects().create_project(create(ACME, "shop")).await, SHOP);
    check_missing(
        world.projects().create_project(create("organisations/none", "x")).await,
        "organisations/none",
    );
    check_invalid(world.projects().create_project(create("acme", "x")).await, "parent");
    check_invalid(world.projects().create_project(create(ACME, "")).await, "project_id");

    let update = UpdateProjectRequest {
        project: Some(pb::Project { name: SHOP.into(), display_name: "Shop".into(), ..Default::default() }),
        update_mask: mask(&["*"]),
        reason: "a better name".into(),
        ..Default::default()
    };
    let updated = world.projects().update_project(update.clone()).await.unwrap().into_inner();
    let project = updated.project.unwrap();
    assert_eq!((project.display_name.as_str(), project.revision, updated.revision), ("Shop", 2, 2));
    let stale = UpdateProjectRequest { project: Some(created), ..update };
    check_stale(world.projects().update_project(stale).await, &project.etag);

    let delete = DeleteProjectRequest { name: SHOP.into(), etag: project.etag, ..Default::default() };
    world.projects().delete_project(delete).await.unwrap();
    check_missing(world.projects().get_project(get).await, SHOP);
}

async fn a_project_with_content_is_deleted_only_by_force(world: World) {
    let world = world.with_features().await;
    let delete = DeleteProjectRequest { name: SHOP.into(), ..Default::default() };
    let outcome = world.projects().delete_project(delete.clone()).await;
    assert!(metadata(&check(outcome, Code::FailedPrecondition, "IN_USE"), "users").contains(DEV));
    world.projects().delete_project(DeleteProjectRequest { force: true, ..delete }).await.unwrap();
}

async fn projects_are_listed_by_id(world: World) {
    let world = world.shop().await;
    world.create_project("a").await;
    let request = ListProjectsRequest { parent: ACME.into(), page_size: 1, ..Default::default() };
    let first = world.projects().list_projects(request.clone()).await.unwrap().into_inner();
    assert_eq!(first.projects[0].name, format!("{ACME}/projects/a"));
    let request = ListProjectsRequest { page_token: first.next_page_token, ..request };
    let second = world.projects().list_projects(request).await.unwrap().into_inner();
    assert_eq!((second.projects[0].name.as_str(), second.next_page_token.as_str()), (SHOP, ""));
}

async fn the_same_request_twice_is_one_change(world: World) {
    let world = world.with_features().await;
    let request = UpdateFlagRequest { request_id: "deploy-7".into(), ..update_flag("dark", true) };
    let first = world.flags().update_flag(request.clone()).await.unwrap().into_inner();
    world.switch_on("title").await;
    let again = world.flags().update_flag(request.clone()).await.unwrap().into_inner();
    assert_eq!(again, first);
    let other = UpdateFlagRequest { reason: "another".into(), ..request };
    let status = check(world.flags().update_flag(other).await, Code::InvalidArgument, "REQUEST_ID_REUSED");
    assert_eq!(metadata(&status, "request_id"), "deploy-7");
}

async fn a_change_can_be_tried(world: World) {
    let world = world.with_features().await;
    let revision = world.revision().await;
    let request = UpdateFlagRequest { validate_only: true, ..update_flag("dark", true) };
    let tried = world.flags().update_flag(request).await.unwrap().into_inner();
    assert!(tried.flag.unwrap().state.unwrap().enabled());
    assert_eq!(tried.revision, revision);
    assert_eq!(world.revision().await, revision);
    let flag = world.flags().get_flag(GetFlagRequest { name: flag("dark") }).await.unwrap().into_inner().flag;
    assert!(!flag.unwrap().state.unwrap().enabled());
}
