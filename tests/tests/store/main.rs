//! What the store promises, on both databases.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

#[macro_use]
mod world;

mod accounts;
mod changes;
mod clones;
mod concurrency;
mod environments;
mod features;
mod feed;
mod flags;
mod identities;
mod identity_overrides;
mod keys;
mod limits;
mod load;
mod outages;
mod projects;
mod requests;
mod schema;
mod segments;
mod touched;
mod variants;
