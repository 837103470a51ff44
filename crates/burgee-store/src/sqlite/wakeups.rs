//! Wake-ups within the process.

use async_trait::async_trait;
use burgee_core::Result;
use burgee_core::store::{Wakeup, Wakeups};
use tokio::sync::broadcast::{self, error::RecvError};

use super::dialect::Announcer;

/// Listens to what this process writes.
pub(crate) struct Listener {
    receiver: broadcast::Receiver<Wakeup>,
    /// Keeps the channel open.
    _announcer: Announcer,
}

impl Listener {
    /// Listens from now on.
    pub(crate) fn start(announcer: &Announcer) -> Self {
        Self { receiver: announcer.subscribe(), _announcer: announcer.clone() }
    }
}

#[async_trait]
impl Wakeups for Listener {
    async fn next(&mut self) -> Result<Wakeup> {
        match self.receiver.recv().await {
            Ok(wakeup) => Ok(wakeup),
            Err(RecvError::Lagged(_) | RecvError::Closed) => Ok(Wakeup::Unknown),
        }
    }
}
