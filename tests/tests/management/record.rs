//! The record: every write, of whatever service, with who, how and from where.

use std::time::Duration;

use burgee_management::Settings;
use burgee_proto::management::v1::*;
use burgee_proto::v1 as pb;
use chrono::{TimeDelta, Utc};
use tonic::{Code, Streaming};

use crate::world::*;

both! {
    a_write_is_on_record_with_who_how_and_from_where,
    logs_of_organisations_and_the_server_are_watched_across_servers,
    changes_are_found_by_time_and_text,
    old_changes_are_forgotten_and_the_oldest_is_told,
    the_last_use_of_a_token_is_noted,
    what_is_only_checked_is_not_on_record,
}

async fn changes(world: &World, parent: &str, filter: &str) -> ListChangesResponse {
    let request = ListChangesRequest {
        parent: parent.into(),
        filter: filter.into(),
        page_size: 1_000,
        ..Default::default()
    };
    world.changes().list_changes(request).await.unwrap().into_inner()
}

async fn create_group(world: &World, id: &str) {
    let request = CreateGroupRequest {
        parent: ACME.into(),
        group_id: id.into(),
        reason: format!("for {id}"),
        ..Default::default()
    };
    world.groups().create_group(request).await.unwrap();
}

async fn a_write_is_on_record_with_who_how_and_from_where(world: World) {
    let world = world.shop().await;
    let ada = world.as_member("ada").await;
    world.grant("ada", "users/ada", ACME, &[pb::Permission::ManageUserGroups]).await;
    let request = CreateGroupRequest {
        parent: ACME.into(),
        group_id: "eng".into(),
        request_id: "r1".into(),
        reason: "we grow".into(),
        ..Default::default()
    };
    ada.groups().create_group(request.clone()).await.unwrap();
    ada.groups().create_group(request).await.unwrap();
    let found = changes(&world, ACME, "actor=users/ada").await.changes;
    assert_eq!(found.len(), 1, "a repeated request is one change");
    let change = &found[0];
    assert_eq!(change.name, format!("{ACME}/changes/{}", change.revision));
    assert!(change.credential.starts_with("users/ada/tokens/"), "{}", change.credential);
    assert_eq!(
        (change.method.as_str(), change.request_id.as_str(), change.reason.as_str()),
        ("GroupService/CreateGroup", "r1", "we grow")
    );
    assert_eq!((change.address.as_str(), change.on_behalf_of.as_str()), ("127.0.0.1", ""));
    assert_eq!(change.entries[0].subject, format!("{ACME}/groups/eng"));
    assert_eq!(change.entries[0].kind(), pb::ChangeKind::Created);
    assert!(change.entries[0].before.is_empty() && change.entries[0].after.contains("eng"));
    let read = world.changes().get_change(GetChangeRequest { name: change.name.clone() }).await.unwrap();
    assert_eq!(read.into_inner().change.as_ref(), Some(change));

    // Users belong to no organisation: what happens to them is in the server's log, for its administrators.
    let of_server = changes(&world, "server", "subject=users/ada").await.changes;
    assert_eq!(of_server[0].method, "UserService/CreateUser");
    let request = ListChangesRequest { parent: "server".into(), ..Default::default() };
    check_denied(ada.changes().list_changes(request).await, "SERVER_ADMINISTRATOR");
    let request = ListChangesRequest { parent: ACME.into(), ..Default::default() };
    check_denied(ada.changes().list_changes(request).await, "ORGANISATION_ADMIN");
}

async fn watch(world: &World, parent: &str, after: i64) -> Streaming<WatchChangesResponse> {
    let request = WatchChangesRequest { parent: parent.into(), after_revision: Some(after) };
    world.changes().watch_changes(request).await.unwrap().into_inner()
}

