//! News of identities, by `NOTIFY`. PostgreSQL delivers notifications in the order of commits, to each listener over one
//! connection: so when a listener hears its own beat, it has heard everything that was committed before the beat was
//! sent.
//!
//! Notifications are sent in the transactions that they tell of. That makes commits of identities one after another
//! (the server's queue has one lock), and costs next to nothing, because writers gather what comes during a commit. In
//! return, no write is ever without its notification, however it ends.

use async_trait::async_trait;
use burgee_core::Result;
use burgee_core::store::{EnvironmentRef, IdentityListener, IdentityMark, IdentityNews};
use sqlx::PgConnection;
use sqlx::postgres::{PgConnectOptions, PgListener};

use super::wakeups::listening_connection;
use crate::error::storage;

/// The channel of what is written.
pub(super) const CHANNEL: &str = "burgee_identities";
/// Marks in one message. Each takes 16 bytes, and a message must be shorter than 8,000.
const MARKS: usize = 400;

/// Returns messages about identities that were written, given by environment and hash.
pub(super) fn written<'a>(batch: u64, identities: impl Iterator<Item = (i64, &'a [u8])>) -> Vec<String> {
    let mut messages: Vec<(i64, usize, String)> = Vec::new();
    for (environment, hash) in identities {
        let mark = hex::encode(hash.get(..8).unwrap_or_default());
        match messages.last_mut() {
            Some((of, marks, message)) if *of == environment && *marks < MARKS => {
                message.push_str(&mark);
                *marks += 1;
            }
            Some(_) | None => {
                messages.push((environment, 1, format!("written {batch} {environment} {mark}")))
            }
        }
    }
    messages.into_iter().map(|(_, _, message)| message).collect()
}

/// Returns a message about an environment that is deleted.
pub(super) fn gone(environment: i64) -> String {
    format!("gone {environment}")
}

fn parse(message: &str) -> Option<IdentityNews> {
    let mut words = message.split(' ');
    match words.next()? {
        "written" => {
            let batch = words.next()?.parse().ok()?;
            let environment = EnvironmentRef(words.next()?.parse().ok()?);
            let bytes = hex::decode(words.next()?).ok()?;
            let (marks, []) = bytes.as_chunks::<8>() else { return None };
            let marks = marks.iter().map(|mark| IdentityMark(u64::from_be_bytes(*mark))).collect();
            Some(IdentityNews::Written { environment, marks, batch })
        }
        "gone" => Some(IdentityNews::Gone(EnvironmentRef(words.next()?.parse().ok()?))),
        _ => None,
    }
}

/// Sends messages when the transaction commits.
pub(super) async fn tell(connection: &mut PgConnection, messages: &[String]) -> sqlx::Result<()> {
    sqlx::query("SELECT pg_notify($1, message) FROM unnest($2::text[]) AS told (message)")
        .bind(CHANNEL)
        .bind(messages)
        .execute(connection)
        .await?;
    Ok(())
}

/// Listens on a connection of its own.
pub(crate) struct Listener {
    listener: PgListener,
    /// The channel of its own beats, which nobody else listens to.
    beats: String,
}

impl Listener {
    /// Listens from now on.
    pub(crate) async fn start(options: &PgConnectOptions) -> Result<Self> {
        let beats = format!("burgee_beats_{:016x}", rand::random::<u64>());
        let listener = listening_connection(options, &[CHANNEL, &beats]).await.map_err(storage)?;
        Ok(Self { listener, beats })
    }
}

#[async_trait]
impl IdentityListener for Listener {
    async fn next(&mut self) -> Result<IdentityNews> {
        match self.listener.try_recv().await.map_err(storage)? {
            Some(told) if told.channel() == self.beats => {
                Ok(told.payload().parse().map_or(IdentityNews::Unknown, IdentityNews::Beat))
            }
            Some(told) => Ok(parse(told.payload()).unwrap_or(IdentityNews::Unknown)),
            None => Err(storage(std::io::Error::from(std::io::ErrorKind::ConnectionAborted).into())),
        }
    }

    async fn beat(&mut self, number: u64) -> Result<()> {
        let query = sqlx::query("SELECT pg_notify($1, $2)").bind(&self.beats).bind(number.to_string());
        query.execute(&mut self.listener).await.map_err(storage)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_understood() {
        let hash = |byte: u8| vec![byte; 32];
        let hashes = [(1, hash(1)), (1, hash(2)), (7, hash(3))];
        let messages = written(u64::MAX, hashes.iter().map(|(environment, hash)| (*environment, &**hash)));
        let mark = |byte: u8| IdentityMark(u64::from_be_bytes([byte; 8]));
        let news = |environment, marks| IdentityNews::Written {
            environment: EnvironmentRef(environment),
            marks,
            batch: u64::MAX,
        };
        let told: Vec<_> = messages.iter().map(|message| parse(message)).collect();
        assert_eq!(told, [Some(news(1, vec![mark(1), mark(2)])), Some(news(7, vec![mark(3)]))]);
        assert_eq!(parse(&gone(7)), Some(IdentityNews::Gone(EnvironmentRef(7))));
        for message in ["", "written", "written 1 1", "written 1 1 00", "gone", "gone x", "later 1"] {
            assert_eq!(parse(message), None, "{message}");
        }
    }

    #[test]
    fn no_message_is_too_long() {
        let hash = [0xff; 32];
        let messages = written(u64::MAX, (0..1_000).map(|_| (i64::MIN, &hash[..])));
        assert_eq!(messages.len(), 3);
        assert!(messages.iter().all(|message| message.len() < 8_000));
    }
}
