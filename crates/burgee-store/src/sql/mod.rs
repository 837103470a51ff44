//! The transactions, in SQL that both databases understand. This folder is compiled once for each of them; `super` is
//! the database.

use burgee_core::Result;
use burgee_core::limits::Limits;
use sqlx::{Pool, Transaction};

use super::dialect::{Announcer, BEGIN_READ, BEGIN_WRITE, Db};
use crate::error::storage;

mod acceptances;
mod account_replays;
mod account_write;
mod accounts;
mod apply;
mod changes;
mod credentials;
mod entries;
mod environment_reads;
mod environments;
mod feature_reads;
mod features;
mod feed;
mod flag_reads;
mod flags;
mod grants;
mod group_members;
mod groups;
pub(crate) mod identify;
mod identities;
mod identity_overrides;
mod invitations;
mod keys;
mod load;
mod members;
mod new_grants;
mod organisations;
mod projects;
mod requests;
mod rights;
mod roles;
mod schema;
mod segment_overrides;
mod segments;
mod sign_in;
mod state;
mod tokens;
mod trim;
mod trust;
mod users;
mod variants;
mod write;

/// A connection to the database.
pub(crate) type Connection = <Db as sqlx::Database>::Connection;

/// A database.
pub(crate) struct Backend {
    /// For the reads of the management service.
    pub(crate) reads: Pool<Db>,
    /// For the reads of the evaluation service.
    pub(crate) feed: Pool<Db>,
    /// For writes of configuration.
    pub(crate) writes: Pool<Db>,
    /// For writes of identities.
    pub(crate) identities: Pool<Db>,
    /// How to connect outside of the pools.
    pub(crate) connect: <Connection as sqlx::Connection>::Options,
    /// The limits of what is stored.
    pub(crate) limits: Limits,
    /// Tells listeners of writes.
    pub(crate) announcer: Announcer,
}

impl Backend {
    /// Closes all connections, after what they are doing.
    pub(crate) async fn close(&self) {
        for pool in [&self.reads, &self.feed, &self.writes, &self.identities] {
            pool.close().await;
        }
    }

    /// Begins a transaction that sees everything as of one moment.
    async fn snapshot(&self) -> Result<Transaction<'static, Db>> {
        self.reads.begin_with(BEGIN_READ).await.map_err(storage)
    }

    /// Begins a transaction that writes configuration.
    async fn begin(&self) -> Result<Transaction<'static, Db>> {
        self.writes.begin_with(BEGIN_WRITE).await.map_err(storage)
    }
}

/// Returns a page's size as SQL takes it.
fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
