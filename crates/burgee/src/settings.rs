//! Settings: flags, then `BURGEE_*` variables, then a TOML file, then defaults.

use std::fmt::Display;
use std::fs;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use burgee_core::limits::Limits;
use burgee_management::oidc::IssuerSettings;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Where `burgee dev` listens unless told otherwise.
pub const DEV_LISTEN: &str = "127.0.0.1:7777";
/// Where `burgee serve` listens for management unless told otherwise.
pub const MANAGEMENT_LISTEN: &str = "127.0.0.1:7778";
/// Where `burgee serve` listens for evaluation unless told otherwise.
pub const EVALUATION_LISTEN: &str = "127.0.0.1:7779";
/// Where `burgee dev` keeps its data unless told otherwise.
pub const DATA_DIR: &str = "burgee-data";
/// What `max-message-bytes` may be: the smallest holds any value of a flag, the largest bounds what one request takes of memory.
pub const MESSAGE_BYTES: RangeInclusive<u32> = 256 * 1024..=64 * 1024 * 1024;
/// What `max-deadline-ms` may be: below, a slow database fails most calls; an hour is as good as no limit.
pub const DEADLINE_MS: RangeInclusive<u64> = 100..=3_600_000;

/// The settings of a server, as given: a field that is not given has its default.
///
/// The same fields are flags (`--database-url`), variables (`BURGEE_DATABASE_URL`) and keys of the file
/// (`database-url = "…"`).
#[derive(Clone, Debug, Default, clap::Args, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Given {
    /// The database: `postgres://USER:PASSWORD@HOST/NAME` or `sqlite:PATH`.
    #[arg(long, env = "BURGEE_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// A replica of the database for the reads of the evaluation service [default: the database].
    #[arg(long, env = "BURGEE_READ_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub read_database_url: Option<String>,
    /// Connections for reads [default: 10].
    #[arg(long, env = "BURGEE_READ_CONNECTIONS", value_name = "N")]
    pub read_connections: Option<u32>,
    /// Connections for writes of configuration, and as many for identities [default: 4].
    #[arg(long, env = "BURGEE_WRITE_CONNECTIONS", value_name = "N")]
    pub write_connections: Option<u32>,

    /// Asks the database this often for what notifications may have missed [default: 1000].
    #[arg(long, env = "BURGEE_POLL_INTERVAL_MS", value_name = "MS")]
    pub poll_interval_ms: Option<u64>,
    /// How long ago a write of an identity may have been answered by another replica without being seen; 0 asks the database
    /// for every identity (SQLite always does) [default: 1000].
    #[arg(long, env = "BURGEE_IDENTITY_STALENESS_MS", value_name = "MS")]
    pub identity_staleness_ms: Option<u64>,
    /// Reports evaluation as not ready when the database has not been reached for this long [default: never].
    #[arg(long, env = "BURGEE_UNREADY_WHEN_STALE_FOR_MS", value_name = "MS")]
    pub unready_when_stale_for_ms: Option<u64>,
    /// Keeps copies of the environments in use in this folder, from which evaluation starts while the database is away; each
    /// replica needs its own [default: none].
    #[arg(long, env = "BURGEE_SNAPSHOT_DIR", value_name = "DIR")]
    pub snapshot_dir: Option<PathBuf>,
    /// Does not start from copies whose news are older: a key that was revoked since opens its environment [default: 86400].
    #[arg(long, env = "BURGEE_SNAPSHOT_MAX_AGE_SECONDS", value_name = "SECONDS")]
    pub snapshot_max_age_seconds: Option<u64>,
    /// Concurrent calls and streams of one connection [default: 10000].
    #[arg(long, env = "BURGEE_STREAMS_PER_CONNECTION", value_name = "N")]
    pub streams_per_connection: Option<u32>,
    /// Streams at once with one environment key [default: 50000].
    #[arg(long, env = "BURGEE_STREAMS_PER_KEY", value_name = "N")]
    pub streams_per_key: Option<u32>,
    /// Connections at once, on all addresses together; further ones are closed at once [default: 10000].
    #[arg(long, env = "BURGEE_MAX_CONNECTIONS", value_name = "N")]
    pub max_connections: Option<u32>,
    /// Asks clients to connect again once a connection is this old; streams that are open go on [default: never].
    #[arg(long, env = "BURGEE_MAX_CONNECTION_AGE_SECONDS", value_name = "SECONDS")]
    pub max_connection_age_seconds: Option<NonZeroU64>,
    /// Bytes of the largest request, 262144 to 67108864 [default: 4194304].
    #[arg(long, env = "BURGEE_MAX_MESSAGE_BYTES", value_name = "BYTES")]
    pub max_message_bytes: Option<u32>,
    /// The longest that a call without a stream may take, 100 to 3600000, and the deadline of callers who set none
    /// [default: 60000].
    #[arg(long, env = "BURGEE_MAX_DEADLINE_MS", value_name = "MS")]
    pub max_deadline_ms: Option<u64>,
    /// Requests of evaluation a second with one environment key; opening a stream is one [default: any number].
    #[arg(long, env = "BURGEE_REQUESTS_PER_KEY_PER_SECOND", value_name = "N")]
    pub requests_per_key_per_second: Option<NonZeroU32>,
    /// Requests of evaluation at once with one environment key [default: as many as a second].
    #[arg(long, env = "BURGEE_REQUESTS_PER_KEY_BURST", value_name = "N")]
    pub requests_per_key_burst: Option<NonZeroU32>,
    /// Requests of management a second with one token [default: any number].
    #[arg(long, env = "BURGEE_REQUESTS_PER_TOKEN_PER_SECOND", value_name = "N")]
    pub requests_per_token_per_second: Option<NonZeroU32>,
    /// Requests of management at once with one token [default: as many as a second].
    #[arg(long, env = "BURGEE_REQUESTS_PER_TOKEN_BURST", value_name = "N")]
    pub requests_per_token_burst: Option<NonZeroU32>,

    /// The server's certificate chain, PEM; with `--tls-key`, serves TLS. The files of TLS are read again when they change,
    /// and on SIGHUP.
    #[arg(long, env = "BURGEE_TLS_CERTIFICATE", value_name = "FILE")]
    pub tls_certificate: Option<PathBuf>,
    /// The certificate's private key, PEM.
    #[arg(long, env = "BURGEE_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Accepts only clients with a certificate of one of these authorities, PEM.
    #[arg(long, env = "BURGEE_TLS_CLIENT_CA", value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,

    /// Waits this long between reporting "not ready" and ending streams [default: 0].
    #[arg(long, env = "BURGEE_SHUTDOWN_DELAY_MS", value_name = "MS")]
    pub shutdown_delay_ms: Option<u64>,
    /// Exits this long after streams were ended, whatever is still open [default: 10000].
    #[arg(long, env = "BURGEE_SHUTDOWN_TIMEOUT_MS", value_name = "MS")]
    pub shutdown_timeout_ms: Option<u64>,

    /// How logs are written: `text` or `json` [default: text].
    #[arg(long, env = "BURGEE_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// What is logged, such as `info` or `burgee_evaluation=debug,warn` [default: info].
    #[arg(long, env = "BURGEE_LOG", value_name = "FILTER")]
    pub log: Option<String>,

    /// Streams of changes at once with one token [default: 100].
    #[arg(long, env = "BURGEE_STREAMS_PER_TOKEN", value_name = "N")]
    pub streams_per_token: Option<u32>,
    /// Sign-ins of one address that may fail in a minute, before it has to wait; 0 lets any number fail [default: 60].
    #[arg(long, env = "BURGEE_SIGN_IN_FAILURES_PER_MINUTE", value_name = "N")]
    pub sign_in_failures_per_minute: Option<u32>,
    /// Networks of proxies that are believed when they say in `x-forwarded-for` for whom they call, such as `10.0.0.0/8`
    /// [default: none].
    #[arg(long, env = "BURGEE_TRUSTED_PROXIES", value_name = "NETWORK", value_delimiter = ',')]
    pub trusted_proxies: Option<Vec<IpNet>>,
    /// Forgets changes in the change logs that are older; the newest of each log stays [default: never].
    #[arg(long, env = "BURGEE_CHANGE_RETENTION_DAYS", value_name = "DAYS")]
    pub change_retention_days: Option<NonZeroU32>,

    /// Whose OpenID Connect tokens are accepted; only in the file, as `[[server.issuers]]`.
    #[arg(skip)]
    pub issuers: Option<Vec<IssuerSettings>>,
    /// The limits of what is stored; only in the file.
    #[arg(skip)]
    pub limits: Option<Limits>,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
}

