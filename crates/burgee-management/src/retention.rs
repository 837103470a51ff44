//! Forgets what is older than the change logs keep.

use std::sync::Arc;
use std::time::Duration;

use burgee_core::store::FlagStore;
use chrono::{TimeDelta, Utc};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::metrics::Metrics;

/// How often old changes are looked for.
const INTERVAL: Duration = Duration::from_secs(600);
/// Changes of one log that are forgotten at once.
const BATCH: usize = 1_000;
/// The wait between two batches, so that writes come through.
const PAUSE: Duration = Duration::from_millis(100);

/// Forgets changes of a certain age until the shutdown.
pub(crate) async fn keep_trimming(
    store: Arc<dyn FlagStore>,
    retention: TimeDelta,
    metrics: Metrics,
    shutdown: CancellationToken,
) {
    loop {
        if shutdown.run_until_cancelled(trim(&*store, retention, &metrics)).await.is_none() {
            return;
        }
        // Replicas do not all look at the same time.
        let wait = INTERVAL.mul_f64(rand::random_range(0.5..=1.0));
        if shutdown.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
            return;
        }
    }
}

async fn trim(store: &dyn FlagStore, retention: TimeDelta, metrics: &Metrics) {
    let mut forgotten = 0;
    loop {
        match store.trim_changes(Utc::now() - retention, BATCH).await {
            Ok(0) => break,
            Ok(changes) => {
                forgotten += changes;
                metrics.changes_forgotten.inc_by(changes);
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => {
                warn!("old changes were not forgotten, and will be later: {error}");
                break;
            }
        }
    }
    if forgotten > 0 {
        info!(
            changes = forgotten,
            "forgot {forgotten} changes that are older than {} days",
            retention.num_days()
        );
    }
}
