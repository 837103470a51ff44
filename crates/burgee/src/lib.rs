//! Burgee in one binary: settings, wiring, shutdown, command line.

pub mod cli;
pub mod client;
pub mod conformance;
mod connection;
pub mod dev;
pub mod flagsmith;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod incoming;
pub mod logging;
mod metrics;
pub mod operations;
pub mod output;
pub mod serve;
pub mod server;
pub mod settings;
mod tls;
