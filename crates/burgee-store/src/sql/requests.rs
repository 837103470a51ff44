//! Request ids: the same request twice is one write.

use burgee_core::change::WriteContext;
use burgee_core::{Error, Result};
use chrono::TimeDelta;

use super::Connection;
use crate::error::storage;

/// How long a request id is remembered.
const REMEMBERED: TimeDelta = TimeDelta::hours(24);
/// Forgotten requests that one write removes.
const REMOVED_AT_ONCE: i64 = 100;

/// Returns the scope of request ids of writes in a project.
pub(super) fn project_scope(project: i64) -> String {
    format!("projects/{project}")
}

/// Returns the scope of request ids of writes outside of projects.
pub(super) fn log_scope(log: i64) -> String {
    format!("logs/{log}")
}

/// What a request id says about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// It is to be carried out.
    New,
    /// It was carried out, as this revision.
    Replayed(i64),
}

/// Takes the request id for this request, unless it was taken before. Whoever claims the same id at the same time waits
/// for the end of this transaction.
pub(super) async fn claim(
    connection: &mut Connection,
    context: &WriteContext,
    scope: &str,
    revision: i64,
) -> Result<Claim> {
    let Some(request_id) = &context.request_id else { return Ok(Claim::New) };
    let forgotten = context.now - REMEMBERED;
    let claimed = sqlx::query(
        "INSERT INTO requests (scope, request_id, digest, revision, created_at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (scope, request_id) DO UPDATE
        SET digest = excluded.digest, revision = excluded.revision, created_at = excluded.created_at
        WHERE requests.created_at < $6",
    )
    .bind(scope)
    .bind(request_id)
    .bind(&context.request_digest[..])
    .bind(revision)
    .bind(context.now)
    .bind(forgotten)
    .execute(&mut *connection)
    .await
    .map_err(storage)?;
    if claimed.rows_affected() == 1 {
        sqlx::query(concat!(
            "DELETE FROM requests WHERE scope = $1 AND request_id IN (
                SELECT request_id FROM requests WHERE scope = $1 AND created_at < $2 ORDER BY created_at LIMIT $3",
            for_update_skip_locked!(),
            ")",
        ))
        .bind(scope)
        .bind(forgotten)
        .bind(REMOVED_AT_ONCE)
        .execute(connection)
        .await
        .map_err(storage)?;
        return Ok(Claim::New);
    }
    let (digest, revision): (Vec<u8>, i64) =
        sqlx::query_as("SELECT digest, revision FROM requests WHERE scope = $1 AND request_id = $2")
            .bind(scope)
            .bind(request_id)
            .fetch_one(connection)
            .await
            .map_err(storage)?;
    if digest == context.request_digest {
        Ok(Claim::Replayed(revision))
    } else {
        Err(Error::RequestIdReused { request_id: request_id.clone() })
    }
}
