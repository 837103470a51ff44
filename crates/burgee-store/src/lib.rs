//! Burgee's storage: PostgreSQL and SQLite behind the traits of [`burgee_core::store`].
//!
//! The SQL is written once, in `sql/`, and compiled twice: inside `postgres` and inside `sqlite`, whose `dialect`
//! files define the few words that differ. Both run one conformance suite.
//!
//! # What a write promises
//!
//! Every write is one transaction: it is there as a whole or not at all, and an answered write is durable. If the
//! connection is lost while the transaction commits, nobody can know whether it did; the answer is
//! [`Error::Unavailable`](burgee_core::Error::Unavailable), and repeating the request is safe if it has a request id.
//! Times are kept in microseconds.

mod error;
mod hash;
pub mod options;
mod postgres;
mod retry;
mod rows;
mod sqlite;
mod store;

pub use error::OpenError;
pub use options::StoreOptions;
pub use store::Store;
