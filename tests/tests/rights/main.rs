//! Who may do what: every method, with every kind of caller, at every place, on real servers over both databases.

#![allow(clippy::unwrap_used, reason = "that is how a test fails")]

mod cases;
mod matrix;
mod raw;
mod revocation;
mod secrets;
mod sign_in;
mod walk;
mod world;
