//! Repeats transactions that failed only because of others at the same time.

use std::time::Duration;

use burgee_core::{Error, Result};

use crate::error::is_contention;

/// How often a transaction is tried.
const ATTEMPTS: u32 = 5;
/// The longest wait before the second attempt; doubles with every further one.
const FIRST_WAIT: Duration = Duration::from_millis(20);

/// Runs a whole transaction again, a bounded number of times, while it fails by contention.
pub(crate) async fn retrying<T, F, Running>(mut transaction: F) -> Result<T>
where
    F: FnMut() -> Running,
    Running: Future<Output = Result<T>>,
{
    for attempt in 1.. {
        match transaction().await {
            Err(error) if is_contention(&error) => {
                if attempt == ATTEMPTS {
                    tracing::warn!(?error, "gave up a transaction after {ATTEMPTS} attempts");
                    break;
                }
                // Jitter, so that those who met do not meet again.
                tokio::time::sleep((FIRST_WAIT * 2_u32.pow(attempt - 1)).mul_f64(rand::random())).await;
            }
            outcome => return outcome,
        }
    }
    Err(Error::Unavailable {
        reason: "DATABASE_CONTENTION",
        message: "other writes were in the way too often".to_owned(),
    })
}
