//! An issuer of OpenID Connect tokens for tests: it publishes keys as a real one does, and signs whatever it is told.
//!
//! Prints its address, and ends when its input does, or after ten minutes. `POST /mint`, `/rotate`, `/withdraw` and
//! `/fail` steer it; `burgee_tests::issuer` is their client.

#![allow(clippy::expect_used, reason = "a test's issuer that cannot go on must end")]

use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use burgee_tests::issuer::{Counters, Failure, Mint};
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use rsa::pkcs8::{EncodePublicKey as _, LineEnding};
use rsa::traits::PublicKeyParts as _;
use rsa::{RsaPrivateKey, rand_core};
use serde_json::{Map, Value, json};

/// How long it lives at most.
const LIFETIME: Duration = Duration::from_secs(600);
/// More than a client should take.
const HUGE_BYTES: usize = 2 * 1024 * 1024;
/// Keys that are published from the start.
const PUBLISHED: [&str; 4] = ["ec", "ec384", "ed", "encryption"];

/// A key, of which the last with a name signs.
struct Key {
    name: String,
    id: String,
    algorithm: Algorithm,
    private: EncodingKey,
    /// As an attacker who knows it would use it as a secret.
    public_pem: String,
    jwk: Value,
    published: bool,
}

impl Key {
    fn new(name: &str, number: usize, published: bool) -> Self {
        let id = format!("{name}-{number}");
        let usage = if name == "encryption" { "enc" } else { "sig" };
        let (algorithm, private, public_pem, mut jwk) = match name {
            "ec" | "ec-secret" | "encryption" => curve(&PKCS_ECDSA_P256_SHA256, Algorithm::ES256, "P-256"),
            "ec384" => curve(&PKCS_ECDSA_P384_SHA384, Algorithm::ES384, "P-384"),
            "ed" => ed25519(),
            "weak" => rsa(1024),
            _ => rsa(2048),
        };
        jwk["kid"] = json!(id);
        jwk["use"] = json!(usage);
        Self { name: name.to_owned(), id, algorithm, private, public_pem, jwk, published }
    }
}

fn rsa(bits: usize) -> (Algorithm, EncodingKey, String, Value) {
    let key = RsaPrivateKey::new(&mut rand_core::OsRng, bits).expect("a key can be made");
    let public = key.to_public_key();
    let private = EncodingKey::from_rsa_der(key.to_pkcs1_der().expect("a key can be written").as_bytes());
    let pem = public.to_public_key_pem(LineEnding::LF).expect("a key can be written");
    let (n, e) = (base64(public.n().to_bytes_be()), base64(public.e().to_bytes_be()));
    (Algorithm::RS256, private, pem, json!({"kty": "RSA", "n": n, "e": e}))
}

fn curve(
    kind: &'static rcgen::SignatureAlgorithm,
    algorithm: Algorithm,
    curve: &str,
) -> (Algorithm, EncodingKey, String, Value) {
    let key = KeyPair::generate_for(kind).expect("a key can be made");
    // The point is the byte 4 and both coordinates.
    let (x, y) = key.public_key_raw()[1..].split_at((key.public_key_raw().len() - 1) / 2);
    let jwk = json!({"kty": "EC", "crv": curve, "x": base64(x), "y": base64(y)});
    (algorithm, EncodingKey::from_ec_der(&key.serialize_der()), key.public_key_pem(), jwk)
}

fn ed25519() -> (Algorithm, EncodingKey, String, Value) {
    let key = KeyPair::generate_for(&PKCS_ED25519).expect("a key can be made");
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": base64(key.public_key_raw())});
    (Algorithm::EdDSA, EncodingKey::from_ed_der(&key.serialize_der()), key.public_key_pem(), jwk)
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

struct Issuer {
    url: String,
    keys: Vec<Key>,
    failure: Failure,
    counters: Counters,
}

impl Issuer {
    /// Adds a key, which signs from now on whatever is to be signed with this name.
    fn add(&mut self, name: &str, published: bool) -> &Key {
        let number = self.keys.len();
        self.keys.push(Key::new(name, number, published));
        &self.keys[number]
    }

    fn mint(&mut self, mint: Mint) -> String {
        if !self.keys.iter().any(|key| key.name == mint.key) {
            self.add(&mint.key, false);
        }
        let key = self.keys.iter().rev().find(|key| key.name == mint.key).expect("the key was made");
        let now = chrono::Utc::now().timestamp();
        let algorithm = mint.algorithm.unwrap_or_else(|| format!("{:?}", key.algorithm));
        let jwk = mint.embeds_key.then_some(&key.jwk);
        let header = json!({"typ": "JWT", "alg": algorithm, "kid": key.id, "jwk": jwk});
        let claims = json!({"iss": self.url, "sub": "ada", "aud": "burgee", "iat": now, "exp": now + 300});
        let header = Value::Object(merge(header, mint.header)).to_string();
        let claims =
            mint.claims_text.unwrap_or_else(|| Value::Object(merge(claims, mint.claims)).to_string());
        let message = format!("{}.{}", base64(header), base64(claims));
        let signature = match algorithm.as_str() {
            "none" => Some(String::new()),
            "HS256" => {
                let secret = EncodingKey::from_secret(key.public_pem.as_bytes());
                sign(&message, &secret, Algorithm::HS256)
            }
            name => name.parse().ok().and_then(|named| sign(&message, &key.private, named)),
        };
        // A name that does not fit the key is only claimed: the key signs as it can.
        let signature = signature.or_else(|| sign(&message, &key.private, key.algorithm));
        let signature = signature.expect("a key can sign");
        format!("{message}.{signature}")
    }
}

fn sign(message: &str, key: &EncodingKey, algorithm: Algorithm) -> Option<String> {
    jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).ok()
}

