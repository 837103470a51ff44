//! The command line.

use std::path::PathBuf;

/// Measures Burgee beside a bare gRPC server and beside what PostgreSQL itself does, and prints a table.
#[derive(Debug, clap::Parser)]
#[command(name = "burgee-bench")]
pub(crate) struct Args {
    /// Measures only this, such as `evaluate_flags/standard`, or all that begins with it, such as `propagation`; can be given
    /// several times.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Shows that everything works, in under a minute; the figures mean nothing.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Lets the servers and the load generator use all cores, instead of one each.
    #[arg(long)]
    pub(crate) all_cores: bool,
    /// Writes the figures here, as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Writes the table here, as Markdown.
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
}

impl Args {
    /// Says whether a row was asked for: if it was named, or a name that it begins with, or nothing was.
    pub(crate) fn wants(&self, row: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| begins(row, only))
    }

    /// Says whether a measurement is needed: its name was asked for, or a row of its own.
    pub(crate) fn needs(&self, measurement: &str) -> bool {
        self.wants(measurement) || self.only.iter().any(|only| begins(only, measurement))
    }
}

/// Says whether a name begins with all parts of another.
fn begins(name: &str, with: &str) -> bool {
    name.strip_prefix(with).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn a_name_stands_for_what_it_begins() {
        let args = Args::parse_from(["burgee-bench", "--only", "evaluate_flags", "--only", "identify/a"]);
        for (name, wanted) in [
            ("evaluate_flags/standard", true),
            ("evaluate_flags_stored/standard", false),
            ("evaluate_flag/standard", false),
            ("identify/a", true),
            ("identify/b", false),
        ] {
            assert_eq!(args.wants(name), wanted, "{name}");
        }
        assert!(Args::parse_from(["burgee-bench"]).wants("anything"));
        let args = Args::parse_from(["burgee-bench", "--only", "evaluate_flags/standard/open"]);
        assert!(args.needs("evaluate_flags/standard") && !args.wants("evaluate_flags/standard"));
        assert!(args.wants("evaluate_flags/standard/open") && !args.needs("evaluate_flags/large"));
    }
}