/// The addresses of `burgee serve`, as given.
#[derive(Clone, Debug, Default, clap::Args, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Listen {
    /// Serves management here; `off` does not serve it [default: 127.0.0.1:7778].
    #[arg(long, env = "BURGEE_MANAGEMENT", value_name = "ADDR")]
    pub management: Option<String>,
    /// Serves evaluation here; `off` does not serve it [default: 127.0.0.1:7779].
    #[arg(long, env = "BURGEE_EVALUATION", value_name = "ADDR")]
    pub evaluation: Option<String>,
    /// Serves metrics for Prometheus here, over plain HTTP at `/metrics`; `off` does not [default: off].
    #[arg(long, env = "BURGEE_METRICS", value_name = "ADDR")]
    pub metrics: Option<String>,
}

/// What the file holds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    management: Option<String>,
    evaluation: Option<String>,
    metrics: Option<String>,
    #[serde(default)]
    server: Given,
}

/// All settings of a server, each with its value.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Settings {
    /// Where management is served, if it is.
    pub management: Option<SocketAddr>,
    /// Where evaluation is served, if it is.
    pub evaluation: Option<SocketAddr>,
    /// Where metrics are served, if they are.
    pub metrics: Option<SocketAddr>,
    /// The rest.
    pub server: ServerSettings,
}

