//! A line of the table.

use serde::Serialize;

use crate::load::job::Percentiles;
use crate::statistics::{Summary, micros};

/// The figures of one measurement. What was not measured, or could not be, is absent.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Row {
    /// Such as `evaluate_flags/standard`.
    pub(crate) name: String,
    /// Requests a second under a closed loop, or those that an open loop made.
    pub(crate) requests_per_second: Option<f64>,
    /// Microseconds.
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    pub(crate) p999_us: Option<f64>,
    /// The server's CPU time for one request, or for one message to one subscriber, in microseconds.
    pub(crate) cpu_us: Option<f64>,
    pub(crate) bare_cpu_us: Option<f64>,
    /// Of Burgee to what it is compared with: see [`Self::compared`].
    pub(crate) ratio: Option<f64>,
    /// The server's instructions outside of the kernel, for one request.
    pub(crate) instructions: Option<f64>,
    pub(crate) bare_instructions: Option<f64>,
    /// The server's resident memory at the end; in rows about memory, what they are about.
    pub(crate) rss_bytes: Option<u64>,
    /// What the ratio is of.
    #[serde(skip)]
    pub(crate) compared: &'static str,
    /// What was aimed at.
    #[serde(skip)]
    pub(crate) target: Option<Target>,
}

/// What was aimed at, and whether it was reached.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Target {
    pub(crate) text: String,
    pub(crate) is_met: bool,
}

impl Target {
    /// A figure that must not be larger.
    pub(crate) fn at_most(limit: f64, unit: &str, figure: f64) -> Self {
        Self { text: format!("≤ {limit}{unit}"), is_met: figure <= limit }
    }

    /// A figure that must not be smaller.
    pub(crate) fn at_least(limit: f64, unit: &str, figure: f64) -> Self {
        Self { text: format!("≥ {limit}{unit}"), is_met: figure >= limit }
    }

    /// Both must be reached.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { text: format!("{}, {}", self.text, other.text), is_met: self.is_met && other.is_met }
    }
}

impl Row {
    /// A line without figures.
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Says what was found, in a few words.
    pub(crate) fn in_short(&self) -> String {
        let micros = |what, time: Option<f64>| time.map(|time| format!("{what} {time:.0} µs"));
        let ratio = self.ratio.map(|ratio| format!("{ratio:.2} × {}", self.compared));
        let figures = [ratio, micros("p50", self.p50_us), micros("p99", self.p99_us)];
        format!("{}: {}", self.name, figures.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }

    /// Adds what load showed, on the real server and on the bare one.
    pub(crate) fn with_load(self, real: &Summary, bare: &Summary) -> Self {
        Self {
            requests_per_second: Some(real.per_second),
            p50_us: Some(real.p50),
            p99_us: Some(real.p99),
            p999_us: Some(real.p999),
            cpu_us: Some(real.cpu).filter(|cpu| *cpu > 0.0),
            bare_cpu_us: Some(bare.cpu).filter(|cpu| *cpu > 0.0),
            instructions: real.instructions,
            bare_instructions: bare.instructions,
            ..self
        }
    }

    /// Adds times.
    pub(crate) fn with_times(self, times: Percentiles) -> Self {
        let Percentiles { p50, p99, p999 } = times;
        let [p50_us, p99_us, p999_us] = [p50, p99, p999].map(|time| Some(micros(time)));
        Self { p50_us, p99_us, p999_us, ..self }
    }

    /// Adds the ratio of a figure to another, and what they are.
    pub(crate) fn compare(self, compared: &'static str, figure: f64, other: f64) -> Self {
        let ratio = (figure > 0.0 && other > 0.0).then(|| figure / other);
        Self { ratio, compared, ..self }
    }

    /// Adds what the ratio should not pass, if it is known.
    pub(crate) fn ratio_at_most(self, limit: f64) -> Self {
        let target = self.ratio.map(|ratio| Target::at_most(limit, " ×", ratio));
        Self { target, ..self }
    }

    /// Adds what the ratio should reach, if it is known.
    pub(crate) fn ratio_at_least(self, limit: f64) -> Self {
        let target = self.ratio.map(|ratio| Target::at_least(limit, " ×", ratio));
        Self { target, ..self }
    }
}
