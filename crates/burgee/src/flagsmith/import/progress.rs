//! How far an import is, for people who wait.
#![allow(clippy::print_stderr, reason = "progress goes beside the summary, which is on standard output")]

use std::io::IsTerminal;
use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressStyle};

/// Fewer steps than this are done before anybody wonders.
const WORTH_SHOWING: usize = 1_000;

/// Is told how far an import is.
pub trait Progress: Sync {
    /// Begins a part of so many steps.
    fn begin(&self, what: &str, steps: usize);
    /// Some steps are done.
    fn advance(&self, steps: usize);
}

/// Tells nobody.
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _what: &str, _steps: usize) {}
    fn advance(&self, _steps: usize) {}
}

/// Shows a bar on a terminal, and prints lines elsewhere; both on standard error.
#[derive(Default)]
pub(super) struct Shown {
    part: Mutex<Part>,
}

#[derive(Default)]
struct Part {
    what: String,
    done: usize,
    steps: usize,
    /// Of lines: what was printed last.
    printed: usize,
    bar: Option<ProgressBar>,
}

impl Progress for Shown {
    fn begin(&self, what: &str, steps: usize) {
        let Ok(mut part) = self.part.lock() else { return };
        if let Some(bar) = part.bar.take() {
            bar.finish_and_clear();
        }
        let bar = (std::io::stderr().is_terminal() && steps > 0).then(|| {
            let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}");
            let bar = ProgressBar::new(steps as u64).with_message(what.to_owned());
            style.map_or(bar.clone(), |style| bar.with_style(style))
        });
        *part = Part { what: what.to_owned(), steps, bar, ..Part::default() };
    }

    fn advance(&self, steps: usize) {
        let Ok(mut part) = self.part.lock() else { return };
        part.done += steps;
        match &part.bar {
            Some(bar) if part.done == part.steps => bar.finish_and_clear(),
            Some(bar) => bar.set_position(part.done as u64),
            None if part.steps >= WORTH_SHOWING && part.done >= part.printed + WORTH_SHOWING => {
                part.printed = part.done;
                eprintln!("{} of {} {}", part.done, part.steps, part.what);
            }
            None => {}
        }
    }
}
