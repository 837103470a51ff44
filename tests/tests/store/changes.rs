//! Revisions and the change log.

use burgee_core::Error;
use burgee_core::change::{ChangeKind, Mutation, Resource};
use burgee_core::feature::FeaturePatch;
use burgee_core::flag::FlagStatePatch;
use burgee_core::name::LogName;
use burgee_core::store::ChangeOrder;
use burgee_core::value::Value;

use crate::world::*;

both! {
    a_write_is_one_revision_and_one_change,
    a_change_says_who_when_what_and_why,
    a_change_holds_the_resource_before_and_after,
    no_secret_is_in_a_change,
    changes_are_listed_in_both_directions,
    a_change_has_a_bounded_number_of_bytes,
    changes_are_read_in_parts_of_a_bounded_size,
    mutations_are_applied_together_or_not_at_all,
    mutations_see_what_earlier_ones_did,
    one_etag_serves_all_mutations_of_a_request,
    a_tried_write_changes_nothing,
    a_write_of_nothing_is_refused,
    a_write_to_a_missing_project_is_refused,
    times_are_kept_in_microseconds,
}

async fn a_write_is_one_revision_and_one_change(world: World) {
    let world = world.with_flags().await;
    let before = world.revision().await;
    for expected in before + 1..before + 4 {
        let mutations = vec![switch("dev", "banner", false), switch("dev", "limit", false)];
        assert_eq!(world.apply(mutations).await.revision, expected);
    }
    let changes = world.flags().changes(&shop_log(), ChangeOrder::After(0), 100).await.unwrap();
    let revisions: Vec<i64> = changes.iter().map(|change| change.revision).collect();
    assert_eq!(revisions, (1..=before + 3).collect::<Vec<_>>(), "without gaps");
    assert_eq!(changes.last().unwrap().entries.len(), 2);
}

async fn a_change_says_who_when_what_and_why(world: World) {
    let world = world.with_flags().await;
    let applied =
        world.flags().apply(&request("r", 1), &shop(), vec![switch("dev", "banner", false)]).await.unwrap();
    let change = world.flags().change(&shop_log(), applied.revision).await.unwrap();
    assert_eq!(change, world.last_change().await);
    assert_eq!((change.log, change.revision, change.created_at), (shop_log(), applied.revision, now()));
    assert_eq!((change.actor.as_str(), change.method.as_str()), ("users/ada", "TestService/Test"));
    assert_eq!(change.credential, "users/ada/tokens/laptop");
    assert_eq!((change.on_behalf_of.as_str(), change.address.as_str()), ("", "192.0.2.1"));
    assert_eq!((change.request_id.as_str(), change.reason.as_str()), ("r", "because"));
    let missing = world.flags().change(&shop_log(), applied.revision + 1).await;
    check_missing(missing, &format!("{}/changes/{}", shop(), applied.revision + 1));
}

async fn a_change_holds_the_resource_before_and_after(world: World) {
    let world = world.with_flags().await;
    let before = world.flags().flag(&flag_name("dev", "banner")).await.unwrap();
    world.write(set_override("dev", "banner", "beta", None)).await;
    let after = world.flags().flag(&flag_name("dev", "banner")).await.unwrap();
    let entry = world.last_change().await.entries.remove(0);
    assert_eq!((entry.subject, entry.kind), (before.name.to_string(), ChangeKind::Updated));
    assert_eq!(serde_json::from_value::<burgee_core::flag::Flag>(entry.before.unwrap()).unwrap(), before);
    assert_eq!(serde_json::from_value::<burgee_core::flag::Flag>(entry.after.unwrap()).unwrap(), after);

    world.write(create_feature("new")).await;
    let entry = world.last_change().await.entries.remove(0);
    assert_eq!((entry.kind, entry.before), (ChangeKind::Created, None));
    let feature = world.flags().feature(&feature_name("new")).await.unwrap();
    assert_eq!(
        serde_json::from_value::<burgee_core::feature::Feature>(entry.after.unwrap()).unwrap(),
        feature
    );

    world.write(delete_feature("new")).await;
    let entry = world.last_change().await.entries.remove(0);
    assert_eq!((entry.kind, entry.after), (ChangeKind::Deleted, None));
    assert_eq!(
        serde_json::from_value::<burgee_core::feature::Feature>(entry.before.unwrap()).unwrap(),
        feature
    );
}

