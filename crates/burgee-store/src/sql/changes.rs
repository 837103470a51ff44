//! The change log, read.

use burgee_core::Result;
use burgee_core::change::{Change, ChangeEntry};
use burgee_core::name::{ChangeName, ProjectName};
use burgee_core::store::ChangeOrder;
use chrono::{DateTime, Utc};
use sqlx::types::Json;

use super::projects::project_id;
use super::write::not_found;
use super::{Backend, rows};
use crate::error::storage;

#[derive(sqlx::FromRow)]
struct ChangeRecord {
    revision: i64,
    created_at: DateTime<Utc>,
    actor: String,
    method: String,
    request_id: String,
    reason: String,
    entries: Json<Vec<ChangeEntry>>,
}

impl ChangeRecord {
    fn into_change(self, project: &ProjectName) -> Change {
        let Self { revision, created_at, actor, method, request_id, reason, entries } = self;
        Change {
            project: project.clone(),
            revision,
            created_at,
            actor,
            method,
            request_id,
            reason,
            entries: entries.0,
        }
    }
}

impl Backend {
    pub(crate) async fn change(&self, project: &ProjectName, revision: i64) -> Result<Change> {
        let mut tx = self.snapshot().await?;
        let id = project_id(&mut tx, project).await?;
        let record: Option<ChangeRecord> = sqlx::query_as(
            "SELECT revision, created_at, actor, method, request_id, reason, entries
            FROM changes WHERE project_id = $1 AND revision = $2",
        )
        .bind(id)
        .bind(revision)
        .fetch_optional(&mut *tx)
        .await
        .map_err(storage)?;
        match record {
            Some(record) => Ok(record.into_change(project)),
            None => Err(not_found("change", &ChangeName { project: project.clone(), revision })),
        }
    }

    pub(crate) async fn changes(
        &self,
        project: &ProjectName,
        order: ChangeOrder,
        limit: usize,
    ) -> Result<Vec<Change>> {
        let mut tx = self.snapshot().await?;
        let id = project_id(&mut tx, project).await?;
        let (query, bound) = match order {
            ChangeOrder::After(revision) => (
                "SELECT revision, created_at, actor, method, request_id, reason, entries
                FROM changes WHERE project_id = $1 AND revision > $2 ORDER BY revision LIMIT $3",
                revision,
            ),
            ChangeOrder::Before(revision) => (
                "SELECT revision, created_at, actor, method, request_id, reason, entries
                FROM changes WHERE project_id = $1 AND revision < $2 ORDER BY revision DESC LIMIT $3",
                revision,
            ),
        };
        let records: Vec<ChangeRecord> = sqlx::query_as(query)
            .bind(id)
            .bind(bound)
            .bind(rows(limit))
            .fetch_all(&mut *tx)
            .await
            .map_err(storage)?;
        Ok(records.into_iter().map(|record| record.into_change(project)).collect())
    }
}
