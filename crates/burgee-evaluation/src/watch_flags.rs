//! Streams of flags.
//!
//! A subscriber costs the server where it has got to, not a buffer: whenever it takes something, it is given what changed
//! between the revision that it has and the newest. So a slow one skips to the newest state and misses none.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use burgee_core::Result;
use burgee_core::access::{KeyKind, SecretHash};
use burgee_proto::evaluation::v1 as pb;
use burgee_proto::time;
use chrono::{DateTime, Utc};
use pb::watch_flags_response::Event as Message;
use pb::{GoodbyeReason, SnapshotReason};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_stream::Stream;
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::Shared;
use crate::changes::{Changes, Part, Since};
use crate::digest::Digest;
use crate::evaluate::stored;
use crate::hints::Hint;
use crate::identities::Known;
use crate::request::Checks;
use crate::session::{Refusal, Session, admit, stale_for};
use crate::slot::{Published, Slot};
use crate::snapshot::Snapshot;
use crate::streams::Place;
use crate::subject::{Who, request_digest};
use crate::token::ResumeToken;
use crate::view::{Selection, View};

/// What a stream answers with.
pub(crate) type Responses = Pin<Box<dyn Stream<Item = Result<pb::WatchFlagsResponse, Status>> + Send>>;

/// When to come back after a goodbye that another replica, or this one, soon makes good; in seconds, at random.
const RETRY_SOON: std::ops::Range<f64> = 1.0..5.0;
/// When to come back after the organisation stopped serving flags.
const RETRY_LATER: std::ops::Range<f64> = 30.0..90.0;

/// Opens a stream.
pub(crate) async fn open(
    shared: &Arc<Shared>,
    metadata: &MetadataMap,
    connection: Option<SocketAddr>,
    request: pb::WatchFlagsRequest,
) -> Result<Responses> {
    let session = shared.session(metadata, "EvaluationService/WatchFlags").await?;
    let pb::WatchFlagsRequest { identity, features, resume_token, checkpoint_interval } = request;
    let mut checks = Checks::default();
    let (who, selection) = (checks.who(identity), checks.features(&features));
    let interval = checks.checkpoint_interval(checkpoint_interval, shared.settings.checkpoint_interval);
    checks.finish(())?;
    let token = match resume_token.as_str() {
        "" => None,
        token => Some(ResumeToken::decode(token)?),
    };
    let place = shared.streams.take(session.hash, connection, &shared.settings)?;
    // Subscribed before anything is read: no change falls in between.
    let receiver = session.slot.subscribe();
    let known = stored(shared, &session, who.as_ref()).await?;
    let Session { slot, hash, kind, .. } = session;
    let watcher = Watcher {
        shared: Arc::clone(shared),
        slot,
        hash,
        kind,
        request: request_digest(who.as_ref(), selection.as_deref()),
        traits: traits_digest(known.as_deref()),
        who: who.map(Box::new),
        selection,
        interval,
        known,
        expires_at: None,
        sent: token.as_ref().map_or(0, |token| token.revision),
        _place: place,
    };
    Ok(Box::pin(responses(watcher, receiver, token)))
}

fn responses(
    mut watcher: Watcher,
    mut receiver: watch::Receiver<Published>,
    token: Option<ResumeToken>,
) -> impl Stream<Item = Result<pb::WatchFlagsResponse, Status>> + Send {
    async_stream::stream! {
        let mut event = watcher.begin(&mut receiver, token).await;
        loop {
            let is_over = matches!(event, Event::Goodbye(_));
            let (message, rest) = watcher.message(event);
            yield Ok(message);
            if is_over {
                return;
            }
            event = match rest {
                // Parts are made as they are taken. What was not sent to its end was not sent.
                Some(changes) if !watcher.shared.shutdown.is_cancelled() => Event::Changes(changes),
                Some(_) | None => watcher.next(&mut receiver).await,
            };
        }
    }
}

/// What a subscriber is to be told.
enum Event {
    Changes(Changes),
    UpToDate(Arc<Snapshot>),
    Checkpoint(Arc<Snapshot>),
    Goodbye(GoodbyeReason),
}

