//! How many streams there are, by key and by connection.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use burgee_core::access::SecretHash;
use burgee_core::{Error, Result};
use prometheus_client::metrics::gauge::Gauge;

use crate::moment::lock;
use crate::settings::Settings;

/// The streams that are open.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    counts: Mutex<Counts>,
    open: Gauge,
}

#[derive(Debug, Default)]
struct Counts {
    by_key: HashMap<SecretHash, usize>,
    by_connection: HashMap<SocketAddr, usize>,
}

/// The place of one stream among them, until it ends.
#[derive(Debug)]
pub(crate) struct Place {
    streams: Arc<Streams>,
    key: SecretHash,
    connection: Option<SocketAddr>,
}

impl Streams {
    /// Creates a count that `open` shows.
    pub(crate) fn new(open: Gauge) -> Self {
        Self { counts: Mutex::default(), open }
    }

    /// Takes a place for a stream, unless its key or its connection has too many. Connections are told apart by the
    /// address and port at the other end; where there is none, only keys count.
    pub(crate) fn take(
        self: &Arc<Self>,
        key: SecretHash,
        connection: Option<SocketAddr>,
        settings: &Settings,
    ) -> Result<Place> {
        let mut counts = lock(&self.counts);
        let Counts { by_key, by_connection } = &mut *counts;
        check(by_key, &key, "streams_per_key", settings.streams_per_key)?;
        if let Some(connection) = &connection {
            check(by_connection, connection, "streams_per_connection", settings.streams_per_connection)?;
            *by_connection.entry(*connection).or_default() += 1;
        }
        *by_key.entry(key).or_default() += 1;
        self.open.inc();
        Ok(Place { streams: Arc::clone(self), key, connection })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = lock(&self.streams.counts);
        leave(&mut counts.by_key, self.key);
        if let Some(connection) = self.connection {
            leave(&mut counts.by_connection, connection);
        }
        self.streams.open.dec();
    }
}

fn check<K: Eq + Hash>(
    counts: &HashMap<K, usize>,
    key: &K,
    limit: &'static str,
    maximum: usize,
) -> Result<()> {
    match counts.get(key) {
        Some(count) if *count >= maximum => Err(Error::LimitExceeded { limit, maximum: maximum as u64 }),
        Some(_) | None => Ok(()),
    }
}

fn leave<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: K) {
    if let Entry::Occupied(mut count) = counts.entry(key) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_stream_ends() {
        let settings = Settings { streams_per_key: 3, streams_per_connection: 2, ..Settings::default() };
        let streams = Arc::new(Streams::default());
        let key = SecretHash::of("key");
        let connection = |port| Some(SocketAddr::from(([127, 0, 0, 1], port)));
        let take = |connection| {
            streams.take(key, connection, &settings).map_err(|error| match error {
                Error::LimitExceeded { limit, .. } => limit,
                _ => "another error",
            })
        };
        let first = take(connection(1)).unwrap();
        let second = take(connection(1)).unwrap();
        assert_eq!(take(connection(1)).unwrap_err(), "streams_per_connection");
        let third = take(connection(2)).unwrap();
        assert_eq!(take(None).unwrap_err(), "streams_per_key");
        assert_eq!(streams.open.get(), 3);
        drop(first);
        let first = take(None).unwrap();
        drop((first, second, third));
        let counts = lock(&streams.counts);
        assert!(counts.by_key.is_empty() && counts.by_connection.is_empty());
        assert_eq!(streams.open.get(), 0);
    }
}
