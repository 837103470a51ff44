//! Tokens of a real issuer: what the verifier accepts, what it refuses, and how often it asks for keys.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::time::Duration;

use burgee_core::{Error, Result};
use burgee_management::oidc::{
    Algorithm, Audience, FETCH_TIMEOUT, IssuerSettings, LONGEST_CACHE, LONGEST_UNASKED, REFETCH_INTERVAL,
    STALE_KEYS, TOKEN_BYTES, Verified, Verifier,
};
use burgee_tests::issuer::{Counters, Failure, Issuer, Mint};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

const INVALID: &str = "CREDENTIAL_INVALID";
const EXPIRED: &str = "CREDENTIAL_EXPIRED";
const UNAVAILABLE: &str = "ISSUER_UNAVAILABLE";

/// An issuer whose tokens are good to sign in and for exchange, and the verifier of them.
struct World {
    issuer: Issuer,
    verifier: Verifier,
    /// The verifier's time, which a test may set forward.
    now: DateTime<Utc>,
}

impl World {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut IssuerSettings)) -> Self {
        let issuer = Issuer::start().await;
        let mut settings = IssuerSettings::new(issuer.url());
        settings.audiences = vec!["burgee".to_owned(), "burgee-cli".to_owned()];
        settings.algorithms = Algorithm::ALL.to_vec();
        settings.sign_in = true;
        settings.exchange = true;
        change(&mut settings);
        Self { issuer, verifier: Verifier::new(vec![settings]).unwrap(), now: Utc::now() }
    }

    async fn verify(&self, token: &str) -> Result<Verified> {
        self.verifier.verify(token, Audience::SignIn, self.now).await
    }

    async fn exchange(&self, token: &str, issuer: &str, audience: &str) -> Result<Verified> {
        self.verifier.verify(token, Audience::Exchange { issuer, audience }, self.now).await
    }

    /// Checks that a token is accepted.
    async fn accepts(&self, mint: Mint) -> Verified {
        let token = self.issuer.mint_as(mint.clone()).await;
        self.verify(&token).await.unwrap_or_else(|error| panic!("{mint:?}: {error}"))
    }

    /// Checks that a token is refused, for a reason and with words.
    async fn refuses(&self, mint: Mint, reason: &str, words: &str) {
        let token = self.issuer.mint_as(mint).await;
        check_refused(self.verify(&token).await, reason, words, &token);
    }

    async fn jwks_fetches(&self) -> usize {
        self.issuer.counters().await.jwks
    }

    fn wait(&mut self, duration: TimeDelta) {
        self.now += duration;
    }

    /// Returns a good token that outlives every cache.
    async fn long_lived(&self) -> String {
        self.issuer.mint(json!({"exp": (self.now + TimeDelta::hours(48)).timestamp()})).await
    }

    /// Waits until a fetch that is under way has ended: a token with an unknown key does.
    async fn fetched(&self) {
        self.refuses(Mint::with("ec-secret"), INVALID, "does not publish").await;
    }

    /// Waits until the issuer was asked so many times.
    async fn asked(&self, times: usize) {
        while self.issuer.counters().await.discovery < times {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn check_refused(result: Result<Verified>, expected: &str, words: &str, token: &str) {
    let error = result.expect_err(token);
    let reason = match &error {
        Error::Unauthenticated { reason, .. } | Error::Unavailable { reason, .. } => *reason,
        other => panic!("{other:?}"),
    };
    let message = error.to_string();
    assert_eq!(reason, expected, "{message}");
    assert!(message.contains(words), "`{message}` has no `{words}`");
    // No part of a token that is long enough to tell anything.
    let parts = token.split(['.', '=']).filter(|part| part.len() > 8);
    assert!(parts.into_iter().all(|part| !message.contains(part)), "{message}");
}

#[tokio::test]
async fn good_tokens_prove_who_signs_in() {
    let world = World::with(|settings| {
        settings.groups_claim = Some("realm.groups".to_owned());
        settings.organisation = Some("acme".to_owned());
    })
    .await;
    let token = world
        .issuer
        .mint(json!({"email": "ada@acme.example", "email_verified": "true", "realm": {"groups": ["a", 1, "b"]}}))
        .await;
    let verified = world.verify(&token).await.unwrap();
    assert_eq!((verified.issuer.as_str(), verified.subject.as_str()), (world.issuer.url(), "ada"));
    assert_eq!((verified.email.as_deref(), verified.email_verified), (Some("ada@acme.example"), true));
    assert_eq!(verified.groups, ["a", "b"]);
    assert_eq!(verified.claims["aud"], "burgee");
    assert_eq!(Value::from(verified.expires_at.timestamp()), verified.claims["exp"]);
    assert!(!format!("{verified:?}").contains("acme.example"));
    assert_eq!(world.issuer.counters().await, Counters { discovery: 1, jwks: 1, elsewhere: 0 });
}

#[tokio::test]
async fn every_algorithm_verifies_with_its_key() {
    let world = World::new().await;
    world.issuer.rotate("rsa").await;
    for (key, algorithms) in [
        ("rsa", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"].as_slice()),
        ("ec", &["ES256"]),
        ("ec384", &["ES384"]),
        ("ed", &["EdDSA"]),
    ] {
        for algorithm in algorithms {
            world.accepts(Mint::with(key).algorithm(algorithm)).await;
        }
    }
    assert_eq!(world.jwks_fetches().await, 1);
}

#[tokio::test]
async fn headers_may_differ_in_what_does_not_matter() {
    let world = World::new().await;
    world.issuer.rotate("rsa").await;
    world.accepts(Mint::with("ec").header("typ", "at+JWT")).await;
    world.accepts(Mint::with("rsa").header("typ", Value::Null)).await;
    // Only one key can be meant: there is another on P-256, but not for signatures.
    world.accepts(Mint::with("rsa").header("kid", Value::Null)).await;
    world.accepts(Mint::with("ec").header("kid", Value::Null)).await;
    world.refuses(Mint::with("rsa").header("typ", "secevent+jwt"), INVALID, "type").await;
    world.refuses(Mint::with("rsa").header("kid", 7), INVALID, "`kid`").await;
    world.refuses(Mint::with("rsa").header("crit", json!(["exp"])), INVALID, "`crit`").await;
}

#[tokio::test]
async fn only_the_issuers_own_keys_count() {
    let world = World::new().await;
    world.issuer.rotate("rsa").await;
    world.issuer.rotate("weak").await;
    world.accepts(Mint::with("rsa")).await;
    world.refuses(Mint::with("secret"), INVALID, "does not publish").await;
    world.refuses(Mint::with("secret").header("kid", "rsa-4"), INVALID, "signature").await;
    world.refuses(Mint::with("ec-secret").header("kid", "ec-0"), INVALID, "signature").await;
    world.refuses(Mint::with("weak"), INVALID, "does not publish").await;
    world.refuses(Mint::with("encryption"), INVALID, "does not publish").await;

    // A token that brings its own key, and says where else to get it.
    let url = format!("{}/elsewhere", world.issuer.url());
    let brings =
        |mint: Mint| Mint { embeds_key: true, ..mint.header("jku", url.clone()).header("x5u", url.clone()) };
    world.refuses(brings(Mint::with("secret")), INVALID, "does not publish").await;
    world.refuses(brings(Mint::with("secret").header("kid", "rsa-4")), INVALID, "signature").await;
    world.accepts(brings(Mint::with("rsa"))).await;
    assert_eq!(world.issuer.counters().await.elsewhere, 0);
}

#[tokio::test]
async fn algorithms_cannot_be_confused() {
    let world = World::new().await;
    world.issuer.rotate("rsa").await;
    world.refuses(Mint::with("rsa").algorithm("none"), INVALID, "not signed").await;
    world.refuses(Mint::with("rsa").algorithm("HS256"), INVALID, "never accepted").await;
    world.refuses(Mint::with("rsa").algorithm("ES256"), INVALID, "does not fit").await;
    world.refuses(Mint::with("ec").algorithm("RS256"), INVALID, "does not fit").await;
    world.refuses(Mint::with("ec").algorithm("ES384"), INVALID, "does not fit").await;
    world.refuses(Mint::with("ed").algorithm("ES256"), INVALID, "does not fit").await;
    // The key would do, but the name is not what it signed with.
    world.refuses(Mint::with("rsa").header("alg", "PS256"), INVALID, "signature").await;

    let world = World::with(|settings| settings.algorithms = vec![Algorithm::Es256]).await;
    world.accepts(Mint::with("ec")).await;
    world.refuses(Mint::with("rsa"), INVALID, "may not sign").await;
}

#[tokio::test]
async fn a_changed_token_is_refused() {
    let world = World::new().await;
    let (token, other) = (world.issuer.mint(json!({})).await, world.issuer.mint(json!({"sub": "eve"})).await);
    let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
    let (token, other) = (parts(&token), parts(&other));
    let forged = format!("{}.{}.{}", token[0], other[1], token[2]);
    check_refused(world.verify(&forged).await, INVALID, "signature", &forged);
    for garbage in [
        String::new(),
        "..".to_owned(),
        "bgt_abc".to_owned(),
        format!("{}.{}", token[0], token[1]),
        format!("{}.{}.", token[0], token[1]),
        format!("{}.{}.{}.{}.{}", token[0], token[1], token[2], token[1], token[2]),
        format!("{}.{}.{}=", token[0], token[1], token[2]),
        format!("{}.{}.{} ", token[0], token[1], token[2]),
        format!("{}=.{}.{}", token[0], token[1], token[2]),
    ] {
        check_refused(world.verify(&garbage).await, INVALID, "", &garbage);
    }
}

#[tokio::test]
async fn the_issuer_must_be_the_configured_one_to_the_letter() {
    let world = World::new().await;
    for issuer in
        [json!(format!("{}/", world.issuer.url())), json!("https://other.example"), json!(7), json!(null)]
    {
        world.refuses(Mint::with("ec").claim("iss", issuer), INVALID, "issue").await;
    }
    assert_eq!(world.jwks_fetches().await, 0);
}

#[tokio::test]
async fn two_issuers_do_not_sign_for_each_other() {
    let (one, other) = (Issuer::start().await, Issuer::start().await);
    let settings = [&one, &other].map(|issuer| IssuerSettings {
        audiences: vec!["burgee".to_owned()],
        sign_in: true,
        ..IssuerSettings::new(issuer.url())
    });
    let verifier = Verifier::new(settings.to_vec()).unwrap();
    for (signer, named, right) in [(&one, &one, true), (&other, &other, true), (&one, &other, false)] {
        let token = signer.mint(json!({"iss": named.url()})).await;
        let result = verifier.verify(&token, Audience::SignIn, Utc::now()).await;
        assert_eq!(result.map(|verified| verified.issuer).ok().as_deref(), right.then(|| named.url()));
    }
}

#[tokio::test]
async fn the_audience_must_be_ours() {
    let world = World::new().await;
    let aud = |value: Value| Mint::with("ec").claim("aud", value);
    world.accepts(aud(json!("burgee-cli"))).await;
    world.accepts(aud(json!(["burgee"]))).await;
    world.accepts(aud(json!(["burgee", "other"])).claim("azp", "burgee")).await;
    world.refuses(aud(json!("other")), INVALID, "another audience").await;
    world.refuses(aud(json!("Burgee")), INVALID, "another audience").await;
    world.refuses(aud(json!([])), INVALID, "another audience").await;
    world.refuses(aud(json!(null)), INVALID, "no audience").await;
    world.refuses(aud(json!(["burgee", 1])), INVALID, "list of texts").await;
    world.refuses(aud(json!(["burgee", "other"])), INVALID, "`azp`").await;
    world.refuses(aud(json!(["burgee", "other"])).claim("azp", "other"), INVALID, "`azp`").await;
}

#[tokio::test]
async fn a_trust_relationship_names_issuer_and_audience() {
    let world = World::new().await;
    let url = world.issuer.url();
    let token = world.issuer.mint(json!({"aud": "burgee/acme", "sub": "repo:acme/shop"})).await;
    assert_eq!(world.exchange(&token, url, "burgee/acme").await.unwrap().subject, "repo:acme/shop");
    check_refused(world.exchange(&token, url, "burgee").await, INVALID, "another audience", &token);
    check_refused(world.exchange(&token, "https://o.example", "burgee/acme").await, INVALID, "trust", &token);
    check_refused(world.verify(&token).await, INVALID, "another audience", &token);
    // What is accepted to sign in is not accepted in exchange.
    let token = world.issuer.mint(json!({})).await;
    check_refused(world.exchange(&token, url, "burgee/acme").await, INVALID, "another audience", &token);
}

#[tokio::test]
async fn an_issuer_is_good_only_for_what_it_is_configured_for() {
    let world = World::with(|settings| settings.sign_in = false).await;
    let token = world.issuer.mint(json!({})).await;
    check_refused(world.verify(&token).await, INVALID, "to sign in", &token);
    assert!(world.exchange(&token, world.issuer.url(), "burgee").await.is_ok());

    let world = World::with(|settings| settings.exchange = false).await;
    let token = world.issuer.mint(json!({})).await;
    let result = world.exchange(&token, world.issuer.url(), "burgee").await;
    check_refused(result, INVALID, "in exchange", &token);
    assert!(world.verify(&token).await.is_ok());
}

#[tokio::test]
async fn a_token_is_good_for_its_time_and_the_skew() {
    let world = World::with(|settings| settings.clock_skew_seconds = 30).await;
    let at = |seconds: i64| world.now.timestamp() + seconds;
    let mint = |name: &str, value: Value| Mint::with("ec").claim(name, value);
    // `now` is up to a second after the whole second that these are relative to.
    world.accepts(mint("exp", json!(at(-29)))).await;
    world.refuses(mint("exp", json!(at(-30))), EXPIRED, "expired").await;
    world.refuses(mint("exp", json!(at(-3_600))), EXPIRED, "expired").await;
    world.accepts(mint("nbf", json!(at(30)))).await;
    world.refuses(mint("nbf", json!(at(31))), INVALID, "not valid yet").await;
    world.accepts(mint("iat", json!(at(30)))).await;
    world.refuses(mint("iat", json!(at(31))), INVALID, "in the future").await;
    world.accepts(mint("iat", Value::Null)).await;
    world.accepts(mint("exp", json!(at(60) as f64 + 0.5))).await;
    world.refuses(mint("exp", Value::Null), INVALID, "when it expires").await;
    world.refuses(mint("exp", json!(at(60).to_string())), INVALID, "`exp`").await;
    world.refuses(mint("exp", json!(1e300)), INVALID, "`exp`").await;
    world.refuses(mint("nbf", json!("now")), INVALID, "`nbf`").await;
    world.refuses(mint("iat", json!(-1)), INVALID, "`iat`").await;
}

#[tokio::test]
async fn a_token_is_about_somebody() {
    let world = World::new().await;
    let sub = |value: Value| Mint::with("ec").claim("sub", value);
    world.accepts(sub(json!("é".repeat(255)))).await;
    world.refuses(sub(json!(null)), INVALID, "whom it is about").await;
    for subject in [json!(""), json!("é".repeat(256)), json!(7), json!("a\nb")] {
        world.refuses(sub(subject), INVALID, "1 to 255 characters").await;
    }
}

#[tokio::test]
async fn claims_that_say_two_things_are_refused() {
    let world = World::new().await;
    let url = world.issuer.url();
    let exp = world.now.timestamp() + 60;
    let text = |sub: &str| format!(r#"{{"iss":"{url}","aud":"burgee","exp":{exp},{sub}}}"#);
    let mint = |sub: &str| Mint { claims_text: Some(text(sub)), ..Mint::with("ec") };
    world.accepts(mint(r#""sub":"ada""#)).await;
    world.refuses(mint(r#""sub":"ada","sub":"eve""#), INVALID, "repeat a name").await;
    world.refuses(mint(r#""sub":"ada","a":{"b":1,"b":2}"#), INVALID, "repeat a name").await;
}

#[tokio::test]
async fn a_large_token_is_not_even_read() {
    let world = World::new().await;
    let padded = |length: usize| world.issuer.mint(json!({ "padding": "x".repeat(length) }));
    let largest = padded(11_000).await;
    assert!(largest.len() <= TOKEN_BYTES && largest.len() > TOKEN_BYTES - 2_000, "{}", largest.len());
    assert!(world.verify(&largest).await.is_ok());
    let token = padded(13_000).await;
    assert!(token.len() > TOKEN_BYTES);
    check_refused(world.verify(&token).await, INVALID, "16 KiB", &token);
}

#[tokio::test]
async fn only_addresses_of_our_domains_sign_in() {
    let world = World::with(|settings| settings.email_domains = vec!["acme.example".to_owned()]).await;
    let email = |email: &str| Mint::with("ec").claim("email", email);
    world.accepts(email("ada@Acme.Example").claim("email_verified", true)).await;
    world.accepts(email("ada@acme.example").claim("email_verified", "true")).await;
    world.refuses(email("ada@acme.example"), INVALID, "not verified").await;
    world.refuses(email("ada@acme.example").claim("email_verified", "false"), INVALID, "not verified").await;
    world.refuses(email("eve@other.example").claim("email_verified", true), INVALID, "domain").await;
    world.refuses(Mint::with("ec"), INVALID, "no e-mail").await;
    // Pipelines have no addresses.
    let token = world.issuer.mint(json!({"email": "ci@other.example"})).await;
    assert!(world.exchange(&token, world.issuer.url(), "burgee").await.is_ok());
}

#[tokio::test]
async fn a_new_key_needs_no_restart() {
    let mut world = World::new().await;
    world.accepts(Mint::with("ec")).await;
    let id = world.issuer.rotate("ec").await;
    assert_ne!(id, "ec-0");
    // Right after a fetch, an unknown key waits.
    world.refuses(Mint::with("ec"), INVALID, "does not publish").await;
    assert_eq!(world.jwks_fetches().await, 1);
    world.wait(REFETCH_INTERVAL);
    world.accepts(Mint::with("ec")).await;
    assert_eq!(world.jwks_fetches().await, 2);
    // Both are published, so a token has to say which.
    world.accepts(Mint::with("ec").header("kid", id)).await;
    world.refuses(Mint::with("ec").header("kid", Value::Null), INVALID, "with which").await;
    assert_eq!(world.jwks_fetches().await, 2);
}

#[tokio::test]
async fn a_withdrawn_key_is_refused_soon_after_the_cache_ends() {
    let mut world = World::new().await;
    let token = world.long_lived().await;
    assert!(world.verify(&token).await.is_ok());
    world.issuer.withdraw("ec-0").await;
    world.wait(LONGEST_CACHE - TimeDelta::seconds(1));
    assert!(world.verify(&token).await.is_ok());
    assert_eq!(world.jwks_fetches().await, 1);
    world.wait(TimeDelta::seconds(1));
    // This call begins the fetch, and does not wait for it.
    assert!(world.verify(&token).await.is_ok());
    world.fetched().await;
    check_refused(world.verify(&token).await, INVALID, "does not publish", &token);
    assert_eq!(world.jwks_fetches().await, 2);
}

#[tokio::test]
async fn a_withdrawn_key_is_refused_at_once_if_nobody_came_for_long() {
    let mut world = World::new().await;
    let token = world.long_lived().await;
    assert!(world.verify(&token).await.is_ok());
    world.issuer.withdraw("ec-0").await;
    world.wait(LONGEST_UNASKED);
    // Also if many come at the same time: no caller gets in while another waits.
    let results = futures_util::future::join_all((0..20).map(|_| world.verify(&token))).await;
    for result in results {
        check_refused(result, INVALID, "does not publish", &token);
    }
    assert_eq!(world.jwks_fetches().await, 2);
}

#[tokio::test]
async fn keys_outlive_an_outage_of_the_issuer_for_a_day() {
    let mut world = World::new().await;
    let token = world.long_lived().await;
    assert!(world.verify(&token).await.is_ok());
    world.issuer.stop().await;
    world.wait(LONGEST_CACHE);
    assert!(world.verify(&token).await.is_ok());
    world.wait(STALE_KEYS - LONGEST_CACHE - TimeDelta::seconds(1));
    assert!(world.verify(&token).await.is_ok());
    world.wait(TimeDelta::seconds(1));
    check_refused(world.verify(&token).await, UNAVAILABLE, world.issuer.url(), &token);
}

#[tokio::test]
async fn an_issuer_that_hangs_holds_up_nobody_whose_key_is_known() {
    let mut world = World::new().await;
    let token = world.long_lived().await;
    assert!(world.verify(&token).await.is_ok());
    world.issuer.fail(Failure::Hang).await;
    let started = tokio::time::Instant::now();
    world.wait(LONGEST_CACHE);
    for result in futures_util::future::join_all((0..20).map(|_| world.verify(&token))).await {
        assert!(result.is_ok(), "{result:?}");
    }
    assert!(started.elapsed() < FETCH_TIMEOUT, "{:?}", started.elapsed());
    // All of them began one fetch.
    world.asked(2).await;
    world.fetched().await;
    assert!(started.elapsed() >= FETCH_TIMEOUT, "{:?}", started.elapsed());
    assert_eq!(world.issuer.counters().await, Counters { discovery: 2, jwks: 1, elsewhere: 0 });

    // As long as it is asked now and then, the outage may last.
    let started = tokio::time::Instant::now();
    world.wait(LONGEST_UNASKED - TimeDelta::seconds(1));
    assert!(world.verify(&token).await.is_ok());
    assert!(started.elapsed() < FETCH_TIMEOUT, "{:?}", started.elapsed());
    world.asked(3).await;
}

async fn check_failure(failure: Failure) {
    let mut world = World::new().await;
    let token = world.issuer.mint(json!({})).await;
    world.issuer.fail(failure).await;
    check_refused(world.verify(&token).await, UNAVAILABLE, "cannot be fetched", &token);
    let asked = world.issuer.counters().await;
    assert_eq!(asked.discovery, 1, "{failure:?}");
    // It is not asked again at once, also when it is well.
    world.issuer.fail(Failure::None).await;
    check_refused(world.verify(&token).await, UNAVAILABLE, "cannot be fetched", &token);
    assert_eq!(world.issuer.counters().await, asked, "{failure:?}");
    world.wait(REFETCH_INTERVAL);
    assert!(world.verify(&token).await.is_ok(), "{failure:?}");

    // With keys at hand it does not matter.
    world.issuer.fail(failure).await;
    world.wait(LONGEST_CACHE);
    world.accepts(Mint::with("ec").claim("exp", (world.now + TimeDelta::minutes(1)).timestamp())).await;
    world.fetched().await;
    assert_eq!(world.issuer.counters().await.elsewhere, 0, "{failure:?}");
}

#[tokio::test]
async fn an_issuer_that_fails_is_unavailable() {
    check_failure(Failure::Error).await;
}

#[tokio::test]
async fn an_issuer_that_talks_without_end_is_unavailable() {
    check_failure(Failure::Huge).await;
}

#[tokio::test]
async fn an_issuer_that_talks_nonsense_is_unavailable() {
    check_failure(Failure::Malformed).await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    check_failure(Failure::Redirect).await;
}

#[tokio::test]
async fn a_discovery_document_of_another_issuer_is_refused() {
    check_failure(Failure::OtherIssuer).await;
}

#[tokio::test]
async fn an_issuer_that_hangs_is_given_up_once_for_all_who_wait() {
    let world = World::new().await;
    let token = world.issuer.mint(json!({})).await;
    world.issuer.fail(Failure::Hang).await;
    let started = tokio::time::Instant::now();
    let results = futures_util::future::join_all((0..20).map(|_| world.verify(&token))).await;
    // One time-out for all: two in a row would take twice as long.
    assert!(started.elapsed() < FETCH_TIMEOUT * 2, "{:?}", started.elapsed());
    for result in results {
        check_refused(result, UNAVAILABLE, "cannot be fetched", &token);
    }
    assert_eq!(world.issuer.counters().await.discovery, 1);
}

#[tokio::test]
async fn a_caller_who_gives_up_does_not_end_the_fetch() {
    let world = World::new().await;
    let token = world.issuer.mint(json!({})).await;
    // Polled once, which starts the fetch, and dropped.
    let given_up = tokio::time::timeout(Duration::ZERO, world.verify(&token)).await;
    assert!(given_up.is_err());
    assert!(world.verify(&token).await.is_ok());
    assert_eq!(world.jwks_fetches().await, 1);
}

#[tokio::test]
async fn many_callers_share_one_fetch() {
    let world = World::new().await;
    let token = world.issuer.mint(json!({})).await;
    let verifiers = (0..50).map(|_| {
        let (verifier, token, now) = (world.verifier.clone(), token.clone(), world.now);
        tokio::spawn(async move { verifier.verify(&token, Audience::SignIn, now).await })
    });
    for result in futures_util::future::join_all(verifiers).await {
        assert!(result.unwrap().is_ok());
    }
    assert_eq!(world.jwks_fetches().await, 1);
}

#[tokio::test]
async fn garbage_cannot_hammer_the_issuer() {
    let mut world = World::new().await;
    let mint = |number: usize| Mint::with("ec-secret").header("kid", format!("garbage-{number}"));
    let mut tokens = Vec::new();
    for number in 0..20 {
        tokens.push(world.issuer.mint_as(mint(number)).await);
    }
    let started = world.now;
    // 25 seconds with 20 tokens each, at once: fetches at 0, 10 and 20.
    while world.now < started + TimeDelta::seconds(25) {
        let results = futures_util::future::join_all(tokens.iter().map(|token| world.verify(token))).await;
        assert!(results.iter().all(Result::is_err));
        world.wait(TimeDelta::seconds(1));
    }
    assert_eq!(world.jwks_fetches().await, 3);
    world.accepts(Mint::with("ec")).await;
    assert_eq!(world.jwks_fetches().await, 3);
}

#[tokio::test]
async fn keys_can_be_fetched_without_discovery() {
    let issuer = Issuer::start().await;
    let settings = IssuerSettings {
        jwks_uri: Some(format!("{}/jwks", issuer.url())),
        exchange: true,
        ..IssuerSettings::new("https://token.actions.example")
    };
    let verifier = Verifier::new(vec![settings]).unwrap();
    let token = issuer.mint(json!({"iss": "https://token.actions.example"})).await;
    let audience = Audience::Exchange { issuer: "https://token.actions.example", audience: "burgee" };
    assert!(verifier.verify(&token, audience, Utc::now()).await.is_ok());
    assert_eq!(issuer.counters().await, Counters { discovery: 0, jwks: 1, elsewhere: 0 });
}

#[tokio::test]
async fn settings_that_break_a_rule_make_no_verifier() {
    let settings = IssuerSettings { sign_in: true, ..IssuerSettings::new("https://id.example.com") };
    let error = Verifier::new(vec![settings]).unwrap_err();
    assert!(error.to_string().contains("`audiences` must have an item"), "{error}");
    let issuer = IssuerSettings::new("https://id.example.com");
    assert!(Verifier::new(vec![issuer.clone(), issuer]).is_err());
}
