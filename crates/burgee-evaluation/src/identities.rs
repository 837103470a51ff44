//! What is stored of identities, as evaluation needs it.
//!
//! What was read is remembered, and used again without asking the database while it is known to be fresh (see `news`).
//! Otherwise the database is asked: callers who ask for the same identity share a read, callers who ask at the same time
//! share a query. While the database is away, what is remembered is used however old it is.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use burgee_core::identity::TraitChanges;
use burgee_core::name::Identifier;
use burgee_core::store::{EnvironmentRef, IdentityMark, IdentityStore, NO_BATCH, StoredIdentity};
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
use crate::flights::{Flights, Turn};
use crate::moment::Moment;
use crate::news::News;
use crate::settings::Settings;

/// Queries for identities at once; while so many run, callers gather for the next.
const QUERIES_AT_ONCE: usize = 4;
/// What an entry of the cache takes beside its texts.
const ENTRY_BYTES: u64 = 300;
/// How large entries are believed to be when the cache is laid out.
const TYPICAL_ENTRY_BYTES: u64 = 600;

/// What is stored of an identity, when it was read last. One that is not stored has no traits.
#[derive(Debug)]
pub(crate) struct Known {
    /// The identity.
    pub(crate) stored: StoredIdentity,
    identifier: Identifier,
    is_stored: bool,
    /// What was stored at this instant is in it: when the read, or the write, began.
    read_at: Instant,
    /// What is known since an earlier instant gives way to it: when the read began, or after the write was durable.
    ordered_at: Instant,
    /// The number of the batch that wrote it, or [`NO_BATCH`].
    batch: u64,
    /// Whether something was written since.
    is_outdated: AtomicBool,
    /// Up to when it is known that nothing else is stored.
    confirmed: Moment,
}

impl Known {
    /// Creates what a read returned that began at an instant.
    pub(crate) fn read(identifier: &Identifier, stored: Option<StoredIdentity>, began_at: Instant) -> Self {
        Self {
            is_stored: stored.is_some(),
            stored: stored.unwrap_or_default(),
            identifier: identifier.clone(),
            read_at: began_at,
            ordered_at: began_at,
            batch: NO_BATCH,
            is_outdated: AtomicBool::new(false),
            confirmed: Moment::at(began_at),
        }
    }

    /// Creates what is stored after a write, which began at an instant and ended at another.
    pub(crate) fn written(
        identifier: &Identifier,
        stored: StoredIdentity,
        began_at: Instant,
        ended_at: Instant,
        batch: u64,
    ) -> Self {
        // Whoever is answered with it has what is stored now.
        let confirmed = Moment::at(ended_at);
        Self { ordered_at: ended_at, batch, confirmed, ..Self::read(identifier, Some(stored), began_at) }
    }

    /// Returns for how long it is not known whether something else is stored.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        self.confirmed.age(now)
    }

    /// Says whether this was known for certain at an earlier time than `other` was.
    pub(crate) fn is_older_than(&self, other: &Self) -> bool {
        let now = Instant::now();
        self.age(now) > other.age(now)
    }

    /// Says whether the identity is stored, and changes would change nothing.
    pub(crate) fn has(&self, changes: &TraitChanges) -> bool {
        let value = |key: &str| {
            let index = self.stored.traits.binary_search_by(|(present, _)| present.as_str().cmp(key)).ok()?;
            self.stored.traits.get(index).map(|(_, value)| value)
        };
        self.is_stored
            && changes.remove.iter().all(|key| value(key.as_str()).is_none())
            && changes.set.iter().all(|changed| value(changed.key.as_str()) == Some(&changed.value))
    }

    /// Returns when the read, or the write, began: what was stored then is in it.
    pub(crate) fn read_at(&self) -> Instant {
        self.read_at
    }

    /// Says whether a batch wrote it.
    pub(crate) fn is_of(&self, batch: u64) -> bool {
        batch != NO_BATCH && self.batch == batch
    }

    /// Notes that something was written since.
    pub(crate) fn outdate(&self) {
        self.is_outdated.store(true, Ordering::SeqCst);
    }

    /// Says whether something was written since.
    pub(crate) fn is_outdated(&self) -> bool {
        self.is_outdated.load(Ordering::SeqCst)
    }
}

