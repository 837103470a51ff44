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
//!
//! A write of a project's configuration takes the next revision of the project; a write outside of projects, the next
//! revision of a log: the server's (organisations, users and their tokens) or an organisation's. Each is one change of
//! that log, which says who wrote, with what, on whose behalf and from where, and never holds a secret, its salt or its
//! hash. Changes outlive the data of people: of identities they keep the keys of traits, not their values.
//!
//! Rows are locked in one order: organisations (by number), projects (by number), the log of an organisation, and the
//! log of the server last. What must hold for an organisation as a whole, such as that it has an administrator, is
//! checked while its row is held.

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
