//! Private PostgreSQL clusters: nothing that runs already is used, and nothing is left behind.
//!
//! A cluster is held by a supervisor, a small `sh` program that reads commands from a pipe. When the pipe closes, because
//! the test process ended in whatever way (also by SIGKILL), it stops the server and removes the cluster's folder.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::postgres_install::{Installation, find_or_install};

/// How often another port is tried: between asking for a free one and using it, somebody else may take it.
const START_ATTEMPTS: usize = 3;

/// Commands come as lines, and each is answered by `ok` or `failed`.
const SUPERVISOR: &str = r#"
    bin=$1 folder=$2 port=$3 settings=$4
    trap '' HUP INT TERM
    umask 077
    mkdir "$folder" || exit 1
    cd "$folder" || exit 1
    control() { "$bin/pg_ctl" --pgdata="$folder/data" --wait --silent "$@" >>"$folder/control.log" 2>&1 </dev/null; }
    run() {
        case $1 in
            init) "$bin/initdb" --pgdata="$folder/data" --username=postgres --auth=trust --encoding=UTF8 --locale=C \
                --no-sync >>"$folder/control.log" 2>&1 </dev/null ;;
            start) control --log="$folder/server.log" \
                --options="-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$folder $settings" start ;;
            stop) control --mode=fast stop ;;
            kill) control --mode=immediate stop ;;
            *) false ;;
        esac
    }
    while read -r command; do
        if run "$command"; then echo ok; else echo failed; fi
    done
    control --mode=immediate stop
    cd /
    rm -rf "$folder"
"#;

/// A PostgreSQL server of our own.
pub struct Cluster {
    folder: PathBuf,
    port: u16,
    supervisor: Mutex<Supervisor>,
}

struct Supervisor {
    process: Child,
    /// Closing it ends the cluster.
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Cluster {
    /// Returns the cluster that all tests of this process share; starts it when it is asked for first.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts a cluster of the caller's own, for tests that stop the server.
    pub fn start() -> Self {
        // Nothing here outlives the machine, so nothing needs to reach the disk.
        Self::start_with(&[("fsync", "off"), ("max_connections", "500")])
    }

    /// Starts a cluster with settings of the caller's, for measurements.
    pub fn start_with(settings: &[(&str, &str)]) -> Self {
        let installation = find_or_install().expect("PostgreSQL should be installed, or be installable");
        let settings: Vec<String> =
            settings.iter().map(|(name, value)| format!("-c {name}={value}")).collect();
        for _ in 0..START_ATTEMPTS {
            let cluster =
                Self::prepare(&installation, &settings.join(" ")).expect("a supervisor should start");
            if cluster.command("init").is_ok() && cluster.command("start").is_ok() {
                return cluster;
            }
        }
        panic!("PostgreSQL in `{}` does not start", installation.binaries.display());
    }

    fn prepare(installation: &Installation, settings: &str) -> io::Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        // Short, because the path of a socket may have about 100 characters; reachable for another user.
        let folder = if installation.user.is_some() { PathBuf::from("/tmp") } else { std::env::temp_dir() };
        let folder = folder.join(format!("burgee-pg-{}-{port}", std::process::id()));
        let mut command = match &installation.user {
            Some(user) => {
                let mut command = Command::new("runuser");
                command.args(["-u", user, "--", "sh"]);
                command
            }
            None => Command::new("sh"),
        };
        let mut process = command
            .args(["-c", SUPERVISOR, "supervisor"])
            .args([installation.binaries.as_path(), folder.as_path()])
            .args([port.to_string().as_str(), settings])
            .current_dir("/")
            .envs(installation.environment.iter().cloned())
            // Control-C at the terminal is for the test process; its end is what the supervisor waits for.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let commands = process.stdin.take();
        let answers =
            process.stdout.take().ok_or_else(|| io::Error::other("the supervisor has no output"))?;
        let supervisor = Mutex::new(Supervisor { process, commands, answers: BufReader::new(answers) });
        Ok(Self { folder, port, supervisor })
    }

    /// Creates an empty database and returns its address.
    pub async fn database(&self) -> String {
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        let mut connection =
            PgConnection::connect(&self.url("postgres")).await.expect("the cluster should answer");
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        connection.execute(create).await.expect("a database should be created");
        connection.close().await.expect("the connection should close");
        self.url(&name)
    }

    /// Returns the address of a database.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Returns the folder of the cluster, where the server's log is: `server.log`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Stops the server in order; the data stays.
    pub fn stop(&self) {
        self.command("stop").expect("the server should stop");
    }

    /// Stops the server as if it crashed; the data stays.
    pub fn kill(&self) {
        self.command("kill").expect("the server should stop at once");
    }

    /// Starts the stopped server again, with its data and at its port.
    pub fn restart(&self) {
        self.command("start").expect("the server should start again");
    }

    fn command(&self, command: &str) -> io::Result<()> {
        let mut supervisor = self.lock();
        let Supervisor { commands, answers, .. } = &mut *supervisor;
        let commands = commands.as_mut().ok_or_else(|| io::Error::other("the cluster has ended"))?;
        writeln!(commands, "{command}")?;
        let mut answer = String::new();
        answers.read_line(&mut answer)?;
        match answer.trim() {
            "ok" => Ok(()),
            _ => Err(io::Error::other(format!("`{command}` failed: see `{}`", self.folder.display()))),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Supervisor> {
        self.supervisor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut supervisor = self.lock();
        supervisor.commands = None;
        // Nobody could do anything about a failure.
        let _ = supervisor.process.wait();
    }
}
