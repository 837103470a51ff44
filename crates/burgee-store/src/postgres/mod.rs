//! PostgreSQL.

#[macro_use]
mod dialect;
mod bulk;
mod identify;
mod news;
mod open;
#[path = "../sql/mod.rs"]
mod sql;
mod wakeups;

pub(crate) use open::open;
pub(crate) use sql::Backend;
