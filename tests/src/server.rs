//! Real servers: processes of the real binary, on real sockets.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use burgee_proto::evaluation::v1::evaluation_service_client::EvaluationServiceClient;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::secrets;

/// How long a server may take to start, or to stop.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The binary: built for this package, and the same as `burgee`; or the one that `BURGEE_BINARY` names.
#[must_use]
pub fn binary() -> PathBuf {
    std::env::var_os("BURGEE_BINARY").map_or_else(|| program("burgee-under-test"), PathBuf::from)
}

/// Finds a binary of this package.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test.parent().and_then(Path::parent).expect("tests are in `deps`");
    folder.join(name)
}

/// What a server printed at its first start.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// The administrator token.
    pub token: String,
    /// `burgee dev`: a server-side key of `development`.
    pub server_side: String,
    /// `burgee dev`: a client-side key of `development`.
    pub client_side: String,
}

/// A running server.
pub struct Server {
    child: Child,
    arguments: Vec<String>,
    _folder: Option<TempDir>,
    /// Everything that it printed while starting.
    pub printed: String,
    /// Where management is served.
    pub management: Option<SocketAddr>,
    /// Where evaluation is served.
    pub evaluation: Option<SocketAddr>,
    /// What it printed at its first start.
    pub credentials: Credentials,
}

