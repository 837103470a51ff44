//! The change log.

use burgee_core::change::{Change, ChangeEntry, ChangeKind};
use burgee_core::name::ChangeName;

use crate::time::timestamp;
use crate::v1 as pb;

impl From<&Change> for pb::Change {
    fn from(change: &Change) -> Self {
        let name = ChangeName { log: change.log.clone(), revision: change.revision };
        Self {
            name: name.to_string(),
            revision: change.revision,
            create_time: Some(timestamp(change.created_at)),
            actor: change.actor.clone(),
            credential: change.credential.clone(),
            on_behalf_of: change.on_behalf_of.clone(),
            address: change.address.clone(),
            method: change.method.clone(),
            request_id: change.request_id.clone(),
            reason: change.reason.clone(),
            entries: change.entries.iter().map(Into::into).collect(),
        }
    }
}

impl From<&ChangeEntry> for pb::ChangeEntry {
    fn from(entry: &ChangeEntry) -> Self {
        let json =
            |value: &Option<serde_json::Value>| value.as_ref().map(ToString::to_string).unwrap_or_default();
        Self {
            subject: entry.subject.clone(),
            kind: pb::ChangeKind::from(entry.kind).into(),
            before: json(&entry.before),
            after: json(&entry.after),
        }
    }
}

impl From<ChangeKind> for pb::ChangeKind {
    fn from(kind: ChangeKind) -> Self {
        match kind {
            ChangeKind::Created => Self::Created,
            ChangeKind::Updated => Self::Updated,
            ChangeKind::Deleted => Self::Deleted,
        }
    }
}
