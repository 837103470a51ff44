//! Instants and waits that many tasks share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The shortest wait after a first failure.
const FIRST_BACK_OFF: Duration = Duration::from_millis(100);

static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Where the process's own time begins, so that moments before it have a number, too.
const ORIGIN_MS: u64 = 1 << 42;

/// An instant that only moves forward, in milliseconds.
#[derive(Debug)]
pub(crate) struct Moment(AtomicU64);

impl Moment {
    /// Creates a moment that lies at `instant`.
    pub(crate) fn at(instant: Instant) -> Self {
        Self(AtomicU64::new(milliseconds(instant)))
    }

    /// Puts the moment `age` before `now`, wherever it was.
    pub(crate) fn put(&self, now: Instant, age: Duration) {
        self.0.store(milliseconds(now).saturating_sub(whole_milliseconds(age)), Ordering::Relaxed);
    }

    /// Moves forward to `instant`.
    pub(crate) fn advance(&self, instant: Instant) {
        let new = milliseconds(instant);
        // Most calls within one millisecond only read, so that threads do not fight for the line.
        if self.0.load(Ordering::Relaxed) < new {
            self.0.fetch_max(new, Ordering::Relaxed);
        }
    }

    /// Returns how long ago the moment was at `now`.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        Duration::from_millis(milliseconds(now).saturating_sub(self.0.load(Ordering::Relaxed)))
    }
}

fn milliseconds(instant: Instant) -> u64 {
    ORIGIN_MS.saturating_add(whole_milliseconds(instant.saturating_duration_since(*ORIGIN)))
}

fn whole_milliseconds(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// Returns how long to wait after so many failures in a row: doubling, at most `longest`, shortened at random by up to
/// half, so that replicas do not ask all at once.
pub(crate) fn back_off(failures: u32, longest: Duration) -> Duration {
    let wait = FIRST_BACK_OFF.saturating_mul(1 << failures.saturating_sub(1).min(16));
    wait.min(longest).mul_f64(rand::random_range(0.5..=1.0))
}

/// Takes a lock. No holder of ours panics half-way through a change, so a poisoned lock is as good as any.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_never_moves_back() {
        let start = Instant::now();
        let moment = Moment::at(start + Duration::from_secs(5));
        moment.advance(start);
        assert_eq!(moment.age(start + Duration::from_secs(7)), Duration::from_secs(2));
        assert_eq!(moment.age(start), Duration::ZERO);
    }

    #[test]
    fn a_moment_may_lie_before_the_process() {
        let (start, day) = (Instant::now(), Duration::from_secs(86_400));
        let moment = Moment::at(start);
        moment.put(start, day);
        assert_eq!(moment.age(start), day);
        moment.advance(start);
        assert_eq!(moment.age(start), Duration::ZERO);
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let longest = Duration::from_secs(5);
        for (failures, most) in [(1, 100), (2, 200), (4, 800), (7, 5_000), (60, 5_000), (u32::MAX, 5_000)] {
            let most = Duration::from_millis(most);
            let wait = back_off(failures, longest);
            assert!(wait <= most && wait >= most / 2, "{failures}: {wait:?}");
        }
    }
}
