//! Copies of environments on disk, from which the service answers when it starts while the database is away.
//!
//! Each environment that is read has its copy written a moment later, by one task, never by the threads that serve. A list
//! beside the copies, written every few seconds, says until when nothing had changed, so that an answer from a copy can say
//! how old its news are. What cannot be read is left out with a warning: a copy is a help, not the truth.

mod folder;
mod format;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use burgee_core::access::SecretHash;
use burgee_core::store::{EnvironmentRef, LoadedEnvironment};
use chrono::Utc;
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use self::folder::Folder;
pub(crate) use self::format::Confirmation;
use self::format::{FormatError, Head};
use crate::digest::Digest;
use crate::environments::Environments;
use crate::metrics::Metrics;
use crate::moment::{back_off, lock};

/// A confirmation that is newer by less is not worth writing.
const CONFIRMATION_STEP_MS: i64 = 500;
/// The longest wait before what could not be written is tried again.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);

/// Where copies are kept, and for how long they count.
#[derive(Clone, Debug)]
pub struct CopySettings {
    /// The folder; no other process may use it.
    pub folder: PathBuf,
    /// Tells the database from others: copies of another one are not used.
    pub database: String,
    /// The oldest news that a copy is opened with. A key that was revoked while the service was down opens its environment for
    /// so long.
    pub longest_age: Duration,
    /// The shortest time between two copies of one environment.
    pub shortest_interval: Duration,
    /// How often it is noted until when nothing has changed.
    pub confirm_interval: Duration,
    /// Copies that are kept at once; those without news for longest go first.
    pub max_copies: usize,
    /// Bytes of all copies together.
    pub max_bytes: u64,
}

impl CopySettings {
    /// Returns the defaults for a folder and a database.
    pub fn new(folder: PathBuf, database: String) -> Self {
        Self {
            folder,
            database,
            longest_age: Duration::from_secs(24 * 60 * 60),
            shortest_interval: Duration::from_secs(2),
            confirm_interval: Duration::from_secs(5),
            max_copies: 10_000,
            max_bytes: 4 * 1024 * 1024 * 1024,
        }
    }
}

/// The copies of a database's environments.
#[derive(Debug)]
pub(crate) struct Copies {
    settings: CopySettings,
    metrics: Metrics,
    folder: Folder,
    database: Digest,
    state: std::sync::Mutex<State>,
    /// Wakes the task that writes.
    added: Notify,
}

#[derive(Debug, Default)]
struct State {
    kept: HashMap<EnvironmentRef, Kept>,
    keys: HashMap<SecretHash, EnvironmentRef>,
    /// The bytes of all copies.
    bytes: u64,
    /// At most one for each environment, so there are no more than are held in memory.
    waiting: HashMap<EnvironmentRef, Waiting>,
    /// How often in a row writing failed.
    failures: u32,
    /// Files that nobody can use; they go once the database answers.
    useless: Vec<PathBuf>,
    /// Whether the list of confirmations is behind.
    is_unconfirmed: bool,
}

/// A copy that is on disk.
#[derive(Debug)]
struct Kept {
    keys: Box<[SecretHash]>,
    confirmation: Confirmation,
    bytes: u64,
    /// When this process wrote it.
    written: Option<Instant>,
}

/// What is to be done next for an environment.
#[derive(Debug)]
struct Waiting {
    task: Task,
    due: Instant,
}

#[derive(Debug)]
enum Task {
    Write(Encoded),
    Remove,
}

/// A copy that is to be written.
#[derive(Debug)]
pub(crate) struct Encoded {
    head: Head,
    bytes: Vec<u8>,
}

/// A copy that was read.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The environment as it was read from the database.
    pub(crate) loaded: LoadedEnvironment,
    /// The newest revision that did not touch it.
    pub(crate) revision: i64,
    /// How long ago the database last said that nothing is newer.
    pub(crate) age: Duration,
}

