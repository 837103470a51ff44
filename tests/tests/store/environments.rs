//! Environments.

use burgee_core::change::Mutation;
use burgee_core::name::EnvironmentId;
use burgee_core::project::{EnvironmentPatch, IdentityHashing};

use crate::world::*;

both! {
    an_environment_is_created_read_changed_and_deleted,
    environments_are_listed_by_id,
    a_new_environment_has_a_flag_for_every_feature,
    deleting_an_environment_deletes_all_that_is_in_it,
    the_etag_of_an_environment_stays_when_its_flags_change,
    an_environment_of_another_project_is_refused,
}

fn delete(id: &str, etag: Option<&str>) -> Mutation {
    Mutation::DeleteEnvironment {
        environment: EnvironmentId::parse(id).unwrap(),
        etag: etag.map(str::to_owned),
    }
}

async fn an_environment_is_created_read_changed_and_deleted(world: World) {
    let world = world.shop().await;
    let name = environment_name("dev");
    let created = only!(Environment, world.apply(vec![create_environment("dev")]).await);
    assert_eq!(created.etag, "2");
    assert_eq!(world.flags().environment(&name).await.unwrap(), created);
    check_taken(world.try_apply(vec![create_environment("dev")]).await, &name.to_string());

    let patch = EnvironmentPatch {
        display_name: Some("Development".to_owned()),
        description: Some("for us".to_owned()),
        hide_disabled_flags: Some(true),
        allow_client_traits: Some(false),
        identity_hashing: Some(IdentityHashing::Identifier),
        hashing_key: Some("77".to_owned()),
    };
    let update = |etag: &str| Mutation::UpdateEnvironment {
        environment: name.environment.clone(),
        patch: patch.clone(),
        etag: Some(etag.to_owned()),
    };
    let changed = only!(Environment, world.apply(vec![update("2")]).await);
    assert_eq!(changed.etag, "3");
    assert_eq!((changed.display_name.as_str(), changed.hashing_key.as_str()), ("Development", "77"));
    assert_eq!(world.flags().environment(&name).await.unwrap(), changed);
    check_stale(world.try_apply(vec![update("2")]).await, &name.to_string(), "3");

    check_stale(world.try_apply(vec![delete("dev", Some("2"))]).await, &name.to_string(), "3");
    assert_eq!(only!(Environment, world.apply(vec![delete("dev", Some("3"))]).await), changed);
    check_missing(world.flags().environment(&name).await, &name.to_string());
    check_missing(world.try_apply(vec![delete("dev", None)]).await, &name.to_string());
}

async fn environments_are_listed_by_id(world: World) {
    let world = world.shop().await;
    for id in ["b", "a1", "a", "a-1"] {
        world.write(create_environment(id)).await;
    }
    let listed = world.flags().environments(&shop(), &all()).await.unwrap();
    let ids: Vec<&str> = listed.iter().map(|environment| environment.name.environment.as_str()).collect();
    assert_eq!(ids, ["a", "a-1", "a1", "b"]);
    assert_eq!(world.flags().environments(&shop(), &page("a", 2)).await.unwrap(), listed[1..3]);
}

async fn a_new_environment_has_a_flag_for_every_feature(world: World) {
    let world = world.shop().await;
    let mut split = feature("split");
    split.variants = vec![variant("a", 40.0), variant("b", 0.0)];
    world.apply(vec![create_feature("banner"), Mutation::CreateFeature { feature: split }]).await;
    let revision = world.write(create_environment("dev")).await;
    let flags = world.flags().flags(&environment_name("dev"), &all()).await.unwrap();
    assert_eq!(flags.len(), 2);
    assert!(flags.iter().all(|flag| flag.state.enabled && flag.etag == revision.to_string()));
    assert_eq!(flags[0].state.value, Some(text("initial")));
    assert_eq!(flags[0].state.hashing_key, "hash of banner");
    assert_eq!(flags[1].state.weights, [weight("a", 40.0), weight("b", 0.0)]);
}

async fn deleting_an_environment_deletes_all_that_is_in_it(world: World) {
    let world = world.with_flags().await;
    world
        .apply(vec![
            set_override("dev", "banner", "beta", None),
            set_identity_override("dev", "banner", "ada"),
            create_key("dev", "backend", "secret"),
        ])
        .await;
    let name = identity_name("dev", "ada");
    world.flags().set_identity(&write(), &name, traits(&[("plan", "pro")], &[]), None).await.unwrap();
    let dev = world.environment_ref("dev").await;
    world.write(delete("dev", None)).await;

    assert!(world.feed().load_environment(dev).await.unwrap().is_none());
    let hash = burgee_core::access::SecretHash::of("secret");
    assert_eq!(world.feed().environment_of_key(&hash).await.unwrap(), None);
    assert_eq!(world.identities().stored_identities(dev, &[identity("ada")]).await.unwrap(), [None]);
    let environment = environment_name("dev").to_string();
    check_missing(world.flags().flags(&environment_name("dev"), &all()).await, &environment);
    check_missing(world.flags().identity(&name).await, &environment);
    let segment = burgee_core::change::Mutation::DeleteSegment {
        segment: segment_id("beta"),
        force: false,
        etag: None,
    };
    world.write(segment).await;
}

async fn the_etag_of_an_environment_stays_when_its_flags_change(world: World) {
    let world = world.with_flags().await;
    let before = world.flags().environment(&environment_name("dev")).await.unwrap();
    world.write(switch("dev", "banner", false)).await;
    assert_eq!(world.flags().environment(&environment_name("dev")).await.unwrap(), before);
}

async fn an_environment_of_another_project_is_refused(world: World) {
    let world = world.shop().await;
    world.flags().create_project(&write(), project("other"), None).await.unwrap();
    let refused =
        world.flags().apply(&write(), &project("other").name, vec![create_environment("dev")]).await;
    check_error(refused, "must be in `organisations/acme/projects/other`");
}
