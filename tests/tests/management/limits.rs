//! Sizes of messages and of pages.

use burgee_management::Settings;
use burgee_proto::management::v1::*;
use burgee_proto::v1 as pb;
use tonic::Code;

use crate::world::*;

both! {
    a_message_above_the_limit_is_refused,
    a_message_that_would_take_too_much_memory_is_refused,
    a_change_has_a_bounded_number_of_bytes,
    a_page_has_a_bounded_number_of_bytes,
}

async fn a_message_above_the_limit_is_refused(world: World) {
    let world = world.with_features().await;
    let small = world.another(Settings { max_message_bytes: 2_000, ..settings() }).await;
    let request = UpdateFlagRequest { reason: "x".repeat(2_000), ..update_flag("dark", true) };
    let status = small.flags().update_flag(request.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    world.flags().update_flag(request).await.unwrap();
}

async fn a_message_that_would_take_too_much_memory_is_refused(world: World) {
    let world = world.with_features().await;
    let changes = |count| vec![ChangeRequest::default(); count];
    let request =
        |count| ApplyChangesRequest { project: SHOP.into(), changes: changes(count), ..Default::default() };
    let status =
        check(world.flags().apply_changes(request(500_000)).await, Code::ResourceExhausted, "LIMIT_EXCEEDED");
    assert_eq!(metadata(&status, "limit"), "decoded_message_bytes");
    // Below it, the count is what is wrong.
    check_invalid(world.flags().apply_changes(request(50_000)).await, "changes");
}

/// Creates features of 19,000 bytes each, as one change.
fn large_features(prefix: &str, count: usize) -> ApplyChangesRequest {
    let changes = (0..count).map(|number| {
        let feature = pb::Feature {
            value_type: pb::ValueType::String.into(),
            description: "x".repeat(19_000),
            ..Default::default()
        };
        let feature_id = format!("{prefix}{number}");
        let change = CreateFeatureChange { feature_id, feature: Some(feature) };
        ChangeRequest { change: Some(change_request::Change::CreateFeature(change)) }
    });
    ApplyChangesRequest { project: SHOP.into(), changes: changes.collect(), ..Default::default() }
}

async fn a_change_has_a_bounded_number_of_bytes(world: World) {
    let world = world.with_features().await;
    let status = check(
        world.flags().apply_changes(large_features("big", 170)).await,
        Code::ResourceExhausted,
        "LIMIT_EXCEEDED",
    );
    assert_eq!(metadata(&status, "limit"), "change_bytes");
    assert!(status.message().starts_with("changes[1"), "{status:?}");
    // What is taken can be read by a client that refuses messages above 4 MiB.
    let mut written = Vec::new();
    for (prefix, count) in [("a", 150), ("b", 40), ("c", 40), ("d", 1)] {
        let request = large_features(prefix, count);
        written.push(world.flags().apply_changes(request).await.unwrap().into_inner().revision);
    }
    let name = format!("{SHOP}/changes/{}", written[0]);
    world.changes().get_change(GetChangeRequest { name }).await.unwrap();

    let watch = WatchChangesRequest { parent: SHOP.into(), after_revision: Some(written[0] - 1) };
    let mut stream = world.changes().watch_changes(watch).await.unwrap().into_inner();
    let mut watched = Vec::new();
    while watched.len() < written.len() {
        watched.extend(stream.message().await.unwrap().unwrap().change.map(|change| change.revision));
    }
    assert_eq!(watched, written);

    let mut listed = Vec::new();
    let mut request = ListChangesRequest { parent: SHOP.into(), ..Default::default() };
    loop {
        let page = world.changes().list_changes(request.clone()).await.unwrap().into_inner();
        listed.push(page.changes.iter().map(|change| change.revision).collect::<Vec<_>>());
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, [vec![8, 7, 6], vec![5, 4, 3, 2, 1]]);
    let filter = "text:big0 AND kind=created".to_owned();
    let request = ListChangesRequest { parent: SHOP.into(), filter, ..Default::default() };
    assert_eq!(world.changes().list_changes(request).await.unwrap().into_inner().changes, []);
    let filter = "text:features/a149 AND kind=created".to_owned();
    let request = ListChangesRequest { parent: SHOP.into(), filter, ..Default::default() };
    let found = world.changes().list_changes(request).await.unwrap().into_inner();
    assert_eq!((found.changes[0].revision, found.next_page_token.as_str()), (5, ""));
}

async fn a_page_has_a_bounded_number_of_bytes(world: World) {
    let world = world.with_features().await;
    for prefix in ["a", "b"] {
        world.flags().apply_changes(large_features(prefix, 100)).await.unwrap();
    }
    // The client refuses messages above 4 MiB.
    let mut request = ListFeaturesRequest { parent: SHOP.into(), page_size: 1_000, ..Default::default() };
    let mut pages = Vec::new();
    loop {
        let page = world.features().list_features(request.clone()).await.unwrap().into_inner();
        pages.push(page.features.len());
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!((pages.len(), pages.iter().sum::<usize>()), (2, 202), "{pages:?}");
}
