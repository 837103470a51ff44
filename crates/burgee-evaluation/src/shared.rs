//! Messages that many subscribers get alike: they are made for the first, and the bytes are kept for the others.

use std::sync::Mutex;

use burgee_proto::encoded::Encoded;
use burgee_proto::evaluation::v1 as pb;

use crate::changes::Since;
use crate::digest::Digest;
use crate::moment::lock;
use crate::sight::SightId;

/// Messages that are kept for each content: nearly all subscribers have what the last revision left them with, and ask for
/// one of few selections.
const MESSAGES: usize = 8;

/// All that a message to a subscriber without an identity depends on, beside the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MessageKey {
    /// The revision that the message brings.
    pub(crate) revision: i64,
    /// What the subscriber's key sees.
    pub(crate) sight: SightId,
    /// What it asked for.
    pub(crate) request: Digest,
    /// What it is sent.
    pub(crate) kind: MessageKind,
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageKind {
    /// All flags, and why.
    Snapshot(pb::SnapshotReason),
    /// The flags that changed.
    Update(Since),
}

/// The messages that were made last of a content.
#[derive(Debug, Default)]
pub(crate) struct SharedMessages(Mutex<Vec<(MessageKey, Encoded<pb::WatchFlagsResponse>)>>);

impl SharedMessages {
    /// Returns a message, if it was made already.
    pub(crate) fn find(&self, key: &MessageKey) -> Option<Encoded<pb::WatchFlagsResponse>> {
        let messages = lock(&self.0);
        let (_, message) = messages.iter().find(|(other, _)| other == key)?;
        Some(message.clone())
    }

    /// Keeps a message, in the place of the oldest.
    pub(crate) fn keep(&self, key: MessageKey, message: &Encoded<pb::WatchFlagsResponse>) {
        let mut messages = lock(&self.0);
        // Two threads may have made the same message at the same time.
        if messages.iter().all(|(other, _)| *other != key) {
            if messages.len() == MESSAGES {
                messages.remove(0);
            }
            messages.push((key, message.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_message_makes_room() {
        let messages = SharedMessages::default();
        let key = |revision| MessageKey {
            revision,
            sight: SightId::default(),
            request: Digest::default(),
            kind: MessageKind::Update(Since::Revision(revision - 1)),
        };
        let message = |revision| pb::WatchFlagsResponse { revision, ..Default::default() };
        let revisions = 1..=MESSAGES as i64 + 1;
        for revision in revisions.clone() {
            messages.keep(key(revision), &message(revision).into());
            messages.keep(key(revision), &message(0).into());
        }
        let kept = |revision| Some(messages.find(&key(revision))?.decode().unwrap().revision);
        let expected: Vec<_> = revisions.clone().map(|revision| (revision > 1).then_some(revision)).collect();
        assert_eq!(revisions.map(kept).collect::<Vec<_>>(), expected);
    }
}
