//! Reads of identities that are under way: who asks for the same identity waits for the same read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use burgee_core::{Error, Result};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::database::repeat;
use crate::identities::{Key, Known};
use crate::moment::lock;

/// Nothing until the read has ended.
type Landing = Option<Result<Arc<Known>, Arc<Error>>>;

/// The reads under way: at most one for each call under way.
#[derive(Default)]
pub(crate) struct Flights(Arc<Mutex<HashMap<Key, Flight>>>);

struct Flight {
    began_at: Instant,
    landing: watch::Receiver<Landing>,
}

/// Who reads.
pub(crate) enum Turn {
    /// The caller does, and tells others.
    Lead(Lead),
    /// Somebody else does.
    Follow(Follow),
}

/// A read for oneself and for those who follow.
pub(crate) struct Lead {
    flights: Arc<Mutex<HashMap<Key, Flight>>>,
    key: Key,
    landing: watch::Sender<Landing>,
}

/// A read of somebody else.
pub(crate) struct Follow(watch::Receiver<Landing>);

impl Flights {
    /// Follows the read of an identity, if there is one that began at most `age` ago; else leads one.
    pub(crate) fn turn(&self, key: Key, age: Duration, now: Instant) -> Turn {
        let mut flights = lock(&self.0);
        if let Some(flight) = flights.get(&key)
            && now.saturating_duration_since(flight.began_at) < age
        {
            return Turn::Follow(Follow(flight.landing.clone()));
        }
        let landing = watch::Sender::new(None);
        flights.insert(key, Flight { began_at: now, landing: landing.subscribe() });
        Turn::Lead(Lead { flights: Arc::clone(&self.0), key, landing })
    }

    /// Lets nobody follow the read of an identity any more: who asks from now on must see what was written.
    pub(crate) fn close(&self, key: &Key) {
        lock(&self.0).remove(key);
    }
}

impl Lead {
    /// Tells those who follow how the read ended.
    pub(crate) fn land(self, read: Result<Arc<Known>>) -> Result<Arc<Known>> {
        let read = read.map_err(Arc::new);
        self.landing.send_replace(Some(read.clone()));
        read.map_err(|error| repeat(&error))
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        let mut flights = lock(&self.flights);
        let is_mine = |flight: &Flight| flight.landing.same_channel(&self.landing.subscribe());
        if flights.get(&self.key).is_some_and(is_mine) {
            flights.remove(&self.key);
        }
    }
}

impl Follow {
    /// Waits for the end of the read; `None` if whoever read has given up.
    pub(crate) async fn landed(mut self) -> Option<Result<Arc<Known>>> {
        let landing = self.0.wait_for(Option::is_some).await.ok()?;
        landing.as_ref().map(|read| read.clone().map_err(|error| repeat(&error)))
    }
}

#[cfg(test)]
mod tests {
    use burgee_core::name::Identifier;
    use burgee_core::store::EnvironmentRef;

    use super::*;
    use crate::identities::key;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn who_asks_for_the_same_waits_for_the_same_read() {
        let (flights, now) = (Flights::default(), Instant::now());
        let eve = Identifier::parse("eve").unwrap();
        let known = |read_at| Arc::new(Known::read(&eve, None, read_at));
        let key = key(EnvironmentRef(1), &eve);
        let Turn::Lead(lead) = flights.turn(key, SECOND, now) else { panic!("nobody else reads") };
        let Turn::Follow(follow) = flights.turn(key, SECOND, now) else { panic!("somebody reads") };
        let Turn::Lead(later) = flights.turn(key, SECOND, now + SECOND) else {
            panic!("that read is too old")
        };
        lead.land(Ok(known(now))).unwrap();
        assert!(follow.landed().await.unwrap().is_ok());
        let Turn::Follow(follow) = flights.turn(key, SECOND, now + SECOND) else {
            panic!("the later one reads")
        };
        drop(later);
        assert!(follow.landed().await.is_none(), "it was given up");
        let Turn::Lead(lead) = flights.turn(key, SECOND, now) else { panic!("nobody reads") };
        flights.close(&key);
        let Turn::Lead(newer) = flights.turn(key, SECOND, now) else { panic!("it was written since") };
        drop(lead);
        assert!(
            matches!(flights.turn(key, SECOND, now), Turn::Follow(_)),
            "the newer one is still under way"
        );
        drop(newer);
        let Turn::Lead(_) = flights.turn(key, Duration::ZERO, now) else { panic!("nobody waits for others") };
    }
}
