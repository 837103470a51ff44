//! Old changes are forgotten, the oldest first, so that what is kept has no gaps.

use burgee_core::Result;
use chrono::{DateTime, Utc};

use super::{Backend, rows};
use crate::error::storage;
use crate::retry::retrying;

/// The statements for one of the tables of changes.
struct Statements {
    /// The numbers of the logs that may have something to forget.
    logs: &'static str,
    /// Takes the oldest change of a log. Whoever holds it forgets the log's changes; others leave the log alone.
    take: &'static str,
    /// Forgets the oldest changes, up to the first that is not old enough. The newest stays.
    forget: &'static str,
}

macro_rules! statements {
    ($changes:literal, $log:literal, $logs:literal) => {
        Statements {
            logs: concat!(
                "SELECT l.id FROM ",
                $logs,
                " l WHERE EXISTS (
                    SELECT 1 FROM ",
                $changes,
                " c
                    WHERE c.",
                $log,
                " = l.id AND c.created_at < $1 AND c.revision < l.revision
                ) ORDER BY l.id"
            ),
            take: concat!(
                "SELECT revision FROM ",
                $changes,
                " WHERE ",
                $log,
                " = $1
                    AND revision = (SELECT min(revision) FROM ",
                $changes,
                " WHERE ",
                $log,
                " = $1)",
                for_update_skip_locked!(),
            ),
            forget: concat!(
                "DELETE FROM ",
                $changes,
                " WHERE ",
                $log,
                " = $1 AND revision IN (
                    SELECT revision FROM ",
                $changes,
                " WHERE ",
                $log,
                " = $1
                        AND revision < (SELECT max(revision) FROM ",
                $changes,
                " WHERE ",
                $log,
                " = $1)
                        AND revision < coalesce(
                            (SELECT min(revision) FROM ",
                $changes,
                " WHERE ",
                $log,
                " = $1 AND created_at >= $2),
                            (SELECT max(revision) FROM ",
                $changes,
                " WHERE ",
                $log,
                " = $1)
                        )
                    ORDER BY revision LIMIT $3
                )"
            ),
        }
    };
}

const OF_PROJECTS: Statements = statements!("changes", "project_id", "projects");
const OF_ACCOUNTS: Statements = statements!("log_changes", "log_id", "logs");

impl Backend {
    pub(crate) async fn trim_changes(&self, before: DateTime<Utc>, limit: usize) -> Result<u64> {
        let mut forgotten = 0;
        for statements in [&OF_PROJECTS, &OF_ACCOUNTS] {
            let logs: Vec<i64> = sqlx::query_scalar(statements.logs)
                .bind(before)
                .fetch_all(&self.reads)
                .await
                .map_err(storage)?;
            for log in logs {
                forgotten += retrying(|| self.trim_log(statements, log, before, limit)).await?;
            }
        }
        Ok(forgotten)
    }

    /// Forgets changes of one log, in a transaction of its own.
    async fn trim_log(
        &self,
        statements: &Statements,
        log: i64,
        before: DateTime<Utc>,
        limit: usize,
    ) -> Result<u64> {
        let mut tx = self.begin().await?;
        let taken: Option<i64> =
            sqlx::query_scalar(statements.take).bind(log).fetch_optional(&mut *tx).await.map_err(storage)?;
        if taken.is_none() {
            return Ok(0);
        }
        let forgotten = sqlx::query(statements.forget)
            .bind(log)
            .bind(before)
            .bind(rows(limit))
            .execute(&mut *tx)
            .await
            .map_err(storage)?
            .rows_affected();
        tx.commit().await.map_err(storage)?;
        Ok(forgotten)
    }
}
