//! Segments.

use burgee_proto::management::v1::*;
use burgee_proto::v1 as pb;
use tonic::Code;

use crate::world::*;

both! {
    a_segment_is_created_read_changed_and_listed,
    a_segment_in_use_is_deleted_only_by_force,
    of_what_uses_a_segment_the_caller_is_told_what_they_may_see,
    what_could_not_be_evaluated_is_refused,
}

async fn a_segment_is_created_read_changed_and_listed(world: World) {
    let world = world.shop().await;
    let created = world.create_segment("beta").await;
    assert_eq!(created.name, format!("{SHOP}/segments/beta"));
    assert!(!created.hashing_key.is_empty() && created.rules.len() == 1);
    let request =
        CreateSegmentRequest { parent: SHOP.into(), segment_id: "beta".into(), ..Default::default() };
    check_taken(world.segments().create_segment(request).await, &created.name);
    let get = GetSegmentRequest { name: created.name.clone() };
    assert_eq!(
        world.segments().get_segment(get).await.unwrap().into_inner().segment.as_ref(),
        Some(&created)
    );

    let update = UpdateSegmentRequest {
        segment: Some(pb::Segment {
            name: created.name.clone(),
            etag: created.etag.clone(),
            rules: segment("age").rules,
            metadata: r#"{"team": "checkout"}"#.into(),
            ..Default::default()
        }),
        update_mask: mask(&["rules", "metadata"]),
        ..Default::default()
    };
    let updated = world.segments().update_segment(update.clone()).await.unwrap().into_inner();
    let changed = updated.segment.unwrap();
    assert_eq!(changed.rules[0].conditions[0].property, "age");
    assert_eq!((changed.display_name.as_str(), &changed.hashing_key), ("beta", &created.hashing_key));
    check_stale(world.segments().update_segment(update).await, &changed.etag);

    world.create_segment("alpha").await;
    let list = ListSegmentsRequest { parent: SHOP.into(), ..Default::default() };
    let listed = world.segments().list_segments(list).await.unwrap().into_inner().segments;
    assert_eq!(listed.iter().map(|item| item.display_name.as_str()).collect::<Vec<_>>(), ["alpha", "beta"]);
}

async fn a_segment_in_use_is_deleted_only_by_force(world: World) {
    let world = world.with_features().await;
    world.create_segment("beta").await;
    let name = format!("{}/segmentOverrides/beta", flag("dark"));
    let set = SetSegmentOverrideRequest { name: name.clone(), state: on(), ..Default::default() };
    world.flags().set_segment_override(set).await.unwrap();
    let delete = DeleteSegmentRequest { name: format!("{SHOP}/segments/beta"), ..Default::default() };
    let outcome = world.segments().delete_segment(delete.clone()).await;
    assert_eq!(metadata(&check(outcome, Code::FailedPrecondition, "IN_USE"), "users"), name);
    let delete = DeleteSegmentRequest { force: true, ..delete };
    let revision = world.segments().delete_segment(delete.clone()).await.unwrap().into_inner().revision;
    assert_eq!(revision, world.revision().await);
    let flag = world.flags().get_flag(GetFlagRequest { name: flag("dark") }).await.unwrap().into_inner().flag;
    assert!(flag.unwrap().segment_overrides.is_empty());
    check_missing(world.segments().delete_segment(delete.clone()).await, &delete.name);
}

async fn of_what_uses_a_segment_the_caller_is_told_what_they_may_see(world: World) {
    use pb::Permission::{ManageSegmentOverrides, ManageSegments, ViewEnvironment, ViewProject};
    let world = world.with_features().await;
    world.create_environment("alpha").await;
    world.create_segment("beta").await;
    let alpha = format!("{SHOP}/environments/alpha");
    let [seen, unseen, too] = [(DEV, "dark"), (&*alpha, "dark"), (&*alpha, "title")]
        .map(|(environment, feature)| format!("{environment}/flags/{feature}/segmentOverrides/beta"));
    for name in [&unseen, &seen, &too] {
        let set = SetSegmentOverrideRequest { name: name.clone(), state: on(), ..Default::default() };
        world.flags().set_segment_override(set).await.unwrap();
    }
    let delete = DeleteSegmentRequest { name: format!("{SHOP}/segments/beta"), ..Default::default() };
    let refused = async |caller: &World, users: &[&String], hidden: &str| {
        let change = DeleteSegmentChange { name: delete.name.clone(), ..Default::default() };
        let changes = ApplyChangesRequest {
            project: SHOP.into(),
            changes: vec![ChangeRequest { change: Some(change_request::Change::DeleteSegment(change)) }],
            ..Default::default()
        };
        let alone =
            check(caller.segments().delete_segment(delete.clone()).await, Code::FailedPrecondition, "IN_USE");
        let together = check(caller.flags().apply_changes(changes).await, Code::FailedPrecondition, "IN_USE");
        for status in [alone, together] {
            let expected = users.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(",");
            assert_eq!(
                (metadata(&status, "users"), metadata(&status, "hidden").as_str()),
                (expected, hidden)
            );
            assert_eq!(status.message().contains("alpha"), users.contains(&&unseen), "{status:?}");
        }
    };
    refused(&world, &[&unseen, &too, &seen], "0").await;
    let ada = world.as_member("ada").await;
    world.grant("ada", "users/ada", SHOP, &[ManageSegments, ViewProject]).await;
    refused(&ada, &[], "3").await;
    // To change something there is not to see it.
    world.grant("ada-alpha", "users/ada", &alpha, &[ManageSegmentOverrides]).await;
    world.grant("ada-dev", "users/ada", DEV, &[ViewEnvironment]).await;
    refused(&ada, &[&seen], "2").await;
}

async fn what_could_not_be_evaluated_is_refused(world: World) {
    let world = world.shop().await;
    let create = |segment: pb::Segment| CreateSegmentRequest {
        parent: SHOP.into(),
        segment_id: "beta".into(),
        segment: Some(segment),
        ..Default::default()
    };
    let condition = |operator: pb::Operator, value: &str| {
        let mut segment = segment("plan");
        let condition = &mut segment.rules[0].conditions[0];
        condition.operator = operator.into();
        condition.operand = Some(pb::condition::Operand::Value(value.into()));
        create(segment)
    };
    let field = "segment.rules[0].conditions[0].value";
    check_invalid(world.segments().create_segment(condition(pb::Operator::Regex, "(")).await, field);
    check_invalid(
        world.segments().create_segment(condition(pb::Operator::PercentageSplit, "101")).await,
        field,
    );
    check_invalid(world.segments().create_segment(condition(pb::Operator::Modulo, "0|1")).await, field);
    let unspecified = condition(pb::Operator::Unspecified, "");
    check_invalid(
        world.segments().create_segment(unspecified).await,
        "segment.rules[0].conditions[0].operator",
    );
    let metadata = create(pb::Segment { metadata: "[1]".into(), ..segment("plan") });
    check_invalid(world.segments().create_segment(metadata).await, "segment.metadata");
    let feature = create(pb::Segment { feature: "none".into(), ..segment("plan") });
    check(world.segments().create_segment(feature).await, Code::NotFound, "NOT_FOUND");
}
