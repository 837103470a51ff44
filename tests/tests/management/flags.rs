//! Flags and their overrides.

use burgee_proto::management::v1::*;
use burgee_proto::v1 as pb;
use tonic::Code;

use crate::world::*;

both! {
    a_flag_is_read_listed_and_changed,
    without_a_mask_what_is_set_is_changed,
    a_violation_of_a_flag_names_its_field,
    segment_overrides_are_set_ordered_and_removed,
    what_is_missing_may_be_removed_if_the_caller_says_so,
    a_segment_of_another_feature_is_refused,
    identity_overrides_are_set_listed_and_removed,
}

async fn get(world: &World, feature: &str) -> pb::Flag {
    let request = GetFlagRequest { name: flag(feature) };
    world.flags().get_flag(request).await.unwrap().into_inner().flag.unwrap()
}

async fn a_flag_is_read_listed_and_changed(world: World) {
    let world = world.with_features().await;
    let before = get(&world, "title").await;
    assert_eq!(before.feature, format!("{SHOP}/features/title"));
    let update = UpdateFlagRequest {
        flag: Some(pb::Flag {
            state: Some(pb::FlagState { value: text("hi"), enabled: Some(true), ..Default::default() }),
            ..before.clone()
        }),
        update_mask: mask(&["state.value"]),
        ..Default::default()
    };
    let updated = world.flags().update_flag(update.clone()).await.unwrap().into_inner();
    let after = updated.flag.unwrap();
    let state = after.state.clone().unwrap();
    assert!(!state.enabled() && state.value == text("hi"));
    assert_eq!(updated.revision, 5);
    check_stale(world.flags().update_flag(update).await, &after.etag);
    assert_eq!(get(&world, "title").await, after);

    let list = ListFlagsRequest { parent: DEV.into(), ..Default::default() };
    let flags = world.flags().list_flags(list).await.unwrap().into_inner().flags;
    assert_eq!(flags.iter().map(|flag| flag.name.clone()).collect::<Vec<_>>(), [flag("dark"), flag("title")]);
    check_missing(world.flags().get_flag(GetFlagRequest { name: flag("none") }).await, &flag("none"));
    check_invalid(world.flags().get_flag(GetFlagRequest { name: "dark".into() }).await, "name");
}

async fn without_a_mask_what_is_set_is_changed(world: World) {
    let world = world.with_features().await;
    let update = |state: pb::FlagState| UpdateFlagRequest {
        flag: Some(pb::Flag { name: flag("title"), state: Some(state), ..Default::default() }),
        ..Default::default()
    };
    let on = pb::FlagState { enabled: Some(true), value: text("hi"), ..Default::default() };
    world.flags().update_flag(update(on)).await.unwrap();
    let off = pb::FlagState { enabled: Some(false), ..Default::default() };
    world.flags().update_flag(update(off)).await.unwrap();
    let state = get(&world, "title").await.state.unwrap();
    assert!(!state.enabled() && state.value == text("hi"));
}

async fn a_violation_of_a_flag_names_its_field(world: World) {
    let world = world.with_features().await;
    let update = |state: pb::FlagState| UpdateFlagRequest {
        flag: Some(pb::Flag { name: flag("dark"), state: Some(state), ..Default::default() }),
        update_mask: mask(&["state"]),
        ..Default::default()
    };
    let state = pb::FlagState { value: text("on"), ..Default::default() };
    check_invalid(world.flags().update_flag(update(state)).await, "flag.state.value");
    let weights = vec![pb::VariantWeight { variant: "red".into(), weight: 1.0 }];
    let state = pb::FlagState { weights, ..Default::default() };
    check_invalid(world.flags().update_flag(update(state)).await, "flag.state.weights[0].variant");
    let state = pb::FlagState { hashing_key: "x".repeat(256), ..Default::default() };
    check_invalid(world.flags().update_flag(update(state)).await, "flag.state.hashing_key");
    let request = UpdateFlagRequest { flag: None, ..Default::default() };
    check_invalid(world.flags().update_flag(request).await, "flag.name");
    let request = UpdateFlagRequest { update_mask: None, ..update(pb::FlagState::default()) };
    check_invalid(world.flags().update_flag(request).await, "update_mask");
}

fn segment_override(segment: &str) -> String {
    format!("{}/segmentOverrides/{segment}", flag("dark"))
}

fn set(segment: &str, priority: Option<i32>) -> SetSegmentOverrideRequest {
    SetSegmentOverrideRequest { name: segment_override(segment), state: on(), priority, ..Default::default() }
}

fn order(flag: Option<pb::Flag>) -> Vec<String> {
    let overrides = flag.unwrap().segment_overrides;
    let priorities: Vec<_> = overrides.iter().map(|item| item.priority).collect();
    assert_eq!(priorities, (0..).take(priorities.len()).collect::<Vec<i32>>());
    overrides.iter().map(|item| item.segment.rsplit('/').next().unwrap().to_owned()).collect()
}

