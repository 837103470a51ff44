//! Real issuers of OpenID Connect tokens: processes of `oidc-issuer`, on real sockets.

use std::process::Stdio;

use reqwest::Client;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::server::{PATIENCE, program};

/// A token to sign. What is null in `header` and `claims` is left out, the rest replaces the defaults: `sub` `ada`, `aud`
/// `burgee`, good for five minutes from now.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mint {
    /// The key: `ec`, `ec384` or `ed`; `encryption` is published for another use. Any other name is a key that is not
    /// published, unless by [`Issuer::rotate`]: `ec-secret` on P-256, `weak` RSA with 1,024 bits, the others RSA with
    /// 2,048 bits.
    pub key: String,
    /// What the header names, and the key signs with if it can; `none` does not sign, `HS256` signs with the public key as
    /// the secret. The key's own unless given.
    pub algorithm: Option<String>,
    /// Changes to the header.
    pub header: Map<String, Value>,
    /// Changes to the claims.
    pub claims: Map<String, Value>,
    /// The text of the claims, instead of all of them.
    pub claims_text: Option<String>,
    /// Whether the header has the public key, as `jwk`.
    pub embeds_key: bool,
}

impl Mint {
    /// A token that is signed with a key, and good otherwise.
    #[must_use]
    pub fn with(key: &str) -> Self {
        let (header, claims) = (Map::new(), Map::new());
        Self { key: key.to_owned(), algorithm: None, header, claims, claims_text: None, embeds_key: false }
    }

    /// Names another algorithm.
    #[must_use]
    pub fn algorithm(mut self, name: &str) -> Self {
        self.algorithm = Some(name.to_owned());
        self
    }

    /// Changes a field of the header; null removes it.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.to_owned(), value.into());
        self
    }

    /// Changes a claim; null removes it.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }
}

/// How the issuer publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// As it should.
    None,
    /// With status 500.
    Error,
    /// Never.
    Hang,
    /// With two megabytes.
    Huge,
    /// With something else than JSON.
    Malformed,
    /// With a redirect to `/elsewhere`, instead of keys.
    Redirect,
    /// With another issuer in the discovery document.
    OtherIssuer,
}

/// How often the issuer was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// For the discovery document.
    pub discovery: usize,
    /// For keys.
    pub jwks: usize,
    /// For keys, where only a redirect or a token leads.
    pub elsewhere: usize,
}

/// A running issuer. Ends when dropped.
pub struct Issuer {
    child: Child,
    url: String,
    client: Client,
}

impl Issuer {
    /// Starts the process and waits until it listens.
    pub async fn start() -> Self {
        let mut child = Command::new(program("oidc-issuer"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the issuer starts");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let line =
            tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("the issuer started in time");
        let url = line.expect("the output is text").expect("the issuer prints its address");
        let client = Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client can be made");
        Self { child, url, client }
    }

    /// Returns its address, which is the claim `iss` of its tokens.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Signs a token with the key `ec`. The claims are an object as in [`Mint::claims`].
    pub async fn mint(&self, claims: Value) -> String {
        let Value::Object(claims) = claims else { panic!("claims are an object") };
        self.mint_as(Mint { claims, ..Mint::with("ec") }).await
    }

    /// Signs a token as told.
    pub async fn mint_as(&self, mint: Mint) -> String {
        self.post("mint", &mint).await
    }

    /// Makes and publishes a new key with this name, which signs from now on beside the former, and returns its id (`kid`).
    pub async fn rotate(&self, key: &str) -> String {
        self.post("rotate", &key).await
    }

    /// Stops publishing a key, such as `ec-0`.
    pub async fn withdraw(&self, key_id: &str) {
        self.post("withdraw", &key_id).await;
    }

    /// Publishes badly from now on, or well again.
    pub async fn fail(&self, failure: Failure) {
        self.post("fail", &failure).await;
    }

    /// Returns how often it was asked.
    pub async fn counters(&self) -> Counters {
        let answer = self.client.get(format!("{}/counters", self.url)).send().await;
        answer.expect("the issuer answers").json().await.expect("counters are JSON")
    }

    /// Ends the process.
    pub async fn stop(&mut self) {
        self.child.kill().await.expect("the issuer could be killed");
    }

    async fn post(&self, path: &str, body: &impl Serialize) -> String {
        let request = self.client.post(format!("{}/{path}", self.url)).json(body);
        let answer = request.send().await.and_then(reqwest::Response::error_for_status);
        answer.expect("the issuer answers").text().await.expect("answers are text")
    }
}
