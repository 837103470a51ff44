//! Many changes at once.

use burgee_proto::management::v1::change_request::Change;
use burgee_proto::management::v1::*;
use burgee_proto::v1 as pb;
use tonic::Code;

use crate::world::*;

both! {
    many_changes_are_one_revision,
    all_changes_are_applied_or_none,
    changes_are_within_the_project,
}

fn request(changes: Vec<Change>) -> ApplyChangesRequest {
    let changes = changes.into_iter().map(|change| ChangeRequest { change: Some(change) }).collect();
    ApplyChangesRequest { project: SHOP.into(), changes, ..Default::default() }
}

fn create_segment(id: &str) -> Change {
    Change::CreateSegment(CreateSegmentChange { segment_id: id.into(), segment: Some(segment("plan")) })
}

fn set_override(id: &str) -> Change {
    let name = format!("{}/segmentOverrides/{id}", flag("new"));
    Change::SetSegmentOverride(SetSegmentOverrideRequest { name, state: on(), ..Default::default() })
}

async fn many_changes_are_one_revision(world: World) {
    let world = world.with_features().await;
    let feature = new_feature("new", pb::ValueType::Boolean).feature;
    let update = Change::UpdateSegment(UpdateSegmentChange {
        segment: Some(pb::Segment {
            name: format!("{SHOP}/segments/a"),
            display_name: "A".into(),
            ..Default::default()
        }),
        update_mask: mask(&["display_name"]),
    });
    let identity = format!("{}/identityOverrides/ada", flag("new"));
    let applied = request(vec![
        Change::CreateFeature(CreateFeatureChange { feature_id: "new".into(), feature }),
        create_segment("a"),
        create_segment("b"),
        create_segment("c"),
        set_override("a"),
        set_override("b"),
        Change::ReorderSegmentOverrides(ReorderSegmentOverridesRequest {
            name: flag("new"),
            segments: vec!["b".into(), "a".into()],
            ..Default::default()
        }),
        update,
        Change::DeleteSegment(DeleteSegmentChange {
            name: format!("{SHOP}/segments/c"),
            ..Default::default()
        }),
        Change::UpdateFlag(update_flag("new", true)),
        Change::SetIdentityOverride(SetIdentityOverrideRequest {
            name: identity.clone(),
            state: on(),
            ..Default::default()
        }),
        Change::RemoveIdentityOverride(RemoveIdentityOverrideRequest {
            name: identity,
            ..Default::default()
        }),
        Change::RemoveSegmentOverride(RemoveSegmentOverrideRequest {
            name: format!("{}/segmentOverrides/a", flag("new")),
            ..Default::default()
        }),
    ]);
    let applied = ApplyChangesRequest { request_id: "deploy-1".into(), ..applied };
    let before = world.revision().await;
    let tried = ApplyChangesRequest { validate_only: true, ..applied.clone() };
    assert_eq!(world.flags().apply_changes(tried).await.unwrap().into_inner().revision, before);
    for _ in 0..2 {
        let revision = world.flags().apply_changes(applied.clone()).await.unwrap().into_inner().revision;
        assert_eq!((revision, world.revision().await), (before + 1, before + 1));
    }
    let new = world
        .flags()
        .get_flag(GetFlagRequest { name: flag("new") })
        .await
        .unwrap()
        .into_inner()
        .flag
        .unwrap();
    assert!(new.state.unwrap().enabled());
    assert_eq!(new.segment_overrides.len(), 1);
    assert_eq!(new.segment_overrides[0].segment, format!("{SHOP}/segments/b"));
    let name = format!("{SHOP}/changes/{}", before + 1);
    let change =
        world.changes().get_change(GetChangeRequest { name }).await.unwrap().into_inner().change.unwrap();
    assert_eq!(
        (change.method.as_str(), change.request_id.as_str()),
        ("FlagService/ApplyChanges", "deploy-1")
    );
    assert!(change.entries.len() > 5);
}

async fn all_changes_are_applied_or_none(world: World) {
    let world = world.with_features().await;
    let before = world.revision().await;
    let wrong = Change::UpdateFlag(UpdateFlagRequest {
        flag: Some(pb::Flag {
            name: flag("dark"),
            state: Some(pb::FlagState { value: text("x"), ..Default::default() }),
            ..Default::default()
        }),
        update_mask: mask(&["state.value"]),
        ..Default::default()
    });
    let outcome = world.flags().apply_changes(request(vec![create_segment("a"), wrong.clone()])).await;
    check_invalid(outcome, "changes[1].update_flag.flag.state.value");
    check_invalid(
        world.flags().apply_changes(request(vec![wrong])).await,
        "changes[0].update_flag.flag.state.value",
    );
    let missing = Change::UpdateFlag(update_flag("none", true));
    let outcome = world.flags().apply_changes(request(vec![create_segment("a"), missing])).await;
    let status = check(outcome, Code::NotFound, "NOT_FOUND");
    assert!(status.message().starts_with("changes[1]: "), "{}", status.message());
    check_invalid(world.flags().apply_changes(request(vec![])).await, "changes");
    assert_eq!(world.revision().await, before);
    let name = format!("{SHOP}/segments/a");
    check_missing(world.segments().get_segment(GetSegmentRequest { name: name.clone() }).await, &name);
}

async fn changes_are_within_the_project(world: World) {
    let world = world.with_features().await;
    let mut other = update_flag("dark", true);
    other.flag.as_mut().unwrap().name = format!("{ACME}/projects/other/environments/dev/flags/dark");
    let outcome =
        world.flags().apply_changes(request(vec![create_segment("a"), Change::UpdateFlag(other)])).await;
    check_invalid(outcome, "changes[1].update_flag.flag.name");
    let inner = UpdateFlagRequest { request_id: "1".into(), ..update_flag("dark", true) };
    let outcome = world.flags().apply_changes(request(vec![Change::UpdateFlag(inner)])).await;
    check_invalid(outcome, "changes[0].update_flag.request_id");
}
