//! What was heard of writes of identities: it tells which of those that are remembered may be used without asking the
//! database.
//!
//! Every write of an identity, by whichever process, tells all replicas which identities it concerns. News come over one
//! connection, in the order of commits. So does a beat that a replica sends to itself: when it hears a beat, it has heard
//! of every write that was answered before the beat was sent. What is remembered is fresh while
//!
//! - it was read after the replica began to listen, and nothing was heard of it since the read began, and
//! - the newest beat that was heard was sent no longer ago than the bound.
//!
//! Then it holds every write that was answered longer ago than the bound. A connection that is dead or slow brings no
//! beats, and the database is asked; so is it while nobody listens.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use burgee_core::Error;
use burgee_core::store::{IdentityListener, IdentityMark, IdentityNews, NO_BATCH};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::identities::{Identities, Known};
use crate::moment::{back_off, lock};

/// Beats within the bound: so many may be late before the database is asked.
const BEATS_PER_BOUND: u32 = 4;
/// The shortest time between two beats.
const SHORTEST_BEAT_INTERVAL: Duration = Duration::from_millis(5);
/// The guards that identities share. Two with the same guard only have a read refused now and then.
const GUARDS: usize = 4_096;
/// Nobody listens.
const NEVER: u64 = u64::MAX;

/// What was heard of writes of identities.
pub(crate) struct News {
    bound: Duration,
    origin: Instant,
    /// Since when all news are heard, in microseconds since the origin.
    since: AtomicU64,
    /// When the newest beat that was heard was sent.
    beat: AtomicU64,
    /// Whether somebody asked since the last beat.
    is_asked: AtomicBool,
    guards: Box<[Mutex<Guard>]>,
}

/// Keeps what is read while news come in from being remembered as fresh.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    /// When something was heard last, and of which batch.
    last: Option<(Instant, u64)>,
    /// When something was heard last of another batch.
    last_of_others: Option<Instant>,
}

impl Guard {
    /// Notes that something was heard.
    pub(crate) fn note(&mut self, batch: u64, now: Instant) {
        if let Some((last, former)) = self.last
            && (former != batch || batch == NO_BATCH)
        {
            self.last_of_others = Some(last);
        }
        self.last = Some((now, batch));
    }

    /// Says whether nothing was heard since the reading of this began. A batch that wrote it is no news to it.
    pub(crate) fn admits(&self, known: &Known) -> bool {
        let heard = match self.last {
            Some((_, batch)) if known.is_of(batch) => self.last_of_others,
            last => last.map(|(last, _)| last),
        };
        heard.is_none_or(|heard| known.read_at() > heard)
    }
}

