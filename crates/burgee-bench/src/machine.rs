//! The machine and the run, in words.

use std::fs;

use crate::bench::Cores;

/// Returns what somebody should know who reads the figures.
pub(crate) fn describe(cores: Cores, postgres: &str, quick: bool) -> Vec<String> {
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory =
        line("/proc/meminfo", "MemTotal:").and_then(|text| text.strip_suffix(" kB")?.parse::<u64>().ok());
    let model = line("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let profile = if cfg!(debug_assertions) { "dev profile" } else { "release profile" };
    let mut facts = vec![
        format!(
            "{count} cores ({}), {} GiB, {} {}; PostgreSQL {postgres} on the same machine, with fsync.",
            model.trim_start_matches([':', ' ', '\t']),
            memory.unwrap_or_default() / 1024 / 1024,
            std::env::consts::OS,
            kernel.trim(),
        ),
        format!("Burgee {}, {profile}; {cores}.", env!("CARGO_PKG_VERSION")),
    ];
    if quick || cfg!(debug_assertions) {
        facts.push("These figures mean nothing: they show that the measurements work.".to_owned());
    }
    facts
}

/// Returns how many processes were running or wanted to, on average of the last minute.
pub(crate) fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

fn line(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    Some(text.lines().find_map(|line| line.strip_prefix(name))?.trim().to_owned())
}
