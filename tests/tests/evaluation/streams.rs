//! What streams carry.

use burgee_core::change::Mutation;
use burgee_core::flag::FlagStatePatch;
use burgee_core::project::EnvironmentPatch;
use burgee_core::rule::{Condition, Operand, Operator, Rule, RuleKind};
use burgee_core::segment::Segment;
use burgee_proto::evaluation::v1 as pb;
use pb::watch_flags_response::Event;
use prost::Message as _;

use crate::service::*;
use crate::world::*;

both! {
    a_snapshot_comes_first_and_then_what_changes,
    a_stream_of_some_features_is_silent_about_others,
    an_idle_stream_gets_checkpoints,
    a_slow_reader_skips_to_the_newest_state,
    large_snapshots_and_updates_come_in_parts,
    changed_traits_come_with_the_next_change,
    flags_that_get_hidden_are_removed,
    a_rule_that_looks_at_another_flag_changes_with_it,
    a_write_elsewhere_in_the_project_is_not_sent,
}

/// Sets the value of a flag in `dev`.
fn set_value(feature: &str, value: &str) -> Mutation {
    let patch = FlagStatePatch { value: Some(Some(text(value))), ..Default::default() };
    Mutation::UpdateFlag { flag: flag_name("dev", feature), patch, etag: None }
}

/// Asks for checkpoints as often as can be.
fn every_second() -> pb::WatchFlagsRequest {
    let second = prost_types::Duration { seconds: 1, nanos: 0 };
    pb::WatchFlagsRequest { checkpoint_interval: Some(second), ..Default::default() }
}

async fn a_snapshot_comes_first_and_then_what_changes(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let mut stream = service.watch(SERVER_KEY, pb::WatchFlagsRequest::default()).await;
    let Some(Event::Snapshot(snapshot)) = stream.next().await else { panic!("{:?}", stream.messages) };
    assert_eq!((snapshot.reason(), snapshot.last), (pb::SnapshotReason::Initial, true));
    assert_eq!(keys_of(&snapshot.flags), ["banner", "limit", "secret", "split"]);
    assert_eq!(stream.state.revision, world.revision().await);

    let revision = world.write(set_value("banner", "new")).await;
    let Some(Event::Update(update)) = stream.next().await else { panic!("{:?}", stream.messages) };
    assert_eq!((keys_of(&update.flags), stream.state.revision), (vec!["banner"], revision));
    assert_eq!(text_of(&update.flags[0]), "new");

    let both = world.apply(vec![delete_feature("limit"), create_feature("extra")]).await.revision;
    let Some(Event::Update(update)) = stream.next().await else { panic!("{:?}", stream.messages) };
    assert_eq!(
        (keys_of(&update.flags), stream.state.revision),
        (vec!["extra"], both),
        "one revision as a whole"
    );
    assert_eq!(update.removed, ["limit"]);
    assert_eq!(stream.keys(), ["banner", "extra", "secret", "split"]);
}

async fn a_stream_of_some_features_is_silent_about_others(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let features = vec!["later".to_owned(), "banner".to_owned()];
    let mut stream = service.watch(SERVER_KEY, pb::WatchFlagsRequest { features, ..every_second() }).await;
    stream.next().await;
    assert_eq!(stream.keys(), ["banner"]);
    world.write(set_value("limit", "new")).await;
    world.write(create_feature("unwanted")).await;
    let deleted = world.write(delete_feature("split")).await;
    stream.reach(deleted).await;
    assert!(stream.messages[1..].iter().all(|message| matches!(message.event, Some(Event::Checkpoint(_)))));
    let created = world.write(create_feature("later")).await;
    stream.reach(created).await;
    assert_eq!(stream.keys(), ["banner", "later"]);
}

async fn an_idle_stream_gets_checkpoints(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let mut stream = service.watch(SERVER_KEY, every_second()).await;
    stream.next().await;
    let token = stream.token();
    let revision = world.write(switch("production", "banner", false)).await;
    stream.reach(revision).await;
    let Some(Event::Checkpoint(checkpoint)) = stream.messages.last().and_then(|last| last.event.clone())
    else {
        panic!("{:?}", stream.messages);
    };
    assert_eq!(checkpoint.stale_for, None);
    assert_ne!(stream.token(), token);
}

async fn a_slow_reader_skips_to_the_newest_state(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let mut stream = service.watch(SERVER_KEY, pb::WatchFlagsRequest::default()).await;
    stream.next().await;
    // More than fits between server and client: while nobody reads, the server waits.
    const WRITES: usize = 100;
    let mut revision = 0;
    for index in 0..WRITES {
        let feature = if index % 2 == 0 { "banner" } else { "limit" };
        revision = world.write(set_value(feature, &index.to_string().repeat(9_000))).await;
    }
    let mut client = service.client(SERVER_KEY).await;
    let request = pb::EvaluateFlagsRequest { min_revision: revision, ..Default::default() };
    let fresh = client.evaluate_flags(request).await.unwrap().into_inner();
    stream.reach(revision).await;
    assert_eq!(stream.state.list(), fresh.flags);
    assert!(stream.state.applied < WRITES, "{} messages for {WRITES} writes", stream.state.applied);
}