/// The settings that do not depend on the command.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "see the fields of `Given`")]
pub struct ServerSettings {
    pub database_url: String,
    pub read_database_url: Option<String>,
    pub read_connections: u32,
    pub write_connections: u32,
    pub poll_interval_ms: u64,
    pub identity_staleness_ms: u64,
    pub unready_when_stale_for_ms: Option<u64>,
    pub snapshot_dir: Option<PathBuf>,
    pub snapshot_max_age_seconds: u64,
    pub streams_per_connection: u32,
    pub streams_per_key: u32,
    pub max_connections: u32,
    pub max_connection_age_seconds: Option<NonZeroU64>,
    pub max_message_bytes: u32,
    pub max_deadline_ms: u64,
    pub requests_per_key_per_second: Option<NonZeroU32>,
    pub requests_per_key_burst: Option<NonZeroU32>,
    pub requests_per_token_per_second: Option<NonZeroU32>,
    pub requests_per_token_burst: Option<NonZeroU32>,
    pub tls_certificate: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    pub tls_client_ca: Option<PathBuf>,
    pub shutdown_delay_ms: u64,
    pub shutdown_timeout_ms: u64,
    pub log_format: LogFormat,
    pub log: String,
    pub streams_per_token: u32,
    pub sign_in_failures_per_minute: u32,
    pub trusted_proxies: Vec<IpNet>,
    pub change_retention_days: Option<NonZeroU32>,
    pub issuers: Vec<IssuerSettings>,
    pub limits: Limits,
}