impl Copies {
    /// Opens the folder and reads what is in it, but no copy as a whole.
    pub(crate) fn open(settings: CopySettings, metrics: Metrics) -> io::Result<Self> {
        let folder = Folder::open(&settings.folder)?;
        let database = Digest::of(Sha256::new().chain_update(&settings.database));
        let copies = Self {
            settings,
            metrics,
            folder,
            database,
            state: std::sync::Mutex::default(),
            added: Notify::new(),
        };
        copies.read_heads()?;
        Ok(copies)
    }

    fn read_heads(&self) -> io::Result<()> {
        let mut state = lock(&self.state);
        for path in self.folder.copies()? {
            match read_head(&path) {
                Ok((head, bytes)) if head.database == self.database.0 => state.keep(head, bytes, None),
                Ok(_) => state.reject(path, "it is of another database"),
                Err(error) => state.reject(path, error),
            }
        }
        let confirmations = match fs::read(self.folder.confirmations()) {
            Ok(bytes) => format::read_confirmations(self.database, &bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        };
        match confirmations {
            Ok(confirmations) => {
                confirmations.into_iter().for_each(|confirmation| state.confirm(confirmation))
            }
            Err(error) => {
                warn!("copies count as old as they are: the list of what was confirmed is not used: {error}")
            }
        }
        state.is_unconfirmed = false;
        info!(count = state.kept.len(), "{} copies of environments are on disk", state.kept.len());
        Ok(())
    }

    /// Returns how old the newest news of all copies are; `None` if there is no copy.
    pub(crate) fn age(&self) -> Option<Duration> {
        let state = lock(&self.state);
        let newest = state.kept.values().map(|kept| kept.confirmation.confirmed_at).max();
        newest.map(|confirmed_at| age(confirmed_at, wall_clock()))
    }

    /// Returns the oldest news that a copy is opened with.
    pub(crate) fn longest_age(&self) -> Duration {
        self.settings.longest_age
    }

    /// Returns the environment that a key opens, if there is a copy of it that is not too old.
    pub(crate) fn environment_of_key(&self, hash: &SecretHash) -> Option<EnvironmentRef> {
        let state = lock(&self.state);
        let environment = *state.keys.get(hash)?;
        let confirmation = state.kept.get(&environment)?.confirmation;
        (age(confirmation.confirmed_at, wall_clock()) <= self.settings.longest_age).then_some(environment)
    }

    /// Reads the copy of an environment. Blocks.
    pub(crate) fn read(&self, environment: EnvironmentRef) -> Option<Opened> {
        let path = self.folder.copy(environment);
        let read = fs::read(&path).map_err(FormatError::from).and_then(|bytes| format::read_copy(&bytes));
        match read {
            Ok((head, loaded)) if head.database == self.database.0 && loaded.environment == environment => {
                let confirmation = lock(&self.state).kept.get(&environment)?.confirmation;
                let is_confirmed = confirmation.read_revision == loaded.revision;
                let (revision, confirmed_at) = match is_confirmed {
                    true => (confirmation.revision, confirmation.confirmed_at),
                    false => (loaded.revision, head.read_at),
                };
                Some(Opened { loaded, revision, age: age(confirmed_at, wall_clock()) })
            }
            Ok(_) => {
                self.reject(environment, path, "it is of another environment");
                None
            }
            Err(error) => {
                self.reject(environment, path, error);
                None
            }
        }
    }

    fn reject(&self, environment: EnvironmentRef, path: PathBuf, why: impl fmt::Display) {
        let mut state = lock(&self.state);
        state.forget(environment);
        state.reject(path, why);
    }

    /// Encodes an environment that was asked for `age` ago.
    pub(crate) fn encode(&self, loaded: &LoadedEnvironment, age: Duration) -> Option<Encoded> {
        let read_at = wall_clock() - i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        match format::write_copy(self.database, loaded, read_at) {
            Ok((head, bytes)) => Some(Encoded { head, bytes }),
            Err(error) => {
                let environment = loaded.environment.0;
                error!(environment, "environment {environment} cannot be copied: {error}");
                None
            }
        }
    }

    /// Has a copy written, soon; only the newest of several.
    pub(crate) fn put(&self, encoded: Encoded, now: Instant) {
        let environment = encoded.head.environment;
        self.wait(environment, Task::Write(encoded), now);
    }

    /// Has the copy of an environment removed that was deleted.
    pub(crate) fn remove(&self, environment: EnvironmentRef, now: Instant) {
        self.wait(environment, Task::Remove, now);
    }

    fn wait(&self, environment: EnvironmentRef, task: Task, now: Instant) {
        let mut state = lock(&self.state);
        let written = state.kept.get(&environment).and_then(|kept| kept.written);
        let due = match (state.waiting.get(&environment), written) {
            (Some(waiting), _) => waiting.due,
            (None, Some(written)) => now.max(written + self.settings.shortest_interval),
            (None, None) => now,
        };
        state.waiting.insert(environment, Waiting { task, due });
        drop(state);
        self.added.notify_one();
    }

    /// Writes what waits, and what is confirmed, until the shutdown; then what is left.
    pub(crate) async fn keep(self: Arc<Self>, environments: Arc<Environments>, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(self.settings.confirm_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = lock(&self.state).waiting.values().map(|waiting| waiting.due).min();
            let is_due = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.added.notified() => {}
                () = is_due => self.write(Some(Instant::now())).await,
                _ = ticks.tick() => {
                    self.tidy(&environments).await;
                    self.write_confirmations(&environments).await;
                }
            }
        }
        self.write(None).await;
        self.write_confirmations(&environments).await;
    }