impl News {
    /// Creates what is known before anybody listens. A bound of 0 admits nothing.
    pub(crate) fn new(bound: Duration, now: Instant) -> Self {
        Self {
            bound,
            origin: now,
            since: AtomicU64::new(NEVER),
            beat: AtomicU64::new(0),
            is_asked: AtomicBool::new(false),
            guards: (0..GUARDS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Returns how old an answer may be.
    pub(crate) fn bound(&self) -> Duration {
        self.bound
    }

    /// Returns up to when everything is known of an identity that is remembered, if that is long enough.
    pub(crate) fn proof(&self, known: &Known, now: Instant) -> Option<Instant> {
        if !self.is_asked.load(Ordering::Relaxed) {
            self.is_asked.store(true, Ordering::Relaxed);
        }
        let since = self.since.load(Ordering::SeqCst);
        let beat = self.beat.load(Ordering::SeqCst);
        // If somebody began to listen again in between, the two do not belong together.
        if since == NEVER || beat == 0 || since != self.since.load(Ordering::SeqCst) {
            return None;
        }
        let beat = self.instant(beat);
        let is_recent = now.saturating_duration_since(beat) < self.bound;
        let is_fresh = is_recent && self.number(known.read_at()) > since && !known.is_outdated();
        is_fresh.then(|| beat.max(known.read_at()))
    }

    /// Takes the guard of an identity, under which it is remembered and news of it are noted.
    pub(crate) fn guard(&self, mark: IdentityMark) -> MutexGuard<'_, Guard> {
        lock(&self.guards[(mark.0 % GUARDS as u64) as usize])
    }

    /// Notes news of all identities.
    pub(crate) fn note_all(&self, now: Instant) {
        self.guards.iter().for_each(|guard| lock(guard).note(NO_BATCH, now));
    }

    /// Notes that all news are heard from now on.
    fn begin(&self, now: Instant) {
        self.since.store(NEVER, Ordering::SeqCst);
        self.beat.store(0, Ordering::SeqCst);
        self.since.store(self.number(now), Ordering::SeqCst);
    }

    /// Notes that news are lost from now on.
    fn end(&self) {
        self.since.store(NEVER, Ordering::SeqCst);
    }

    /// Notes a beat that was heard.
    fn note_beat(&self, number: u64) {
        self.beat.fetch_max(number, Ordering::SeqCst);
    }

    /// Returns an instant in microseconds since the origin.
    fn number(&self, instant: Instant) -> u64 {
        u64::try_from(instant.saturating_duration_since(self.origin).as_micros()).unwrap_or(u64::MAX)
    }

    fn instant(&self, number: u64) -> Instant {
        self.origin + Duration::from_micros(number)
    }

    fn beat_interval(&self) -> Duration {
        (self.bound / BEATS_PER_BOUND).max(SHORTEST_BEAT_INTERVAL)
    }
}

/// Listens to news until the shutdown.
pub(crate) async fn listen(identities: Arc<Identities>, shutdown: CancellationToken) {
    if !identities.news.bound.is_zero() {
        shutdown.run_until_cancelled(listen_for_ever(&identities)).await;
    }
}

async fn listen_for_ever(identities: &Identities) {
    let (news, environments) = (&identities.news, &identities.environments);
    let mut failures = 0;
    loop {
        let error = match environments.ask(identities.store.identity_listener()).await {
            Ok(None) => return,
            Ok(Some(listener)) => {
                failures = 0;
                news.begin(Instant::now());
                let error = hear(identities, listener).await;
                news.end();
                error
            }
            Err(error) => error,
        };
        failures += 1;
        debug!(failures, "news of identities are lost, and the database is asked for each: {error}");
        tokio::time::sleep(back_off(failures, environments.settings.longest_back_off)).await;
    }
}

/// Takes news until the connection is lost.
async fn hear(identities: &Identities, mut listener: Box<dyn IdentityListener>) -> Error {
    let news = &identities.news;
    let mut beats = tokio::time::interval(news.beat_interval());
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            told = listener.next() => match told {
                Ok(IdentityNews::Written { environment, marks, batch }) => {
                    marks.into_iter().for_each(|mark| identities.outdate((environment, mark), batch));
                }
                Ok(IdentityNews::Gone(environment)) => identities.outdate_all(environment),
                Ok(IdentityNews::Beat(number)) => news.note_beat(number),
                Ok(IdentityNews::Unknown) => news.begin(Instant::now()),
                Err(error) => return error,
            },
            // While nobody asks, nobody needs to know.
            _ = beats.tick() => if news.is_asked.swap(false, Ordering::Relaxed) {
                let number = news.number(Instant::now());
                if let Err(error) = identities.environments.ask(listener.beat(number)).await {
                    return error;
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use burgee_core::name::Identifier;
    use burgee_core::store::StoredIdentity;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn read(read_at: Instant) -> Known {
        Known::read(&Identifier::parse("eve").unwrap(), None, read_at)
    }

    fn written(began_at: Instant, batch: u64) -> Known {
        let eve = Identifier::parse("eve").unwrap();
        Known::written(&eve, StoredIdentity::default(), began_at, began_at + 9 * SECOND, batch)
    }

    #[test]
    fn what_is_remembered_is_fresh_for_as_long_as_beats_are_heard() {
        let start = Instant::now();
        let at = |tenths: u32| start + SECOND / 10 * tenths;
        let news = News::new(SECOND, start);
        let known = read(at(20));
        assert_eq!(news.proof(&known, at(20)), None, "nobody listens");
        news.begin(at(10));
        assert_eq!(news.proof(&known, at(20)), None, "no beat was heard");
        news.note_beat(news.number(at(15)));
        assert_eq!(news.proof(&known, at(21)), Some(at(20)), "it was read after the beat");
        assert_eq!(news.proof(&known, at(24)), Some(at(20)));
        assert_eq!(news.proof(&known, at(25)), None, "the beat is too old");
        news.note_beat(news.number(at(24)));
        assert_eq!(news.proof(&known, at(33)), Some(at(24)));
        assert_eq!(news.proof(&read(at(10)), at(33)), None, "it was read before anybody listened");
        news.end();
        assert_eq!(news.proof(&known, at(33)), None, "nobody listens any more");
        news.begin(at(40));
        news.note_beat(news.number(at(41)));
        assert_eq!(news.proof(&known, at(42)), None, "news between two connections are lost");
        let known = read(at(41));
        assert_eq!(news.proof(&known, at(42)), Some(at(41)));
        known.outdate();
        assert_eq!(news.proof(&known, at(42)), None);
        assert_eq!(News::new(Duration::ZERO, start).proof(&known, start), None);
    }

    #[test]
    fn what_was_read_before_news_is_not_admitted() {
        let start = Instant::now();
        let at = |seconds: u32| start + SECOND * seconds;
        let mut guard = Guard::default();
        assert!(guard.admits(&read(at(0))));
        guard.note(7, at(2));
        for (known, expected) in [
            (read(at(1)), false),
            (read(at(2)), false),
            (read(at(3)), true),
            (written(at(1), 7), true),
            (written(at(1), 8), false),
            (written(at(3), 8), true),
        ] {
            assert_eq!(guard.admits(&known), expected, "{known:?}");
        }
        guard.note(8, at(4));
        guard.note(8, at(5));
        for (known, expected) in [
            (written(at(1), 7), false),
            (written(at(1), 8), false),
            (written(at(3), 8), true),
            (read(at(3)), false),
            (read(at(6)), true),
        ] {
            assert_eq!(guard.admits(&known), expected, "{known:?}");
        }
        guard.note(NO_BATCH, at(7));
        assert!(!guard.admits(&written(at(6), 8)) && !guard.admits(&read(at(6))));
        assert!(guard.admits(&read(at(8))));
    }
}
