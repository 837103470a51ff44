//! What can go wrong with a database, and what a caller can do about it.

use burgee_core::{Error, Violation};

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address is of no database that is known.
    #[error("a database address must begin with `postgres://` or `sqlite:`")]
    UnknownDatabase,

    /// The address cannot be used.
    #[error("the database address cannot be used: {0}")]
    Address(String),

    /// The tables were made by a newer version of this program.
    #[error("the database has schema {found}, and this version knows none above {known}")]
    SchemaTooNew {
        /// The newest migration of the database.
        found: i64,
        /// The newest migration of this program.
        known: i64,
    },

    /// The tables must be migrated first.
    #[error("the database has schema {found}, and this version needs {needed}: run `burgee migrate`")]
    SchemaTooOld {
        /// The newest migration of the database; 0 if there is none.
        found: i64,
        /// The newest migration of this program.
        needed: i64,
    },

    /// The database failed; the cause is the source.
    #[error("the database failed")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<sqlx::Error> for OpenError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(Box::new(error))
    }
}

/// Says what a failure of the database means to a caller.
pub(crate) fn storage(error: sqlx::Error) -> Error {
    let message = match &error {
        sqlx::Error::PoolTimedOut => "no connection to the database became free in time",
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::WorkerCrashed => {
            "the connection to the database was lost"
        }
        sqlx::Error::PoolClosed => "the database was closed",
        sqlx::Error::Database(database) => match database.code().as_deref() {
            // Connection failures, and a server that starts, stops or has no connection to spare.
            Some(code) if code.starts_with("08") || code.starts_with("57P") || code == "53300" => {
                "the database is not available"
            }
            // A statement, a lock or an idle transaction was cut off.
            Some("57014" | "55P03" | "25P03") => "the database took too long",
            _ => return Error::Storage(Box::new(error)),
        },
        _ => return Error::Storage(Box::new(error)),
    };
    tracing::warn!("{message}: {error}");
    Error::Unavailable { reason: "DATABASE_UNAVAILABLE", message: message.to_owned() }
}

/// Somebody else wrote in between what must not change, so that the transaction must begin again.
#[derive(Debug, thiserror::Error)]
#[error("another write came in between")]
struct Overtaken;

/// Creates the error of a transaction that must begin again because of another.
pub(crate) fn overtaken() -> Error {
    Error::Storage(Box::new(Overtaken))
}

/// Says whether a transaction failed only because of others at the same time, so that it may succeed if repeated.
pub(crate) fn is_contention(error: &Error) -> bool {
    let Error::Storage(source) = error else { return false };
    if source.is::<Overtaken>() {
        return true;
    }
    let Some(sqlx::Error::Database(database)) = source.downcast_ref() else { return false };
    match database.code().as_deref() {
        // PostgreSQL: serialization failure, deadlock, and a foreign key to a row that was there a moment ago.
        Some("40001" | "40P01" | "23503") => true,
        // SQLite: busy and locked, with their extended codes.
        Some("5" | "6" | "261" | "262" | "517" | "773") => true,
        _ => false,
    }
}

/// Trusts what is stored to keep the rules of the domain; a row that does not is a failure of storage.
pub(crate) fn stored<T>(parsed: Result<T, Violation>) -> Result<T, Error> {
    parsed.map_err(|violation| corrupt(format!("a stored value {}", violation.description)))
}

/// Creates the error of a row that breaks a rule.
pub(crate) fn corrupt(message: String) -> Error {
    Error::Storage(message.into())
}
