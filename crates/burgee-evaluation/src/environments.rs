//! The environments that are held in memory, and the keys that open them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use burgee_core::access::SecretHash;
use burgee_core::engine::FeatureRules;
use burgee_core::store::{EnvironmentRef, FlagFeed, LoadedEnvironment, ProjectRef};
use burgee_core::{Error, Result};
use prometheus_client::metrics::gauge::Gauge;
use quick_cache::sync::Cache;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, info, warn};

use crate::copies::{Confirmation, Copies, Encoded, Opened};
use crate::database::{Database, database_unavailable};
use crate::hints::{Hint, Hints};
use crate::moment::back_off;
use crate::settings::Settings;
use crate::slot::{Published, Slot, Ticket};
use crate::snapshot::{Content, Snapshot};

/// Environments of more flags, overrides and segments than this are compiled outside of the threads that serve requests, and kept as
/// they were read, so that a change of one flag reads one flag.
const LARGE_ENVIRONMENT: usize = 100;

/// A read of stored traits that took longer makes an old answer.
const SLOW_READ: Duration = Duration::from_secs(1);

/// The environments that are held. They are read when somebody first asks, and forgotten when nobody does any more.
pub(crate) struct Environments {
    /// The database.
    pub(crate) feed: Arc<dyn FlagFeed>,
    /// What the follower should look at.
    pub(crate) hints: Hints,
    /// Whether the database answers.
    pub(crate) database: Database,
    /// The limits.
    pub(crate) settings: Arc<Settings>,
    /// The copies on disk, if they are kept.
    copies: Option<Arc<Copies>>,
    held: RwLock<Held>,
    unknown_keys: Cache<SecretHash, Instant>,
    lookups: Semaphore,
    tasks: TaskTracker,
    /// Ends everything that waits.
    pub(crate) shutdown: CancellationToken,
}

#[derive(Default)]
struct Held {
    slots: HashMap<EnvironmentRef, Arc<Slot>>,
    projects: HashMap<ProjectRef, Vec<EnvironmentRef>>,
    /// Where a key may be found. The snapshot there has the last word.
    keys: HashMap<SecretHash, EnvironmentRef>,
    /// How many there are.
    count: Gauge,
}

impl Environments {
    pub(crate) fn new(
        feed: Arc<dyn FlagFeed>,
        settings: Arc<Settings>,
        copies: Option<Arc<Copies>>,
        tasks: TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        let age = copies.as_ref().and_then(|copies| Some((copies.age()?, copies.longest_age())));
        let database = Database::new(Instant::now(), age);
        settings.metrics.watch_database(database.reached());
        let count = settings.metrics.environments_held.clone();
        Self {
            feed,
            hints: Hints::default(),
            database,
            held: RwLock::new(Held { count, ..Held::default() }),
            unknown_keys: Cache::new(settings.unknown_keys),
            lookups: Semaphore::new(settings.key_lookups),
            settings,
            copies,
            tasks,
            shutdown,
        }
    }

