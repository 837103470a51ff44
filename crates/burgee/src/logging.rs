//! Where logs go: to standard error, as text or JSON.

use std::io::IsTerminal as _;

use anyhow::Context;
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::settings::LogFormat;

/// What libraries may say, whatever is asked for: below that, they write headers with credentials, and at `warn` whoever floods a
/// connection could flood the log.
const QUIET: [(&str, Level); 7] = [
    ("h2", Level::ERROR),
    ("hyper", Level::WARN),
    ("hyper_util", Level::WARN),
    ("tonic", Level::WARN),
    ("tower", Level::WARN),
    ("reqwest", Level::WARN),
    ("rustls", Level::WARN),
];

fn may_speak(what: &Metadata<'_>) -> bool {
    let library = what.target().split("::").next().unwrap_or_default();
    QUIET.iter().find(|(quiet, _)| *quiet == library).is_none_or(|(_, most)| what.level() <= most)
}

/// Starts logging; the first call of a process counts.
///
/// # Errors
/// The filter does not parse.
pub fn start(format: LogFormat, filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter).with_context(|| format!("`log` is no filter: `{filter}`"))?;
    // Both have to agree.
    let filter = filter.and(filter_fn(may_speak));
    let is_terminal = std::io::stderr().is_terminal();
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(is_terminal);
    let registry = tracing_subscriber::registry();
    // Fails only if logging was started before.
    let _ = match format {
        LogFormat::Text => registry.with(layer.with_filter(filter)).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true).with_filter(filter)).try_init(),
    };
    Ok(())
}
