//! Environments.

use burgee_proto::management::v1::*;
use burgee_proto::v1 as pb;

use crate::world::*;

both! {
    an_environment_is_created_read_changed_and_deleted,
    a_clone_has_the_flags_but_not_the_keys,
    environments_are_listed_by_id,
}

async fn an_environment_is_created_read_changed_and_deleted(world: World) {
    let world = world.shop().await;
    let created = world.create_environment("dev").await;
    assert_eq!((created.name.as_str(), created.display_name.as_str()), (DEV, "dev"));
    assert_eq!(created.allow_client_traits, Some(true));
    assert_eq!(created.identity_hashing(), pb::IdentityHashing::Composite);
    assert!(!created.hashing_key.is_empty());
    let create = |id: &str| CreateEnvironmentRequest {
        parent: SHOP.into(),
        environment_id: id.into(),
        ..Default::default()
    };
    check_taken(world.environments().create_environment(create("dev")).await, DEV);
    check_invalid(world.environments().create_environment(create("1")).await, "environment_id");
    let long = CreateEnvironmentRequest {
        environment: Some(pb::Environment { description: "é".repeat(10_001), ..Default::default() }),
        ..create("long")
    };
    check_invalid(world.environments().create_environment(long).await, "environment.description");

    let update = UpdateEnvironmentRequest {
        environment: Some(pb::Environment {
            name: DEV.into(),
            hide_disabled_flags: Some(true),
            etag: created.etag.clone(),
            ..Default::default()
        }),
        update_mask: mask(&["hide_disabled_flags"]),
        ..Default::default()
    };
    let updated = world.environments().update_environment(update.clone()).await.unwrap().into_inner();
    let changed = updated.environment.unwrap();
    assert!(changed.hide_disabled_flags());
    assert_eq!((changed.hashing_key.as_str(), updated.revision), (created.hashing_key.as_str(), 3));
    check_stale(world.environments().update_environment(update.clone()).await, &changed.etag);
    let all = UpdateEnvironmentRequest {
        environment: Some(pb::Environment { name: DEV.into(), ..Default::default() }),
        update_mask: mask(&["*"]),
        ..update
    };
    check_invalid(world.environments().update_environment(all).await, "environment.hashing_key");

    let read =
        world.environments().get_environment(GetEnvironmentRequest { name: DEV.into() }).await.unwrap();
    assert_eq!(read.into_inner().environment, Some(changed.clone()));
    let delete = DeleteEnvironmentRequest { name: DEV.into(), etag: changed.etag, ..Default::default() };
    let deleted = world.environments().delete_environment(delete).await.unwrap().into_inner();
    assert_eq!(deleted.revision, 4);
    check_missing(
        world.environments().get_environment(GetEnvironmentRequest { name: DEV.into() }).await,
        DEV,
    );
}

async fn a_clone_has_the_flags_but_not_the_keys(world: World) {
    let world = world.with_features().await;
    world.switch_on("dark").await;
    let key = CreateEnvironmentKeyRequest {
        parent: DEV.into(),
        key_id: "backend".into(),
        key: Some(pb::EnvironmentKey { kind: pb::KeyKind::ServerSide.into(), ..Default::default() }),
        ..Default::default()
    };
    world.environments().create_environment_key(key).await.unwrap();
    let clone =
        CloneEnvironmentRequest { name: DEV.into(), environment_id: "test".into(), ..Default::default() };
    let cloned = world.environments().clone_environment(clone.clone()).await.unwrap().into_inner();
    let environment = cloned.environment.unwrap();
    assert_eq!(environment.display_name, "test");
    check_taken(world.environments().clone_environment(clone.clone()).await, &environment.name);
    let name = format!("{}/flags/dark", environment.name);
    let flag = world.flags().get_flag(GetFlagRequest { name }).await.unwrap().into_inner().flag.unwrap();
    assert!(flag.state.unwrap().enabled());
    let list = ListEnvironmentKeysRequest { parent: environment.name, ..Default::default() };
    assert!(world.environments().list_environment_keys(list).await.unwrap().into_inner().keys.is_empty());
    let missing = CloneEnvironmentRequest { name: format!("{SHOP}/environments/none"), ..clone };
    let name = missing.name.clone();
    check_missing(world.environments().clone_environment(missing).await, &name);
}

async fn environments_are_listed_by_id(world: World) {
    let world = world.shop().await;
    for id in ["b", "a"] {
        world.create_environment(id).await;
    }
    let request = ListEnvironmentsRequest { parent: SHOP.into(), ..Default::default() };
    let listed = world.environments().list_environments(request).await.unwrap().into_inner().environments;
    assert_eq!(listed.iter().map(|item| item.display_name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let request = ListEnvironmentsRequest { parent: format!("{ACME}/projects/none"), ..Default::default() };
    let name = request.parent.clone();
    check_missing(world.environments().list_environments(request).await, &name);
}
