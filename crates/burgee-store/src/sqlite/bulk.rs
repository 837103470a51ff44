//! Batches of identities in statements of SQLite: `postgres/bulk.rs` has the same functions.
//!
//! A batch is one parameter, a JSON array of rows; each row is an array whose second item is the hash in hexadecimal.

use chrono::SecondsFormat;
use sqlx::SqliteConnection;
use sqlx::types::Json;

pub(crate) use crate::rows::{IdentityKey, IdentityRow, TraitsRow};

/// Creates the identities that are not there. Those whose environment is gone are left out.
pub(crate) async fn create_and_lock(
    connection: &mut SqliteConnection,
    identities: &[IdentityKey],
) -> sqlx::Result<()> {
    let row = |identity: &IdentityKey| {
        let IdentityKey { environment, hash, identifier, created_at } = identity;
        // As the driver writes times.
        let created_at = created_at.to_rfc3339_opts(SecondsFormat::AutoSi, false);
        (*environment, hex::encode(hash), identifier.clone(), created_at)
    };
    sqlx::query(
        "INSERT INTO identities (environment_id, identity_hash, identifier, created_at)
        SELECT value ->> 0, unhex(value ->> 1), value ->> 2, value ->> 3 FROM json_each($1)
        WHERE value ->> 0 IN (SELECT id FROM environments)
        ON CONFLICT (environment_id, identity_hash) DO NOTHING",
    )
    .bind(Json(identities.iter().map(row).collect::<Vec<_>>()))
    .execute(connection)
    .await?;
    Ok(())
}

/// Reads identities with their traits.
pub(crate) async fn read(
    connection: &mut SqliteConnection,
    identities: &[IdentityKey],
) -> sqlx::Result<Vec<IdentityRow>> {
    // `CROSS JOIN` keeps the order of the tables: the planner would go through all identities for each of the batch.
    sqlx::query_as(
        "SELECT i.environment_id, i.identity_hash, i.hashing_key, i.traits
        FROM json_each($1) AS given
        CROSS JOIN identities i
            ON i.environment_id = given.value ->> 0 AND i.identity_hash = unhex(given.value ->> 1)",
    )
    .bind(Json(
        identities
            .iter()
            .map(|identity| (identity.environment, hex::encode(&identity.hash)))
            .collect::<Vec<_>>(),
    ))
    .fetch_all(connection)
    .await
}

/// Reads identities of one environment with their traits.
pub(crate) async fn read_environment(
    connection: &mut SqliteConnection,
    environment: i64,
    hashes: &[Vec<u8>],
) -> sqlx::Result<Vec<IdentityRow>> {
    sqlx::query_as(
        "SELECT i.environment_id, i.identity_hash, i.hashing_key, i.traits
        FROM json_each($2) AS given
        CROSS JOIN identities i ON i.environment_id = $1 AND i.identity_hash = unhex(given.value)",
    )
    .bind(environment)
    .bind(Json(hashes.iter().map(hex::encode).collect::<Vec<_>>()))
    .fetch_all(connection)
    .await
}

/// Gives identities their traits.
pub(crate) async fn set_traits(
    connection: &mut SqliteConnection,
    identities: &[TraitsRow],
) -> sqlx::Result<()> {
    let row = |identity: &TraitsRow| {
        let TraitsRow { environment, hash, traits } = identity;
        // A text within the text: SQLite would write the doubles in a JSON object again, in its own way.
        serde_json::to_string(traits).map(|traits| (*environment, hex::encode(hash), traits))
    };
    let rows = identities.iter().map(row).collect::<Result<Vec<_>, _>>();
    sqlx::query(
        "UPDATE identities SET traits = given.traits
        FROM (
            SELECT value ->> 0 AS environment_id, unhex(value ->> 1) AS identity_hash, value ->> 2 AS traits
            FROM json_each($1)
        ) AS given
        WHERE identities.environment_id = given.environment_id AND identities.identity_hash = given.identity_hash",
    )
    .bind(Json(rows.map_err(|error| sqlx::Error::Encode(Box::new(error)))?))
    .execute(connection)
    .await?;
    Ok(())
}
