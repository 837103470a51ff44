//! The change log as a stream: every change, in order, exactly once.

use std::sync::Arc;
use std::time::Duration;

use async_stream::stream;
use burgee_core::change::Change;
use burgee_core::name::ProjectName;
use burgee_core::project::Project;
use burgee_core::store::{ChangeOrder, FlagStore};
use burgee_core::{Error, Result};
use burgee_proto::management::v1 as pb;
use futures_util::Stream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::access::{Caller, Gate};
use crate::fields::At as _;
use crate::hub::{Backoff, Hub};

/// The most changes that are read ahead of the reader.
const READ_AHEAD: usize = 16;

/// What streams of changes have in common.
#[derive(Clone)]
pub(crate) struct Watching {
    pub(crate) store: Arc<dyn FlagStore>,
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
    let name = ProjectName::parse(&request.parent).at("parent")?;
    if request.after_revision.is_some_and(|revision| revision < 0) {
        return Err(Error::invalid("after_revision", "must not be negative"));
    }
    // What is written after this is heard, and what was written before is read.
    let mut writes = watching.hub.subscribe();
    let project = watching.store.project(&name).await?;
    let newest = project.revision;
    let through = request.after_revision.unwrap_or(newest);
    if through > newest {
        return Err(Error::OutOfRange { revision: through, oldest: 0, newest });
    }
    let mut reader = Reader { watching, caller, project, through };
    Ok(stream! {
        let Watching { shutdown, poll_interval, checkpoint_interval, .. } = reader.watching.clone();
        let mut backoff = Backoff::default();
        let mut silent_since = Instant::now();
        yield Ok(reader.checkpoint());
        loop {
            // Everything that is read now is older than the next hint.
            writes.mark_unchanged();
            let wait = match reader.read().await {
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
    /// As it was when the stream began.
    project: Project,
    /// The last revision that was delivered.
    through: i64,
}

impl Reader {
    fn checkpoint(&self) -> pb::WatchChangesResponse {
        pb::WatchChangesResponse { change: None, through_revision: self.through }
    }

    /// Returns the next changes.
    async fn read(&self) -> Result<Vec<Change>> {
        self.watching.gate.admit_again(&self.caller).await?;
        let store = &self.watching.store;
        let project = store.project(&self.project.name).await?;
        // Another project may have taken the name of one that was deleted; its revisions mean something else.
        if project.created_at != self.project.created_at {
            return Err(Error::NotFound { kind: "project", name: self.project.name.to_string() });
        }
        if project.revision < self.through {
            return Err(self.out_of_range(project.revision));
        }
        if project.revision == self.through {
            return Ok(Vec::new());
        }
        let changes = store.changes(&project.name, ChangeOrder::After(self.through), READ_AHEAD).await?;
        match changes.first() {
            // Revisions have no gaps, so what is missing is not kept any more.
            Some(first) if first.revision != self.through + 1 => Err(self.out_of_range(project.revision)),
            _ => Ok(changes),
        }
    }

    fn out_of_range(&self, newest: i64) -> Error {
        Error::OutOfRange { revision: self.through, oldest: 0, newest }
    }

    /// Delivers a change.
    fn deliver(&mut self, change: Change) -> Result<pb::WatchChangesResponse> {
        self.through = change.revision;
        Ok(pb::WatchChangesResponse { change: Some((&change).into()), through_revision: change.revision })
    }
}
