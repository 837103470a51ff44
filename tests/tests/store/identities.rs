//! Identities and traits, as both services see them.

use std::time::Duration;

use burgee_core::Result;
use burgee_core::change::Mutation;
use burgee_core::identity::{Trait, TraitChanges};
use burgee_core::limits::Limits;
use burgee_core::name::TraitKey;
use burgee_core::store::{
    EnvironmentRef, IdentityFilter, IdentityListener, IdentityMark, IdentityNews, IdentityWrite, NO_BATCH,
    StoredIdentity,
};
use burgee_core::value::TraitValue;

use crate::world::*;

both! {
    an_identity_is_set_changed_and_read,
    identities_are_found_by_a_part_of_the_identifier,
    writes_of_identities_are_idempotent_and_can_be_tried,
    trait_values_are_kept_to_the_last_bit,
    identify_creates_and_changes_many_at_once,
    an_identity_that_is_twice_in_a_batch_is_written_in_order,
    too_many_traits_fail_alone,
    a_limit_that_was_lowered_still_lets_traits_be_removed,
    an_environment_that_is_gone_fails_alone,
    identify_keeps_the_hashing_key,
    the_same_identifier_in_two_environments_is_two_identities,
    a_removed_key_that_is_also_set_stays,
    an_empty_batch_is_fine,
    writes_of_identities_are_told_in_their_order,
}

fn text_traits(identity: &StoredIdentity) -> Vec<(&str, &str)> {
    let texts = identity.traits.iter().map(|(key, value)| match value {
        TraitValue::String(text) => (key.as_str(), text.as_str()),
        other => panic!("expected a text, got {other:?}"),
    });
    texts.collect()
}

fn identify(environment: EnvironmentRef, identifier: &str, changes: TraitChanges) -> IdentityWrite {
    IdentityWrite { environment, identifier: identity(identifier), changes, now: now() }
}

async fn stored(world: &World, environment: EnvironmentRef, identifier: &str) -> Option<StoredIdentity> {
    world.identities().stored_identities(environment, &[identity(identifier)]).await.unwrap().remove(0)
}

/// Changes that set so many traits.
fn many(count: usize) -> TraitChanges {
    let keys: Vec<String> = (0..count).map(|index| format!("t{index}")).collect();
    traits(&keys.iter().map(|key| (key.as_str(), "x")).collect::<Vec<_>>(), &[])
}

async fn an_identity_is_set_changed_and_read(world: World) {
    let world = world.with_environments().await;
    let before = world.revision().await;
    let name = identity_name("dev", "ada/lovelace");
    check_missing(world.flags().identity(&name).await, &name.to_string());
    let set = traits(&[("plan", "pro"), ("country", "GB")], &[]);
    let (created, revision) = world.flags().set_identity(&write(), &name, set, None).await.unwrap();
    assert_eq!(revision, before + 1);
    assert_eq!((&created.name, created.created_at, &created.hashing_key), (&name, now(), &None));
    let keys: Vec<&str> = created.traits.iter().map(|found| found.key.as_str()).collect();
    assert_eq!(keys, ["country", "plan"], "ordered by key");

    let mut context = write();
    context.now = later(1);
    let change = traits(&[("plan", "free")], &["country", "unknown"]);
    let (changed, revision) =
        world.flags().set_identity(&context, &name, change, Some("77".to_owned())).await.unwrap();
    assert_eq!(revision, before + 2);
    assert_eq!(changed.hashing_key.as_deref(), Some("77"));
    assert_eq!(changed.created_at, now(), "it was first seen before");
    assert_eq!(changed.traits.len(), 1);
    assert_eq!(world.flags().identity(&name).await.unwrap(), changed);
    let again = world.flags().set_identity(&write(), &name, traits(&[], &[]), None).await.unwrap();
    assert_eq!(again, (changed, before + 3));
    assert_eq!(world.revision().await, before + 3, "what people change is a change");
    let nowhere = identity_name("nowhere", "ada");
    let refused = world.flags().set_identity(&write(), &nowhere, traits(&[], &[]), None).await;
    check_missing(refused, &environment_name("nowhere").to_string());
}

