//! Segments.

use burgee_core::change::Mutation;
use burgee_core::rule::{Rule, RuleKind};
use burgee_core::segment::SegmentPatch;

use crate::world::*;

both! {
    a_segment_is_created_read_changed_and_deleted,
    segments_are_listed_by_id,
    a_segment_of_a_feature_names_it,
    a_segment_that_breaks_a_rule_is_refused,
    a_segment_in_use_is_deleted_only_by_force,
    forced_deletion_closes_the_gaps_in_all_environments,
}

fn update(patch: SegmentPatch, etag: Option<&str>) -> Mutation {
    Mutation::UpdateSegment { segment: segment_id("beta"), patch, etag: etag.map(str::to_owned) }
}

fn delete(id: &str, force: bool, etag: Option<&str>) -> Mutation {
    Mutation::DeleteSegment { segment: segment_id(id), force, etag: etag.map(str::to_owned) }
}

async fn a_segment_is_created_read_changed_and_deleted(world: World) {
    let world = world.shop().await;
    let name = segment_name("beta");
    let created = only!(Segment, world.apply(vec![create_segment("beta")]).await);
    assert_eq!(created.etag, "2");
    assert_eq!(world.flags().segment(&name).await.unwrap(), created);
    check_taken(world.try_apply(vec![create_segment("beta")]).await, &name.to_string());
    let patch = SegmentPatch {
        display_name: Some("Beta testers".to_owned()),
        description: Some("who asked".to_owned()),
        rules: Some(Vec::new()),
        hashing_key: Some("77".to_owned()),
        metadata: Some(Some("{\"a\":1}".to_owned())),
    };
    let changed = only!(Segment, world.apply(vec![update(patch.clone(), Some("2"))]).await);
    assert_eq!((changed.etag.as_str(), changed.display_name.as_str()), ("3", "Beta testers"));
    assert_eq!(world.flags().segment(&name).await.unwrap(), changed);
    check_stale(world.try_apply(vec![update(patch, Some("2"))]).await, &name.to_string(), "3");
    check_stale(world.try_apply(vec![delete("beta", true, Some("2"))]).await, &name.to_string(), "3");
    world.write(delete("beta", false, Some("3"))).await;
    check_missing(world.flags().segment(&name).await, &name.to_string());
    check_missing(world.try_apply(vec![delete("beta", false, None)]).await, &name.to_string());
}

async fn segments_are_listed_by_id(world: World) {
    let world = world.shop().await;
    world.apply(["b", "a1", "a-1"].map(create_segment).to_vec()).await;
    let listed = world.flags().segments(&shop(), &all()).await.unwrap();
    let ids: Vec<&str> = listed.iter().map(|segment| segment.name.segment.as_str()).collect();
    assert_eq!(ids, ["a-1", "a1", "b"]);
    assert_eq!(world.flags().segments(&shop(), &page("a-1", 1)).await.unwrap(), listed[1..2]);
}

async fn a_segment_of_a_feature_names_it(world: World) {
    let world = world.with_flags().await;
    let mut own = segment("own");
    own.feature = Some(feature_key("banner"));
    let created = only!(Segment, world.apply(vec![Mutation::CreateSegment { segment: own.clone() }]).await);
    assert_eq!(created.feature, Some(feature_key("banner")));
    assert_eq!(world.flags().segment(&created.name).await.unwrap(), created);
    own.name = segment_name("other");
    own.feature = Some(feature_key("nothing"));
    let refused = world.try_apply(vec![Mutation::CreateSegment { segment: own }]).await;
    check_missing(refused, &feature_name("nothing").to_string());
}

async fn a_segment_that_breaks_a_rule_is_refused(world: World) {
    let world = world.with_flags().await;
    let mut deep = Rule { kind: RuleKind::All, conditions: Vec::new(), rules: Vec::new() };
    for _ in 0..8 {
        deep = Rule { kind: RuleKind::All, conditions: Vec::new(), rules: vec![deep] };
    }
    let mut wrong = segment("wrong");
    wrong.rules = vec![deep.clone()];
    check_error(Err::<(), _>(world.refuse(Mutation::CreateSegment { segment: wrong }).await), "`rules[0]");
    let patch = SegmentPatch { rules: Some(vec![deep]), ..Default::default() };
    check_error(Err::<(), _>(world.refuse(update(patch, None)).await), "`rules[0]");
    let patch = SegmentPatch { metadata: Some(Some("1".to_owned())), ..Default::default() };
    check_error(Err::<(), _>(world.refuse(update(patch, None)).await), "`metadata`");
}

async fn a_segment_in_use_is_deleted_only_by_force(world: World) {
    let world = world.with_flags().await;
    let features: Vec<String> = (0..30).map(|index| format!("f{index:02}")).collect();
    world.apply(features.iter().map(|key| create_feature(key)).collect()).await;
    world.apply(features.iter().map(|key| set_override("dev", key, "beta", None)).collect()).await;
    let users: Vec<String> =
        features.iter().map(|key| override_name("dev", key, "beta").to_string()).collect();
    check_users(world.try_apply(vec![delete("beta", false, None)]).await, &users);
    world.write(delete("beta", true, None)).await;
    let flags = world.flags().flags(&environment_name("dev"), &all()).await.unwrap();
    assert!(flags.iter().all(|flag| flag.segment_overrides.is_empty()));
}

async fn forced_deletion_closes_the_gaps_in_all_environments(world: World) {
    let world = world.with_flags().await;
    world.write(create_segment("rest")).await;
    for environment in ["dev", "production"] {
        let overrides = ["beta", "staff", "rest"].map(|id| set_override(environment, "banner", id, None));
        world.apply(overrides.to_vec()).await;
    }
    let untouched = world.flags().flag(&flag_name("dev", "limit")).await.unwrap();
    let revision = world.write(delete("beta", true, None)).await;
    for environment in ["dev", "production"] {
        let flag = world.flags().flag(&flag_name(environment, "banner")).await.unwrap();
        assert_eq!(flag.etag, revision.to_string());
        let loaded = world.load(environment).await.rules;
        let overrides = &loaded.features[0].segment_overrides;
        let ids: Vec<&str> =
            overrides.iter().map(|other| loaded.segments[other.segment].id.as_str()).collect();
        assert_eq!(ids, ["staff", "rest"]);
        assert_eq!(overrides.iter().map(|other| other.priority).collect::<Vec<_>>(), [0, 1]);
    }
    assert_eq!(world.flags().flag(&untouched.name).await.unwrap(), untouched);
}