    /// Returns the place of the environment that a key opens, if it is held.
    pub(crate) fn held_by_key(&self, hash: &SecretHash, now: Instant) -> Option<Arc<Slot>> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let slot = held.slots.get(held.keys.get(hash)?)?;
        // Noted while the lock is held, so that the environment is not forgotten in between.
        slot.used.advance(now);
        Some(Arc::clone(slot))
    }

    /// Finds the environment that a key opens, and reads it, if need be. `None` if the key opens none.
    pub(crate) async fn find_by_key(self: &Arc<Self>, hash: &SecretHash) -> Result<Option<Arc<Slot>>> {
        if self.is_unknown(hash) {
            return Ok(None);
        }
        let found = self.find_in_database(hash);
        let Some(copies) = &self.copies else { return found.await };
        let Some(environment) = copies.environment_of_key(hash) else { return found.await };
        let failure = match tokio::time::timeout(self.settings.copy_patience, found).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(failure)) => failure,
            Err(_) => database_unavailable("the database did not answer in time"),
        };
        match self.open_copy(copies, environment).await? {
            Some(slot) => Ok(Some(slot)),
            None => Err(failure),
        }
    }

    /// Serves the copy of an environment, unless there is something to serve. `None` if the copy cannot be read.
    async fn open_copy(
        self: &Arc<Self>,
        copies: &Arc<Copies>,
        environment: EnvironmentRef,
    ) -> Result<Option<Arc<Slot>>> {
        let slot = self.slot(environment)?;
        let opening = slot.opening.lock().await;
        if matches!(slot.published(), Published::Nothing) {
            let Ok(_permit) = self.lookups.acquire().await else { return Ok(None) };
            let copies = Arc::clone(copies);
            let read = move || {
                let Opened { loaded, revision, age } = copies.read(environment)?;
                Some((Snapshot { revision, content: Arc::new(Content::compile(loaded, None)) }, age))
            };
            let Some((snapshot, age)) = tokio::task::spawn_blocking(read).await.ok().flatten() else {
                return Ok(None);
            };
            let revision = snapshot.revision;
            self.index(&slot, &snapshot.content);
            slot.publish_copy(snapshot, Instant::now(), age);
            info!(
                environment = environment.0,
                revision, "environment {} is served from its copy on disk", environment.0
            );
        }
        drop(opening);
        Ok(Some(slot))
    }

    /// Returns until when nothing has changed of what is held.
    pub(crate) fn confirmations(&self, now: Instant, wall_clock_ms: i64) -> Vec<Confirmation> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let confirmation = |slot: &Arc<Slot>| {
            // First the time: what is read afterwards is at least as new.
            let age = i64::try_from(slot.confirmed.age(now).as_millis()).unwrap_or(i64::MAX);
            let snapshot = slot.snapshot()?;
            Some(Confirmation {
                environment: slot.environment,
                read_revision: snapshot.content.revision,
                revision: snapshot.revision,
                confirmed_at: wall_clock_ms.saturating_sub(age),
            })
        };
        held.slots.values().filter_map(confirmation).collect()
    }

    /// Returns the environments that are held.
    pub(crate) fn held(&self) -> HashSet<EnvironmentRef> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.slots.keys().copied().collect()
    }

    async fn find_in_database(self: &Arc<Self>, hash: &SecretHash) -> Result<Option<Arc<Slot>>> {
        if !self.database.is_reachable() {
            return Err(database_unavailable(
                "the database cannot be reached, and the key is not known without it",
            ));
        }
        let asked_at = self.hints.count();
        let Ok(_permit) = self.lookups.acquire().await else {
            return Err(database_unavailable("keys are not looked up any more"));
        };
        let Some(environment) = self.ask(self.feed.environment_of_key(hash)).await? else {
            // A write since may have created the key.
            if self.hints.count() == asked_at {
                self.unknown_keys.insert(*hash, Instant::now());
            }
            return Ok(None);
        };
        let slot = self.slot(environment)?;
        slot.wait_for_read(self.look(&slot)).await?;
        if !matches!(slot.published(), Published::Deleted) {
            return Ok(Some(slot));
        }
        // Most likely it has just been deleted; or its number was another environment's in another database.
        let slot = self.slot(environment)?;
        slot.wait_for_read(self.look(&slot)).await?;
        Ok(Some(slot))
    }

    fn is_unknown(&self, hash: &SecretHash) -> bool {
        let asked_at = self.unknown_keys.get(hash);
        asked_at.is_some_and(|asked_at| asked_at.elapsed() < self.settings.unknown_key_ttl)
    }

    /// Forgets which keys are unknown, because something was written.
    pub(crate) fn forget_unknown_keys(&self) {
        self.unknown_keys.clear();
    }

    /// Returns an age, if news of that age are too old.
    pub(crate) fn old(&self, age: Duration) -> Option<Duration> {
        Some(age).filter(|age| *age > self.settings.stale_after())
    }

    /// Returns an age, if stored traits of that age are older than they may be without a word.
    pub(crate) fn old_traits(&self, age: Duration) -> Option<Duration> {
        Some(age).filter(|age| *age > self.settings.identity_staleness.max(SLOW_READ))
    }

    /// Asks the database, for no longer than the settings say.
    pub(crate) async fn ask<T>(&self, question: impl Future<Output = Result<T>>) -> Result<T> {
        match tokio::time::timeout(self.settings.database_timeout, question).await {
            Ok(answer) => answer,
            Err(_) => Err(database_unavailable("the database did not answer in time")),
        }
    }

    /// Returns the place of an environment; makes one if there is none.
    fn slot(&self, environment: EnvironmentRef) -> Result<Arc<Slot>> {
        let now = Instant::now();
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = held.slots.get(&environment) {
            slot.used.advance(now);
            return Ok(Arc::clone(slot));
        }
        if held.slots.len() >= self.settings.max_environments {
            let idle = held.idle(Duration::ZERO, now).max_by_key(|slot| slot.used.age(now));
            let Some(idle) = idle.map(|slot| slot.environment) else {
                let maximum = self.settings.max_environments as u64;
                return Err(Error::LimitExceeded { limit: "max_environments", maximum });
            };
            held.remove(idle);
        }
        let slot = Arc::new(Slot::new(environment, now));
        held.slots.insert(environment, Arc::clone(&slot));
        held.count.inc();
        Ok(slot)
    }

    /// Returns the places of the environments of a project.
    pub(crate) fn of_project(&self, project: ProjectRef) -> Vec<Arc<Slot>> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let environments = held.projects.get(&project).into_iter().flatten();
        environments.filter_map(|environment| held.slots.get(environment).cloned()).collect()
    }

    /// Returns the projects of all environments held.
    pub(crate) fn projects(&self) -> Vec<ProjectRef> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.projects.keys().copied().collect()
    }

    /// Forgets environments that nobody has asked for in a while and nobody watches.
    pub(crate) fn forget_idle(&self, now: Instant) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let idle: Vec<_> =
            held.idle(self.settings.idle_environment_ttl, now).map(|slot| slot.environment).collect();
        for environment in idle {
            debug!(
                environment = environment.0,
                "forgetting environment {}, which nobody uses", environment.0
            );
            held.remove(environment);
        }
    }

    /// Reads the environment again, in a task of its own. One read at a time answers all who asked before it began.
    pub(crate) fn look(self: &Arc<Self>, slot: &Arc<Slot>) -> Ticket {
        let (ticket, must_read) = slot.ask();
        if must_read {
            let reading = Reading { slot: Arc::clone(slot), is_done: false };
            self.tasks.spawn(Arc::clone(self).read_while_asked(reading));
        }
        ticket
    }

    async fn read_while_asked(self: Arc<Self>, mut reading: Reading) {
        while let Some(ticket) = reading.slot.begin_read() {
            match self.shutdown.run_until_cancelled(self.read(&reading.slot)).await {
                Some(failure) => reading.slot.end_read(ticket, failure),
                None => return,
            }
        }
        reading.is_done = true;
    }

    /// Reads and publishes an environment; returns what went wrong.
    async fn read(&self, slot: &Arc<Slot>) -> Option<&'static str> {
        let started = Instant::now();
        if slot.must_wait(started) {
            return Some("the database failed a moment ago");
        }
        let hints = self.hints.count();
        match self.ask(self.load(slot)).await {
            Ok(loaded) => {
                slot.note_success();
                let Some(loaded) = loaded else {
                    self.delete(slot);
                    return None;
                };
                let (project, revision) = (loaded.project, loaded.revision);
                let before = slot.snapshot();
                let is_first = before.is_none();
                let Some(Compiled { snapshot, copy, kept }) =
                    self.compile(loaded, before.clone(), started).await
                else {
                    return Some("the environment could not be compiled");
                };
                if before.is_some_and(|before| before.content.fingerprint != snapshot.content.fingerprint) {
                    let environment = slot.environment.0;
                    warn!(environment, "environment {environment} is not the one any more that was served");
                    self.delete(slot);
                    return None;
                }
                let content = Arc::clone(&snapshot.content);
                self.publish(slot, snapshot);
                slot.note_read(kept);
                let is_served = slot.snapshot().is_some_and(|served| Arc::ptr_eq(&served.content, &content));
                if let (Some(copies), Some(copy), true) = (&self.copies, copy, is_served) {
                    copies.put(copy, Instant::now());
                }
                // If the database was set back, what is served is not what it holds.
                if slot.snapshot().is_none_or(|served| served.revision <= revision) {
                    slot.confirmed.advance(started);
                }
                // Until now, nobody knew that a hint of this project concerns this environment.
                if is_first && self.hints.count() != hints {
                    self.hints.add(project, Hint::Asked);
                }
                None
            }
            Err(failure) => {
                let longest = self.settings.longest_back_off;
                let failures = slot.note_failure(|failures| Instant::now() + back_off(failures, longest));
                let environment = slot.environment.0;
                match failure {
                    Error::Unavailable { .. } => {
                        debug!(environment, failures, "could not read environment {environment}: {failure}");
                    }
                    // What is stored cannot be read: somebody has to act, but need not be told every second.
                    _ if failures == 1 => {
                        let cause = std::error::Error::source(&failure).map(ToString::to_string);
                        error!(environment, cause, "could not read environment {environment}: {failure}");
                    }
                    _ => warn!(environment, failures, "could not read environment {environment}: {failure}"),
                }
                Some("the database could not be read")
            }
        }
    }

    /// Loads an environment; of a large one that was read before, only what happened since.
    async fn load(&self, slot: &Slot) -> Result<Option<LoadedEnvironment>> {
        let environment = slot.environment;
        if let Some(read) = slot.last_read()
            && let Some(changed_at) = read.changed_at
            && let Some(delta) =
                self.feed.load_environment_since(environment, read.revision, changed_at).await?
        {
            let advance = move || LoadedEnvironment::clone(&read).advance(delta);
            if let Ok(Some(loaded)) = tokio::task::spawn_blocking(advance).await {
                return Ok(Some(loaded));
            }
        }
        self.feed.load_environment(environment).await
    }

    /// Compiles a snapshot, and encodes its copy if copies are kept. `None` only if the process is ending, or compiling is
    /// broken.
    async fn compile(
        &self,
        loaded: LoadedEnvironment,
        before: Option<Arc<Snapshot>>,
        asked_at: Instant,
    ) -> Option<Compiled> {
        let revision = loaded.revision;
        let is_large = size(&loaded) > LARGE_ENVIRONMENT;
        let copies = self.copies.clone();
        let compile = move || {
            let copy = copies.and_then(|copies| copies.encode(&loaded, asked_at.elapsed()));
            let kept = is_large.then(|| Arc::new(loaded.clone()));
            let content = Arc::new(Content::compile(loaded, before.as_deref()));
            Compiled { snapshot: Snapshot { revision, content }, copy, kept }
        };
        if is_large { tokio::task::spawn_blocking(compile).await.ok() } else { Some(compile()) }
    }

    fn publish(&self, slot: &Arc<Slot>, snapshot: Snapshot) {
        let content = Arc::clone(&snapshot.content);
        let revision = snapshot.revision;
        // Keys can be found before the snapshot that has them is there: it has the last word.
        self.index(slot, &content);
        if slot.publish(snapshot) {
            let environment = slot.environment.0;
            debug!(environment, revision, "environment {environment} is now at revision {revision}");
        }
    }

    fn index(&self, slot: &Arc<Slot>, content: &Content) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let is_held = held.slots.get(&slot.environment).is_some_and(|current| Arc::ptr_eq(current, slot));
        if !is_held {
            return;
        }
        let siblings = held.projects.entry(content.project).or_default();
        if !siblings.contains(&slot.environment) {
            siblings.push(slot.environment);
        }
        if let Some(former) = slot.snapshot() {
            held.forget_keys(&former.content);
        }
        held.keys.extend(content.key_hashes().map(|hash| (hash, slot.environment)));
    }

    fn delete(&self, slot: &Arc<Slot>) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if held.slots.get(&slot.environment).is_some_and(|current| Arc::ptr_eq(current, slot)) {
            held.remove(slot.environment);
        }
        drop(held);
        slot.delete();
        if let Some(copies) = &self.copies {
            copies.remove(slot.environment, Instant::now());
        }
    }
}

