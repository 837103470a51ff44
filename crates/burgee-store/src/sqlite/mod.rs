//! SQLite.

#[macro_use]
mod dialect;
mod bulk;
mod identify;
mod open;
#[path = "../sql/mod.rs"]
#[allow(clippy::duplicate_mod, reason = "one SQL text for both databases")]
mod sql;
mod wakeups;

pub(crate) use open::open;
pub(crate) use sql::Backend;
