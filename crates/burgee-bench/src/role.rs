//! The programs that a measurement consists of are this binary again, each in a process of its own: so one build makes all of
//! them, with the same profile, allocator and libraries.

use std::ffi::OsString;
use std::process::{ExitCode, Stdio};

use anyhow::Context as _;
use tokio::process::{Child, Command};

use crate::{bare, load, process};

/// Where a process is told which core to keep to.
const CORE: &str = "BENCH_CORE";

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The real server: `burgee` itself, with its command line.
    Burgee,
    /// The bare tonic server.
    Bare,
    /// The load generator.
    Load,
}

impl Role {
    const ALL: [Self; 3] = [Self::Burgee, Self::Bare, Self::Load];

    /// The first argument of a process with this role.
    fn name(self) -> &'static str {
        match self {
            Self::Burgee => "burgee",
            Self::Bare => "bare-server",
            Self::Load => "load-generator",
        }
    }

    /// Starts a process with this role, which ends with this one; it keeps to a core if one is given.
    ///
    /// # Errors
    /// The process cannot be started.
    pub(crate) fn start(self, arguments: &[&str], core: Option<usize>) -> anyhow::Result<Child> {
        let program = std::env::current_exe().context("this program has no path")?;
        let mut command = Command::new(program);
        command.arg(self.name()).args(arguments);
        // The settings of the person who measures are not those that are measured.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("BURGEE_"))
        {
            command.env_remove(name);
        }
        if let Some(core) = core {
            command.env(CORE, core.to_string());
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("could not start the role `{}`", self.name()))
    }
}

/// Does what this process was started for, if it was by [`Role::start`].
pub(crate) fn run() -> Option<ExitCode> {
    let mut arguments = std::env::args_os();
    arguments.next();
    let arguments: Vec<OsString> = arguments.collect();
    let first = arguments.first()?;
    let role = Role::ALL.into_iter().find(|role| role.name() == first)?;
    process::end_with_parent();
    if let Some(core) = std::env::var(CORE).ok().and_then(|core| core.parse().ok()) {
        // Before there is a second thread: those inherit it, and tokio counts what is left for its workers.
        process::keep_to(core);
    }
    Some(match role {
        Role::Burgee => burgee::cli::run_with(arguments),
        Role::Bare => bare::run(),
        Role::Load => load::run(),
    })
}
