//! The words that PostgreSQL and SQLite spell differently: `postgres/dialect.rs` has the same names.

use burgee_core::store::Wakeup;
use serde::Serialize;
use sqlx::types::Json;
use sqlx::{Sqlite, SqliteConnection};
use tokio::sync::broadcast;

/// The database.
pub(crate) type Db = Sqlite;

/// Begins a transaction that writes: takes the one lock for writers at once, so that it cannot fail later.
pub(crate) const BEGIN_WRITE: &str = "BEGIN IMMEDIATE";
/// Begins a transaction that reads everything as of one moment.
pub(crate) const BEGIN_READ: &str = "BEGIN";

/// Wake-ups that a slow listener may have unread; it is told of the loss.
const UNREAD_WAKEUPS: usize = 1_024;

/// A subquery: the integers of a parameter bound by [`list`].
macro_rules! integers {
    ($list:literal) => {
        concat!("(SELECT value FROM json_each(", $list, "))")
    };
}

/// A subquery: the texts of a parameter bound by [`list`].
macro_rules! texts {
    ($list:literal) => {
        concat!("(SELECT value FROM json_each(", $list, "))")
    };
}

/// A table of the integers (`item`) of a parameter bound by [`list`], with their positions from 0 (`position`).
macro_rules! numbered {
    ($list:literal) => {
        concat!("(SELECT value AS item, key AS position FROM json_each(", $list, "))")
    };
}

/// The condition that a text contains another, byte by byte.
macro_rules! contains {
    ($text:literal, $part:literal) => {
        concat!("instr(", $text, ", ", $part, ") > 0")
    };
}

/// Locks the rows that were selected; a transaction that writes has the whole database already.
macro_rules! for_update {
    () => {
        ""
    };
}

/// Locks the rows that were selected and leaves out those that are locked; nothing ever is.
macro_rules! for_update_skip_locked {
    () => {
        ""
    };
}

/// An aggregate: a JSON array of the arrays of two columns.
macro_rules! pairs {
    ($first:literal, $second:literal) => {
        concat!("json_group_array(json_array(", $first, ", ", $second, "))")
    };
}

/// Binds a list for `integers!`, `texts!` or `numbered!`.
pub(crate) fn list<T: Serialize>(items: T) -> Json<T> {
    Json(items)
}

/// Has nothing to do: a transaction that writes has the whole database already.
pub(crate) async fn lock_users(_connection: &mut SqliteConnection) -> sqlx::Result<()> {
    Ok(())
}

/// Tells nobody: every read of an identity asks the database.
#[allow(clippy::unused_async, clippy::unnecessary_wraps, reason = "as in PostgreSQL")]
pub(crate) async fn tell_written(
    _connection: &mut SqliteConnection,
    _batch: u64,
    _identities: &[(i64, &[u8])],
) -> sqlx::Result<()> {
    Ok(())
}

/// Tells nobody.
#[allow(clippy::unused_async, clippy::unnecessary_wraps, reason = "as in PostgreSQL")]
pub(crate) async fn tell_gone(_connection: &mut SqliteConnection, _environments: &[i64]) -> sqlx::Result<()> {
    Ok(())
}

/// Announces writes within the process, after their commit. Other processes that use the same file poll.
#[derive(Clone, Debug)]
pub(crate) struct Announcer {
    sender: broadcast::Sender<Wakeup>,
}

impl Default for Announcer {
    fn default() -> Self {
        Self { sender: broadcast::Sender::new(UNREAD_WAKEUPS) }
    }
}

impl Announcer {
    /// Has nothing to do before the commit.
    pub(crate) async fn within(
        &self,
        _connection: &mut SqliteConnection,
        _wakeup: Wakeup,
    ) -> sqlx::Result<()> {
        Ok(())
    }

    /// Announces a new revision, or the end of what had revisions.
    pub(crate) fn committed(&self, wakeup: Wakeup) {
        // Without a listener there is nobody to tell.
        let _ = self.sender.send(wakeup);
    }

    /// Returns a receiver of what is announced from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Wakeup> {
        self.sender.subscribe()
    }
}
