//! Features.

use burgee_proto::management::v1::*;
use burgee_proto::v1 as pb;

use crate::world::*;

both! {
    a_feature_is_created_read_changed_and_deleted,
    a_feature_of_a_type_has_values_of_that_type,
    a_feature_is_archived_and_taken_back,
    features_are_listed_in_pages_and_filtered,
}

async fn a_feature_is_created_read_changed_and_deleted(world: World) {
    let world = world.with_features().await;
    let name = format!("{SHOP}/features/dark");
    let get = GetFeatureRequest { name: name.clone() };
    let created = world.features().get_feature(get.clone()).await.unwrap().into_inner().feature.unwrap();
    assert_eq!((created.name.as_str(), created.value_type()), (name.as_str(), pb::ValueType::Boolean));
    check_taken(world.features().create_feature(new_feature("DARK", pb::ValueType::Boolean)).await, &name);
    check_invalid(
        world.features().create_feature(new_feature("x", pb::ValueType::Unspecified)).await,
        "feature.value_type",
    );
    check_invalid(
        world.features().create_feature(new_feature(" x", pb::ValueType::Boolean)).await,
        "feature_id",
    );

    world.as_member("ada").await;
    let update = UpdateFeatureRequest {
        feature: Some(pb::Feature {
            name: name.clone(),
            tags: vec!["beta".into()],
            owners: vec!["users/ada".into()],
            description: "not changed".into(),
            etag: created.etag.clone(),
            ..Default::default()
        }),
        update_mask: mask(&["tags", "owners"]),
        ..Default::default()
    };
    let updated = world.features().update_feature(update.clone()).await.unwrap().into_inner();
    let feature = updated.feature.unwrap();
    assert_eq!((feature.tags.len(), feature.owners.len(), feature.description.as_str()), (1, 1, ""));
    assert_eq!(updated.revision, 5);
    check_stale(world.features().update_feature(update.clone()).await, &feature.etag);
    let change = |change: fn(&mut pb::Feature)| {
        let mut feature = pb::Feature { name: name.clone(), ..Default::default() };
        change(&mut feature);
        UpdateFeatureRequest { feature: Some(feature), ..update.clone() }
    };
    let outcome = world.features().update_feature(change(|feature| feature.tags = vec!["".into()])).await;
    check_invalid(outcome, "feature.tags[0]");
    let outcome =
        world.features().update_feature(change(|feature| feature.owners = vec!["users/eve".into()])).await;
    check_missing(outcome, "users/eve");

    let delete = DeleteFeatureRequest { name: name.clone(), ..Default::default() };
    assert_eq!(world.features().delete_feature(delete).await.unwrap().into_inner().revision, 6);
    check_missing(world.features().get_feature(get).await, &name);
    check_missing(world.flags().get_flag(GetFlagRequest { name: flag("dark") }).await, &flag("dark"));
}

