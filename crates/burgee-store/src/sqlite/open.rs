//! Connections to SQLite, and its schema.

use std::str::FromStr;

use burgee_core::Result;
use burgee_core::store::{IdentityListener, Wakeups};
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::dialect::{Announcer, BEGIN_WRITE};
use super::sql::Backend;
use super::wakeups::Listener;
use crate::error::OpenError;
use crate::options::StoreOptions;

/// The migrations that this program knows.
pub(crate) static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// Statements that a connection keeps prepared: more than there are in this crate.
const STATEMENTS: usize = 500;

/// Opens a file. It is created when it is used for the first time; its folder must exist.
pub(crate) fn open(url: &str, options: &StoreOptions) -> Result<Backend, OpenError> {
    let file = SqliteConnectOptions::from_str(url)
        .map_err(|error| OpenError::Address(error.to_string()))?
        .create_if_missing(true)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        // The default of WAL mode may lose the newest transactions when the power fails; what was answered is durable.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(options.write_timeout)
        .statement_cache_capacity(STATEMENTS);
    // One connection, so that writers wait in order instead of trying the lock again and again.
    let writes = SqlitePoolOptions::new()
        .max_connections(1)
        .max_lifetime(None)
        .idle_timeout(None)
        .test_before_acquire(false)
        .acquire_timeout(options.acquire_timeout)
        .connect_lazy_with(file.clone());
    let reads = SqlitePoolOptions::new()
        .max_connections(options.read_connections)
        .max_lifetime(None)
        .test_before_acquire(false)
        .acquire_timeout(options.acquire_timeout)
        .connect_lazy_with(file.clone().pragma("query_only", "ON"));
    Ok(Backend {
        feed: reads.clone(),
        reads,
        identities: writes.clone(),
        writes,
        connect: file,
        limits: options.limits,
        announcer: Announcer::default(),
    })
}

impl Backend {
    /// Connects outside of the pools.
    pub(crate) async fn unlimited(&self) -> sqlx::Result<SqliteConnection> {
        self.connect.connect().await
    }

    /// Returns a listener to writes.
    pub(crate) async fn wakeups(&self) -> Result<Box<dyn Wakeups>> {
        Ok(Box::new(Listener::start(&self.announcer)))
    }

    /// Returns no listener to writes of identities: other processes may write the same file, and would not be heard.
    /// Reading is cheap here.
    #[allow(clippy::unused_async, clippy::unnecessary_wraps, reason = "as in PostgreSQL")]
    pub(crate) async fn identity_listener(&self) -> Result<Option<Box<dyn IdentityListener>>> {
        Ok(None)
    }
}

/// Applies the migrations that the database lacks, in one transaction: the migrator takes no lock of its own here.
pub(crate) async fn migrate(mut connection: SqliteConnection) -> Result<(), OpenError> {
    let mut tx = connection.begin_with(BEGIN_WRITE).await?;
    MIGRATIONS.run(&mut *tx).await.map_err(|error| OpenError::Database(Box::new(error)))?;
    Ok(tx.commit().await?)
}

/// Tells whether the table of migrations exists.
pub(crate) const MIGRATED: &str =
    "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = '_sqlx_migrations')";
