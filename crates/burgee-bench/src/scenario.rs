//! What is measured, in groups that share what they need.

mod environments;
mod streams;
mod unary;

use std::fs;

use anyhow::{Context as _, bail};

use crate::args::Args;
use crate::bench::Bench;
use crate::report::Report;
use crate::{baseline, machine};

/// Measures what was asked for, and prints it.
///
/// # Errors
/// Something could not be measured, or a file could not be written.
pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    let mut bench = Bench::start(args)?;
    let busy_before = machine::load_average();
    let database = bench.cluster.database().await;
    let mut facts = machine::describe(bench.cores, &baseline::version(&database).await?, args.quick);

    let measured = unary::run(&mut bench, &database).await;
    bench.keep("calls", measured.map(|()| Vec::new()));
    let database = bench.cluster.database().await;
    let measured = streams::run(&mut bench, &database).await;
    bench.keep("streams", measured.map(|()| Vec::new()));
    let database = bench.cluster.database().await;
    let measured = environments::run(&mut bench, &database).await;
    bench.keep("environments", measured.map(|()| Vec::new()));
    if bench.rows.is_empty() && bench.failures.is_empty() {
        bail!("nothing is called so: without `--only`, everything is measured");
    }

    if let Some((before, after)) = busy_before.zip(machine::load_average()) {
        facts.push(format!(
            "The machine's load average was {before:.1} before and {after:.1} after the run, which itself takes about 2."
        ));
    }
    bench.say("done");
    let Bench { rows, failures, .. } = bench;
    let report = Report { facts, rows };
    crate::print(&report.text());
    if let Some(file) = &args.json {
        fs::write(file, report.json()?).with_context(|| format!("could not write `{}`", file.display()))?;
    }
    if let Some(file) = &args.markdown {
        fs::write(file, report.markdown())
            .with_context(|| format!("could not write `{}`", file.display()))?;
    }
    if failures.is_empty() { Ok(()) } else { bail!("could not be measured: {}", failures.join("; ")) }
}
