//! What the management services promise, over a real socket and on both databases.

#![allow(clippy::unwrap_used, reason = "that is how a test fails")]

#[macro_use]
mod world;

mod access;
mod accounts;
mod apply;
mod changes;
mod environments;
mod features;
mod flags;
mod identities;
mod keys;
mod limits;
mod projects;
mod segments;
mod variants;
mod watch;
