//! The keys of an issuer: fetched when they are first needed, refreshed while they are used, and never asked for too often.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use burgee_core::{Error, Result};
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::DecodingKey;
use reqwest::header::{ACCEPT, CACHE_CONTROL, HeaderMap};
use reqwest::{Client, StatusCode, redirect};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};
use url::Url;

use super::issuer::{Algorithm, IssuerSettings, SettingsError, is_local, parse_address};

/// How long a fetch of an issuer's keys may take in all. Shorter than [`REFETCH_INTERVAL`], so that those who wait for a
/// fetch do not start the next.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer of an issuer.
pub const KEYS_BYTES: usize = 1024 * 1024;
/// How long fetched keys are used without asking again, unless the issuer says shorter.
pub const LONGEST_CACHE: TimeDelta = TimeDelta::minutes(10);
/// How long fetched keys are used without asking again, however short the issuer says.
pub const SHORTEST_CACHE: TimeDelta = TimeDelta::seconds(60);
/// The least time between two fetches from an issuer, whatever tokens come in.
pub const REFETCH_INTERVAL: TimeDelta = TimeDelta::seconds(10);
/// How long an issuer may go unasked before a call waits for its keys. Until then, calls use the keys that are held while a
/// fetch is under way. As long as tokens commonly live: somebody holds a token of before the issuer withdrew a key about as long.
pub const LONGEST_UNASKED: TimeDelta = TimeDelta::hours(1);
/// How long fetched keys are used while the issuer cannot be reached. A day gives people time to mend it; a key that was
/// stolen, and withdrawn during the outage, is good for no longer.
pub const STALE_KEYS: TimeDelta = TimeDelta::hours(24);
/// Bits of an RSA key: shorter ones can be broken, longer ones cost more than they are worth.
pub const RSA_KEY_BITS: RangeInclusive<usize> = 2048..=4096;

/// Where keys are under an issuer, unless its settings say.
const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";
/// Bytes of a coordinate of P-256, and of a key of Ed25519.
const P256_BYTES: usize = 32;
/// Bytes of a coordinate of P-384.
const P384_BYTES: usize = 48;

/// What a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// A key that verifies signatures.
#[derive(Debug)]
pub(super) struct Key {
    /// The issuer's name of it.
    id: Option<String>,
    kind: Kind,
    /// The only algorithm that the issuer uses it for, if it says.
    algorithm: Option<String>,
    key: DecodingKey,
}

impl Key {
    /// Tells whether a token that was signed with the algorithm may have been signed with this key.
    fn fits(&self, algorithm: Algorithm) -> bool {
        let kind = match algorithm {
            Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512 => Kind::Rsa,
            Algorithm::Es256 => Kind::P256,
            Algorithm::Es384 => Kind::P384,
            Algorithm::EdDsa => Kind::Ed25519,
        };
        self.kind == kind && self.algorithm.as_deref().is_none_or(|only| only == algorithm.as_str())
    }

    /// Tells whether the signature is this key's, of the message, by the algorithm.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &str, signature: &str) -> bool {
        let algorithm = match algorithm {
            Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
            Algorithm::Rs384 => jsonwebtoken::Algorithm::RS384,
            Algorithm::Rs512 => jsonwebtoken::Algorithm::RS512,
            Algorithm::Ps256 => jsonwebtoken::Algorithm::PS256,
            Algorithm::Ps384 => jsonwebtoken::Algorithm::PS384,
            Algorithm::Ps512 => jsonwebtoken::Algorithm::PS512,
            Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
            Algorithm::Es384 => jsonwebtoken::Algorithm::ES384,
            Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        };
        // An error is a key or a signature that cannot be read, and so verifies nothing.
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.key, algorithm).unwrap_or(false)
    }
}