impl Held {
    /// Iterates over the places that nobody but this list holds and nobody has used for `ttl`.
    fn idle(&self, ttl: Duration, now: Instant) -> impl Iterator<Item = &Arc<Slot>> {
        self.slots.values().filter(move |slot| Arc::strong_count(slot) == 1 && slot.used.age(now) >= ttl)
    }

    fn forget_keys(&mut self, content: &Content) {
        for hash in content.key_hashes() {
            self.keys.remove(&hash);
        }
    }

    fn remove(&mut self, environment: EnvironmentRef) {
        let Some(slot) = self.slots.remove(&environment) else { return };
        self.count.dec();
        let Published::Current(snapshot) = slot.published() else { return };
        self.forget_keys(&snapshot.content);
        if let Some(siblings) = self.projects.get_mut(&snapshot.content.project) {
            siblings.retain(|sibling| *sibling != environment);
            if siblings.is_empty() {
                self.projects.remove(&snapshot.content.project);
            }
        }
    }
}

/// What is made of an environment that was read.
struct Compiled {
    snapshot: Snapshot,
    /// What goes to disk.
    copy: Option<Encoded>,
    /// What the next read builds on.
    kept: Option<Arc<LoadedEnvironment>>,
}

/// Returns how much there is to compile.
fn size(loaded: &LoadedEnvironment) -> usize {
    let overrides =
        |feature: &FeatureRules| feature.segment_overrides.len() + feature.identity_overrides.len();
    let features = loaded.rules.features.iter().map(|feature| 1 + overrides(feature)).sum::<usize>();
    features + loaded.rules.segments.len()
}

