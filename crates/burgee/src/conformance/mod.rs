//! `burgee conformance`: runs evaluation cases of Flagsmith's published shape, in process or through a
//! server.

pub mod cases;
mod diff;
pub mod engine;
mod result;
mod server;

use std::path::PathBuf;
use std::process::ExitCode;

use self::cases::Case;
use crate::client::TlsArgs;
use crate::flagsmith::json::Json;
use crate::output::print;

/// The arguments of `burgee conformance`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files of cases, and directories that are searched for `.json` and `.jsonc` files: one case in a file,
    /// as `{context, result}`, or many, as `{cases: […]}`.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Runs the cases through this server instead of in process: each is imported into a project of its own
    /// in an organisation that is deleted at the end.
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// The address of the management services, if it is not the server's.
    #[arg(long, value_name = "URL", requires = "server")]
    management: Option<String>,
    /// The token to call the management services with.
    #[arg(long, env = "BURGEE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// How many cases run on the server at a time.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,
    #[command(flatten)]
    tls: TlsArgs,
}

/// Compares an answer with what the case expects.
///
/// Where the reference throws, there is no result to compare with: the condition must then count as false, so
/// that no segment matches.
fn problems(case: &Case, actual: &Json) -> Vec<String> {
    let Some(error) = case.result.get("reference_raises") else {
        return diff::differences(&case.result, actual);
    };
    match actual.get("segments") {
        Some(Json::List(segments)) if segments.is_empty() => Vec::new(),
        segments => {
            let segments = segments.unwrap_or(&Json::Null);
            vec![format!("segments: expected [], since the reference raises {error}, is {segments}")]
        }
    }
}

/// What came of one case.
pub struct Outcome {
    /// The case's name.
    pub name: String,
    /// Where it stands: a file, and a place in it.
    pub place: String,
    /// What differs from what is expected; empty if the case passes.
    pub problems: Vec<String>,
}

/// Runs the cases and prints what fails, and at the end `N passed, N failed`. Exits with 1 if any failed.
///
/// # Errors
/// A file cannot be read, or the server cannot be used.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let cases = cases::read(&args.paths)?;
    let (passed, failed) = match &args.server {
        None => {
            let mut tally = Tally::default();
            cases.iter().for_each(|case| tally.add(&engine::check(case)));
            (tally.passed, tally.failed)
        }
        Some(address) => {
            let options = server::Options {
                evaluation: address.clone(),
                management: args.management.clone().unwrap_or_else(|| address.clone()),
                token: args.token.clone(),
                tls: args.tls.clone(),
                concurrency: args.concurrency.into(),
            };
            let mut tally = Tally::default();
            server::check(cases, options, &mut |outcome| tally.add(&outcome)).await?;
            (tally.passed, tally.failed)
        }
    };
    print(&format!("{passed} passed, {failed} failed"));
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Counts outcomes, and prints those that are failures.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
}

impl Tally {
    fn add(&mut self, outcome: &Outcome) {
        if outcome.problems.is_empty() {
            self.passed += 1;
            return;
        }
        self.failed += 1;
        print(&format!("FAILED {} ({})", outcome.name, outcome.place));
        outcome.problems.iter().for_each(|problem| print(&format!("  {problem}")));
    }
}
