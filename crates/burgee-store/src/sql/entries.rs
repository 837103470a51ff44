//! What one change says, within the limit of its bytes.

use std::collections::HashMap;
use std::io;

use burgee_core::change::{ChangeEntry, ChangeKind};
use burgee_core::limits::CHANGE_BYTES;
use burgee_core::{Error, Result};
use serde::Serialize;

use crate::error::corrupt;

/// The entries of one change. They are counted as they come, so that a write that says too much ends early.
#[derive(Default)]
pub(super) struct Entries {
    entries: Vec<ChangeEntry>,
    /// Bytes of them as JSON text.
    bytes: usize,
    /// The newest entry of each subject, and the bytes of what is there after it.
    latest: HashMap<String, (usize, usize)>,
}

impl Entries {
    /// Adds an entry.
    pub(super) fn add(&mut self, entry: ChangeEntry) -> Result<()> {
        self.count(0, json_bytes(&entry)?)?;
        let latest = (self.entries.len(), json_bytes(&entry.after)?);
        self.latest.insert(entry.subject.clone(), latest);
        self.entries.push(entry);
        Ok(())
    }

    /// Adds an entry. What is updated several times in one write is told once: before and after all.
    pub(super) fn merge(&mut self, entry: ChangeEntry) -> Result<()> {
        let Some((index, former_bytes)) = self.latest.get_mut(&entry.subject) else { return self.add(entry) };
        let former = &mut self.entries[*index];
        if entry.kind != ChangeKind::Updated || former.kind == ChangeKind::Deleted {
            return self.add(entry);
        }
        former.after = entry.after;
        let bytes = json_bytes(&former.after)?;
        let replaced = std::mem::replace(former_bytes, bytes);
        self.count(replaced, bytes)
    }

    /// Returns what was there of a subject before the write, if it is in it.
    pub(super) fn before(&self, subject: &str) -> Option<&serde_json::Value> {
        self.entries.iter().find(|entry| entry.subject == subject)?.before.as_ref()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn list(&self) -> &[ChangeEntry] {
        &self.entries
    }

    /// Returns the bytes of all, as they are stored.
    pub(super) fn bytes(&self) -> i64 {
        i64::try_from(self.bytes).unwrap_or(i64::MAX)
    }

    /// Counts so many bytes instead of others.
    fn count(&mut self, former: usize, bytes: usize) -> Result<()> {
        self.bytes = self.bytes - former + bytes;
        if self.bytes > CHANGE_BYTES {
            return Err(Error::LimitExceeded { limit: "change_bytes", maximum: CHANGE_BYTES as u64 });
        }
        Ok(())
    }
}

/// Returns the bytes of something as JSON text.
fn json_bytes(value: &impl Serialize) -> Result<usize> {
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, value).map_err(|error| corrupt(error.to_string()))?;
    Ok(counter.0)
}

/// Counts what is written, and keeps none of it.
struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
