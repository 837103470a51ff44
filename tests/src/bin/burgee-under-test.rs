//! The binary `burgee`, built beside the tests so that they always run the newest.

use std::process::ExitCode;

fn main() -> ExitCode {
    burgee::cli::main()
}