async fn no_secret_is_in_a_change(world: World) {
    let world = world.with_environments().await;
    let hash = burgee_core::access::SecretHash::of("secret");
    world.write(create_key("dev", "backend", "secret")).await;
    let change = serde_json::to_string(&world.last_change().await.entries).unwrap();
    assert!(change.contains("keys/backend"));
    let hexadecimal: String = hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(!change.contains("secret") && !change.to_lowercase().contains(&hexadecimal), "{change}");
}

async fn changes_are_listed_in_both_directions(world: World) {
    let world = world.with_flags().await;
    for _ in 0..5 {
        world.write(switch("dev", "banner", true)).await;
    }
    let list = async |order, limit| {
        let changes = world.flags().changes(&shop_log(), order, limit).await.unwrap();
        changes.into_iter().map(|change| change.revision).collect::<Vec<_>>()
    };
    assert_eq!(list(ChangeOrder::After(2), 3).await, [3, 4, 5]);
    assert_eq!(list(ChangeOrder::After(8), 3).await, [0; 0]);
    assert_eq!(list(ChangeOrder::Before(4), 2).await, [3, 2]);
    assert_eq!(list(ChangeOrder::Before(i64::MAX), 2).await, [8, 7]);
    check_missing(
        world.flags().changes(&LogName::Project(project("other").name), ChangeOrder::After(0), 1).await,
        &project("other").name.to_string(),
    );
}

/// Creates features of 20,000 bytes each.
fn large_features(prefix: &str, count: usize) -> Vec<Mutation> {
    let large = |number| {
        let mut feature = feature(&format!("{prefix}{number}"));
        feature.description = "x".repeat(20_000);
        Mutation::CreateFeature { feature }
    };
    (0..count).map(large).collect()
}

async fn a_change_has_a_bounded_number_of_bytes(world: World) {
    let world = world.shop().await;
    for context in [write(), validation()] {
        let refused = world.flags().apply(&context, &shop(), large_features("a", 160)).await;
        // As soon as it is too much.
        let Err(Error::Change { index: 145..157, error }) = refused else { panic!("{refused:?}") };
        check_limit(Err::<(), _>(*error), "change_bytes", 3 * 1024 * 1024);
        assert_eq!(world.revision().await, 1);
        assert_eq!(world.flags().features(&shop(), &all()).await.unwrap(), []);
    }
    world.apply(large_features("a", 145)).await;
    assert_eq!(world.last_change().await.entries.len(), 145);
    // What is told once counts once.
    let describe = |number: usize| Mutation::UpdateFeature {
        feature: feature_key(&format!("a{}", number % 2)),
        patch: FeaturePatch { description: Some("y".repeat(20_000)), ..Default::default() },
        etag: None,
    };
    world.apply((0..200).map(describe).collect()).await;
}

async fn changes_are_read_in_parts_of_a_bounded_size(world: World) {
    let world = world.shop().await;
    for (prefix, count) in [("a", 30), ("b", 30), ("c", 100), ("d", 1), ("e", 1)] {
        world.apply(large_features(prefix, count)).await;
    }
    let list = async |order, limit| {
        let changes = world.flags().changes(&shop_log(), order, limit).await.unwrap();
        changes.into_iter().map(|change| change.revision).collect::<Vec<_>>()
    };
    assert_eq!(list(ChangeOrder::After(0), 100).await, [1, 2]);
    assert_eq!(list(ChangeOrder::After(2), 100).await, [3]);
    assert_eq!(list(ChangeOrder::After(3), 100).await, [4], "one that is larger is read alone");
    assert_eq!(list(ChangeOrder::After(4), 100).await, [5, 6]);
    assert_eq!(list(ChangeOrder::After(6), 100).await, [0; 0]);
    assert_eq!(list(ChangeOrder::Before(i64::MAX), 100).await, [6, 5]);
    assert_eq!(list(ChangeOrder::Before(5), 100).await, [4]);
    assert_eq!(list(ChangeOrder::Before(4), 100).await, [3]);
    assert_eq!(list(ChangeOrder::Before(3), 100).await, [2, 1]);
    assert_eq!(list(ChangeOrder::Before(3), 1).await, [2]);
}

