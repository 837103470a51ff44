//! What is going on, for whoever waits.

use std::time::Instant;

/// Tells it on standard error, with the time since the start.
pub(crate) struct Progress(Instant);

impl Progress {
    /// Begins.
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }

    /// Tells what is done now.
    #[allow(clippy::print_stderr, reason = "standard output is for the table")]
    pub(crate) fn say(&self, what: &str) {
        eprintln!("[{:>4} s] {what}", self.0.elapsed().as_secs());
    }
}
