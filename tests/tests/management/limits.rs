//! Sizes of messages and of pages.

use burgee_management::Settings;
use burgee_proto::management::v1::*;
use burgee_proto::v1 as pb;
use tonic::Code;

use crate::world::*;

both! {
    a_message_above_the_limit_is_refused,
    a_message_that_would_take_too_much_memory_is_refused,
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

async fn a_page_has_a_bounded_number_of_bytes(world: World) {
    let world = world.with_features().await;
    let changes = (0..200).map(|number| {
        let feature = pb::Feature {
            value_type: pb::ValueType::String.into(),
            description: "x".repeat(19_000),
            ..Default::default()
        };
        let feature_id = format!("big{number}");
        let change = CreateFeatureChange { feature_id, feature: Some(feature) };
        ChangeRequest { change: Some(change_request::Change::CreateFeature(change)) }
    });
    let request =
        ApplyChangesRequest { project: SHOP.into(), changes: changes.collect(), ..Default::default() };
    world.flags().apply_changes(request).await.unwrap();
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
