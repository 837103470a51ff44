//! Batches of identities in statements of PostgreSQL: `sqlite/bulk.rs` has the same functions.

use sqlx::PgConnection;
use sqlx::types::Json;

pub(crate) use crate::rows::{IdentityKey, IdentityRow, TraitRow};

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

/// Reads identities with their traits.
pub(crate) async fn read(
    connection: &mut PgConnection,
    identities: &[IdentityKey],
) -> sqlx::Result<Vec<IdentityRow>> {
    // `OFFSET 0` keeps the planner from joining whole tables, which it would do while it knows nothing about them.
    sqlx::query_as(
        "SELECT given.environment_id, given.identity_hash, i.hashing_key, t.key, t.value
        FROM unnest($1::bigint[], $2::bytea[]) AS given (environment_id, identity_hash)
        CROSS JOIN LATERAL (
            SELECT hashing_key FROM identities
            WHERE environment_id = given.environment_id AND identity_hash = given.identity_hash OFFSET 0
        ) i
        LEFT JOIN LATERAL (
            SELECT key, value FROM traits
            WHERE environment_id = given.environment_id AND identity_hash = given.identity_hash OFFSET 0
        ) t ON true",
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
        "SELECT $1 AS environment_id, given.identity_hash, i.hashing_key, t.key, t.value
        FROM unnest($2::bytea[]) AS given (identity_hash)
        CROSS JOIN LATERAL (
            SELECT hashing_key FROM identities
            WHERE environment_id = $1 AND identity_hash = given.identity_hash OFFSET 0
        ) i
        LEFT JOIN LATERAL (
            SELECT key, value FROM traits
            WHERE environment_id = $1 AND identity_hash = given.identity_hash OFFSET 0
        ) t ON true",
    )
    .bind(environment)
    .bind(hashes)
    .fetch_all(connection)
    .await
}

/// Removes traits.
pub(crate) async fn remove_traits(connection: &mut PgConnection, traits: &[TraitRow]) -> sqlx::Result<()> {
    sqlx::query(
        "DELETE FROM traits USING unnest($1::bigint[], $2::bytea[], $3::text[])
            AS given (environment_id, identity_hash, key)
        WHERE traits.environment_id = given.environment_id AND traits.identity_hash = given.identity_hash
            AND traits.key = given.key",
    )
    .bind(traits.iter().map(|row| row.environment).collect::<Vec<_>>())
    .bind(traits.iter().map(|row| row.hash.as_slice()).collect::<Vec<_>>())
    .bind(traits.iter().map(|row| row.key.as_str()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Adds or replaces traits.
pub(crate) async fn set_traits(connection: &mut PgConnection, traits: &[TraitRow]) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO traits (environment_id, identity_hash, key, value)
        SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::text[], $4::jsonb[])
        ON CONFLICT (environment_id, identity_hash, key) DO UPDATE SET value = excluded.value",
    )
    .bind(traits.iter().map(|row| row.environment).collect::<Vec<_>>())
    .bind(traits.iter().map(|row| row.hash.as_slice()).collect::<Vec<_>>())
    .bind(traits.iter().map(|row| row.key.as_str()).collect::<Vec<_>>())
    .bind(traits.iter().map(|row| Json(&row.value)).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}
