//! Identities, as the evaluation service reads and writes them: in batches.

use std::collections::{BTreeMap, BTreeSet};

use burgee_core::identity::TraitChanges;
use burgee_core::limits::Limits;
use burgee_core::name::Identifier;
use burgee_core::store::{EnvironmentRef, IdentityWrite, StoredIdentity};
use burgee_core::value::TraitValue;
use burgee_core::{Error, Result};
use sqlx::types::Json;

use super::super::bulk::{self, IdentityKey, IdentityRow, TraitRow};
use super::super::dialect::BEGIN_WRITE;
use super::write::microseconds;
use super::{Backend, Connection};
use crate::error::storage;
use crate::hash::identity_hash;
use crate::retry::retrying;

/// An identity while it is read and changed.
#[derive(Clone, Debug, Default, PartialEq)]
struct Held {
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

    pub(crate) async fn identify(&self, writes: &[IdentityWrite]) -> Result<Vec<Result<StoredIdentity>>> {
        retrying(|| async move {
            let mut tx = self.identities.begin_with(BEGIN_WRITE).await.map_err(storage)?;
            let outcomes = identify_in(&mut tx, &self.limits, writes).await?;
            tx.commit().await.map_err(storage)?;
            Ok(outcomes)
        })
        .await
    }
}

/// The key of an identity's rows: environment and hash.
type Key = (i64, Vec<u8>);

/// Applies the writes in their order, within a transaction.
pub(super) async fn identify_in(
    connection: &mut Connection,
    limits: &Limits,
    writes: &[IdentityWrite],
) -> Result<Vec<Result<StoredIdentity>>> {
    let keys: Vec<Key> =
        writes.iter().map(|write| (write.environment.0, identity_hash(&write.identifier))).collect();
    // In the order of keys, which every writer keeps, so that no two wait for each other.
    let mut identities: BTreeMap<&Key, IdentityKey> = BTreeMap::new();
    for (key, write) in keys.iter().zip(writes) {
        if !is_too_large(&write.changes, limits) {
            identities.entry(key).or_insert_with(|| IdentityKey {
                environment: key.0,
                hash: key.1.clone(),
                identifier: write.identifier.as_str().to_owned(),
                created_at: microseconds(write.now),
            });
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
    store(connection, &before, &after).await?;
    Ok(outcomes)
}

/// Says whether the changes pass the limit by themselves, so that not even a new identity can have them.
fn is_too_large(changes: &TraitChanges, limits: &Limits) -> bool {
    let keys: BTreeSet<&str> = changes.set.iter().map(|changed| changed.key.as_str()).collect();
    keys.len() > limits.traits_per_identity
}

fn gather(rows: Vec<IdentityRow>) -> BTreeMap<Key, Held> {
    let mut identities: BTreeMap<Key, Held> = BTreeMap::new();
    for row in rows {
        let held = identities.entry((row.environment_id, row.identity_hash)).or_default();
        held.hashing_key = row.hashing_key;
        if let (Some(key), Some(Json(value))) = (row.key, row.value) {
            held.traits.insert(key, value);
        }
    }
    identities
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
    before: &BTreeMap<Key, Held>,
    after: &BTreeMap<Key, Held>,
) -> Result<()> {
    let (mut removed, mut set) = (Vec::new(), Vec::new());
    for ((key, former), held) in before.iter().zip(after.values()) {
        let (environment, hash) = key;
        let row = |key: &String, value: Option<&TraitValue>| TraitRow {
            environment: *environment,
            hash: hash.clone(),
            key: key.clone(),
            value: value.cloned(),
        };
        let gone = former.traits.keys().filter(|key| !held.traits.contains_key(*key));
        removed.extend(gone.map(|key| row(key, None)));
        let changed = held.traits.iter().filter(|(key, value)| former.traits.get(*key) != Some(*value));
        set.extend(changed.map(|(key, value)| row(key, Some(value))));
    }
    if !removed.is_empty() {
        bulk::remove_traits(connection, &removed).await.map_err(storage)?;
    }
    if !set.is_empty() {
        bulk::set_traits(connection, &set).await.map_err(storage)?;
    }
    Ok(())
}
