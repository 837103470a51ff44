//! Whether the database answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use burgee_core::Error;
use tokio::time::Instant;

use crate::moment::Moment;

/// Whether the database answers, as the follower sees it.
#[derive(Debug)]
pub(crate) struct Database {
    reached: Arc<Moment>,
    was_reached: AtomicBool,
    has_failed: AtomicBool,
    /// For how long copies on disk stand in for it, if there are any.
    copies_count_for: Option<Duration>,
}

impl Database {
    /// Creates what is known at the start. `copies` says how old the newest copy on disk is, and for how long copies count.
    pub(crate) fn new(now: Instant, copies: Option<(Duration, Duration)>) -> Self {
        let reached = Moment::at(now);
        if let Some((age, _)) = copies {
            reached.put(now, age);
        }
        Self {
            reached: Arc::new(reached),
            was_reached: AtomicBool::new(false),
            has_failed: AtomicBool::new(false),
            copies_count_for: copies.map(|(_, longest_age)| longest_age),
        }
    }

    /// Returns when it was last reached; at first, when the service was started, or by a former process
    /// whose copies count.
    pub(crate) fn reached(&self) -> Arc<Moment> {
        Arc::clone(&self.reached)
    }

    /// Says whether asking is worth it: the last time it was asked, it answered, or it was never asked.
    pub(crate) fn is_reachable(&self) -> bool {
        !self.has_failed.load(Ordering::Relaxed)
    }

    /// Says whether it has answered, and the last time that it was asked.
    pub(crate) fn is_answering(&self) -> bool {
        self.was_reached.load(Ordering::Relaxed) && self.is_reachable()
    }

    /// Notes that it answered a question asked at `asked_at`.
    pub(crate) fn note_answer(&self, asked_at: Instant) {
        self.reached.advance(asked_at);
        self.was_reached.store(true, Ordering::Relaxed);
        self.has_failed.store(false, Ordering::Relaxed);
    }

    /// Notes that it did not answer.
    pub(crate) fn note_failure(&self) {
        self.has_failed.store(true, Ordering::Relaxed);
    }

    /// Says whether it was ever reached, or copies stand in for it; and is not away for longer than `limit`.
    pub(crate) fn is_ready(&self, limit: Option<Duration>, now: Instant) -> bool {
        let age = self.reached.age(now);
        let has_data = self.was_reached.load(Ordering::Relaxed)
            || self.copies_count_for.is_some_and(|longest_age| age <= longest_age);
        has_data && limit.is_none_or(|limit| age <= limit)
    }
}

/// Creates the error of a call that needs the database while it is away.
pub(crate) fn database_unavailable(message: impl Into<String>) -> Error {
    Error::Unavailable { reason: "DATABASE_UNAVAILABLE", message: message.into() }
}

/// Creates the error once more, for another caller whom it concerns.
pub(crate) fn repeat(error: &Error) -> Error {
    match error {
        Error::Unavailable { reason, message } => Error::Unavailable { reason, message: message.clone() },
        Error::Storage(cause) => Error::Storage(cause.to_string().into()),
        other => Error::Storage(other.to_string().into()),
    }
}