async fn large_snapshots_and_updates_come_in_parts(world: World) {
    let world = world.served().await;
    let features: Vec<_> = (0..60).map(|index| create_feature(&format!("large-{index:02}"))).collect();
    world.apply(features).await;
    let values = (0..60).map(|index| set_value(&format!("large-{index:02}"), &"x".repeat(20_000)));
    world.apply(values.collect()).await;
    let service = Service::start(&world).await;
    let mut stream = service.watch(SERVER_KEY, every_second()).await;
    stream.reach(world.revision().await).await;
    assert!(stream.messages.len() >= 5, "{} parts", stream.messages.len());
    assert_eq!(stream.state.flags.len(), 64);
    // All flags may be others after this, so all are sent.
    let identity_hashing = Some(burgee_core::project::IdentityHashing::Identifier);
    let settings = EnvironmentPatch { identity_hashing, ..Default::default() };
    let revision = world.set_environment(settings).await;
    let snapshot_parts = stream.messages.len();
    stream.reach(revision).await;
    assert!(stream.messages.len() - snapshot_parts >= 5);
    for message in &stream.messages {
        assert!(message.encoded_len() <= 256 * 1024, "{}", message.encoded_len());
    }
    assert_eq!((stream.state.flags.len(), stream.state.snapshots, stream.state.applied), (64, 1, 2));
}

async fn changed_traits_come_with_the_next_change(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let identity = Some(somebody("eve"));
    let mut stream = service.watch(SERVER_KEY, pb::WatchFlagsRequest { identity, ..every_second() }).await;
    stream.next().await;
    assert_eq!(text_of(&stream.state.flags["banner"]), "initial");
    world.set_traits("eve", &[("plan", "beta")]).await;
    let revision = world.write(set_value("limit", "new")).await;
    stream.reach(revision).await;
    // That of the traits is on record, too: whoever reads the environment for it tells the flags then.
    let mut updates = stream.messages.iter().filter_map(|message| match &message.event {
        Some(Event::Update(update)) => Some(keys_of(&update.flags)),
        _ => None,
    });
    assert!(updates.any(|keys| keys == ["banner", "limit", "secret", "split"]), "all flags");
    assert_eq!(text_of(&stream.state.flags["banner"]), "beta");
    let revision = world.write(set_value("limit", "newer")).await;
    stream.reach(revision).await;
    let Some(Event::Update(update)) = stream.messages.last().and_then(|last| last.event.clone()) else {
        panic!("{:?}", stream.messages);
    };
    assert_eq!(keys_of(&update.flags), ["limit"]);
}

async fn flags_that_get_hidden_are_removed(world: World) {
    let world = world.served().await;
    world.write(switch("dev", "banner", false)).await;
    let service = Service::start(&world).await;
    let identity = Some(somebody_with("eve", &[("plan", "beta")]));
    let mut member = service.watch(CLIENT_KEY, pb::WatchFlagsRequest { identity, ..every_second() }).await;
    let mut stream = service.watch(CLIENT_KEY, every_second()).await;
    stream.next().await;
    assert_eq!(stream.keys(), ["banner", "limit", "split"]);
    let patch = EnvironmentPatch { hide_disabled_flags: Some(true), ..Default::default() };
    let hidden = world.set_environment(patch).await;
    assert_eq!(stream.reach(hidden).await.keys(), ["limit", "split"]);
    assert_eq!(member.reach(hidden).await.keys(), ["banner", "limit", "split"], "the override is on");
    let off = world.write(switch("dev", "limit", false)).await;
    assert_eq!(stream.reach(off).await.keys(), ["split"]);
    let on = world.write(switch("dev", "banner", true)).await;
    assert_eq!(stream.reach(on).await.keys(), ["banner", "split"]);
}

async fn a_rule_that_looks_at_another_flag_changes_with_it(world: World) {
    let world = world.served().await;
    let path = "$.features.limit.enabled".to_owned();
    let condition = Condition::new(path, Operator::Equal, Operand::Text("true".to_owned()), "").unwrap();
    let rule = Rule { kind: RuleKind::All, conditions: vec![condition], rules: Vec::new() };
    let entangled = Segment { rules: vec![rule], ..segment("entangled") };
    world
        .apply(vec![
            Mutation::CreateSegment { segment: entangled },
            set_override("dev", "split", "entangled", None),
        ])
        .await;
    let service = Service::start(&world).await;
    let mut stream = service.watch(SERVER_KEY, every_second()).await;
    stream.next().await;
    for enabled in [false, true, false] {
        let revision = world.write(switch("dev", "limit", enabled)).await;
        stream.reach(revision).await;
        let request = pb::EvaluateFlagsRequest { min_revision: revision, ..Default::default() };
        let fresh = service.client(SERVER_KEY).await.evaluate_flags(request).await.unwrap().into_inner();
        assert_eq!(stream.state.list(), fresh.flags);
    }
}

async fn a_write_elsewhere_in_the_project_is_not_sent(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    // With both environments held, the change log says which one a revision touched.
    let mut other = service.watch(OTHER_KEY, every_second()).await;
    let mut stream = service.watch(SERVER_KEY, every_second()).await;
    other.next().await;
    stream.next().await;
    let mut revision = 0;
    for index in 0..10 {
        revision = world.write(switch("production", "banner", index % 2 == 0)).await;
    }
    other.reach(revision).await;
    stream.reach(revision).await;
    assert!(other.state.applied > 1);
    assert_eq!(stream.state.applied, 1, "{:?}", stream.messages);
}
