//! What the tests of whole parts share.

pub mod document;
pub mod fixture;
pub mod frames;
pub mod issuer;
pub mod metrics;
pub mod postgres;
mod postgres_install;
pub mod proxy;
pub mod secrets;
pub mod server;
pub mod tools;
pub mod watcher;
