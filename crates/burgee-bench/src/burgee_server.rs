//! The real server, as its operators start it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::load::job::Service;
use crate::role::Role;

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(30);
/// What it logs: statements may be slow on a busy machine.
const LOG: &str = "warn,sqlx=error";
/// How often it is asked whether it is ready.
const READY_POLL: Duration = Duration::from_millis(2);

/// A running `burgee serve`.
pub(crate) struct BurgeeServer {
    process: Child,
    address: SocketAddr,
    /// What management prints at its first start over a database.
    token: Option<String>,
}

impl BurgeeServer {
    /// Brings the tables of a database up to date.
    ///
    /// # Errors
    /// `burgee migrate` fails.
    pub(crate) async fn migrate(database: &str) -> anyhow::Result<()> {
        let arguments = ["migrate", "--database-url", database, "--log", LOG];
        let output = Role::Burgee.start(&arguments, None)?.wait_with_output().await?;
        ensure!(output.status.success(), "`burgee migrate` failed");
        Ok(())
    }

    /// Serves management alone, on any core.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) async fn management(database: &str) -> anyhow::Result<Self> {
        Self::start(database, &["--management", "127.0.0.1:0", "--evaluation", "off"], None).await
    }

    /// Serves evaluation alone, on a core if one is given.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) async fn evaluation(database: &str, core: Option<usize>) -> anyhow::Result<Self> {
        Self::start(database, &["--management", "off", "--evaluation", "127.0.0.1:0"], core).await
    }

    async fn start(database: &str, services: &[&str], core: Option<usize>) -> anyhow::Result<Self> {
        let mut arguments = vec!["serve", "--database-url", database, "--log", LOG];
        arguments.extend(services);
        let mut process = Role::Burgee.start(&arguments, core)?;
        let output = process.stdout.take().context("standard output is piped")?;
        let mut lines = BufReader::new(output).lines();
        let (mut address, mut token) = (None, None);
        let reading = async {
            while let Some(line) = lines.next_line().await? {
                if let Some((_, given)) = line.split_once("shown only now: ") {
                    token = Some(given.to_owned());
                } else if let Some((_, given)) = line.split_once(" on ") {
                    address = given.parse().ok();
                } else if line == "serving" {
                    return Ok(());
                }
            }
            anyhow::bail!("the server ended at once")
        };
        timeout(PATIENCE, reading).await.context("the server did not start in time")??;
        let address = address.context("the server did not print its address")?;
        // It prints nothing more, and must not fail when it does.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { process, address, token })
    }

    /// Waits until it says that it is ready.
    ///
    /// # Errors
    /// That takes too long.
    pub(crate) async fn ready(&self) -> anyhow::Result<()> {
        let asking = async {
            let mut client = HealthClient::new(self.channel().await?);
            loop {
                let answer = client.check(HealthCheckRequest::default()).await?.into_inner();
                if answer.status() == ServingStatus::Serving {
                    return anyhow::Ok(());
                }
                sleep(READY_POLL).await;
            }
        };
        timeout(PATIENCE, asking).await.context("the server was not ready in time")?
    }

    /// Connects to it.
    ///
    /// # Errors
    /// It does not listen.
    pub(crate) async fn channel(&self) -> anyhow::Result<Channel> {
        let endpoint = Channel::from_shared(format!("http://{}", self.address))?;
        endpoint.connect().await.context("could not connect to the server")
    }

    /// Returns the administrator's token.
    ///
    /// # Errors
    /// This is not the first management over its database.
    pub(crate) fn token(&self) -> anyhow::Result<&str> {
        self.token.as_deref().context("the server printed no token")
    }

    /// Returns what the load generator needs to call it with a header.
    ///
    /// # Errors
    /// The server has ended.
    pub(crate) fn service(&self, name: &str, value: &str) -> anyhow::Result<Service> {
        let process = self.process.id().context("the server has ended")?;
        let credential = Some((name.to_owned(), value.to_owned()));
        Ok(Service { address: self.address, process, credential })
    }
}
