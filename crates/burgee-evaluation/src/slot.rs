//! The place of one environment: what is served of it, and who looks for news.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use burgee_core::Result;
use burgee_core::store::{EnvironmentRef, LoadedEnvironment};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::database::database_unavailable;
use crate::moment::{Moment, lock};
use crate::snapshot::Snapshot;

/// What is known of an environment.
#[derive(Clone, Debug)]
pub(crate) enum Published {
    /// Not read yet.
    Nothing,
    /// It is served like this.
    Current(Arc<Snapshot>),
    /// It was deleted, and stays so.
    Deleted,
}

/// The place of one environment. Its snapshots are replaced by newer ones only.
#[derive(Debug)]
pub(crate) struct Slot {
    /// The environment.
    pub(crate) environment: EnvironmentRef,
    /// When the database last said that nothing is newer.
    pub(crate) confirmed: Moment,
    /// When somebody last asked for the environment.
    pub(crate) used: Moment,
    /// Held by whoever reads the environment's copy on disk.
    pub(crate) opening: tokio::sync::Mutex<()>,
    /// Whether what is served comes from a copy on disk, and the database was not asked since.
    is_copy: AtomicBool,
    /// Wakes those who watch, when the content has changed.
    published: watch::Sender<Published>,
    /// Wakes those who wait for a revision, with every one.
    revision: watch::Sender<i64>,
    /// What was read last of a large environment, so that the next read is one of what happened since.
    read: Mutex<Option<Arc<LoadedEnvironment>>>,
    looks: Mutex<Looks>,
    looked: watch::Sender<Looked>,
}

/// The order to read the environment again: one reader at a time, however many ask.
#[derive(Debug, Default)]
struct Looks {
    asked: u64,
    is_reading: bool,
    failures: u32,
    /// Not to be read before.
    retry_at: Option<Instant>,
}

/// How the last read ended.
#[derive(Clone, Debug, Default)]
struct Looked {
    /// The last ticket that it answers.
    through: u64,
    failure: Option<&'static str>,
}

/// A request to read the environment that was made before the reading began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

impl Slot {
    /// Creates the place of an environment that was not read yet.
    pub(crate) fn new(environment: EnvironmentRef, now: Instant) -> Self {
        Self {
            environment,
            confirmed: Moment::at(now),
            used: Moment::at(now),
            opening: tokio::sync::Mutex::default(),
            is_copy: AtomicBool::new(false),
            published: watch::Sender::new(Published::Nothing),
            revision: watch::Sender::new(0),
            read: Mutex::default(),
            looks: Mutex::default(),
            looked: watch::Sender::default(),
        }
    }

    /// Returns what is served now.
    pub(crate) fn published(&self) -> Published {
        self.published.borrow().clone()
    }

    /// Returns the snapshot that is served now.
    pub(crate) fn snapshot(&self) -> Option<Arc<Snapshot>> {
        match &*self.published.borrow() {
            Published::Current(snapshot) => Some(Arc::clone(snapshot)),
            Published::Nothing | Published::Deleted => None,
        }
    }

