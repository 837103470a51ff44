//! What the evaluation service reads, apart from whole environments.

use std::collections::BTreeSet;

use burgee_core::Result;
use burgee_core::access::SecretHash;
use burgee_core::store::{EnvironmentRef, ProjectRef};
use sqlx::types::Json;

use super::super::dialect::list;
use super::{Backend, rows};
use crate::error::storage;

/// Changes that are looked at one by one; after more, everything counts as touched.
const CHANGES_READ: usize = 10_000;

impl Backend {
    pub(crate) async fn environment_of_key(&self, hash: &SecretHash) -> Result<Option<EnvironmentRef>> {
        let environment: Option<i64> = sqlx::query_scalar(
            "SELECT environment_id FROM environment_keys WHERE hash = $1 AND revoked_at IS NULL
            UNION ALL
            SELECT k.environment_id FROM environment_key_secrets s JOIN environment_keys k ON k.id = s.key_id
            WHERE s.hash = $1 AND k.revoked_at IS NULL",
        )
        .bind(hash.as_bytes())
        .fetch_optional(&self.feed)
        .await
        .map_err(storage)?;
        Ok(environment.map(EnvironmentRef))
    }

    pub(crate) async fn revisions(&self, projects: &[ProjectRef]) -> Result<Vec<(ProjectRef, i64)>> {
        let ids: Vec<i64> = projects.iter().map(|project| project.0).collect();
        let revisions: Vec<(i64, i64)> = sqlx::query_as(concat!(
            "SELECT id, revision FROM projects WHERE id IN ",
            integers!("$1"),
            " ORDER BY id"
        ))
        .bind(list(ids))
        .fetch_all(&self.feed)
        .await
        .map_err(storage)?;
        Ok(revisions.into_iter().map(|(project, revision)| (ProjectRef(project), revision)).collect())
    }

    pub(crate) async fn touched(
        &self,
        project: ProjectRef,
        after: i64,
        through: i64,
        environments: &[EnvironmentRef],
    ) -> Result<Vec<EnvironmentRef>> {
        let changes: Vec<Option<Json<BTreeSet<i64>>>> = sqlx::query_scalar(
            "SELECT touched FROM changes WHERE project_id = $1 AND revision > $2 AND revision <= $3
            ORDER BY revision LIMIT $4",
        )
        .bind(project.0)
        .bind(after)
        .bind(through)
        .bind(rows(CHANGES_READ))
        .fetch_all(&self.feed)
        .await
        .map_err(storage)?;
        // Whatever is not known to be untouched counts as touched.
        let complete =
            i64::try_from(changes.len()).is_ok_and(|read| read == through.saturating_sub(after).max(0));
        let touched: Option<BTreeSet<i64>> =
            changes.into_iter().try_fold(BTreeSet::new(), |mut all, change| {
                all.extend(change?.0);
                Some(all)
            });
        Ok(match touched {
            Some(touched) if complete => {
                environments.iter().copied().filter(|environment| touched.contains(&environment.0)).collect()
            }
            _ => environments.to_vec(),
        })
    }
}