/// Replaces and adds what is in `changes`, and removes what is null there.
fn merge(defaults: Value, changes: Map<String, Value>) -> Map<String, Value> {
    let mut merged = defaults.as_object().cloned().unwrap_or_default();
    merged.extend(changes);
    merged.retain(|_, value| !value.is_null());
    merged
}

type Shared = Arc<Mutex<Issuer>>;

fn with<T>(issuer: &Shared, f: impl FnOnce(&mut Issuer) -> T) -> T {
    f(&mut issuer.lock().expect("no request has failed"))
}

/// Answers with a document, or as badly as it was told to.
async fn publish(failure: Failure, document: Value) -> Response {
    match failure {
        Failure::None | Failure::OtherIssuer => Json(document).into_response(),
        Failure::Error => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Failure::Hang => std::future::pending().await,
        Failure::Huge => {
            let spaces = " ".repeat(HUGE_BYTES);
            ([(header::CONTENT_TYPE, "application/json")], Body::from(format!("{spaces}{document}")))
                .into_response()
        }
        Failure::Malformed => "<html>".into_response(),
        Failure::Redirect => Redirect::temporary("/elsewhere").into_response(),
    }
}

async fn discovery(State(issuer): State<Shared>) -> Response {
    let (failure, url) = with(&issuer, |issuer| {
        issuer.counters.discovery += 1;
        (issuer.failure, issuer.url.clone())
    });
    let name = if failure == Failure::OtherIssuer { format!("{url}/") } else { url.clone() };
    // A redirect is refused wherever it is; here, at the keys.
    let failure = if failure == Failure::Redirect { Failure::None } else { failure };
    publish(failure, json!({"issuer": name, "jwks_uri": format!("{url}/jwks")})).await
}

async fn jwks(State(issuer): State<Shared>) -> Response {
    let (failure, keys) = with(&issuer, |issuer| {
        issuer.counters.jwks += 1;
        let keys: Vec<_> =
            issuer.keys.iter().filter(|key| key.published).map(|key| key.jwk.clone()).collect();
        (issuer.failure, keys)
    });
    publish(failure, json!({ "keys": keys })).await
}

/// Every key, also those that are not published, where no client should look for them.
async fn elsewhere(State(issuer): State<Shared>) -> Response {
    let keys = with(&issuer, |issuer| {
        issuer.counters.elsewhere += 1;
        issuer.keys.iter().map(|key| key.jwk.clone()).collect::<Vec<_>>()
    });
    publish(Failure::None, json!({ "keys": keys })).await
}

async fn withdraw(State(issuer): State<Shared>, Json(id): Json<String>) {
    with(&issuer, |issuer| {
        let key = issuer.keys.iter_mut().find(|key| key.id == id);
        key.expect("there is such a key").published = false;
    });
}

#[tokio::main]
async fn main() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("a listener has an address"));
    let (failure, counters) = (Failure::None, Counters::default());
    let mut issuer = Issuer { url: url.clone(), keys: Vec::new(), failure, counters };
    for name in PUBLISHED {
        issuer.add(name, true);
    }
    let router = Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/jwks", get(jwks))
        .route("/elsewhere", get(elsewhere))
        .route(
            "/mint",
            post(async |State(issuer): State<Shared>, Json(mint)| with(&issuer, |issuer| issuer.mint(mint))),
        )
        .route(
            "/rotate",
            post(async |State(issuer): State<Shared>, Json(name): Json<String>| {
                with(&issuer, |issuer| issuer.add(&name, true).id.clone())
            }),
        )
        .route("/withdraw", post(withdraw))
        .route(
            "/fail",
            post(async |State(issuer): State<Shared>, Json(failure)| {
                with(&issuer, |issuer| issuer.failure = failure);
            }),
        )
        .route(
            "/counters",
            get(async |State(issuer): State<Shared>| Json(with(&issuer, |issuer| issuer.counters))),
        )
        .with_state(Arc::new(Mutex::new(issuer)));

    // Whoever started it is gone when the input ends.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    tokio::spawn(async {
        tokio::time::sleep(LIFETIME).await;
        std::process::exit(1);
    });
    let mut output = std::io::stdout();
    writeln!(output, "{url}").and_then(|()| output.flush()).expect("somebody reads the address");
    axum::serve(listener, router).await.expect("it serves until it ends");
}
