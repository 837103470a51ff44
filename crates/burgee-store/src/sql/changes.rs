//! The change logs, read.

use burgee_core::Result;
use burgee_core::change::{Change, ChangeEntry};
use burgee_core::limits::CHANGES_READ_BYTES;
use burgee_core::name::{ChangeName, LogName};
use burgee_core::store::{ChangeOrder, LogRef, LogState, ProjectRef, Wakeup};
use chrono::{DateTime, Utc};
use sqlx::types::Json;

use super::organisations::organisation_id;
use super::projects::project_id;
use super::write::not_found;
use super::{Backend, Connection, rows};
use crate::error::storage;

/// The columns of a change, from the table and with the number of a log that its condition asks for.
macro_rules! changes_where {
    ($table:literal, $condition:literal) => {
        concat!(
            "SELECT revision, created_at, actor, credential, on_behalf_of, address, method, request_id, reason, entries
            FROM ",
            $table,
            " WHERE ",
            $condition
        )
    };
}

/// A part of a log: the changes behind a revision in an order, up to a number of them ($3) and of bytes ($4), of which the first may
/// have more. Which they are is found out by their sizes alone.
macro_rules! part {
    ($table:literal, $log:literal, $behind:literal, $order:literal) => {
        concat!(
            "SELECT revision, created_at, actor, credential, on_behalf_of, address, method, request_id, reason, entries
            FROM ", $table, "
            WHERE ", $log, " = $1 AND revision IN (
                SELECT revision FROM (
                    SELECT revision, bytes, sum(bytes) OVER (ORDER BY revision ", $order, ") AS total
                    FROM (
                        SELECT revision, bytes FROM ", $table, "
                        WHERE ", $log, " = $1 AND revision ", $behind, " $2 ORDER BY revision ", $order, " LIMIT $3
                    ) AS next
                ) AS measured
                WHERE total <= $4 OR total = bytes
            )
            ORDER BY revision ", $order
        )
    };
}

#[derive(sqlx::FromRow)]
struct ChangeRecord {
    revision: i64,
    created_at: DateTime<Utc>,
    actor: String,
    credential: String,
    on_behalf_of: String,
    address: String,
    method: String,
    request_id: String,
    reason: String,
    entries: Json<Vec<ChangeEntry>>,
}

impl ChangeRecord {
    fn into_change(self, log: &LogName) -> Change {
        let Self { revision, created_at, actor, credential, on_behalf_of, address, .. } = self;
        Change {
            log: log.clone(),
            revision,
            created_at,
            actor,
            credential,
            on_behalf_of,
            address,
            method: self.method,
            request_id: self.request_id,
            reason: self.reason,
            entries: self.entries.0,
        }
    }
}

/// The number of a log: projects keep theirs in tables of their own.
#[derive(Clone, Copy)]
enum Number {
    Project(i64),
    Log(i64),
}

async fn number(connection: &mut Connection, log: &LogName) -> Result<Number> {
    let query = match log {
        LogName::Project(project) => return Ok(Number::Project(project_id(connection, project).await?)),
        LogName::Organisation(organisation) => {
            let id = organisation_id(connection, organisation).await?;
            sqlx::query_scalar("SELECT id FROM logs WHERE organisation_id = $1").bind(id)
        }
        LogName::Server => sqlx::query_scalar("SELECT id FROM logs WHERE organisation_id IS NULL"),
    };
    Ok(Number::Log(query.fetch_one(connection).await.map_err(storage)?))
}

impl Backend {
    pub(crate) async fn log(&self, log: &LogName) -> Result<LogState> {
        let mut tx = self.snapshot().await?;
        let number = number(&mut tx, log).await?;
        let (query, id) = match number {
            Number::Project(id) => (
                "SELECT p.revision, p.created_at, (SELECT min(c.revision) FROM changes c WHERE c.project_id = p.id)
                FROM projects p WHERE p.id = $1",
                id,
            ),
            Number::Log(id) => (
                "SELECT l.revision, l.created_at, (SELECT min(c.revision) FROM log_changes c WHERE c.log_id = l.id)
                FROM logs l WHERE l.id = $1",
                id,
            ),
        };
        let (newest, created_at, oldest): (i64, DateTime<Utc>, Option<i64>) =
            sqlx::query_as(query).bind(id).fetch_one(&mut *tx).await.map_err(storage)?;
        let wakeup = match number {
            Number::Project(id) => Wakeup::Project(ProjectRef(id)),
            Number::Log(id) => Wakeup::Account(LogRef(id)),
        };
        Ok(LogState { oldest: oldest.unwrap_or(newest + 1), newest, created_at, wakeup })
    }

    pub(crate) async fn change(&self, log: &LogName, revision: i64) -> Result<Change> {
        let mut tx = self.snapshot().await?;
        let (query, id) = match number(&mut tx, log).await? {
            Number::Project(id) => (changes_where!("changes", "project_id = $1 AND revision = $2"), id),
            Number::Log(id) => (changes_where!("log_changes", "log_id = $1 AND revision = $2"), id),
        };
        let record: Option<ChangeRecord> =
            sqlx::query_as(query).bind(id).bind(revision).fetch_optional(&mut *tx).await.map_err(storage)?;
        match record {
            Some(record) => Ok(record.into_change(log)),
            None => Err(not_found("change", &ChangeName { log: log.clone(), revision })),
        }
    }

    pub(crate) async fn changes(
        &self,
        log: &LogName,
        order: ChangeOrder,
        limit: usize,
    ) -> Result<Vec<Change>> {
        let mut tx = self.snapshot().await?;
        let (query, id) = match (number(&mut tx, log).await?, order) {
            (Number::Project(id), ChangeOrder::After(_)) => (part!("changes", "project_id", ">", ""), id),
            (Number::Project(id), ChangeOrder::Before(_)) => {
                (part!("changes", "project_id", "<", "DESC"), id)
            }
            (Number::Log(id), ChangeOrder::After(_)) => (part!("log_changes", "log_id", ">", ""), id),
            (Number::Log(id), ChangeOrder::Before(_)) => (part!("log_changes", "log_id", "<", "DESC"), id),
        };
        let (ChangeOrder::After(bound) | ChangeOrder::Before(bound)) = order;
        let records: Vec<ChangeRecord> = sqlx::query_as(query)
            .bind(id)
            .bind(bound)
            .bind(rows(limit))
            .bind(rows(CHANGES_READ_BYTES))
            .fetch_all(&mut *tx)
            .await
            .map_err(storage)?;
        Ok(records.into_iter().map(|record| record.into_change(log)).collect())
    }
}