/// Reads identities.
pub(crate) struct Identities {
    pub(crate) store: Arc<dyn IdentityStore>,
    pub(crate) environments: Arc<Environments>,
    /// What was heard of writes.
    pub(crate) news: News,
    settings: Arc<Settings>,
    queue: mpsc::Sender<Read>,
    queries: Arc<Semaphore>,
    cache: Cache<Key, Arc<Known>, Weight>,
    flights: Flights,
}

/// Where an identity is remembered. Two identities may share a place; then only one is remembered.
pub(crate) type Key = (EnvironmentRef, IdentityMark);

/// Returns where an identity is remembered.
pub(crate) fn key(environment: EnvironmentRef, identifier: &Identifier) -> Key {
    (environment, IdentityMark::of(identifier))
}

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
        let identities = Self {
            store,
            environments,
            news: News::new(settings.identity_staleness, Instant::now()),
            queue,
            queries: Arc::new(Semaphore::new(QUERIES_AT_ONCE)),
            cache: Cache::with_weighter(entries, bytes, Weight),
            flights: Flights::default(),
            settings,
        };
        (identities, receiver)
    }

    /// Returns what is stored of an identity: everything that was answered longer ago than
    /// [`Settings::identity_staleness`].
    ///
    /// # Errors
    /// The database is away, and the identity was not read lately.
    pub(crate) async fn known(
        &self,
        environment: EnvironmentRef,
        identifier: &Identifier,
    ) -> Result<Arc<Known>> {
        let key = key(environment, identifier);
        if let Some(known) = self.fresh(&key, identifier) {
            return Ok(known);
        }
        if self.environments.database.is_reachable() {
            match self.in_time(self.read_together(key, identifier)).await {
                Err(Error::Unavailable { .. }) => {}
                answer => return answer,
            }
        }
        self.remembered(&key, identifier)
    }

    /// Returns what is stored of many identities, in their order.
    pub(crate) async fn known_many(
        &self,
        environment: EnvironmentRef,
        identifiers: &[Identifier],
    ) -> Vec<Result<Arc<Known>>> {
        let fresh = |identifier| self.fresh(&key(environment, identifier), identifier);
        let known: Vec<Option<Arc<Known>>> = identifiers.iter().map(fresh).collect();
        let missing = identifiers.iter().zip(&known).filter(|(_, known)| known.is_none());
        let missing: Vec<Identifier> = missing.map(|(identifier, _)| identifier.clone()).collect();
        let mut read = self.read_missing(environment, &missing).await.into_iter();
        let unanswered = || Err(Error::Storage("the read was not answered".into()));
        known
            .into_iter()
            .map(|known| known.map_or_else(|| read.next().unwrap_or_else(unanswered), Ok))
            .collect()
    }

    async fn read_missing(
        &self,
        environment: EnvironmentRef,
        identifiers: &[Identifier],
    ) -> Vec<Result<Arc<Known>>> {
        if !identifiers.is_empty() && self.environments.database.is_reachable() {
            match self.in_time(self.read(environment, identifiers)).await {
                Ok(known) => return known.into_iter().map(Ok).collect(),
                Err(Error::Unavailable { .. }) => {}
                Err(error) => return identifiers.iter().map(|_| Err(repeat(&error))).collect(),
            }
        }
        let remembered = |identifier| self.remembered(&key(environment, identifier), identifier);
        identifiers.iter().map(remembered).collect()
    }

    /// Returns what is stored of an identity at some instant after the call.
    pub(crate) async fn read_now(
        &self,
        environment: EnvironmentRef,
        identifier: &Identifier,
    ) -> Result<Arc<Known>> {
        self.in_time(self.read_one(environment, identifier)).await
    }

    /// Returns what is remembered of an identity, if nothing is known to be newer. It may be any age.
    pub(crate) fn guess(&self, environment: EnvironmentRef, identifier: &Identifier) -> Option<Arc<Known>> {
        let known = self.cache.get(&key(environment, identifier))?;
        (known.identifier == *identifier && !known.is_outdated()).then_some(known)
    }

    /// Remembers what was written. Whoever asks from now on gets it, or something newer.
    pub(crate) fn note_written(&self, environment: EnvironmentRef, known: &Arc<Known>) {
        let key = key(environment, &known.identifier);
        self.remember(key, known);
        self.flights.close(&key);
    }

    /// Notes that an identity was written by a batch.
    pub(crate) fn outdate(&self, key: Key, batch: u64) {
        let mut guard = self.news.guard(key.1);
        guard.note(batch, Instant::now());
        if let Some(known) = self.cache.peek(&key)
            && !known.is_of(batch)
        {
            known.outdate();
        }
    }

    /// Notes that all identities of an environment were deleted.
    pub(crate) fn outdate_all(&self, environment: EnvironmentRef) {
        // Whatever is remembered after this was read after this, and the rest is found.
        self.news.note_all(Instant::now());
        self.cache.retain(|(of, _), _| *of != environment);
    }

    /// Remembers what is stored, unless something newer is known; returns what is known then.
    ///
    /// So what `Identify` wrote wins over reads that began before it was durable, however late they end.
    fn remember(&self, key: Key, known: &Arc<Known>) -> Arc<Known> {
        let guard = self.news.guard(key.1);
        if !guard.admits(known) {
            known.outdate();
        }
        let entry = self.cache.entry(&key, None, |_, held| {
            if known.ordered_at >= held.ordered_at {
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

    /// Returns what is remembered of an identity, if it may be used without asking the database.
    fn fresh(&self, key: &Key, identifier: &Identifier) -> Option<Arc<Known>> {
        let known = self.cache.get(key).filter(|known| known.identifier == *identifier);
        let fresh = known.and_then(|known| {
            let proof = self.news.proof(&known, Instant::now())?;
            known.confirmed.advance(proof);
            Some(known)
        });
        self.settings.metrics.note_identity(fresh.is_some());
        fresh
    }

    fn remembered(&self, key: &Key, identifier: &Identifier) -> Result<Arc<Known>> {
        self.cache.get(key).filter(|known| known.identifier == *identifier).ok_or_else(|| {
            database_unavailable(
                "the stored traits cannot be read now; with `ignore_stored_traits` the call does without them",
            )
        })
    }

    /// Waits for a read for as long as a call waits for stored traits.
    async fn in_time<T>(&self, read: impl Future<Output = Result<T>>) -> Result<T> {
        match tokio::time::timeout(self.settings.identity_read_timeout, read).await {
            Ok(answer) => answer,
            Err(_) => Err(database_unavailable("the stored traits were not read in time")),
        }
    }

    /// Reads an identity, or waits for somebody who does and began late enough.
    async fn read_together(&self, key: Key, identifier: &Identifier) -> Result<Arc<Known>> {
        match self.flights.turn(key, self.news.bound(), Instant::now()) {
            Turn::Lead(lead) => lead.land(self.read_one(key.0, identifier).await),
            Turn::Follow(follow) => match follow.landed().await {
                Some(Ok(known)) if known.identifier == *identifier => Ok(known),
                Some(Err(error)) => Err(error),
                // Somebody else's, or nobody's any more.
                Some(Ok(_)) | None => self.read_one(key.0, identifier).await,
            },
        }
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
                let known = Arc::new(Known::read(identifier, stored, asked_at));
                let newest = self.remember(key(environment, identifier), &known);
                // Something newer may be outdated already, or a write that was noted after this read and committed before
                // another that this read saw; then it says less than this does.
                let is_better =
                    newest.identifier == *identifier && !newest.is_outdated() && newest.read_at() >= asked_at;
                if is_better { newest } else { known }
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
        let mut callers: HashMap<_, HashMap<Identifier, Vec<_>>> = HashMap::new();
        for Read { environment, identifier, answer } in batch {
            callers.entry(environment).or_default().entry(identifier).or_default().push(answer);
        }
        for (environment, callers) in callers {
            let (identifiers, callers): (Vec<_>, Vec<_>) = callers.into_iter().unzip();
            let read = self.environments.ask(self.read(environment, &identifiers)).await;
            for (index, callers) in callers.into_iter().enumerate() {
                for caller in callers {
                    let answer = match &read {
                        Ok(known) => Ok(Arc::clone(&known[index])),
                        Err(error) => Err(repeat(error)),
                    };
                    // Whoever has stopped waiting needs no answer.
                    caller.send(answer).ok();
                }
            }
        }
    }
}

#[derive(Clone)]
struct Weight;

impl Weighter<Key, Arc<Known>> for Weight {
    fn weight(&self, _: &Key, known: &Arc<Known>) -> u64 {
        let StoredIdentity { hashing_key, traits } = &known.stored;
        let texts = known.identifier.as_str().len() + hashing_key.as_ref().map_or(0, String::len);
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
    use burgee_core::identity::Trait;
    use burgee_core::name::TraitKey;

    use super::*;
    use crate::testing::shared;

    const SECOND: Duration = Duration::from_secs(1);
    const DEV: EnvironmentRef = EnvironmentRef(1);

    fn eve() -> Identifier {
        Identifier::parse("eve").unwrap()
    }

    fn stored(text: &str) -> StoredIdentity {
        StoredIdentity { hashing_key: Some(text.to_owned()), ..StoredIdentity::default() }
    }

    #[tokio::test]
    async fn a_read_that_began_earlier_does_not_replace_what_is_newer() {
        let shared = shared();
        let start = Instant::now();
        let at = |seconds: u32| start + SECOND * seconds;
        let read = |text, began| Known::read(&eve(), Some(stored(text)), at(began));
        let written = |text, began, ended| Known::written(&eve(), stored(text), at(began), at(ended), 7);
        for (known, expected) in [
            (read("read", 1), "read"),
            (written("written", 2, 4), "written"),
            (read("read before it was durable", 3), "written"),
            (written("written along with it", 2, 4), "written along with it"),
            (read("read later", 5), "read later"),
        ] {
            let text = known.stored.hashing_key.clone();
            let returned = shared.identities.remember(key(DEV, &eve()), &Arc::new(known));
            let held = shared.identities.remembered(&key(DEV, &eve()), &eve()).unwrap();
            for known in [returned, held] {
                assert_eq!(known.stored.hashing_key.as_deref(), Some(expected), "{text:?}");
            }
        }
    }

    #[tokio::test]
    async fn news_outdate_what_is_remembered_but_not_what_they_tell_of() {
        let shared = shared();
        let identities = &shared.identities;
        let start = Instant::now();
        let at_key = key(DEV, &eve());
        let held = || identities.remembered(&at_key, &eve()).unwrap();
        identities.remember(at_key, &Arc::new(Known::read(&eve(), None, start)));
        assert!(!held().is_outdated());
        identities.outdate(key(DEV, &Identifier::parse("bob").unwrap()), NO_BATCH);
        assert!(!held().is_outdated());
        identities.outdate(at_key, 7);
        assert!(held().is_outdated());
        let written = |batch| {
            let known = Known::written(&eve(), stored("x"), start, Instant::now(), batch);
            identities.note_written(DEV, &Arc::new(known));
        };
        written(7);
        assert!(!held().is_outdated(), "its own news came before it was answered");
        identities.outdate(at_key, 7);
        assert!(!held().is_outdated(), "or after");
        identities.outdate(at_key, 8);
        assert!(held().is_outdated());
        written(7);
        assert!(held().is_outdated(), "something was written since it began");
        identities.outdate_all(EnvironmentRef(2));
        held();
        identities.outdate_all(DEV);
        assert!(identities.remembered(&at_key, &eve()).is_err());
        identities.remember(at_key, &Arc::new(Known::read(&eve(), None, start)));
        assert!(held().is_outdated(), "it was read before the environment was deleted");
    }

    #[test]
    fn changes_that_change_nothing_are_found() {
        let traits = ["a", "b"].map(|key| (key.to_owned(), TraitValue::Integer(1))).to_vec();
        let stored = Some(StoredIdentity { hashing_key: None, traits });
        let known = |stored| Known::read(&eve(), stored, Instant::now());
        let changes = |set: &[(&str, i64)], remove: &[&str]| TraitChanges {
            set: set
                .iter()
                .map(|(key, value)| Trait {
                    key: TraitKey::parse(key).unwrap(),
                    value: TraitValue::Integer(*value),
                })
                .collect(),
            remove: remove.iter().map(|key| TraitKey::parse(key).unwrap()).collect(),
        };
        for (set, remove, expected) in [
            (&[][..], &[][..], true),
            (&[("b", 1)], &["c"], true),
            (&[("b", 2)], &[], false),
            (&[("c", 1)], &[], false),
            (&[], &["a"], false),
        ] {
            assert_eq!(known(stored.clone()).has(&changes(set, remove)), expected, "{set:?} {remove:?}");
        }
        assert!(!known(None).has(&changes(&[], &[])), "it is to be created");
    }
}
