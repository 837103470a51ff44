//! What the service counts.

use std::fmt;
use std::sync::{Arc, OnceLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;

use crate::moment::Moment;

/// What the service counts. Clones count together; labels never tell who called, or of what.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    requests_limited: Counter,
    identities_remembered: Counter,
    identities_not_remembered: Counter,
    identities_unchanged: Counter,
    pub(crate) streams_open: Gauge,
    pub(crate) environments_held: Gauge,
    copy_failures: Counter,
    database: DatabaseAge,
}

impl Metrics {
    /// Adds everything to a registry.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("burgee_evaluation");
        registry.register(
            "requests_limited",
            "Requests refused because their key had made too many",
            self.requests_limited.clone(),
        );
        registry.register(
            "identities_remembered",
            "Stored traits that were used without asking the database",
            self.identities_remembered.clone(),
        );
        registry.register(
            "identities_not_remembered",
            "Stored traits that the database was asked for",
            self.identities_not_remembered.clone(),
        );
        registry.register(
            "identities_unchanged",
            "Calls of Identify that had nothing to write",
            self.identities_unchanged.clone(),
        );
        registry.register("streams_open", "Streams that are open", self.streams_open.clone());
        registry.register(
            "environments_held",
            "Environments that are held in memory",
            self.environments_held.clone(),
        );
        registry.register(
            "copy_failures",
            "Times that copies of environments could not be written to disk",
            self.copy_failures.clone(),
        );
        registry.register_collector(Box::new(self.database.clone()));
    }

    /// Counts a request that was refused because its key had made too many.
    pub(crate) fn note_limited(&self) {
        self.requests_limited.inc();
    }

    /// Counts an identity that was needed.
    pub(crate) fn note_identity(&self, is_remembered: bool) {
        match is_remembered {
            true => self.identities_remembered.inc(),
            false => self.identities_not_remembered.inc(),
        };
    }

    /// Counts a call of Identify that had nothing to write.
    pub(crate) fn note_unchanged(&self) {
        self.identities_unchanged.inc();
    }

    /// Counts an attempt to write copies of environments that failed.
    pub(crate) fn note_copy_failure(&self) {
        self.copy_failures.inc();
    }

    /// Says where it stands when the database was last reached.
    pub(crate) fn watch_database(&self, reached: Arc<Moment>) {
        // A second service with the same metrics would be told apart by nothing: the first counts.
        let _ = self.database.0.set(reached);
    }
}

/// How long ago the database was last reached, worked out when somebody asks.
#[derive(Clone, Default)]
struct DatabaseAge(Arc<OnceLock<Arc<Moment>>>);

impl Collector for DatabaseAge {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(reached) = self.0.get() else { return Ok(()) };
        let age = ConstGauge::new(reached.age(Instant::now()).as_secs_f64());
        let encoder = encoder.encode_descriptor(
            "database_last_reached",
            "Since the database last answered the service",
            Some(&Unit::Seconds),
            prometheus_client::metrics::MetricType::Gauge,
        )?;
        age.encode(encoder)
    }
}

impl fmt::Debug for DatabaseAge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DatabaseAge")
    }
}
