//! Flags, written.

use burgee_core::Result;
use burgee_core::feature::Feature;
use burgee_core::flag::{Flag, FlagState, FlagStatePatch};
use burgee_core::name::FlagName;
use sqlx::types::Json;

use super::feature_reads::find_feature;
use super::flag_reads::{FlagRow, find_flag};
use super::state::value_column;
use super::write::Write;
use crate::error::storage;

impl Write<'_> {
    /// Finds a flag that is about to be changed, and its feature.
    pub(super) async fn flag_to_change(
        &mut self,
        name: &FlagName,
        etag: Option<&str>,
    ) -> Result<(FlagRow, Feature)> {
        let row = find_flag(&mut self.tx, name).await?;
        self.check_etag(name, etag, &row.flag.etag)?;
        let feature = self.feature_name(&name.feature);
        let feature = find_feature(&mut self.tx, self.project, &feature).await?;
        Ok((row, feature.resource))
    }

    /// Changes what an environment serves.
    pub(super) async fn update_flag(
        &mut self,
        name: &FlagName,
        patch: &FlagStatePatch,
        etag: Option<&str>,
    ) -> Result<Flag> {
        let (row, feature) = self.flag_to_change(name, etag).await?;
        let state = patched(&row.flag.state, patch, &feature);
        state.check(&feature)?;
        let flag = Flag { state, ..row.flag.clone() };
        self.store_flag(&row, flag).await
    }

    /// Writes a flag's own state. Its overrides have been written.
    pub(super) async fn store_flag(&mut self, row: &FlagRow, flag: Flag) -> Result<Flag> {
        let state = &flag.state;
        sqlx::query(
            "UPDATE flags
            SET enabled = $3, value = $4, weights = $5, hashing_key = $6, metadata = $7, revision = $8,
                rules_revision = $8
            WHERE environment_id = $1 AND feature_id = $2",
        )
        .bind(row.environment)
        .bind(row.feature)
        .bind(state.enabled)
        .bind(value_column(&state.value))
        .bind(Json(&state.weights))
        .bind(&state.hashing_key)
        .bind(&state.metadata)
        .bind(self.revision)
        .execute(&mut *self.tx)
        .await
        .map_err(storage)?;
        let after = Flag { etag: self.revision.to_string(), ..flag };
        self.touch(row.environment);
        self.record(&after.name, Some(&row.flag), Some(&after))?;
        Ok(after)
    }
}

fn patched(before: &FlagState, patch: &FlagStatePatch, feature: &Feature) -> FlagState {
    let FlagStatePatch { enabled, value, weights, hashing_key, metadata } = patch.clone();
    FlagState {
        enabled: enabled.unwrap_or(before.enabled),
        value: value.unwrap_or_else(|| before.value.clone()),
        weights: weights.unwrap_or_else(|| before.weights.clone()),
        hashing_key: match hashing_key {
            None => before.hashing_key.clone(),
            Some(key) => key.unwrap_or_else(|| feature.hashing_key.clone()),
        },
        metadata: metadata.unwrap_or_else(|| before.metadata.clone()),
    }
}

/// Returns the state of an override: an empty hashing key stands for the one it had, or the feature's.
pub(super) fn completed(
    state: &FlagState,
    former: Option<&FlagState>,
    feature: &Feature,
) -> Result<FlagState> {
    let mut state = state.clone();
    if state.hashing_key.is_empty() {
        state.hashing_key = former.map_or(&feature.hashing_key, |former| &former.hashing_key).clone();
    }
    state.check(feature)?;
    Ok(state)
}
