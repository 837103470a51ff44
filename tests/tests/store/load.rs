//! What evaluation loads of an environment.

use burgee_core::change::Mutation;
use burgee_core::engine::FeatureRules;
use burgee_core::feature::FeaturePatch;
use burgee_core::flag::FlagStatePatch;
use burgee_core::project::{EnvironmentPatch, IdentityHashing};
use burgee_core::segment::SegmentPatch;
use burgee_core::store::EnvironmentRef;

use crate::world::*;

both! {
    an_environment_is_loaded_as_a_whole,
    only_what_is_in_the_environment_is_loaded,
    segments_are_in_the_order_of_creation,
    variants_are_in_the_order_of_the_feature,
    the_revision_of_rules_is_the_newest_that_touched_them,
    the_revision_of_settings_moves_with_settings_only,
    what_does_not_exist_is_not_loaded,
    a_large_environment_is_loaded_whole,
}

fn rules<'a>(features: &'a [FeatureRules], key: &str) -> &'a FeatureRules {
    features.iter().find(|feature| feature.key == key).unwrap()
}

async fn an_environment_is_loaded_as_a_whole(world: World) {
    let world = world.with_flags().await;
    let mut server = feature("server");
    server.server_side_only = true;
    server.variants = vec![variant("a", 50.0)];
    let metadata = FlagStatePatch { metadata: Some(Some("{\"x\":1}".to_owned())), ..Default::default() };
    world
        .apply(vec![
            Mutation::CreateFeature { feature: server },
            Mutation::UpdateFlag { flag: flag_name("dev", "server"), patch: metadata, etag: None },
            set_override("dev", "server", "staff", None),
            set_override("dev", "server", "beta", Some(0)),
            set_identity_override("dev", "server", "ada"),
        ])
        .await;
    let loaded = world.load("dev").await;
    assert_eq!(loaded.name, environment_name("dev"));
    assert_eq!(loaded.revision, world.revision().await);
    assert_eq!((loaded.created_revision, loaded.settings_revision), (2, 2));
    assert_eq!((loaded.rules.name.as_str(), loaded.rules.hashing_key.as_str()), ("DEV", "hash of dev"));
    assert!(loaded.allow_client_traits && !loaded.hide_disabled_flags);
    assert_eq!(loaded.identity_hashing, IdentityHashing::Composite);
    assert!(loaded.persist_trait_data && !loaded.stop_serving_flags);
    assert!(loaded.deleted_features.is_empty());
    assert_eq!(loaded.keys.len(), 1, "the one that found the environment");

    let keys: Vec<&str> = loaded.rules.features.iter().map(|feature| feature.key.as_str()).collect();
    assert_eq!(keys, ["banner", "limit", "server"]);
    let server = rules(&loaded.rules.features, "server");
    assert!(server.server_side_only && server.state.enabled);
    assert_eq!(server.state.value, Some(text("initial")));
    assert_eq!(
        (server.state.hashing_key.as_str(), server.state.metadata.as_deref()),
        ("hash of server", Some("{\"x\":1}"))
    );
    assert_eq!(server.state.variants.len(), 1);
    assert_eq!((server.state.variants[0].key.as_str(), server.state.variants[0].weight), ("a", 50.0));
    assert_eq!(server.state.variants[0].value, Some(text("a")));
    let overrides: Vec<(i64, &str, &Option<_>)> = server
        .segment_overrides
        .iter()
        .map(|other| (other.priority, loaded.rules.segments[other.segment].id.as_str(), &other.state.value))
        .collect();
    assert_eq!(overrides, [(0, "beta", &Some(text("beta"))), (1, "staff", &Some(text("staff")))]);
    assert_eq!(server.identity_overrides["ada"].value, Some(text("ada")));
    let beta = &loaded.rules.segments[0];
    assert_eq!((beta.name.as_str(), beta.hashing_key.as_str()), ("BETA", "hash of beta"));
    assert_eq!(beta.rules, segment("beta").rules);
}

