//! A closed loop: a fixed number of callers, each of which waits for its answer before it asks again.

use std::rc::Rc;
use std::time::Instant;

use tokio::task::{JoinSet, spawn_local};

use super::client::Connection;
use super::job::{Load, Measured};
use super::recorder::Recorder;
use crate::process::Meter;

pub(super) async fn run(load: &Load, streams: usize) -> anyhow::Result<Measured> {
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
    // Requests that are made once are all counted.
    let mut begun = if load.duration.is_none() { Some(recorder.begin(&mut meter)?) } else { None };
    let mut callers = JoinSet::new();
    for connection in connections.iter().flat_map(|connection| std::iter::repeat_n(connection, streams)) {
        let (connection, recorder) = (connection.clone(), recorder.clone());
        callers.spawn_local(async move {
            while let Some(request) = recorder.next() {
                recorder.call(&connection, request, Instant::now()).await;
            }
        });
    }
    if let Some(duration) = load.duration {
        tokio::time::sleep(load.warm_up).await;
        begun = Some(recorder.begin(&mut meter)?);
        tokio::time::sleep(duration).await;
    } else {
        while callers.join_next().await.is_some() {}
    }
    let used = recorder.end(&mut meter, begun.unwrap_or_else(|| (Instant::now(), Default::default())))?;
    recorder.stop();
    while callers.join_next().await.is_some() {}
    recorder.finish(used)
}