impl Settings {
    /// Puts together what was given on the command line or in variables, and in the file.
    ///
    /// # Errors
    /// The file cannot be read, an address does not parse, or settings contradict each other.
    pub fn resolve(listen: Listen, given: Given, file: Option<&Path>) -> anyhow::Result<Self> {
        let file = file.map(read).transpose()?.unwrap_or_default();
        let management = address(listen.management.or(file.management), "management", MANAGEMENT_LISTEN)?;
        let evaluation = address(listen.evaluation.or(file.evaluation), "evaluation", EVALUATION_LISTEN)?;
        let metrics = address(listen.metrics.or(file.metrics), "metrics", "off")?;
        if management.is_none() && evaluation.is_none() {
            bail!("management and evaluation are both `off`: there is nothing to serve");
        }
        let server = ServerSettings::from(given.or(file.server));
        server.check()?;
        Ok(Self { management, evaluation, metrics, server })
    }

    /// Returns the settings as TOML, without secrets.
    ///
    /// # Errors
    /// Never in practice: all values have a form in TOML.
    pub fn to_toml(&self) -> anyhow::Result<String> {
        let mut shown = self.clone();
        shown.server.database_url = without_secret(&shown.server.database_url);
        shown.server.read_database_url = shown.server.read_database_url.as_deref().map(without_secret);
        toml::to_string(&shown).context("could not write the settings")
    }
}

fn read(path: &Path) -> anyhow::Result<File> {
    let text = fs::read_to_string(path).with_context(|| format!("could not read `{}`", path.display()))?;
    toml::from_str(&text).with_context(|| format!("could not understand `{}`", path.display()))
}

fn address(given: Option<String>, name: &str, default: &str) -> anyhow::Result<Option<SocketAddr>> {
    let text = given.unwrap_or_else(|| default.to_owned());
    if text == "off" {
        return Ok(None);
    }
    let address =
        text.parse().with_context(|| format!("`{name}` must be HOST:PORT or `off`, is `{text}`"))?;
    Ok(Some(address))
}

/// Hides the password, and every parameter's value, of a database address.
fn without_secret(address: &str) -> String {
    let Ok(mut url) = url::Url::parse(address) else { return "(hidden: not an address)".to_owned() };
    if url.password().is_some() {
        // An address that cannot have a password had none.
        let _ = url.set_password(Some("hidden"));
    }
    let names: Vec<String> = url.query_pairs().map(|(name, _)| name.into_owned()).collect();
    if !names.is_empty() {
        url.query_pairs_mut().clear().extend_pairs(names.iter().map(|name| (name, "hidden")));
    }
    url.to_string()
}

impl Given {
    /// Takes from `lower` what is not given here.
    fn or(self, lower: Self) -> Self {
        Self {
            database_url: self.database_url.or(lower.database_url),
            read_database_url: self.read_database_url.or(lower.read_database_url),
            read_connections: self.read_connections.or(lower.read_connections),
            write_connections: self.write_connections.or(lower.write_connections),
            poll_interval_ms: self.poll_interval_ms.or(lower.poll_interval_ms),
            identity_staleness_ms: self.identity_staleness_ms.or(lower.identity_staleness_ms),
            unready_when_stale_for_ms: self.unready_when_stale_for_ms.or(lower.unready_when_stale_for_ms),
            snapshot_dir: self.snapshot_dir.or(lower.snapshot_dir),
            snapshot_max_age_seconds: self.snapshot_max_age_seconds.or(lower.snapshot_max_age_seconds),
            streams_per_connection: self.streams_per_connection.or(lower.streams_per_connection),
            streams_per_key: self.streams_per_key.or(lower.streams_per_key),
            max_connections: self.max_connections.or(lower.max_connections),
            max_connection_age_seconds: self.max_connection_age_seconds.or(lower.max_connection_age_seconds),
            max_message_bytes: self.max_message_bytes.or(lower.max_message_bytes),
            max_deadline_ms: self.max_deadline_ms.or(lower.max_deadline_ms),
            requests_per_key_per_second: self
                .requests_per_key_per_second
                .or(lower.requests_per_key_per_second),
            requests_per_key_burst: self.requests_per_key_burst.or(lower.requests_per_key_burst),
            requests_per_token_per_second: self
                .requests_per_token_per_second
                .or(lower.requests_per_token_per_second),
            requests_per_token_burst: self.requests_per_token_burst.or(lower.requests_per_token_burst),
            tls_certificate: self.tls_certificate.or(lower.tls_certificate),
            tls_key: self.tls_key.or(lower.tls_key),
            tls_client_ca: self.tls_client_ca.or(lower.tls_client_ca),
            shutdown_delay_ms: self.shutdown_delay_ms.or(lower.shutdown_delay_ms),
            shutdown_timeout_ms: self.shutdown_timeout_ms.or(lower.shutdown_timeout_ms),
            log_format: self.log_format.or(lower.log_format),
            log: self.log.or(lower.log),
            streams_per_token: self.streams_per_token.or(lower.streams_per_token),
            sign_in_failures_per_minute: self
                .sign_in_failures_per_minute
                .or(lower.sign_in_failures_per_minute),
            trusted_proxies: self.trusted_proxies.or(lower.trusted_proxies),
            change_retention_days: self.change_retention_days.or(lower.change_retention_days),
            issuers: self.issuers.or(lower.issuers),
            limits: self.limits.or(lower.limits),
        }
    }
}

