//! Segment overrides: part of their flag, in an order without gaps.

use burgee_core::flag::{Flag, FlagState, SegmentOverride};
use burgee_core::name::{FlagName, SegmentId, SegmentOverrideName};
use burgee_core::{Error, Result};
use sqlx::types::Json;

use super::super::dialect::list;
use super::flag_reads::FlagRow;
use super::flags::completed;
use super::segments::find_segment;
use super::state::value_column;
use super::write::{Write, not_found};
use crate::error::storage;

impl Write<'_> {
    /// Creates or replaces a segment override.
    pub(super) async fn set_segment_override(
        &mut self,
        name: &SegmentOverrideName,
        state: &FlagState,
        priority: Option<u32>,
        etag: Option<&str>,
    ) -> Result<Flag> {
        let (row, feature) = self.flag_to_change(&name.flag, etag).await?;
        let segment = self.segment_name(&name.segment);
        let segment = find_segment(&mut self.tx, self.project, &segment).await?;
        if segment.resource.feature.is_some_and(|feature| feature != name.flag.feature) {
            return Err(Error::Precondition {
                reason: "SEGMENT_OF_OTHER_FEATURE",
                message: format!("`{}` may only be used by its own feature", segment.resource.name),
            });
        }
        let present = row.segments.iter().position(|id| *id == segment.id);
        let former = present.map(|index| &row.flag.segment_overrides[index].state);
        let state = completed(state, former, &feature)?;
        match present {
            Some(_) => self.update_segment_override(&row, segment.id, &state).await?,
            None => self.insert_segment_override(&row, segment.id, &state).await?,
        }

        let (mut flag, mut segments) = (row.flag.clone(), row.segments.clone());
        if let Some(index) = present {
            flag.segment_overrides.remove(index);
            segments.remove(index);
        }
        let last = segments.len();
        let index = match priority {
            Some(priority) => last.min(usize::try_from(priority).unwrap_or(last)),
            None => present.unwrap_or(last),
        };
        flag.segment_overrides.insert(index, SegmentOverride { name: name.clone(), state });
        segments.insert(index, segment.id);
        // A new one was added at the end.
        let unchanged = present.unwrap_or(last) == index;
        if !unchanged {
            self.order_segment_overrides(&row, &segments).await?;
        }
        self.store_flag(&row, flag).await
    }

    async fn insert_segment_override(
        &mut self,
        row: &FlagRow,
        segment: i64,
        state: &FlagState,
    ) -> Result<()> {
        let overrides: i64 =
            sqlx::query_scalar("SELECT count(*) FROM segment_overrides WHERE environment_id = $1")
                .bind(row.environment)
                .fetch_one(&mut *self.tx)
                .await
                .map_err(storage)?;
        let maximum = self.limits.segment_overrides_per_environment;
        self.check_limit("segment_overrides_per_environment", maximum, overrides)?;
        sqlx::query(
            "INSERT INTO segment_overrides
                (project_id, environment_id, feature_id, segment_id, priority, enabled, value, weights, hashing_key,
                    metadata)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(self.project)
        .bind(row.environment)
        .bind(row.feature)
        .bind(segment)
        .bind(super::rows(row.segments.len()))
        .bind(state.enabled)
        .bind(value_column(&state.value))
        .bind(Json(&state.weights))
        .bind(&state.hashing_key)
        .bind(&state.metadata)
        .execute(&mut *self.tx)
        .await
        .map_err(storage)?;
        Ok(())
    }

    /// Writes the state of a segment override; the flag is written afterwards.
    pub(super) async fn update_segment_override(
        &mut self,
        row: &FlagRow,
        segment: i64,
        state: &FlagState,
    ) -> Result<()> {
        sqlx::query(
            "UPDATE segment_overrides SET enabled = $4, value = $5, weights = $6, hashing_key = $7, metadata = $8
            WHERE environment_id = $1 AND feature_id = $2 AND segment_id = $3",
        )
        .bind(row.environment)
        .bind(row.feature)
        .bind(segment)
        .bind(state.enabled)
        .bind(value_column(&state.value))
        .bind(Json(&state.weights))
        .bind(&state.hashing_key)
        .bind(&state.metadata)
        .execute(&mut *self.tx)
        .await
        .map_err(storage)?;
        Ok(())
    }

    /// Gives a flag's overrides the priorities 0 to n - 1 in the order of `segments`.
    async fn order_segment_overrides(&mut self, row: &FlagRow, segments: &[i64]) -> Result<()> {
        // Priorities are unique at any time, so all step aside first.
        sqlx::query(
            "UPDATE segment_overrides SET priority = -1 - priority WHERE environment_id = $1 AND feature_id = $2",
        )
        .bind(row.environment)
        .bind(row.feature)
        .execute(&mut *self.tx)
        .await
        .map_err(storage)?;
        sqlx::query(concat!(
            "UPDATE segment_overrides SET priority = place.position FROM ",
            numbered!("$3"),
            " AS place WHERE environment_id = $1 AND feature_id = $2 AND segment_id = place.item",
        ))
        .bind(row.environment)
        .bind(row.feature)
        .bind(list(segments))
        .execute(&mut *self.tx)
        .await
        .map_err(storage)?;
        Ok(())
    }

    /// Removes a segment override.
    pub(super) async fn remove_segment_override(
        &mut self,
        name: &SegmentOverrideName,
        etag: Option<&str>,
    ) -> Result<Flag> {
        let (row, _) = self.flag_to_change(&name.flag, etag).await?;
        let index = row.flag.segment_overrides.iter().position(|replacement| replacement.name == *name);
        match index {
            Some(index) => self.delete_segment_override(&row, index).await,
            None => Err(not_found("segment override", name)),
        }
    }

    /// Deletes the override at a place, and closes the gap.
    pub(super) async fn delete_segment_override(&mut self, row: &FlagRow, index: usize) -> Result<Flag> {
        sqlx::query(
            "DELETE FROM segment_overrides WHERE environment_id = $1 AND feature_id = $2 AND segment_id = $3",
        )
        .bind(row.environment)
        .bind(row.feature)
        .bind(row.segments[index])
        .execute(&mut *self.tx)
        .await
        .map_err(storage)?;
        let (mut flag, mut segments) = (row.flag.clone(), row.segments.clone());
        flag.segment_overrides.remove(index);
        segments.remove(index);
        self.order_segment_overrides(row, &segments).await?;
        self.store_flag(row, flag).await
    }

    /// Puts a flag's segment overrides in order.
    pub(super) async fn reorder_segment_overrides(
        &mut self,
        name: &FlagName,
        order: &[SegmentId],
        etag: Option<&str>,
    ) -> Result<Flag> {
        let (row, _) = self.flag_to_change(name, etag).await?;
        let mut places = Vec::with_capacity(order.len());
        for (position, segment) in order.iter().enumerate() {
            let place = row.flag.segment_overrides.iter().position(|other| other.name.segment == *segment);
            let place = place.filter(|place| !places.contains(place));
            places.push(place.ok_or_else(|| {
                let rule = format!(
                    "must name every segment that has an override, each once; `{segment}` does not fit"
                );
                Error::invalid(format!("segments[{position}]"), rule)
            })?);
        }
        if places.len() != row.segments.len() {
            let rule = format!("must name all {} segments that have an override", row.segments.len());
            return Err(Error::invalid("segments", rule));
        }
        let segments: Vec<i64> = places.iter().map(|place| row.segments[*place]).collect();
        let mut flag = row.flag.clone();
        flag.segment_overrides =
            places.iter().map(|place| row.flag.segment_overrides[*place].clone()).collect();
        self.order_segment_overrides(&row, &segments).await?;
        self.store_flag(&row, flag).await
    }
}