    /// Does what is due by now; everything, if no time is given.
    async fn write(self: &Arc<Self>, now: Option<Instant>) {
        let copies = Arc::clone(self);
        // It fails only if the process is ending.
        let _ = tokio::task::spawn_blocking(move || copies.write_due(now)).await;
    }

    fn write_due(&self, now: Option<Instant>) {
        let is_due = |waiting: &mut Waiting| now.is_none_or(|now| waiting.due <= now);
        let due: Vec<_> = lock(&self.state).waiting.extract_if(|_, waiting| is_due(waiting)).collect();
        let mut failure = None;
        for (environment, Waiting { task, .. }) in due {
            let path = self.folder.copy(environment);
            let done = match &task {
                Task::Write(encoded) => self.folder.write(&path, &encoded.bytes),
                Task::Remove => folder::remove(&path),
            };
            let mut state = lock(&self.state);
            match (done, task) {
                (Ok(()), Task::Write(Encoded { head, bytes })) => {
                    state.keep(head, bytes.len() as u64, Some(Instant::now()));
                }
                (Ok(()), Task::Remove) => state.forget(environment),
                (Err(error), task) => {
                    let due = Instant::now() + back_off(state.failures + 1, LONGEST_BACK_OFF);
                    state.waiting.entry(environment).or_insert(Waiting { task, due });
                    failure = Some(error);
                }
            }
        }
        if let Err(error) = self.folder.sync() {
            failure = Some(error);
        }
        self.note(failure);
    }

    /// Says once that nothing can be written, and once that it is possible again.
    fn note(&self, failure: Option<io::Error>) {
        let mut state = lock(&self.state);
        match failure {
            None => {
                if std::mem::take(&mut state.failures) > 0 {
                    info!("copies of environments are written again");
                }
            }
            Some(failure) => {
                state.failures = state.failures.saturating_add(1);
                self.metrics.note_copy_failure();
                let folder = self.settings.folder.display();
                match state.failures {
                    1 => error!("copies of environments cannot be written to `{folder}`: {failure}"),
                    failures => debug!(failures, "copies cannot be written: {failure}"),
                }
            }
        }
    }