impl From<Given> for ServerSettings {
    fn from(given: Given) -> Self {
        Self {
            database_url: given.database_url.unwrap_or_else(|| format!("sqlite:{DATA_DIR}/burgee.db")),
            read_database_url: given.read_database_url,
            read_connections: given.read_connections.unwrap_or(10),
            write_connections: given.write_connections.unwrap_or(4),
            poll_interval_ms: given.poll_interval_ms.unwrap_or(1_000),
            identity_staleness_ms: given.identity_staleness_ms.unwrap_or(1_000),
            unready_when_stale_for_ms: given.unready_when_stale_for_ms,
            snapshot_dir: given.snapshot_dir,
            snapshot_max_age_seconds: given.snapshot_max_age_seconds.unwrap_or(24 * 60 * 60),
            streams_per_connection: given.streams_per_connection.unwrap_or(10_000),
            streams_per_key: given.streams_per_key.unwrap_or(50_000),
            max_connections: given.max_connections.unwrap_or(10_000),
            max_connection_age_seconds: given.max_connection_age_seconds,
            max_message_bytes: given.max_message_bytes.unwrap_or(4 * 1024 * 1024),
            max_deadline_ms: given.max_deadline_ms.unwrap_or(60_000),
            requests_per_key_per_second: given.requests_per_key_per_second,
            requests_per_key_burst: given.requests_per_key_burst,
            requests_per_token_per_second: given.requests_per_token_per_second,
            requests_per_token_burst: given.requests_per_token_burst,
            tls_certificate: given.tls_certificate,
            tls_key: given.tls_key,
            tls_client_ca: given.tls_client_ca,
            shutdown_delay_ms: given.shutdown_delay_ms.unwrap_or(0),
            shutdown_timeout_ms: given.shutdown_timeout_ms.unwrap_or(10_000),
            log_format: given.log_format.unwrap_or_default(),
            log: given.log.unwrap_or_else(|| "info".to_owned()),
            streams_per_token: given.streams_per_token.unwrap_or(100),
            sign_in_failures_per_minute: given.sign_in_failures_per_minute.unwrap_or(60),
            trusted_proxies: given.trusted_proxies.unwrap_or_default(),
            change_retention_days: given.change_retention_days,
            issuers: given.issuers.unwrap_or_default(),
            limits: given.limits.unwrap_or_default(),
        }
    }
}

