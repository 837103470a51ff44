//! The version of the tables.

use super::super::open::{MIGRATED, MIGRATIONS, migrate};
use super::{Backend, Connection};
use crate::error::OpenError;

impl Backend {
    /// Returns the newest migration of the database, or 0.
    pub(crate) async fn schema_version(&self) -> Result<i64, OpenError> {
        version(&mut self.unlimited().await?).await
    }

    /// Applies the migrations that the database lacks.
    pub(crate) async fn migrate(&self) -> Result<(), OpenError> {
        let mut connection = self.unlimited().await?;
        let (found, known) = (version(&mut connection).await?, newest());
        if found > known {
            return Err(OpenError::SchemaTooNew { found, known });
        }
        // The future of a migrator cannot move between threads, so it stays on one.
        let runtime = tokio::runtime::Handle::current();
        let migrated = tokio::task::spawn_blocking(move || runtime.block_on(migrate(connection))).await;
        migrated.map_err(|error| OpenError::Database(Box::new(error)))?
    }

    /// Checks that the tables are those that this program knows.
    pub(crate) async fn check_schema(&self) -> Result<(), OpenError> {
        let (found, known) = (self.schema_version().await?, newest());
        match found.cmp(&known) {
            std::cmp::Ordering::Less => Err(OpenError::SchemaTooOld { found, needed: known }),
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(OpenError::SchemaTooNew { found, known }),
        }
    }
}

/// Returns the newest migration of this program.
fn newest() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

async fn version(connection: &mut Connection) -> Result<i64, OpenError> {
    if !sqlx::query_scalar::<_, bool>(MIGRATED).fetch_one(&mut *connection).await? {
        return Ok(0);
    }
    let version: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
        .fetch_one(connection)
        .await?;
    Ok(version.unwrap_or(0))
}
