//! Lost connections and a database that goes away, on PostgreSQL.

use std::time::Duration;

use burgee_core::Error;
use burgee_core::store::{FlagStore, Wakeup};
use burgee_store::{Store, StoreOptions};
use burgee_tests::postgres::Cluster;
use sqlx::{Connection, Executor, PgConnection};
use tokio::time::timeout;

use crate::world::*;

/// Nothing waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tries again until the database answers.
async fn eventually<T, F: Future<Output = burgee_core::Result<T>>>(mut attempt: impl FnMut() -> F) -> T {
    timeout(PATIENCE, async {
        loop {
            match attempt().await {
                Ok(done) => return done,
                Err(Error::Unavailable { reason: "DATABASE_UNAVAILABLE", .. }) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(other) => panic!("an outage must be told as one: {other:?}"),
            }
        }
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_loses_its_connection_says_so_and_listens_again() {
    let world = World::postgres().await.with_flags().await;
    let project = world.project_ref().await;
    let mut listener = world.feed().wakeups().await.unwrap();
    world.write(switch("dev", "banner", true)).await;
    assert_eq!(timeout(PATIENCE, listener.next()).await.unwrap().unwrap(), Wakeup::Project(project));

    let mut killer = PgConnection::connect(&world.url).await.unwrap();
    for _ in 0..3 {
        let killed = killer
            .execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE 'LISTEN%'",
            )
            .await
            .unwrap();
        assert_eq!(killed.rows_affected(), 1);
        assert_eq!(timeout(PATIENCE, listener.next()).await.unwrap().unwrap(), Wakeup::Unknown);
        // It listens again before it says that something was lost.
        world.write(switch("dev", "banner", false)).await;
        assert_eq!(timeout(PATIENCE, listener.next()).await.unwrap().unwrap(), Wakeup::Project(project));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_is_dropped_half_way_forgets_no_loss() {
    let world = World::postgres().await.with_flags().await;
    let mut listener = world.feed().wakeups().await.unwrap();
    let mut killer = PgConnection::connect(&world.url).await.unwrap();
    killer
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE 'LISTEN%'",
        )
        .await
        .unwrap();
    let heard = timeout(PATIENCE, async {
        loop {
            // Given up again and again, as in a `select!`.
            if let Ok(heard) = timeout(Duration::from_micros(200), listener.next()).await {
                break heard.unwrap();
            }
        }
    });
    assert_eq!(heard.await.unwrap(), Wakeup::Unknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_restarts_is_used_again() {
    let cluster = Cluster::start();
    let options = StoreOptions { acquire_timeout: Duration::from_millis(500), ..Default::default() };
    let store = Store::open(&cluster.database().await, &options).unwrap();
    store.migrate().await.unwrap();
    store.create_organisation(&write(), organisation("acme")).await.unwrap();
    store.create_project(&write(), project("shop"), None).await.unwrap();
    let mut listener = FlagStore::wakeups(&store).await.unwrap();

    for crash in [false, true] {
        if crash {
            cluster.kill()
        } else {
            cluster.stop()
        }
        for failed in [
            store.project(&shop()).await.map(drop),
            store.apply(&write(), &shop(), vec![create_feature("banner")]).await.map(drop),
        ] {
            assert!(
                matches!(failed, Err(Error::Unavailable { reason: "DATABASE_UNAVAILABLE", .. })),
                "while the database is down: {failed:?}"
            );
        }
        cluster.restart();
        let shop = shop();
        let before = eventually(|| store.project(&shop)).await.revision;
        let id = if crash { "after-crash" } else { "after-stop" };
        let context = request(id, 1);
        let applied = eventually(|| store.apply(&context, &shop, vec![create_feature(id)])).await;
        assert_eq!(applied.revision, before + 1);
        let heard = timeout(PATIENCE, async {
            loop {
                // Errors say that hints are lost; then it says that anything may have changed.
                if let Ok(heard) = listener.next().await {
                    break heard;
                }
            }
        });
        assert_eq!(heard.await.unwrap(), Wakeup::Unknown);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_without_a_free_connection_fails_in_time() {
    let world = World::postgres().await.with_flags().await;
    let options = StoreOptions { write_timeout: Duration::from_millis(500), ..Default::default() };
    let store = Store::open(&world.url, &options).unwrap();
    let mut holder = PgConnection::connect(&world.url).await.unwrap();
    let mut tx = holder.begin().await.unwrap();
    tx.execute("SELECT id FROM projects FOR UPDATE").await.unwrap();
    let stuck = store.apply(&write(), &shop(), vec![switch("dev", "banner", false)]).await;
    assert!(matches!(stuck, Err(Error::Unavailable { .. })), "{stuck:?}");
    store.flag(&flag_name("dev", "banner")).await.expect("a slow writer never stalls a reader");
    tx.rollback().await.unwrap();
    store.apply(&write(), &shop(), vec![switch("dev", "banner", false)]).await.unwrap();
}

#[test]
fn a_cluster_leaves_nothing_behind() {
    let cluster = Cluster::start();
    let folder = cluster.folder().to_owned();
    drop(cluster);
    assert!(!folder.exists());
}
