//! Identity overrides.

use burgee_core::change::Mutation;
use burgee_core::value::Value;

use crate::world::*;

both! {
    an_identity_override_is_set_read_replaced_and_removed,
    identity_overrides_are_listed_page_by_page,
    an_identifier_may_be_as_long_as_allowed,
    deleting_an_identity_removes_its_overrides_as_a_revision,
    deleting_an_identity_without_overrides_touches_nothing,
    an_identity_that_has_only_overrides_can_be_deleted,
}

fn remove(identifier: &str, etag: Option<&str>) -> Mutation {
    let name = identity_override_name("dev", "banner", identifier);
    Mutation::RemoveIdentityOverride { name, etag: etag.map(str::to_owned) }
}

async fn an_identity_override_is_set_read_replaced_and_removed(world: World) {
    let world = world.with_flags().await;
    let name = identity_override_name("dev", "banner", "ada@example.com");
    let flag = world.flags().flag(&name.flag).await.unwrap();
    let set = |value: &str, etag: Option<&str>| Mutation::SetIdentityOverride {
        name: name.clone(),
        state: state(value),
        etag: etag.map(str::to_owned),
    };
    check_stale(world.try_apply(vec![set("x", Some("1"))]).await, &name.to_string(), "");
    let created = only!(IdentityOverride, world.apply(vec![set("one", None)]).await);
    assert_eq!((created.etag.as_str(), created.state.hashing_key.as_str()), ("4", "hash of banner"));
    assert_eq!(world.flags().identity_override(&name).await.unwrap(), created);
    let replaced = only!(IdentityOverride, world.apply(vec![set("two", Some("4"))]).await);
    assert_eq!((replaced.etag.as_str(), &replaced.state.value), ("5", &Some(text("two"))));
    check_stale(world.try_apply(vec![set("x", Some("4"))]).await, &name.to_string(), "5");
    assert_eq!(world.flags().flag(&name.flag).await.unwrap(), flag, "the flag itself stays as it is");

    let mut wrong = state("x");
    wrong.value = Some(Value::Boolean(true));
    let wrong = Mutation::SetIdentityOverride { name: name.clone(), state: wrong, etag: None };
    check_error(Err::<(), _>(world.refuse(wrong).await), "`value`");

    check_stale(world.try_apply(vec![remove("ada@example.com", Some("4"))]).await, &name.to_string(), "5");
    world.write(remove("ada@example.com", Some("5"))).await;
    check_missing(world.flags().identity_override(&name).await, &name.to_string());
    check_missing(world.try_apply(vec![remove("ada@example.com", None)]).await, &name.to_string());
}

async fn identity_overrides_are_listed_page_by_page(world: World) {
    let world = world.with_flags().await;
    let names = ["ada", "bob", "eve", "mia", "zoe"];
    world.apply(names.map(|name| set_identity_override("dev", "banner", name)).to_vec()).await;
    let listed = world.flags().identity_overrides(&flag_name("dev", "banner"), &all()).await.unwrap();
    assert_eq!(listed.len(), 5);
    let after = listed[1].name.identifier.to_string();
    let part = world.flags().identity_overrides(&flag_name("dev", "banner"), &page(&after, 2)).await.unwrap();
    assert_eq!(part, listed[2..4]);
    assert_eq!(world.flags().identity_overrides(&flag_name("dev", "limit"), &all()).await.unwrap(), []);
}

async fn an_identifier_may_be_as_long_as_allowed(world: World) {
    let world = world.with_flags().await;
    // 8,000 bytes that cannot be compressed: more than any index entry may hold.
    let long: String = (0..2_000).map(|index| char::from_u32(0x1_0000 + index * 17).unwrap()).collect();
    world.write(set_identity_override("dev", "banner", &long)).await;
    let name = identity_override_name("dev", "banner", &long);
    assert_eq!(world.flags().identity_override(&name).await.unwrap().name, name);
    let identity = identity_name("dev", &long);
    world.flags().set_identity(&write(), &identity, traits(&[("plan", "pro")], &[]), None).await.unwrap();
    assert_eq!(world.flags().identity(&identity).await.unwrap().name, identity);
}

async fn deleting_an_identity_removes_its_overrides_as_a_revision(world: World) {
    let world = world.with_flags().await;
    let name = identity_name("dev", "ada");
    world.flags().set_identity(&write(), &name, traits(&[("plan", "pro")], &[]), None).await.unwrap();
    world
        .apply(vec![
            set_identity_override("dev", "banner", "ada"),
            set_identity_override("dev", "limit", "ada"),
            set_identity_override("dev", "limit", "bob"),
            set_identity_override("production", "limit", "ada"),
        ])
        .await;
    let before = world.revision().await;
    world.flags().delete_identity(&validation(), &name).await.unwrap();
    assert_eq!(world.revision().await, before);
    world.flags().delete_identity(&request("d", 1), &name).await.unwrap();
    assert_eq!(world.revision().await, before + 1);
    check_missing(world.flags().identity(&name).await, &name.to_string());
    let subjects: Vec<String> =
        world.last_change().await.entries.into_iter().map(|entry| entry.subject).collect();
    let overrides = ["banner", "limit"].map(|flag| identity_override_name("dev", flag, "ada").to_string());
    assert_eq!(subjects[0], name.to_string());
    assert_eq!(subjects[1..], overrides);
    assert_eq!(world.flags().identity_overrides(&flag_name("dev", "limit"), &all()).await.unwrap().len(), 1);
    assert_eq!(
        world.flags().identity_overrides(&flag_name("production", "limit"), &all()).await.unwrap().len(),
        1
    );
    world.flags().delete_identity(&request("d", 1), &name).await.unwrap();
    check_missing(world.flags().delete_identity(&write(), &name).await, &name.to_string());
}

async fn deleting_an_identity_without_overrides_touches_nothing(world: World) {
    let world = world.with_flags().await;
    let name = identity_name("dev", "ada");
    world.flags().set_identity(&write(), &name, traits(&[("plan", "pro")], &[]), None).await.unwrap();
    let before = world.revision().await;
    world.flags().delete_identity(&validation(), &name).await.unwrap();
    world.flags().identity(&name).await.unwrap();
    world.flags().delete_identity(&write(), &name).await.unwrap();
    check_missing(world.flags().identity(&name).await, &name.to_string());
    assert_eq!(world.revision().await, before + 1);
    let (project, dev) = (world.project_ref().await, world.environment_ref("dev").await);
    assert_eq!(world.feed().touched(project, before, before + 1, &[dev]).await.unwrap(), []);
}

async fn an_identity_that_has_only_overrides_can_be_deleted(world: World) {
    let world = world.with_flags().await;
    world.write(set_identity_override("dev", "banner", "ada")).await;
    world.flags().delete_identity(&write(), &identity_name("dev", "ada")).await.unwrap();
    assert_eq!(world.flags().identity_overrides(&flag_name("dev", "banner"), &all()).await.unwrap(), []);
}