/// A subscriber.
struct Watcher {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
    hash: SecretHash,
    kind: KeyKind,
    who: Option<Box<Who>>,
    selection: Selection,
    request: Digest,
    interval: Duration,
    /// What is stored of the identity, as of the last content.
    known: Option<Arc<Known>>,
    traits: Digest,
    expires_at: Option<DateTime<Utc>>,
    /// The subscriber has everything through this revision.
    sent: i64,
    _place: Place,
}

impl Watcher {
    /// Returns the first event of a stream.
    async fn begin(
        &mut self,
        receiver: &mut watch::Receiver<Published>,
        token: Option<ResumeToken>,
    ) -> Event {
        let catch_up_until = Instant::now() + self.shared.settings.catch_up_limit;
        let mut revisions = self.slot.revisions();
        let mut has_asked = false;
        loop {
            revisions.mark_unchanged();
            let snapshot = match self.admit(&receiver.borrow_and_update().clone()) {
                Ok(snapshot) => snapshot,
                Err(goodbye) => return goodbye,
            };
            let Some(token) = &token else { return self.snapshot(snapshot, SnapshotReason::Initial) };
            let content = &snapshot.content;
            if token.environment != content.fingerprint || token.revision < content.created_revision {
                return self.snapshot(snapshot, SnapshotReason::OtherEnvironment);
            }
            if token.revision <= snapshot.revision {
                return self.resume(snapshot, token);
            }
            // The subscriber comes from a replica that is ahead: silence, until this one has caught up.
            if !std::mem::replace(&mut has_asked, true) {
                self.shared.environments.hints.add(content.project, Hint::Asked);
            }
            tokio::select! {
                biased;
                () = self.shared.shutdown.cancelled() => return Event::Goodbye(GoodbyeReason::ShuttingDown),
                _ = receiver.changed() => {}
                _ = revisions.changed() => {}
                () = sleep_until(self.wake_at(catch_up_until)) => {
                    if Instant::now() >= catch_up_until {
                        return Event::Goodbye(GoodbyeReason::ReplicaBehind);
                    }
                }
            }
        }
    }

    /// Goes on from a token, whose revision this replica has.
    fn resume(&mut self, snapshot: Arc<Snapshot>, token: &ResumeToken) -> Event {
        let content = &snapshot.content;
        let reason = if token.request != self.request || token.kind != self.kind {
            SnapshotReason::OtherRequest
        } else if content.settings_revision > token.revision {
            SnapshotReason::SettingsChanged
        } else if token.traits != self.traits {
            SnapshotReason::TraitsChanged
        } else if !content.can_tell_changes(self.kind, token.revision) {
            SnapshotReason::FeaturesWithdrawn
        } else {
            let since = self.since(&snapshot, false);
            let changes = self.update(&snapshot, since);
            return changes.map_or(Event::UpToDate(snapshot), Event::Changes);
        };
        self.snapshot(snapshot, reason)
    }

    /// Waits for the next event.
    async fn next(&mut self, receiver: &mut watch::Receiver<Published>) -> Event {
        let checkpoint_at = Instant::now() + self.interval;
        loop {
            tokio::select! {
                biased;
                () = self.shared.shutdown.cancelled() => return Event::Goodbye(GoodbyeReason::ShuttingDown),
                _ = receiver.changed() => {}
                () = sleep_until(self.wake_at(checkpoint_at)) => {}
            }
            // One look decides both what is sent and how far it goes, so that no checkpoint passes a change.
            let published = receiver.borrow_and_update().clone();
            let snapshot = match self.admit(&published) {
                Ok(snapshot) => snapshot,
                Err(goodbye) => return goodbye,
            };
            if let Some(changes) = self.changes(&snapshot).await {
                return Event::Changes(changes);
            }
            self.sent = self.sent.max(snapshot.revision);
            if Instant::now() >= checkpoint_at {
                return Event::Checkpoint(snapshot);
            }
        }
    }

    /// Returns what is served, if the subscriber may still see it.
    fn admit(&mut self, published: &Published) -> Result<Arc<Snapshot>, Event> {
        let Published::Current(snapshot) = published else {
            return Err(Event::Goodbye(GoodbyeReason::EnvironmentDeleted));
        };
        match admit(snapshot, &self.hash, Utc::now()) {
            Ok(key) => self.expires_at = key.expires_at,
            Err(Refusal::Unknown | Refusal::Expired) => {
                return Err(Event::Goodbye(GoodbyeReason::KeyRevoked));
            }
            Err(Refusal::ServingStopped) => return Err(Event::Goodbye(GoodbyeReason::ServingStopped)),
        }
        Ok(Arc::clone(snapshot))
    }

