//! The limits and intervals of the service.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::copies::CopySettings;
use crate::metrics::Metrics;

/// How the evaluation service behaves. Every queue, cache and wait of it has its limit here.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How often the database is asked for news that no notification told of.
    pub poll_interval: Duration,
    /// How long one question to the database may take.
    pub database_timeout: Duration,
    /// The longest wait before the database is asked again after it failed; waits begin at 100 ms, double, and are
    /// shortened at random.
    pub longest_back_off: Duration,
    /// How long a stream is silent before a checkpoint, unless the caller says otherwise.
    pub checkpoint_interval: Duration,
    /// How long a stream waits for a replica that is behind the revision that the caller has.
    pub catch_up_limit: Duration,
    /// For how long the database may be away before the service is not ready; `None`: for ever.
    pub unready_when_stale_for: Option<Duration>,
    /// The largest message taken in.
    pub max_message_bytes: usize,
    /// The longest wait of a unary call, whatever deadline the caller gives.
    pub max_deadline: Duration,
    /// How long an environment is kept that nobody asks for and nobody watches.
    pub idle_environment_ttl: Duration,
    /// Environments that are kept at once.
    pub max_environments: usize,
    /// Requests a second with one key; `None`: any number. Opening a stream is one.
    pub requests_per_key_per_second: Option<NonZeroU32>,
    /// Requests at once with one key, if those a second are limited; `None`: as many as a second.
    pub requests_per_key_burst: Option<NonZeroU32>,
    /// Streams at once with one key.
    pub streams_per_key: usize,
    /// Streams at once over one connection.
    pub streams_per_connection: usize,
    /// Identities that one batch writes.
    pub identify_batch: usize,
    /// Batches of identities that are written at once; more than the store has connections for them are of no use.
    pub identify_batches: usize,
    /// The longest that a batch waits to fill up while callers are many; a lone caller never waits.
    pub identify_linger: Duration,
    /// Identities that wait to be written.
    pub identify_queue: usize,
    /// How long a caller of `Identify` waits until its batch is durable, and how long writing a batch may take.
    pub identify_timeout: Duration,
    /// Identities that one query reads.
    pub identity_read_batch: usize,
    /// Identities that wait to be read.
    pub identity_read_queue: usize,
    /// How long a call waits for stored traits.
    pub identity_read_timeout: Duration,
    /// The size of the cache of identities.
    pub identity_cache_bytes: u64,
    /// How long ago a write of an identity may have been answered, by whichever process, without being seen: for so long,
    /// what is remembered is used without asking the database. Zero: the database is always asked.
    pub identity_staleness: Duration,
    /// Unknown keys that are remembered, so that the database is not asked again at once.
    pub unknown_keys: usize,
    /// For how long an unknown key is remembered.
    pub unknown_key_ttl: Duration,
    /// Questions to the database about unknown keys at once.
    pub key_lookups: usize,
    /// Batches of more flags than this are evaluated outside of the threads that serve requests.
    pub large_batch_flags: usize,
    /// Large batches that are evaluated at once.
    pub large_batches: usize,
    /// Where copies of environments are kept on disk; `None`: nowhere.
    pub copies: Option<CopySettings>,
    /// How long the database is waited for when an environment that is not held has a copy on disk.
    pub copy_patience: Duration,
    /// Where the service counts.
    pub metrics: Metrics,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_secs(1),
            database_timeout: Duration::from_secs(10),
            longest_back_off: Duration::from_secs(5),
            checkpoint_interval: Duration::from_secs(15),
            catch_up_limit: Duration::from_secs(30),
            unready_when_stale_for: None,
            max_message_bytes: 4 * 1024 * 1024,
            max_deadline: Duration::from_secs(60),
            idle_environment_ttl: Duration::from_secs(600),
            max_environments: 10_000,
            requests_per_key_per_second: None,
            requests_per_key_burst: None,
            streams_per_key: 50_000,
            streams_per_connection: 10_000,
            identify_batch: 200,
            identify_batches: 2,
            identify_linger: Duration::from_millis(2),
            identify_queue: 10_000,
            identify_timeout: Duration::from_secs(10),
            identity_read_batch: 200,
            identity_read_queue: 10_000,
            identity_read_timeout: Duration::from_secs(2),
            identity_cache_bytes: 64 * 1024 * 1024,
            identity_staleness: Duration::from_secs(1),
            unknown_keys: 10_000,
            unknown_key_ttl: Duration::from_secs(1),
            key_lookups: 32,
            large_batch_flags: 2_000,
            large_batches: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            copies: None,
            copy_patience: Duration::from_secs(1),
            metrics: Metrics::default(),
        }
    }
}

impl Settings {
    /// Returns how old the last news must be to be called stale: three polls may miss.
    pub(crate) fn stale_after(&self) -> Duration {
        self.poll_interval * 3
    }
}
