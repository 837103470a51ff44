//! Streams: from a commit to the subscribers, what they cost while nothing happens, and what it takes when all come at once.

use std::time::Duration;

use burgee_bench::profile::Profile;

use crate::bare::{self, BareServer};
use crate::baseline;
use crate::bench::Bench;
use crate::burgee_server::BurgeeServer;
use crate::fill::{Environment, Management};
use crate::load::job::{Fanned, Fanout, Percentiles, Question, Requests, Service};
use crate::requests::{Kind, watch_flags};
use crate::row::{Row, Target};
use crate::statistics::{median, micros, percentiles};

/// Changes before those that count, so that caches, pools and plans are warm.
const WARM_UP: usize = 20;
/// The same, where many wait for each.
const FANNED_WARM_UP: usize = 3;

/// Measures the streams that were asked for.
///
/// # Errors
/// What they need cannot be started.
pub(super) async fn run(bench: &mut Bench<'_>, database: &str) -> anyhow::Result<()> {
    let one = "propagation/one";
    let named = bench.effort.subscribers.iter().map(|&size| (size, Names::new(size)));
    let many: Vec<_> =
        named.filter(|(_, names)| names.all().iter().any(|name| bench.args.needs(name))).collect();
    if many.is_empty() && !bench.args.needs(one) {
        return Ok(());
    }
    bench.say("filling: standard");
    let management = Management::start(database).await?;
    let environment = management.project("standard", Profile::standard()).await?;
    let streams = Streams { management, environment, database };
    if bench.args.needs(one) {
        let measured = streams.one(bench, one).await;
        bench.keep(one, measured);
    }
    for (size, names) in many {
        let measured = streams.many(bench, size, &names).await;
        bench.keep(&names.propagation, measured);
    }
    Ok(())
}

/// What the measurements with so many subscribers are called.
struct Names {
    propagation: String,
    memory: String,
    storm: String,
}

impl Names {
    fn new((connections, streams): (usize, usize)) -> Self {
        let [propagation, memory, storm] = ["propagation", "subscriber_memory", "reconnect_storm"]
            .map(|name| format!("{name}/{}", connections * streams));
        Self { propagation, memory, storm }
    }

    fn all(&self) -> [&str; 3] {
        [&self.propagation, &self.memory, &self.storm]
    }
}

struct Streams<'a> {
    management: Management,
    environment: Environment,
    database: &'a str,
}

impl Streams<'_> {
    /// One subscriber, beside PostgreSQL's own notification.
    async fn one(&self, bench: &mut Bench<'_>, name: &str) -> anyhow::Result<Vec<Row>> {
        bench.say(&format!("{name}: PostgreSQL's notification alone"));
        let alone = baseline::notifications(self.database, WARM_UP, bench.effort.changes).await?;
        let alone = percentiles(&alone);
        bench.say(&format!("{name}: {} changes", bench.effort.changes));
        let server = self.server(bench).await?;
        let service = server.service("x-environment-key", &self.environment.key)?;
        let changes = self.environment.changes(WARM_UP + bench.effort.changes);
        let fanout = self.fanout(bench, service, (1, 1), changes, WARM_UP)?;
        let fanned = bench.generator.fan_out(fanout).await?;

        let target = |times: Percentiles| {
            let at = |limit, unit, time| Target::at_most(limit, unit, micros(time) / 1e3);
            at(3.0, " ms p50", times.p50).and(at(10.0, " ms p99", times.p99))
        };
        let times = percentiles(&fanned.last);
        let row = Row { target: Some(target(times)), ..Row::new(name).with_times(times) };
        let row = row.compare("p50 to a notification alone", micros(times.p50), micros(alone.p50));
        let cpu_us = figure(micros(fanned.delivering.cpu) / fanned.last.len() as f64);
        Ok(vec![
            Row { cpu_us, ..row },
            Row::new(format!("{name}/after_answer")).with_times(percentiles(&fanned.last_after_answer)),
            Row::new("notification/alone").with_times(alone),
        ])
    }

    /// Many subscribers, beside a bare server that sends the same bytes to as many.
    async fn many(
        &self,
        bench: &mut Bench<'_>,
        size: (usize, usize),
        names: &Names,
    ) -> anyhow::Result<Vec<Row>> {
        let rounds = bench.effort.fanout_rounds;
        let (mut real, mut bare) = (Vec::new(), Vec::new());
        for turn in 1..=rounds {
            bench.say(&format!("{}: {turn} of {rounds}", names.propagation));
            let fanned = self.real(bench, size).await?;
            bench.say(&format!("{}: {turn} of {rounds}, bare", names.propagation));
            bare.push(self.bare(bench, size, &fanned).await?);
            real.push(fanned);
        }
        let count = (size.0 * size.1) as f64;
        let rounds = Rounds { real, bare };
        let mut rows = rounds.propagation(&names.propagation, count);
        rows.push(rounds.memory(&names.memory, count));
        rows.push(rounds.storm(&names.storm, count));
        Ok(rows)
    }

    async fn real(&self, bench: &mut Bench<'_>, size: (usize, usize)) -> anyhow::Result<Fanned> {
        let server = self.server(bench).await?;
        let service = server.service("x-environment-key", &self.environment.key)?;
        // So that what the environment itself takes is there before memory is read.
        let requests = Kind::EvaluateFlags.requests(&self.environment.profile, 0..1, 0);
        bench.generator.ask(Question { service: service.clone(), requests }).await?;
        let changes = self.environment.changes(FANNED_WARM_UP + bench.effort.fanned_changes);
        let fanout = self.fanout(bench, service, size, changes, FANNED_WARM_UP)?;
        bench.generator.fan_out(fanout).await
    }

    /// The same on a bare server, with the messages that the real one sent.
    async fn bare(
        &self,
        bench: &mut Bench<'_>,
        size: (usize, usize),
        like: &Fanned,
    ) -> anyhow::Result<Fanned> {
        let server = BareServer::start(bench.cores.server).await?;
        let service = server.service(&self.management.service()?)?;
        let (path, _) = watch_flags();
        let requests = bare::set_answer(&path, like.first_message.clone());
        bench.generator.ask(Question { service: service.clone(), requests }).await?;
        let messages = bare::publish(&like.last_message, FANNED_WARM_UP + bench.effort.fanned_changes);
        let fanout = self.fanout(bench, service.clone(), size, messages, FANNED_WARM_UP)?;
        bench.generator.fan_out(Fanout { writer: service, ..fanout }).await
    }

    async fn server(&self, bench: &Bench<'_>) -> anyhow::Result<BurgeeServer> {
        let server = BurgeeServer::evaluation(self.database, bench.cores.server).await?;
        server.ready().await?;
        Ok(server)
    }

    fn fanout(
        &self,
        bench: &Bench<'_>,
        service: Service,
        (connections, streams): (usize, usize),
        writes: Requests,
        warm_up: usize,
    ) -> anyhow::Result<Fanout> {
        let (path, body) = watch_flags();
        let (idle, writer) = (bench.effort.idle, self.management.service()?);
        Ok(Fanout { service, path, body, connections, streams, idle, writer, writes, warm_up })
    }
}