    /// Returns a receiver that is told when the content changes. It also sees revisions that it was not told of.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Published> {
        self.published.subscribe()
    }

    /// Returns a receiver that is told of every revision.
    pub(crate) fn revisions(&self) -> watch::Receiver<i64> {
        self.revision.subscribe()
    }

    /// Serves a snapshot from now on, unless a newer one is. Says whether the content was replaced.
    pub(crate) fn publish(&self, snapshot: Snapshot) -> bool {
        let revision = snapshot.revision;
        let mut former = None;
        let is_replaced = self.published.send_if_modified(|published| {
            let is_same_content = match published {
                Published::Deleted => return false,
                Published::Current(current) if current.revision >= revision => return false,
                Published::Current(current) => Arc::ptr_eq(&current.content, &snapshot.content),
                Published::Nothing => false,
            };
            former = Some(std::mem::replace(published, Published::Current(Arc::new(snapshot))));
            // Streams have nothing to do for a revision that did not touch them; their next checkpoint carries it.
            !is_same_content
        });
        if former.is_some() {
            self.announce(revision);
        }
        // What was served until now may be large; nobody waits for a lock while it goes.
        drop(former);
        is_replaced
    }

    /// Serves a snapshot from a copy on disk that was confirmed `age` ago, unless there is something to serve.
    pub(crate) fn publish_copy(&self, snapshot: Snapshot, now: Instant, age: Duration) {
        let revision = snapshot.revision;
        let is_published = self.published.send_if_modified(|published| {
            let is_empty = matches!(published, Published::Nothing);
            if is_empty {
                // Before anybody can see the snapshot: whoever reads the environment now sets both right afterwards.
                self.confirmed.put(now, age);
                self.is_copy.store(true, Ordering::Release);
                *published = Published::Current(Arc::new(snapshot));
            }
            is_empty
        });
        if is_published {
            self.announce(revision);
        }
    }

    /// Says whether what is served comes from a copy on disk, and the database was not asked since.
    pub(crate) fn is_copy(&self) -> bool {
        self.is_copy.load(Ordering::Acquire)
    }

    /// Notes that the database was asked for the environment, and what is kept of the answer.
    pub(crate) fn note_read(&self, read: Option<Arc<LoadedEnvironment>>) {
        self.is_copy.store(false, Ordering::Release);
        *lock(&self.read) = read;
    }

    /// Returns what was kept of the last read.
    pub(crate) fn last_read(&self) -> Option<Arc<LoadedEnvironment>> {
        lock(&self.read).clone()
    }

    /// Serves the same content at a newer revision, which did not touch the environment. `after` is the revision from
    /// which on this is known.
    pub(crate) fn bump(&self, after: i64, revision: i64) {
        if let Some(current) = self.snapshot().filter(|current| current.revision >= after) {
            let content = Arc::clone(&current.content);
            self.publish(Snapshot { revision, content });
        }
    }

    /// Ends the environment.
    pub(crate) fn delete(&self) {
        self.published.send_replace(Published::Deleted);
        self.announce(i64::MAX);
    }

    fn announce(&self, revision: i64) {
        self.revision.send_if_modified(|current| {
            let is_newer = *current < revision;
            *current = revision.max(*current);
            is_newer
        });
    }

    /// Asks for a read that begins after now. The flag says that the caller is the one to read.
    pub(crate) fn ask(&self) -> (Ticket, bool) {
        let mut looks = lock(&self.looks);
        looks.asked += 1;
        let must_read = !std::mem::replace(&mut looks.is_reading, true);
        (Ticket(looks.asked), must_read)
    }

    /// Begins a read: returns the newest ticket that it will answer, or `None` if all are answered.
    pub(crate) fn begin_read(&self) -> Option<Ticket> {
        let mut looks = lock(&self.looks);
        if self.looked.borrow().through == looks.asked {
            looks.is_reading = false;
            return None;
        }
        Some(Ticket(looks.asked))
    }

    /// Says whether the database failed for this environment so recently that it is not to be asked again.
    pub(crate) fn must_wait(&self, now: Instant) -> bool {
        lock(&self.looks).retry_at.is_some_and(|retry_at| now < retry_at)
    }

    /// Ends a read.
    pub(crate) fn end_read(&self, ticket: Ticket, failure: Option<&'static str>) {
        self.looked.send_replace(Looked { through: ticket.0, failure });
    }

    /// Notes that the database answered.
    pub(crate) fn note_success(&self) {
        let mut looks = lock(&self.looks);
        looks.failures = 0;
        looks.retry_at = None;
    }

    /// Notes that the database failed; returns how often in a row.
    pub(crate) fn note_failure(&self, retry_at: impl FnOnce(u32) -> Instant) -> u32 {
        let mut looks = lock(&self.looks);
        looks.failures = looks.failures.saturating_add(1);
        looks.retry_at = Some(retry_at(looks.failures));
        looks.failures
    }

    /// Gives up reading because the reader ended before its time.
    pub(crate) fn abandon_read(&self) {
        let mut looks = lock(&self.looks);
        looks.is_reading = false;
        self.looked.send_replace(Looked { through: looks.asked, failure: Some(ABANDONED) });
    }

    /// Waits until a read that began after the ticket was drawn has ended.
    pub(crate) async fn wait_for_read(&self, ticket: Ticket) -> Result<()> {
        let mut looked = self.looked.subscribe();
        match looked.wait_for(|looked| looked.through >= ticket.0).await.map(|looked| looked.failure) {
            Ok(None) => Ok(()),
            Ok(Some(failure)) => Err(database_unavailable(failure)),
            Err(_) => Err(database_unavailable(ABANDONED)),
        }
    }
}