async fn a_feature_of_a_type_has_values_of_that_type(world: World) {
    let world = world.shop().await;
    world.create_environment("dev").await;
    let variant = |name: &str, value| pb::Variant { name: name.into(), value, default_weight: 30.0 };
    let request = CreateFeatureRequest {
        feature: Some(pb::Feature {
            value_type: pb::ValueType::String.into(),
            initial_value: text("hello"),
            default_enabled: true,
            variants: vec![variant("red", text("r")), variant("blue", text("b"))],
            hashing_key: "17".into(),
            ..Default::default()
        }),
        ..new_feature("a/b", pb::ValueType::String)
    };
    let created =
        world.features().create_feature(request.clone()).await.unwrap().into_inner().feature.unwrap();
    assert_eq!(created.name, format!("{SHOP}/features/a%2Fb"));
    assert_eq!(created.variants[1].name, format!("{SHOP}/features/a%2Fb/variants/blue"));
    let name = format!("{DEV}/flags/a%2Fb");
    let flag = world.flags().get_flag(GetFlagRequest { name }).await.unwrap().into_inner().flag.unwrap();
    let state = flag.state.unwrap();
    assert!(state.enabled() && state.value == text("hello") && state.weights.len() == 2);
    assert_eq!(state.hashing_key, "17");

    let number = Some(pb::Value { kind: Some(pb::value::Kind::IntegerValue(1)) });
    let wrong = |feature: pb::Feature| CreateFeatureRequest {
        feature_id: "other".into(),
        feature: Some(feature),
        ..request.clone()
    };
    let feature = request.feature.clone().unwrap();
    let outcome = wrong(pb::Feature { initial_value: number.clone(), ..feature.clone() });
    check_invalid(world.features().create_feature(outcome).await, "feature.initial_value");
    let outcome = wrong(pb::Feature { variants: vec![variant("red", number)], ..feature.clone() });
    check_invalid(world.features().create_feature(outcome).await, "feature.variants[0].value");
    let heavy = pb::Variant { default_weight: 71.0, ..variant("blue", None) };
    let outcome = wrong(pb::Feature { variants: vec![variant("red", None), heavy], ..feature });
    check_invalid(world.features().create_feature(outcome).await, "feature.variants");
}

async fn a_feature_is_archived_and_taken_back(world: World) {
    let world = world.with_features().await;
    let archive = ArchiveFeatureRequest { name: format!("{SHOP}/features/dark"), ..Default::default() };
    let archived = world.features().archive_feature(archive.clone()).await.unwrap().into_inner();
    assert!(archived.feature.unwrap().archived);
    world.flags().get_flag(GetFlagRequest { name: flag("dark") }).await.unwrap();
    let archive = ArchiveFeatureRequest { unarchive: true, ..archive };
    assert!(!world.features().archive_feature(archive).await.unwrap().into_inner().feature.unwrap().archived);
}

async fn keys_of(world: &World, request: ListFeaturesRequest) -> (Vec<String>, String) {
    let page = world.features().list_features(request).await.unwrap().into_inner();
    let key = |feature: &pb::Feature| feature.name.rsplit('/').next().unwrap().to_owned();
    (page.features.iter().map(key).collect(), page.next_page_token)
}

async fn features_are_listed_in_pages_and_filtered(world: World) {
    let world = world.with_features().await;
    for number in 0..6 {
        world.create_feature(&format!("f{number}"), pb::ValueType::Integer).await;
    }
    let archive = ArchiveFeatureRequest { name: format!("{SHOP}/features/f3"), ..Default::default() };
    world.features().archive_feature(archive).await.unwrap();
    let list = |filter: &str| ListFeaturesRequest {
        parent: SHOP.into(),
        filter: filter.into(),
        page_size: 3,
        ..Default::default()
    };

    let (first, token) = keys_of(&world, list("value_type=integer")).await;
    assert_eq!(first, ["f0", "f1", "f2"]);
    let next = ListFeaturesRequest { page_token: token.clone(), ..list("value_type=integer") };
    assert_eq!(keys_of(&world, next).await, (vec!["f4".to_owned(), "f5".to_owned()], String::new()));
    let other = ListFeaturesRequest { page_token: token, ..list("value_type=string") };
    check_invalid(world.features().list_features(other).await, "page_token");

    assert_eq!(
        keys_of(&world, list("key:F AND archived=true")).await,
        (vec!["f3".to_owned()], String::new())
    );
    let all = ListFeaturesRequest { show_archived: true, page_size: 100, ..list("") };
    assert_eq!(keys_of(&world, all).await.0.len(), 8);
    assert_eq!(keys_of(&world, list("key=title")).await, (vec!["title".to_owned()], String::new()));
    check_invalid(world.features().list_features(list("colour=red")).await, "filter");
    let missing = ListFeaturesRequest { parent: format!("{ACME}/projects/none"), ..list("") };
    let name = missing.parent.clone();
    check_missing(world.features().list_features(missing).await, &name);
}