async fn mutations_are_applied_together_or_not_at_all(world: World) {
    let world = world.with_flags().await;
    let before = (
        world.revision().await,
        world.flags().flags(&environment_name("dev"), &all()).await.unwrap(),
        world.flags().segments(&shop(), &all()).await.unwrap(),
    );
    let wrong = FlagStatePatch { value: Some(Some(Value::Integer(1))), ..Default::default() };
    let refused = world
        .try_apply(vec![
            set_override("dev", "banner", "beta", None),
            create_segment("new"),
            Mutation::UpdateFlag { flag: flag_name("dev", "limit"), patch: wrong, etag: None },
        ])
        .await;
    check_error(refused, "changes[2]: `value`");
    let after = (
        world.revision().await,
        world.flags().flags(&environment_name("dev"), &all()).await.unwrap(),
        world.flags().segments(&shop(), &all()).await.unwrap(),
    );
    assert_eq!(after, before);
}

async fn mutations_see_what_earlier_ones_did(world: World) {
    let world = world.with_environments().await;
    let applied = world
        .apply(vec![
            create_feature("new"),
            create_segment("group"),
            set_override("dev", "new", "group", None),
            switch("dev", "new", false),
            delete_feature("new"),
            create_feature("new"),
        ])
        .await;
    assert_eq!(applied.resources.len(), 6);
    let Some(Resource::Flag(flag)) = &applied.resources[3] else { panic!("{applied:?}") };
    assert_eq!((flag.state.enabled, flag.segment_overrides.len()), (false, 1));
    let flag = world.flags().flag(&flag_name("dev", "new")).await.unwrap();
    assert_eq!((flag.state.enabled, flag.segment_overrides.len()), (true, 0));
}

async fn one_etag_serves_all_mutations_of_a_request(world: World) {
    let world = world.with_flags().await;
    let etag = world.flags().flag(&flag_name("dev", "banner")).await.unwrap().etag;
    let both = |etag: &str| {
        let etag = Some(etag.to_owned());
        let patch = FlagStatePatch { enabled: Some(false), ..Default::default() };
        let name = override_name("dev", "banner", "beta");
        vec![
            Mutation::SetSegmentOverride { name, state: state("x"), priority: None, etag: etag.clone() },
            Mutation::UpdateFlag { flag: flag_name("dev", "banner"), patch, etag },
        ]
    };
    let revision = world.apply(both(&etag)).await.revision;
    let Err(Error::Change { index: 0, error: stale }) = world.try_apply(both(&etag)).await else {
        panic!("the first of the changes should be refused")
    };
    check_stale(Err::<(), _>(*stale), &flag_name("dev", "banner").to_string(), &revision.to_string());
}

async fn a_tried_write_changes_nothing(world: World) {
    let world = world.with_flags().await;
    let before = world.revision().await;
    let mut context = request("r", 1);
    context.validate_only = true;
    let tried = world.flags().apply(&context, &shop(), vec![switch("dev", "banner", false)]).await.unwrap();
    assert_eq!((tried.revision, tried.replayed), (before, false));
    assert!(!only!(Flag, tried).state.enabled, "it answers as if it were done");
    assert!(world.flags().flag(&flag_name("dev", "banner")).await.unwrap().state.enabled);
    assert_eq!(world.revision().await, before);
    let done =
        world.flags().apply(&request("r", 1), &shop(), vec![switch("dev", "banner", false)]).await.unwrap();
    assert_eq!((done.revision, done.replayed), (before + 1, false), "trying does not use up the request id");
    let refused = world.flags().apply(&validation(), &shop(), vec![create_feature("banner")]).await;
    check_taken(refused, &feature_name("banner").to_string());
}

async fn a_write_of_nothing_is_refused(world: World) {
    let world = world.shop().await;
    check_error(world.try_apply(Vec::new()).await, "must not be empty");
}

async fn a_write_to_a_missing_project_is_refused(world: World) {
    check_missing(world.try_apply(vec![create_feature("banner")]).await, &shop().to_string());
}

async fn times_are_kept_in_microseconds(world: World) {
    let world = world.shop().await;
    let mut precise = feature("precise");
    precise.created_at = now() + chrono::TimeDelta::nanoseconds(789);
    let created = only!(Feature, world.apply(vec![Mutation::CreateFeature { feature: precise }]).await);
    assert_eq!(created.created_at, now());
    assert_eq!(world.flags().feature(&created.name).await.unwrap(), created);
}