async fn identities_are_found_by_a_part_of_the_identifier(world: World) {
    let world = world.with_environments().await;
    for name in ["ada@x.org", "bob@x.org", "eve@y.org", "%_'"] {
        let name = identity_name("dev", name);
        world
            .flags()
            .set_identity(&write(), &name, traits(&[("a", "1"), ("b", "2")], &[]), None)
            .await
            .unwrap();
    }
    let dev = environment_name("dev");
    let list = async |part: Option<&str>, page: &_| {
        let filter = IdentityFilter { identifier_contains: part.map(str::to_owned) };
        world.flags().identities(&dev, &filter, page).await.unwrap()
    };
    let found = list(None, &all()).await;
    assert_eq!(found.len(), 4);
    assert!(found.iter().all(|identity| identity.traits.len() == 2));
    let after = found[0].name.identifier.to_string();
    assert_eq!(list(None, &page(&after, 2)).await, found[1..3]);
    assert_eq!(list(Some("@x."), &all()).await.len(), 2);
    assert_eq!(list(Some("%_"), &all()).await.len(), 1, "nothing is a pattern");
    assert_eq!(list(Some("ADA"), &all()).await.len(), 0);
    assert_eq!(list(Some("nobody"), &all()).await, []);
}

async fn writes_of_identities_are_idempotent_and_can_be_tried(world: World) {
    let world = world.with_environments().await;
    let name = identity_name("dev", "ada");
    let set = |plan: &str| traits(&[("plan", plan)], &[]);
    let before = world.revision().await;
    let (_, tried) = world.flags().set_identity(&validation(), &name, set("pro"), None).await.unwrap();
    assert_eq!(tried, before);
    check_missing(world.flags().identity(&name).await, &name.to_string());
    world.flags().set_identity(&request("i", 1), &name, set("pro"), None).await.unwrap();
    let newer = world.flags().set_identity(&write(), &name, set("free"), None).await.unwrap();
    let replayed = world.flags().set_identity(&request("i", 1), &name, set("pro"), None).await.unwrap();
    assert_eq!((newer.1, replayed.1), (before + 2, before + 1));
    assert_eq!(replayed.0, newer.0, "the repeated request does nothing and answers what is there");
    check_error(
        world.flags().set_identity(&request("i", 2), &name, set("x"), None).await,
        "different request",
    );
    for _ in 0..2 {
        let deleted = world.flags().delete_identity(&request("d", 1), &name).await.unwrap();
        assert_eq!(deleted, before + 3);
    }
}

async fn trait_values_are_kept_to_the_last_bit(world: World) {
    let world = world.with_environments().await;
    let dev = world.environment_ref("dev").await;
    let values = [
        TraitValue::Boolean(true),
        TraitValue::Integer(i64::MIN),
        TraitValue::Double(0.1 + 0.2),
        TraitValue::Double(5.0),
        TraitValue::Double(f64::MAX),
        TraitValue::String("\u{10ffff} \"'\\ $1".to_owned()),
    ];
    let set: Vec<Trait> = (0..)
        .zip(&values)
        .map(|(index, value)| Trait {
            key: TraitKey::parse(&format!("t{index}")).unwrap(),
            value: value.clone(),
        })
        .collect();
    let write = identify(dev, "ada", TraitChanges { set, remove: Vec::new() });
    let answered = world.identities().identify(&[write], NO_BATCH).await.unwrap().remove(0).unwrap();
    let stored = stored(&world, dev, "ada").await.unwrap();
    assert_eq!(stored, answered);
    assert_eq!(stored.traits.into_iter().map(|(_, value)| value).collect::<Vec<_>>(), values);
}

async fn identify_creates_and_changes_many_at_once(world: World) {
    let world = world.with_environments().await;
    let dev = world.environment_ref("dev").await;
    let names: Vec<String> = (0..200).map(|index| format!("user {index}")).collect();
    let set: Vec<IdentityWrite> =
        names.iter().map(|name| identify(dev, name, traits(&[("name", name), ("old", "1")], &[]))).collect();
    assert!(world.identities().identify(&set, NO_BATCH).await.unwrap().iter().all(Result::is_ok));
    let change: Vec<IdentityWrite> =
        names.iter().rev().map(|name| identify(dev, name, traits(&[("new", "2")], &["old"]))).collect();
    let answered: Vec<StoredIdentity> = world
        .identities()
        .identify(&change, NO_BATCH)
        .await
        .unwrap()
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(text_traits(&answered[0]), [("name", "user 199"), ("new", "2")]);

    let wanted = ["user 7", "nobody", "user 0", "user 7"].map(identity);
    let found = world.identities().stored_identities(dev, &wanted).await.unwrap();
    assert_eq!(found[0], Some(answered[192].clone()));
    assert_eq!(found[1], None);
    assert_eq!(found[2], Some(answered[199].clone()));
    assert_eq!(found[3], found[0], "in the order asked for");
    let read = world.flags().identity(&identity_name("dev", "user 7")).await.unwrap();
    assert_eq!((read.created_at, read.traits.len()), (now(), 2));
}

