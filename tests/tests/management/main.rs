//! What the management services promise, over a real socket and on both databases.

#![allow(clippy::unwrap_used, reason = "that is how a test fails")]

#[macro_use]
mod world;

mod access;
mod accounts;
mod apply;
mod calls;
mod changes;
mod environments;
mod features;
mod flags;
mod grants;
mod groups;
mod identities;
mod invitations;
mod keys;
mod limits;
mod projects;
mod record;
mod roles;
mod segments;
mod trust_validation;
mod users;
mod variants;
mod watch;
