//! When tokens were last used: noted in memory, and written now and then, so that no call writes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use burgee_core::access::TokenRef;
use burgee_core::store::FlagStore;
use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// How often uses are written. What was noted since is lost if the process is killed.
const WRITE_INTERVAL: Duration = Duration::from_secs(30);
/// Tokens whose uses are noted between two writes; further ones are not.
const TOKENS: usize = 100_000;

/// Notes when tokens were last used.
#[derive(Clone, Default)]
pub(crate) struct Uses {
    noted: Arc<Mutex<Noted>>,
}

#[derive(Default)]
struct Noted {
    /// Not written yet.
    new: HashMap<TokenRef, DateTime<Utc>>,
    /// Written lately, so that a token in use is written once a minute.
    written: HashMap<TokenRef, DateTime<Utc>>,
}

impl Uses {
    /// Notes a use, to the minute.
    pub(crate) fn note(&self, token: TokenRef, now: DateTime<Utc>) {
        let minute = now.duration_trunc(TimeDelta::minutes(1)).unwrap_or(now);
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.written.get(&token) == Some(&minute) {
            return;
        }
        if noted.new.len() < TOKENS || noted.new.contains_key(&token) {
            noted.new.insert(token, minute);
        }
    }

    /// Writes uses now and then until the shutdown, and a last time then.
    pub(crate) async fn keep_writing(self, store: Arc<dyn FlagStore>, shutdown: CancellationToken) {
        loop {
            let ends = shutdown.run_until_cancelled(tokio::time::sleep(WRITE_INTERVAL)).await.is_none();
            self.write(&*store).await;
            if ends {
                return;
            }
        }
    }

    async fn write(&self, store: &dyn FlagStore) {
        let new = std::mem::take(&mut self.noted.lock().unwrap_or_else(PoisonError::into_inner).new);
        if new.is_empty() {
            return;
        }
        let mut uses: Vec<_> = new.into_iter().collect();
        // Whoever writes several rows writes them in the same order.
        uses.sort_unstable();
        match store.note_uses(&uses).await {
            Ok(()) => {
                let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
                noted.written = uses.into_iter().collect();
            }
            Err(error) => warn!(tokens = uses.len(), "the last uses of tokens were not written: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_in_use_is_noted_once_a_minute() {
        let uses = Uses::default();
        let new = |uses: &Uses| uses.noted.lock().unwrap().new.clone();
        let at = |seconds| DateTime::from_timestamp(seconds, 5).unwrap();
        uses.note(TokenRef(1), at(61));
        uses.note(TokenRef(1), at(119));
        assert_eq!(new(&uses), HashMap::from([(TokenRef(1), DateTime::from_timestamp(60, 0).unwrap())]));
        let written = std::mem::take(&mut uses.noted.lock().unwrap().new);
        uses.noted.lock().unwrap().written = written;
        uses.note(TokenRef(1), at(100));
        assert!(new(&uses).is_empty());
        uses.note(TokenRef(1), at(121));
        assert_eq!(new(&uses).len(), 1);
    }
}
