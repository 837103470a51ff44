//! The change log, read.

use burgee_proto::management::v1::*;
use burgee_proto::v1 as pb;

use crate::world::*;

both! {
    every_write_is_in_the_log,
    changes_are_listed_newest_first_in_pages,
    changes_are_filtered,
}

async fn every_write_is_in_the_log(world: World) {
    let world = world.with_features().await;
    let request = UpdateFlagRequest {
        request_id: "deploy-7".into(),
        reason: "launch".into(),
        ..update_flag("dark", true)
    };
    let revision = world.flags().update_flag(request).await.unwrap().into_inner().revision;
    let name = format!("{SHOP}/changes/{revision}");
    let got = world.changes().get_change(GetChangeRequest { name: name.clone() }).await.unwrap();
    let change = got.into_inner().change.unwrap();
    assert_eq!((change.name.as_str(), change.revision), (name.as_str(), revision));
    assert_eq!(
        (change.actor.as_str(), change.method.as_str()),
        ("users/administrator", "FlagService/UpdateFlag")
    );
    assert_eq!((change.request_id.as_str(), change.reason.as_str()), ("deploy-7", "launch"));
    let entry = &change.entries[0];
    assert_eq!((entry.subject.as_str(), entry.kind()), (flag("dark").as_str(), pb::ChangeKind::Updated));
    assert!(entry.before.contains("\"enabled\":false") && entry.after.contains("\"enabled\":true"));
    let missing = format!("{SHOP}/changes/{}", revision + 1);
    check_missing(world.changes().get_change(GetChangeRequest { name: missing.clone() }).await, &missing);
    check_invalid(
        world.changes().get_change(GetChangeRequest { name: format!("{SHOP}/changes/0") }).await,
        "name",
    );
}

fn list(filter: &str, page_size: i32) -> ListChangesRequest {
    ListChangesRequest { parent: SHOP.into(), filter: filter.into(), page_size, ..Default::default() }
}

async fn revisions(world: &World, request: ListChangesRequest) -> (Vec<i64>, String) {
    let page = world.changes().list_changes(request).await.unwrap().into_inner();
    (page.changes.iter().map(|change| change.revision).collect(), page.next_page_token)
}

async fn changes_are_listed_newest_first_in_pages(world: World) {
    let world = world.with_features().await;
    world.switch_on("dark").await;
    let (first, token) = revisions(&world, list("", 3)).await;
    assert_eq!(first, [5, 4, 3]);
    // What is written meanwhile moves no page.
    world.switch_on("title").await;
    let next = ListChangesRequest { page_token: token.clone(), ..list("", 3) };
    assert_eq!(revisions(&world, next).await, (vec![2, 1], String::new()));
    let other = ListChangesRequest { page_token: token, ..list("kind=created", 3) };
    check_invalid(world.changes().list_changes(other).await, "page_token");
    assert_eq!(revisions(&world, list("", 6)).await.1, "");
}

async fn changes_are_filtered(world: World) {
    let world = world.with_features().await;
    world.create_environment("production").await;
    world.switch_on("dark").await;
    assert_eq!(revisions(&world, list("method=FlagService/UpdateFlag", 0)).await.0, [6]);
    assert_eq!(revisions(&world, list("environment=dev AND kind=updated", 0)).await.0, [6]);
    assert_eq!(revisions(&world, list("environment=production", 0)).await.0, [5]);
    assert_eq!(revisions(&world, list(&format!("subject={SHOP}/features/dark"), 0)).await.0, [3]);
    assert_eq!(revisions(&world, list("subject:features/ AND kind=created", 1)).await.0, [4]);
    assert_eq!(revisions(&world, list("actor=users/ada", 0)).await, (vec![], String::new()));
    check_invalid(world.changes().list_changes(list("when=now", 0)).await, "filter");
}
