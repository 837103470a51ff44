//! Messages of a stream, put together from their parts.

use burgee_proto::evaluation::v1::watch_flags_response::Event as Wire;
use burgee_proto::evaluation::v1::{
    EvaluatedFlag, Goodbye, GoodbyeReason, SnapshotReason, WatchFlagsResponse,
};

use crate::client::show::{flag_json, flag_text, member, stale_seconds};
use crate::flagsmith::json::Json;

/// A whole message.
pub(super) struct Event {
    revision: i64,
    pub(super) resume_token: String,
    pub(super) kind: Kind,
}

/// What happened.
pub(super) enum Kind {
    Snapshot { reason: SnapshotReason, flags: Vec<EvaluatedFlag> },
    Update { flags: Vec<EvaluatedFlag>, removed: Vec<String> },
    UpToDate,
    Checkpoint { stale_seconds: Option<f64> },
    Goodbye(Goodbye),
}

/// The parts of a message that have come so far.
#[derive(Default)]
pub(super) struct Parts {
    flags: Vec<EvaluatedFlag>,
    removed: Vec<String>,
}

impl Parts {
    /// Adds a part; returns the message if it was the last.
    pub(super) fn add(&mut self, message: WatchFlagsResponse) -> Option<Event> {
        let WatchFlagsResponse { revision, resume_token, event } = message;
        let kind = match event? {
            Wire::Snapshot(part) => {
                let reason = part.reason();
                self.flags.extend(part.flags);
                if !part.last {
                    return None;
                }
                Kind::Snapshot { reason, flags: std::mem::take(&mut self.flags) }
            }
            Wire::Update(part) => {
                self.flags.extend(part.flags);
                self.removed.extend(part.removed);
                if !part.last {
                    return None;
                }
                Kind::Update {
                    flags: std::mem::take(&mut self.flags),
                    removed: std::mem::take(&mut self.removed),
                }
            }
            Wire::UpToDate(_) => Kind::UpToDate,
            Wire::Checkpoint(checkpoint) => {
                Kind::Checkpoint { stale_seconds: stale_seconds(checkpoint.stale_for.as_ref()) }
            }
            Wire::Goodbye(goodbye) => Kind::Goodbye(goodbye),
        };
        Some(Event { revision, resume_token, kind })
    }
}

impl Event {
    /// Returns a line of text, without its end.
    pub(super) fn to_text(&self) -> String {
        let list = |flags: &[EvaluatedFlag]| flags.iter().map(flag_text).collect::<Vec<_>>();
        let (what, items) = match &self.kind {
            Kind::Snapshot { reason, flags } => {
                (format!("snapshot ({})", snapshot_reason(*reason)), list(flags))
            }
            Kind::Update { flags, removed } => {
                let removed = removed.iter().map(|key| format!("{key} removed"));
                ("update".to_owned(), list(flags).into_iter().chain(removed).collect())
            }
            Kind::UpToDate => ("up to date".to_owned(), Vec::new()),
            Kind::Checkpoint { stale_seconds: None } => ("checkpoint".to_owned(), Vec::new()),
            Kind::Checkpoint { stale_seconds: Some(seconds) } => {
                (format!("checkpoint, without news for {seconds:.1} s"), Vec::new())
            }
            Kind::Goodbye(goodbye) => (format!("goodbye ({})", goodbye_reason(goodbye)), Vec::new()),
        };
        let separator = if items.is_empty() { "" } else { ": " };
        format!("{} {what}{separator}{}", self.revision, items.join("; "))
    }

    /// Returns an object.
    pub(super) fn to_json(&self) -> Json {
        let list =
            |flags: &[EvaluatedFlag]| member("flags", Json::List(flags.iter().map(flag_json).collect()));
        let (name, rest) = match &self.kind {
            Kind::Snapshot { reason, flags } => {
                ("snapshot", vec![member("reason", Json::from(snapshot_reason(*reason))), list(flags)])
            }
            Kind::Update { flags, removed } => {
                let removed = removed.iter().map(|key| Json::from(key.as_str())).collect();
                ("update", vec![list(flags), member("removed", Json::List(removed))])
            }
            Kind::UpToDate => ("up_to_date", Vec::new()),
            Kind::Checkpoint { stale_seconds } => {
                let seconds = stale_seconds
                    .map(|seconds| member("stale_seconds", Json::Number(format!("{seconds:?}"))));
                ("checkpoint", seconds.into_iter().collect())
            }
            Kind::Goodbye(goodbye) => {
                let after = stale_seconds(goodbye.retry_after.as_ref());
                let after =
                    after.map(|seconds| member("retry_after_seconds", Json::Number(format!("{seconds:?}"))));
                let reason = member("reason", Json::from(goodbye_reason(goodbye)));
                ("goodbye", std::iter::once(reason).chain(after).collect())
            }
        };
        let mut members = vec![
            member("revision", Json::Number(self.revision.to_string())),
            member("event", Json::from(name)),
        ];
        members.extend(rest);
        if !self.resume_token.is_empty() {
            members.push(member("resume_token", Json::from(self.resume_token.as_str())));
        }
        Json::Map(members)
    }
}

/// Returns why the stream ends.
pub(super) fn goodbye_reason(goodbye: &Goodbye) -> &'static str {
    let reason: GoodbyeReason = goodbye.reason();
    reason.as_str_name().trim_start_matches("GOODBYE_REASON_")
}

fn snapshot_reason(reason: SnapshotReason) -> &'static str {
    reason.as_str_name().trim_start_matches("SNAPSHOT_REASON_")
}

#[cfg(test)]
mod tests {
    use burgee_proto::evaluation::v1::{Checkpoint, FlagsSnapshot};

    use super::*;

    fn flag(key: &str) -> EvaluatedFlag {
        EvaluatedFlag { key: key.to_owned(), enabled: true, reason: 1, ..EvaluatedFlag::default() }
    }

    fn snapshot(key: &str, last: bool) -> WatchFlagsResponse {
        let snapshot = FlagsSnapshot { reason: 1, flags: vec![flag(key)], last };
        let resume_token = if last { "t".to_owned() } else { String::new() };
        WatchFlagsResponse { revision: 7, resume_token, event: Some(Wire::Snapshot(snapshot)) }
    }

    #[test]
    fn parts_are_one_message() {
        let mut parts = Parts::default();
        assert!(parts.add(snapshot("a", false)).is_none());
        let event = parts.add(snapshot("b", true)).unwrap();
        assert_eq!(event.to_text(), "7 snapshot (INITIAL): a on null (DEFAULT); b on null (DEFAULT)");
        let json = event.to_json().to_string();
        assert!(
            json.starts_with(r#"{"revision":7,"event":"snapshot","reason":"INITIAL","flags":[{"key":"a""#),
            "{json}"
        );
        assert!(json.ends_with(r#""resume_token":"t"}"#), "{json}");
    }

    #[test]
    fn a_checkpoint_is_a_line() {
        let checkpoint = WatchFlagsResponse {
            revision: 7,
            resume_token: String::new(),
            event: Some(Wire::Checkpoint(Checkpoint { stale_for: None })),
        };
        let event = Parts::default().add(checkpoint).unwrap();
        assert_eq!(event.to_text(), "7 checkpoint");
        assert_eq!(event.to_json().to_string(), r#"{"revision":7,"event":"checkpoint"}"#);
    }
}
