//! How long an evaluation takes, beside Flagsmith's and Unleash's engines on the same work.
//!
//! `cargo bench -p burgee-bench --bench engine`
//!
//! Every round measures every engine for less than a time slice, one after the other, so that a busy machine disturbs few
//! of the rounds, and all engines alike. Quote ratios: the median of the rounds' own, and that of the fastest rounds.

#![allow(clippy::print_stdout, reason = "a program for people")]

mod engines;

use std::hint::black_box;
use std::time::{Duration, Instant};

use burgee_bench::profile::Profile;
use burgee_core::engine::Ruleset;

use engines::{Engine, IDENTITIES, Task};

/// Rounds, of which medians are taken.
const ROUNDS: usize = 201;
/// How long an engine is measured in a round, unless a single evaluation takes longer.
const ROUND: Duration = Duration::from_micros(300);

fn main() {
    println!("{:52} {:>12} {:>12} {:>8} {:>8}", "", "median ns", "fastest ns", "times", "times");
    for profile in Profile::all() {
        for (title, task) in engines::tasks(&profile) {
            println!("\n{title}");
            compare(engines::all(&profile), task);
        }
        compile(&profile);
    }
}

/// An engine under measurement.
struct Subject {
    engine: Box<dyn Engine>,
    /// Evaluations in a round.
    repetitions: usize,
    /// Evaluations so far: identities take turns.
    count: usize,
    /// Nanoseconds per evaluation, by round.
    times: Vec<f64>,
}

impl Subject {
    fn new(engine: Box<dyn Engine>, task: Task) -> Self {
        let mut subject = Self { engine, repetitions: 1, count: 0, times: Vec::new() };
        // The fastest of a few tells how long it takes; any other may have been interrupted.
        let fastest = |subject: &mut Self| fastest(&[(); 5].map(|()| subject.measure(task)));
        while fastest(&mut subject) * (subject.repetitions as f64) < ROUND.as_nanos() as f64 / 2.0 {
            subject.repetitions *= 2;
        }
        subject
    }

    /// Runs a round, and returns nanoseconds per evaluation.
    fn measure(&mut self, task: Task) -> f64 {
        let begun = Instant::now();
        for _ in 0..self.repetitions {
            self.count += 1;
            black_box(self.engine.evaluate(task, black_box(self.count % IDENTITIES)));
        }
        begun.elapsed().as_nanos() as f64 / self.repetitions as f64
    }
}

/// Measures engines in turns, and prints how many times as long as the first each takes.
fn compare(engines: Vec<Box<dyn Engine>>, task: Task) {
    let mut subjects: Vec<_> = engines.into_iter().map(|engine| Subject::new(engine, task)).collect();
    for _ in 0..ROUNDS {
        for subject in &mut subjects {
            let time = subject.measure(task);
            subject.times.push(time);
        }
    }
    let first = subjects[0].times.clone();
    for Subject { engine, times, .. } in subjects {
        let ratios = times.iter().zip(&first).map(|(own, first)| own / first).collect();
        row(
            engine.name(),
            &times,
            &format!("{:8.1} {:8.1}", median(ratios), fastest(&times) / fastest(&first)),
        );
    }
}

/// Measures how long it takes to compile the profile's rules, of which a copy is made outside of the measurement.
fn compile(profile: &Profile) {
    let rules = profile.rules();
    let time = || {
        let copy = rules.clone();
        let begun = Instant::now();
        black_box(Ruleset::compile(copy));
        begun.elapsed().as_nanos() as f64
    };
    println!("\n{}: compile", profile.name);
    row("burgee", &(0..ROUNDS).map(|_| time()).collect::<Vec<_>>(), "");
}

fn row(name: &str, times: &[f64], ratios: &str) {
    println!("    {name:48} {:12.0} {:12.0} {ratios}", median(times.to_vec()), fastest(times));
}

fn fastest(times: &[f64]) -> f64 {
    times.iter().copied().fold(f64::INFINITY, f64::min)
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
