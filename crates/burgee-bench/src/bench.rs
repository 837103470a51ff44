//! What all measurements of a run share.

use std::fmt;

use anyhow::Context as _;
use burgee_tests::postgres::Cluster;

use crate::args::Args;
use crate::effort::Effort;
use crate::load::Generator;
use crate::process;
use crate::progress::Progress;
use crate::row::Row;

/// Which cores the processes keep to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    /// The one that both servers run on, in turn.
    pub(crate) server: Option<usize>,
    /// The one of the load generator.
    pub(crate) generator: Option<usize>,
}

impl Cores {
    /// One for the servers and one for the load generator, if there are two.
    fn choose(all_cores: bool) -> Self {
        match process::cores().as_slice() {
            [server, generator, ..] if !all_cores => {
                Self { server: Some(*server), generator: Some(*generator) }
            }
            _ => Self { server: None, generator: None },
        }
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.server, self.generator) {
            (Some(server), Some(generator)) => write!(
                f,
                "the server that is measured has core {server} and one worker thread, the load generator core \
                 {generator}; PostgreSQL and management run on any"
            ),
            _ => f.write_str("all processes run on any core, the servers with a worker thread for each"),
        }
    }
}

/// A run.
pub(crate) struct Bench<'a> {
    pub(crate) args: &'a Args,
    pub(crate) effort: Effort,
    pub(crate) cores: Cores,
    pub(crate) progress: Progress,
    pub(crate) cluster: Cluster,
    pub(crate) generator: Generator,
    /// What was measured.
    pub(crate) rows: Vec<Row>,
    /// What could not be measured, and why.
    pub(crate) failures: Vec<String>,
}

impl<'a> Bench<'a> {
    /// Starts PostgreSQL and the load generator.
    ///
    /// # Errors
    /// One of them does not start.
    pub(crate) fn start(args: &'a Args) -> anyhow::Result<Self> {
        let progress = Progress::new();
        progress.say("starting PostgreSQL");
        let cores = Cores::choose(args.all_cores);
        Ok(Self {
            args,
            effort: if args.quick { Effort::quick() } else { Effort::standard() },
            cores,
            progress,
            // With fsync, as in production.
            cluster: Cluster::start_with(&[]),
            generator: Generator::start(cores.generator).context("the load generator did not start")?,
            rows: Vec::new(),
            failures: Vec::new(),
        })
    }

    /// Says what is measured now.
    pub(crate) fn say(&self, what: &str) {
        self.progress.say(what);
    }

    /// Keeps those rows of a measurement that were asked for, or why it failed.
    pub(crate) fn keep(&mut self, name: &str, measured: anyhow::Result<Vec<Row>>) {
        match measured {
            Ok(rows) => {
                for row in rows.into_iter().filter(|row| self.args.wants(&row.name)) {
                    // A run that is cut short has shown something, too.
                    self.say(&row.in_short());
                    self.rows.push(row);
                }
            }
            Err(error) => {
                let failure = format!("{name}: {error:#}");
                self.say(&failure);
                self.failures.push(failure);
            }
        }
    }
}
