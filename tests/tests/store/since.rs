//! What evaluation loads of an environment that it has loaded before.

use burgee_core::change::Mutation;
use burgee_core::feature::FeaturePatch;
use burgee_core::flag::FlagStatePatch;
use burgee_core::project::EnvironmentPatch;
use burgee_core::segment::SegmentPatch;
use burgee_core::store::{EnvironmentRef, LoadedEnvironment};
use chrono::TimeDelta;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::world::*;

both! {
    what_happened_since_makes_the_whole,
    random_writes_make_the_whole,
    only_what_was_touched_is_loaded,
    another_history_is_not_built_on,
}

const FEATURES: [&str; 5] = ["banner", "limit", "first", "second", "third"];
const SEGMENTS: [&str; 4] = ["beta", "staff", "fourth", "fifth"];

/// Asserts that an environment that was loaded earlier is, with what happened since, what it is now. Returns that.
async fn check(world: &World, former: &LoadedEnvironment, what: &str) -> LoadedEnvironment {
    let now = world.load("dev").await;
    let (revision, changed_at) = (former.revision, former.changed_at.unwrap());
    let delta = world.feed().load_environment_since(former.environment, revision, changed_at).await.unwrap();
    assert_eq!(former.clone().advance(delta.unwrap()).unwrap(), now, "{what}, since revision {revision}");
    now
}

fn mutations() -> Vec<Mutation> {
    let feature_patch = FeaturePatch { tags: Some(vec!["web".to_owned()]), ..Default::default() };
    let segment_patch = SegmentPatch { display_name: Some("New".to_owned()), ..Default::default() };
    let ada = || identity_override_name("dev", "banner", "ada");
    vec![
        switch("dev", "banner", false),
        switch("production", "banner", false),
        Mutation::UpdateFeature { feature: feature_key("banner"), patch: feature_patch, etag: None },
        set_override("dev", "banner", "beta", None),
        set_override("dev", "banner", "staff", Some(0)),
        set_override("dev", "limit", "staff", None),
        Mutation::UpdateSegment { segment: segment_id("staff"), patch: segment_patch, etag: None },
        set_identity_override("dev", "banner", "ada"),
        set_identity_override("dev", "limit", "eve"),
        Mutation::RemoveIdentityOverride { name: ada(), etag: None },
        Mutation::CreateVariant { feature: feature_key("banner"), variant: variant("a", 1.0), etag: None },
        create_segment("ant"),
        create_feature("ant"),
        set_override("dev", "ant", "ant", None),
        create_key("dev", "backend", "secret"),
        Mutation::UpdateEnvironment {
            environment: environment_name("dev").environment,
            patch: EnvironmentPatch { hide_disabled_flags: Some(true), ..Default::default() },
            etag: None,
        },
        // The indexes of the segments behind it move.
        Mutation::DeleteSegment { segment: segment_id("beta"), force: true, etag: None },
        create_segment("beta"),
        set_override("dev", "banner", "beta", None),
        delete_feature("banner"),
        create_feature("banner"),
        delete_feature("ant"),
        Mutation::DeleteSegment { segment: segment_id("ant"), force: true, etag: None },
    ]
}

async fn what_happened_since_makes_the_whole(world: World) {
    let world = world.with_flags().await;
    let mut former = vec![world.load("dev").await];
    for mutation in mutations() {
        let what = format!("{mutation:?}");
        world.write(mutation).await;
        let mut now = None;
        for environment in &former {
            now = Some(check(&world, environment, &what).await);
        }
        former.extend(now);
    }
}

fn random_mutation(random: &mut StdRng) -> Mutation {
    let feature = FEATURES[random.random_range(0..FEATURES.len())];
    let segment = SEGMENTS[random.random_range(0..SEGMENTS.len())];
    let environment = if random.random_bool(0.8) { "dev" } else { "production" };
    let identity = ["ada", "eve"][random.random_range(0..2)];
    let metadata = Some(Some(format!("{{\"n\":{}}}", random.random::<u32>())));
    match random.random_range(0..11) {
        0 => create_feature(feature),
        1 => delete_feature(feature),
        2 => create_segment(segment),
        3 => Mutation::DeleteSegment { segment: segment_id(segment), force: true, etag: None },
        4 => set_override(environment, feature, segment, random.random_bool(0.5).then_some(0)),
        5 => {
            Mutation::RemoveSegmentOverride { name: override_name(environment, feature, segment), etag: None }
        }
        6 => set_identity_override(environment, feature, identity),
        7 => Mutation::RemoveIdentityOverride {
            name: identity_override_name(environment, feature, identity),
            etag: None,
        },
        8 => {
            let patch = SegmentPatch { metadata, ..Default::default() };
            Mutation::UpdateSegment { segment: segment_id(segment), patch, etag: None }
        }
        9 => {
            let patch = FeaturePatch { server_side_only: Some(random.random()), ..Default::default() };
            Mutation::UpdateFeature { feature: feature_key(feature), patch, etag: None }
        }
        _ => {
            let patch = FlagStatePatch { metadata, ..Default::default() };
            Mutation::UpdateFlag { flag: flag_name(environment, feature), patch, etag: None }
        }
    }
}

async fn random_writes_make_the_whole(world: World) {
    let world = world.with_flags().await;
    let seed: u64 = rand::random();
    let mut random = StdRng::seed_from_u64(seed);
    let mut former = world.load("dev").await;
    let (mut written, mut what) = (0, Vec::new());
    while written < 150 {
        let mutation = random_mutation(&mut random);
        let text = format!("{mutation:?}");
        // Some cannot be done, such as those of what does not exist.
        if world.try_apply(vec![mutation]).await.is_ok() {
            written += 1;
            what.push(text);
        }
        if random.random_bool(0.3) {
            former = check(&world, &former, &format!("seed {seed}: {what:#?}")).await;
            what.clear();
        }
    }
}

async fn only_what_was_touched_is_loaded(world: World) {
    let world = world.with_flags().await;
    world.write(set_override("dev", "banner", "beta", None)).await;
    let former = world.load("dev").await;
    let (revision, changed_at) = (former.revision, former.changed_at.unwrap());
    world.write(switch("dev", "limit", false)).await;
    let since = async || {
        let delta = world.feed().load_environment_since(former.environment, revision, changed_at).await;
        let delta = delta.unwrap().unwrap();
        let features: Vec<_> = delta.now.rules.features.iter().map(|feature| feature.key.clone()).collect();
        (features, delta.segments.iter().filter(|segment| segment.rules.is_some()).count())
    };
    assert_eq!(since().await, (vec!["limit".to_owned()], 0));
    let patch = SegmentPatch::default();
    world.write(Mutation::UpdateSegment { segment: segment_id("beta"), patch, etag: None }).await;
    assert_eq!(since().await, (vec!["limit".to_owned()], 1));
}

async fn another_history_is_not_built_on(world: World) {
    let world = world.with_flags().await;
    let former = world.load("dev").await;
    let (revision, changed_at) = (former.revision, former.changed_at.unwrap());
    let since = async |environment, revision, changed_at| {
        world.feed().load_environment_since(environment, revision, changed_at).await.unwrap()
    };
    assert!(since(former.environment, revision, changed_at).await.is_some());
    let moved = changed_at + TimeDelta::milliseconds(1);
    assert_eq!(since(former.environment, revision, moved).await, None);
    assert_eq!(since(former.environment, revision + 1, changed_at).await, None);
    assert_eq!(since(EnvironmentRef(-1), revision, changed_at).await, None);
}