async fn segment_overrides_are_set_ordered_and_removed(world: World) {
    let world = world.with_features().await;
    for id in ["a", "b", "c"] {
        world.create_segment(id).await;
        world.flags().set_segment_override(set(id, None)).await.unwrap();
    }
    let moved = world.flags().set_segment_override(set("c", Some(0))).await.unwrap().into_inner();
    assert_eq!(order(moved.flag), ["c", "a", "b"]);
    check_invalid(world.flags().set_segment_override(set("c", Some(-1))).await, "priority");
    let no_state = SetSegmentOverrideRequest { state: None, ..set("c", None) };
    check_invalid(world.flags().set_segment_override(no_state).await, "state");
    let state = Some(pb::FlagState { value: text("x"), ..Default::default() });
    let outcome =
        world.flags().set_segment_override(SetSegmentOverrideRequest { state, ..set("c", None) }).await;
    check_invalid(outcome, "state.value");
    let none = format!("{SHOP}/segments/none");
    check_missing(world.flags().set_segment_override(set("none", None)).await, &none);

    let reorder = |segments: &[&str]| ReorderSegmentOverridesRequest {
        name: flag("dark"),
        segments: segments.iter().map(ToString::to_string).collect(),
        ..Default::default()
    };
    let ordered =
        world.flags().reorder_segment_overrides(reorder(&["b", "c", "a"])).await.unwrap().into_inner();
    assert_eq!(order(ordered.flag), ["b", "c", "a"]);
    check_invalid(world.flags().reorder_segment_overrides(reorder(&["b", "b", "a"])).await, "segments[1]");
    check_invalid(world.flags().reorder_segment_overrides(reorder(&["b", "a"])).await, "segments");
    check_invalid(world.flags().reorder_segment_overrides(reorder(&["b", "C"])).await, "segments[1]");

    let remove = RemoveSegmentOverrideRequest { name: segment_override("c"), ..Default::default() };
    let removed = world.flags().remove_segment_override(remove).await.unwrap().into_inner();
    assert_eq!(order(removed.flag), ["b", "a"]);
}

async fn what_is_missing_may_be_removed_if_the_caller_says_so(world: World) {
    let world = world.with_features().await;
    let revision = world.revision().await;
    let remove = RemoveSegmentOverrideRequest { name: segment_override("beta"), ..Default::default() };
    check_missing(world.flags().remove_segment_override(remove.clone()).await, &remove.name);
    let allowed = RemoveSegmentOverrideRequest { allow_missing: true, ..remove };
    let removed = world.flags().remove_segment_override(allowed.clone()).await.unwrap().into_inner();
    assert_eq!((removed.revision, removed.flag.unwrap().name), (revision, flag("dark")));
    let nowhere =
        RemoveSegmentOverrideRequest { name: format!("{}/segmentOverrides/beta", flag("none")), ..allowed };
    check_missing(world.flags().remove_segment_override(nowhere).await, &flag("none"));

    let name = format!("{}/identityOverrides/ada", flag("dark"));
    let remove = RemoveIdentityOverrideRequest { name: name.clone(), ..Default::default() };
    check_missing(world.flags().remove_identity_override(remove.clone()).await, &name);
    let allowed = RemoveIdentityOverrideRequest { allow_missing: true, ..remove };
    assert_eq!(
        world.flags().remove_identity_override(allowed).await.unwrap().into_inner().revision,
        revision
    );
}

async fn a_segment_of_another_feature_is_refused(world: World) {
    let world = world.with_features().await;
    let request = CreateSegmentRequest {
        parent: SHOP.into(),
        segment_id: "titled".into(),
        segment: Some(pb::Segment { feature: "title".into(), ..segment("plan") }),
        ..Default::default()
    };
    world.segments().create_segment(request).await.unwrap();
    let outcome = world.flags().set_segment_override(set("titled", None)).await;
    check(outcome, Code::FailedPrecondition, "SEGMENT_OF_OTHER_FEATURE");
}

async fn identity_overrides_are_set_listed_and_removed(world: World) {
    let world = world.with_features().await;
    let name = |identifier: &str| format!("{}/identityOverrides/{identifier}", flag("dark"));
    let set = |identifier: &str| SetIdentityOverrideRequest {
        name: name(identifier),
        state: on(),
        ..Default::default()
    };
    for identifier in ["ada", "eve", "a%2Fb"] {
        world.flags().set_identity_override(set(identifier)).await.unwrap();
    }
    let replaced = world.flags().set_identity_override(set("a%2Fb")).await.unwrap().into_inner();
    let replaced = replaced.identity_override.unwrap();
    assert_eq!((replaced.identifier.as_str(), replaced.name.as_str()), ("a/b", name("a%2Fb").as_str()));
    let stale = SetIdentityOverrideRequest { etag: "0".into(), ..set("a%2Fb") };
    check_stale(world.flags().set_identity_override(stale).await, &replaced.etag);
    let no_state = SetIdentityOverrideRequest { state: None, ..set("ada") };
    check_invalid(world.flags().set_identity_override(no_state).await, "state");

    let mut seen = Vec::new();
    let mut list = ListIdentityOverridesRequest { parent: flag("dark"), page_size: 2, ..Default::default() };
    loop {
        let page = world.flags().list_identity_overrides(list.clone()).await.unwrap().into_inner();
        seen.extend(page.identity_overrides.into_iter().map(|item| item.identifier));
        list.page_token = page.next_page_token;
        if list.page_token.is_empty() {
            break;
        }
    }
    seen.sort();
    assert_eq!(seen, ["a/b", "ada", "eve"]);

    let remove = RemoveIdentityOverrideRequest { name: name("eve"), ..Default::default() };
    world.flags().remove_identity_override(remove.clone()).await.unwrap();
    check_missing(world.flags().remove_identity_override(remove).await, &name("eve"));
}
