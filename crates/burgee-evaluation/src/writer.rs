//! Writes identities in batches: callers who write at the same time share a transaction, and each is answered when it is
//! durable.

use std::sync::Arc;

use burgee_core::store::{IdentityStore, IdentityWrite, StoredIdentity};
use burgee_core::{Error, Result};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::database::{database_unavailable, repeat};
use crate::identities::Known;
use crate::moment::back_off;
use crate::settings::Settings;

/// Hands writes over to [`WriterTask`].
pub(crate) struct Writer {
    queue: mpsc::Sender<Waiting>,
    settings: Arc<Settings>,
}

struct Waiting {
    write: IdentityWrite,
    answer: oneshot::Sender<Result<Known>>,
}

impl Writer {
    /// Creates the queue, and the task that is to serve it.
    pub(crate) fn new(
        store: Arc<dyn IdentityStore>,
        settings: Arc<Settings>,
        shutdown: CancellationToken,
    ) -> (Self, WriterTask) {
        let (queue, receiver) = mpsc::channel(settings.identify_queue);
        let task = WriterTask {
            store,
            queue: receiver,
            settings: Arc::clone(&settings),
            shutdown,
            busy: 1,
            failures: 0,
            refuse_until: None,
        };
        (Self { queue, settings }, task)
    }

    /// Writes an identity; returns it as it is stored then.
    pub(crate) async fn identify(&self, write: IdentityWrite) -> Result<Known> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Waiting { write, answer }).map_err(|refused| match refused {
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
    store: Arc<dyn IdentityStore>,
    queue: mpsc::Receiver<Waiting>,
    settings: Arc<Settings>,
    shutdown: CancellationToken,
    /// How many wrote at once the last time; so many are likely to come again.
    busy: usize,
    failures: u32,
    /// After a failure the database is left alone for a while, and callers learn so at once.
    refuse_until: Option<Instant>,
}

impl WriterTask {
    /// Writes until the shutdown; then writes what is in the queue, and ends.
    pub(crate) async fn run(mut self) {
        let shutdown = self.shutdown.clone();
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                taken = self.queue.recv_many(&mut batch, self.settings.identify_batch) => {
                    if taken == 0 {
                        return;
                    }
                }
                () = shutdown.cancelled(), if !self.queue.is_closed() => {
                    self.queue.close();
                    continue;
                }
            }
            self.fill(&mut batch).await;
            self.busy = batch.len();
            // Whoever has stopped waiting was told that it failed.
            batch.retain(|waiting| !waiting.answer.is_closed());
            if batch.is_empty() {
                continue;
            }
            if self.refuse_until.is_some_and(|until| Instant::now() < until) {
                refuse(&mut batch, &database_unavailable("the database failed a moment ago"));
            } else {
                self.write(&mut batch).await;
            }
        }
    }

    /// Waits a little for as many callers as there were the last time.
    async fn fill(&mut self, batch: &mut Vec<Waiting>) {
        let enough = self.busy.min(self.settings.identify_batch);
        let until = Instant::now() + self.settings.identify_linger;
        while batch.len() < enough {
            let free = self.settings.identify_batch - batch.len();
            match timeout_at(until, self.queue.recv_many(batch, free)).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    async fn write(&mut self, batch: &mut Vec<Waiting>) {
        let (writes, callers): (Vec<_>, Vec<_>) =
            batch.drain(..).map(|waiting| (waiting.write, waiting.answer)).unzip();
        // After so long, none of these callers waits any more. The others must not wait for a connection that hangs.
        let outcome = timeout(self.settings.identify_timeout, self.write_all(&writes)).await;
        let outcome = outcome.unwrap_or_else(|_| Err(late()));
        match outcome {
            Ok(answers) => {
                self.failures = 0;
                self.refuse_until = None;
                for (caller, answer) in callers.into_iter().zip(answers) {
                    // Later ones of a batch are known to be later. Whoever has stopped waiting needs no answer.
                    caller.send(answer.map(|stored| Known::new(stored, Instant::now()))).ok();
                }
            }
            Err(error) => {
                if matches!(error, Error::Unavailable { .. }) {
                    self.failures = self.failures.saturating_add(1);
                    let wait = back_off(self.failures, self.settings.longest_back_off);
                    self.refuse_until = Some(Instant::now() + wait);
                }
                for caller in callers {
                    caller.send(Err(repeat(&error))).ok();
                }
            }
        }
    }

    async fn write_all(&self, writes: &[IdentityWrite]) -> Result<Vec<Result<StoredIdentity>>> {
        match self.store.identify(writes).await {
            // One of them may be the cause; the others should not suffer for it.
            Err(Error::Storage(_)) if writes.len() > 1 => Ok(self.write_singly(writes).await),
            outcome => outcome,
        }
    }

    async fn write_singly(&self, writes: &[IdentityWrite]) -> Vec<Result<StoredIdentity>> {
        let mut answers = Vec::with_capacity(writes.len());
        for write in writes {
            let answer = self.store.identify(std::slice::from_ref(write)).await;
            let missing = || Err(Error::Storage("the write was not answered".into()));
            answers.push(answer.and_then(|answers| answers.into_iter().next().unwrap_or_else(missing)));
        }
        answers
    }
}

fn refuse(batch: &mut Vec<Waiting>, error: &Error) {
    for waiting in batch.drain(..) {
        waiting.answer.send(Err(repeat(error))).ok();
    }
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

        async fn identify(&self, writes: &[IdentityWrite]) -> Result<Vec<Result<StoredIdentity>>> {
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

    #[tokio::test]
    async fn a_write_that_hangs_does_not_hold_up_others_for_ever() {
        let store = Arc::new(Hanging::default());
        let settings = Settings { identify_timeout: Duration::from_millis(100), ..Settings::default() };
        let (writer, task) = Writer::new(store.clone(), Arc::new(settings), CancellationToken::new());
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