async fn only_what_is_in_the_environment_is_loaded(world: World) {
    let world = world.with_flags().await;
    world.flags().create_project(&write(), project("other"), None).await.unwrap();
    world
        .apply(vec![
            set_override("production", "banner", "beta", None),
            set_identity_override("production", "banner", "ada"),
            create_key("production", "backend", "secret"),
        ])
        .await;
    let loaded = world.load("dev").await;
    let banner = rules(&loaded.rules.features, "banner");
    assert!(banner.segment_overrides.is_empty() && banner.identity_overrides.is_empty());
    assert!(loaded.keys.iter().all(|key| key.name.environment == environment_name("dev")));
}

async fn segments_are_in_the_order_of_creation(world: World) {
    let world = world.with_environments().await;
    for id in ["zebra", "ant", "mule"] {
        world.write(create_segment(id)).await;
    }
    let loaded = world.load("dev").await;
    let ids: Vec<&str> = loaded.rules.segments.iter().map(|segment| segment.id.as_str()).collect();
    assert_eq!(ids, ["zebra", "ant", "mule"]);
}

async fn variants_are_in_the_order_of_the_feature(world: World) {
    let world = world.with_environments().await;
    let mut split = feature("split");
    split.variants = vec![variant("z", 10.0), variant("a", 0.0), variant("m", 20.0)];
    let weights = Some(vec![weight("m", 5.0), weight("z", 7.0)]);
    let patch = FlagStatePatch { weights, ..Default::default() };
    world
        .apply(vec![
            Mutation::CreateFeature { feature: split },
            Mutation::UpdateFlag { flag: flag_name("dev", "split"), patch, etag: None },
        ])
        .await;
    let loaded = world.load("dev").await;
    let variants = &rules(&loaded.rules.features, "split").state.variants;
    let served: Vec<(&str, f64)> =
        variants.iter().map(|variant| (variant.key.as_str(), variant.weight)).collect();
    assert_eq!(served, [("z", 7.0), ("m", 5.0)], "a variant without a weight is not in the split");
}

/// What may change a flag's rules, and whether it does.
fn changes() -> Vec<(&'static str, Mutation, bool)> {
    let feature_patch = FeaturePatch { server_side_only: Some(true), ..Default::default() };
    let other_feature = FeaturePatch { archived: Some(true), ..Default::default() };
    let segment_patch = || SegmentPatch { display_name: Some("New".to_owned()), ..Default::default() };
    let ada = || identity_override_name("dev", "banner", "ada");
    let environment = environment_name("dev").environment;
    vec![
        ("its state", switch("dev", "banner", false), true),
        ("its state elsewhere", switch("production", "banner", false), false),
        ("another flag", switch("dev", "limit", false), false),
        (
            "its feature",
            Mutation::UpdateFeature { feature: feature_key("banner"), patch: feature_patch, etag: None },
            true,
        ),
        (
            "another feature",
            Mutation::UpdateFeature { feature: feature_key("limit"), patch: other_feature, etag: None },
            false,
        ),
        (
            "a segment before it is used",
            Mutation::UpdateSegment { segment: segment_id("beta"), patch: segment_patch(), etag: None },
            false,
        ),
        ("a new override", set_override("dev", "banner", "beta", None), true),
        (
            "its segment",
            Mutation::UpdateSegment { segment: segment_id("beta"), patch: segment_patch(), etag: None },
            true,
        ),
        (
            "another segment",
            Mutation::UpdateSegment { segment: segment_id("staff"), patch: segment_patch(), etag: None },
            false,
        ),
        ("an identity override", set_identity_override("dev", "banner", "ada"), true),
        ("an identity override elsewhere", set_identity_override("production", "banner", "ada"), false),
        ("a removed identity override", Mutation::RemoveIdentityOverride { name: ada(), etag: None }, true),
        (
            "settings",
            Mutation::UpdateEnvironment { environment, patch: EnvironmentPatch::default(), etag: None },
            false,
        ),
        (
            "a removed override",
            Mutation::RemoveSegmentOverride { name: override_name("dev", "banner", "beta"), etag: None },
            true,
        ),
        (
            "a segment after it was used",
            Mutation::UpdateSegment { segment: segment_id("beta"), patch: segment_patch(), etag: None },
            false,
        ),
        (
            "a variant",
            Mutation::CreateVariant {
                feature: feature_key("banner"),
                variant: variant("a", 1.0),
                etag: None,
            },
            true,
        ),
        ("a new segment", create_segment("new"), false),
        ("a new feature", create_feature("new"), false),
    ]
}