    async fn write_confirmations(self: &Arc<Self>, environments: &Environments) {
        let confirmations = environments.confirmations(Instant::now(), wall_clock());
        let copies = Arc::clone(self);
        // It fails only if the process is ending.
        let _ = tokio::task::spawn_blocking(move || copies.note_confirmations(confirmations)).await;
    }

    fn note_confirmations(&self, confirmations: Vec<Confirmation>) {
        let mut state = lock(&self.state);
        confirmations.into_iter().for_each(|confirmation| state.confirm(confirmation));
        if !state.is_unconfirmed {
            return;
        }
        let all: Vec<_> = state.kept.values().map(|kept| kept.confirmation).collect();
        drop(state);
        let written = format::write_confirmations(self.database, &all)
            .map_err(io::Error::other)
            .and_then(|bytes| self.folder.write(&self.folder.confirmations(), &bytes));
        match written {
            Ok(()) => lock(&self.state).is_unconfirmed = false,
            Err(failure) => self.note(Some(failure)),
        }
    }

    /// Removes copies that nobody can use any more, and those that are too many.
    async fn tidy(&self, environments: &Environments) {
        // Without the database, nobody knows which of them will be needed.
        if !environments.database.is_answering() {
            return;
        }
        let useless = self.choose_useless(&environments.held());
        if useless.is_empty() {
            return;
        }
        let remove = move || useless.iter().try_for_each(|path| folder::remove(path));
        // It fails only if the process is ending.
        if let Ok(Err(failure)) = tokio::task::spawn_blocking(remove).await {
            self.note(Some(failure));
        }
    }

    /// Has copies removed that are too old or too many, and returns the files that are no copies of this database.
    fn choose_useless(&self, held: &HashSet<EnvironmentRef>) -> Vec<PathBuf> {
        let (now, wall_clock) = (Instant::now(), wall_clock());
        let mut state = lock(&self.state);
        let mut idle: Vec<_> = state
            .kept
            .iter()
            .filter(|(environment, _)| !held.contains(environment))
            .map(|(environment, kept)| (kept.confirmation.confirmed_at, *environment, kept.bytes))
            .collect();
        idle.sort_unstable();
        let (mut count, mut bytes) = (state.kept.len(), state.bytes);
        for (confirmed_at, environment, size) in idle {
            let is_old = age(confirmed_at, wall_clock) > self.settings.longest_age;
            if !is_old && count <= self.settings.max_copies && bytes <= self.settings.max_bytes {
                break;
            }
            (count, bytes) = (count - 1, bytes - size);
            // What waits to be written was read in the meantime.
            state.waiting.entry(environment).or_insert(Waiting { task: Task::Remove, due: now });
        }
        // Another copy may have taken the place of a file that was of no use.
        let used: HashSet<_> = state.kept.keys().map(|environment| self.folder.copy(*environment)).collect();
        let useless = std::mem::take(&mut state.useless);
        drop(state);
        self.added.notify_one();
        useless.into_iter().filter(|path| !used.contains(path)).collect()
    }
}

impl State {
    fn keep(&mut self, head: Head, bytes: u64, written: Option<Instant>) {
        let Head { database: _, environment, revision, read_at, keys } = head;
        self.forget(environment);
        self.bytes += bytes;
        self.keys.extend(keys.iter().map(|hash| (*hash, environment)));
        let confirmation =
            Confirmation { environment, read_revision: revision, revision, confirmed_at: read_at };
        self.kept.insert(environment, Kept { keys, confirmation, bytes, written });
        self.is_unconfirmed = true;
    }

    fn forget(&mut self, environment: EnvironmentRef) {
        let Some(kept) = self.kept.remove(&environment) else { return };
        self.bytes -= kept.bytes;
        for hash in kept.keys {
            self.keys.remove(&hash);
        }
        self.is_unconfirmed = true;
    }

