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
use burgee_proto::encoded::Encoded;
use burgee_proto::evaluation::v1 as pb;
use burgee_proto::time;
use chrono::{DateTime, Utc};
use pb::watch_flags_response::Event as Message;
use pb::{GoodbyeReason, SnapshotReason};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_stream::Stream;
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::call::Call;
use crate::changes::{Changes, Part, Since};
use crate::digest::Digest;
use crate::evaluate::stored;
use crate::hints::Hint;
use crate::identities::Known;
use crate::request::Checks;
use crate::session::{Refusal, Session, admit, stale_for};
use crate::slot::{Published, Slot};
use crate::snapshot::{Content, HeldKey, Seen, Snapshot};
use crate::streams::Place;
use crate::subject::{Who, request_digest};
use crate::token::ResumeToken;
use crate::view::Selection;
use crate::{Shared, rights};

/// What a stream answers with.
pub(crate) type Responses =
    Pin<Box<dyn Stream<Item = Result<Encoded<pb::WatchFlagsResponse>, Status>> + Send>>;

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
    let call = Call::begin(metadata, &shared.settings);
    let session = shared.session(&call, &rights::WATCH_FLAGS).await?;
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
    let (kind, request) = {
        let sight = session.view().sight;
        (sight.kind(), request_digest(who.as_ref(), selection.as_deref(), sight.tags()))
    };
    let Session { slot, hash, .. } = session;
    let watcher = Watcher {
        shared: Arc::clone(shared),
        slot,
        hash,
        kind,
        request,
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
) -> impl Stream<Item = Result<Encoded<pb::WatchFlagsResponse>, Status>> + Send {
    async_stream::stream! {
        let mut event = watcher.begin(&mut receiver, token).await;
        loop {
            let is_over = matches!(event, Event::Goodbye(_));
            let (message, rest) = watcher.message(event);
            yield Ok(message.into());
            if is_over {
                return;
            }
            event = match rest {
                // Parts are made as they are taken. What was not sent to its end was not sent.
                Some(changes) if watcher.may_go_on(&receiver) => Event::Changes(changes),
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
            let seen = match self.admit(&receiver.borrow_and_update().clone()) {
                Ok(seen) => seen,
                Err(goodbye) => return goodbye,
            };
            let Some(token) = &token else { return self.snapshot(seen, SnapshotReason::Initial) };
            let content = &seen.snapshot.content;
            if token.environment != content.fingerprint || token.revision < content.created_revision {
                return self.snapshot(seen, SnapshotReason::OtherEnvironment);
            }
            if token.revision <= seen.snapshot.revision {
                return self.resume(seen, token);
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
    fn resume(&mut self, seen: Seen, token: &ResumeToken) -> Event {
        let content = &seen.snapshot.content;
        let reason = if token.request != self.request || token.kind != self.kind {
            SnapshotReason::OtherRequest
        } else if content.settings_revision > token.revision {
            SnapshotReason::SettingsChanged
        } else if token.traits != self.traits {
            SnapshotReason::TraitsChanged
        } else if !content.can_tell_changes(seen.sight, token.revision) {
            SnapshotReason::FeaturesWithdrawn
        } else {
            let since = self.since(content, false);
            let changes = self.update(&seen, since);
            return changes.map_or(Event::UpToDate(seen.snapshot), Event::Changes);
        };
        self.snapshot(seen, reason)
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
            let seen = match self.admit(&published) {
                Ok(seen) => seen,
                Err(goodbye) => return goodbye,
            };
            if let Some(changes) = self.changes(&seen).await {
                return Event::Changes(changes);
            }
            self.sent = self.sent.max(seen.snapshot.revision);
            if Instant::now() >= checkpoint_at {
                return Event::Checkpoint(seen.snapshot);
            }
        }
    }

    /// Says whether the rest of what the subscriber has begun to take is to be sent.
    fn may_go_on(&mut self, receiver: &watch::Receiver<Published>) -> bool {
        // Left unseen, so that what ends the stream is taken up at once.
        !self.shared.shutdown.is_cancelled() && self.admit(&receiver.borrow()).is_ok()
    }

    /// Returns what is served, as the subscriber may still see it.
    fn admit(&mut self, published: &Published) -> Result<Seen, Event> {
        let Published::Current(snapshot) = published else {
            return Err(Event::Goodbye(GoodbyeReason::EnvironmentDeleted));
        };
        match admit(snapshot, &self.hash, Utc::now) {
            Ok(HeldKey { key, sight }) => {
                self.expires_at = key.expires_at;
                Ok(Seen { snapshot: Arc::clone(snapshot), sight: *sight })
            }
            Err(Refusal::Unknown | Refusal::Expired) => Err(Event::Goodbye(GoodbyeReason::KeyRevoked)),
            Err(Refusal::ServingStopped) => Err(Event::Goodbye(GoodbyeReason::ServingStopped)),
        }
    }

    /// Returns what the subscriber lacks of a snapshot.
    async fn changes(&mut self, seen: &Seen) -> Option<Changes> {
        let content = &seen.snapshot.content;
        if content.revision <= self.sent {
            return None;
        }
        let have_traits_changed = self.read_again().await;
        let since = self.since(content, have_traits_changed);
        self.update(seen, since)
    }

    /// Reads the stored traits again; says whether they have changed. While the database is away, they stay. Waits no longer
    /// than the key is good for.
    async fn read_again(&mut self) -> bool {
        let Some(who) = self.who.as_ref().filter(|who| !who.ignore_stored_traits) else { return false };
        let until = self.wake_at(Instant::now() + self.shared.settings.identity_read_timeout);
        let read = timeout_at(until, self.shared.identities.known(self.slot.environment, &who.identifier));
        // In a box, so that the subscriber does not carry room for it while it waits.
        let Ok(Ok(known)) = Box::pin(read).await else { return false };
        let traits = traits_digest(Some(&known));
        self.known = Some(known);
        std::mem::replace(&mut self.traits, traits) != traits
    }

    fn since(&self, content: &Content, have_traits_changed: bool) -> Since {
        let may_all_differ = have_traits_changed
            || content.settings_revision > self.sent
            || content.is_entangled && content.revision > self.sent;
        if may_all_differ { Since::Everything(self.sent) } else { Since::Revision(self.sent) }
    }

    fn update(&self, seen: &Seen, since: Since) -> Option<Changes> {
        Changes::update(seen.clone(), self.identity(seen), self.selection.as_deref(), since)
    }

    fn snapshot(&self, seen: Seen, reason: SnapshotReason) -> Event {
        let identity = self.identity(&seen);
        Event::Changes(Changes::snapshot(seen, identity, self.selection.as_deref(), reason))
    }

    fn identity(&self, seen: &Seen) -> Option<burgee_core::engine::Identity<'static>> {
        let stored = self.known.as_ref().map(|known| &known.stored);
        self.who.as_ref().map(|who| who.identity(seen.view(), stored).into_owned())
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
            return self.caught_up(&changes.seen.snapshot, message);
        }
        let revision = changes.seen.snapshot.revision;
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
    use crate::testing::*;

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
        let mut check = |response: Option<Result<Encoded<pb::WatchFlagsResponse>, Status>>,
                         expected: &str| {
            let event = response.unwrap().unwrap().decode().unwrap().event.unwrap();
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

    /// Opens a stream with a key, and takes its snapshot.
    async fn watching(shared: &Arc<Shared>, secret: &str) -> Responses {
        let request = pb::WatchFlagsRequest::default();
        let mut stream = open(shared, &metadata(secret), None, request).await.unwrap();
        assert!(matches!(next(&mut stream).await, Some(Message::Snapshot(_))));
        stream
    }

    /// Takes the next message; `None` at the end of the stream.
    async fn next(stream: &mut Responses) -> Option<Message> {
        let message = tokio::time::timeout(Duration::from_secs(10), stream.next()).await;
        message.expect("a message should come")?.unwrap().decode().unwrap().event
    }

    #[track_caller]
    fn check_revoked(event: Option<Message>) {
        let Some(Message::Goodbye(goodbye)) = event else { panic!("{event:?} is no goodbye") };
        assert_eq!(goodbye.reason(), GoodbyeReason::KeyRevoked);
    }

    #[tokio::test]
    async fn the_streams_of_a_revoked_key_end_on_every_replica_that_is_not_notified() {
        let mut loaded = environment(1, vec![feature("a", 1)]);
        loaded.keys.extend([key("revoked"), limited(key("limited"), &["x"])]);
        let feed = Silent::new(loaded);
        let replicas = [shared_over(feed.clone()), shared_over(feed.clone())];
        let mut ending = Vec::new();
        let mut staying = Vec::new();
        for replica in &replicas {
            ending.push(watching(replica, "revoked").await);
            ending.push(watching(replica, "limited").await);
            staying.push(watching(replica, KEY).await);
        }
        feed.write(|environment, _| environment.keys.truncate(2));
        for mut stream in ending {
            check_revoked(next(&mut stream).await);
            assert!(next(&mut stream).await.is_none());
        }
        feed.write(|environment, revision| environment.rules.features = vec![feature("b", revision)]);
        for stream in &mut staying {
            let Some(Message::Update(update)) = next(stream).await else { panic!("the stream goes on") };
            assert_eq!(update.flags[0].key, "b");
        }
    }

    #[tokio::test]
    async fn the_streams_of_a_key_end_when_it_expires() {
        let expires_at = Utc::now() + Duration::from_millis(300);
        let mut loaded = environment(1, vec![feature("a", 1)]);
        let expiring =
            burgee_core::store::ActiveKey { expires_at: Some(expires_at), ..client_key("expiring") };
        loaded.keys.push(expiring);
        let feed = Silent::new(loaded);
        let shared = shared_over(feed.clone());
        let (mut ending, mut staying) =
            (watching(&shared, "expiring").await, watching(&shared, CLIENT_KEY).await);
        check_revoked(next(&mut ending).await);
        assert!(Utc::now() >= expires_at);
        assert!(next(&mut ending).await.is_none());
        feed.write(|environment, revision| environment.rules.features = vec![feature("a", revision)]);
        assert!(matches!(next(&mut staying).await, Some(Message::Update(_))));
    }

    #[tokio::test]
    async fn a_slow_subscriber_is_not_sent_the_rest_when_its_key_is_revoked() {
        let features = || (0..40).map(|index| large(&format!("f{index:02}"), 1, 20_000)).collect();
        let watcher = watcher();
        let slot = Arc::clone(&watcher.slot);
        slot.publish(compile(environment(1, features()), None));
        let receiver = slot.subscribe();
        let mut stream: Responses = Box::pin(responses(watcher, receiver, None));
        let Some(Message::Snapshot(part)) = next(&mut stream).await else { panic!("a snapshot comes first") };
        assert!(!part.last);
        let Some(Message::Snapshot(part)) = next(&mut stream).await else { panic!("the snapshot goes on") };
        assert!(!part.last);
        let mut revoked = environment(2, features());
        revoked.keys.clear();
        slot.publish(compile(revoked, None));
        check_revoked(next(&mut stream).await);
        assert!(next(&mut stream).await.is_none());
    }
}
