//! Features.

use burgee_core::change::Mutation;
use burgee_core::feature::FeaturePatch;
use burgee_core::organisation::Role;
use burgee_core::value::{Value, ValueType};

use crate::world::*;

both! {
    a_feature_is_created_read_changed_and_deleted,
    features_are_listed_by_key,
    a_new_feature_has_a_flag_in_every_environment,
    keys_of_features_are_unique_ignoring_case,
    a_feature_that_breaks_a_rule_is_refused,
    values_are_kept_to_the_last_bit,
    owners_must_be_members,
    deleting_a_feature_deletes_its_flags_overrides_and_segments,
    a_deleted_feature_is_remembered_until_its_key_is_used_again,
}

fn update(key: &str, patch: FeaturePatch, etag: Option<&str>) -> Mutation {
    Mutation::UpdateFeature { feature: feature_key(key), patch, etag: etag.map(str::to_owned) }
}

async fn a_feature_is_created_read_changed_and_deleted(world: World) {
    let world = world.shop().await;
    world.flags().create_user(&write(), user("ada")).await.unwrap();
    world.flags().add_member(&write(), &member_name("ada"), Role::Member).await.unwrap();
    let name = feature_name("Dark mode/2");
    let created = only!(Feature, world.apply(vec![create_feature("Dark mode/2")]).await);
    assert_eq!(created.etag, "2");
    assert_eq!(world.flags().feature(&name).await.unwrap(), created);

    let patch = FeaturePatch {
        description: Some("for the night".to_owned()),
        tags: Some(vec!["ui".to_owned()]),
        owners: Some(vec![user_name("ada")]),
        archived: Some(true),
        server_side_only: Some(true),
    };
    let changed = only!(Feature, world.apply(vec![update("Dark mode/2", patch.clone(), Some("2"))]).await);
    assert_eq!((changed.etag.as_str(), &changed.owners), ("3", &vec![user_name("ada")]));
    assert!(changed.archived && changed.server_side_only);
    assert_eq!(world.flags().feature(&name).await.unwrap(), changed);
    check_stale(world.try_apply(vec![update("Dark mode/2", patch, Some("2"))]).await, &name.to_string(), "3");

    let delete =
        |etag: &str| Mutation::DeleteFeature { feature: name.feature.clone(), etag: Some(etag.to_owned()) };
    check_stale(world.try_apply(vec![delete("2")]).await, &name.to_string(), "3");
    world.write(delete("3")).await;
    check_missing(world.flags().feature(&name).await, &name.to_string());
    check_missing(world.try_apply(vec![delete("3")]).await, &name.to_string());
}

async fn features_are_listed_by_key(world: World) {
    let world = world.shop().await;
    world.apply(["b", "a_", "B2", "é", "a"].map(create_feature).to_vec()).await;
    let listed = world.flags().features(&shop(), &all()).await.unwrap();
    let keys: Vec<&str> = listed.iter().map(|feature| feature.name.feature.as_str()).collect();
    assert_eq!(keys, ["B2", "a", "a_", "b", "é"], "byte by byte");
    assert_eq!(world.flags().features(&shop(), &page("a", 2)).await.unwrap(), listed[2..4]);
}

async fn a_new_feature_has_a_flag_in_every_environment(world: World) {
    let world = world.with_environments().await;
    let mut split = feature("split");
    split.variants = vec![variant("a", 30.0), variant("b", 0.0)];
    world.write(Mutation::CreateFeature { feature: split }).await;
    for environment in ["dev", "production"] {
        let flag = world.flags().flag(&flag_name(environment, "split")).await.unwrap();
        assert_eq!((flag.state.enabled, flag.state.value), (true, Some(text("initial"))));
        assert_eq!(flag.state.weights, [weight("a", 30.0), weight("b", 0.0)]);
        assert_eq!((flag.state.hashing_key.as_str(), flag.etag.as_str()), ("hash of split", "3"));
    }
}

async fn keys_of_features_are_unique_ignoring_case(world: World) {
    let world = world.shop().await;
    world.write(create_feature("Café")).await;
    check_taken(world.try_apply(vec![create_feature("CAFÉ")]).await, &feature_name("Café").to_string());
    let missing = feature_name("CAFÉ");
    check_missing(world.flags().feature(&missing).await, &missing.to_string());
}

