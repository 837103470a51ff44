//! The version of the tables.

use burgee_store::{OpenError, Store, StoreOptions};
use burgee_tests::postgres::Cluster;
use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::world::*;

both! {
    migrating_again_changes_nothing,
    a_newer_schema_is_refused,
    several_processes_may_migrate_at_once,
}

async fn run(world: &World, sql: &str) {
    if world.is_postgres() {
        sqlx::PgConnection::connect(&world.url).await.unwrap().execute(AssertSqlSafe(sql)).await.unwrap();
    } else {
        sqlx::SqliteConnection::connect(&world.url).await.unwrap().execute(AssertSqlSafe(sql)).await.unwrap();
    }
}

async fn migrating_again_changes_nothing(world: World) {
    let world = world.shop().await;
    let version = world.store.schema_version().await.unwrap();
    assert!(version >= 1);
    world.store.check_schema().await.unwrap();
    world.store.migrate().await.unwrap();
    assert_eq!(world.store.schema_version().await.unwrap(), version);
    assert_eq!(world.revision().await, 1);
}

async fn a_newer_schema_is_refused(world: World) {
    let digest = if world.is_postgres() { "'\\x00'" } else { "x'00'" };
    let newer = format!(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (99999, 'of tomorrow', true, {digest}, 0)"
    );
    run(&world, &newer).await;
    for refused in [world.store.check_schema().await, world.store.migrate().await] {
        assert!(matches!(refused, Err(OpenError::SchemaTooNew { found: 99_999, .. })), "{refused:?}");
    }
}

async fn several_processes_may_migrate_at_once(world: World) {
    let (folder, url) = empty(&world).await;
    let stores: Vec<Store> = (0..4).map(|_| Store::open(&url, &StoreOptions::default()).unwrap()).collect();
    assert_eq!(stores[0].schema_version().await.unwrap(), 0);
    let refused = stores[0].check_schema().await;
    assert!(matches!(refused, Err(OpenError::SchemaTooOld { found: 0, .. })), "{refused:?}");
    let migrations = stores.iter().cloned().map(|store| tokio::spawn(async move { store.migrate().await }));
    for migration in migrations.collect::<Vec<_>>() {
        migration.await.unwrap().unwrap();
    }
    stores[0].check_schema().await.unwrap();
    drop(folder);
}

/// Returns the address of an empty database of the same kind.
async fn empty(world: &World) -> (Option<tempfile::TempDir>, String) {
    if world.is_postgres() {
        return (None, Cluster::shared().database().await);
    }
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("empty.db").display());
    (Some(folder), url)
}

#[tokio::test]
async fn an_address_of_no_known_database_is_refused() {
    let refused = Store::open("mysql://localhost/x", &StoreOptions::default());
    assert!(matches!(refused, Err(OpenError::UnknownDatabase)));
    let refused = Store::open("postgres://localhost:notaport/x", &StoreOptions::default());
    assert!(matches!(refused, Err(OpenError::Address(_))));
}
