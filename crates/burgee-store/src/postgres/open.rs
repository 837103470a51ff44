//! Connections to PostgreSQL, and its schema.

use std::str::FromStr;
use std::time::Duration;

use burgee_core::Result;
use burgee_core::store::{IdentityListener, Wakeups};
use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnectionMetadata;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection, PgPool};

use super::dialect::Announcer;
use super::news;
use super::sql::Backend;
use super::wakeups::Listener;
use crate::error::OpenError;
use crate::options::StoreOptions;

/// The migrations that this program knows.
pub(crate) static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// Statements that a connection keeps prepared: more than there are in this crate.
const STATEMENTS: usize = 500;
/// A connection that was not used for so long is tried before it is handed out.
const UNTESTED_IDLE_TIME: Duration = Duration::from_secs(1);
/// A transaction that does nothing for so long is cut off, so that no lost client keeps a lock.
const IDLE_IN_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(30);

/// Opens a database. Connects when it is used for the first time.
pub(crate) fn open(url: &str, options: &StoreOptions) -> Result<Backend, OpenError> {
    let primary = address(url)?;
    let reads = pool(&primary, options.read_connections, options.read_timeout, options);
    let feed = match &options.read_database_url {
        Some(url) => pool(&address(url)?, options.read_connections, options.read_timeout, options),
        None => reads.clone(),
    };
    Ok(Backend {
        reads,
        feed,
        writes: pool(&primary, options.write_connections, options.write_timeout, options),
        identities: pool(&primary, options.identity_connections, options.write_timeout, options),
        connect: primary,
        limits: options.limits,
        announcer: Announcer,
    })
}

fn address(url: &str) -> Result<PgConnectOptions, OpenError> {
    let options = PgConnectOptions::from_str(url).map_err(|error| OpenError::Address(error.to_string()))?;
    Ok(options.application_name("burgee"))
}

fn pool(
    address: &PgConnectOptions,
    connections: u32,
    statement_timeout: Duration,
    options: &StoreOptions,
) -> PgPool {
    let address = address.clone().statement_cache_capacity(STATEMENTS).options([
        // All queries look rows up by their keys, so there is nothing to gain from planning one again for its values.
        ("plan_cache_mode", "force_generic_plan".to_owned()),
        ("statement_timeout", statement_timeout.as_millis().to_string()),
        ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT.as_millis().to_string()),
    ]);
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(options.acquire_timeout)
        .test_before_acquire(false)
        .before_acquire(|connection, metadata: PoolConnectionMetadata| {
            Box::pin(async move {
                // A busy pool saves the round trip; one that slept through a restart of the database finds out.
                Ok(metadata.idle_for < UNTESTED_IDLE_TIME || connection.ping().await.is_ok())
            })
        })
        .connect_lazy_with(address)
}

impl Backend {
    /// Connects without the time limits of the pools, which a migration may need to pass.
    pub(crate) async fn unlimited(&self) -> sqlx::Result<PgConnection> {
        PgConnection::connect_with(&self.connect).await
    }

    /// Returns a listener to writes.
    pub(crate) async fn wakeups(&self) -> Result<Box<dyn Wakeups>> {
        Ok(Box::new(Listener::start(self.connect.clone()).await?))
    }

    /// Returns a listener to writes of identities.
    pub(crate) async fn identity_listener(&self) -> Result<Option<Box<dyn IdentityListener>>> {
        Ok(Some(Box::new(news::Listener::start(&self.connect).await?)))
    }
}

/// Applies the migrations that the database lacks; the migrator makes others wait.
pub(crate) async fn migrate(mut connection: PgConnection) -> Result<(), OpenError> {
    MIGRATIONS.run(&mut connection).await.map_err(|error| OpenError::Database(Box::new(error)))
}

/// Tells whether the table of migrations exists.
pub(crate) const MIGRATED: &str = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL";