/// What both servers showed, in turn.
struct Rounds {
    real: Vec<Fanned>,
    bare: Vec<Fanned>,
}

impl Rounds {
    /// Returns the medians of a figure of both.
    fn medians(&self, figure: impl Fn(&Fanned) -> f64) -> (f64, f64) {
        (median(self.real.iter().map(&figure)), median(self.bare.iter().map(&figure)))
    }

    fn propagation(&self, name: &str, count: f64) -> Vec<Row> {
        type Times = fn(&Fanned) -> &Vec<Duration>;
        let all = |rounds: &[Fanned], times: Times| {
            percentiles(&rounds.iter().flat_map(times).copied().collect::<Vec<_>>())
        };
        let row = |name: &str, times: Times| {
            let (real, bare) = (all(&self.real, times), all(&self.bare, times));
            Row::new(name).with_times(real).compare("p99 to bare", micros(real.p99), micros(bare.p99))
        };
        let after = |name: &str, times: Times| Row::new(name).with_times(all(&self.real, times));
        let (cpu, bare_cpu) =
            self.medians(|round| micros(round.delivering.cpu) / (count * round.last.len() as f64));
        let last = row(&format!("{name}/last"), |fanned| &fanned.last).ratio_at_most(1.5);
        vec![
            row(&format!("{name}/first"), |fanned| &fanned.first),
            Row { cpu_us: figure(cpu), bare_cpu_us: figure(bare_cpu), ..last },
            after(&format!("{name}/first_after_answer"), |fanned| &fanned.first_after_answer),
            after(&format!("{name}/last_after_answer"), |fanned| &fanned.last_after_answer),
        ]
    }

    fn memory(&self, name: &str, count: f64) -> Row {
        let (real, bare) = self.medians(|round| {
            let held = round.memory_idle.anonymous.saturating_sub(round.memory_before.anonymous);
            held as f64 / count
        });
        let row = Row { rss_bytes: figure(real).map(|bytes| bytes as u64), ..Row::new(name) };
        row.compare("bytes to bare", real, bare).ratio_at_most(1.3)
    }

    fn storm(&self, name: &str, count: f64) -> Row {
        let (real, bare) = self.medians(|round| micros(round.all_opened));
        let (cpu, bare_cpu) = self.medians(|round| micros(round.opening.cpu) / count);
        let time = |of: fn(&Fanned) -> Duration| figure(self.medians(|round| micros(of(round))).0);
        let row = Row {
            requests_per_second: figure(count / real * 1e6),
            p50_us: time(|round| round.opened.p50),
            p99_us: time(|round| round.opened.p99),
            p999_us: time(|round| round.opened.p999),
            cpu_us: figure(cpu),
            bare_cpu_us: figure(bare_cpu),
            ..Row::new(name)
        };
        row.compare("time to serve all to bare", real, bare)
    }
}

fn figure(figure: f64) -> Option<f64> {
    Some(figure).filter(|figure| *figure > 0.0)
}
