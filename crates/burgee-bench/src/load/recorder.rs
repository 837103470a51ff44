//! Counts what is answered while it counts.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure};
use hdrhistogram::Histogram;

use super::client::{Connection, Method, frame};
use super::job::{Load, Meanwhile, Measured, Percentiles};
use crate::process::{Meter, Usage};

use bytes::Bytes;

/// Significant figures of times.
const FIGURES: u8 = 3;
/// The longest time that is told from longer ones.
const LONGEST: Duration = Duration::from_secs(120);

/// What all callers of one load share: they run on one thread.
pub(super) struct Recorder {
    pub(super) method: Method,
    bodies: Vec<Bytes>,
    lengths: Vec<usize>,
    /// Whether the requests are made once, or again and again.
    once: bool,
    next: Cell<usize>,
    stopped: Cell<bool>,
    counts: Cell<bool>,
    times: RefCell<Histogram<u64>>,
    failure: RefCell<Option<anyhow::Error>>,
}

impl Recorder {
    pub(super) fn new(load: &Load) -> anyhow::Result<Self> {
        let count = load.requests.bodies.len();
        ensure!(count > 0, "no requests");
        ensure!(
            matches!(load.lengths.len(), 0 | 1) || load.lengths.len() == count,
            "requests and lengths of answers do not match"
        );
        Ok(Self {
            method: Method::new(&load.service, &load.requests.path)?,
            bodies: load.requests.bodies.iter().map(|body| frame(body)).collect(),
            lengths: load.lengths.clone(),
            once: load.duration.is_none(),
            next: Cell::new(0),
            stopped: Cell::new(false),
            counts: Cell::new(false),
            times: RefCell::new(histogram()?),
            failure: RefCell::new(None),
        })
    }

    /// Returns the next request, if there is to be another.
    pub(super) fn next(&self) -> Option<usize> {
        let number = self.next.get();
        if self.stopped.get() || self.once && number >= self.bodies.len() {
            return None;
        }
        self.next.set(number + 1);
        Some(number % self.bodies.len())
    }

    /// Makes a request; if it counts when it is answered, its time from `since` does.
    pub(super) async fn call(&self, connection: &Connection, request: usize, since: Instant) {
        match connection.call(&self.method, &self.bodies[request]).await {
            Ok(length) => match self.expected(request) {
                Some(expected) if expected != length => {
                    self.fail(anyhow!("an answer has {length} bytes instead of {expected}"));
                }
                Some(_) | None => {
                    if self.counts.get() {
                        record(&mut self.times.borrow_mut(), since.elapsed());
                    }
                }
            },
            Err(error) => self.fail(error),
        }
    }

    fn expected(&self, request: usize) -> Option<usize> {
        match self.lengths.as_slice() {
            [one] => Some(*one),
            lengths => lengths.get(request).copied(),
        }
    }

    /// Keeps the first failure, and stops everything.
    pub(super) fn fail(&self, error: anyhow::Error) {
        self.failure.borrow_mut().get_or_insert(error);
        self.stopped.set(true);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.get()
    }

    pub(super) fn stop(&self) {
        self.stopped.set(true);
    }

    /// Counts from now on, and returns what the server has used so far.
    pub(super) fn begin(&self, meter: &mut Meter) -> anyhow::Result<(Instant, Usage)> {
        let usage = meter.read()?;
        self.counts.set(true);
        Ok((Instant::now(), usage))
    }

    /// Counts no more.
    pub(super) fn end(
        &self,
        meter: &mut Meter,
        (began, before): (Instant, Usage),
    ) -> anyhow::Result<(Duration, Usage)> {
        self.counts.set(false);
        let elapsed = began.elapsed();
        Ok((elapsed, meter.read()?.since(before)))
    }

    /// Returns what was counted.
    ///
    /// # Errors
    /// Something failed, or nothing was counted.
    pub(super) fn finish(&self, (elapsed, usage): (Duration, Usage)) -> anyhow::Result<Measured> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let times = self.times.borrow();
        ensure!(!times.is_empty(), "nothing was answered in {elapsed:?}");
        Ok(Measured { requests: times.len(), elapsed, latency: percentiles(&times), usage })
    }

    /// Makes the requests of `meanwhile` until this is stopped.
    pub(super) async fn meanwhile(&self, meanwhile: &Meanwhile) {
        let change = async {
            let connection = Connection::open(&meanwhile.service).await?;
            let method = Method::new(&meanwhile.service, &meanwhile.requests.path)?;
            let mut ticks = tokio::time::interval(meanwhile.interval);
            for body in meanwhile.requests.bodies.iter().cycle() {
                ticks.tick().await;
                if self.is_stopped() {
                    break;
                }
                connection.call(&method, &frame(body)).await?;
            }
            anyhow::Ok(())
        };
        if let Err(error) = change.await {
            self.fail(error.context("what goes on meanwhile failed"));
        }
    }
}

/// An empty histogram of nanoseconds.
pub(super) fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, nanoseconds(LONGEST), FIGURES)?)
}

pub(super) fn record(times: &mut Histogram<u64>, time: Duration) {
    times.saturating_record(nanoseconds(time));
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn percentiles(times: &Histogram<u64>) -> Percentiles {
    let at = |quantile| Duration::from_nanos(times.value_at_quantile(quantile));
    Percentiles { p50: at(0.5), p99: at(0.99), p999: at(0.999) }
}
