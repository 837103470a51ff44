//! What is stored of identities, as evaluation needs it.
//!
//! While the database answers, it is asked: whoever has just been identified, by whichever replica, is evaluated with
//! the new traits. Callers who ask at the same time share a query. The cache is for the time when the database is away.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use burgee_core::name::Identifier;
use burgee_core::store::{EnvironmentRef, IdentityStore, StoredIdentity};
use burgee_core::value::TraitValue;
use burgee_core::{Error, Result};
use quick_cache::Weighter;
use quick_cache::sync::{Cache, EntryAction, EntryResult};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::database::{database_unavailable, repeat};
use crate::environments::Environments;
use crate::settings::Settings;

/// Queries for identities at once; while so many run, callers gather for the next.
const QUERIES_AT_ONCE: usize = 4;
/// What an entry of the cache takes beside its texts.
const ENTRY_BYTES: u64 = 200;
/// How large entries are believed to be when the cache is laid out.
const TYPICAL_ENTRY_BYTES: u64 = 500;

/// What is stored of an identity, when it was read last. One that is not stored has no traits.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// The identity.
    pub(crate) stored: StoredIdentity,
    /// What was stored at this instant is in it: when the read began, or after a write was durable.
    read_at: Instant,
}

impl Known {
    /// Creates what is known of an identity since an instant.
    pub(crate) fn new(stored: StoredIdentity, read_at: Instant) -> Self {
        Self { stored, read_at }
    }

    /// Returns how long ago the identity was read.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.read_at)
    }

    /// Says whether this was read before `other` was.
    pub(crate) fn is_older_than(&self, other: &Self) -> bool {
        self.read_at < other.read_at
    }
}

/// Reads identities.
pub(crate) struct Identities {
    store: Arc<dyn IdentityStore>,
    environments: Arc<Environments>,
    settings: Arc<Settings>,
    queue: mpsc::Sender<Read>,
    queries: Arc<Semaphore>,
    cache: Cache<CacheKey, Arc<Known>, Weight>,
}

type CacheKey = (EnvironmentRef, Identifier);

/// An identity that somebody waits for.
pub(crate) struct Read {
    environment: EnvironmentRef,
    identifier: Identifier,
    answer: oneshot::Sender<Result<Arc<Known>>>,
}

impl Identities {
    /// Creates the reader, and the queue that [`Self::read_until`] is to serve.
    pub(crate) fn new(
        store: Arc<dyn IdentityStore>,
        environments: Arc<Environments>,
        settings: Arc<Settings>,
    ) -> (Self, mpsc::Receiver<Read>) {
        let (queue, receiver) = mpsc::channel(settings.identity_read_queue);
        let bytes = settings.identity_cache_bytes;
        let entries = usize::try_from(bytes / TYPICAL_ENTRY_BYTES).unwrap_or(usize::MAX);
        let cache = Cache::with_weighter(entries, bytes, Weight);
        let queries = Arc::new(Semaphore::new(QUERIES_AT_ONCE));
        (Self { store, environments, settings, queue, queries, cache }, receiver)
    }

    /// Returns what is stored of an identity.
    ///
    /// # Errors
    /// The database is away, and the identity was not read lately.
    pub(crate) async fn known(
        &self,
        environment: EnvironmentRef,
        identifier: &Identifier,
    ) -> Result<Arc<Known>> {
        if self.environments.database.is_reachable() {
            let read = self.read_one(environment, identifier);
            match tokio::time::timeout(self.settings.identity_read_timeout, read).await {
                Ok(Ok(known)) => return Ok(known),
                Ok(Err(Error::Unavailable { .. })) | Err(_) => {}
                Ok(Err(error)) => return Err(error),
            }
        }
        self.remembered(environment, identifier)
    }

    /// Returns what is stored of many identities, in their order.
    pub(crate) async fn known_many(
        &self,
        environment: EnvironmentRef,
        identifiers: &[Identifier],
    ) -> Vec<Result<Arc<Known>>> {
        if !identifiers.is_empty() && self.environments.database.is_reachable() {
            let read = self.read(environment, identifiers);
            match tokio::time::timeout(self.settings.identity_read_timeout, read).await {
                Ok(Ok(known)) => return known.into_iter().map(Ok).collect(),
                Ok(Err(Error::Unavailable { .. })) | Err(_) => {}
                Ok(Err(error)) => return identifiers.iter().map(|_| Err(repeat(&error))).collect(),
            }
        }
        identifiers.iter().map(|identifier| self.remembered(environment, identifier)).collect()
    }

    /// Remembers what was stored, unless something newer is known; returns what is known then.
    ///
    /// So what `Identify` wrote wins over reads that began before it was durable, however late they end.
    pub(crate) fn remember(
        &self,
        environment: EnvironmentRef,
        identifier: &Identifier,
        known: &Arc<Known>,
    ) -> Arc<Known> {
        let key = (environment, identifier.clone());
        let entry = self.cache.entry(&key, None, |_, held| {
            if !known.is_older_than(held) {
                *held = Arc::clone(known);
            }
            EntryAction::<Arc<Known>>::Retain(Arc::clone(held))
        });
        match entry {
            EntryResult::Retained(held) => held,
            EntryResult::Vacant(place) => {
                // If the entry has been taken in the meantime, it is somebody else's.
                place.insert(Arc::clone(known)).ok();
                Arc::clone(known)
            }
            // Nothing is removed, and there is no limit to run out.
            EntryResult::Removed(..) | EntryResult::Replaced(..) | EntryResult::Timeout => Arc::clone(known),
        }
    }

