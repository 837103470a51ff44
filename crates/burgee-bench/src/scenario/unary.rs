//! Calls: the real server and the bare one, in turn, under the same load.

use std::ops::Range;
use std::time::Duration;

use burgee_bench::profile::Profile;

use crate::bare::{self, BareServer};
use crate::baseline;
use crate::bench::Bench;
use crate::burgee_server::BurgeeServer;
use crate::fill::{Environment, Management};
use crate::load::job::{Load, Meanwhile, Measured, Pace, Question, Requests, Service};
use crate::process;
use crate::requests::{Kind, Traits};
use crate::row::Row;
use crate::statistics::{Summary, median};

/// Connections of a load.
const CONNECTIONS: usize = 8;
/// Callers on each, of a closed loop.
const STREAMS: usize = 16;
/// Callers on each that identify: 64 in all.
const IDENTIFYING_STREAMS: usize = 8;
/// How often a flag changes while calls are measured that it bears on.
const CHANGE_INTERVAL: Duration = Duration::from_millis(100);
/// Changes that are made so, again and again.
const CHANGES: usize = 1_000;

/// Calls that are measured.
#[derive(Clone, Copy, Debug)]
struct Unary {
    name: &'static str,
    profile: fn() -> Profile,
    kind: Kind,
    /// The server's CPU time for a call, as a multiple of the bare server's.
    target: Option<f64>,
    /// Whether the server is asked about identities that it has not seen.
    is_cold: bool,
    /// Whether a flag changes every [`CHANGE_INTERVAL`].
    is_changing: bool,
}

impl Unary {
    const fn new(name: &'static str, profile: fn() -> Profile, kind: Kind) -> Self {
        Self { name, profile, kind, target: None, is_cold: false, is_changing: false }
    }

    const fn target(self, target: f64) -> Self {
        Self { target: Some(target), ..self }
    }

    /// Returns the requests of a round; round 0 is the question beforehand.
    fn requests(&self, bench: &Bench<'_>, environment: &Environment, round: usize) -> Requests {
        let identities = if self.is_cold { cold_range(bench, round) } else { 0..bench.effort.identities };
        self.kind.requests(&environment.profile, identities, round)
    }
}

fn all() -> [Unary; 13] {
    let (standard, reference, large) = (Profile::standard, Profile::reference, Profile::large);
    let (given, stored) = (Kind::EvaluateFlagsOf(Traits::Given), Kind::EvaluateFlagsOf(Traits::Stored));
    let cold = Unary::new("evaluate_flags_stored_cold/standard", standard, stored);
    let changing = Unary::new("evaluate_flags_changing/standard", standard, given);
    let changing_large = Unary::new("evaluate_flags_changing/large", large, given);
    [
        Unary::new("evaluate_flag/standard", standard, Kind::EvaluateFlag).target(1.25),
        Unary::new("evaluate_flags/standard", standard, given).target(1.5),
        Unary::new("evaluate_flags/reference", reference, given).target(2.0),
        Unary::new("evaluate_flag/large", large, Kind::EvaluateFlag),
        Unary::new("evaluate_flags/large", large, given),
        Unary::new("evaluate_flags_environment/standard", standard, Kind::EvaluateFlags),
        Unary::new("evaluate_flags_stored_warm/standard", standard, stored),
        Unary { is_cold: true, ..cold },
        Unary::new("batch_evaluate_flags/standard", standard, Kind::BatchEvaluateFlags),
        Unary::new("identify_unchanged/standard", standard, Kind::IdentifyUnchanged),
        Unary::new("identify_changed/standard", standard, Kind::IdentifyChanged),
        Unary { is_changing: true, ..changing },
        Unary { is_changing: true, ..changing_large },
    ]
}

/// Measures the calls that were asked for.
///
/// # Errors
/// What they need cannot be started.
pub(super) async fn run(bench: &mut Bench<'_>, database: &str) -> anyhow::Result<()> {
    let is_wanted = |unary: &Unary| {
        bench.args.needs(unary.name) && (bench.effort.has_large || (unary.profile)().name != "large")
    };
    let wanted: Vec<Unary> = all().into_iter().filter(is_wanted).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let management = Management::start(database).await?;
    let mut environments: Vec<Environment> = Vec::new();
    for unary in &wanted {
        let profile = (unary.profile)();
        if environments.iter().all(|environment| environment.profile.name != profile.name) {
            bench.say(&format!("filling: {}", profile.name));
            environments.push(management.project(profile.name, profile).await?);
        }
    }
    // The others are only asked with their traits given.
    if let Some(standard) = environments.iter().find(|held| held.profile.name == "standard") {
        bench.say("filling: identities");
        identify(bench, database, standard).await?;
    }
    let servers = Servers {
        real: BurgeeServer::evaluation(database, bench.cores.server).await?,
        bare: BareServer::start(bench.cores.server).await?,
        management,
    };
    servers.real.ready().await?;
    for unary in &wanted {
        for environment in environments.iter().filter(|held| held.profile.name == (unary.profile)().name) {
            let measured = servers.measure(bench, database, environment, unary).await;
            bench.keep(unary.name, measured);
        }
    }
    Ok(())
}

/// Stores the identities, by a server that is not the one to be measured.
async fn identify(bench: &mut Bench<'_>, database: &str, environment: &Environment) -> anyhow::Result<()> {
    let server = BurgeeServer::evaluation(database, None).await?;
    server.ready().await?;
    let identities = 0..cold_range(bench, bench.effort.closed_rounds + bench.effort.open_rounds).end;
    let load = Load {
        service: server.service("x-environment-key", &environment.key)?,
        requests: Kind::IdentifyUnchanged.requests(&environment.profile, identities, 0),
        lengths: Vec::new(),
        connections: CONNECTIONS,
        pace: Pace::Closed { streams: STREAMS },
        warm_up: Duration::ZERO,
        duration: None,
        meanwhile: None,
    };
    bench.generator.measure(load).await?;
    Ok(())
}

