//! What the load generator is told, and what it tells.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::process::{Memory, Usage};

/// A server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Service {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The process whose CPU time is counted.
    pub(crate) process: u32,
    /// A header of every request.
    pub(crate) credential: Option<(String, String)>,
}

/// Requests of one method.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Requests {
    /// The method's path.
    pub(crate) path: String,
    /// The messages, encoded.
    pub(crate) bodies: Vec<Vec<u8>>,
}

/// A job.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Job {
    Ask(Question),
    Measure(Load),
    FanOut(Fanout),
}

/// What came of a job.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Outcome {
    Asked(Asked),
    Measured(Measured),
    Fanned(Box<Fanned>),
}

/// Requests that are made once each, one after the other.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Question {
    pub(crate) service: Service,
    pub(crate) requests: Requests,
}

/// The answers to a [`Question`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// The bytes of each.
    pub(crate) lengths: Vec<usize>,
    /// How long each took.
    pub(crate) times: Vec<Duration>,
    /// The one whose length is nearest to their mean.
    pub(crate) typical: Vec<u8>,
}

/// How requests follow each other.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Pace {
    /// Each of so many callers on each connection waits for its answer before it asks again.
    Closed {
        /// Callers on each connection.
        streams: usize,
    },
    /// Requests come when they come, however long answers take; times count from when each was to be sent.
    Open {
        /// Requests a second, evenly spaced.
        per_second: f64,
    },
}

/// Load on a server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) service: Service,
    pub(crate) requests: Requests,
    /// The bytes that the answer to each request must have; one for all; or none, if they are not known.
    pub(crate) lengths: Vec<usize>,
    /// Connections that share the load.
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
    /// How long nothing is counted.
    pub(crate) warm_up: Duration,
    /// For how long it is counted then; `None`: until each request was made once.
    pub(crate) duration: Option<Duration>,
    /// What goes on meanwhile.
    pub(crate) meanwhile: Option<Meanwhile>,
}

/// Requests that are made one after the other, at intervals, beside a load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Meanwhile {
    pub(crate) service: Service,
    pub(crate) requests: Requests,
    pub(crate) interval: Duration,
}

/// What a [`Load`] showed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Requests that were answered.
    pub(crate) requests: u64,
    /// In this time.
    pub(crate) elapsed: Duration,
    /// How long the answers took.
    pub(crate) latency: Percentiles,
    /// What the server used.
    pub(crate) usage: Usage,
}

impl Measured {
    /// Returns the requests a second.
    pub(crate) fn per_second(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }
}

/// Of a distribution of times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) p999: Duration,
}

/// Streams, and messages to all of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Fanout {
    /// Where the streams are opened.
    pub(crate) service: Service,
    /// The method's path.
    pub(crate) path: String,
    /// The request of each stream, encoded.
    pub(crate) body: Vec<u8>,
    /// Connections, and streams on each.
    pub(crate) connections: usize,
    pub(crate) streams: usize,
    /// How long the streams are idle before memory is read.
    pub(crate) idle: Duration,
    /// Where messages are made.
    pub(crate) writer: Service,
    /// Each makes one message on every stream; the next is made when all have it.
    pub(crate) writes: Requests,
    /// Of those, the first that do not count.
    pub(crate) warm_up: usize,
}

/// What a [`Fanout`] showed. Times of writes are those that count, in order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Fanned {
    /// From the first request, all of which are made at once, to each stream's first message.
    pub(crate) opened: Percentiles,
    /// To the last.
    pub(crate) all_opened: Duration,
    /// What the server used for it.
    pub(crate) opening: Usage,
    /// What the server held before, and with all streams idle.
    pub(crate) memory_before: Memory,
    pub(crate) memory_idle: Memory,
    /// For each write, from its call to the first stream that had its message.
    pub(crate) first: Vec<Duration>,
    /// To the last.
    pub(crate) last: Vec<Duration>,
    /// From the write's answer to the first and the last stream; 0 if the message was there before.
    pub(crate) first_after_answer: Vec<Duration>,
    pub(crate) last_after_answer: Vec<Duration>,
    /// What the server of the streams used for all writes that count.
    pub(crate) delivering: Usage,
    /// A first message, and the last one.
    pub(crate) first_message: Vec<u8>,
    pub(crate) last_message: Vec<u8>,
}
