//! Who calls, and what of: a key, and the environment that it opens.

use std::sync::Arc;
use std::time::Duration;

use burgee_core::access::SecretHash;
use burgee_core::{Error, Result};
use burgee_proto::time;
use chrono::{DateTime, Utc};
use tokio::time::Instant;
use tonic::metadata::MetadataMap;

use crate::call::Call;
use crate::database::database_unavailable;
use crate::environments::Environments;
use crate::hints::Hint;
use crate::identities::Known;
use crate::rights::{Method, check_call};
use crate::sight::SightId;
use crate::slot::{Published, Slot};
use crate::snapshot::{HeldKey, Seen, Snapshot};
use crate::view::View;

/// A call with a key that is good.
pub(crate) struct Session {
    environments: Arc<Environments>,
    /// The place of the environment.
    pub(crate) slot: Arc<Slot>,
    /// The hash of the key's secret.
    pub(crate) hash: SecretHash,
    /// What the call is answered from.
    pub(crate) snapshot: Arc<Snapshot>,
    /// What the key may see of it.
    sight: SightId,
    /// When the call began, or last waited for a revision.
    now: Instant,
    /// Until when the call may wait.
    pub(crate) deadline: Instant,
}

/// Why a key that was good is so no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is not a key of the environment (any more).
    Unknown,
    /// Its time is over.
    Expired,
    /// The organisation has stopped serving flags.
    ServingStopped,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown => {
                let message = "the environment key is not known, or was revoked";
                Self::Unauthenticated { reason: "CREDENTIAL_INVALID", message }
            }
            Refusal::Expired => {
                let message = "the environment key has expired";
                Self::Unauthenticated { reason: "CREDENTIAL_EXPIRED", message }
            }
            Refusal::ServingStopped => {
                let message = "the organisation has stopped serving flags".to_owned();
                Self::Precondition { reason: "SERVING_STOPPED", message }
            }
        }
    }
}

/// Returns the key with this hash, if it may be used now.
pub(crate) fn admit<'a>(
    snapshot: &'a Snapshot,
    hash: &SecretHash,
    now: impl FnOnce() -> DateTime<Utc>,
) -> Result<&'a HeldKey, Refusal> {
    let held = snapshot.content.key(hash).ok_or(Refusal::Unknown)?;
    if held.key.expires_at.is_some_and(|expires_at| expires_at <= now()) {
        return Err(Refusal::Expired);
    }
    if snapshot.content.stop_serving_flags {
        return Err(Refusal::ServingStopped);
    }
    Ok(held)
}

impl Session {
    /// Finds out who calls.
    pub(crate) async fn open(
        environments: &Arc<Environments>,
        call: &Call<'_>,
        method: &Method,
    ) -> Result<Self> {
        let hash = SecretHash::of(secret(call.metadata)?);
        let held = environments.held_by_key(&hash, call.began_at);
        let held = held.and_then(|slot| slot.snapshot().map(|snapshot| (slot, snapshot)));
        let (slot, snapshot) = match held.filter(|(_, snapshot)| snapshot.content.key(&hash).is_some()) {
            Some(held) => held,
            None => Self::read(environments, call, &hash).await?,
        };
        let HeldKey { key, sight } = admit(&snapshot, &hash, Utc::now)?;
        check_call(method, key)?;
        let sight = *sight;
        let (now, deadline) = (call.began_at, call.wait_until);
        Ok(Self { environments: Arc::clone(environments), slot, hash, snapshot, sight, now, deadline })
    }

    /// Reads the environment that a key opens.
    async fn read(
        environments: &Arc<Environments>,
        call: &Call<'_>,
        hash: &SecretHash,
    ) -> Result<(Arc<Slot>, Arc<Snapshot>)> {
        let found = tokio::time::timeout_at(call.wait_until, environments.find_by_key(hash)).await;
        let found = found.map_err(|_| database_unavailable("the environment was not read in time"))??;
        let read = found.and_then(|slot| slot.snapshot().map(|snapshot| (slot, snapshot)));
        Ok(read.ok_or(Refusal::Unknown)?)
    }

