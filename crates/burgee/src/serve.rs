//! `burgee serve` and `burgee dev`.

use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use burgee_store::{OpenError, Store, StoreOptions};
use chrono::Utc;
use tracing::warn;

use crate::output::print;
use crate::server::{Server, stop_signal};
use crate::settings::{DATA_DIR, DEV_LISTEN, Given, Listen, ServerSettings, Settings};
use crate::{dev, logging};

/// How long the database is waited for at the start when there may be copies to start from.
const SCHEMA_PATIENCE: Duration = Duration::from_secs(1);
/// How often it is looked for then.
const SCHEMA_INTERVAL: Duration = Duration::from_secs(1);

/// The arguments of `burgee serve`.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    #[command(flatten)]
    listen: Listen,
    #[command(flatten)]
    given: Given,
    /// A TOML file with settings.
    #[arg(long, env = "BURGEE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ServeArgs {
    /// Puts together flags, variables, file and defaults.
    ///
    /// # Errors
    /// See [`Settings::resolve`].
    pub fn settings(self) -> anyhow::Result<Settings> {
        Settings::resolve(self.listen, self.given, self.config.as_deref())
    }
}

/// The arguments of `burgee dev`.
#[derive(Debug, clap::Args)]
pub struct DevArgs {
    /// Serves everything here.
    #[arg(long, env = "BURGEE_LISTEN", value_name = "ADDR", default_value = DEV_LISTEN)]
    listen: SocketAddr,
    /// Keeps the data here.
    #[arg(long, env = "BURGEE_DATA_DIR", value_name = "DIR", default_value = DATA_DIR)]
    data_dir: PathBuf,
    /// Makes and prints a new administrator token and new environment keys; the former ones go on working.
    #[arg(long)]
    new_credentials: bool,
    /// What is logged, such as `info` or `burgee_evaluation=debug,warn`.
    #[arg(long, env = "BURGEE_LOG", value_name = "FILTER", default_value = "warn")]
    log: String,
}

/// Serves over the database of the settings until a signal says to stop.
///
/// # Errors
/// The settings are wrong, the database cannot be used, or an address cannot be bound.
pub async fn serve(args: ServeArgs) -> anyhow::Result<()> {
    let settings = args.settings()?;
    logging::start(settings.server.log_format, &settings.server.log)?;
    let store = open(&settings.server)?;
    let may_wait = settings.evaluation.is_some() && settings.server.snapshot_dir.is_some();
    let is_checked = check_schema(&store, may_wait).await?;
    let stop = stop_signal()?;
    let mut server = Server::bind(store.clone(), settings.management, settings.evaluation, settings.server)?;
    let metrics = settings.metrics.map(|address| server.serve_metrics(address)).transpose()?;
    for (service, address) in
        [("management", server.management()), ("evaluation", server.evaluation()), ("metrics", metrics)]
    {
        if let Some(address) = address {
            print(&format!("{service} on {address}"));
        }
    }
    let serves_management = server.management().is_some();
    if serves_management && is_checked {
        make_administrator(&store).await?;
    }
    print("serving");
    if is_checked {
        return server.run(stop).await;
    }
    let mut refusal = None;
    let stop = async {
        tokio::select! {
            () = stop => {}
            error = refused(&store, serves_management) => refusal = Some(error),
        }
    };
    server.run(stop).await?;
    refusal.map_or(Ok(()), Err)
}

/// Makes the first user, if there is none, and prints its token.
async fn make_administrator(store: &Store) -> anyhow::Result<()> {
    let token = burgee_management::bootstrap(store, Utc::now()).await;
    if let Some(token) = token.context("could not make the administrator")? {
        print(&format!("administrator token, shown only now: {token}"));
    }
    Ok(())
}

/// Checks the tables. Says whether that was possible; if it need not be, the database is not waited for.
async fn check_schema(store: &Store, may_be_away: bool) -> anyhow::Result<bool> {
    let check = store.check_schema();
    if !may_be_away {
        return check.await.map(|()| true).context("the database cannot be used");
    }
    match tokio::time::timeout(SCHEMA_PATIENCE, check).await {
        Ok(Ok(())) => Ok(true),
        Ok(Err(OpenError::Database(error))) => {
            warn!("starting from copies on disk, because the database cannot be reached: {error}");
            Ok(false)
        }
        Ok(Err(error)) => Err(error).context("the database cannot be used"),
        Err(_) => {
            warn!("starting from copies on disk, because the database does not answer");
            Ok(false)
        }
    }
}

/// Does what a start does with the database as soon as it can be reached; returns only if it cannot be used.
async fn refused(store: &Store, serves_management: bool) -> anyhow::Error {
    loop {
        match store.check_schema().await {
            Ok(()) => break,
            Err(OpenError::Database(_)) => tokio::time::sleep(SCHEMA_INTERVAL).await,
            Err(error) => return anyhow::Error::new(error).context("the database cannot be used"),
        }
    }
    if serves_management && let Err(error) = make_administrator(store).await {
        return error;
    }
    std::future::pending().await
}

/// Serves everything on one address, over SQLite.
///
/// # Errors
/// The data cannot be used, or the address cannot be bound.
pub async fn dev(args: DevArgs) -> anyhow::Result<()> {
    let DevArgs { listen, data_dir, new_credentials, log } = args;
    // Traits of identities are nobody else's business.
    let created = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&data_dir);
    created.with_context(|| format!("could not create `{}`", data_dir.display()))?;
    let Some(folder) = data_dir.to_str() else { bail!("`{}` must be UTF-8", data_dir.display()) };
    let given = Given {
        database_url: Some(format!("sqlite:{folder}/burgee.db")),
        log: Some(log),
        ..Given::default()
    };
    let settings = ServerSettings::from(given);
    logging::start(settings.log_format, &settings.log)?;

    let store = open(&settings)?;
    store.migrate().await.context("the tables could not be made")?;
    let stop = stop_signal()?;
    let server = Server::bind(store.clone(), Some(listen), Some(listen), settings)?;
    let address = server.management().unwrap_or(listen);
    let credentials = dev::prepare(&store, new_credentials).await?;
    print(&dev::welcome(address, &data_dir, credentials.as_ref()));
    server.run(stop).await
}

/// Opens the database of the settings.
///
/// # Errors
/// The address is wrong, or the database cannot be reached.
pub fn open(settings: &ServerSettings) -> anyhow::Result<Store> {
    let options = StoreOptions {
        read_database_url: settings.read_database_url.clone(),
        read_connections: settings.read_connections,
        write_connections: settings.write_connections,
        identity_connections: settings.write_connections,
        limits: settings.limits,
        ..StoreOptions::default()
    };
    Store::open(&settings.database_url, &options).context("could not open the database")
}