    fn reject(&mut self, path: PathBuf, why: impl fmt::Display) {
        warn!("`{}` is not used: {why}", path.display());
        self.useless.push(path);
    }

    fn confirm(&mut self, confirmation: Confirmation) {
        let Some(kept) = self.kept.get_mut(&confirmation.environment) else { return };
        let former = kept.confirmation;
        let is_newer = confirmation.revision > former.revision
            || confirmation.confirmed_at > former.confirmed_at + CONFIRMATION_STEP_MS;
        if confirmation.read_revision == former.read_revision && is_newer {
            kept.confirmation = Confirmation {
                revision: confirmation.revision.max(former.revision),
                confirmed_at: confirmation.confirmed_at.max(former.confirmed_at),
                ..former
            };
            self.is_unconfirmed = true;
        }
    }
}

fn read_head(path: &Path) -> Result<(Head, u64), FormatError> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    Ok((format::read_head(io::BufReader::new(file))?, bytes))
}

/// Returns the time in milliseconds since 1970: what outlives a process cannot use its clock.
fn wall_clock() -> i64 {
    Utc::now().timestamp_millis()
}

/// Returns how long ago a time was; nothing, if it lies ahead, because the clock was put back.
fn age(time: i64, now: i64) -> Duration {
    Duration::from_millis(u64::try_from(now.saturating_sub(time)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{KEY, environment, feature};

    const ENVIRONMENT: EnvironmentRef = EnvironmentRef(1);
    const HOUR: Duration = Duration::from_secs(3_600);

    fn settings(folder: &Path) -> CopySettings {
        CopySettings::new(folder.to_owned(), "db/burgee".to_owned())
    }

    fn open(settings: CopySettings) -> Copies {
        Copies::open(settings, Metrics::default()).unwrap()
    }

    /// Writes a copy of the environment at a revision that was asked for `age` ago.
    fn write(copies: &Copies, revision: i64, age: Duration) {
        let loaded = environment(revision, vec![feature("a", revision)]);
        copies.put(copies.encode(&loaded, age).unwrap(), Instant::now());
        copies.write_due(None);
    }

    fn confirmation(read_revision: i64, revision: i64, age: Duration) -> Confirmation {
        let confirmed_at = wall_clock() - age.as_millis() as i64;
        Confirmation { environment: ENVIRONMENT, read_revision, revision, confirmed_at }
    }

    fn found(copies: &Copies) -> Option<EnvironmentRef> {
        copies.environment_of_key(&SecretHash::of(KEY))
    }

    /// Asserts at which revision the copy is, and how many hours old its news are.
    fn check(copies: &Copies, revision: i64, hours: u64) {
        let opened = copies.read(found(copies).unwrap()).unwrap();
        assert_eq!((opened.revision, opened.age.as_secs() / 3_600), (revision, hours));
    }

    #[test]
    fn another_process_finds_the_newest_copy_and_its_last_confirmation() {
        let folder = tempfile::tempdir().unwrap();
        let copies = open(settings(folder.path()));
        assert_eq!((found(&copies), copies.age()), (None, None));
        write(&copies, 4, 9 * HOUR);
        write(&copies, 5, 7 * HOUR);
        drop(copies);
        check(&open(settings(folder.path())), 5, 7);

        let copies = open(settings(folder.path()));
        copies.note_confirmations(vec![confirmation(5, 8, 3 * HOUR)]);
        copies.note_confirmations(vec![confirmation(5, 7, 4 * HOUR), confirmation(4, 9, HOUR)]);
        drop(copies);
        let copies = open(settings(folder.path()));
        check(&copies, 8, 3);
        assert_eq!(copies.age().map(|age| age.as_secs() / 3_600), Some(3));
        assert_eq!(copies.environment_of_key(&SecretHash::of("another")), None);
        write(&copies, 9, 2 * HOUR);
        check(&copies, 9, 2);
    }

    #[test]
    fn a_copy_that_is_too_old_opens_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let copies = open(settings(folder.path()));
        write(&copies, 5, 25 * HOUR);
        assert_eq!(found(&copies), None);
        write(&copies, 5, 23 * HOUR);
        assert_eq!(found(&copies), Some(ENVIRONMENT));
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("1.copy");
        write(&open(settings(folder.path())), 5, HOUR);
        let good = fs::read(&file).unwrap();
        fs::write(folder.path().join("confirmed"), "no list").unwrap();
        check(&open(settings(folder.path())), 5, 1);

        let other = CopySettings { database: "db/other".to_owned(), ..settings(folder.path()) };
        assert_eq!(found(&open(other)), None);
        fs::write(&file, &good[..20]).unwrap();
        assert_eq!(found(&open(settings(folder.path()))), None);
        // The head is whole, and the rest is not.
        fs::write(&file, &good[..good.len() - 1]).unwrap();
        let copies = open(settings(folder.path()));
        assert_eq!(found(&copies), Some(ENVIRONMENT));
        assert!(copies.read(ENVIRONMENT).is_none());
        assert_eq!(found(&copies), None, "it is not tried again");
        drop(copies);
        fs::remove_file(&file).unwrap();
        fs::write(folder.path().join("2.copy"), &good).unwrap();
        assert!(open(settings(folder.path())).read(ENVIRONMENT).is_none(), "it is in the file of another");
    }

    #[test]
    fn a_copy_is_written_seldom_and_then_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let copies = open(settings(folder.path()));
        write(&copies, 1, HOUR);
        let start = Instant::now();
        for revision in 2..=9 {
            let loaded = environment(revision, Vec::new());
            copies.put(copies.encode(&loaded, HOUR).unwrap(), start);
        }
        copies.write_due(Some(start + Duration::from_secs(1)));
        check(&copies, 1, 1);
        copies.write_due(Some(start + Duration::from_secs(2)));
        check(&copies, 9, 1);
        copies.remove(ENVIRONMENT, start);
        copies.write_due(None);
        assert_eq!(found(&copies), None);
        assert!(!folder.path().join("1.copy").exists());
    }

    #[test]
    fn copies_that_are_old_or_too_many_go_unless_they_are_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let copies = open(CopySettings { max_copies: 3, ..settings(folder.path()) });
        for (number, hours) in [(1, 30), (2, 30), (3, 3), (4, 2), (5, 1)] {
            let loaded =
                LoadedEnvironment { environment: EnvironmentRef(number), ..environment(1, Vec::new()) };
            copies.put(copies.encode(&loaded, hours * HOUR).unwrap(), Instant::now());
        }
        copies.write_due(None);
        fs::write(folder.path().join("9.copy"), "no copy").unwrap();
        lock(&copies.state).reject(folder.path().join("9.copy"), "a test");
        lock(&copies.state).reject(folder.path().join("5.copy"), "a test, but it was written anew");
        let useless = copies.choose_useless(&HashSet::from([EnvironmentRef(1)]));
        assert_eq!(useless, [folder.path().join("9.copy")]);
        copies.write_due(None);
        let mut left: Vec<_> = lock(&copies.state).kept.keys().map(|environment| environment.0).collect();
        left.sort_unstable();
        assert_eq!(left, [1, 4, 5]);
    }

    #[test]
    fn what_could_not_be_written_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let copies = open(settings(folder.path()));
        // Where the copy would be written first, there is a folder: this fails for the administrator, too.
        let obstacle = folder.path().join("1.unfinished");
        fs::create_dir(&obstacle).unwrap();
        write(&copies, 5, HOUR);
        assert_eq!(found(&copies), None);
        assert_eq!(lock(&copies.state).failures, 1);
        fs::remove_dir(obstacle).unwrap();
        copies.write_due(None);
        check(&copies, 5, 1);
        assert_eq!(lock(&copies.state).failures, 0);
    }
}
