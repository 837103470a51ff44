//! The binary `burgee`.

use std::process::ExitCode;

fn main() -> ExitCode {
    burgee::cli::main()
}
