//! A subscriber as a client would write one: it applies what a stream says, and can be asked for its state.

use std::collections::BTreeMap;

use burgee_proto::evaluation::v1::watch_flags_response::Event;
use burgee_proto::evaluation::v1::{EvaluatedFlag, Goodbye, WatchFlagsResponse};

/// The state of a subscriber.
#[derive(Debug, Default)]
pub struct Watcher {
    /// The flags, by key.
    pub flags: BTreeMap<String, EvaluatedFlag>,
    /// The revision of the state; 0 before the first snapshot is whole.
    pub revision: i64,
    /// What to resume with.
    pub resume_token: String,
    /// How many snapshots and updates were applied.
    pub applied: usize,
    /// How many whole snapshots were among them.
    pub snapshots: usize,
    /// Why the stream ended, if it said so.
    pub goodbye: Option<Goodbye>,
    parts: Parts,
}

#[derive(Debug, Default)]
struct Parts {
    snapshot: bool,
    flags: Vec<EvaluatedFlag>,
    removed: Vec<String>,
}

impl Watcher {
    /// Applies a message; the contract of the stream is checked on the way.
    pub fn apply(&mut self, message: WatchFlagsResponse) {
        let revision = message.revision;
        match message.event.expect("a message has an event") {
            Event::Snapshot(part) => {
                assert!(
                    self.parts.snapshot || self.parts.flags.is_empty(),
                    "a snapshot broke into an update"
                );
                self.parts.snapshot = true;
                self.parts.flags.extend(part.flags);
                self.finish(part.last, revision, &message.resume_token);
            }
            Event::Update(part) => {
                assert!(!self.parts.snapshot, "an update broke into a snapshot");
                self.parts.flags.extend(part.flags);
                self.parts.removed.extend(part.removed);
                self.finish(part.last, revision, &message.resume_token);
            }
            Event::UpToDate(_) | Event::Checkpoint(_) => {
                assert!(revision >= self.revision, "from {} back to {revision}", self.revision);
                self.revision = revision;
                self.resume_token = message.resume_token;
            }
            Event::Goodbye(goodbye) => self.goodbye = Some(goodbye),
        }
    }

    fn finish(&mut self, last: bool, revision: i64, resume_token: &str) {
        if !last {
            return;
        }
        let Parts { snapshot, flags, removed } = std::mem::take(&mut self.parts);
        if snapshot {
            assert!(revision >= self.revision, "from {} back to {revision}", self.revision);
            self.flags.clear();
            self.snapshots += 1;
        } else {
            // A resumed stream may bring what changed at the same revision for another reason: the identity's traits.
            assert!(revision >= self.revision, "from {} back to {revision}", self.revision);
        }
        for key in removed {
            self.flags.remove(&key);
        }
        self.flags.extend(flags.into_iter().map(|flag| (flag.key.clone(), flag)));
        self.revision = revision;
        resume_token.clone_into(&mut self.resume_token);
        self.applied += 1;
    }

    /// Forgets the parts of a message that a broken connection cut off.
    pub fn disconnected(&mut self) {
        self.parts = Parts::default();
    }

    /// Returns the flags as a list, to compare with a fresh evaluation.
    #[must_use]
    pub fn list(&self) -> Vec<EvaluatedFlag> {
        self.flags.values().cloned().collect()
    }
}