/// The identities of a round that the server has not seen.
fn cold_range(bench: &Bench<'_>, round: usize) -> Range<usize> {
    let first = bench.effort.identities + round * bench.effort.cold_identities;
    first..first + bench.effort.cold_identities
}

/// What is measured, and what it is measured beside.
struct Servers {
    real: BurgeeServer,
    bare: BareServer,
    management: Management,
}

/// The load of one kind of calls on both servers.
struct Loads {
    real: Load,
    bare: Load,
}

impl Servers {
    async fn measure(
        &self,
        bench: &mut Bench<'_>,
        database: &str,
        environment: &Environment,
        unary: &Unary,
    ) -> anyhow::Result<Vec<Row>> {
        let loads = self.prepare(bench, environment, unary).await?;
        let is_written = unary.kind == Kind::IdentifyChanged;
        let mut upserts = Vec::new();
        let mut round = 0;
        let (mut real, mut bare) = (Vec::new(), Vec::new());
        for turn in 1..=bench.effort.closed_rounds {
            bench.say(&format!("{}: closed loop, {turn} of {}", unary.name, bench.effort.closed_rounds));
            round += 1;
            let pace = loads.real.pace;
            real.push(loads.real(bench, environment, unary, round, pace).await?);
            bare.push(loads.bare(bench, pace).await?);
            if is_written {
                upserts.push(baseline::upserted_rows_per_second(database, bench.effort.upserting).await?);
            }
        }
        let (real, bare) = (Summary::of(&real), Summary::of(&bare));
        let resident = process::memory(loads.real.service.process)?.resident;
        let closed = Row {
            rss_bytes: Some(resident).filter(|bytes| *bytes > 0),
            ..Row::new(unary.name).with_load(&real, &bare)
        };
        let closed = if is_written {
            closed
                .compare("rows/s to PostgreSQL's upserts", real.per_second, median(upserts))
                .ratio_at_least(0.7)
        } else {
            let closed = closed.compare("CPU to bare", real.cpu, bare.cpu);
            match unary.target {
                Some(target) => closed.ratio_at_most(target),
                None => closed,
            }
        };

        let pace = Pace::Open { per_second: real.per_second.min(bare.per_second) / 2.0 };
        let (mut real, mut bare) = (Vec::new(), Vec::new());
        for turn in 1..=bench.effort.open_rounds {
            bench.say(&format!("{}: open loop, {turn} of {}", unary.name, bench.effort.open_rounds));
            round += 1;
            real.push(loads.real(bench, environment, unary, round, pace).await?);
            bare.push(loads.bare(bench, pace).await?);
        }
        let (real, bare) = (Summary::of(&real), Summary::of(&bare));
        let open = Row::new(format!("{}/open", unary.name)).with_load(&real, &bare);
        Ok(vec![closed, open.compare("p99 to bare", real.p99, bare.p99)])
    }

    /// Asks the real server once for everything, so that all answers are known, and has the bare one answer alike.
    async fn prepare(
        &self,
        bench: &mut Bench<'_>,
        environment: &Environment,
        unary: &Unary,
    ) -> anyhow::Result<Loads> {
        let service = self.real.service("x-environment-key", &environment.key)?;
        let bare = self.bare.service(&service)?;
        let requests = unary.requests(bench, environment, 0);
        let question = Question { service: service.clone(), requests: requests.clone() };
        let asked = bench.generator.ask(question).await?;
        let length = asked.typical.len();
        let answer = bare::set_answer(&requests.path, asked.typical);
        bench.generator.ask(Question { service: bare.clone(), requests: answer }).await?;

        let meanwhile = unary.is_changing.then(|| self.meanwhile(environment)).transpose()?;
        let is_identify = matches!(unary.kind, Kind::IdentifyUnchanged | Kind::IdentifyChanged);
        let load = |service: Service, lengths, meanwhile| Load {
            service,
            requests: requests.clone(),
            lengths,
            connections: CONNECTIONS,
            pace: Pace::Closed { streams: if is_identify { IDENTIFYING_STREAMS } else { STREAMS } },
            warm_up: bench.effort.warm_up,
            duration: bench.effort.duration,
            meanwhile,
        };
        // Where flags change, or each identity is new, answers are not known.
        let lengths = if unary.is_cold || unary.is_changing { Vec::new() } else { asked.lengths };
        Ok(Loads { real: load(service, lengths, meanwhile), bare: load(bare, vec![length], None) })
    }

    fn meanwhile(&self, environment: &Environment) -> anyhow::Result<Meanwhile> {
        Ok(Meanwhile {
            service: self.management.service()?,
            requests: environment.changes(CHANGES),
            interval: CHANGE_INTERVAL,
        })
    }
}

impl Loads {
    async fn real(
        &self,
        bench: &mut Bench<'_>,
        environment: &Environment,
        unary: &Unary,
        round: usize,
        pace: Pace,
    ) -> anyhow::Result<Measured> {
        let requests = unary.requests(bench, environment, round);
        let mut load = Load { requests, pace, ..self.real.clone() };
        if unary.is_cold {
            load.duration = None;
        }
        bench.generator.measure(load).await
    }

    async fn bare(&self, bench: &mut Bench<'_>, pace: Pace) -> anyhow::Result<Measured> {
        bench.generator.measure(Load { pace, ..self.bare.clone() }).await
    }
}
