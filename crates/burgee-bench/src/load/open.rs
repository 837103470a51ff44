//! An open loop: requests at a fixed rate, whether or not the former ones were answered, so that queueing shows.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use tokio::task::{spawn_local, yield_now};

use super::client::Connection;
use super::job::{Load, Measured};
use super::recorder::Recorder;
use crate::process::Meter;

/// Requests that may wait for an answer: beyond that the server is far from keeping up.
const WAITING: usize = 20_000;
/// How long answers are waited for at the end.
const DRAIN: Duration = Duration::from_secs(20);

pub(super) async fn run(load: &Load, per_second: f64) -> anyhow::Result<Measured> {
    let recorder = Rc::new(Recorder::new(load)?);
    let mut meter = Meter::new(load.service.process)?;
    let mut connections = Vec::new();
    for _ in 0..load.connections {
        connections.push(Connection::open(&load.service).await?);
    }
    if let Some(meanwhile) = load.meanwhile.clone() {
        let recorder = recorder.clone();
        spawn_local(async move { recorder.meanwhile(&meanwhile).await });
    }
    let waiting = Rc::new(Cell::new(0));
    let mut turns = connections.iter().cycle();
    let started = Instant::now();
    let end = load.duration.map(|duration| started + load.warm_up + duration);
    let mut begun = None;
    let mut number = 0_u32;
    loop {
        let due = started + Duration::from_secs_f64(f64::from(number) / per_second);
        if begun.is_none() && (due >= started + load.warm_up || load.duration.is_none()) {
            begun = Some(recorder.begin(&mut meter)?);
        }
        // Timers are too coarse: the wait is spent looking for answers.
        while Instant::now() < due {
            yield_now().await;
        }
        if end.is_some_and(|end| due >= end) {
            break;
        }
        let Some(request) = recorder.next() else { break };
        if waiting.get() >= WAITING {
            recorder.fail(anyhow!("the server does not keep up with {per_second:.0} requests a second"));
            break;
        }
        number += 1;
        waiting.set(waiting.get() + 1);
        let connection = turns.next().cloned().ok_or_else(|| anyhow!("no connections"))?;
        let (recorder, waiting) = (recorder.clone(), waiting.clone());
        spawn_local(async move {
            recorder.call(&connection, request, due).await;
            waiting.set(waiting.get() - 1);
        });
    }
    // Those that were sent in time count, however late their answers.
    let begun = begun.ok_or_else(|| anyhow!("nothing was sent"))?;
    let drain = async {
        while waiting.get() > 0 {
            yield_now().await;
        }
    };
    if tokio::time::timeout(DRAIN, drain).await.is_err() {
        recorder.fail(anyhow!("requests were not answered in {DRAIN:?}"));
    }
    let used = recorder.end(&mut meter, begun)?;
    recorder.stop();
    recorder.finish(used)
}
