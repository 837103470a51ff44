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
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tokio_stream::Stream;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::call::Call;
use crate::changes::{Changes, Part, Since};
use crate::digest::Digest;
use crate::evaluate::stored;
use crate::hints::Hint;
use crate::identities::Known;
use crate::message_writer::MessageWriter;
use crate::request::Checks;
use crate::session::{Refusal, Session, admit, stale_for};
use crate::shared::{MessageKey, MessageKind};
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
    receiver: watch::Receiver<Published>,
    token: Option<ResumeToken>,
) -> impl Stream<Item = Result<Encoded<pb::WatchFlagsResponse>, Status>> + Send {
    async_stream::stream! {
        let shutdown = watcher.shared.shutdown.clone().cancelled_owned();
        let timer = sleep_until(Instant::now() + watcher.interval);
        tokio::pin!(shutdown, timer);
        let mut news = News { receiver, shutdown, timer };
        let mut event = watcher.begin(&mut news, token).await;
        loop {
            let is_over = matches!(event, Event::Goodbye(_));
            let (message, rest) = watcher.message(event);
            yield Ok(message);
            if is_over {
                return;
            }
            event = match rest {
                // Parts are made as they are taken. What was not sent to its end was not sent.
                Some(changes) if watcher.may_go_on(&news.receiver) => Event::Changes(changes),
                Some(_) | None => watcher.next(&mut news).await,
            };
        }
    }
}

/// What a subscriber waits for. It is made once for a stream: registering anew for every message would cost about as much
/// as the message.
struct News<'a> {
    receiver: watch::Receiver<Published>,
    shutdown: Pin<&'a mut WaitForCancellationFutureOwned>,
    timer: Pin<&'a mut Sleep>,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wake {
    ShuttingDown,
    /// Something may have happened, or it is time.
    Look,
}

impl News<'_> {
    /// Waits until the content may have changed, or until `instant`; sometimes not as long.
    async fn wait(&mut self, instant: Instant) -> Wake {
        // A timer that goes off too early costs less than one that is moved with every message.
        if self.timer.is_elapsed() || instant < self.timer.deadline() {
            self.timer.as_mut().reset(instant);
        }
        tokio::select! {
            biased;
            () = self.shutdown.as_mut() => Wake::ShuttingDown,
            _ = self.receiver.changed() => Wake::Look,
            () = self.timer.as_mut() => Wake::Look,
        }
    }
}

