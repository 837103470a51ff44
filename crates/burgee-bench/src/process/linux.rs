//! Linux: `/proc`, `perf_event_open`, affinity.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use anyhow::Context as _;
use perf_event::events::Hardware;
use perf_event::{Builder, Counter};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::{Memory, Usage};

/// Reads what a process uses.
pub(crate) struct Meter {
    process: u32,
    cpu: Duration,
    /// The CPU time of each thread when it was read last.
    threads: HashMap<u32, Duration>,
    /// One for each thread; none if the kernel or the machine does not count.
    counters: Vec<Counter>,
}

impl Meter {
    /// Begins to count.
    ///
    /// # Errors
    /// There is no such process.
    pub(crate) fn new(process: u32) -> anyhow::Result<Self> {
        let threads = threads(process).context("the server has ended")?;
        let counters = counters(threads.keys()).unwrap_or_default();
        Ok(Self { process, cpu: threads.values().sum(), threads, counters })
    }

    /// Returns what the process has used so far.
    ///
    /// # Errors
    /// The process has ended.
    pub(crate) fn read(&mut self) -> anyhow::Result<Usage> {
        let threads = threads(self.process).context("the server has ended")?;
        for (thread, cpu) in &threads {
            self.cpu += cpu.saturating_sub(self.threads.get(thread).copied().unwrap_or_default());
        }
        self.threads = threads;
        let counts = self.counters.iter_mut().map(|counter| counter.read().ok());
        let instructions = counts.sum::<Option<u64>>().filter(|count| *count > 0);
        Ok(Usage { cpu: self.cpu, instructions })
    }
}

/// Returns the CPU time of each thread.
fn threads(process: u32) -> anyhow::Result<HashMap<u32, Duration>> {
    let mut threads = HashMap::new();
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let task = task?;
        // A thread that has ended since takes with it what it used since the last reading.
        let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else { continue };
        let nanoseconds = text.split(' ').next().unwrap_or_default().parse().context("`schedstat` is odd")?;
        threads.insert(task.file_name().to_string_lossy().parse()?, Duration::from_nanos(nanoseconds));
    }
    Ok(threads)
}

/// Counts the instructions of each thread, and of the threads that it starts from now on.
fn counters<'a>(threads: impl Iterator<Item = &'a u32>) -> anyhow::Result<Vec<Counter>> {
    let mut counters = Vec::new();
    for thread in threads {
        let mut builder = Builder::new(Hardware::INSTRUCTIONS);
        builder
            .observe_pid((*thread).try_into()?)
            .any_cpu()
            .inherit(true)
            .exclude_kernel(true)
            .exclude_hv(true);
        let mut counter = builder.build()?;
        counter.enable()?;
        counters.push(counter);
    }
    Ok(counters)
}

/// Returns what a process holds in memory.
///
/// # Errors
/// There is no such process.
pub(crate) fn memory(process: u32) -> anyhow::Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).context("the server has ended")?;
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kilobytes
            .with_context(|| format!("`/proc/{process}/status` has no `{name}`"))
            .map(|count| count * 1024)
    };
    Ok(Memory { resident: bytes("VmRSS:")?, anonymous: bytes("RssAnon:")? })
}

/// Returns the cores that this process may use.
pub(crate) fn cores() -> Vec<usize> {
    let Ok(allowed) = sched_getaffinity(None) else { return Vec::new() };
    (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect()
}

/// Keeps this thread, and those that it starts, to one core; where that is not allowed, they go where they like.
pub(crate) fn keep_to(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    let _ = sched_setaffinity(None, &cores);
}

/// Has the kernel end this process when the one that started it ends, in whatever way.
pub(crate) fn end_with_parent() {
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
}

/// Lets this process, and those that it starts, open as many files as the system allows.
pub(crate) fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