/// A key as issuers publish it (RFC 7517): what is needed to verify.
#[derive(Deserialize)]
struct PublishedKey {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl PublishedKey {
    /// Returns the key, unless it is not one that verifies tokens.
    fn into_key(self) -> Option<Key> {
        let other_usage = self.usage.is_some_and(|usage| usage != "sig");
        if other_usage || self.key_ops.is_some_and(|operations| !operations.iter().any(|op| op == "verify")) {
            return None;
        }
        let (kind, key) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => (Kind::Rsa, rsa_key(&self.n?, &self.e?)?),
            ("EC", Some("P-256")) => (Kind::P256, curve_key(&self.x?, &self.y?, P256_BYTES)?),
            ("EC", Some("P-384")) => (Kind::P384, curve_key(&self.x?, &self.y?, P384_BYTES)?),
            ("OKP", Some("Ed25519")) => (Kind::Ed25519, ed25519_key(&self.x?)?),
            // Symmetric keys above all: whoever can verify with one can sign with it.
            _ => return None,
        };
        Some(Key { id: self.kid, kind, algorithm: self.alg, key })
    }
}

fn rsa_key(n: &str, e: &str) -> Option<DecodingKey> {
    let (n, e) = (bytes(n)?, bytes(e)?);
    let first = n.iter().position(|&byte| byte != 0)?;
    let n = &n[first..];
    let bits = n.len() * 8 - n[0].leading_zeros() as usize;
    RSA_KEY_BITS.contains(&bits).then(|| DecodingKey::from_rsa_raw_components(n, &e))
}

fn curve_key(x: &str, y: &str, length_bytes: usize) -> Option<DecodingKey> {
    let right = bytes(x)?.len() == length_bytes && bytes(y)?.len() == length_bytes;
    right.then(|| DecodingKey::from_ec_components(x, y).ok()).flatten()
}

