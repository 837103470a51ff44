//! What PostgreSQL itself does: what Burgee is compared with where a server that does nothing is no measure.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use burgee_bench::profile;
use serde_json::json;
use sqlx::Connection as _;
use sqlx::postgres::{PgConnection, PgListener};
use sqlx::types::Json;

/// Rows of a batch: as many as there are callers of Identify in what it is compared with.
pub(crate) const BATCH: usize = 64;
/// Identities whose traits are replaced again and again.
const IDENTITIES: usize = 1_000;

/// Measures transactions that update a row and notify, from their first statement to the listener; the first `warm_up`
/// do not count.
///
/// # Errors
/// The database fails.
pub(crate) async fn notifications(
    database: &str,
    warm_up: usize,
    count: usize,
) -> anyhow::Result<Vec<Duration>> {
    let mut connection = PgConnection::connect(database).await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS bench_counter (id int PRIMARY KEY, n bigint NOT NULL)")
        .execute(&mut connection)
        .await?;
    sqlx::query("INSERT INTO bench_counter VALUES (1, 0) ON CONFLICT DO NOTHING")
        .execute(&mut connection)
        .await?;
    let mut listener = PgListener::connect(database).await?;
    listener.listen("bench_changes").await?;
    let mut times = Vec::with_capacity(count);
    for number in 0..warm_up + count {
        let called = Instant::now();
        let write = async {
            let mut tx = connection.begin().await?;
            sqlx::query("UPDATE bench_counter SET n = n + 1 WHERE id = 1").execute(&mut *tx).await?;
            sqlx::query("SELECT pg_notify('bench_changes', '1')").execute(&mut *tx).await?;
            tx.commit().await
        };
        let hear = async {
            listener.recv().await?;
            Ok::<_, sqlx::Error>(Instant::now())
        };
        let ((), heard) = tokio::try_join!(write, hear).context("a notification failed")?;
        if number >= warm_up {
            times.push(heard - called);
        }
    }
    Ok(times)
}

/// Measures how many rows a second one connection upserts into a table as that of identities, in batches of [`BATCH`], each a
/// prepared statement and a transaction of its own: it merges a trait into the five of each row.
///
/// # Errors
/// The database fails.
pub(crate) async fn upserted_rows_per_second(database: &str, duration: Duration) -> anyhow::Result<f64> {
    let mut connection = PgConnection::connect(database).await?;
    sqlx::query(
        "CREATE TABLE IF NOT EXISTS bench_identities (
            environment_id bigint, identity_hash bytea, traits jsonb NOT NULL,
            PRIMARY KEY (environment_id, identity_hash)
        )",
    )
    .execute(&mut connection)
    .await?;
    for batch in 0..IDENTITIES.div_ceil(BATCH) {
        upsert(&mut connection, batch, |number| {
            profile::traits(number).into_iter().map(|(key, value)| (key, value.to_text())).collect()
        })
        .await?;
    }
    let started = Instant::now();
    let mut batches = 0;
    while started.elapsed() < duration {
        upsert(&mut connection, batches, |number| json!({ "session": number.to_string() })).await?;
        batches += 1;
    }
    Ok((batches * BATCH) as f64 / started.elapsed().as_secs_f64())
}

async fn upsert(
    connection: &mut PgConnection,
    batch: usize,
    traits: impl Fn(usize) -> serde_json::Value,
) -> sqlx::Result<()> {
    let hash = |number: usize| {
        // As long as a SHA-256, and like one in no order.
        let scattered = ((number % IDENTITIES) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        scattered.to_be_bytes().repeat(4)
    };
    let identities = batch * BATCH..(batch + 1) * BATCH;
    let hashes: Vec<_> = identities.clone().map(hash).collect();
    let traits: Vec<_> = identities.map(|number| Json(traits(number))).collect();
    sqlx::query(
        "INSERT INTO bench_identities (environment_id, identity_hash, traits)
        SELECT 1, given.identity_hash, given.traits FROM unnest($1::bytea[], $2::jsonb[]) AS given (identity_hash, traits)
        ON CONFLICT (environment_id, identity_hash)
            DO UPDATE SET traits = bench_identities.traits || excluded.traits",
    )
    .bind(hashes)
    .bind(traits)
    .execute(connection)
    .await?;
    Ok(())
}

/// Returns the database's version.
///
/// # Errors
/// The database fails.
pub(crate) async fn version(database: &str) -> anyhow::Result<String> {
    let mut connection = PgConnection::connect(database).await?;
    let version: String = sqlx::query_scalar("SHOW server_version").fetch_one(&mut connection).await?;
    Ok(version.split(' ').next().unwrap_or_default().to_owned())
}