/// What a subscriber is to be told.
enum Event {
    /// In a box, so that a subscriber does not carry room for it while it waits.
    Changes(Box<Changes>),
    /// What others were told too, and how far it goes.
    Shared(i64, Encoded<pb::WatchFlagsResponse>),
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
    async fn begin(&mut self, news: &mut News<'_>, token: Option<ResumeToken>) -> Event {
        let catch_up_until = Instant::now() + self.shared.settings.catch_up_limit;
        let mut revisions = self.slot.revisions();
        let mut has_asked = false;
        loop {
            revisions.mark_unchanged();
            let seen = match self.admit(&news.receiver.borrow_and_update().clone()) {
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
            let wake = tokio::select! {
                biased;
                wake = news.wait(self.wake_at(catch_up_until)) => wake,
                _ = revisions.changed() => Wake::Look,
            };
            if wake == Wake::ShuttingDown {
                return Event::Goodbye(GoodbyeReason::ShuttingDown);
            }
            if Instant::now() >= catch_up_until {
                return Event::Goodbye(GoodbyeReason::ReplicaBehind);
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
            return changes.unwrap_or(Event::UpToDate(seen.snapshot));
        };
        self.snapshot(seen, reason)
    }

    /// Waits for the next event.
    async fn next(&mut self, news: &mut News<'_>) -> Event {
        let checkpoint_at = Instant::now() + self.interval;
        loop {
            if news.wait(self.wake_at(checkpoint_at)).await == Wake::ShuttingDown {
                return Event::Goodbye(GoodbyeReason::ShuttingDown);
            }
            // One look decides both what is sent and how far it goes, so that no checkpoint passes a change.
            let published = news.receiver.borrow_and_update().clone();
            let seen = match self.admit(&published) {
                Ok(seen) => seen,
                Err(goodbye) => return goodbye,
            };
            if let Some(changes) = self.changes(&seen).await {
                return changes;
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
    async fn changes(&mut self, seen: &Seen) -> Option<Event> {
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

    fn update(&self, seen: &Seen, since: Since) -> Option<Event> {
        if let Some(shared) = self.shared_message(seen, MessageKind::Update(since)) {
            return Some(shared);
        }
        let changes = Changes::update(seen.clone(), self.identity(seen), self.selection.as_deref(), since);
        changes.map(|changes| Event::Changes(Box::new(changes)))
    }

    fn snapshot(&self, seen: Seen, reason: SnapshotReason) -> Event {
        if let Some(shared) = self.shared_message(&seen, MessageKind::Snapshot(reason)) {
            return shared;
        }
        let identity = self.identity(&seen);
        let changes = Changes::snapshot(seen, identity, self.selection.as_deref(), reason);
        Event::Changes(Box::new(changes))
    }

    /// Returns the message that others like this subscriber were sent already, if there was one.
    fn shared_message(&self, seen: &Seen, kind: MessageKind) -> Option<Event> {
        let key = self.message_key(seen, kind)?;
        Some(Event::Shared(key.revision, seen.snapshot.content.messages.find(&key)?))
    }

    /// Returns what tells a message from all others; `None` if it is this subscriber's alone.
    fn message_key(&self, seen: &Seen, kind: MessageKind) -> Option<MessageKey> {
        let Seen { snapshot, sight } = seen;
        let (revision, sight, request) = (snapshot.revision, *sight, self.request);
        self.who.is_none().then_some(MessageKey { revision, sight, request, kind })
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
    fn message(&mut self, event: Event) -> (Encoded<pb::WatchFlagsResponse>, Option<Box<Changes>>) {
        match event {
            Event::Changes(mut changes) => {
                let is_first = !changes.has_begun();
                let part = changes.part();
                let is_last = part.last;
                let message = self.part(&changes, part);
                // Parts of what is large are made for each: few take it at the same time.
                let kind = changes.kind();
                if let Some(key) = self.message_key(&changes.seen, kind).filter(|_| is_first && is_last) {
                    changes.seen.snapshot.content.messages.keep(key, &message);
                }
                (message, Some(changes).filter(|_| !is_last))
            }
            Event::Shared(revision, message) => {
                self.sent = revision;
                (message, None)
            }
            Event::UpToDate(snapshot) => {
                let event = Message::UpToDate(pb::UpToDate {});
                (self.caught_up(&snapshot, Some(event)).into(), None)
            }
            Event::Checkpoint(snapshot) => {
                let event = Message::Checkpoint(pb::Checkpoint { stale_for: self.stale_for() });
                (self.caught_up(&snapshot, Some(event)).into(), None)
            }
            Event::Goodbye(reason) => (self.goodbye(reason).into(), None),
        }
    }

    fn part(&mut self, changes: &Changes, part: Part) -> Encoded<pb::WatchFlagsResponse> {
        let Part { flags, removed, last } = part;
        let Snapshot { revision, content } = &*changes.seen.snapshot;
        let envelope = match last {
            true => self.caught_up(&changes.seen.snapshot, None),
            false => pb::WatchFlagsResponse { revision: *revision, ..Default::default() },
        };
        let flags = flags.into_iter().map(|outcome| content.flags.get(outcome.index()));
        let mut message = MessageWriter::default();
        message.fields(&envelope);
        match changes.kind() {
            MessageKind::Snapshot(reason) => {
                let mut snapshot = MessageWriter::default();
                snapshot.fields(&pb::FlagsSnapshot { reason: reason.into(), ..Default::default() });
                flags.for_each(|flag| snapshot.part(2, flag));
                snapshot.fields(&pb::FlagsSnapshot { last, ..Default::default() });
                message.message(3, &snapshot);
            }
            MessageKind::Update(_) => {
                let mut update = MessageWriter::default();
                flags.for_each(|flag| update.part(1, flag));
                update.fields(&pb::FlagsUpdate { removed, last, ..Default::default() });
                message.message(4, &update);
            }
        }
        message.finish()
    }

    /// Makes a message after which the subscriber has everything of a snapshot.
    fn caught_up(&mut self, snapshot: &Snapshot, event: Option<Message>) -> pb::WatchFlagsResponse {
        self.sent = snapshot.revision;
        let token = ResumeToken {
            environment: snapshot.content.fingerprint,
            revision: snapshot.revision,
            kind: self.kind,
            request: self.request,
            traits: self.traits,
        };
        pb::WatchFlagsResponse { revision: snapshot.revision, resume_token: token.encode(), event }
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

    /// Opens a stream of which nothing is taken yet.
    async fn open_stream(shared: &Arc<Shared>, request: pb::WatchFlagsRequest) -> Responses {
        open(shared, &metadata(KEY), None, request).await.unwrap()
    }

    async fn take(stream: &mut Responses) -> Encoded<pb::WatchFlagsResponse> {
        let message = tokio::time::timeout(Duration::from_secs(10), stream.next()).await;
        message.expect("a message should come").unwrap().unwrap()
    }

    #[tokio::test]
    async fn subscribers_who_are_told_the_same_share_the_bytes() {
        let feed = Silent::new(environment(1, vec![feature("a", 1), feature("b", 1)]));
        let shared = shared_over(feed.clone());
        let of_a = pb::WatchFlagsRequest { features: vec!["a".to_owned()], ..Default::default() };
        let requests = [pb::WatchFlagsRequest::default(), pb::WatchFlagsRequest::default(), of_a];
        let mut streams = Vec::new();
        for request in requests {
            streams.push(open_stream(&shared, request).await);
        }
        for revision in 1..=3 {
            let mut messages = Vec::new();
            for stream in &mut streams {
                messages.push(take(stream).await);
            }
            let [one, other, of_a] = &messages[..] else { panic!("a message for each") };
            assert_eq!(one.as_bytes().as_ptr(), other.as_bytes().as_ptr());
            assert_ne!(one.as_bytes(), of_a.as_bytes());
            assert!(messages.iter().all(|message| message.decode().unwrap().revision == revision));
            feed.write(|environment, revision| environment.rules.features[0].revision = revision);
        }
    }

    #[tokio::test]
    async fn a_subscriber_who_has_another_revision_gets_a_message_of_its_own() {
        let feed = Silent::new(environment(1, vec![feature("a", 1), feature("b", 1)]));
        let shared = shared_over(feed.clone());
        let mut quick = open_stream(&shared, pb::WatchFlagsRequest::default()).await;
        let mut slow = open_stream(&shared, pb::WatchFlagsRequest::default()).await;
        let keys = |message: Encoded<pb::WatchFlagsResponse>| {
            let (Message::Snapshot(pb::FlagsSnapshot { flags, .. })
            | Message::Update(pb::FlagsUpdate { flags, .. })) = message.decode().unwrap().event.unwrap()
            else {
                panic!("flags should come")
            };
            flags.into_iter().map(|flag| flag.key).collect::<Vec<_>>()
        };
        assert_eq!((keys(take(&mut quick).await), keys(take(&mut slow).await)).0, ["a", "b"]);
        feed.write(|environment, revision| environment.rules.features[0].revision = revision);
        assert_eq!(keys(take(&mut quick).await), ["a"]);
        feed.write(|environment, revision| environment.rules.features[1].revision = revision);
        assert_eq!(keys(take(&mut quick).await), ["b"]);
        assert_eq!(keys(take(&mut slow).await), ["a", "b"]);
        let mut new = open_stream(&shared, pb::WatchFlagsRequest::default()).await;
        assert_eq!(keys(take(&mut new).await), ["a", "b"]);
    }
}
