//! Streams: many of them, opened at once, and messages that go to all.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::{Buf as _, Bytes};
use futures_util::future::try_join_all;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::client::{Connection, Method, PREFIX, frame};
use super::job::{Fanned, Fanout};
use super::recorder::{histogram, percentiles, record};
use crate::process::{self, Meter, Usage};

/// How long all streams may take to open, and a message to reach all of them.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn run(fanout: &Fanout) -> anyhow::Result<Fanned> {
    process::raise_file_limit();
    let mut meter = Meter::new(fanout.service.process)?;
    let memory_before = process::memory(fanout.service.process)?;

    let usage = meter.read()?;
    let began = Instant::now();
    let mut subscribers = Subscribers::open(fanout)?;
    let opened = subscribers.message().await.context("not all streams opened")?;
    let opening = meter.read()?.since(usage);
    let first_message = subscribers.arrivals.kept.take();
    let mut times = histogram()?;
    for arrived in &opened {
        record(&mut times, *arrived - began);
    }
    tokio::time::sleep(fanout.idle).await;

    let mut fanned = Fanned {
        opened: percentiles(&times),
        all_opened: opened.last().map_or(Duration::ZERO, |last| *last - began),
        opening,
        memory_before,
        memory_idle: process::memory(fanout.service.process)?,
        first: Vec::new(),
        last: Vec::new(),
        first_after_answer: Vec::new(),
        last_after_answer: Vec::new(),
        delivering: Usage::default(),
        first_message,
        last_message: Vec::new(),
    };
    let writer = Connection::open(&fanout.writer).await?;
    let method = Method::new(&fanout.writer, &fanout.writes.path)?;
    let mut usage = meter.read()?;
    for (number, body) in fanout.writes.bodies.iter().enumerate() {
        if number == fanout.warm_up {
            usage = meter.read()?;
        }
        let body = frame(body);
        let called = Instant::now();
        let answer = async {
            writer.call(&method, &body).await?;
            Ok(Instant::now())
        };
        let (answered, arrived) = tokio::try_join!(answer, subscribers.message())?;
        let (Some(first), Some(last)) = (arrived.first(), arrived.last()) else { continue };
        if number >= fanout.warm_up {
            fanned.first.push(*first - called);
            fanned.last.push(*last - called);
            fanned.first_after_answer.push(first.saturating_duration_since(answered));
            fanned.last_after_answer.push(last.saturating_duration_since(answered));
        }
    }
    fanned.delivering = meter.read()?.since(usage);
    fanned.last_message = subscribers.arrivals.kept.take();
    Ok(fanned)
}

/// All streams, each read by a task of its own.
struct Subscribers {
    /// None ends unless something is wrong.
    tasks: JoinSet<anyhow::Result<()>>,
    arrivals: Rc<Arrivals>,
    count: usize,
}

impl Subscribers {
    /// Opens all streams at once.
    fn open(fanout: &Fanout) -> anyhow::Result<Self> {
        let arrivals = Rc::new(Arrivals::default());
        let method = Method::new(&fanout.service, &fanout.path)?;
        let body = frame(&fanout.body);
        let mut tasks = JoinSet::new();
        for number in 0..fanout.connections {
            let (service, method, body) = (fanout.service.clone(), method.clone(), body.clone());
            let (arrivals, streams) = (arrivals.clone(), fanout.streams);
            tasks.spawn_local(async move {
                let connection = Connection::open(&service).await?;
                let keeps = |stream| number == 0 && stream == 0;
                let subscribe = |stream| subscribe(&connection, &method, &body, &arrivals, keeps(stream));
                try_join_all((0..streams).map(subscribe)).await?;
                bail!("a stream ended")
            });
        }
        Ok(Self { tasks, arrivals, count: fanout.connections * fanout.streams })
    }

    /// Waits until all have a message, and returns when each had it, in that order.
    ///
    /// # Errors
    /// A stream ends, has two messages, or has none for too long.
    async fn message(&mut self) -> anyhow::Result<Vec<Instant>> {
        let arrived = tokio::time::timeout(PATIENCE, self.arrivals.wait(self.count));
        tokio::select! {
            arrived = arrived => arrived.context("a message did not reach all streams")?,
            Some(ended) = self.tasks.join_next() => ended??,
        }
        let arrived = self.arrivals.at.take();
        ensure!(arrived.len() == self.count, "a stream had two messages of one write");
        Ok(arrived)
    }
}

/// When messages came, on all streams together.
#[derive(Default)]
struct Arrivals {
    at: RefCell<Vec<Instant>>,
    wanted: Cell<usize>,
    complete: Notify,
    /// The newest message of the stream that keeps it.
    kept: RefCell<Vec<u8>>,
}

impl Arrivals {
    fn add(&self) {
        let mut at = self.at.borrow_mut();
        at.push(Instant::now());
        if at.len() == self.wanted.get() {
            self.complete.notify_one();
        }
    }

    /// Waits until so many messages have come since they were taken last.
    async fn wait(&self, count: usize) {
        self.wanted.set(count);
        while self.at.borrow().len() < count {
            self.complete.notified().await;
        }
    }
}

/// Opens a stream, and notes its messages until it ends.
async fn subscribe(
    connection: &Connection,
    method: &Method,
    body: &Bytes,
    arrivals: &Arrivals,
    keeps: bool,
) -> anyhow::Result<()> {
    let (mut stream, _request) = connection.open_stream(method, body).await?;
    let mut messages = Messages::default();
    while let Some(bytes) = stream.data().await {
        let bytes = bytes?;
        stream.flow_control().release_capacity(bytes.len())?;
        messages.take(bytes, |message| {
            if keeps {
                arrivals.kept.replace(message.to_vec());
            }
            arrivals.add();
        });
    }
    Ok(())
}

/// Finds the ends of messages in what comes.
#[derive(Default)]
struct Messages {
    /// What has come of a message that is not whole.
    part: Vec<u8>,
}

impl Messages {
    fn take(&mut self, mut bytes: Bytes, mut found: impl FnMut(&[u8])) {
        if !self.part.is_empty() {
            self.part.extend_from_slice(&bytes);
            bytes = std::mem::take(&mut self.part).into();
        }
        while let Some(length) = whole(&bytes) {
            found(&bytes[PREFIX..length]);
            bytes.advance(length);
        }
        self.part.extend_from_slice(&bytes);
    }
}

/// Returns the length of the message that the bytes begin with, its prefix included, if it is there to its end.
fn whole(bytes: &[u8]) -> Option<usize> {
    let prefix = bytes.first_chunk::<PREFIX>()?;
    let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]);
    let length = PREFIX + usize::try_from(length).ok()?;
    (bytes.len() >= length).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_wherever_they_are_cut() {
        let sent = [frame(b"one"), frame(b""), frame(b"three")].concat();
        for cut in 0..=sent.len() {
            let (mut messages, mut found) = (Messages::default(), Vec::new());
            for part in [&sent[..cut], &sent[cut..]] {
                messages.take(Bytes::copy_from_slice(part), |message| found.push(message.to_vec()));
            }
            assert_eq!(found, [b"one".to_vec(), b"".to_vec(), b"three".to_vec()], "cut at {cut}");
        }
    }
}
