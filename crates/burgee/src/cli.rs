//! The command line.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::serve::{DevArgs, ServeArgs};
use crate::{client, conformance, flagsmith, operations, serve};

/// Feature flags and remote configuration behind gRPC.
#[derive(Parser)]
#[command(name = "burgee", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves everything on one address over SQLite, for development: nothing to install or configure.
    Dev(DevArgs),
    /// Serves management, evaluation or both over a database.
    Serve(ServeArgs),
    /// Brings the tables of the database up to date.
    Migrate(ServeArgs),
    /// Makes and prints a new administrator token, over the database; former ones go on working.
    Token(ServeArgs),
    /// Asks a server whether it is ready.
    Health(operations::HealthArgs),
    /// Prints the settings in force, without secrets.
    Config(ServeArgs),
    /// Moves the configuration of another system into a project.
    #[command(subcommand)]
    Import(Import),
    /// Runs evaluation cases through the engine, or through a running server.
    Conformance(conformance::Args),
    /// Evaluates flags.
    Eval(client::eval::Args),
    /// Follows flags as they change.
    Watch(client::watch::Args),
    /// Shows or changes a flag.
    Flag(client::flag::Args),
}

#[derive(Subcommand)]
enum Import {
    /// A Flagsmith environment document, or an evaluation context.
    Flagsmith(flagsmith::import::Args),
}

/// Runs the command that the process was called with.
#[must_use]
pub fn main() -> ExitCode {
    run_with(std::env::args_os())
}

/// Runs a command line, the program's name included.
#[must_use]
pub fn run_with(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = Arguments::parse_from(arguments);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::from(error).context("could not start")),
    };
    runtime.block_on(run(arguments.command)).unwrap_or_else(|error| fail(&error))
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let done = |()| ExitCode::SUCCESS;
    match command {
        Command::Dev(args) => serve::dev(args).await.map(done),
        Command::Serve(args) => serve::serve(args).await.map(done),
        Command::Migrate(args) => operations::migrate(args).await.map(done),
        Command::Token(args) => operations::token(args).await.map(done),
        Command::Health(args) => operations::health(args).await,
        Command::Config(args) => operations::config(args).map(done),
        Command::Import(Import::Flagsmith(args)) => flagsmith::import::run(args).await,
        Command::Conformance(args) => conformance::run(args).await,
        Command::Eval(args) => client::eval::run(args).await,
        Command::Watch(args) => client::watch::run(args).await,
        Command::Flag(args) => client::flag::run(args).await,
    }
}

#[allow(clippy::print_stderr, reason = "where errors of a command belong")]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("burgee: {error:#}");
    ExitCode::FAILURE
}
