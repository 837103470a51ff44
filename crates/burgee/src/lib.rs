//! Burgee in one binary: settings, wiring, shutdown, command line.

pub mod cli;
pub mod client;
pub mod conformance;
pub mod dev;
pub mod flagsmith;
pub mod logging;
pub mod operations;
pub mod output;
pub mod serve;
pub mod server;
pub mod settings;