/// A read under way. If its task ends before its time, nobody waits for it in vain.
struct Reading {
    slot: Arc<Slot>,
    is_done: bool,
}

impl Drop for Reading {
    fn drop(&mut self) {
        if !self.is_done {
            self.slot.abandon_read();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering};

    use async_trait::async_trait;
    use burgee_core::store::Wakeups;
    use tokio::sync::Notify;

    use super::*;
    use crate::call::Call;
    use crate::session::Session;
    use crate::testing::{Away, KEY, Silent, environment, metadata};
    use crate::{CopySettings, Evaluation, rights};

    /// A database that tells when it is asked for an environment, and answers when it is told to.
    #[derive(Default)]
    struct Slow {
        asked: Notify,
        answer: Notify,
    }

    #[async_trait]
    impl FlagFeed for Slow {
        async fn environment_of_key(&self, _: &SecretHash) -> Result<Option<EnvironmentRef>> {
            Ok(Some(EnvironmentRef(1)))
        }

        async fn load_environment(&self, _: EnvironmentRef) -> Result<Option<LoadedEnvironment>> {
            self.asked.notify_one();
            self.answer.notified().await;
            Ok(Some(environment(5, Vec::new())))
        }

        async fn revisions(&self, _: &[ProjectRef]) -> Result<Vec<(ProjectRef, i64)>> {
            Ok(Vec::new())
        }

        async fn touched(
            &self,
            _: ProjectRef,
            _: i64,
            _: i64,
            _: &[EnvironmentRef],
        ) -> Result<Vec<EnvironmentRef>> {
            Ok(Vec::new())
        }

        async fn wakeups(&self) -> Result<Box<dyn Wakeups>> {
            Err(database_unavailable("it tells nothing"))
        }
    }

    #[tokio::test]
    async fn what_is_written_during_the_first_read_is_looked_at() {
        let (feed, project) = (Arc::new(Slow::default()), ProjectRef(1));
        let environments = Arc::new(Environments::new(
            feed.clone(),
            Arc::new(Settings::default()),
            None,
            TaskTracker::new(),
            CancellationToken::new(),
        ));
        let write = async {
            feed.asked.notified().await;
            environments.hints.add(project, Hint::Written);
            // The follower takes it, and finds nothing to look at.
            environments.hints.next().await;
            assert!(environments.of_project(project).is_empty());
            feed.answer.notify_one();
        };
        let hash = SecretHash::of(KEY);
        let (found, ()) = tokio::join!(environments.find_by_key(&hash), write);
        assert!(found.unwrap().is_some());
        assert_eq!(environments.of_project(project).len(), 1);
        let hinted = tokio::time::timeout(Duration::from_secs(5), environments.hints.next()).await.unwrap();
        assert_eq!(hinted.projects, HashMap::from([(project, Hint::Asked)]));
    }

    /// A database that can be away.
    struct Distant {
        near: Arc<Silent>,
        is_away: AtomicBool,
    }

    impl Distant {
        fn near(&self) -> Result<&Silent> {
            match self.is_away.load(Ordering::SeqCst) {
                true => Err(database_unavailable("away")),
                false => Ok(&self.near),
            }
        }
    }

    #[async_trait]
    impl FlagFeed for Distant {
        async fn environment_of_key(&self, hash: &SecretHash) -> Result<Option<EnvironmentRef>> {
            self.near()?.environment_of_key(hash).await
        }

        async fn load_environment(&self, environment: EnvironmentRef) -> Result<Option<LoadedEnvironment>> {
            self.near()?.load_environment(environment).await
        }

        async fn revisions(&self, projects: &[ProjectRef]) -> Result<Vec<(ProjectRef, i64)>> {
            self.near()?.revisions(projects).await
        }

        async fn touched(
            &self,
            project: ProjectRef,
            after: i64,
            through: i64,
            environments: &[EnvironmentRef],
        ) -> Result<Vec<EnvironmentRef>> {
            self.near()?.touched(project, after, through, environments).await
        }

        async fn wakeups(&self) -> Result<Box<dyn Wakeups>> {
            Err(database_unavailable("it tells nothing"))
        }
    }

    fn start(feed: &Arc<Distant>, folder: &Path) -> (Evaluation, CancellationToken) {
        let copies = CopySettings {
            shortest_interval: Duration::ZERO,
            ..CopySettings::new(folder.to_owned(), "test".to_owned())
        };
        let settings = Settings {
            poll_interval: Duration::from_millis(20),
            longest_back_off: Duration::from_millis(50),
            copies: Some(copies),
            ..Settings::default()
        };
        let shutdown = CancellationToken::new();
        let evaluation = Evaluation::start(feed.clone(), Arc::new(Away), settings, shutdown.clone()).unwrap();
        (evaluation, shutdown)
    }

    async fn session(evaluation: &Evaluation) -> Result<Session> {
        let metadata = metadata(KEY);
        let call = Call::begin(&metadata, &evaluation.shared.settings);
        evaluation.shared.session(&call, &rights::EVALUATE_FLAGS).await
    }

    /// Starts a service while the database is away, after another that had the environment in memory.
    async fn started_from_copy(feed: &Arc<Distant>, folder: &Path) -> Evaluation {
        let (evaluation, shutdown) = start(feed, folder);
        session(&evaluation).await.unwrap();
        shutdown.cancel();
        evaluation.stopped().await;
        drop(evaluation);
        feed.is_away.store(true, Ordering::SeqCst);
        let (evaluation, _) = start(feed, folder);
        evaluation.readiness().wait_for(|is_ready| *is_ready).await.unwrap();
        let session = session(&evaluation).await.unwrap();
        assert!(session.slot.is_copy());
        assert_eq!(session.snapshot.revision, 5);
        evaluation
    }

    async fn until(evaluation: &Evaluation, is_so: impl Fn(&Snapshot) -> bool) {
        let waited = async {
            loop {
                if session(evaluation).await.is_ok_and(|session| is_so(&session.snapshot)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), waited).await.unwrap();
    }

    #[tokio::test]
    async fn a_copy_is_served_until_the_database_answers() {
        let near = Silent::new(environment(5, Vec::new()));
        let feed = Arc::new(Distant { near, is_away: AtomicBool::new(false) });
        let folder = tempfile::tempdir().unwrap();
        let evaluation = started_from_copy(&feed, folder.path()).await;
        let slot = evaluation.shared.environments.held_by_key(&SecretHash::of(KEY), Instant::now()).unwrap();
        feed.is_away.store(false, Ordering::SeqCst);
        // At the same revision, too, the database is asked.
        until(&evaluation, |_| !slot.is_copy()).await;
        let revision = feed.near.write(|_, _| {});
        until(&evaluation, |snapshot| snapshot.revision == revision).await;
    }

    #[tokio::test]
    async fn an_environment_of_another_database_takes_the_place_of_a_copy() {
        let near = Silent::new(environment(5, Vec::new()));
        let feed = Arc::new(Distant { near, is_away: AtomicBool::new(false) });
        let folder = tempfile::tempdir().unwrap();
        let evaluation = started_from_copy(&feed, folder.path()).await;
        feed.near.write(|environment, _| {
            environment.created_at = chrono::DateTime::from_timestamp(1, 0).unwrap();
            environment.revision = 2;
        });
        feed.is_away.store(false, Ordering::SeqCst);
        until(&evaluation, |snapshot| snapshot.revision == 2).await;
    }
}