impl ServerSettings {
    fn check(&self) -> anyhow::Result<()> {
        let positive = [
            ("read-connections", u64::from(self.read_connections)),
            ("write-connections", u64::from(self.write_connections)),
            ("poll-interval-ms", self.poll_interval_ms),
            ("snapshot-max-age-seconds", self.snapshot_max_age_seconds),
            ("streams-per-connection", u64::from(self.streams_per_connection)),
            ("streams-per-key", u64::from(self.streams_per_key)),
            ("streams-per-token", u64::from(self.streams_per_token)),
            ("max-connections", u64::from(self.max_connections)),
            ("shutdown-timeout-ms", self.shutdown_timeout_ms),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            bail!("`{name}` must be at least 1");
        }
        check_range("max-message-bytes", self.max_message_bytes, &MESSAGE_BYTES)?;
        check_range("max-deadline-ms", self.max_deadline_ms, &DEADLINE_MS)?;
        if self.requests_per_key_burst.is_some() && self.requests_per_key_per_second.is_none() {
            bail!("`requests-per-key-burst` needs `requests-per-key-per-second`");
        }
        if self.requests_per_token_burst.is_some() && self.requests_per_token_per_second.is_none() {
            bail!("`requests-per-token-burst` needs `requests-per-token-per-second`");
        }
        IssuerSettings::validate_all(&self.issuers).context("`issuers` break a rule")?;
        if self.tls_certificate.is_some() != self.tls_key.is_some() {
            bail!("`tls-certificate` and `tls-key` must be given together");
        }
        if self.tls_client_ca.is_some() && self.tls_key.is_none() {
            bail!("`tls-client-ca` needs `tls-certificate` and `tls-key`");
        }
        Ok(())
    }

    /// Bytes of the largest request.
    #[must_use]
    pub fn max_message_bytes(&self) -> usize {
        usize::try_from(self.max_message_bytes).unwrap_or(usize::MAX)
    }

    /// The longest that a call without a stream may take.
    #[must_use]
    pub fn max_deadline(&self) -> Duration {
        Duration::from_millis(self.max_deadline_ms)
    }

    /// Returns what tells the database from others: its address without secrets. A replica for reads holds the same.
    #[must_use]
    pub fn database(&self) -> String {
        let Ok(mut url) = url::Url::parse(&self.database_url) else { return self.database_url.clone() };
        url.set_query(None);
        // An address that cannot have a user or a password has none.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.to_string()
    }

    /// How long to wait between reporting "not ready" and ending streams.
    #[must_use]
    pub fn shutdown_delay(&self) -> Duration {
        Duration::from_millis(self.shutdown_delay_ms)
    }

    /// How long calls may go on after streams were ended.
    #[must_use]
    pub fn shutdown_timeout(&self) -> Duration {
        Duration::from_millis(self.shutdown_timeout_ms)
    }
}

