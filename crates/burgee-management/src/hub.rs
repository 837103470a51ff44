//! One listener to the store's writes, however many streams wait for them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use burgee_core::store::{FlagStore, Wakeup, Wakeups};
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
    logs: Logs,
    /// The first stream that subscribes starts the listener.
    listening: Arc<Once>,
}

impl Hub {
    /// Creates a hub that listens until the shutdown.
    pub(crate) fn new(store: Arc<dyn FlagStore>, shutdown: CancellationToken) -> Self {
        Self { store, shutdown, logs: Logs::default(), listening: Arc::new(Once::new()) }
    }

    /// Returns what changes whenever a log may have been written from now on. A hint that may be lost: whoever
    /// needs to know polls as well.
    pub(crate) fn subscribe(&self, log: Wakeup) -> watch::Receiver<()> {
        self.listening.call_once(|| {
            let listening = listen(self.store.clone(), self.logs.clone());
            tokio::spawn(self.shutdown.clone().run_until_cancelled_owned(listening));
        });
        self.logs.subscribe(log)
    }
}

/// Who waits for which log.
#[derive(Clone, Default)]
struct Logs {
    waiting: Arc<Mutex<HashMap<Wakeup, watch::Sender<()>>>>,
}

impl Logs {
    fn subscribe(&self, log: Wakeup) -> watch::Receiver<()> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = waiting.get(&log) {
            return sender.subscribe();
        }
        // Logs that nobody waits for any more are left out when a new one comes.
        waiting.retain(|_, sender| sender.receiver_count() > 0);
        waiting.entry(log).or_default().subscribe()
    }

    /// Wakes who waits for what was written; everybody, if that is not known.
    fn announce(&self, written: Wakeup) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match written {
            Wakeup::Unknown => waiting.values().for_each(|sender| sender.send_modify(|()| ())),
            Wakeup::Project(_) | Wakeup::Account(_) => {
                if let Some(sender) = waiting.get(&written) {
                    sender.send_modify(|()| ());
                }
            }
        }
    }
}

/// Listens for ever.
async fn listen(store: Arc<dyn FlagStore>, logs: Logs) {
    let mut backoff = Backoff::default();
    loop {
        match store.wakeups().await {
            Ok(wakeups) => {
                // What was written while nobody listened is found by looking now.
                logs.announce(Wakeup::Unknown);
                forward(wakeups, &logs, &mut backoff).await;
            }
            Err(error) => backoff.failed(&error),
        }
        tokio::time::sleep(backoff.wait()).await;
    }
}

async fn forward(mut wakeups: Box<dyn Wakeups>, logs: &Logs, backoff: &mut Backoff) {
    loop {
        match wakeups.next().await {
            Ok(written) => {
                backoff.succeeded();
                logs.announce(written);
            }
            Err(error) => return backoff.failed(&error),
        }
    }
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
    use burgee_core::store::{LogRef, ProjectRef};

    use super::*;

    #[test]
    fn a_log_wakes_only_those_who_wait_for_it() {
        let logs = Logs::default();
        let names =
            [Wakeup::Project(ProjectRef(1)), Wakeup::Project(ProjectRef(2)), Wakeup::Account(LogRef(1))];
        let mut waiting = names.map(|name| logs.subscribe(name));
        let mut woken = |written| {
            logs.announce(written);
            waiting.each_mut().map(|receiver| {
                let woken = receiver.has_changed().unwrap();
                receiver.mark_unchanged();
                woken
            })
        };
        assert_eq!(woken(names[0]), [true, false, false]);
        assert_eq!(woken(names[2]), [false, false, true]);
        assert_eq!(woken(Wakeup::Project(ProjectRef(3))), [false; 3]);
        assert_eq!(woken(Wakeup::Unknown), [true; 3]);
    }

    #[test]
    fn logs_that_nobody_waits_for_are_forgotten() {
        let logs = Logs::default();
        for number in 0..1_000 {
            let _kept = logs.subscribe(Wakeup::Project(ProjectRef(number)));
        }
        assert_eq!(logs.waiting.lock().unwrap().len(), 1);
    }

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
