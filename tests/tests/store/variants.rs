//! Variants, and what becomes of weights when they change.

use burgee_core::change::Mutation;
use burgee_core::feature::Variant;
use burgee_core::flag::{FlagStatePatch, VariantWeight};

use crate::world::*;

both! {
    the_first_variant_gets_its_weight_everywhere,
    a_further_variant_gets_its_weight_where_there_is_a_split,
    a_variant_that_does_not_fit_into_a_split_is_refused,
    a_changed_variant_leaves_weights_as_they_are,
    a_deleted_variant_leaves_every_state,
    writes_of_variants_check_the_features_etag,
}

fn create(variant: Variant) -> Mutation {
    Mutation::CreateVariant { feature: feature_key("banner"), variant, etag: None }
}

fn delete(key: &str) -> Mutation {
    Mutation::DeleteVariant { feature: feature_key("banner"), variant: variant_key(key), etag: None }
}

fn split(environment: &str, weights: Vec<VariantWeight>) -> Mutation {
    let patch = FlagStatePatch { weights: Some(weights), ..Default::default() };
    Mutation::UpdateFlag { flag: flag_name(environment, "banner"), patch, etag: None }
}

async fn weights(world: &World, environment: &str) -> Vec<VariantWeight> {
    world.flags().flag(&flag_name(environment, "banner")).await.unwrap().state.weights
}

async fn the_first_variant_gets_its_weight_everywhere(world: World) {
    let world = world.with_flags().await;
    let changed = only!(Feature, world.apply(vec![create(variant("a", 25.0))]).await);
    assert_eq!(changed.variants, [variant("a", 25.0)]);
    assert_eq!(world.flags().feature(&changed.name).await.unwrap(), changed);
    for environment in ["dev", "production"] {
        assert_eq!(weights(&world, environment).await, [weight("a", 25.0)]);
    }
    let change = world.last_change().await;
    let subjects: Vec<&str> = change.entries.iter().map(|entry| entry.subject.as_str()).collect();
    let flags = ["dev", "production"].map(|environment| flag_name(environment, "banner").to_string());
    assert_eq!(subjects, [&feature_name("banner").to_string(), &flags[0], &flags[1]]);
}

async fn a_further_variant_gets_its_weight_where_there_is_a_split(world: World) {
    let world = world.with_flags().await;
    world.apply(vec![create(variant("a", 25.0)), split("production", Vec::new())]).await;
    let untouched = world.flags().flag(&flag_name("production", "banner")).await.unwrap();
    let changed = only!(Feature, world.apply(vec![create(variant("b", 5.0))]).await);
    assert_eq!(changed.variants, [variant("a", 25.0), variant("b", 5.0)], "it is added at the end");
    assert_eq!(weights(&world, "dev").await, [weight("a", 25.0), weight("b", 5.0)]);
    assert_eq!(world.flags().flag(&flag_name("production", "banner")).await.unwrap(), untouched);
    let taken = format!("{}/variants/b", feature_name("banner"));
    check_taken(world.try_apply(vec![create(variant("b", 1.0))]).await, &taken);
}

async fn a_variant_that_does_not_fit_into_a_split_is_refused(world: World) {
    let world = world.with_flags().await;
    world.apply(vec![create(variant("a", 25.0)), split("dev", vec![weight("a", 90.0)])]).await;
    let refused = world.refuse(create(variant("b", 20.0))).await;
    check_reason(Err::<(), _>(refused), "WEIGHTS_EXCEEDED");
    world.write(create(variant("b", 10.0))).await;
    check_error(
        Err::<(), _>(world.refuse(create(variant("c", 101.0))).await),
        "`variants[2].default_weight`",
    );
}

async fn a_changed_variant_leaves_weights_as_they_are(world: World) {
    let world = world.with_flags().await;
    world.write(create(variant("a", 25.0))).await;
    let mut changed = variant("a", 75.0);
    changed.value = Some(text("new"));
    let update =
        Mutation::UpdateVariant { feature: feature_key("banner"), variant: changed.clone(), etag: None };
    assert_eq!(only!(Feature, world.apply(vec![update]).await).variants, [changed]);
    assert_eq!(weights(&world, "dev").await, [weight("a", 25.0)]);
    assert_eq!(world.load("dev").await.rules.features[0].state.variants[0].value, Some(text("new")));
    let missing =
        Mutation::UpdateVariant { feature: feature_key("banner"), variant: variant("b", 1.0), etag: None };
    check_missing(world.try_apply(vec![missing]).await, &format!("{}/variants/b", feature_name("banner")));
}

async fn a_deleted_variant_leaves_every_state(world: World) {
    let world = world.with_flags().await;
    world.apply(vec![create(variant("a", 25.0)), create(variant("b", 25.0))]).await;
    let mut replaced = state("beta");
    replaced.weights = vec![weight("a", 50.0), weight("b", 50.0)];
    let segment = override_name("dev", "banner", "beta");
    let ada = identity_override_name("dev", "banner", "ada");
    world
        .apply(vec![
            split("production", vec![weight("b", 10.0)]),
            Mutation::SetSegmentOverride {
                name: segment,
                state: replaced.clone(),
                priority: None,
                etag: None,
            },
            Mutation::SetIdentityOverride { name: ada.clone(), state: replaced, etag: None },
            set_identity_override("dev", "banner", "bob"),
        ])
        .await;
    let production = world.flags().flag(&flag_name("production", "banner")).await.unwrap();
    let bob = identity_override_name("dev", "banner", "bob");
    let bob = world.flags().identity_override(&bob).await.unwrap();

    let revision = world.write(delete("a")).await;
    let dev = world.flags().flag(&flag_name("dev", "banner")).await.unwrap();
    assert_eq!(dev.state.weights, [weight("b", 25.0)]);
    assert_eq!(dev.segment_overrides[0].state.weights, [weight("b", 50.0)]);
    assert_eq!(dev.etag, revision.to_string());
    let ada = world.flags().identity_override(&ada).await.unwrap();
    assert_eq!((&ada.state.weights, &ada.etag), (&vec![weight("b", 50.0)], &revision.to_string()));
    assert_eq!(
        world.flags().flag(&production.name).await.unwrap(),
        production,
        "it did not have the variant"
    );
    assert_eq!(world.flags().identity_override(&bob.name).await.unwrap(), bob);
    check_missing(
        world.try_apply(vec![delete("a")]).await,
        &format!("{}/variants/a", feature_name("banner")),
    );
}

async fn writes_of_variants_check_the_features_etag(world: World) {
    let world = world.with_flags().await;
    let create = Mutation::CreateVariant {
        feature: feature_key("banner"),
        variant: variant("a", 1.0),
        etag: Some("1".to_owned()),
    };
    check_stale(world.try_apply(vec![create]).await, &feature_name("banner").to_string(), "3");
}
