//! The change log as a stream: every change, in order, exactly once.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_stream::stream;
use burgee_core::access::SecretHash;
use burgee_core::change::Change;
use burgee_core::name::LogName;
use burgee_core::store::{ChangeOrder, FlagStore, LogState};
use burgee_core::{Error, Result};
use burgee_proto::management::v1 as pb;
use chrono::{DateTime, Utc};
use futures_util::Stream;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::access::{Guarded as _, Needs};
use crate::fields::At as _;
use crate::gate::{Caller, Gate};
use crate::hub::{Backoff, Hub};

/// The most changes that are read ahead of the reader; the store reads fewer if they are large (`CHANGES_READ_BYTES`).
const READ_AHEAD: usize = 16;

/// Reads of all streams of changes at once. They share the connections of evaluation and all other reads (`--read-connections`, 10 by
/// default), which must not wait behind thousands of streams that wake up together.
const READS: usize = 4;

/// The streams that are open, by credential.
#[derive(Clone, Default)]
pub(crate) struct Places {
    taken: Arc<Mutex<HashMap<SecretHash, usize>>>,
}

/// The place of a stream, until it ends.
struct PlaceTaken {
    places: Places,
    key: SecretHash,
}

impl Places {
    fn take(&self, key: SecretHash, limit: usize) -> Result<PlaceTaken> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let streams = taken.entry(key).or_default();
        if *streams >= limit {
            return Err(Error::LimitExceeded { limit: "streams_per_token", maximum: limit as u64 });
        }
        *streams += 1;
        Ok(PlaceTaken { places: self.clone(), key })
    }
}

impl Drop for PlaceTaken {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(streams) = taken.get_mut(&self.key) {
            *streams -= 1;
            if *streams == 0 {
                taken.remove(&self.key);
            }
        }
    }
}

/// Lets few streams read at once, in the order in which they ask.
#[derive(Clone)]
pub(crate) struct Reads(Arc<Semaphore>);

impl Default for Reads {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(READS)))
    }
}

impl Reads {
    /// Does a read when it is its turn.
    async fn one<T>(&self, read: impl Future<Output = T>) -> T {
        // It is never closed.
        let _permit = self.0.acquire().await;
        read.await
    }
}

/// What streams of changes have in common.
#[derive(Clone)]
pub(crate) struct Watching {
    pub(crate) places: Places,
    /// Streams at once with one credential.
    pub(crate) streams_per_token: usize,
    pub(crate) store: Arc<dyn FlagStore>,
    pub(crate) reads: Reads,
    pub(crate) hub: Hub,
    pub(crate) gate: Gate,
    pub(crate) shutdown: CancellationToken,
    /// How often to look when nothing is heard.
    pub(crate) poll_interval: Duration,
    /// How long a stream stays silent.
    pub(crate) checkpoint_interval: Duration,
}

