//! Variants of features.

use burgee_proto::management::v1::*;
use burgee_proto::v1 as pb;
use tonic::Code;

use crate::world::*;

both! {
    a_variant_is_added_changed_and_removed,
    a_variant_keeps_what_the_mask_does_not_name,
    a_variant_that_does_not_fit_is_refused,
}

fn create(key: &str, value: Option<pb::Value>, default_weight: f64) -> CreateVariantRequest {
    CreateVariantRequest {
        parent: format!("{SHOP}/features/title"),
        variant_id: key.into(),
        variant: Some(pb::Variant { value, default_weight, ..Default::default() }),
        ..Default::default()
    }
}

fn update(key: &str, value: Option<pb::Value>, default_weight: f64, paths: &[&str]) -> UpdateVariantRequest {
    let name = format!("{SHOP}/features/title/variants/{key}");
    UpdateVariantRequest {
        variant: Some(pb::Variant { name, value, default_weight }),
        update_mask: mask(paths),
        ..Default::default()
    }
}

async fn weights(world: &World) -> Vec<(String, f64)> {
    let flag =
        world.flags().get_flag(GetFlagRequest { name: flag("title") }).await.unwrap().into_inner().flag;
    let weights = flag.unwrap().state.unwrap().weights;
    weights.into_iter().map(|weight| (weight.variant, weight.weight)).collect()
}

async fn a_variant_is_added_changed_and_removed(world: World) {
    let world = world.with_features().await;
    let created = world.features().create_variant(create("red", text("r"), 40.0)).await.unwrap().into_inner();
    let feature = created.feature.unwrap();
    assert_eq!(feature.variants[0].name, format!("{SHOP}/features/title/variants/red"));
    assert_eq!(weights(&world).await, [("red".to_owned(), 40.0)]);
    check_taken(
        world.features().create_variant(create("red", text("r"), 1.0)).await,
        &feature.variants[0].name,
    );
    check_invalid(world.features().create_variant(create("control", None, 1.0)).await, "variant_id");
    let number = Some(pb::Value { kind: Some(pb::value::Kind::IntegerValue(1)) });
    check_invalid(world.features().create_variant(create("one", number, 1.0)).await, "variant.value");

    let request = UpdateVariantRequest {
        etag: feature.etag,
        ..update("red", text("R"), 20.0, &["value", "default_weight"])
    };
    let updated =
        world.features().update_variant(request.clone()).await.unwrap().into_inner().feature.unwrap();
    assert_eq!((&updated.variants[0].value, updated.variants[0].default_weight), (&text("R"), 20.0));
    assert_eq!(weights(&world).await, [("red".to_owned(), 40.0)], "existing flags keep their split");
    check_stale(world.features().update_variant(request).await, &updated.etag);
    let name = format!("{SHOP}/features/title/variants/blue");
    check_missing(world.features().update_variant(update("blue", None, 1.0, &["value"])).await, &name);

    let delete = DeleteVariantRequest { name: updated.variants[0].name.clone(), ..Default::default() };
    let deleted = world.features().delete_variant(delete.clone()).await.unwrap().into_inner();
    assert!(deleted.feature.unwrap().variants.is_empty());
    assert!(weights(&world).await.is_empty());
    check_missing(world.features().delete_variant(delete.clone()).await, &delete.name);
}

async fn a_variant_keeps_what_the_mask_does_not_name(world: World) {
    let world = world.with_features().await;
    let first = world.features().create_variant(create("red", text("r"), 40.0)).await.unwrap().into_inner();
    let updated =
        world.features().update_variant(update("red", None, 10.0, &["default_weight"])).await.unwrap();
    let variant = updated.into_inner().feature.unwrap().variants.remove(0);
    assert_eq!((variant.value, variant.default_weight), (text("r"), 10.0));
    let updated = world.features().update_variant(update("red", text("R"), 0.0, &["value"])).await.unwrap();
    let feature = updated.into_inner().feature.unwrap();
    assert_eq!((&feature.variants[0].value, feature.variants[0].default_weight), (&text("R"), 10.0));
    let stale =
        UpdateVariantRequest { etag: first.feature.unwrap().etag, ..update("red", None, 1.0, &["value"]) };
    check_stale(world.features().update_variant(stale).await, &feature.etag);
}

async fn a_variant_that_does_not_fit_is_refused(world: World) {
    let world = world.with_features().await;
    world.features().create_variant(create("red", text("r"), 60.0)).await.unwrap();
    let outcome = world.features().create_variant(create("blue", text("b"), 60.0)).await;
    check_invalid(outcome, "variant.default_weight");
    let whole = UpdateFlagRequest {
        flag: Some(pb::Flag {
            name: flag("title"),
            state: Some(pb::FlagState {
                weights: vec![pb::VariantWeight { variant: "red".into(), weight: 90.0 }],
                ..Default::default()
            }),
            ..Default::default()
        }),
        update_mask: mask(&["state.weights"]),
        ..Default::default()
    };
    world.flags().update_flag(whole).await.unwrap();
    let outcome = world.features().create_variant(create("blue", text("b"), 20.0)).await;
    check(outcome, Code::FailedPrecondition, "WEIGHTS_EXCEEDED");
}
