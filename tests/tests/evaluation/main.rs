//! What the evaluation service promises, over real databases and real sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

#[macro_use]
#[path = "../store/world.rs"]
#[allow(dead_code, unused_macros, reason = "shared with the tests of the store")]
mod world;

#[path = "../store/made.rs"]
#[allow(dead_code, reason = "shared with the tests of the store")]
mod made;

mod calls;
mod ends;
mod identify;
mod keys;
mod outages;
mod random;
mod resume;
mod scopes;
mod secrecy;
mod service;
mod streams;
