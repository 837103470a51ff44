//! What the commands that call a server share, and those that do nothing else.

pub mod connection;
pub mod error;
pub mod eval;
pub mod flag;
pub mod management;
mod selection;
mod show;
pub mod watch;

pub use connection::{Connection, ConnectionArgs, Credential, TlsArgs};

/// How a command prints what it found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}
