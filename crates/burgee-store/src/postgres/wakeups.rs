//! Wake-ups by `LISTEN`, on a connection of their own.

use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use burgee_core::Result;
use burgee_core::store::{LogRef, ProjectRef, Wakeup, Wakeups};
use sqlx::postgres::{PgConnectOptions, PgListener, PgNotification, PgPoolOptions};

use super::dialect::{CHANNEL, LOG};
use crate::error::storage;

/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest wait before the second attempt to connect; doubles with every further one.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait between attempts to connect.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Listens to the notifications of all writers. After a loss it says so, but only once it listens again: whoever then
/// looks at the database misses nothing.
pub(crate) struct Listener {
    options: PgConnectOptions,
    state: State,
    failures: u32,
}

/// Kept between calls, so that whoever drops `next` half-way neither forgets a loss nor begins to connect all over.
enum State {
    Listening(PgListener),
    Lost(Pin<Box<dyn Future<Output = sqlx::Result<PgListener>> + Send>>),
}

impl Listener {
    /// Listens from now on.
    pub(crate) async fn start(options: PgConnectOptions) -> Result<Self> {
        let listener = listen(&options).await.map_err(storage)?;
        Ok(Self { options, state: State::Listening(listener), failures: 0 })
    }

    /// Begins to connect again, after a while.
    fn reconnect(&mut self, wait: Duration) {
        let options = self.options.clone();
        self.state = State::Lost(Box::pin(async move {
            tokio::time::sleep(wait).await;
            listen(&options).await
        }));
    }
}

async fn listen(options: &PgConnectOptions) -> sqlx::Result<PgListener> {
    listening_connection(options, &[CHANNEL]).await
}

/// Connects, and listens to channels. A connection that is lost stays so.
pub(super) async fn listening_connection(
    options: &PgConnectOptions,
    channels: &[&str],
) -> sqlx::Result<PgListener> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .max_lifetime(None)
        .idle_timeout(None)
        .acquire_timeout(CONNECT_TIMEOUT)
        .connect_lazy_with(options.clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    // It would connect again before it says that the connection was lost, and forget that if it were dropped meanwhile.
    listener.eager_reconnect(false);
    listener.listen_all(channels.iter().copied()).await?;
    Ok(listener)
}

#[async_trait]
impl Wakeups for Listener {
    async fn next(&mut self) -> Result<Wakeup> {
        if let State::Listening(listener) = &mut self.state {
            // `recv` would hide a lost connection, and with it lost messages.
            match listener.try_recv().await {
                Ok(Some(notification)) => return Ok(wakeup(&notification)),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "lost the connection that listens for writes: {error}"),
            }
            self.reconnect(Duration::ZERO);
        }
        let State::Lost(attempt) = &mut self.state else { return Ok(Wakeup::Unknown) };
        match attempt.await {
            Ok(listener) => {
                self.state = State::Listening(listener);
                self.failures = 0;
                Ok(Wakeup::Unknown)
            }
            Err(error) => {
                let wait = LONGEST_WAIT.min(FIRST_WAIT * 2_u32.pow(self.failures.min(10)));
                self.failures += 1;
                self.reconnect(wait.mul_f64(rand::random()));
                Err(storage(error))
            }
        }
    }
}

fn wakeup(notification: &PgNotification) -> Wakeup {
    let payload = notification.payload();
    let wakeup = match payload.strip_prefix(LOG) {
        Some(log) => log.parse().map(|log| Wakeup::Account(LogRef(log))),
        None => payload.parse().map(|project| Wakeup::Project(ProjectRef(project))),
    };
    wakeup.unwrap_or(Wakeup::Unknown)
}