    fn remembered(&self, environment: EnvironmentRef, identifier: &Identifier) -> Result<Arc<Known>> {
        self.cache.get(&(environment, identifier.clone())).ok_or_else(|| {
            database_unavailable(
                "the stored traits cannot be read now; with `ignore_stored_traits` the call does without them",
            )
        })
    }

    /// Reads an identity: at once if few others are read at the moment, otherwise along with others.
    async fn read_one(&self, environment: EnvironmentRef, identifier: &Identifier) -> Result<Arc<Known>> {
        // After the shutdown, calls that are still under way read themselves.
        if self.queue.is_closed() || self.queries.available_permits() > 0 {
            let _permit = self.queries.acquire().await;
            let known = self.read(environment, std::slice::from_ref(identifier)).await?;
            return known
                .into_iter()
                .next()
                .ok_or_else(|| Error::Storage("the read was not answered".into()));
        }
        let gone = || database_unavailable("identities are not read any more");
        let (answer, answered) = oneshot::channel();
        let read = Read { environment, identifier: identifier.clone(), answer };
        self.queue.send(read).await.map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }

    async fn read(&self, environment: EnvironmentRef, identifiers: &[Identifier]) -> Result<Vec<Arc<Known>>> {
        let mut known = Vec::with_capacity(identifiers.len());
        for identifiers in identifiers.chunks(self.settings.identity_read_batch.max(1)) {
            let asked_at = Instant::now();
            let stored = self.store.stored_identities(environment, identifiers).await?;
            known.extend(identifiers.iter().zip(stored).map(|(identifier, stored)| {
                let known = Known::new(stored.unwrap_or_default(), asked_at);
                self.remember(environment, identifier, &Arc::new(known))
            }));
        }
        Ok(known)
    }

    /// Reads what callers wait for, until the shutdown; then reads what is in the queue, and ends.
    pub(crate) async fn read_until(
        self: Arc<Self>,
        shutdown: CancellationToken,
        tasks: TaskTracker,
        mut queue: mpsc::Receiver<Read>,
    ) {
        loop {
            let first = tokio::select! {
                first = queue.recv() => first,
                () = shutdown.cancelled(), if !queue.is_closed() => {
                    queue.close();
                    continue;
                }
            };
            let Some(first) = first else { return };
            let Ok(permit) = Arc::clone(&self.queries).acquire_owned().await else { return };
            // While it waited for its turn, others have come.
            let mut batch = vec![first];
            while batch.len() < self.settings.identity_read_batch
                && let Ok(next) = queue.try_recv()
            {
                batch.push(next);
            }
            tasks.spawn(Arc::clone(&self).answer(batch, permit));
        }
    }

    async fn answer(self: Arc<Self>, batch: Vec<Read>, _permit: OwnedSemaphorePermit) {
        let mut by_environment: HashMap<_, Vec<Read>> = HashMap::new();
        for read in batch {
            by_environment.entry(read.environment).or_default().push(read);
        }
        for (environment, reads) in by_environment {
            let identifiers: Vec<_> = reads.iter().map(|read| read.identifier.clone()).collect();
            let answers = match self.environments.ask(self.read(environment, &identifiers)).await {
                Ok(known) => known.into_iter().map(Ok).collect::<Vec<_>>(),
                Err(error) => reads.iter().map(|_| Err(repeat(&error))).collect(),
            };
            for (read, answer) in reads.into_iter().zip(answers) {
                // Whoever has stopped waiting needs no answer.
                read.answer.send(answer).ok();
            }
        }
    }
}

#[derive(Clone)]
struct Weight;

impl Weighter<CacheKey, Arc<Known>> for Weight {
    fn weight(&self, (_, identifier): &CacheKey, known: &Arc<Known>) -> u64 {
        let StoredIdentity { hashing_key, traits } = &known.stored;
        let texts = identifier.as_str().len() + hashing_key.as_ref().map_or(0, String::len);
        let traits = traits.iter().map(|(key, value)| {
            let text = match value {
                TraitValue::String(text) => text.len(),
                TraitValue::Integer(_) | TraitValue::Double(_) | TraitValue::Boolean(_) => 0,
            };
            size_of_val(value) + size_of_val(key) + key.len() + text
        });
        ENTRY_BYTES + (texts + traits.sum::<usize>()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::shared;

    #[tokio::test]
    async fn a_read_that_began_earlier_does_not_replace_what_is_newer() {
        let shared = shared();
        let (environment, eve) = (EnvironmentRef(1), Identifier::parse("eve").unwrap());
        let start = Instant::now();
        let known = |text: &str, seconds| {
            let stored = StoredIdentity { hashing_key: Some(text.to_owned()), ..StoredIdentity::default() };
            Arc::new(Known::new(stored, start + Duration::from_secs(seconds)))
        };
        for (text, seconds, expected) in [
            ("read", 1, "read"),
            ("written", 3, "written"),
            ("read before it was written", 2, "written"),
            ("written along with it", 3, "written along with it"),
            ("read later", 4, "read later"),
        ] {
            let returned = shared.identities.remember(environment, &eve, &known(text, seconds));
            let held = shared.identities.remembered(environment, &eve).unwrap();
            for known in [returned, held] {
                assert_eq!(known.stored.hashing_key.as_deref(), Some(expected), "{text}");
            }
        }
    }
}
