//! How a store is opened.

use std::time::Duration;

use burgee_core::limits::Limits;

/// Connections for reads.
pub const READ_CONNECTIONS: u32 = 10;
/// Connections for writes of configuration.
pub const WRITE_CONNECTIONS: u32 = 4;
/// Connections for writes of identities.
pub const IDENTITY_CONNECTIONS: u32 = 4;
/// How long a caller waits for a connection.
pub const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a statement that reads may take.
pub const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a statement that writes may take, waiting for locks included.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How a store is opened: the sizes of its pools, its time limits, its limits of content.
///
/// Reads, writes of configuration and writes of identities have pools of their own, so that a slow writer never stalls
/// a reader. SQLite has one writer, so there all writes share one connection.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The limits of what is stored.
    pub limits: Limits,
    /// The address of a PostgreSQL replica that answers the reads of the evaluation service. It may lag: what was
    /// written is seen there later, in the same order.
    pub read_database_url: Option<String>,
    /// Connections for reads; as many again for `read_database_url`.
    pub read_connections: u32,
    /// Connections for writes of configuration (PostgreSQL).
    pub write_connections: u32,
    /// Connections for writes of identities (PostgreSQL).
    pub identity_connections: u32,
    /// How long a caller waits for a connection.
    pub acquire_timeout: Duration,
    /// How long a statement that reads may take (PostgreSQL).
    pub read_timeout: Duration,
    /// How long a statement that writes may take, waiting for locks included (SQLite: how long it waits for the lock).
    pub write_timeout: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            read_database_url: None,
            read_connections: READ_CONNECTIONS,
            write_connections: WRITE_CONNECTIONS,
            identity_connections: IDENTITY_CONNECTIONS,
            acquire_timeout: ACQUIRE_TIMEOUT,
            read_timeout: READ_TIMEOUT,
            write_timeout: WRITE_TIMEOUT,
        }
    }
}