fn ed25519_key(x: &str) -> Option<DecodingKey> {
    let right = bytes(x)?.len() == P256_BYTES;
    right.then(|| DecodingKey::from_ed_components(x).ok()).flatten()
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// The keys that an issuer published at some time.
#[derive(Debug, Default)]
struct KeySet(Vec<Arc<Key>>);

/// Which key a token was signed with.
#[derive(Debug)]
enum Selection {
    /// This one.
    Key(Arc<Key>),
    /// The one that the token names is not there, or no key fits a token that names none.
    Unknown,
    /// The one that the token names cannot have been used with the token's algorithm.
    Misfit,
    /// Several are possible.
    Ambiguous,
}

impl KeySet {
    /// Reads what an issuer answered. Keys that cannot be used are left out, so that one of them does not spoil the others.
    fn parse(text: &[u8]) -> Result<Self, FetchError> {
        #[derive(Deserialize)]
        struct Published {
            keys: Vec<Value>,
        }
        let published: Published = serde_json::from_slice(text).map_err(FetchError::Json)?;
        let keys = published.keys.into_iter().filter_map(|key| PublishedKey::deserialize(key).ok());
        Ok(Self(keys.filter_map(PublishedKey::into_key).map(Arc::new).collect()))
    }

    fn select(&self, id: Option<&str>, algorithm: Algorithm) -> Selection {
        let named = || self.0.iter().filter(|key| id.is_none_or(|id| key.id.as_deref() == Some(id)));
        let mut fitting = named().filter(|key| key.fits(algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Selection::Key(Arc::clone(key)),
            (Some(_), Some(_)) => Selection::Ambiguous,
            (None, _) if id.is_some() && named().next().is_some() => Selection::Misfit,
            (None, _) => Selection::Unknown,
        }
    }
}

/// Why keys could not be fetched.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the issuer did not answer within {} s", FETCH_TIMEOUT.as_secs())]
    Timeout,

    #[error("the issuer could not be reached")]
    Request(#[source] reqwest::Error),

    #[error("`{url}` answered with status {status}")]
    Status { url: Url, status: StatusCode },

    #[error("`{url}` answered with more than {KEYS_BYTES} bytes")]
    TooLarge { url: Url },

    #[error("the answer cannot be read")]
    Json(#[source] serde_json::Error),

    #[error("the discovery document is of another issuer, `{found}`")]
    Issuer { found: String },

    #[error("the discovery document's `jwks_uri` {rule}")]
    Address { rule: String },
}

/// Fetches over the network.
#[derive(Clone, Debug)]
pub(super) struct Fetcher {
    remote: Client,
    local: Client,
}

impl Fetcher {
    /// Creates the clients: one for the world, which insists on TLS, and one for this machine, which needs no proxy.
    pub(super) fn new() -> Result<Self, SettingsError> {
        let builder = || {
            Client::builder()
                .user_agent(concat!("burgee/", env!("CARGO_PKG_VERSION")))
                // Keys come from where the settings say, and from nowhere else.
                .redirect(redirect::Policy::none())
                .timeout(FETCH_TIMEOUT)
        };
        let remote = builder().https_only(true).build().map_err(SettingsError::Client)?;
        let local = builder().no_proxy().tls_built_in_root_certs(false).build();
        Ok(Self { remote, local: local.map_err(SettingsError::Client)? })
    }

    /// Returns an answer, and how long it may be kept.
    async fn get(&self, url: &Url) -> Result<(Vec<u8>, TimeDelta), FetchError> {
        let client = if is_local(url) { &self.local } else { &self.remote };
        let request = client.get(url.clone()).header(ACCEPT, "application/json");
        let mut response = request.send().await.map_err(FetchError::Request)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status { url: url.clone(), status: response.status() });
        }
        let lifetime = lifetime(response.headers());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(FetchError::Request)? {
            if body.len() + chunk.len() > KEYS_BYTES {
                return Err(FetchError::TooLarge { url: url.clone() });
            }
            body.extend_from_slice(&chunk);
        }
        Ok((body, lifetime))
    }
}

/// Returns how long an answer with these headers is kept.
fn lifetime(headers: &HeaderMap) -> TimeDelta {
    let values = headers.get_all(CACHE_CONTROL).into_iter().filter_map(|value| value.to_str().ok());
    let directives = values.flat_map(|value| value.split(',')).map(|directive| {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"').to_owned())
    });
    let directives: BTreeMap<String, String> = directives.collect();
    if directives.contains_key("no-store") || directives.contains_key("no-cache") {
        return SHORTEST_CACHE;
    }
    let max_age = directives.get("max-age").and_then(|seconds| seconds.parse::<u32>().ok());
    max_age.map_or(LONGEST_CACHE, |seconds| {
        TimeDelta::seconds(seconds.into()).clamp(SHORTEST_CACHE, LONGEST_CACHE)
    })
}

/// Keys, and since when they are held.
#[derive(Clone, Debug)]
struct Held {
    keys: Arc<KeySet>,
    fetched_at: DateTime<Utc>,
    lifetime: TimeDelta,
}

/// What is known at the moment.
#[derive(Debug, Default)]
struct State {
    held: Option<Held>,
    /// When the issuer was last asked and had answered, or failed to.
    asked_at: Option<DateTime<Utc>>,
}

impl State {
    /// Tells whether the issuer was asked less than `duration` ago.
    fn asked_within(&self, now: DateTime<Utc>, duration: TimeDelta) -> bool {
        self.asked_at.is_some_and(|at| is_within(now, at, duration))
    }

    /// Returns the keys if they are not too old to be used.
    fn usable(&self, now: DateTime<Utc>) -> Option<&Held> {
        self.held.as_ref().filter(|held| (now - held.fetched_at).abs() < STALE_KEYS)
    }
}

/// Tells whether less than `duration` has passed. A clock that was set back counts as if it had, so that nothing is kept
/// until the clock has caught up; what others did in the meantime may lie a little ahead of a caller's `now`.
fn is_within(now: DateTime<Utc>, since: DateTime<Utc>, duration: TimeDelta) -> bool {
    let age = now - since;
    age < duration && age > -REFETCH_INTERVAL
}

/// The keys of one issuer.
#[derive(Debug)]
pub(super) struct Keys {
    issuer: String,
    jwks_uri: Option<String>,
    fetcher: Fetcher,
    state: Mutex<State>,
    /// Held by whoever fetches.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Keys {
    /// Creates a cache that holds nothing yet.
    pub(super) fn new(settings: &IssuerSettings, fetcher: Fetcher) -> Arc<Self> {
        Arc::new(Self {
            issuer: settings.issuer.clone(),
            jwks_uri: settings.jwks_uri.clone(),
            fetcher,
            state: Mutex::default(),
            turn: Arc::default(),
        })
    }

    /// Returns the key that a token with this `kid` and `alg` must have been signed with.
    pub(super) async fn key(
        self: &Arc<Self>,
        id: Option<&str>,
        algorithm: Algorithm,
        now: DateTime<Utc>,
    ) -> Result<Arc<Key>> {
        let keys = match self.at_hand(now) {
            Some(keys) => keys,
            None => {
                self.refresh(now).await;
                self.usable(now).ok_or_else(|| Error::Unavailable {
                    reason: "ISSUER_UNAVAILABLE",
                    message: format!("the keys of issuer `{}` cannot be fetched at the moment", self.issuer),
                })?
            }
        };
        let selection = match keys.select(id, algorithm) {
            // The issuer may have a new key.
            Selection::Unknown => {
                self.refresh(now).await;
                self.usable(now).unwrap_or(keys).select(id, algorithm)
            }
            selection => selection,
        };
        let message = match selection {
            Selection::Key(key) => return Ok(key),
            Selection::Unknown => "the token is signed with a key that its issuer does not publish",
            Selection::Misfit => "the token's algorithm does not fit its issuer's key",
            Selection::Ambiguous => "the token does not say with which of its issuer's keys it is signed",
        };
        Err(Error::Unauthenticated { reason: "CREDENTIAL_INVALID", message })
    }

    /// Returns the keys if no call has to wait for newer ones. Has them refreshed when it is time.
    fn at_hand(self: &Arc<Self>, now: DateTime<Utc>) -> Option<Arc<KeySet>> {
        let (held, asked) =
            self.with_state(|state| (state.usable(now).cloned(), state.asked_within(now, LONGEST_UNASKED)));
        let held = held?;
        if is_within(now, held.fetched_at, held.lifetime) {
            return Some(held.keys);
        }
        if !asked {
            return None;
        }
        // Whoever holds the turn fetches already.
        if let Ok(turn) = Arc::clone(&self.turn).try_lock_owned() {
            self.begin_fetch(turn, now);
        }
        Some(held.keys)
    }

    /// Returns the keys if they may be used while they cannot be fetched.
    fn usable(&self, now: DateTime<Utc>) -> Option<Arc<KeySet>> {
        self.with_state(|state| state.usable(now).map(|held| Arc::clone(&held.keys)))
    }

    /// Fetches the keys, unless that was tried just now. Waits for a fetch that is under way.
    async fn refresh(self: &Arc<Self>, now: DateTime<Utc>) {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        if let Some(fetch) = self.begin_fetch(turn, now)
            && let Err(error) = fetch.await
        {
            error!(
                issuer = self.issuer,
                "fetching the keys of issuer `{}` ended early: {error}", self.issuer
            );
        }
    }

    /// Begins to fetch the keys, unless that was tried just now. The task ends within [`FETCH_TIMEOUT`]; it is one of its own,
    /// since a caller who gives up must not end what others wait for.
    fn begin_fetch(
        self: &Arc<Self>,
        turn: OwnedMutexGuard<()>,
        now: DateTime<Utc>,
    ) -> Option<JoinHandle<()>> {
        if self.with_state(|state| state.asked_within(now, REFETCH_INTERVAL)) {
            return None;
        }
        let keys = Arc::clone(self);
        Some(tokio::spawn(async move {
            keys.fetch(now).await;
            drop(turn);
        }))
    }

    async fn fetch(&self, now: DateTime<Utc>) {
        let fetched = tokio::time::timeout(FETCH_TIMEOUT, self.fetch_keys()).await;
        let held = match fetched.unwrap_or(Err(FetchError::Timeout)) {
            Ok((keys, lifetime)) => {
                let count = keys.0.len();
                info!(issuer = self.issuer, count, "fetched {count} keys of issuer `{}`", self.issuer);
                Some(Held { keys: Arc::new(keys), fetched_at: now, lifetime })
            }
            Err(error) => {
                let causes = std::iter::successors(error.source(), |&cause| cause.source());
                let text = causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
                warn!(issuer = self.issuer, "could not fetch the keys of issuer `{}`: {text}", self.issuer);
                None
            }
        };
        self.with_state(|state| {
            state.held = held.or(state.held.take());
            state.asked_at = Some(now);
        });
    }

    async fn fetch_keys(&self) -> Result<(KeySet, TimeDelta), FetchError> {
        let address = match &self.jwks_uri {
            Some(jwks_uri) => parse_address(jwks_uri).map_err(|rule| FetchError::Address { rule })?,
            None => self.discover().await?,
        };
        let (body, lifetime) = self.fetcher.get(&address).await?;
        Ok((KeySet::parse(&body)?, lifetime))
    }

    /// Asks the issuer where its keys are.
    async fn discover(&self) -> Result<Url, FetchError> {
        #[derive(Deserialize)]
        struct Discovery {
            issuer: String,
            jwks_uri: String,
        }
        let base = self.issuer.strip_suffix('/').unwrap_or(&self.issuer);
        let refused = |rule| FetchError::Address { rule };
        let address = parse_address(&format!("{base}{DISCOVERY_PATH}")).map_err(refused)?;
        let (body, _) = self.fetcher.get(&address).await?;
        let discovery: Discovery = serde_json::from_slice(&body).map_err(FetchError::Json)?;
        if discovery.issuer != self.issuer {
            return Err(FetchError::Issuer { found: discovery.issuer });
        }
        let keys = parse_address(&discovery.jwks_uri).map_err(refused)?;
        if is_local(&keys) && !is_local(&address) {
            return Err(refused("must not lead to this machine".to_owned()));
        }
        Ok(keys)
    }

    fn with_state<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;
    use serde_json::json;

    use super::*;

    fn base64(length_bytes: usize) -> String {
        URL_SAFE_NO_PAD.encode(vec![0x80; length_bytes])
    }

    fn rsa(bits: usize) -> Value {
        json!({"kty": "RSA", "kid": "a", "use": "sig", "n": base64(bits / 8), "e": "AQAB"})
    }

    fn with(mut key: Value, name: &str, value: impl Into<Value>) -> Value {
        key[name] = value.into();
        key
    }

    fn parse(keys: &[Value]) -> KeySet {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    }

    fn check_key(key: Value, algorithms: &[Algorithm]) {
        let keys = parse(std::slice::from_ref(&key));
        let fitting: Vec<Algorithm> = Algorithm::ALL
            .into_iter()
            .filter(|&algorithm| matches!(keys.select(None, algorithm), Selection::Key(_)))
            .collect();
        assert_eq!(fitting, algorithms, "{key}");
    }

    #[test]
    fn a_key_fits_the_algorithms_of_its_kind() {
        use Algorithm::{EdDsa, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        check_key(rsa(2048), &[Rs256, Rs384, Rs512, Ps256, Ps384, Ps512]);
        check_key(with(rsa(2048), "alg", "RS384"), &[Rs384]);
        let p256 = json!({"kty": "EC", "crv": "P-256", "x": base64(32), "y": base64(32)});
        let p384 = json!({"kty": "EC", "crv": "P-384", "x": base64(48), "y": base64(48)});
        let ed25519 = json!({"kty": "OKP", "crv": "Ed25519", "x": base64(32)});
        check_key(p256.clone(), &[Es256]);
        check_key(p384.clone(), &[Es384]);
        check_key(ed25519.clone(), &[EdDsa]);
        check_key(with(p256.clone(), "alg", "RS256"), &[]);
        check_key(with(p256.clone(), "crv", "P-384"), &[]);
        check_key(with(p256, "crv", "secp256k1"), &[]);
        check_key(with(p384, "y", base64(47)), &[]);
        check_key(with(ed25519, "crv", "X25519"), &[]);
    }

    #[test]
    fn keys_that_cannot_be_trusted_are_left_out() {
        let all = [
            with(rsa(2048), "use", "enc"),
            with(rsa(2048), "key_ops", json!(["encrypt"])),
            rsa(1024),
            rsa(2040),
            rsa(8192),
            with(rsa(2048), "n", format!("{}{}", "A".repeat(172), base64(127))),
            with(rsa(2048), "n", "not base64!"),
            with(rsa(2048), "n", ""),
            with(rsa(2048), "e", 65537),
            json!({"kty": "oct", "kid": "a", "k": base64(32)}),
            json!({"kty": "oct", "kid": "a", "alg": "HS256", "n": base64(256), "e": "AQAB"}),
            json!({"kid": "a"}),
            json!("a"),
        ];
        for key in &all {
            check_key(key.clone(), &[]);
        }
        let mut keys = all.to_vec();
        keys.push(with(rsa(2048), "key_ops", json!(["verify"])));
        assert!(matches!(parse(&keys).select(Some("a"), Algorithm::Rs256), Selection::Key(_)));
        assert!(KeySet::parse(b"{}").is_err() && KeySet::parse(b"<html>").is_err());
    }

    #[test]
    fn a_token_that_names_no_key_needs_exactly_one_that_fits() {
        let ec = json!({"kty": "EC", "kid": "b", "crv": "P-256", "x": base64(32), "y": base64(32)});
        let keys = parse(&[rsa(2048), ec.clone()]);
        assert!(matches!(keys.select(None, Algorithm::Es256), Selection::Key(_)));
        assert!(matches!(keys.select(None, Algorithm::Es384), Selection::Unknown));
        assert!(matches!(keys.select(Some("b"), Algorithm::Es256), Selection::Key(_)));
        assert!(matches!(keys.select(Some("a"), Algorithm::Es256), Selection::Misfit));
        assert!(matches!(keys.select(Some("c"), Algorithm::Es256), Selection::Unknown));
        let keys = parse(&[ec.clone(), with(ec, "kid", "c")]);
        assert!(matches!(keys.select(None, Algorithm::Es256), Selection::Ambiguous));
        assert!(matches!(keys.select(Some("c"), Algorithm::Es256), Selection::Key(_)));
    }

    fn check_lifetime(cache_control: &'static str, seconds: i64) {
        let headers = HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static(cache_control))]);
        assert_eq!(lifetime(&headers), TimeDelta::seconds(seconds), "{cache_control}");
    }

    #[test]
    fn an_issuer_may_shorten_the_cache_within_bounds() {
        assert_eq!(lifetime(&HeaderMap::new()), LONGEST_CACHE);
        check_lifetime("public, max-age=300", 300);
        check_lifetime("MAX-AGE=\"120\", must-revalidate", 120);
        check_lifetime("max-age=86400", 600);
        check_lifetime("max-age=0", 60);
        check_lifetime("no-store, max-age=300", 60);
        check_lifetime("max-age=soon", 600);
        check_lifetime("max-age=99999999999999999999", 600);
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_nothing_for_longer() {
        let since = Utc::now();
        assert!(is_within(since + TimeDelta::seconds(599), since, LONGEST_CACHE));
        assert!(!is_within(since + TimeDelta::seconds(600), since, LONGEST_CACHE));
        assert!(is_within(since - TimeDelta::seconds(5), since, LONGEST_CACHE));
        assert!(!is_within(since - TimeDelta::seconds(10), since, LONGEST_CACHE));
    }
}
