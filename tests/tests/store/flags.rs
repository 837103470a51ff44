//! Flags and their segment overrides.

use burgee_core::change::Mutation;
use burgee_core::flag::{Flag, FlagStatePatch};
use burgee_core::value::Value;

use crate::world::*;

both! {
    a_flag_is_changed_field_by_field,
    flags_are_listed_by_feature,
    a_state_that_breaks_a_rule_is_refused,
    overrides_are_added_at_the_end_or_where_they_are_wanted,
    a_replaced_override_stays_where_it_is_unless_told,
    removing_an_override_closes_the_gap,
    overrides_are_reordered_as_a_whole,
    overrides_change_the_flags_etag,
    an_empty_hashing_key_means_the_features_or_the_former_one,
    a_segment_of_another_feature_is_refused,
    overrides_of_what_does_not_exist_are_refused,
}

fn patch(patch: FlagStatePatch) -> Mutation {
    Mutation::UpdateFlag { flag: flag_name("dev", "banner"), patch, etag: None }
}

fn remove(segment: &str, etag: Option<&str>) -> Mutation {
    let name = override_name("dev", "banner", segment);
    Mutation::RemoveSegmentOverride { name, etag: etag.map(str::to_owned) }
}

fn order(flag: &Flag) -> Vec<String> {
    flag.segment_overrides.iter().map(|replacement| replacement.name.segment.to_string()).collect()
}

/// The shop, with the segments `a` to `e` overriding `banner` in `dev`, in this order.
async fn overridden(world: World) -> World {
    let world = world.with_flags().await;
    world.apply(["a", "b", "c", "d", "e"].map(create_segment).to_vec()).await;
    world.apply(["a", "b", "c", "d", "e"].map(|id| set_override("dev", "banner", id, None)).to_vec()).await;
    world
}

/// Writes and checks the order of overrides, as answered and as stored.
async fn check_order(world: &World, mutation: Mutation, expected: &[&str]) {
    let answered = only!(Flag, world.apply(vec![mutation]).await);
    assert_eq!(order(&answered), expected);
    let stored = world.flags().flag(&answered.name).await.unwrap();
    assert_eq!(stored, answered);
    let loaded = world.load("dev").await.rules;
    let priorities: Vec<(i64, &str)> = loaded.features[0]
        .segment_overrides
        .iter()
        .map(|replacement| (replacement.priority, loaded.segments[replacement.segment].id.as_str()))
        .collect();
    let expected: Vec<(i64, &str)> = (0..).zip(expected.iter().copied()).collect();
    assert_eq!(priorities, expected);
}

async fn a_flag_is_changed_field_by_field(world: World) {
    let world = world.with_flags().await;
    world
        .write(Mutation::CreateVariant {
            feature: feature_key("banner"),
            variant: variant("a", 0.0),
            etag: None,
        })
        .await;
    let before = world.flags().flag(&flag_name("dev", "banner")).await.unwrap();
    assert_eq!(only!(Flag, world.apply(vec![patch(Default::default())]).await).state, before.state);
    let changes = FlagStatePatch {
        enabled: Some(false),
        value: Some(Some(text("new"))),
        weights: Some(vec![weight("a", 33.333_333_333_333_336)]),
        hashing_key: Some(Some("77".to_owned())),
        metadata: Some(Some("{ \"b\": 1, \"a\": 1.50 }".to_owned())),
    };
    let changed = only!(Flag, world.apply(vec![patch(changes)]).await);
    assert!(!changed.state.enabled);
    assert_eq!(changed.state.weights[0].weight, 33.333_333_333_333_336);
    assert_eq!(changed.state.metadata.as_deref(), Some("{ \"b\": 1, \"a\": 1.50 }"), "text stays as it is");
    assert_eq!(world.flags().flag(&changed.name).await.unwrap(), changed);
    let other = world.flags().flag(&flag_name("production", "banner")).await.unwrap();
    assert!(other.state.enabled, "each environment has its own");

    let resets = FlagStatePatch {
        value: Some(None),
        weights: Some(Vec::new()),
        hashing_key: Some(None),
        metadata: Some(None),
        ..Default::default()
    };
    let state = only!(Flag, world.apply(vec![patch(resets)]).await).state;
    assert_eq!((state.value, state.weights, state.metadata), (None, Vec::new(), None));
    assert_eq!(state.hashing_key, "hash of banner");
}

async fn flags_are_listed_by_feature(world: World) {
    let world = overridden(world).await;
    world.write(create_feature("Another")).await;
    let listed = world.flags().flags(&environment_name("dev"), &all()).await.unwrap();
    let keys: Vec<&str> = listed.iter().map(|flag| flag.name.feature.as_str()).collect();
    assert_eq!(keys, ["Another", "banner", "limit"]);
    assert_eq!(listed[1], world.flags().flag(&flag_name("dev", "banner")).await.unwrap());
    assert_eq!(listed[1].segment_overrides.len(), 5);
    assert_eq!(
        world.flags().flags(&environment_name("dev"), &page("Another", 1)).await.unwrap(),
        listed[1..2]
    );
    let nowhere = flag_name("nowhere", "banner");
    check_missing(world.flags().flag(&nowhere).await, &nowhere.to_string());
}

async fn a_state_that_breaks_a_rule_is_refused(world: World) {
    let world = world.with_flags().await;
    let wrong = FlagStatePatch { value: Some(Some(Value::Integer(1))), ..Default::default() };
    check_error(Err::<(), _>(world.refuse(patch(wrong)).await), "`value` must be of type `string`");
    let wrong = FlagStatePatch { weights: Some(vec![weight("a", 1.0)]), ..Default::default() };
    check_error(Err::<(), _>(world.refuse(patch(wrong)).await), "`weights[0].variant`");
    let mut wrong = state("beta");
    wrong.metadata = Some("[]".to_owned());
    let name = override_name("dev", "banner", "beta");
    let set = Mutation::SetSegmentOverride { name, state: wrong, priority: None, etag: None };
    check_error(Err::<(), _>(world.refuse(set).await), "`metadata`");
}