const ABANDONED: &str = "the environment could not be read";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{compile, environment};

    fn slot() -> Slot {
        Slot::new(EnvironmentRef(1), Instant::now())
    }

    #[test]
    fn a_snapshot_is_never_replaced_by_an_older_one() {
        let slot = slot();
        let revision = || slot.snapshot().map(|snapshot| snapshot.revision);
        assert!(slot.publish(compile(environment(5, Vec::new()), None)));
        assert!(!slot.publish(compile(environment(4, Vec::new()), None)));
        assert!(!slot.publish(compile(environment(5, Vec::new()), None)));
        assert_eq!(revision(), Some(5));
        slot.bump(6, 9);
        assert_eq!(revision(), Some(5), "of revision 6 nothing is known");
        slot.bump(4, 9);
        assert_eq!(revision(), Some(9));
        slot.delete();
        assert!(!slot.publish(compile(environment(10, Vec::new()), None)));
        assert!(matches!(slot.published(), Published::Deleted));
    }

    #[test]
    fn streams_sleep_through_revisions_that_did_not_touch_them() {
        let slot = slot();
        slot.publish(compile(environment(5, Vec::new()), None));
        let (mut contents, mut revisions) = (slot.subscribe(), slot.revisions());
        slot.bump(5, 6);
        assert!(!contents.has_changed().unwrap());
        assert!(revisions.has_changed().unwrap());
        assert_eq!(*revisions.borrow_and_update(), 6);
        // Whoever looks sees the newest all the same.
        assert!(
            matches!(&*contents.borrow_and_update(), Published::Current(snapshot) if snapshot.revision == 6)
        );
        slot.publish(compile(environment(7, Vec::new()), None));
        assert!(contents.has_changed().unwrap());
    }

    #[tokio::test]
    async fn one_read_answers_all_who_asked_before_it_began() {
        let slot = slot();
        let (first, must_read) = slot.ask();
        assert!(must_read);
        let reading = slot.begin_read().unwrap();
        let (second, must_read) = slot.ask();
        let (third, _) = slot.ask();
        assert!(!must_read);
        slot.end_read(reading, Some("failed"));
        assert!(slot.wait_for_read(first).await.is_err());
        let reading = slot.begin_read().unwrap();
        assert_eq!(reading, third);
        slot.end_read(reading, None);
        slot.wait_for_read(second).await.unwrap();
        slot.wait_for_read(third).await.unwrap();
        assert_eq!(slot.begin_read(), None);
        assert!(slot.ask().1, "the next one reads again");
    }

    #[tokio::test]
    async fn a_reader_that_gives_up_leaves_nobody_waiting() {
        let slot = slot();
        let (ticket, _) = slot.ask();
        slot.begin_read().unwrap();
        slot.abandon_read();
        assert!(slot.wait_for_read(ticket).await.is_err());
        assert!(slot.ask().1);
    }
}
