//! The version of the tables.

use std::str::FromStr;

use burgee_core::access::{KeyKind, KeyScope, SecretHash, StoredSecret};
use burgee_core::name::LogName;
use burgee_core::organisation::Role;
use burgee_core::store::ChangeOrder;
use burgee_core::value::TraitValue;
use burgee_store::{OpenError, Store, StoreOptions};
use burgee_tests::postgres::Cluster;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};

use crate::world::*;

both! {
    migrating_again_changes_nothing,
    a_newer_schema_is_refused,
    several_processes_may_migrate_at_once,
    what_version_1_holds_is_kept,
}

async fn run(world: &World, sql: &str) {
    if world.is_postgres() {
        sqlx::PgConnection::connect(&world.url).await.unwrap().execute(AssertSqlSafe(sql)).await.unwrap();
    } else {
        sqlx::SqliteConnection::connect(&world.url).await.unwrap().execute(AssertSqlSafe(sql)).await.unwrap();
    }
}

/// Returns a number.
async fn number(world: &World, sql: &str) -> i64 {
    let query = sqlx::AssertSqlSafe(sql);
    if world.is_postgres() {
        let mut connection = sqlx::PgConnection::connect(&world.url).await.unwrap();
        sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap()
    } else {
        let mut connection = sqlx::SqliteConnection::connect(&world.url).await.unwrap();
        sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap()
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

/// Makes the tables of version 1 in an empty database.
async fn version_1(world: &World, url: &str) {
    let folder = tempfile::tempdir().unwrap();
    let tables = if world.is_postgres() {
        include_str!("../../../crates/burgee-store/migrations/postgres/0001_initial.sql")
    } else {
        include_str!("../../../crates/burgee-store/migrations/sqlite/0001_initial.sql")
    };
    std::fs::write(folder.path().join("0001_initial.sql"), tables).unwrap();
    let migrations = sqlx::migrate::Migrator::new(folder.path()).await.unwrap();
    if world.is_postgres() {
        migrations.run(&mut sqlx::PgConnection::connect(url).await.unwrap()).await.unwrap();
    } else {
        let options = sqlx::sqlite::SqliteConnectOptions::from_str(url).unwrap().create_if_missing(true);
        migrations.run(&mut options.connect().await.unwrap()).await.unwrap();
    }
}

async fn what_version_1_holds_is_kept(world: World) {
    let (folder, url) = empty(&world).await;
    version_1(&world, &url).await;
    let old = world.unmigrated(url);
    let bytes = |text: &str| {
        let hash = SecretHash::of(text);
        let digits: String = hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        if old.is_postgres() { format!("'\\x{digits}'") } else { format!("x'{digits}'") }
    };
    let (secret, key, time) = ("bgt_an-old-secret", "ser.old", "'2023-11-14T22:13:20.123456+00:00'");
    for sql in [
        format!("INSERT INTO organisations (key, display_name, persist_trait_data, stop_serving_flags, version, created_at)
            VALUES ('acme', 'ACME', true, false, 1, {time})"),
        format!("INSERT INTO users (key, email, email_lower, display_name, administrator, version, created_at)
            VALUES ('ada', 'ada@example.com', 'ada@example.com', 'ADA', true, 1, {time})"),
        format!("INSERT INTO members (organisation_id, user_id, role, version, created_at)
            SELECT o.id, u.id, 'admin', 1, {time} FROM organisations o CROSS JOIN users u"),
        format!("INSERT INTO tokens (user_id, key, display_name, hash, hint, created_at)
            SELECT id, 'laptop', 'LAPTOP', {}, 'bgt_', {time} FROM users", bytes(secret)),
        format!("INSERT INTO projects
                (organisation_id, key, display_name, prevent_flag_defaults, revision, settings_revision, created_at)
            SELECT id, 'shop', 'SHOP', false, 1, 1, {time} FROM organisations"),
        format!("INSERT INTO changes (project_id, revision, created_at, actor, method, request_id, reason, entries)
            SELECT id, 1, {time}, 'users/ada', 'M', '', '', '[]' FROM projects"),
        format!("INSERT INTO environments
                (project_id, key, display_name, description, hide_disabled_flags, allow_client_traits,
                    identity_hashing, hashing_key, revision, settings_revision, created_revision, created_at)
            SELECT id, 'dev', 'DEV', '', false, true, 'composite', 'x', 1, 1, 1, {time} FROM projects"),
        format!("INSERT INTO environment_keys (environment_id, key, display_name, kind, hash, hint, created_at, revision)
            SELECT id, 'server', '', 'server_side', {}, '', {time}, 1 FROM environments", bytes(key)),
        format!("INSERT INTO environment_keys (environment_id, key, display_name, kind, hash, hint, created_at, revision)
            SELECT id, 'client', '', 'client_side', {}, '', {time}, 1 FROM environments", bytes("client")),
        format!("INSERT INTO requests (scope, request_id, digest, revision, created_at)
            VALUES ('server', 'r', {}, 0, {time})", bytes("r")),
        format!("INSERT INTO identities (environment_id, identity_hash, identifier, created_at)
            SELECT id, {}, 'eve', {time} FROM environments", bytes("eve")),
        format!("INSERT INTO identities (environment_id, identity_hash, identifier, created_at)
            SELECT id, {}, 'bob', {time} FROM environments", bytes("bob")),
        format!("INSERT INTO traits (environment_id, identity_hash, key, value)
            SELECT id, {}, 'age', '{{\"double\":0.30000000000000004}}' FROM environments", bytes("eve")),
        format!("INSERT INTO traits (environment_id, identity_hash, key, value)
            SELECT id, {}, 'plan', '{{\"string\":\"pro\"}}' FROM environments", bytes("eve")),
    ] {
        run(&old, &sql).await;
    }
    assert_eq!(old.store.schema_version().await.unwrap(), 1);
    old.store.migrate().await.unwrap();
    old.store.check_schema().await.unwrap();

    let credential = old.flags().credential(&StoredSecret::lookup(secret)).await.unwrap().unwrap();
    assert!(credential.secret.is(secret) && !credential.secret.is("bgt_another-secret"));
    assert_eq!((credential.name.as_str(), credential.administrator), ("users/ada/tokens/laptop", true));
    assert!(old.flags().user(&user_name("ada")).await.unwrap().email_verified);
    for (kind, id) in [(KeyKind::ServerSide, "server"), (KeyKind::ClientSide, "client")] {
        let found = old.flags().key(&key_name("dev", id)).await.unwrap();
        assert_eq!((found.kind, found.scopes, found.tags.len()), (kind, KeyScope::of_kind(kind), 0));
    }
    let change = old.flags().change(&shop_log(), 1).await.unwrap();
    assert_eq!((change.credential.as_str(), change.address.as_str()), ("", ""));
    assert_eq!(old.flags().changes(&shop_log(), ChangeOrder::After(0), 10).await.unwrap(), [change]);
    assert_eq!(number(&old, "SELECT bytes FROM changes").await, 2, "the bytes of `[]`");
    let log = old.flags().log(&acme_log()).await.unwrap();
    assert_eq!((log.oldest, log.newest), (1, 0));
    assert_eq!(log.created_at, now(), "the log is as old as what it is of");
    let server = old.flags().log(&LogName::Server).await.unwrap();
    assert_eq!((server.oldest, server.newest), (1, 0));
    assert!(server.created_at > now());

    let eve = old.flags().identity(&identity_name("dev", "eve")).await.unwrap();
    let traits: Vec<_> = eve.traits.into_iter().map(|found| (found.key.to_string(), found.value)).collect();
    let text = TraitValue::String("pro".to_owned());
    assert_eq!(traits, [("age".to_owned(), TraitValue::Double(0.1 + 0.2)), ("plan".to_owned(), text)]);
    assert!(old.flags().identity(&identity_name("dev", "bob")).await.unwrap().traits.is_empty());

    let created = old.flags().create_organisation(&request("r", 1), organisation("other")).await.unwrap();
    assert_eq!(created.etag, "1");
    old.flags().create_user(&write(), user("bob")).await.unwrap();
    old.flags().add_member(&write(), &member_name("bob"), Role::Member).await.unwrap();
    assert_eq!(old.flags().log(&acme_log()).await.unwrap().newest, 1);
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