async fn overrides_are_added_at_the_end_or_where_they_are_wanted(world: World) {
    let world = world.with_flags().await;
    world.apply(["a", "b", "c", "d"].map(create_segment).to_vec()).await;
    check_order(&world, set_override("dev", "banner", "a", None), &["a"]).await;
    check_order(&world, set_override("dev", "banner", "b", Some(0)), &["b", "a"]).await;
    check_order(&world, set_override("dev", "banner", "c", Some(99)), &["b", "a", "c"]).await;
    check_order(&world, set_override("dev", "banner", "d", Some(1)), &["b", "d", "a", "c"]).await;
}

async fn a_replaced_override_stays_where_it_is_unless_told(world: World) {
    let world = overridden(world).await;
    check_order(&world, set_override("dev", "banner", "c", None), &["a", "b", "c", "d", "e"]).await;
    check_order(&world, set_override("dev", "banner", "c", Some(0)), &["c", "a", "b", "d", "e"]).await;
    check_order(&world, set_override("dev", "banner", "a", Some(3)), &["c", "b", "d", "a", "e"]).await;
    check_order(&world, set_override("dev", "banner", "c", Some(4)), &["b", "d", "a", "e", "c"]).await;
    let mut off = state("off");
    off.enabled = false;
    let name = override_name("dev", "banner", "d");
    let replace = Mutation::SetSegmentOverride { name, state: off, priority: None, etag: None };
    check_order(&world, replace, &["b", "d", "a", "e", "c"]).await;
    let flag = world.flags().flag(&flag_name("dev", "banner")).await.unwrap();
    assert!(!flag.segment_overrides[1].state.enabled);
}

async fn removing_an_override_closes_the_gap(world: World) {
    let world = overridden(world).await;
    check_order(&world, remove("b", None), &["a", "c", "d", "e"]).await;
    check_order(&world, remove("e", None), &["a", "c", "d"]).await;
    check_order(&world, remove("a", None), &["c", "d"]).await;
    let missing = override_name("dev", "banner", "a");
    check_missing(world.try_apply(vec![remove("a", None)]).await, &missing.to_string());
    check_order(&world, set_override("dev", "banner", "a", None), &["c", "d", "a"]).await;
}

async fn overrides_are_reordered_as_a_whole(world: World) {
    let world = overridden(world).await;
    let reorder = |ids: &[&str]| Mutation::ReorderSegmentOverrides {
        flag: flag_name("dev", "banner"),
        segments: ids.iter().map(|id| segment_id(id)).collect(),
        etag: None,
    };
    check_order(&world, reorder(&["e", "a", "d", "b", "c"]), &["e", "a", "d", "b", "c"]).await;
    for (wrong, field) in [
        (vec!["a", "b", "c", "d"], "`segments`"),
        (vec!["a", "b", "c", "d", "d"], "`segments[4]`"),
        (vec!["a", "b", "c", "d", "beta"], "`segments[4]`"),
    ] {
        check_error(Err::<(), _>(world.refuse(reorder(&wrong)).await), field);
    }
}

async fn overrides_change_the_flags_etag(world: World) {
    let world = overridden(world).await;
    let etag = world.flags().flag(&flag_name("dev", "banner")).await.unwrap().etag;
    let revision = world.write(remove("a", Some(&etag))).await.to_string();
    assert_ne!(revision, etag);
    let stale = world.try_apply(vec![remove("b", Some(&etag))]).await;
    check_stale(stale, &flag_name("dev", "banner").to_string(), &revision);
}

async fn an_empty_hashing_key_means_the_features_or_the_former_one(world: World) {
    let world = world.with_flags().await;
    let name = override_name("dev", "banner", "beta");
    let set = |hashing_key: &str| {
        let mut state = state("x");
        state.hashing_key = hashing_key.to_owned();
        Mutation::SetSegmentOverride { name: name.clone(), state, priority: None, etag: None }
    };
    for (given, expected) in [("", "hash of banner"), ("77", "77"), ("", "77")] {
        let flag = only!(Flag, world.apply(vec![set(given)]).await);
        assert_eq!(flag.segment_overrides[0].state.hashing_key, expected);
    }
}

async fn a_segment_of_another_feature_is_refused(world: World) {
    let world = world.with_flags().await;
    let mut own = segment("own");
    own.feature = Some(feature_key("limit"));
    world.write(Mutation::CreateSegment { segment: own }).await;
    world.write(set_override("dev", "limit", "own", None)).await;
    let refused = world.refuse(set_override("dev", "banner", "own", None)).await;
    check_reason(Err::<(), _>(refused), "SEGMENT_OF_OTHER_FEATURE");
}

async fn overrides_of_what_does_not_exist_are_refused(world: World) {
    let world = world.with_flags().await;
    for (mutation, missing) in [
        (set_override("dev", "banner", "nobody", None), segment_name("nobody").to_string()),
        (set_override("dev", "nothing", "beta", None), flag_name("dev", "nothing").to_string()),
        (set_override("nowhere", "banner", "beta", None), flag_name("nowhere", "banner").to_string()),
        (switch("nowhere", "banner", true), flag_name("nowhere", "banner").to_string()),
        (set_identity_override("dev", "nothing", "ada"), flag_name("dev", "nothing").to_string()),
    ] {
        check_missing(Err::<(), _>(world.refuse(mutation).await), &missing);
    }
}
