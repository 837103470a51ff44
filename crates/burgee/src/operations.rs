//! `burgee migrate`, `burgee health` and `burgee config`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use chrono::Utc;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::client::ConnectionArgs;
use crate::client::error::failed;
use crate::dev::make_token;
use crate::logging;
use crate::output::print;
use crate::serve::{ServeArgs, open};

/// How long `burgee health` waits for an answer.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes a new token of the administrator and prints it: for those who lost theirs and can reach the database.
///
/// # Errors
/// The database cannot be used, or no server has been started over it yet.
pub async fn token(args: ServeArgs) -> anyhow::Result<()> {
    let settings = args.settings()?.server;
    logging::start(settings.log_format, &settings.log)?;
    let store = open(&settings)?;
    store.check_schema().await.context("the database cannot be used")?;
    let now = Utc::now();
    let token = make_token(&store, &now.timestamp_micros().to_string(), now).await;
    print(&format!("administrator token, shown only now: {}", token.context("could not make a token")?));
    store.close().await;
    Ok(())
}

/// Brings the tables up to date.
///
/// # Errors
/// The database cannot be used.
pub async fn migrate(args: ServeArgs) -> anyhow::Result<()> {
    let settings = args.settings()?.server;
    logging::start(settings.log_format, &settings.log)?;
    let store = open(&settings)?;
    store.migrate().await.context("the tables could not be brought up to date")?;
    print("the database is up to date");
    store.close().await;
    Ok(())
}

/// Prints the settings in force, without secrets.
///
/// # Errors
/// The settings are wrong.
pub fn config(args: ServeArgs) -> anyhow::Result<()> {
    print(args.settings()?.to_toml()?.trim_end());
    Ok(())
}

/// The arguments of `burgee health`.
#[derive(Debug, clap::Args)]
pub struct HealthArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    /// The service to ask for, such as `burgee.evaluation.v1.EvaluationService`; empty for the server as a whole.
    #[arg(long, value_name = "NAME", default_value = "")]
    service: String,
}

/// Asks a server whether it is ready: exits with 0 if so, else with 1.
///
/// # Errors
/// The server cannot be reached or does not answer.
pub async fn health(args: HealthArgs) -> anyhow::Result<ExitCode> {
    let answer = async {
        let channel = args.connection.connect().await?;
        let request = HealthCheckRequest { service: args.service.clone() };
        let response = HealthClient::new(channel).check(request).await;
        anyhow::Ok(response.map_err(failed("the server did not answer"))?.into_inner().status())
    };
    let status =
        tokio::time::timeout(HEALTH_TIMEOUT, answer).await.context("the server did not answer in time")??;
    print(status.as_str_name());
    Ok(if status == ServingStatus::Serving { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
