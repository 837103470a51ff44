//! Identities, as the evaluation service reads and writes them: in batches.

use std::collections::{BTreeMap, BTreeSet};

use burgee_core::identity::TraitChanges;
use burgee_core::limits::Limits;
use burgee_core::name::Identifier;
use burgee_core::store::{EnvironmentRef, IdentityWrite, StoredIdentity};
use burgee_core::value::TraitValue;
use burgee_core::{Error, Result};
use sqlx::types::Json;

use super::super::bulk::{self, IdentityKey, IdentityRow, TraitsRow};
use super::super::dialect::{BEGIN_WRITE, tell_written};
use super::write::microseconds;
use super::{Backend, Connection};
use crate::error::storage;
use crate::hash::identity_hash;
use crate::retry::retrying;

/// An identity while it is read and changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Held {
    hashing_key: Option<String>,
    traits: BTreeMap<String, TraitValue>,
}

impl From<Held> for StoredIdentity {
    fn from(held: Held) -> Self {
        Self { hashing_key: held.hashing_key, traits: held.traits.into_iter().collect() }
    }
}

impl Backend {
    pub(crate) async fn stored_identities(
        &self,
        environment: EnvironmentRef,
        identifiers: &[Identifier],
    ) -> Result<Vec<Option<StoredIdentity>>> {
        let hashes: Vec<Vec<u8>> = identifiers.iter().map(identity_hash).collect();
        // The primary: a replica may lag behind an Identify that was answered.
        let mut connection = self.reads.acquire().await.map_err(storage)?;
        let rows = bulk::read_environment(&mut connection, environment.0, &hashes).await.map_err(storage)?;
        let found = gather(rows);
        let stored = |hash| found.get(&(environment.0, hash)).cloned().map(StoredIdentity::from);
        Ok(hashes.into_iter().map(stored).collect())
    }

    /// Reads, changes and writes identities in a transaction.
    pub(crate) async fn identify_in_order(
        &self,
        writes: &[IdentityWrite],
        batch: u64,
    ) -> Result<Vec<Result<StoredIdentity>>> {
        retrying(|| async move {
            let mut tx = self.identities.begin_with(BEGIN_WRITE).await.map_err(storage)?;
            let outcomes = identify_in(&mut tx, &self.limits, writes, batch).await?;
            tx.commit().await.map_err(storage)?;
            Ok(outcomes)
        })
        .await
    }
}

/// The key of an identity's row: environment and hash.
pub(crate) type Key = (i64, Vec<u8>);

/// Returns the keys of the identities that are written.
pub(crate) fn keys(writes: &[IdentityWrite]) -> Vec<Key> {
    writes.iter().map(|write| (write.environment.0, identity_hash(&write.identifier))).collect()
}

/// Returns the row of an identity that a write may create.
pub(crate) fn identity_key(key: &Key, write: &IdentityWrite) -> IdentityKey {
    IdentityKey {
        environment: key.0,
        hash: key.1.clone(),
        identifier: write.identifier.as_str().to_owned(),
        created_at: microseconds(write.now),
    }
}

/// Applies the writes in their order, within a transaction.
pub(super) async fn identify_in(
    connection: &mut Connection,
    limits: &Limits,
    writes: &[IdentityWrite],
    batch: u64,
) -> Result<Vec<Result<StoredIdentity>>> {
    let keys = keys(writes);
    // In the order of keys, which every writer keeps, so that no two wait for each other.
    let mut identities: BTreeMap<&Key, IdentityKey> = BTreeMap::new();
    for (key, write) in keys.iter().zip(writes) {
        if !is_too_large(&write.changes, limits) {
            identities.entry(key).or_insert_with(|| identity_key(key, write));
        }
    }
    let identities: Vec<IdentityKey> = identities.into_values().collect();
    bulk::create_and_lock(connection, &identities).await.map_err(storage)?;
    let before = gather(bulk::read(connection, &identities).await.map_err(storage)?);

    let mut after = before.clone();
    let mut outcomes = Vec::with_capacity(writes.len());
    for (key, write) in keys.iter().zip(writes) {
        outcomes.push(apply(after.get_mut(key), write, limits));
    }
    store(connection, before, after).await?;
    let told: Vec<(i64, &[u8])> =
        identities.iter().map(|identity| (identity.environment, &*identity.hash)).collect();
    tell_written(connection, batch, &told).await.map_err(storage)?;
    Ok(outcomes)
}

/// Says whether the changes pass the limit by themselves, so that not even a new identity can have them.
pub(crate) fn is_too_large(changes: &TraitChanges, limits: &Limits) -> bool {
    let keys: BTreeSet<&str> = changes.set.iter().map(|changed| changed.key.as_str()).collect();
    keys.len() > limits.traits_per_identity
}

/// Returns identities by their keys.
pub(crate) fn gather(rows: Vec<IdentityRow>) -> BTreeMap<Key, Held> {
    let held = |row| {
        let IdentityRow { environment_id, identity_hash, hashing_key, traits: Json(traits) } = row;
        ((environment_id, identity_hash), Held { hashing_key, traits })
    };
    rows.into_iter().map(held).collect()
}

/// Applies one write: what is removed goes first, so that a key that is also set stays.
fn apply(held: Option<&mut Held>, write: &IdentityWrite, limits: &Limits) -> Result<StoredIdentity> {
    let maximum = limits.traits_per_identity;
    let too_many = || Error::LimitExceeded { limit: "traits_per_identity", maximum: maximum as u64 };
    if is_too_large(&write.changes, limits) {
        return Err(too_many());
    }
    let held =
        held.ok_or_else(|| Error::NotFound { kind: "environment", name: write.environment.0.to_string() })?;
    let mut traits = held.traits.clone();
    for key in &write.changes.remove {
        traits.remove(key.as_str());
    }
    for changed in &write.changes.set {
        traits.insert(changed.key.to_string(), changed.value.clone());
    }
    // Whoever has more than a limit that was lowered may still change and remove.
    if traits.len() > maximum && traits.len() > held.traits.len() {
        return Err(too_many());
    }
    held.traits = traits;
    Ok(held.clone().into())
}

/// Writes what differs.
async fn store(
    connection: &mut Connection,
    before: BTreeMap<Key, Held>,
    after: BTreeMap<Key, Held>,
) -> Result<()> {
    let differ = before.into_values().zip(after).filter(|(before, (_, after))| before != after);
    let row = |(environment, hash), after: Held| TraitsRow { environment, hash, traits: after.traits };
    let rows: Vec<TraitsRow> = differ.map(|(_, (key, after))| row(key, after)).collect();
    if !rows.is_empty() {
        bulk::set_traits(connection, &rows).await.map_err(storage)?;
    }
    Ok(())
}
