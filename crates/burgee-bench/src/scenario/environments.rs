//! Many environments: what a server takes to start over them, and what each takes in it.

use std::time::Instant;

use anyhow::Context as _;
use burgee_bench::profile::Profile;
use futures_util::future::try_join_all;

use crate::bench::Bench;
use crate::burgee_server::BurgeeServer;
use crate::fill::{Environment, Management};
use crate::load::job::Question;
use crate::process;
use crate::requests::{Kind, Traits};
use crate::row::{Row, Target};
use crate::statistics::{micros, percentiles};

/// Measures them, if they were asked for.
///
/// # Errors
/// What they need cannot be started.
pub(super) async fn run(bench: &mut Bench<'_>, database: &str) -> anyhow::Result<()> {
    let name = format!("environments/{}", bench.effort.projects * bench.effort.environments);
    if bench.args.needs(&name) {
        let measured = measure(bench, database, &name).await;
        bench.keep(&name, measured);
    }
    Ok(())
}

async fn measure(bench: &mut Bench<'_>, database: &str, name: &str) -> anyhow::Result<Vec<Row>> {
    bench.say(&format!("{name}: filling"));
    let management = Management::start(database).await?;
    let fill = |number| fill(&management, number, bench.effort.environments);
    let environments = try_join_all((0..bench.effort.projects).map(fill)).await?.concat();
    let first = environments.first().context("no environments")?;
    let encoded = management.encoded_bytes(first).await? * environments.len();

    bench.say(&format!("{name}: starting"));
    let started = Instant::now();
    let server = BurgeeServer::evaluation(database, bench.cores.server).await?;
    server.ready().await?;
    let ready = started.elapsed();

    bench.say(&format!("{name}: first answers"));
    let process = server.service("x-environment-key", &first.key)?.process;
    let before = process::memory(process)?;
    let mut times = Vec::with_capacity(environments.len());
    let requests = Kind::EvaluateFlagsOf(Traits::Given).requests(&first.profile, 0..1, 0);
    for environment in &environments {
        let service = server.service("x-environment-key", &environment.key)?;
        let question = Question { service, requests: requests.clone() };
        times.extend(bench.generator.ask(question).await?.times);
    }
    let held = process::memory(process)?.anonymous.saturating_sub(before.anonymous);

    let start = Row::new(format!("{name}/start")).with_times(percentiles(&[ready]));
    let cold = percentiles(&times);
    let memory = Row { rss_bytes: Some(held).filter(|held| *held > 0), ..Row::new(format!("{name}/memory")) };
    let memory = memory.compare("bytes to encoded flags and rules", held as f64, encoded as f64);
    Ok(vec![
        Row { target: Some(Target::at_most(1.0, " s", ready.as_secs_f64())), ..start },
        Row {
            target: Some(Target::at_most(20.0, " ms p99", micros(cold.p99) / 1e3)),
            ..Row::new(format!("{name}/first_answer")).with_times(cold)
        },
        memory.ratio_at_most(2.0),
    ])
}

/// Makes a project with so many environments.
async fn fill(management: &Management, number: usize, count: usize) -> anyhow::Result<Vec<Environment>> {
    let main = management.project(&format!("project-{number}"), Profile::standard()).await?;
    let mut environments = vec![main];
    for number in 1..count {
        let id = format!("environment-{number}");
        environments.push(management.clone_environment(&environments[0], &id).await?);
    }
    Ok(environments)
}