/// Takes changes until there are so many.
async fn take(stream: &mut Streaming<WatchChangesResponse>, changes: &mut Vec<pb::Change>, many: usize) {
    let all = async {
        while changes.len() < many {
            changes.extend(stream.message().await.unwrap().unwrap().change);
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("the changes come");
}

async fn logs_of_organisations_and_the_server_are_watched_across_servers(world: World) {
    let world = world.shop().await;
    let mut seen = Vec::new();
    let first = world.another(settings()).await;
    let mut stream = watch(&first, ACME, 0).await;
    let start = stream.message().await.unwrap().unwrap();
    assert_eq!((start.change, start.through_revision, start.oldest_revision), (None, 0, 1));
    for id in ["a", "b", "c"] {
        create_group(&world, id).await;
    }
    take(&mut stream, &mut seen, 2).await;
    // The server stops, another goes on.
    first.shutdown.cancel();
    create_group(&world, "d").await;
    let second = world.another(settings()).await;
    let mut stream = watch(&second, ACME, seen.last().unwrap().revision).await;
    create_group(&world, "e").await;
    take(&mut stream, &mut seen, 5).await;
    let revisions: Vec<_> = seen.iter().map(|change| change.revision).collect();
    assert_eq!(revisions, [1, 2, 3, 4, 5]);
    let subjects: Vec<_> = seen.iter().map(|change| change.entries[0].subject.clone()).collect();
    assert_eq!(subjects, ["a", "b", "c", "d", "e"].map(|id| format!("{ACME}/groups/{id}")));

    let mut stream = watch(&second, "server", 0).await;
    let mut of_server = Vec::new();
    take(&mut stream, &mut of_server, 2).await;
    world.as_user("eve").await;
    take(&mut stream, &mut of_server, 3).await;
    assert_eq!(of_server[2].entries[0].subject, "users/eve");
}

async fn changes_are_found_by_time_and_text(world: World) {
    let world = world.shop().await;
    create_group(&world, "early").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let between = Utc::now().to_rfc3339();
    tokio::time::sleep(Duration::from_millis(20)).await;
    create_group(&world, "late").await;
    let count = async |filter: String| changes(&world, ACME, &filter).await.changes.len();
    assert_eq!(count(format!("time<{between}")).await, 1);
    assert_eq!(count(format!("time>={between}")).await, 1);
    assert_eq!(count(format!("time>={between} AND text:late")).await, 1);
    assert_eq!(count(format!("time>={between} AND text:early")).await, 0);
    assert_eq!(count("text:\"for early\" AND address=127.0.0.1".to_owned()).await, 1);
    for wrong in ["time>=yesterday", "time=5", "environment=dev"] {
        let request = ListChangesRequest { parent: ACME.into(), filter: wrong.into(), ..Default::default() };
        check_invalid(world.changes().list_changes(request).await, "filter");
    }
}

async fn old_changes_are_forgotten_and_the_oldest_is_told(world: World) {
    let world = world.shop().await;
    for id in ["a", "b", "c"] {
        create_group(&world, id).await;
    }
    assert_eq!(changes(&world, ACME, "").await.oldest_revision, 1);
    let retention = Settings { change_retention: Some(TimeDelta::milliseconds(1)), ..settings() };
    let _forgetful = world.another(retention).await;
    let forgotten = async {
        while changes(&world, ACME, "").await.oldest_revision < 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, forgotten).await.expect("old changes are forgotten");
    let left = changes(&world, ACME, "").await;
    assert_eq!((left.changes.len(), left.oldest_revision), (1, 3), "the newest stays");
    let request = WatchChangesRequest { parent: ACME.into(), after_revision: Some(1) };
    let status =
        check(world.changes().watch_changes(request).await, Code::OutOfRange, "REVISION_OUT_OF_RANGE");
    assert_eq!(metadata(&status, "oldest_revision"), "3");
    let mut stream = watch(&world, ACME, 2).await;
    let mut seen = Vec::new();
    take(&mut stream, &mut seen, 1).await;
    assert_eq!(seen[0].revision, 3);
}

async fn the_last_use_of_a_token_is_noted(world: World) {
    let secret = world.create_token("users/administrator", "used").await;
    world.create_token("users/administrator", "unused").await;
    let used = |token: &pb::Token| token.last_use_time.is_some();
    let list = async || {
        let request = ListTokensRequest { parent: "users/administrator".into(), ..Default::default() };
        world.users().list_tokens(request).await.unwrap().into_inner().tokens
    };
    assert!(!list().await.iter().any(|token| token.name.ends_with("/used") && used(token)));
    let other = world.another(settings()).await.as_caller(&secret);
    other.users().get_current_user(GetCurrentUserRequest {}).await.unwrap();
    // It is written now and then, and when the server stops.
    other.shutdown.cancel();
    let noted = async {
        while !list().await.iter().any(|token| token.name.ends_with("/used") && used(token)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, noted).await.expect("the use is noted");
    assert!(!list().await.iter().any(|token| token.name.ends_with("/unused") && used(token)));
}

async fn what_is_only_checked_is_not_on_record(world: World) {
    let world = world.shop().await;
    create_group(&world, "a").await;
    let request =
        DeleteGroupRequest { name: format!("{ACME}/groups/a"), validate_only: true, ..Default::default() };
    world.groups().delete_group(request).await.unwrap();
    assert_eq!(changes(&world, ACME, "").await.changes.len(), 1);
    world.groups().get_group(GetGroupRequest { name: format!("{ACME}/groups/a") }).await.unwrap();
}