    /// Waits until the replica has a revision, as long as the call may wait.
    pub(crate) async fn reach(&mut self, min_revision: i64) -> Result<()> {
        if self.snapshot.revision >= min_revision {
            return Ok(());
        }
        let mut revisions = self.slot.revisions();
        self.environments.hints.add(self.snapshot.content.project, Hint::Asked);
        let reached = revisions.wait_for(|revision| *revision >= min_revision);
        let reached = tokio::time::timeout_at(self.deadline, reached);
        // Whether it was reached is seen below, where it counts.
        self.environments.shutdown.run_until_cancelled(reached).await;
        self.now = Instant::now();
        self.snapshot = match self.slot.published() {
            Published::Current(snapshot) => snapshot,
            Published::Nothing | Published::Deleted => return Err(Refusal::Unknown.into()),
        };
        self.sight = admit(&self.snapshot, &self.hash, Utc::now)?.sight;
        match self.snapshot.revision {
            revision if revision >= min_revision => Ok(()),
            revision => Err(Error::RevisionNotReached { revision, min_revision }),
        }
    }

    /// Returns what the caller may see.
    pub(crate) fn view(&self) -> View<'_> {
        self.snapshot.content.view(self.sight)
    }

    /// Returns what the caller may see, to be kept.
    pub(crate) fn seen(&self) -> Seen {
        Seen { snapshot: Arc::clone(&self.snapshot), sight: self.sight }
    }

    /// Returns how old the oldest news is that an answer is made from, if it is too old.
    pub(crate) fn stale_for(&self, known: Option<&Known>) -> Option<prost_types::Duration> {
        // Traits that were read took their time.
        let now = known.map_or(self.now, |_| Instant::now());
        let read = known.map_or(Duration::ZERO, |known| known.age(now));
        stale_for(&self.slot, &self.environments, now)
            .max(self.environments.old_traits(read))
            .map(time::duration)
    }
}

/// Returns for how long the database has not said that nothing is newer, if that is too long.
pub(crate) fn stale_for(slot: &Slot, environments: &Environments, now: Instant) -> Option<Duration> {
    environments.old(slot.confirmed.age(now))
}

fn secret(metadata: &MetadataMap) -> Result<&str> {
    let missing = || {
        let message =
            "an environment key must be presented as `x-environment-key: KEY` or `authorization: Bearer KEY`";
        Error::Unauthenticated { reason: "CREDENTIAL_MISSING", message }
    };
    let text =
        |name| metadata.get(name).map(|value| value.to_str().map_err(|_| Error::from(Refusal::Unknown)));
    let key = match text("x-environment-key").transpose()? {
        Some(key) => key,
        None => {
            let authorization = text("authorization").transpose()?.ok_or_else(missing)?;
            let (scheme, key) = authorization.split_once(' ').ok_or_else(missing)?;
            if !scheme.eq_ignore_ascii_case("bearer") {
                return Err(missing());
            }
            key
        }
    };
    match key.trim() {
        "" => Err(missing()),
        key => Ok(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &'static str, value: &'static str, expected: Result<&str, &str>) {
        let mut metadata = MetadataMap::new();
        metadata.insert(name, value.parse().unwrap());
        let actual = secret(&metadata).map_err(|error| match error {
            Error::Unauthenticated { reason, .. } => reason,
            _ => "another error",
        });
        assert_eq!(actual, expected, "{name}: {value}");
    }

    #[test]
    fn a_key_is_presented_in_one_of_two_ways() {
        check("x-environment-key", "ser.abc", Ok("ser.abc"));
        check("authorization", "Bearer ser.abc", Ok("ser.abc"));
        check("authorization", "bearer  ser.abc", Ok("ser.abc"));
    }

    #[test]
    fn without_a_key_nobody_calls() {
        for (name, value) in [
            ("x-key", "ser.abc"),
            ("x-environment-key", ""),
            ("authorization", "ser.abc"),
            ("authorization", "Bearer "),
            ("authorization", "Basic ser.abc"),
        ] {
            check(name, value, Err("CREDENTIAL_MISSING"));
        }
    }
}
