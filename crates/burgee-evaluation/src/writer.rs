//! Writes identities in batches: callers who write at the same time share a transaction, and each is answered when it is
//! durable.
//!
//! While a batch is under way, callers gather for the next one. A few batches are under way at once, so that neither the
//! database nor this process waits for the other; an identity is only ever in one of them, so that its writes are answered
//! in their order.

use std::collections::HashSet;
use std::sync::Arc;

use burgee_core::store::{IdentityStore, IdentityWrite, StoredIdentity};
use burgee_core::{Error, Result};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::database::{database_unavailable, repeat};
use crate::identities::{Identities, Key, Known, key};
use crate::moment::back_off;
use crate::settings::Settings;

/// Fewer callers than this are not shared out among batches.
const SMALLEST_SHARE: usize = 16;

/// Hands writes over to [`WriterTask`].
pub(crate) struct Writer {
    queue: mpsc::Sender<Waiting>,
    settings: Arc<Settings>,
}

struct Waiting {
    write: IdentityWrite,
    key: Key,
    answer: oneshot::Sender<Result<Arc<Known>>>,
}

impl Writer {
    /// Creates the queue, and the task that is to serve it.
    pub(crate) fn new(
        identities: Arc<Identities>,
        settings: Arc<Settings>,
        shutdown: CancellationToken,
    ) -> (Self, WriterTask) {
        let (queue, receiver) = mpsc::channel(settings.identify_queue);
        let task = WriterTask {
            identities,
            queue: receiver,
            settings: Arc::clone(&settings),
            shutdown,
            waiting: Vec::new(),
            gathering_since: None,
            last_share: 1,
            batches: JoinSet::new(),
            writing: HashSet::new(),
            failures: 0,
            refuse_until: None,
        };
        (Self { queue, settings }, task)
    }

    /// Writes an identity; returns it as it is stored then.
    pub(crate) async fn identify(&self, write: IdentityWrite) -> Result<Arc<Known>> {
        let (answer, answered) = oneshot::channel();
        let key = key(write.environment, &write.identifier);
        self.queue.try_send(Waiting { write, key, answer }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => {
                Error::LimitExceeded { limit: "identify_queue", maximum: self.settings.identify_queue as u64 }
            }
            mpsc::error::TrySendError::Closed(_) => shutting_down(),
        })?;
        match timeout(self.settings.identify_timeout, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(shutting_down()),
            Err(_) => Err(late()),
        }
    }
}

fn late() -> Error {
    database_unavailable("the identity was not written in time; it may still be")
}

fn shutting_down() -> Error {
    Error::Unavailable { reason: "SHUTTING_DOWN", message: "the server is shutting down".to_owned() }
}

/// Writes what callers wait for.
pub(crate) struct WriterTask {
    identities: Arc<Identities>,
    queue: mpsc::Receiver<Waiting>,
    settings: Arc<Settings>,
    shutdown: CancellationToken,
    /// Callers who gather for the next batch.
    waiting: Vec<Waiting>,
    /// Since when they could have been written.
    gathering_since: Option<Instant>,
    /// How many were in the last batch; so many are likely to come again.
    last_share: usize,
    /// The batches under way; each returns its identities.
    batches: JoinSet<Written>,
    /// The identities in them.
    writing: HashSet<Key>,
    failures: u32,
    /// After a failure the database is left alone for a while, and callers learn so at once.
    refuse_until: Option<Instant>,
}

/// The end of a batch.
struct Written {
    keys: Vec<Key>,
    /// Whether the database was away.
    is_away: bool,
}

impl WriterTask {
    /// Writes until the shutdown; then writes what is in the queue, and ends.
    pub(crate) async fn run(mut self) {
        let shutdown = self.shutdown.clone();
        // What waits here is no longer in the queue, so it is bounded, too.
        let room = self.settings.identify_batch * (self.settings.identify_batches + 1);
        let mut is_open = true;
        while is_open || !self.waiting.is_empty() || !self.batches.is_empty() {
            let until = self.gathering_since.map(|since| since + self.settings.identify_linger);
            let free = room - self.waiting.len();
            tokio::select! {
                taken = self.queue.recv_many(&mut self.waiting, free), if is_open && free > 0 => is_open = taken > 0,
                Some(ended) = self.batches.join_next() => self.end(ended.ok()),
                () = tokio::time::sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {}
                () = shutdown.cancelled(), if !self.queue.is_closed() => self.queue.close(),
            }
            // Whoever has stopped waiting was told that it failed.
            self.waiting.retain(|waiting| !waiting.answer.is_closed());
            if self.refuse_until.is_some_and(|until| Instant::now() < until) {
                let error = database_unavailable("the database failed a moment ago");
                self.waiting.drain(..).for_each(|waiting| answer(waiting.answer, Err(repeat(&error))));
            }
            self.begin_batches(is_open);
        }
    }

