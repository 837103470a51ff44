//! What the store promises, on both databases.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

#[macro_use]
mod world;

mod account_writes;
mod accounts;
mod changes;
mod clones;
mod company;
mod concurrency;
mod environments;
mod features;
mod feed;
mod flags;
mod identities;
mod identity_overrides;
mod joining;
mod keys;
mod limits;
mod load;
mod logs;
mod made;
mod outages;
mod permissions;
mod projects;
mod requests;
mod schema;
mod segments;
mod since;
mod touched;
mod variants;
