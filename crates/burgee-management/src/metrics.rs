//! What the service counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

/// The counters of the service. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub(crate) sign_ins_failed: Counter,
    pub(crate) sign_ins_refused: Counter,
    pub(crate) requests_limited: Counter,
    pub(crate) changes_forgotten: Counter,
}

impl Metrics {
    /// Adds the counters to those that are published.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("burgee_management");
        registry.register(
            "sign_ins_failed",
            "Calls with a credential that was not good",
            self.sign_ins_failed.clone(),
        );
        registry.register(
            "sign_ins_refused",
            "Calls refused because too many of their address had failed",
            self.sign_ins_refused.clone(),
        );
        registry.register(
            "requests_limited",
            "Calls refused because their credential had made too many",
            self.requests_limited.clone(),
        );
        registry.register(
            "changes_forgotten",
            "Changes that were older than the log keeps",
            self.changes_forgotten.clone(),
        );
    }
}