    /// Returns what the subscriber lacks of a snapshot.
    async fn changes(&mut self, snapshot: &Arc<Snapshot>) -> Option<Changes> {
        if snapshot.content.revision <= self.sent {
            return None;
        }
        let have_traits_changed = self.read_again().await;
        let since = self.since(snapshot, have_traits_changed);
        self.update(snapshot, since)
    }

    /// Reads the stored traits again; says whether they have changed. While the database is away, they stay.
    async fn read_again(&mut self) -> bool {
        let Some(who) = self.who.as_ref().filter(|who| !who.ignore_stored_traits) else { return false };
        // In a box, so that the subscriber does not carry room for it while it waits.
        let read = Box::pin(self.shared.identities.known(self.slot.environment, &who.identifier));
        let Ok(known) = read.await else { return false };
        let traits = traits_digest(Some(&known));
        self.known = Some(known);
        std::mem::replace(&mut self.traits, traits) != traits
    }

    fn since(&self, snapshot: &Snapshot, have_traits_changed: bool) -> Since {
        let content = &snapshot.content;
        let may_all_differ = have_traits_changed
            || content.settings_revision > self.sent
            || content.is_entangled && content.revision > self.sent;
        if may_all_differ { Since::Everything(self.sent) } else { Since::Revision(self.sent) }
    }

    fn update(&self, snapshot: &Arc<Snapshot>, since: Since) -> Option<Changes> {
        let selection = self.selection.as_deref();
        Changes::update(Arc::clone(snapshot), self.kind, self.identity(snapshot), selection, since)
    }

    fn snapshot(&self, snapshot: Arc<Snapshot>, reason: SnapshotReason) -> Event {
        let identity = self.identity(&snapshot);
        let selection = self.selection.as_deref();
        Event::Changes(Changes::snapshot(snapshot, self.kind, identity, selection, reason))
    }

    fn identity(&self, snapshot: &Snapshot) -> Option<burgee_core::engine::Identity> {
        let view = View { content: &snapshot.content, kind: self.kind };
        let stored = self.known.as_ref().map(|known| &known.stored);
        self.who.as_ref().map(|who| who.identity(view, stored))
    }

    /// Returns when to wake although nothing happened: at `instant`, or when the key expires.
    fn wake_at(&self, instant: Instant) -> Instant {
        let Some(expires_at) = self.expires_at else { return instant };
        let left = (expires_at - Utc::now()).to_std().unwrap_or_default();
        Instant::now().checked_add(left).map_or(instant, |expiry| instant.min(expiry))
    }

    /// Makes the next message of an event, and returns what is to follow it. After the last one that is nothing, so that
    /// a subscriber who does not take it holds up no snapshot.
    fn message(&mut self, event: Event) -> (pb::WatchFlagsResponse, Option<Changes>) {
        match event {
            Event::Changes(mut changes) => {
                let part = changes.part();
                let is_last = part.last;
                let message = self.part(&changes, part);
                (message, Some(changes).filter(|_| !is_last))
            }
            Event::UpToDate(snapshot) => {
                (self.caught_up(&snapshot, Message::UpToDate(pb::UpToDate {})), None)
            }
            Event::Checkpoint(snapshot) => {
                let checkpoint = pb::Checkpoint { stale_for: self.stale_for() };
                (self.caught_up(&snapshot, Message::Checkpoint(checkpoint)), None)
            }
            Event::Goodbye(reason) => (self.goodbye(reason), None),
        }
    }

    fn part(&mut self, changes: &Changes, part: Part) -> pb::WatchFlagsResponse {
        let Part { flags, removed, last } = part;
        let message = match changes.reason() {
            Some(reason) => Message::Snapshot(pb::FlagsSnapshot { reason: reason.into(), flags, last }),
            None => Message::Update(pb::FlagsUpdate { flags, removed, last }),
        };
        if last {
            return self.caught_up(&changes.snapshot, message);
        }
        let revision = changes.snapshot.revision;
        pb::WatchFlagsResponse { revision, resume_token: String::new(), event: Some(message) }
    }