fn check_range<T: PartialOrd + Display>(
    name: &str,
    value: T,
    range: &RangeInclusive<T>,
) -> anyhow::Result<()> {
    if !range.contains(&value) {
        bail!("`{name}` must be {} to {}, is {value}", range.start(), range.end());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(file: &str, given: Given) -> anyhow::Result<Settings> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("burgee.toml");
        fs::write(&path, file).unwrap();
        Settings::resolve(Listen::default(), given, Some(&path))
    }

    #[test]
    fn what_is_given_wins_over_the_file_and_the_file_over_the_default() {
        let file = "management = \"off\"\n[server]\npoll-interval-ms = 5\nread-connections = 7";
        let given = Given { poll_interval_ms: Some(9), ..Given::default() };
        let settings = resolve(file, given).unwrap();
        assert_eq!(settings.management, None);
        assert_eq!(settings.evaluation, Some(EVALUATION_LISTEN.parse().unwrap()));
        assert_eq!(settings.server.poll_interval_ms, 9);
        assert_eq!(settings.server.read_connections, 7);
        assert_eq!(settings.server.write_connections, 4);
    }

    #[test]
    fn limits_are_set_in_the_file() {
        let settings = resolve("[server.limits]\nfeatures_per_project = 7", Given::default()).unwrap();
        assert_eq!(settings.server.limits, Limits { features_per_project: 7, ..Limits::default() });
        assert!(settings.to_toml().unwrap().contains("features_per_project = 7"));
        assert!(resolve("[server.limits]\nfeatures = 7", Given::default()).is_err());
    }

    #[test]
    fn limits_of_requests_are_shown_when_they_are_set() {
        let file = "metrics = \"127.0.0.1:9090\"\n[server]\nrequests-per-key-per-second = 50\n\
                    requests-per-token-per-second = 5\nrequests-per-token-burst = 9";
        let shown = resolve(file, Given::default()).unwrap().to_toml().unwrap();
        for line in [
            "metrics = \"127.0.0.1:9090\"",
            "requests-per-key-per-second = 50",
            "requests-per-token-per-second = 5",
            "requests-per-token-burst = 9",
            "streams-per-key = 50000",
            "max-connections = 10000",
        ] {
            assert!(shown.contains(line), "{line} in {shown}");
        }
        assert!(!resolve("", Given::default()).unwrap().to_toml().unwrap().contains("requests-per"));
    }

    #[test]
    fn a_setting_with_a_range_keeps_it() {
        let check = |line: &str, error: &str| {
            let error = if error.is_empty() { None } else { Some(error.to_owned()) };
            let resolved = resolve(&format!("[server]\n{line}"), Given::default());
            assert_eq!(resolved.err().map(|error| error.to_string()), error, "{line}");
        };
        check("max-message-bytes = 262144", "");
        check("max-message-bytes = 67108864", "");
        check("max-message-bytes = 262143", "`max-message-bytes` must be 262144 to 67108864, is 262143");
        check("max-message-bytes = 67108865", "`max-message-bytes` must be 262144 to 67108864, is 67108865");
        check("max-deadline-ms = 100", "");
        check("max-deadline-ms = 3600000", "");
        check("max-deadline-ms = 99", "`max-deadline-ms` must be 100 to 3600000, is 99");
        check("max-deadline-ms = 3600001", "`max-deadline-ms` must be 100 to 3600000, is 3600001");
    }

    #[test]
    fn an_unknown_key_of_the_file_is_refused() {
        assert!(resolve("[server]\npoll-intervall-ms = 5", Given::default()).is_err());
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        assert!(resolve("management = \"off\"\nevaluation = \"off\"", Given::default()).is_err());
        assert!(resolve("[server]\ntls-key = \"k.pem\"", Given::default()).is_err());
        assert!(resolve("[server]\nread-connections = 0", Given::default()).is_err());
        assert!(resolve("[server]\nmax-connections = 0", Given::default()).is_err());
        assert!(resolve("[server]\nrequests-per-key-per-second = 0", Given::default()).is_err());
        assert!(resolve("[server]\nrequests-per-key-burst = 5", Given::default()).is_err());
        assert!(resolve("[server]\nrequests-per-token-burst = 5", Given::default()).is_err());
        assert!(resolve("evaluation = \"nowhere\"", Given::default()).is_err());
        assert!(resolve("metrics = \"nowhere\"", Given::default()).is_err());
    }

    #[test]
    fn a_database_is_the_same_with_another_password() {
        let database = |url: &str| {
            ServerSettings::from(Given { database_url: Some(url.to_owned()), ..Given::default() }).database()
        };
        let expected = "postgres://db/burgee";
        assert_eq!(database("postgres://ada:s3cret@db/burgee?sslpassword=s3cret"), expected);
        assert_eq!(database("postgres://grace@db/burgee"), expected);
        assert_ne!(database("postgres://db/other"), expected);
    }

    #[test]
    fn secrets_are_hidden() {
        let given = Given {
            database_url: Some("postgres://ada:s3cret@db/burgee?sslpassword=s3cret".into()),
            ..Given::default()
        };
        let shown = resolve("", given).unwrap().to_toml().unwrap();
        assert!(!shown.contains("s3cret") && shown.contains("ada"), "{shown}");
    }
}
