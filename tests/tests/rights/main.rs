//! Who may do what: every method, with every kind of caller, at every place, on real servers over both databases.

#![allow(clippy::unwrap_used, reason = "that is how a test fails")]

mod cases;
mod matrix;
mod raw;
mod revocation;
mod secrets;
mod sign_in;
mod variants;
mod walk;
mod world;

/// What takes all of the machine holds this together; what looks at how long something takes holds it alone.
static MACHINE: tokio::sync::RwLock<()> = tokio::sync::RwLock::const_new(());
