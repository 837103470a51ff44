//! Keys of environments: their life, and what evaluation sees of it.

use burgee_core::access::SecretHash;
use burgee_core::change::Mutation;
use burgee_core::name::{EnvironmentId, KeyId};
use chrono::{DateTime, Utc};

use crate::world::*;

both! {
    a_key_is_created_read_and_listed,
    a_rotated_key_accepts_both_secrets_for_a_while,
    a_former_secret_never_outlives_its_own_expiry,
    former_secrets_are_forgotten_when_they_have_expired,
    a_revoked_key_opens_nothing,
    an_expired_key_is_still_known_to_evaluation,
}

/// Rotates the key `backend` of `dev`; the former secret is accepted until then.
fn rotate(secret: &str, until: DateTime<Utc>, etag: Option<&str>) -> Mutation {
    Mutation::RotateKey {
        environment: EnvironmentId::parse("dev").unwrap(),
        key: KeyId::parse("backend").unwrap(),
        hash: SecretHash::of(secret),
        hint: "ser.new".to_owned(),
        expires_at: None,
        former_expires_at: until,
        etag: etag.map(str::to_owned),
    }
}

fn revoke(etag: Option<&str>) -> Mutation {
    Mutation::RevokeKey {
        environment: EnvironmentId::parse("dev").unwrap(),
        key: KeyId::parse("backend").unwrap(),
        etag: etag.map(str::to_owned),
    }
}

/// The secrets that evaluation knows of the key `backend`, with their expiry.
async fn secrets(world: &World) -> Vec<(SecretHash, Option<DateTime<Utc>>)> {
    let keys = world.load("dev").await.keys;
    let backend = keys.into_iter().filter(|key| key.name == key_name("dev", "backend"));
    let mut secrets: Vec<_> = backend.map(|key| (key.hash, key.expires_at)).collect();
    secrets.sort_by_key(|(_, expires_at)| *expires_at);
    secrets
}

async fn opens(world: &World, secret: &str) -> bool {
    world.feed().environment_of_key(&SecretHash::of(secret)).await.unwrap().is_some()
}

async fn a_key_is_created_read_and_listed(world: World) {
    let world = world.with_environments().await;
    let created = only!(Key, world.apply(vec![create_key("dev", "backend", "secret")]).await);
    assert_eq!(created.etag, "3");
    let name = key_name("dev", "backend");
    assert_eq!(world.flags().key(&name).await.unwrap(), created);
    check_taken(world.try_apply(vec![create_key("dev", "backend", "other")]).await, &name.to_string());
    world.apply(vec![create_key("dev", "app", "b"), create_key("production", "backend", "c")]).await;
    let listed = world.flags().keys(&environment_name("dev"), &all()).await.unwrap();
    assert_eq!(listed.iter().map(|key| key.name.key.as_str()).collect::<Vec<_>>(), ["app", "backend"]);
    let missing = key_name("dev", "nobody");
    check_missing(world.flags().key(&missing).await, &missing.to_string());
    let nowhere = create_key("nowhere", "backend", "d");
    check_missing(world.try_apply(vec![nowhere]).await, &environment_name("nowhere").to_string());
    assert!(opens(&world, "secret").await && !opens(&world, "guess").await);
}

async fn a_rotated_key_accepts_both_secrets_for_a_while(world: World) {
    let world = world.with_environments().await;
    let etag = world.write(create_key("dev", "backend", "old")).await.to_string();
    let rotated = only!(Key, world.apply(vec![rotate("new", later(24), Some(&etag))]).await);
    assert_eq!(rotated.hint, "ser.new");
    assert_eq!(world.flags().key(&rotated.name).await.unwrap(), rotated);
    assert!(opens(&world, "old").await && opens(&world, "new").await);
    let expected = [(SecretHash::of("new"), None), (SecretHash::of("old"), Some(later(24)))];
    assert_eq!(secrets(&world).await, expected);
    let stale = world.try_apply(vec![rotate("newer", later(24), Some(&etag))]).await;
    check_stale(stale, &rotated.name.to_string(), &rotated.etag);
    world.write(rotate("newest", later(0), None)).await;
    assert!(!opens(&world, "new").await, "no time was given to the former secret");
}

async fn a_former_secret_never_outlives_its_own_expiry(world: World) {
    let world = world.with_environments().await;
    let mut short = key("dev", "backend");
    short.expires_at = Some(later(1));
    world.write(Mutation::CreateKey { key: short, hash: SecretHash::of("old") }).await;
    world.write(rotate("new", later(24), None)).await;
    let expected = [(SecretHash::of("new"), None), (SecretHash::of("old"), Some(later(1)))];
    assert_eq!(secrets(&world).await, expected);
}

async fn former_secrets_are_forgotten_when_they_have_expired(world: World) {
    let world = world.with_environments().await;
    world.write(create_key("dev", "backend", "first")).await;
    world.write(rotate("second", later(1), None)).await;
    let mut tomorrow = write();
    tomorrow.now = later(24);
    world.flags().apply(&tomorrow, &shop(), vec![rotate("third", later(48), None)]).await.unwrap();
    assert!(!opens(&world, "first").await);
    assert!(opens(&world, "second").await && opens(&world, "third").await);
}

async fn a_revoked_key_opens_nothing(world: World) {
    let world = world.with_environments().await;
    world.write(create_key("dev", "backend", "old")).await;
    world.write(rotate("new", later(24), None)).await;
    let revoked = only!(Key, world.apply(vec![revoke(None)]).await);
    assert_eq!(revoked.revoked_at, Some(now()));
    assert!(!opens(&world, "old").await && !opens(&world, "new").await);
    assert_eq!(secrets(&world).await, []);
    assert_eq!(world.flags().key(&revoked.name).await.unwrap(), revoked, "it stays in lists");
    check_reason(world.try_apply(vec![rotate("newer", later(24), None)]).await, "KEY_REVOKED");
    check_stale(world.try_apply(vec![revoke(Some("1"))]).await, &revoked.name.to_string(), &revoked.etag);
    let mut tomorrow = write();
    tomorrow.now = later(24);
    let again = world.flags().apply(&tomorrow, &shop(), vec![revoke(None)]).await.unwrap();
    assert_eq!(only!(Key, again).revoked_at, Some(now()));
}

async fn an_expired_key_is_still_known_to_evaluation(world: World) {
    let world = world.with_environments().await;
    let mut expired = key("dev", "backend");
    expired.expires_at = Some(later(-1));
    world.write(Mutation::CreateKey { key: expired, hash: SecretHash::of("old") }).await;
    // Whoever presents it is told that it has expired.
    assert!(opens(&world, "old").await);
    assert_eq!(secrets(&world).await, [(SecretHash::of("old"), Some(later(-1)))]);
}