    /// Makes a message after which the subscriber has everything of a snapshot.
    fn caught_up(&mut self, snapshot: &Snapshot, message: Message) -> pb::WatchFlagsResponse {
        self.sent = snapshot.revision;
        let token = ResumeToken {
            environment: snapshot.content.fingerprint,
            revision: snapshot.revision,
            kind: self.kind,
            request: self.request,
            traits: self.traits,
        };
        pb::WatchFlagsResponse {
            revision: snapshot.revision,
            resume_token: token.encode(),
            event: Some(message),
        }
    }

    fn goodbye(&self, reason: GoodbyeReason) -> pb::WatchFlagsResponse {
        let wait = match reason {
            GoodbyeReason::ShuttingDown | GoodbyeReason::ReplicaBehind => Some(RETRY_SOON),
            GoodbyeReason::ServingStopped => Some(RETRY_LATER),
            GoodbyeReason::KeyRevoked | GoodbyeReason::EnvironmentDeleted | GoodbyeReason::Unspecified => {
                None
            }
        };
        let wait = wait.map(|range| Duration::from_secs_f64(rand::random_range(range)));
        let goodbye = pb::Goodbye { reason: reason.into(), retry_after: wait.map(time::duration) };
        pb::WatchFlagsResponse {
            revision: self.sent,
            resume_token: String::new(),
            event: Some(Message::Goodbye(goodbye)),
        }
    }

    fn stale_for(&self) -> Option<prost_types::Duration> {
        stale_for(&self.slot, &self.shared.environments, Instant::now()).map(time::duration)
    }
}

fn traits_digest(known: Option<&Known>) -> Digest {
    known.map(|known| Digest::of_stored(&known.stored)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;
    use crate::testing::{KEY, compile, environment, feature, shared};

    /// What one subscriber may take, beside what the server takes for every stream.
    const BYTES: usize = 1_100;

    fn watcher() -> Watcher {
        let shared = shared();
        let slot = Arc::new(Slot::new(burgee_core::store::EnvironmentRef(1), Instant::now()));
        let hash = SecretHash::of(KEY);
        Watcher {
            slot,
            hash,
            kind: KeyKind::ServerSide,
            who: None,
            selection: None,
            request: Digest::default(),
            interval: Duration::from_millis(20),
            known: None,
            traits: Digest::default(),
            expires_at: None,
            sent: 0,
            _place: shared.streams.take(hash, None, &shared.settings).unwrap(),
            shared,
        }
    }

    #[tokio::test]
    async fn a_subscriber_is_small() {
        let watcher = watcher();
        let receiver = watcher.slot.subscribe();
        let bytes = size_of_val(&responses(watcher, receiver, None));
        assert!(bytes <= BYTES, "{bytes}");
    }

    #[tokio::test]
    async fn a_subscriber_that_takes_nothing_more_holds_no_snapshot() {
        let watcher = watcher();
        let slot = Arc::clone(&watcher.slot);
        slot.publish(compile(environment(1, vec![feature("a", 1)]), None));
        let receiver = slot.subscribe();
        let mut stream = Box::pin(responses(watcher, receiver, None));
        let mut revision = 1;
        let mut check = |response: Option<Result<pb::WatchFlagsResponse, Status>>, expected: &str| {
            let event = response.unwrap().unwrap().event.unwrap();
            let actual = match event {
                Message::Snapshot(_) => "snapshot",
                Message::Update(_) => "update",
                Message::UpToDate(_) => "up to date",
                Message::Checkpoint(_) => "checkpoint",
                Message::Goodbye(_) => "goodbye",
            };
            assert_eq!(actual, expected);
            let served = Arc::downgrade(&slot.snapshot().unwrap().content);
            revision += 1;
            slot.publish(compile(environment(revision, vec![feature("a", revision)]), None));
            assert!(served.upgrade().is_none(), "a {expected} holds up its snapshot");
        };
        check(stream.next().await, "snapshot");
        check(stream.next().await, "update");
        check(stream.next().await, "update");
    }
}
