//! Burgee's evaluation service: answers from memory, and streams what changes.
//!
//! # How an answer is made
//!
//! The environments in use are held as immutable, compiled snapshots. A follower replaces them when the database says
//! that something was written (see `follower`). A call finds its snapshot by the hash of its key, evaluates, and is done:
//! no lock is held across a wait, and the database is not asked, unless stored traits count that are not known to be fresh
//! (see `identities` and `news`).
//!
//! # While the database is away
//!
//! - What needs no stored traits goes on for ever, from the snapshots held: environments, and identities with
//!   `ignore_stored_traits`. Answers say for how long the database was not reached.
//! - Identities with stored traits are answered from those read lately. Where there are none, the call fails with
//!   `DATABASE_UNAVAILABLE`: an answer without the traits could be a wrong one.
//! - `Identify` fails with `DATABASE_UNAVAILABLE`, unless it is transient.
//! - A key of an environment that is not held is answered from the environment's copy on disk (see `copies`). Where there is
//!   none, it fails with `DATABASE_UNAVAILABLE`.

#[cfg(test)]
mod agreement;
mod call;
mod changes;
mod copies;
mod database;
mod deadline;
mod digest;
mod environments;
mod evaluate;
mod flights;
mod follower;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod hints;
mod identify;
mod identities;
mod message_writer;
mod metrics;
mod moment;
mod news;
mod outcome;
mod parts;
#[cfg(test)]
mod plain;
mod request;
mod rights;
mod service;
mod session;
mod settings;
mod shared;
mod sight;
mod slot;
mod snapshot;
mod streams;
mod subject;
#[cfg(test)]
mod testing;
mod token;
mod view;
mod watch_flags;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use burgee_core::rate::RequestLimiter;
use burgee_core::store::{FlagFeed, IdentityStore};
use burgee_core::{Error, Result};
use burgee_proto::evaluation::encoded::evaluation_service_server::EvaluationServiceServer;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::call::Call;
use crate::copies::Copies;
use crate::environments::Environments;
use crate::identities::Identities;
use crate::rights::Method;
use crate::session::Session;
use crate::streams::Streams;
use crate::writer::Writer;

pub use crate::copies::CopySettings;
pub use crate::metrics::Metrics;
pub use crate::settings::Settings;

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Methods exist of which nobody said who may call them, or the other way round.
    #[error("the methods of the service and the list of their rights differ: {}", .0.join(", "))]
    Rights(Vec<String>),
    /// The folder of the copies cannot be made, read or locked.
    #[error("copies of environments cannot be kept in `{}`", .folder.display())]
    Copies {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The evaluation service.
#[derive(Clone)]
pub struct Evaluation {
    shared: Arc<Shared>,
    ready: watch::Receiver<bool>,
    tasks: TaskTracker,
}

impl Evaluation {
    /// Starts the tasks that follow the database and returns at once; environments are read when they are first asked
    /// for. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// A method has no entry in the list of rights, or the folder of the copies cannot be used.
    pub fn start(
        feed: Arc<dyn FlagFeed>,
        identities: Arc<dyn IdentityStore>,
        settings: Settings,
        shutdown: CancellationToken,
    ) -> Result<Self, StartError> {
        rights::check(burgee_proto::DESCRIPTORS).map_err(StartError::Rights)?;
        let settings = Arc::new(settings);
        let tasks = TaskTracker::new();
        let copies = open_copies(&settings)?;
        let environments = Arc::new(Environments::new(
            feed,
            Arc::clone(&settings),
            copies.clone(),
            tasks.clone(),
            shutdown.clone(),
        ));
        let (identities_read, reads) =
            Identities::new(identities, Arc::clone(&environments), Arc::clone(&settings));
        let identities = Arc::new(identities_read);
        let (writer, writes) = Writer::new(Arc::clone(&identities), Arc::clone(&settings), shutdown.clone());
        let shared = Arc::new(Shared {
            environments: Arc::clone(&environments),
            identities,
            writer,
            requests: limiter(&settings),
            streams: Arc::new(Streams::new(settings.metrics.streams_open.clone())),
            large_batches: Arc::new(Semaphore::new(settings.large_batches)),
            settings,
            shutdown: shutdown.clone(),
        });

        let (ready_sender, ready) = watch::channel(false);
        tasks.spawn(follower::listen(Arc::clone(&environments), shutdown.clone()));
        if let Some(copies) = copies {
            tasks.spawn(copies.keep(Arc::clone(&environments), shutdown.clone()));
        }
        tasks.spawn(follower::follow(environments, ready_sender, shutdown.clone()));
        tasks.spawn(news::listen(Arc::clone(&shared.identities), shutdown.clone()));
        tasks.spawn(writes.run());
        tasks.spawn(Arc::clone(&shared.identities).read_until(shutdown, tasks.clone(), reads));
        tasks.close();
        Ok(Self { shared, ready, tasks })
    }

    /// Adds the service to a server's routes.
    pub fn add_to(&self, routes: &mut tonic::service::RoutesBuilder) {
        let service = EvaluationServiceServer::new(service::Service(Arc::clone(&self.shared)));
        routes.add_service(service.max_decoding_message_size(self.shared.settings.max_message_bytes));
    }

    /// Returns whether the service is ready: the database was reached, or there are copies on disk that are not too old; and it
    /// is not away for longer than [`Settings::unready_when_stale_for`], the time before the start included.
    pub fn readiness(&self) -> watch::Receiver<bool> {
        self.ready.clone()
    }

    /// Waits until all tasks of the service have ended, which they do after the shutdown.
    pub async fn stopped(&self) {
        self.tasks.wait().await;
    }
}

/// What all calls share.
pub(crate) struct Shared {
    pub(crate) environments: Arc<Environments>,
    pub(crate) identities: Arc<Identities>,
    pub(crate) writer: Writer,
    pub(crate) streams: Arc<Streams>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) shutdown: CancellationToken,
    requests: Option<RequestLimiter>,
    large_batches: Arc<Semaphore>,
}

/// Opens the folder of the copies, if they are kept.
fn open_copies(settings: &Settings) -> Result<Option<Arc<Copies>>, StartError> {
    let Some(copies) = &settings.copies else { return Ok(None) };
    let opened = Copies::open(copies.clone(), settings.metrics.clone());
    let opened = opened.map_err(|source| StartError::Copies { folder: copies.folder.clone(), source })?;
    Ok(Some(Arc::new(opened)))
}

/// Returns what limits requests, if they are limited.
fn limiter(settings: &Settings) -> Option<RequestLimiter> {
    let per_second = settings.requests_per_key_per_second?;
    let burst = settings.requests_per_key_burst.unwrap_or(per_second);
    Some(RequestLimiter::new(per_second, burst).named("requests_per_key_per_second"))
}

impl Shared {
    /// Finds out who calls a method, and counts the request.
    pub(crate) async fn session(&self, call: &Call<'_>, method: &Method) -> Result<Session> {
        let session = Session::open(&self.environments, call, method).await?;
        if let Some(requests) = &self.requests {
            requests.check(&session.hash).inspect_err(|_| self.settings.metrics.note_limited())?;
        }
        Ok(session)
    }

    /// Does long work where it does not hold up other requests.
    pub(crate) async fn outside_of_requests<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let permit = Arc::clone(&self.large_batches).acquire_owned().await;
        let permit = permit.map_err(|error| Error::Storage(Box::new(error)))?;
        let work = move || {
            // Held as long as the work goes on, also if nobody waits for it any more.
            let _permit = permit;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| Error::Storage(Box::new(error)))
    }
}