    /// Begins as many batches as may be under way and are worth it.
    fn begin_batches(&mut self, is_open: bool) {
        self.gathering_since = self.gathering_since.filter(|_| !self.waiting.is_empty());
        while self.batches.len() < self.settings.identify_batches && !self.waiting.is_empty() {
            let now = Instant::now();
            let since = *self.gathering_since.get_or_insert(now);
            // A little patience for as many as the last time.
            let is_late = now.saturating_duration_since(since) >= self.settings.identify_linger;
            if self.waiting.len() < self.last_share && !is_late && is_open {
                return;
            }
            let all = self.waiting.len() + self.writing.len();
            let share = all.div_ceil(self.settings.identify_batches).max(SMALLEST_SHARE);
            let batch = self.take(share.min(self.settings.identify_batch));
            if batch.is_empty() {
                // All of them are being written: when that has ended, somebody looks again.
                self.gathering_since = None;
                return;
            }
            self.gathering_since = None;
            self.last_share = batch.len();
            self.write(batch);
        }
        if self.batches.len() >= self.settings.identify_batches {
            // There is nothing to do until one has ended.
            self.gathering_since = None;
        }
    }

    /// Takes so many callers, the first come first, whose identities are in no batch under way.
    fn take(&mut self, most: usize) -> Vec<Waiting> {
        let mut batch = Vec::new();
        let mut kept = Vec::new();
        for waiting in self.waiting.drain(..) {
            if batch.len() < most && !self.writing.contains(&waiting.key) {
                batch.push(waiting);
            } else {
                kept.push(waiting);
            }
        }
        self.waiting = kept;
        batch
    }

    fn write(&mut self, batch: Vec<Waiting>) {
        self.writing.extend(batch.iter().map(|waiting| waiting.key));
        let identities = Arc::clone(&self.identities);
        let longest = self.settings.identify_timeout;
        self.batches.spawn(async move {
            let keys = batch.iter().map(|waiting| waiting.key).collect();
            let (writes, callers): (Vec<_>, Vec<_>) =
                batch.into_iter().map(|waiting| (waiting.write, waiting.answer)).unzip();
            let number = rand::random_range(1..=u64::MAX);
            let began_at = Instant::now();
            // After so long, none of these callers waits any more. The others must not wait for a connection that hangs.
            let outcome = timeout(longest, write_all(&*identities.store, &writes, number)).await;
            let is_away = match outcome.unwrap_or_else(|_| Err(late())) {
                Ok(outcomes) => {
                    for ((write, caller), outcome) in writes.into_iter().zip(callers).zip(outcomes) {
                        let IdentityWrite { environment, identifier, .. } = write;
                        let known = outcome.map(|stored| {
                            let now = Instant::now();
                            Arc::new(Known::written(&identifier, stored, began_at, now, number))
                        });
                        if let Ok(known) = &known {
                            identities.note_written(environment, known);
                        }
                        answer(caller, known);
                    }
                    false
                }
                Err(error) => {
                    callers.into_iter().for_each(|caller| answer(caller, Err(repeat(&error))));
                    matches!(error, Error::Unavailable { .. })
                }
            };
            Written { keys, is_away }
        });
    }

    /// Notes that a batch has ended; `None` if its task did before its time.
    fn end(&mut self, ended: Option<Written>) {
        match ended {
            Some(Written { keys, is_away }) => {
                keys.iter().for_each(|key| {
                    self.writing.remove(key);
                });
                if is_away {
                    self.failures = self.failures.saturating_add(1);
                    let wait = back_off(self.failures, self.settings.longest_back_off);
                    self.refuse_until = Some(Instant::now() + wait);
                } else {
                    self.failures = 0;
                    self.refuse_until = None;
                }
            }
            // Nobody knows which those were. The news tell of what they wrote.
            None if self.batches.is_empty() => self.writing.clear(),
            None => {}
        }
    }
}

fn answer(caller: oneshot::Sender<Result<Arc<Known>>>, answer: Result<Arc<Known>>) {
    // Whoever has stopped waiting needs no answer.
    caller.send(answer).ok();
}

async fn write_all(
    store: &dyn IdentityStore,
    writes: &[IdentityWrite],
    batch: u64,
) -> Result<Vec<Result<StoredIdentity>>> {
    match store.identify(writes, batch).await {
        // One of them may be the cause; the others should not suffer for it.
        Err(Error::Storage(_)) if writes.len() > 1 => Ok(write_singly(store, writes, batch).await),
        outcome => outcome,
    }
}

