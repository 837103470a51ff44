//! How many requests a credential may make: a token bucket each. The one place of this crate with a clock.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::access::SecretHash;
use crate::{Error, Result};

/// Credentials whose buckets are kept at once. A bucket that is full again is as good as none, and is dropped first.
pub const MAX_BUCKETS: usize = 100_000;
/// Requests between two looks at how many buckets there are; each makes one bucket at most.
const LOOK_EVERY: usize = 1_024;

/// Lets every credential make so many requests a second, and so many at once.
///
/// Credentials are told apart by the hashes of their secrets, never by addresses: behind a proxy, all callers have one.
/// Only those that are known to be good should be asked about, or strangers could make buckets.
pub struct RequestLimiter {
    limit: &'static str,
    per_second: NonZeroU32,
    quota: Quota,
    buckets: RwLock<DefaultKeyedRateLimiter<SecretHash>>,
    clock: DefaultClock,
    requests: AtomicUsize,
    max_buckets: usize,
}

impl RequestLimiter {
    /// Creates a limiter whose buckets hold `burst` requests, and take in `per_second` new ones.
    #[must_use]
    pub fn new(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        let quota = Quota::per_second(per_second).allow_burst(burst);
        Self {
            limit: "requests_per_second",
            per_second,
            quota,
            buckets: RwLock::new(RateLimiter::keyed(quota)),
            clock: DefaultClock::default(),
            requests: AtomicUsize::new(0),
            max_buckets: MAX_BUCKETS,
        }
    }

    /// Gives the limit the name that it has in the settings, which its errors tell.
    #[must_use]
    pub fn named(self, limit: &'static str) -> Self {
        Self { limit, ..self }
    }

    /// Takes a request from the bucket of a credential.
    ///
    /// # Errors
    /// [`Error::TooManyRequests`], if the bucket is empty.
    pub fn check(&self, key: &SecretHash) -> Result<()> {
        if self.requests.fetch_add(1, Ordering::Relaxed) % LOOK_EVERY == LOOK_EVERY - 1 {
            self.tidy();
        }
        let buckets = self.buckets.read().unwrap_or_else(PoisonError::into_inner);
        buckets.check_key(key).map_err(|refused| Error::TooManyRequests {
            limit: self.limit,
            per_second: self.per_second.get(),
            retry_after: refused.wait_time_from(self.clock.now()),
        })
    }

    /// Drops buckets if there are too many.
    fn tidy(&self) {
        let most = self.max_buckets.saturating_sub(LOOK_EVERY);
        let buckets = self.buckets.read().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() <= most {
            return;
        }
        buckets.retain_recent();
        if buckets.len() <= most {
            return;
        }
        drop(buckets);
        // So many have called within the time of one bucket. The memory is worth more than what they have used up.
        let mut buckets = self.buckets.write().unwrap_or_else(PoisonError::into_inner);
        *buckets = RateLimiter::keyed(self.quota);
    }
}

impl fmt::Debug for RequestLimiter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("RequestLimiter");
        shown.field("limit", &self.limit).field("per_second", &self.per_second).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limiter(per_second: u32, burst: u32) -> RequestLimiter {
        RequestLimiter::new(NonZeroU32::new(per_second).unwrap(), NonZeroU32::new(burst).unwrap())
    }

    #[test]
    fn a_burst_is_let_through_and_what_follows_is_not() {
        let limiter = limiter(1, 3).named("requests_per_key_per_second");
        let (one, other) = (SecretHash::of("one"), SecretHash::of("other"));
        for _ in 0..3 {
            limiter.check(&one).unwrap();
        }
        let Err(Error::TooManyRequests { limit, per_second, retry_after }) = limiter.check(&one) else {
            panic!("the fourth is one too many");
        };
        assert_eq!((limit, per_second), ("requests_per_key_per_second", 1));
        assert!(retry_after > Duration::ZERO && retry_after <= Duration::from_secs(1), "{retry_after:?}");
        limiter.check(&other).unwrap();
    }

    #[test]
    fn buckets_are_bounded() {
        // Buckets of which none fills up during the test.
        let limiter = RequestLimiter { max_buckets: 3 * LOOK_EVERY, ..limiter(1, 1_000) };
        for key in 0..10 * LOOK_EVERY {
            limiter.check(&SecretHash::of(&key.to_string())).unwrap();
            let held = limiter.buckets.read().unwrap().len();
            assert!(held <= limiter.max_buckets, "{held} after {key}");
        }
    }

    #[test]
    fn only_buckets_that_are_full_again_are_dropped_while_there_is_room() {
        let limiter = RequestLimiter { max_buckets: 2 * LOOK_EVERY, ..limiter(1_000_000, 1) };
        for key in 0..5 * LOOK_EVERY {
            limiter.check(&SecretHash::of(&key.to_string())).unwrap();
        }
        let slow = RequestLimiter { max_buckets: 2 * LOOK_EVERY, ..self::limiter(1, 1) };
        let key = SecretHash::of("busy");
        slow.check(&key).unwrap();
        for _ in 0..2 * LOOK_EVERY {
            slow.check(&key).unwrap_err();
        }
        assert_eq!(slow.buckets.read().unwrap().len(), 1);
    }
}
