//! The load generator: a process of its own, on the `h2` crate, because a whole gRPC client would cost more than the servers.
//!
//! It reads jobs from standard input, one a line, and writes what came of each to standard output. One thread does it all:
//! nothing that it counts is shared.

mod client;
mod closed;
mod fanout;
pub(crate) mod job;
mod open;
mod recorder;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::task::LocalSet;

use crate::role::Role;
use job::{Asked, Fanned, Fanout, Job, Load, Measured, Outcome, Pace, Question};

/// How long a job may take beyond what it was told to.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running load generator.
pub(crate) struct Generator {
    _process: Child,
    jobs: ChildStdin,
    outcomes: Lines<BufReader<ChildStdout>>,
}

impl Generator {
    /// Starts a load generator, on a core of its own if one is given.
    ///
    /// # Errors
    /// The process cannot be started.
    pub(crate) fn start(core: Option<usize>) -> anyhow::Result<Self> {
        let mut process = Role::Load.start(&[], core)?;
        let jobs = process.stdin.take().context("standard input is piped")?;
        let outcomes = BufReader::new(process.stdout.take().context("standard output is piped")?).lines();
        Ok(Self { _process: process, jobs, outcomes })
    }

    /// Asks each question once, in order.
    ///
    /// # Errors
    /// One of them is not answered.
    pub(crate) async fn ask(&mut self, question: Question) -> anyhow::Result<Asked> {
        match self.run(&Job::Ask(question)).await? {
            Outcome::Asked(asked) => Ok(asked),
            Outcome::Measured(_) | Outcome::Fanned(_) => bail!("the load generator did another job"),
        }
    }

    /// Puts load on a server, and measures.
    ///
    /// # Errors
    /// A request is not answered, or not as expected.
    pub(crate) async fn measure(&mut self, load: Load) -> anyhow::Result<Measured> {
        match self.run(&Job::Measure(load)).await? {
            Outcome::Measured(measured) => Ok(measured),
            Outcome::Asked(_) | Outcome::Fanned(_) => bail!("the load generator did another job"),
        }
    }

    /// Opens streams, has messages sent to all of them, and measures.
    ///
    /// # Errors
    /// A stream ends, or a message does not come.
    pub(crate) async fn fan_out(&mut self, fanout: Fanout) -> anyhow::Result<Fanned> {
        match self.run(&Job::FanOut(fanout)).await? {
            Outcome::Fanned(fanned) => Ok(*fanned),
            Outcome::Asked(_) | Outcome::Measured(_) => bail!("the load generator did another job"),
        }
    }

    async fn run(&mut self, job: &Job) -> anyhow::Result<Outcome> {
        let mut line = serde_json::to_vec(job)?;
        line.push(b'\n');
        self.jobs.write_all(&line).await.context("the load generator has ended")?;
        let outcome = self.outcomes.next_line().await?.context("the load generator has ended")?;
        serde_json::from_str::<Result<_, String>>(&outcome)?.map_err(anyhow::Error::msg)
    }
}

/// Does jobs until standard input ends.
pub(crate) fn run() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.context("could not start").and_then(|runtime| {
        let mut jobs = std::io::stdin().lines();
        while let Some(line) = jobs.next().transpose()? {
            let job = serde_json::from_str(&line)?;
            let outcome = LocalSet::new().block_on(&runtime, perform(job));
            let outcome = outcome.map_err(|error: anyhow::Error| format!("{error:#}"));
            crate::print(&serde_json::to_string(&outcome)?);
        }
        Ok(())
    });
    crate::exit_code(done)
}

async fn perform(job: Job) -> anyhow::Result<Outcome> {
    match job {
        Job::Ask(question) => ask(question).await.map(Outcome::Asked),
        Job::Measure(load) => {
            let patience = load.warm_up + load.duration.unwrap_or_default() + PATIENCE;
            let measure = async {
                match load.pace {
                    Pace::Closed { streams } => closed::run(&load, streams).await,
                    Pace::Open { per_second } => open::run(&load, per_second).await,
                }
            };
            let measured = tokio::time::timeout(patience, measure).await;
            measured.context("the load never ended")?.map(Outcome::Measured)
        }
        Job::FanOut(fanout) => fanout::run(&fanout).await.map(|fanned| Outcome::Fanned(Box::new(fanned))),
    }
}

async fn ask(Question { service, requests }: Question) -> anyhow::Result<Asked> {
    let connection = client::Connection::open(&service).await?;
    let method = client::Method::new(&service, &requests.path)?;
    let mut answers = Vec::with_capacity(requests.bodies.len());
    let mut times = Vec::with_capacity(requests.bodies.len());
    for body in &requests.bodies {
        let asked = Instant::now();
        let answer = tokio::time::timeout(PATIENCE, connection.ask(&method, &client::frame(body))).await;
        answers.push(answer.context("a question was not answered")??);
        times.push(asked.elapsed());
    }
    ensure!(!answers.is_empty(), "no questions");
    let lengths: Vec<usize> = answers.iter().map(Vec::len).collect();
    let mean = lengths.iter().sum::<usize>() / lengths.len();
    let typical = answers.into_iter().min_by_key(|answer| answer.len().abs_diff(mean));
    Ok(Asked { lengths, times, typical: typical.unwrap_or_default() })
}