async fn write_singly(
    store: &dyn IdentityStore,
    writes: &[IdentityWrite],
    batch: u64,
) -> Vec<Result<StoredIdentity>> {
    let mut answers = Vec::with_capacity(writes.len());
    for write in writes {
        let answer = store.identify(std::slice::from_ref(write), batch).await;
        let missing = || Err(Error::Storage("the write was not answered".into()));
        answers.push(answer.and_then(|answers| answers.into_iter().next().unwrap_or_else(missing)));
    }
    answers
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use async_trait::async_trait;
    use burgee_core::identity::TraitChanges;
    use burgee_core::name::Identifier;
    use burgee_core::store::EnvironmentRef;

    use super::*;
    use crate::testing::shared;

    /// A database whose first connection hangs.
    #[derive(Default)]
    struct Hanging {
        asked: Mutex<Vec<String>>,
    }

    #[async_trait]
    impl IdentityStore for Hanging {
        async fn stored_identities(
            &self,
            _: EnvironmentRef,
            _: &[Identifier],
        ) -> Result<Vec<Option<StoredIdentity>>> {
            unreachable!("nobody reads");
        }

        async fn identify(&self, writes: &[IdentityWrite], _: u64) -> Result<Vec<Result<StoredIdentity>>> {
            let is_first = {
                let mut asked = self.asked.lock().unwrap();
                asked.extend(writes.iter().map(|write| write.identifier.as_str().to_owned()));
                asked.len() == writes.len()
            };
            if is_first {
                std::future::pending::<()>().await;
            }
            Ok(writes.iter().map(|_| Ok(StoredIdentity::default())).collect())
        }
    }

    fn write(identifier: &str) -> IdentityWrite {
        IdentityWrite {
            environment: EnvironmentRef(1),
            identifier: Identifier::parse(identifier).unwrap(),
            changes: TraitChanges::default(),
            now: chrono::Utc::now(),
        }
    }

    fn one_batch() -> Settings {
        Settings { identify_batches: 1, ..Settings::default() }
    }

    fn writer(store: Arc<dyn IdentityStore>, settings: Settings) -> (Writer, WriterTask) {
        let settings = Arc::new(settings);
        let environments = Arc::clone(&shared().environments);
        let (identities, _) = Identities::new(store, environments, Arc::clone(&settings));
        Writer::new(Arc::new(identities), settings, CancellationToken::new())
    }

    /// A database that writes down what each batch holds, and answers when it is told to.
    struct Slow {
        batches: Mutex<Vec<Vec<String>>>,
        answers: tokio::sync::Semaphore,
    }

    #[async_trait]
    impl IdentityStore for Slow {
        async fn stored_identities(
            &self,
            _: EnvironmentRef,
            _: &[Identifier],
        ) -> Result<Vec<Option<StoredIdentity>>> {
            unreachable!("nobody reads");
        }

        async fn identify(&self, writes: &[IdentityWrite], _: u64) -> Result<Vec<Result<StoredIdentity>>> {
            let batch = writes.iter().map(|write| write.identifier.as_str().to_owned()).collect();
            self.batches.lock().unwrap().push(batch);
            self.answers.acquire().await.unwrap().forget();
            Ok(writes.iter().map(|_| Ok(StoredIdentity::default())).collect())
        }
    }

    #[tokio::test]
    async fn an_identity_is_in_one_batch_at_a_time() {
        let store = Arc::new(Slow { batches: Mutex::default(), answers: tokio::sync::Semaphore::new(0) });
        let settings = Settings { identify_batches: 2, identify_batch: 2, ..Settings::default() };
        let (writer, task) = writer(store.clone(), settings);
        let task = tokio::spawn(task.run());
        let begun = async |count| {
            while store.batches.lock().unwrap().len() < count {
                tokio::task::yield_now().await;
            }
        };
        let writes = async {
            let (first, second, third, fourth, ()) = tokio::join!(
                writer.identify(write("ada")),
                async {
                    begun(1).await;
                    writer.identify(write("ada")).await
                },
                async {
                    begun(1).await;
                    writer.identify(write("bob")).await
                },
                async {
                    begun(2).await;
                    writer.identify(write("eve")).await
                },
                async {
                    begun(2).await;
                    store.answers.add_permits(4);
                }
            );
            assert!([first, second, third, fourth].iter().all(Result::is_ok));
        };
        timeout(Duration::from_secs(30), writes).await.unwrap();
        drop(writer);
        task.await.unwrap();
        let batches = store.batches.lock().unwrap().clone();
        assert_eq!(batches[..2], [["ada"], ["bob"]], "Ada is being written");
        let mut rest = batches[2..].concat();
        rest.sort();
        assert_eq!(rest, ["ada", "eve"]);
    }

    #[tokio::test]
    async fn a_write_that_hangs_does_not_hold_up_others_for_ever() {
        let store = Arc::new(Hanging::default());
        let identify_timeout = Duration::from_millis(100);
        let (writer, task) = writer(store.clone(), Settings { identify_timeout, ..one_batch() });
        let task = tokio::spawn(task.run());
        let hung = writer.identify(write("hung"));
        let given_up = async {
            // Queued behind the one that hangs, by somebody who does not wait.
            while store.asked.lock().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
            timeout(Duration::from_millis(1), writer.identify(write("given-up"))).await.unwrap_err();
        };
        let (hung, ()) = tokio::join!(hung, given_up);
        assert!(matches!(hung, Err(Error::Unavailable { reason: "DATABASE_UNAVAILABLE", .. })), "{hung:?}");
        // At first, the database is left alone.
        while writer.identify(write("next")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let asked = store.asked.lock().unwrap().clone();
        assert_eq!(asked, ["hung", "next"]);
        drop(writer);
        task.await.unwrap();
    }
}