async fn a_feature_that_breaks_a_rule_is_refused(world: World) {
    let world = world.shop().await;
    let mut wrong = feature("limit");
    wrong.value_type = ValueType::Integer;
    check_error(world.try_apply(vec![Mutation::CreateFeature { feature: wrong }]).await, "`initial_value`");
    let mut wrong = feature("limit");
    wrong.variants = vec![variant("a", 60.0), variant("b", 50.0)];
    check_error(world.try_apply(vec![Mutation::CreateFeature { feature: wrong }]).await, "`variants`");
    world.write(create_feature("limit")).await;
    let patch = FeaturePatch { tags: Some(vec![String::new()]), ..Default::default() };
    check_error(world.try_apply(vec![update("limit", patch, None)]).await, "`tags[0]`");
}

async fn values_are_kept_to_the_last_bit(world: World) {
    let world = world.with_environments().await;
    for (index, value) in [
        Value::Boolean(false),
        Value::Integer(i64::MIN),
        Value::Integer(i64::MAX),
        Value::Double(0.1 + 0.2),
        Value::Double(f64::MAX),
        Value::Double(5e-324),
        Value::Double(1_234_567.891_011_121_3),
        Value::String("\u{10ffff} \"'\\ {\"integer\":1}".to_owned()),
        Value::Json("{\"b\": [1.50, null],\n \"a\": 1e300}".to_owned()),
    ]
    .into_iter()
    .enumerate()
    {
        let mut any = feature(&format!("f{index}"));
        any.value_type = ValueType::Any;
        any.initial_value = Some(value.clone());
        world.write(Mutation::CreateFeature { feature: any }).await;
        let flag = world.flags().flag(&flag_name("dev", &format!("f{index}"))).await.unwrap();
        assert_eq!(flag.state.value, Some(value));
    }
}

async fn owners_must_be_members(world: World) {
    let world = world.shop().await;
    let mut owned = feature("banner");
    owned.owners = vec![user_name("ada")];
    // A user of no organisation might as well not exist.
    world.flags().create_user(&write(), user("ada")).await.unwrap();
    check_missing(world.try_apply(vec![Mutation::CreateFeature { feature: owned }]).await, "users/ada");
    world.write(create_feature("banner")).await;
    let patch = FeaturePatch { owners: Some(vec![user_name("bob")]), ..Default::default() };
    check_missing(world.try_apply(vec![update("banner", patch, None)]).await, "users/bob");
}

async fn deleting_a_feature_deletes_its_flags_overrides_and_segments(world: World) {
    let world = world.with_flags().await;
    let mut own = segment("own");
    own.feature = Some(feature_key("banner"));
    world
        .apply(vec![
            Mutation::CreateSegment { segment: own },
            set_override("dev", "banner", "own", None),
            set_override("dev", "banner", "beta", None),
            set_override("dev", "limit", "beta", None),
            set_identity_override("dev", "banner", "ada"),
        ])
        .await;
    world.write(delete_feature("banner")).await;
    let flag = flag_name("dev", "banner");
    check_missing(world.flags().flag(&flag).await, &flag.to_string());
    check_missing(world.flags().segment(&segment_name("own")).await, &segment_name("own").to_string());
    let subjects: Vec<String> =
        world.last_change().await.entries.into_iter().map(|entry| entry.subject).collect();
    assert_eq!(subjects, [feature_name("banner").to_string(), segment_name("own").to_string()]);
    assert_eq!(world.flags().flags(&environment_name("dev"), &all()).await.unwrap().len(), 1);
    let other = world.flags().flag(&flag_name("dev", "limit")).await.unwrap();
    assert_eq!(other.segment_overrides.len(), 1);
}

async fn a_deleted_feature_is_remembered_until_its_key_is_used_again(world: World) {
    let world = world.with_flags().await;
    world.environment_ref("dev").await;
    let first = world.write(delete_feature("banner")).await;
    let second = world.write(delete_feature("limit")).await;
    let remembered = [("banner".to_owned(), first), ("limit".to_owned(), second)];
    assert_eq!(world.load("dev").await.deleted_features, remembered);
    world.apply(vec![create_feature("Banner"), create_feature("limit")]).await;
    assert_eq!(world.load("dev").await.deleted_features, remembered[..1], "another case is another key");
    let third = world.write(delete_feature("limit")).await;
    assert_eq!(
        world.load("dev").await.deleted_features,
        [("banner".to_owned(), first), ("limit".to_owned(), third)]
    );
}
