//! How much is measured.

use std::time::Duration;

/// Sizes and times of a run.
#[derive(Clone, Debug)]
pub(crate) struct Effort {
    /// How often the real and the bare server take turns under a closed loop; medians count.
    pub(crate) closed_rounds: usize,
    /// The same under an open loop.
    pub(crate) open_rounds: usize,
    /// Before each round.
    pub(crate) warm_up: Duration,
    /// Of each round; `None`: until each request was made once.
    pub(crate) duration: Option<Duration>,
    /// Of each round of what PostgreSQL does alone.
    pub(crate) upserting: Duration,
    /// Whether environments are measured that take long to fill.
    pub(crate) has_large: bool,
    /// Identities that are asked about again and again.
    pub(crate) identities: usize,
    /// Identities of each round that nobody asked about before.
    pub(crate) cold_identities: usize,
    /// Changes that are measured until they reach one subscriber, and as many transactions with a notification.
    pub(crate) changes: usize,
    /// Changes that are measured until they reach many.
    pub(crate) fanned_changes: usize,
    /// How many subscribers: connections, and streams on each.
    pub(crate) subscribers: &'static [(usize, usize)],
    /// How often the real and the bare server take turns with subscribers.
    pub(crate) fanout_rounds: usize,
    /// How long subscribers are idle before memory is read.
    pub(crate) idle: Duration,
    /// Projects and environments in each, for what many environments take.
    pub(crate) projects: usize,
    pub(crate) environments: usize,
}

impl Effort {
    /// What figures can be quoted from: below ten minutes.
    pub(crate) fn standard() -> Self {
        Self {
            closed_rounds: 5,
            open_rounds: 3,
            warm_up: Duration::from_millis(200),
            duration: Some(Duration::from_secs(1)),
            upserting: Duration::from_secs(1),
            has_large: true,
            identities: 1_000,
            cold_identities: 3_000,
            changes: 300,
            fanned_changes: 100,
            subscribers: &[(10, 100), (100, 100)],
            fanout_rounds: 2,
            idle: Duration::from_secs(1),
            projects: 10,
            environments: 100,
        }
    }

    /// What shows that it works.
    pub(crate) fn quick() -> Self {
        Self {
            closed_rounds: 1,
            open_rounds: 1,
            warm_up: Duration::ZERO,
            duration: None,
            upserting: Duration::from_millis(100),
            has_large: false,
            identities: 50,
            cold_identities: 20,
            changes: 10,
            fanned_changes: 5,
            subscribers: &[(5, 20)],
            fanout_rounds: 1,
            idle: Duration::from_millis(50),
            projects: 2,
            environments: 3,
        }
    }
}
