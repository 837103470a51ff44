//! The words that PostgreSQL and SQLite spell differently: `sqlite/dialect.rs` has the same names.

use burgee_core::store::Wakeup;
use sqlx::types::Json;
use sqlx::{PgConnection, Postgres};

use super::news;

/// The database.
pub(crate) type Db = Postgres;

/// Begins a transaction that writes. Every statement sees what was committed before it, so also what was committed
/// while the first one waited for a lock.
pub(crate) const BEGIN_WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
/// Begins a transaction that reads everything as of one moment.
pub(crate) const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";

/// The channel of notifications; a message is the number of a project, or [`LOG`] and the number of another log.
pub(crate) const CHANNEL: &str = "burgee_changes";
/// How the message of a write outside of projects begins.
pub(crate) const LOG: &str = "log:";

/// A subquery: the integers of a parameter bound by [`list`].
macro_rules! integers {
    ($list:literal) => {
        concat!("(SELECT item::bigint FROM jsonb_array_elements_text(", $list, ") AS list (item))")
    };
}

/// A subquery: the texts of a parameter bound by [`list`].
macro_rules! texts {
    ($list:literal) => {
        concat!("(SELECT item FROM jsonb_array_elements_text(", $list, ") AS list (item))")
    };
}

/// A table of the integers (`item`) of a parameter bound by [`list`], with their positions from 0 (`position`).
macro_rules! numbered {
    ($list:literal) => {
        concat!(
            "(SELECT item::bigint AS item, number - 1 AS position FROM jsonb_array_elements_text(",
            $list,
            ") WITH ORDINALITY AS list (item, number))"
        )
    };
}

/// The condition that a text contains another, byte by byte.
macro_rules! contains {
    ($text:literal, $part:literal) => {
        concat!("strpos(", $text, ", ", $part, ") > 0")
    };
}

/// Locks the rows that were selected.
macro_rules! for_update {
    () => {
        " FOR UPDATE"
    };
}

/// Locks the rows that were selected and leaves out those that are locked.
macro_rules! for_update_skip_locked {
    () => {
        " FOR UPDATE SKIP LOCKED"
    };
}

/// An aggregate: a JSON array of the arrays of two columns.
macro_rules! pairs {
    ($first:literal, $second:literal) => {
        concat!("coalesce(jsonb_agg(jsonb_build_array(", $first, ", ", $second, ")), '[]')")
    };
}

/// Binds a list for `integers!`, `texts!` or `numbered!`.
pub(crate) fn list<T>(items: T) -> Json<T> {
    Json(items)
}

/// Makes others wait who would create a first user.
pub(crate) async fn lock_users(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE").execute(connection).await?;
    Ok(())
}

/// Tells of identities that are written, given by environment and hash, when the transaction commits.
pub(crate) async fn tell_written(
    connection: &mut PgConnection,
    batch: u64,
    identities: &[(i64, &[u8])],
) -> sqlx::Result<()> {
    news::tell(connection, &news::written(batch, identities.iter().copied())).await
}

/// Tells of environments that are deleted with all their identities, when the transaction commits.
pub(crate) async fn tell_gone(connection: &mut PgConnection, environments: &[i64]) -> sqlx::Result<()> {
    news::tell(connection, &environments.iter().copied().map(news::gone).collect::<Vec<_>>()).await
}

/// Announces a write when its transaction commits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Announcer;

impl Announcer {
    /// Announces a new revision, or the end of what had revisions, at the commit.
    pub(crate) async fn within(&self, connection: &mut PgConnection, wakeup: Wakeup) -> sqlx::Result<()> {
        let message = match wakeup {
            Wakeup::Project(project) => project.0.to_string(),
            Wakeup::Account(log) => format!("{LOG}{}", log.0),
            Wakeup::Unknown => String::new(),
        };
        sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(message).execute(connection).await?;
        Ok(())
    }

    /// Has nothing left to do: the database told everybody when it committed.
    pub(crate) fn committed(&self, _wakeup: Wakeup) {}
}