async fn an_identity_that_is_twice_in_a_batch_is_written_in_order(world: World) {
    let world = world.with_environments().await;
    let dev = world.environment_ref("dev").await;
    let batch = [
        identify(dev, "ada", traits(&[("a", "1"), ("b", "1")], &[])),
        identify(dev, "bob", traits(&[("a", "9")], &[])),
        identify(dev, "ada", traits(&[("a", "2")], &["b"])),
    ];
    let answers: Vec<StoredIdentity> = world
        .identities()
        .identify(&batch, NO_BATCH)
        .await
        .unwrap()
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(text_traits(&answers[0]), [("a", "1"), ("b", "1")]);
    assert_eq!(text_traits(&answers[2]), [("a", "2")]);
    assert_eq!(stored(&world, dev, "ada").await, Some(answers[2].clone()), "the later one wins");
}

async fn too_many_traits_fail_alone(world: World) {
    let world =
        world.with_environments().await.with_limits(Limits { traits_per_identity: 3, ..Default::default() });
    let dev = world.environment_ref("dev").await;
    world.identities().identify(&[identify(dev, "bob", many(2))], NO_BATCH).await.unwrap();
    let batch = [
        identify(dev, "ada", many(4)),
        identify(dev, "bob", traits(&[("u", "1"), ("v", "1")], &[])),
        identify(dev, "bob", traits(&[("w", "1")], &[])),
        identify(dev, "eve", many(3)),
        identify(dev, "bob", traits(&[("v", "1")], &["w"])),
    ];
    let answers = world.identities().identify(&batch, NO_BATCH).await.unwrap();
    let failed: Vec<bool> = answers.iter().map(Result::is_err).collect();
    assert_eq!(failed, [true, true, false, false, false]);
    for failed in answers.into_iter().take(2) {
        check_limit(failed, "traits_per_identity", 3);
    }
    assert_eq!(
        stored(&world, dev, "ada").await,
        None,
        "a write that fails does not even create the identity"
    );
    let bob = stored(&world, dev, "bob").await.unwrap();
    assert_eq!(text_traits(&bob), [("t0", "x"), ("t1", "x"), ("v", "1")]);
    let refused = world.flags().set_identity(&write(), &identity_name("dev", "mia"), many(4), None).await;
    check_limit(refused, "traits_per_identity", 3);
}

async fn a_limit_that_was_lowered_still_lets_traits_be_removed(world: World) {
    let world = world.with_environments().await;
    let dev = world.environment_ref("dev").await;
    world.identities().identify(&[identify(dev, "ada", many(5))], NO_BATCH).await.unwrap();
    let world = world.with_limits(Limits { traits_per_identity: 3, ..Default::default() });
    let removal = identify(dev, "ada", traits(&[("t0", "y")], &["t1"]));
    let answer = world.identities().identify(&[removal], NO_BATCH).await.unwrap().remove(0).unwrap();
    assert_eq!(answer.traits.len(), 4);
}

async fn an_environment_that_is_gone_fails_alone(world: World) {
    let world = world.with_environments().await;
    let (dev, gone) = (world.environment_ref("dev").await, EnvironmentRef(1_000_000));
    let batch =
        [identify(gone, "ada", many(1)), identify(dev, "ada", many(1)), identify(gone, "bob", many(0))];
    let mut answers = world.identities().identify(&batch, NO_BATCH).await.unwrap();
    check_missing(answers.remove(0), "1000000");
    answers.remove(0).unwrap();
    check_missing(answers.remove(0), "1000000");
    assert!(stored(&world, dev, "ada").await.is_some());
    assert_eq!(stored(&world, gone, "ada").await, None);
}

