//! One listener to the store's writes, however many streams wait for them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use burgee_core::store::{FlagStore, Wakeups};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The wait after the first failure; doubles with every further one.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Tells streams to look again.
#[derive(Clone)]
pub(crate) struct Hub {
    store: Arc<dyn FlagStore>,
    shutdown: CancellationToken,
    /// How often something was written; set when the first stream subscribes, which starts the listener.
    writes: Arc<OnceLock<watch::Sender<u64>>>,
}

impl Hub {
    /// Creates a hub that listens until the shutdown.
    pub(crate) fn new(store: Arc<dyn FlagStore>, shutdown: CancellationToken) -> Self {
        Self { store, shutdown, writes: Arc::default() }
    }

    /// Returns what changes whenever something may have been written from now on. A hint that may be lost: whoever
    /// needs to know polls as well.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        let writes = self.writes.get_or_init(|| {
            let (writes, _) = watch::channel(0);
            tokio::spawn(
                self.shutdown.clone().run_until_cancelled_owned(listen(self.store.clone(), writes.clone())),
            );
            writes
        });
        writes.subscribe()
    }
}

/// Listens for ever.
async fn listen(store: Arc<dyn FlagStore>, writes: watch::Sender<u64>) {
    let mut backoff = Backoff::default();
    loop {
        match store.wakeups().await {
            Ok(wakeups) => {
                // What was written while nobody listened is found by looking now.
                announce(&writes);
                forward(wakeups, &writes, &mut backoff).await;
            }
            Err(error) => backoff.failed(&error),
        }
        tokio::time::sleep(backoff.wait()).await;
    }
}

async fn forward(mut wakeups: Box<dyn Wakeups>, writes: &watch::Sender<u64>, backoff: &mut Backoff) {
    loop {
        match wakeups.next().await {
            Ok(_) => {
                backoff.succeeded();
                announce(writes);
            }
            Err(error) => return backoff.failed(&error),
        }
    }
}

fn announce(writes: &watch::Sender<u64>) {
    writes.send_modify(|count| *count = count.wrapping_add(1));
}

/// How long to wait before trying again.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Notes a failure; only the first in a row is logged.
    pub(crate) fn failed(&mut self, error: &burgee_core::Error) {
        if self.failures == 0 {
            warn!(%error, "changes cannot be read, and will be tried again: {error}");
        }
        self.failures = self.failures.saturating_add(1);
    }

    /// Notes that it works again.
    pub(crate) fn succeeded(&mut self) {
        if self.failures > 0 {
            info!(failures = self.failures, "changes can be read again");
        }
        self.failures = 0;
    }

    /// Returns the time to wait: longer with every failure, up to a bound, and never the same for all.
    pub(crate) fn wait(&self) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(16);
        let longest = FIRST_WAIT.saturating_mul(2_u32.pow(doublings)).min(LONGEST_WAIT);
        longest.mul_f64(rand::random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_differ() {
        let mut backoff = Backoff::default();
        for longest_ms in [100, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            let wait = backoff.wait();
            let longest = Duration::from_millis(longest_ms);
            assert!(longest / 2 <= wait && wait <= longest, "{wait:?} {longest:?}");
            backoff.failures += 1;
        }
        backoff.failures = u32::MAX;
        assert!(backoff.wait() <= LONGEST_WAIT);
        backoff.succeeded();
        assert!(backoff.wait() <= FIRST_WAIT);
    }
}