async fn the_revision_of_rules_is_the_newest_that_touched_them(world: World) {
    let world = world.with_flags().await;
    world.environment_ref("dev").await;
    let mut expected = rules(&world.load("dev").await.rules.features, "banner").revision;
    for (what, mutation, touches) in changes() {
        let revision = world.write(mutation).await;
        if touches {
            expected = revision;
        }
        // A segment that is used no more takes its revision along, but the removal is newer.
        let loaded = world.load("dev").await;
        assert_eq!(rules(&loaded.rules.features, "banner").revision, expected, "{what}");
        assert_eq!(loaded.revision, revision);
    }
}

async fn the_revision_of_settings_moves_with_settings_only(world: World) {
    let world = world.with_flags().await;
    world.environment_ref("dev").await;
    for (what, mutation, _) in changes() {
        let before = world.load("dev").await.settings_revision;
        let expected = match &mutation {
            Mutation::UpdateEnvironment { .. } => world.revision().await + 1,
            _ => before,
        };
        world.write(mutation).await;
        let loaded = world.load("dev").await;
        assert_eq!((loaded.settings_revision, loaded.created_revision), (expected, 2), "{what}");
    }
}

async fn what_does_not_exist_is_not_loaded(world: World) {
    assert!(world.feed().load_environment(EnvironmentRef(1)).await.unwrap().is_none());
    let world = world.with_environments().await;
    assert!(world.feed().load_environment(EnvironmentRef(-1)).await.unwrap().is_none());
    assert!(world.load("dev").await.rules.features.is_empty());
}

/// Flagsmith's reference profile, and how long it takes: 50 features, 15 segments of 15 conditions, each overriding every feature.
#[allow(clippy::print_stdout, reason = "the time is for people who look for it")]
async fn a_large_environment_is_loaded_whole(world: World) {
    use std::time::Instant;
    let world = world.with_environments().await;
    let condition = segment("x").rules[0].conditions[0].clone();
    let segments: Vec<Mutation> = (0..15)
        .map(|index| {
            let mut segment = segment(&format!("s{index}"));
            segment.rules[0].conditions = vec![condition.clone(); 15];
            Mutation::CreateSegment { segment }
        })
        .collect();
    world.apply(segments).await;
    for feature in 0..50 {
        let key = format!("f{feature:02}");
        let overrides = (0..15).map(|segment| set_override("dev", &key, &format!("s{segment}"), None));
        world.apply([create_feature(&key)].into_iter().chain(overrides).collect()).await;
    }
    let environment = world.environment_ref("dev").await;
    let mut times = Vec::new();
    for _ in 0..30 {
        let start = Instant::now();
        let loaded = world.feed().load_environment(environment).await.unwrap().unwrap();
        times.push(start.elapsed());
        assert_eq!((loaded.rules.features.len(), loaded.rules.segments.len()), (50, 15));
        assert!(loaded.rules.features.iter().all(|feature| feature.segment_overrides.len() == 15));
    }
    times.sort();
    println!("{:?}: 750 overrides in {:?} (median), {:?} (best)", world.store, times[15], times[0]);
}