impl Server {
    /// Starts `burgee dev` on a free port, with a data folder of its own.
    pub async fn dev() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let data = folder.path().join("data").display().to_string();
        let arguments = ["dev", "--listen", "127.0.0.1:0", "--data-dir", &data].map(str::to_owned);
        let mut server = Self::start(arguments.to_vec(), Credentials::default()).await;
        server._folder = Some(folder);
        server
    }

    /// Migrates the database and starts `burgee serve` over it, with both services on free ports.
    pub async fn serve(database_url: &str) -> Self {
        Self::serve_some(database_url, true, true, &[]).await
    }

    /// Migrates the database and starts `burgee serve` over it, with some services on free ports.
    pub async fn serve_some(database_url: &str, management: bool, evaluation: bool, more: &[&str]) -> Self {
        let migrated = Command::new(binary())
            .args(["migrate", "--database-url", database_url])
            .stdout(Stdio::null())
            .status()
            .await
            .expect("the binary runs");
        assert!(migrated.success(), "burgee migrate failed");
        let listen = |served| if served { "127.0.0.1:0" } else { "off" };
        let mut arguments: Vec<String> = [
            ["serve", "--database-url", database_url],
            ["--management", listen(management), "--evaluation"],
            [listen(evaluation), "--log", "warn"],
        ]
        .concat()
        .into_iter()
        .map(str::to_owned)
        .collect();
        arguments.extend(more.iter().map(ToString::to_string));
        Self::start(arguments, Credentials::default()).await
    }

    /// Starts the binary and waits until it listens.
    pub async fn start(arguments: Vec<String>, credentials: Credentials) -> Self {
        let mut child = Command::new(binary())
            .args(&arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary starts");
        tokio::spawn(secrets::watch(child.stderr.take().expect("stderr is piped")));
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let mut server = Self {
            child,
            arguments,
            _folder: None,
            printed: String::new(),
            management: None,
            evaluation: None,
            credentials,
        };
        // The last lines of `serve`, of the first and of a later start of `dev`.
        let ends = ["serving", "FlagService/UpdateFlag", "`burgee dev --new-credentials`"];
        tokio::time::timeout(PATIENCE, async {
            while let Some(line) = lines.next_line().await.expect("the output is text") {
                server.take(&line);
                if ends.iter().any(|end| line.contains(end)) {
                    return;
                }
            }
            panic!("the server did not start: {}", server.printed);
        })
        .await
        .expect("the server started in time");
        for secret in [&server.credentials.client_side].into_iter().filter(|secret| !secret.is_empty()) {
            secrets::note(secret);
        }
        // Whatever else it prints must not block it, and is no place for secrets.
        tokio::spawn(secrets::watch(lines.into_inner()));
        server
    }

    fn take(&mut self, line: &str) {
        self.printed.push_str(line);
        self.printed.push('\n');
        let address = |text: &str| text.trim_end_matches(',').parse().ok();
        if let Some(rest) = line.strip_prefix("Burgee listens on ") {
            self.management = rest.split(' ').next().and_then(address);
            self.evaluation = self.management;
        } else if let Some(rest) = line.strip_prefix("management on ") {
            self.management = address(rest);
        } else if let Some(rest) = line.strip_prefix("evaluation on ") {
            self.evaluation = address(rest);
        } else if let Some((_, token)) = line.split_once("shown only now: ") {
            self.credentials.token = token.to_owned();
        }
        for (name, secret) in [
            ("BURGEE_TOKEN", &mut self.credentials.token),
            ("BURGEE_ENVIRONMENT_KEY", &mut self.credentials.server_side),
            ("BURGEE_CLIENT_SIDE_KEY", &mut self.credentials.client_side),
        ] {
            if let Some(value) = line.strip_prefix(&format!("export {name}=")) {
                value.clone_into(secret);
            }
        }
    }

    /// Returns the process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id().expect("the server runs")
    }

    /// Ends the process as a power cut would.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("the server could be killed");
    }

    /// Sends SIGTERM, and returns how the process ended.
    pub async fn terminate(&mut self) -> ExitStatus {
        let id = self.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().await.expect("`kill` runs");
        assert!(sent.success());
        tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .expect("it stops in time")
            .expect("it can be waited for")
    }

    /// Starts it again with the same data, on the same ports.
    pub async fn restart(&mut self) {
        let _ = self.child.kill().await;
        let mut arguments = self.arguments.clone();
        for (flag, address) in [
            ("--listen", self.management),
            ("--management", self.management),
            ("--evaluation", self.evaluation),
        ] {
            if let (Some(index), Some(address)) = (arguments.iter().position(|item| item == flag), address)
                && arguments[index + 1] != "off"
            {
                arguments[index + 1] = address.to_string();
            }
        }
        let folder = self._folder.take();
        *self = Self::start(arguments, self.credentials.clone()).await;
        self._folder = folder;
    }

    /// Returns a channel to the management service.
    pub async fn management_channel(&self) -> Channel {
        channel(self.management.expect("management is served")).await
    }

    /// Returns a channel to the evaluation service.
    pub async fn evaluation_channel(&self) -> Channel {
        channel(self.evaluation.expect("evaluation is served")).await
    }

    /// Returns what an administrator's client needs: `FlagServiceClient::with_interceptor(channel, token)`.
    #[must_use]
    pub fn token(&self) -> Credential {
        Credential::token(&self.credentials.token)
    }

    /// Returns a client of the evaluation service with a key.
    pub async fn evaluator(
        &self,
        key: &str,
    ) -> EvaluationServiceClient<InterceptedService<Channel, Credential>> {
        EvaluationServiceClient::with_interceptor(self.evaluation_channel().await, Credential::key(key))
    }
}

/// What a client takes in before it is read: the window of HTTP/2's standard. The client's own default is megabytes, and
/// would hide what a server does when nobody reads.
const WINDOW_BYTES: u32 = 65_535;

/// Connects, waiting for the server to listen.
pub async fn channel(address: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .expect("an address is a URL")
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match endpoint.connect().await {
            Ok(channel) => return channel,
            Err(error) if tokio::time::Instant::now() > deadline => {
                panic!("could not connect to {address}: {error}")
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Adds a credential to every call.
#[derive(Clone, Debug)]
pub struct Credential {
    header: &'static str,
    value: MetadataValue<Ascii>,
}

impl Credential {
    /// A token of the management API.
    #[must_use]
    pub fn token(token: &str) -> Self {
        let value = format!("Bearer {token}").parse().expect("a token is ASCII");
        Self { header: "authorization", value }
    }

    /// An environment key.
    #[must_use]
    pub fn key(key: &str) -> Self {
        Self { header: "x-environment-key", value: key.parse().expect("a key is ASCII") }
    }
}

impl Interceptor for Credential {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert(self.header, self.value.clone());
        Ok(request)
    }
}