/// Begins a stream.
pub(crate) async fn changes(
    watching: Watching,
    caller: Caller,
    request: pb::WatchChangesRequest,
) -> Result<impl Stream<Item = Result<pb::WatchChangesResponse>> + Send + 'static> {
    let needs = request.needs()?;
    let name = LogName::parse(&request.parent).at("parent")?;
    if request.after_revision.is_some_and(|revision| revision < 0) {
        return Err(Error::invalid("after_revision", "must not be negative"));
    }
    let place = watching.places.take(caller.key, watching.streams_per_token)?;
    let log = watching.store.log(&name).await?;
    // What is written after this is heard, and what was written before is read.
    let mut writes = watching.hub.subscribe(log.wakeup);
    let through = request.after_revision.unwrap_or(log.newest);
    let mut reader = Reader { watching, caller, needs, name, created_at: log.created_at, through };
    reader.check(&log)?;
    Ok(stream! {
        let _place = place;
        let Watching { shutdown, poll_interval, checkpoint_interval, .. } = reader.watching.clone();
        let mut backoff = Backoff::default();
        let mut silent_since = Instant::now();
        yield Ok(pb::WatchChangesResponse { oldest_revision: log.oldest, ..reader.checkpoint() });
        loop {
            // Everything that is read now is older than the next hint.
            writes.mark_unchanged();
            let read = {
                let mut read = pin!(reader.watching.reads.one(reader.read()));
                loop {
                    tokio::select! {
                        biased;
                        () = shutdown.cancelled() => {
                            yield Err(shutting_down());
                            return;
                        }
                        read = &mut read => break read,
                        () = tokio::time::sleep_until(silent_since + checkpoint_interval) => {
                            yield Ok(reader.checkpoint());
                            silent_since = Instant::now();
                        }
                    }
                }
            };
            let wait = match read {
                Ok(changes) if changes.is_empty() => {
                    backoff.succeeded();
                    poll_interval
                }
                Ok(changes) => {
                    backoff.succeeded();
                    for change in changes {
                        yield reader.deliver(change);
                        silent_since = Instant::now();
                    }
                    if !shutdown.is_cancelled() {
                        continue;
                    }
                    poll_interval
                }
                // The stream outlives the database: its reader has everything through a known revision.
                Err(error @ (Error::Unavailable { .. } | Error::Storage(_))) => {
                    backoff.failed(&error);
                    backoff.wait()
                }
                Err(error) => {
                    yield Err(error);
                    return;
                }
            };
            tokio::select! {
                biased;
                () = shutdown.cancelled() => {
                    yield Err(shutting_down());
                    return;
                }
                () = tokio::time::sleep_until(silent_since + checkpoint_interval) => {
                    yield Ok(reader.checkpoint());
                    silent_since = Instant::now();
                }
                () = tokio::time::sleep(wait) => {}
                Ok(()) = writes.changed() => {}
            }
        }
    })
}

fn shutting_down() -> Error {
    Error::Unavailable { reason: "SHUTTING_DOWN", message: "the server is shutting down".to_owned() }
}

/// Reads the change log behind what was delivered.
struct Reader {
    watching: Watching,
    caller: Caller,
    /// What the caller has to have, as long as the stream lasts.
    needs: Needs,
    name: LogName,
    /// When what the log is of was created.
    created_at: DateTime<Utc>,
    /// The last revision that was delivered.
    through: i64,
}

impl Reader {
    fn checkpoint(&self) -> pb::WatchChangesResponse {
        pb::WatchChangesResponse { change: None, through_revision: self.through, oldest_revision: 0 }
    }

    /// Checks that what follows what was delivered is kept.
    fn check(&self, log: &LogState) -> Result<()> {
        // Another may have taken the name of one that was deleted; its revisions mean something else.
        if log.created_at != self.created_at {
            return Err(Error::NotFound { kind: self.name.kind(), name: self.name.to_string() });
        }
        if self.through > log.newest || self.through + 1 < log.oldest {
            let LogState { oldest, newest, .. } = *log;
            return Err(Error::OutOfRange { revision: self.through, oldest, newest });
        }
        Ok(())
    }

    /// Returns the next changes.
    async fn read(&self) -> Result<Vec<Change>> {
        self.watching.gate.admit_again(&self.caller, &self.needs).await?;
        let store = &self.watching.store;
        let log = store.log(&self.name).await?;
        self.check(&log)?;
        if log.newest == self.through {
            return Ok(Vec::new());
        }
        let changes = store.changes(&self.name, ChangeOrder::After(self.through), READ_AHEAD).await?;
        match changes.first() {
            // Revisions have no gaps, so what is missing was forgotten since the log was looked at.
            Some(first) if first.revision != self.through + 1 => {
                self.check(&LogState { oldest: first.revision, ..log })?;
                Ok(Vec::new())
            }
            _ => Ok(changes),
        }
    }

    /// Delivers a change.
    fn deliver(&mut self, change: Change) -> Result<pb::WatchChangesResponse> {
        self.through = change.revision;
        let through_revision = change.revision;
        Ok(pb::WatchChangesResponse { change: Some((&change).into()), through_revision, oldest_revision: 0 })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn few_streams_read_at_once() {
        let (reads, now, most) = (Reads::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        let read = || async {
            most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            now.fetch_sub(1, Ordering::Relaxed);
        };
        join_all((0..1_000).map(|_| reads.one(read()))).await;
        assert_eq!(most.into_inner(), READS);
    }
}
