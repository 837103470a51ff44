//! Many writers and readers at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use burgee_core::store::{ChangeOrder, FlagStore, IdentityStore, IdentityWrite, NO_BATCH};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::world::*;

both! {
    a_reader_sees_revisions_in_order_and_without_gaps,
    a_loaded_environment_is_of_one_revision,
    the_same_request_at_the_same_time_is_one_change,
    the_same_creation_at_the_same_time_is_one_organisation,
    parallel_batches_of_the_same_identities_all_succeed,
    identities_are_written_while_their_environment_is_deleted,
    only_one_first_user_is_created,
}

/// Nothing waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(60);
const WRITERS: usize = 8;
const WRITES: usize = 25;

async fn a_reader_sees_revisions_in_order_and_without_gaps(world: World) {
    let world = Arc::new(world.with_flags().await);
    let start = world.revision().await;
    let end = start + i64::try_from(WRITERS * WRITES).unwrap();
    let mut wakeups = world.flags().wakeups().await.unwrap();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let world = Arc::clone(&world);
        writers.spawn(async move {
            // Half of the writers belong to another process.
            let store = if writer % 2 == 0 { world.store.clone() } else { world.another_store() };
            for _ in 0..WRITES {
                store.apply(&write(), &shop(), vec![switch("dev", "banner", writer % 3 == 0)]).await.unwrap();
            }
        });
    }
    let mut seen = start;
    timeout(PATIENCE, async {
        while seen < end {
            for change in world.flags().changes(&shop_log(), ChangeOrder::After(seen), 1_000).await.unwrap() {
                assert_eq!(change.revision, seen + 1, "whoever has N must never miss N + 1");
                seen = change.revision;
            }
            // A wake-up, or the poll: another process of SQLite wakes nobody.
            let _ = timeout(Duration::from_millis(20), wakeups.next()).await;
        }
    })
    .await
    .unwrap();
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
    assert_eq!((seen, world.revision().await), (end, end));
}

async fn a_loaded_environment_is_of_one_revision(world: World) {
    let world = Arc::new(world.with_flags().await);
    let environment = world.environment_ref("dev").await;
    let writer = tokio::spawn({
        let world = Arc::clone(&world);
        async move {
            for turn in 0..60 {
                let enabled = turn % 2 == 0;
                world.apply(vec![switch("dev", "banner", enabled), switch("dev", "limit", enabled)]).await;
            }
        }
    });
    while !writer.is_finished() {
        let loaded = world.feed().load_environment(environment).await.unwrap().unwrap();
        let [banner, limit] = loaded.rules.features.as_slice() else { panic!("{loaded:?}") };
        assert_eq!((banner.state.enabled, banner.revision), (limit.state.enabled, limit.revision));
        assert!(banner.revision <= loaded.revision);
    }
    writer.await.unwrap();
}

async fn the_same_request_at_the_same_time_is_one_change(world: World) {
    let world = Arc::new(world.with_flags().await);
    let before = world.revision().await;
    let mut requests = JoinSet::new();
    for _ in 0..8 {
        let world = Arc::clone(&world);
        requests.spawn(async move {
            world.flags().apply(&request("r", 1), &shop(), vec![create_feature("new")]).await.unwrap()
        });
    }
    let outcomes = requests.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| !outcome.replayed).count(), 1);
    assert!(outcomes.iter().all(|outcome| outcome.revision == before + 1));
    assert_eq!(world.revision().await, before + 1);
}

async fn the_same_creation_at_the_same_time_is_one_organisation(world: World) {
    let world = Arc::new(world);
    let mut requests = JoinSet::new();
    for digest in [1, 1, 1, 1, 2] {
        let world = Arc::clone(&world);
        requests.spawn(async move {
            let created =
                world.flags().create_organisation(&request("o", digest), organisation("acme")).await;
            (digest, created.is_ok())
        });
    }
    let outcomes: BTreeSet<(u8, bool)> = requests.join_all().await.into_iter().collect();
    let one_wins = [(1, true), (2, false)].into();
    let other_wins = [(1, false), (2, true)].into();
    assert!(outcomes == one_wins || outcomes == other_wins, "{outcomes:?}");
    assert_eq!(world.flags().organisations(None, &all()).await.unwrap().len(), 1);
}

async fn parallel_batches_of_the_same_identities_all_succeed(world: World) {
    let world = Arc::new(world.with_environments().await);
    let dev = world.environment_ref("dev").await;
    let mut batches = JoinSet::new();
    for batch in 0_usize..8 {
        let world = Arc::clone(&world);
        batches.spawn(async move {
            for turn in 0_usize..10 {
                let writes: Vec<IdentityWrite> = (0_usize..50)
                    .map(|index| {
                        // Every batch has another order.
                        let identifier = identity(&format!("user {}", (index * 7 + batch * 13) % 50));
                        let trait_key = format!("t{batch}");
                        let changes = traits(&[(&trait_key, &turn.to_string())], &[]);
                        IdentityWrite { environment: dev, identifier, changes, now: now() }
                    })
                    .collect();
                let outcomes = world.identities().identify(&writes, NO_BATCH).await.unwrap();
                assert!(outcomes.iter().all(Result::is_ok));
            }
        });
    }
    timeout(PATIENCE, batches.join_all()).await.unwrap();
    let wanted: Vec<_> = (0..50).map(|index| identity(&format!("user {index}"))).collect();
    for stored in world.identities().stored_identities(dev, &wanted).await.unwrap() {
        assert_eq!(stored.unwrap().traits.len(), 8, "no batch lost what another wrote");
    }
}

async fn identities_are_written_while_their_environment_is_deleted(world: World) {
    let world = Arc::new(world.with_environments().await);
    let dev = world.environment_ref("dev").await;
    let production = world.environment_ref("production").await;
    let writer = tokio::spawn({
        let world = Arc::clone(&world);
        async move {
            for turn in 0_usize.. {
                let write = |environment, index: usize| IdentityWrite {
                    environment,
                    identifier: identity(&format!("user {index}")),
                    changes: traits(&[("turn", &turn.to_string())], &[]),
                    now: now(),
                };
                let writes: Vec<_> = (0..40)
                    .map(|index| write(if index % 2 == 0 { dev } else { production }, index))
                    .collect();
                let outcomes = world.store.identify(&writes, NO_BATCH).await.unwrap();
                assert!(
                    outcomes.iter().skip(1).step_by(2).all(Result::is_ok),
                    "the other environment is untouched"
                );
                if outcomes[0].is_err() {
                    break;
                }
            }
        }
    });
    let environment = environment_name("dev").environment;
    world.write(burgee_core::change::Mutation::DeleteEnvironment { environment, etag: None }).await;
    timeout(PATIENCE, writer).await.unwrap().unwrap();
}

async fn only_one_first_user_is_created(world: World) {
    let world = Arc::new(world);
    let mut attempts = JoinSet::new();
    for index in 0..8 {
        let world = Arc::clone(&world);
        attempts.spawn(async move {
            let id = format!("u{index}");
            let token = token(&format!("users/{id}"), "first");
            world.flags().create_first_user(user(&id), token, secret(&id)).await.unwrap()
        });
    }
    let created = attempts.join_all().await.into_iter().filter(|created| *created).count();
    assert_eq!((created, world.flags().users(&all()).await.unwrap().len()), (1, 1));
}
