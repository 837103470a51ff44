//! Writes of identities by evaluation.

use std::collections::{BTreeMap, HashMap};

use burgee_core::limits::Limits;
use burgee_core::store::{IdentityWrite, StoredIdentity};
use burgee_core::value::TraitValue;
use burgee_core::{Error, Result};

use super::bulk::{self, IdentityKey};
use super::sql::Backend;
use super::sql::identify::{Key, gather, identity_key, is_too_large, keys};
use crate::error::storage;
use crate::retry::retrying;

impl Backend {
    /// Writes most identities by one statement, which merges their traits in the database. What it does not do, because
    /// traits are removed, an identity is there twice or a limit is near, is done step by step.
    pub(crate) async fn identify(
        &self,
        writes: &[IdentityWrite],
        batch: u64,
    ) -> Result<Vec<Result<StoredIdentity>>> {
        let keys = keys(writes);
        let mut written = self.merge(&keys, writes, batch).await?;
        let mut outcomes: Vec<Option<Result<StoredIdentity>>> =
            keys.iter().map(|key| Some(Ok(written.remove(key)?))).collect();
        let left = || (0..).zip(&outcomes).filter(|(_, outcome)| outcome.is_none()).map(|(index, _)| index);
        let left: Vec<usize> = left().collect();
        if !left.is_empty() {
            let others: Vec<_> = left.iter().filter_map(|index| writes.get(*index)).cloned().collect();
            let others = self.identify_in_order(&others, batch).await?;
            for (index, outcome) in left.into_iter().zip(others) {
                outcomes[index] = Some(outcome);
            }
        }
        let missing = || Err(Error::Storage("a write of an identity has no outcome".into()));
        Ok(outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(missing)).collect())
    }

    async fn merge(
        &self,
        keys: &[Key],
        writes: &[IdentityWrite],
        batch: u64,
    ) -> Result<HashMap<Key, StoredIdentity>> {
        let simple = simple(keys, writes, &self.limits);
        let identities: Vec<_> = simple.iter().map(|(identity, traits)| (identity, traits)).collect();
        if identities.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = retrying(|| async {
            let mut connection = self.identities.acquire().await.map_err(storage)?;
            bulk::merge(&mut connection, &identities, self.limits.traits_per_identity, batch)
                .await
                .map_err(storage)
        });
        Ok(gather(rows.await?).into_iter().map(|(key, held)| (key, held.into())).collect())
    }
}

/// Returns the writes that only set traits of an identity that is there once, in the order of keys, which every writer
/// keeps, so that no two wait for each other.
fn simple<'a>(
    keys: &[Key],
    writes: &'a [IdentityWrite],
    limits: &Limits,
) -> Vec<(IdentityKey, BTreeMap<&'a str, &'a TraitValue>)> {
    let mut times: HashMap<&Key, usize> = HashMap::new();
    for key in keys {
        *times.entry(key).or_default() += 1;
    }
    let simple = keys.iter().zip(writes).filter(|(key, write)| {
        times.get(key) == Some(&1) && write.changes.remove.is_empty() && !is_too_large(&write.changes, limits)
    });
    let sorted: BTreeMap<_, _> = simple.collect();
    let row = |(key, write): (&Key, &'a IdentityWrite)| {
        let traits = write.changes.set.iter().map(|changed| (changed.key.as_str(), &changed.value));
        (identity_key(key, write), traits.collect())
    };
    sorted.into_iter().map(row).collect()
}