async fn identify_keeps_the_hashing_key(world: World) {
    let world = world.with_environments().await;
    let dev = world.environment_ref("dev").await;
    let name = identity_name("dev", "ada");
    world.flags().set_identity(&write(), &name, traits(&[], &[]), Some("77".to_owned())).await.unwrap();
    assert_eq!(stored(&world, dev, "ada").await.unwrap().hashing_key.as_deref(), Some("77"));
    let answer = world
        .identities()
        .identify(&[identify(dev, "ada", many(2))], NO_BATCH)
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    assert_eq!(answer.hashing_key.as_deref(), Some("77"));
    assert_eq!(stored(&world, dev, "ada").await, Some(answer));
}

async fn the_same_identifier_in_two_environments_is_two_identities(world: World) {
    let world = world.with_environments().await;
    let (dev, production) = (world.environment_ref("dev").await, world.environment_ref("production").await);
    let batch = [
        identify(production, "ada", traits(&[("in", "production")], &[])),
        identify(dev, "ada", traits(&[("in", "dev")], &[])),
    ];
    world.identities().identify(&batch, NO_BATCH).await.unwrap();
    assert_eq!(text_traits(&stored(&world, dev, "ada").await.unwrap()), [("in", "dev")]);
    assert_eq!(text_traits(&stored(&world, production, "ada").await.unwrap()), [("in", "production")]);
}

async fn a_removed_key_that_is_also_set_stays(world: World) {
    let world = world.with_environments().await;
    let dev = world.environment_ref("dev").await;
    let both = identify(dev, "ada", traits(&[("a", "1"), ("a", "2")], &["a"]));
    let answer = world.identities().identify(&[both], NO_BATCH).await.unwrap().remove(0).unwrap();
    assert_eq!(text_traits(&answer), [("a", "2")]);
}

async fn an_empty_batch_is_fine(world: World) {
    let world = world.with_environments().await;
    assert!(world.identities().identify(&[], NO_BATCH).await.unwrap().is_empty());
    assert_eq!(world.identities().stored_identities(EnvironmentRef(1), &[]).await.unwrap(), []);
}

/// How long news may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Takes news until a beat comes back; what came before it.
async fn heard(listener: &mut dyn IdentityListener, number: u64) -> Vec<IdentityNews> {
    listener.beat(number).await.unwrap();
    let mut news = Vec::new();
    loop {
        match tokio::time::timeout(PATIENCE, listener.next()).await.unwrap().unwrap() {
            IdentityNews::Beat(heard) => {
                assert_eq!(heard, number);
                return news;
            }
            told => news.push(told),
        }
    }
}

async fn writes_of_identities_are_told_in_their_order(world: World) {
    let world = world.with_environments().await;
    let (dev, production) = (world.environment_ref("dev").await, world.environment_ref("production").await);
    let Some(mut listener) = world.identities().identity_listener().await.unwrap() else {
        assert!(!world.is_postgres(), "only SQLite tells nobody");
        return;
    };
    let mut other = world.identities().identity_listener().await.unwrap().unwrap();
    let written = |environment, identifiers: &[&str], batch| IdentityNews::Written {
        environment,
        marks: identifiers.iter().map(|identifier| IdentityMark::of(&identity(identifier))).collect(),
        batch,
    };
    assert_eq!(heard(&mut *listener, 1).await, []);
    world.identities().identify(&[identify(dev, "ada", many(1))], 7).await.unwrap();
    let removal = identify(dev, "ada", traits(&[], &["t0"]));
    world.identities().identify(&[removal], 8).await.unwrap();
    world.identities().identify(&[identify(production, "bob", many(1))], 9).await.unwrap();
    let name = identity_name("dev", "ada");
    world.flags().set_identity(&validation(), &name, many(1), None).await.unwrap();
    world.flags().set_identity(&write(), &name, many(1), None).await.unwrap();
    world.flags().delete_identity(&write(), &name).await.unwrap();
    let environment = environment_name("production").environment;
    world.write(Mutation::DeleteEnvironment { environment, etag: None }).await;
    world.flags().delete_project(&write(), &shop(), true, None).await.unwrap();
    let expected = [
        written(dev, &["ada"], 7),
        written(dev, &["ada"], 8),
        written(production, &["bob"], 9),
        written(dev, &["ada"], NO_BATCH),
        written(dev, &["ada"], NO_BATCH),
        IdentityNews::Gone(production),
        IdentityNews::Gone(dev),
    ];
    assert_eq!(heard(&mut *listener, u64::MAX).await, expected);
    assert_eq!(heard(&mut *other, 3).await, expected, "a beat is told to nobody else");
}
