//! Medians and percentiles.

use std::time::Duration;

use crate::load::job::{Measured, Percentiles};

/// Returns the median; of an even number, the upper one; 0 of none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Returns the percentiles of times: each the smallest time that at least so many do not pass.
pub(crate) fn percentiles(times: &[Duration]) -> Percentiles {
    let mut times = times.to_vec();
    times.sort();
    let at = |per_mille: usize| {
        let rank = (times.len() * per_mille).div_ceil(1_000);
        times.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    };
    Percentiles { p50: at(500), p99: at(990), p999: at(999) }
}

/// The medians of several rounds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Summary {
    pub(crate) per_second: f64,
    /// Microseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    /// Microseconds of CPU time for a request.
    pub(crate) cpu: f64,
    /// Instructions for a request.
    pub(crate) instructions: Option<f64>,
}

impl Summary {
    /// Sums up rounds.
    pub(crate) fn of(rounds: &[Measured]) -> Self {
        let by = |figure: &dyn Fn(&Measured) -> f64| median(rounds.iter().map(figure));
        let instructions = |round: &Measured| Some(round.usage.instructions? as f64 / round.requests as f64);
        let counted: Option<Vec<f64>> = rounds.iter().map(instructions).collect();
        Self {
            per_second: by(&Measured::per_second),
            p50: by(&|round| micros(round.latency.p50)),
            p99: by(&|round| micros(round.latency.p99)),
            p999: by(&|round| micros(round.latency.p999)),
            cpu: by(&|round| micros(round.usage.cpu) / round.requests as f64),
            instructions: counted.map(median),
        }
    }
}

/// Returns microseconds.
pub(crate) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times: Vec<Duration> = (1..=1_000).rev().map(Duration::from_micros).collect();
        let Percentiles { p50, p99, p999 } = percentiles(&times);
        assert_eq!([p50, p99, p999].map(|time| time.as_micros()), [500, 990, 999]);
        assert_eq!(percentiles(&times[..1]).p50, Duration::from_millis(1));
        assert_eq!(percentiles(&[]), Percentiles::default());
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([]), 0.0);
    }
}
