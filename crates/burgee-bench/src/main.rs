//! `cargo run --release -p burgee-bench`: the real server beside a bare one, under the same load, in the same run.

mod args;
mod bare;
mod baseline;
mod bench;
mod burgee_server;
mod effort;
mod fill;
mod load;
mod machine;
mod process;
mod progress;
mod ready;
mod report;
mod requests;
mod role;
mod row;
mod scenario;
mod statistics;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use mimalloc::MiMalloc;

use args::Args;

// The allocator of the real server, for all: a bare server with another one would be no measure of it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    if let Some(code) = role::run() {
        return code;
    }
    let args = Args::parse();
    process::raise_file_limit();
    // The processes that are started end with the thread that started them, so there is but this one.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    exit_code(runtime.context("could not start").and_then(|runtime| runtime.block_on(scenario::run(&args))))
}

/// Prints a line to standard output.
fn print(text: &str) {
    let mut output = std::io::stdout().lock();
    let _ = writeln!(output, "{text}");
    let _ = output.flush();
}

#[allow(clippy::print_stderr, reason = "where errors of a command belong")]
fn exit_code(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("burgee-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
