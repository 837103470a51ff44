//! How many calls a credential may make.

use burgee_core::Result;
use burgee_core::access::SecretHash;
use burgee_core::rate::RequestLimiter;

use crate::metrics::Metrics;

/// The limit of calls of one credential, if there is one.
pub(crate) struct TokenLimit {
    limiter: Option<RequestLimiter>,
    metrics: Metrics,
}

impl TokenLimit {
    /// Creates a limit.
    pub(crate) fn new(limiter: Option<RequestLimiter>, metrics: Metrics) -> Self {
        Self { limiter, metrics }
    }

    /// Counts a call, or refuses it.
    pub(crate) fn check(&self, key: &SecretHash) -> Result<()> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        limiter.check(key).inspect_err(|_| {
            self.metrics.requests_limited.inc();
        })
    }
}
