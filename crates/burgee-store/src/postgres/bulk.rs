//! Batches of identities in statements of PostgreSQL: `sqlite/bulk.rs` has the same functions.

use std::collections::BTreeMap;

use burgee_core::value::TraitValue;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::news;
pub(crate) use crate::rows::{IdentityKey, IdentityRow, TraitsRow};

/// Creates the identities that are not there and locks all of them, in the order given. Those whose environment is gone
/// are left out.
pub(crate) async fn create_and_lock(
    connection: &mut PgConnection,
    identities: &[IdentityKey],
) -> sqlx::Result<()> {
    // An update that is never carried out still locks the row. An environment that is deleted at this very moment fails
    // the statement by its foreign key; then the whole transaction is tried again.
    sqlx::query(
        "INSERT INTO identities (environment_id, identity_hash, identifier, created_at)
        SELECT environment_id, identity_hash, identifier, created_at
        FROM unnest($1::bigint[], $2::bytea[], $3::text[], $4::timestamptz[])
            AS given (environment_id, identity_hash, identifier, created_at)
        WHERE environment_id IN (SELECT id FROM environments WHERE id = ANY ($1))
        ORDER BY environment_id, identity_hash
        ON CONFLICT (environment_id, identity_hash) DO UPDATE SET hashing_key = excluded.hashing_key WHERE false",
    )
    .bind(identities.iter().map(|identity| identity.environment).collect::<Vec<_>>())
    .bind(identities.iter().map(|identity| identity.hash.as_slice()).collect::<Vec<_>>())
    .bind(identities.iter().map(|identity| identity.identifier.as_str()).collect::<Vec<_>>())
    .bind(identities.iter().map(|identity| identity.created_at).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Creates identities with these traits, or sets these traits of those that are there, in the order given. None may be
/// there twice. Returns those that were written: not those whose environment is gone, nor those that would have more
/// than `maximum` traits. Tells listeners.
pub(crate) async fn merge(
    connection: &mut PgConnection,
    identities: &[(&IdentityKey, &BTreeMap<&str, &TraitValue>)],
    maximum: usize,
    batch: u64,
) -> sqlx::Result<Vec<IdentityRow>> {
    let told =
        news::written(batch, identities.iter().map(|(identity, _)| (identity.environment, &*identity.hash)));
    // One statement, which is its own transaction: nothing is read before, and the row's lock is held for its commit
    // only. The notification is part of it, so that no write is ever without one.
    sqlx::query_as(
        "WITH written AS (
            INSERT INTO identities AS held (environment_id, identity_hash, identifier, created_at, traits)
            SELECT environment_id, identity_hash, identifier, created_at, traits
            FROM unnest($1::bigint[], $2::bytea[], $3::text[], $4::timestamptz[], $5::jsonb[])
                AS given (environment_id, identity_hash, identifier, created_at, traits)
            WHERE environment_id IN (SELECT id FROM environments WHERE id = ANY ($1))
            ORDER BY environment_id, identity_hash
            ON CONFLICT (environment_id, identity_hash) DO UPDATE SET traits = held.traits || excluded.traits
                WHERE (SELECT count(*) FROM jsonb_object_keys(held.traits || excluded.traits)) <= $6
            RETURNING environment_id, identity_hash, hashing_key, traits
        )
        SELECT environment_id, identity_hash, hashing_key, traits FROM written
        CROSS JOIN (SELECT count(pg_notify($7, payload)) FROM unnest($8::text[]) AS told (payload)) told",
    )
    .bind(identities.iter().map(|(identity, _)| identity.environment).collect::<Vec<_>>())
    .bind(identities.iter().map(|(identity, _)| identity.hash.as_slice()).collect::<Vec<_>>())
    .bind(identities.iter().map(|(identity, _)| identity.identifier.as_str()).collect::<Vec<_>>())
    .bind(identities.iter().map(|(identity, _)| identity.created_at).collect::<Vec<_>>())
    .bind(identities.iter().map(|(_, traits)| Json(*traits)).collect::<Vec<_>>())
    .bind(i64::try_from(maximum).unwrap_or(i64::MAX))
    .bind(news::CHANNEL)
    .bind(told)
    .fetch_all(connection)
    .await
}

/// Reads identities with their traits.
pub(crate) async fn read(
    connection: &mut PgConnection,
    identities: &[IdentityKey],
) -> sqlx::Result<Vec<IdentityRow>> {
    // `OFFSET 0` keeps the planner from joining whole tables, which it would do while it knows nothing about them.
    sqlx::query_as(
        "SELECT given.environment_id, given.identity_hash, i.hashing_key, i.traits
        FROM unnest($1::bigint[], $2::bytea[]) AS given (environment_id, identity_hash)
        CROSS JOIN LATERAL (
            SELECT hashing_key, traits FROM identities
            WHERE environment_id = given.environment_id AND identity_hash = given.identity_hash OFFSET 0
        ) i",
    )
    .bind(identities.iter().map(|identity| identity.environment).collect::<Vec<_>>())
    .bind(identities.iter().map(|identity| identity.hash.as_slice()).collect::<Vec<_>>())
    .fetch_all(connection)
    .await
}

/// Reads identities of one environment with their traits.
pub(crate) async fn read_environment(
    connection: &mut PgConnection,
    environment: i64,
    hashes: &[Vec<u8>],
) -> sqlx::Result<Vec<IdentityRow>> {
    // The partition is known before the statement runs.
    sqlx::query_as(
        "SELECT $1 AS environment_id, given.identity_hash, i.hashing_key, i.traits
        FROM unnest($2::bytea[]) AS given (identity_hash)
        CROSS JOIN LATERAL (
            SELECT hashing_key, traits FROM identities
            WHERE environment_id = $1 AND identity_hash = given.identity_hash OFFSET 0
        ) i",
    )
    .bind(environment)
    .bind(hashes)
    .fetch_all(connection)
    .await
}

/// Gives identities their traits.
pub(crate) async fn set_traits(connection: &mut PgConnection, identities: &[TraitsRow]) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE identities SET traits = given.traits
        FROM unnest($1::bigint[], $2::bytea[], $3::jsonb[]) AS given (environment_id, identity_hash, traits)
        WHERE identities.environment_id = given.environment_id AND identities.identity_hash = given.identity_hash",
    )
    .bind(identities.iter().map(|identity| identity.environment).collect::<Vec<_>>())
    .bind(identities.iter().map(|identity| identity.hash.as_slice()).collect::<Vec<_>>())
    .bind(identities.iter().map(|identity| Json(&identity.traits)).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}
