//! The verifier: what a token proves.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use burgee_core::claims::find;
use burgee_core::{Error, Result};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};

use super::issuer::{Algorithm, IssuerSettings, SettingsError};
use super::json::parse_object;
use super::keys::{Fetcher, Keys};

/// Bytes of a token.
pub const TOKEN_BYTES: usize = 16 * 1024;
/// Characters of the claim `sub`.
pub const SUBJECT_CHARACTERS: usize = 255;
/// Characters of the claim `email`.
pub const EMAIL_CHARACTERS: usize = 320;

/// The last second of a `NumericDate` that is accepted: the end of the year 9999.
const LAST_SECOND: i64 = 253_402_300_799;

/// What a token is presented for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience<'a> {
    /// A person signs in: any issuer with `sign_in`, for one of its audiences.
    SignIn,
    /// A trust relationship: exactly this issuer, which needs `exchange`, for exactly this audience.
    Exchange {
        /// The issuer that the relationship names.
        issuer: &'a str,
        /// The audience that it names.
        audience: &'a str,
    },
}

/// What a token proves.
#[derive(Clone, PartialEq)]
pub struct Verified {
    /// Who signed it: the claim `iss`.
    pub issuer: String,
    /// Whom it is about: the claim `sub`, unique within the issuer.
    pub subject: String,
    /// The claim `email`, as the issuer writes it.
    pub email: Option<String>,
    /// Whether the issuer says that the address belongs to the subject.
    pub email_verified: bool,
    /// The texts of the groups claim, if the settings name one.
    pub groups: Vec<String>,
    /// When it expires: the claim `exp`. May be past by the clock skew that the settings allow for.
    pub expires_at: DateTime<Utc>,
    /// Every claim.
    pub claims: Map<String, Value>,
}

/// Without claims, which are about people and do not belong into logs.
impl fmt::Debug for Verified {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Verified")
            .field("issuer", &self.issuer)
            .field("subject", &self.subject)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Verifies the tokens of some issuers. Clones share the keys that were fetched.
#[derive(Clone)]
pub struct Verifier {
    issuers: Arc<BTreeMap<String, Issuer>>,
}

/// An issuer and its keys.
struct Issuer {
    settings: IssuerSettings,
    keys: Arc<Keys>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Verifier").field(&self.issuers.keys()).finish()
    }
}

impl Verifier {
    /// Creates a verifier of these issuers' tokens. Keys are fetched when the first token comes in.
    ///
    /// # Errors
    ///
    /// Names the first setting that breaks a rule.
    pub fn new(issuers: Vec<IssuerSettings>) -> Result<Self, SettingsError> {
        IssuerSettings::validate_all(&issuers)?;
        if issuers.is_empty() {
            // Without issuers nothing is fetched, and it does not matter whether this machine trusts anybody.
            return Ok(Self { issuers: Arc::default() });
        }
        let fetcher = Fetcher::new()?;
        let issuers = issuers.into_iter().map(|settings| {
            let keys = Keys::new(&settings, fetcher.clone());
            (settings.issuer.clone(), Issuer { settings, keys })
        });
        Ok(Self { issuers: Arc::new(issuers.collect()) })
    }

    /// Returns the settings of every issuer, in the order of their addresses.
    pub fn issuers(&self) -> impl Iterator<Item = &IssuerSettings> {
        self.issuers.values().map(|issuer| &issuer.settings)
    }

    /// Returns the settings of an issuer.
    pub fn issuer(&self, issuer: &str) -> Option<&IssuerSettings> {
        self.issuers.get(issuer).map(|issuer| &issuer.settings)
    }

    /// Says whether trust relationships may name an issuer.
    pub fn can_exchange(&self, issuer: &str) -> bool {
        self.issuer(issuer).is_some_and(|settings| settings.exchange)
    }

    /// Returns what a token proves at `now`.
    ///
    /// # Errors
    ///
    /// - `Unauthenticated`, `CREDENTIAL_EXPIRED`: it was good, and is too old.
    /// - `Unauthenticated`, `CREDENTIAL_INVALID`: it is not, or not for this audience. The message says why.
    /// - `Unavailable`, `ISSUER_UNAVAILABLE`: the issuer's keys cannot be fetched, and none are held.
    pub async fn verify(&self, token: &str, audience: Audience<'_>, now: DateTime<Utc>) -> Result<Verified> {
        let Token { header, claims, message, signature } = Token::parse(token)?;
        let header = Header::parse(&header)?;
        let issuer = self.issuer_of(&claims, audience)?;
        let settings = &issuer.settings;
        if !settings.algorithms.contains(&header.algorithm) {
            return Err(invalid("the token's issuer may not sign with the token's algorithm"));
        }
        let key = issuer.keys.key(header.key_id, header.algorithm, now).await?;
        if !key.verifies(header.algorithm, message, signature) {
            return Err(invalid("the token's signature is not its issuer's"));
        }
        // From here on the claims are the issuer's words.
        match audience {
            Audience::SignIn => check_audience(&claims, |name| settings.audiences.iter().any(|a| a == name))?,
            Audience::Exchange { audience, .. } => check_audience(&claims, |name| name == audience)?,
        }
        let expires_at = check_times(&claims, settings, now)?;
        let subject = subject(&claims)?;
        let email = email(&claims)?;
        let email_verified = match claims.get("email_verified") {
            Some(Value::Bool(verified)) => *verified,
            Some(Value::String(verified)) => verified == "true",
            _ => false,
        };
        if audience == Audience::SignIn && !settings.email_domains.is_empty() {
            check_email(email.as_deref(), email_verified, &settings.email_domains)?;
        }
        Ok(Verified {
            issuer: settings.issuer.clone(),
            subject,
            email,
            email_verified,
            groups: groups(&claims, settings.groups_claim.as_deref()),
            expires_at,
            claims,
        })
    }

    /// Finds the issuer that a token names, if it is good for the audience.
    fn issuer_of(&self, claims: &Map<String, Value>, audience: Audience<'_>) -> Result<&Issuer> {
        let Some(Value::String(name)) = claims.get("iss") else {
            return Err(invalid("the token does not say who issued it"));
        };
        let issuer = self
            .issuers
            .get(name)
            .ok_or_else(|| invalid("the token's issuer is not one of this server's"))?;
        match audience {
            Audience::SignIn if !issuer.settings.sign_in => {
                Err(invalid("tokens of the token's issuer are not accepted to sign in"))
            }
            Audience::Exchange { issuer: expected, .. } if name != expected => {
                Err(invalid("the token's issuer is not that of the trust relationship"))
            }
            Audience::Exchange { .. } if !issuer.settings.exchange => {
                Err(invalid("tokens of the token's issuer are not accepted in exchange"))
            }
            Audience::SignIn | Audience::Exchange { .. } => Ok(issuer),
        }
    }
}

/// A token, taken apart. Nothing is proved yet.
struct Token<'a> {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    /// What is signed.
    message: &'a str,
    signature: &'a str,
}

impl<'a> Token<'a> {
    fn parse(token: &'a str) -> Result<Self> {
        if token.len() > TOKEN_BYTES {
            return Err(invalid("the token is larger than 16 KiB"));
        }
        let malformed = || invalid("the token is not a JSON Web Token");
        let (message, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
        let (header, claims) = message.split_once('.').ok_or_else(malformed)?;
        // A further dot is in no base64, so that five parts (an encrypted token) end here, too.
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed());
        let (header, claims) = (decode(header)?, decode(claims)?);
        let header = parse_object(&header)
            .ok_or_else(|| invalid("the token's header is not a JSON object, or repeats a name"))?;
        let claims = parse_object(&claims)
            .ok_or_else(|| invalid("the token's claims are not a JSON object, or repeat a name"))?;
        Ok(Self { header, claims, message, signature })
    }
}

/// What a token says about its signature. Keys that it brings along (`jwk`, `jku`, `x5u`, `x5c`) are not looked at.
struct Header<'a> {
    algorithm: Algorithm,
    key_id: Option<&'a str>,
}

impl<'a> Header<'a> {
    fn parse(header: &'a Map<String, Value>) -> Result<Self> {
        if header.contains_key("crit") {
            return Err(invalid("the token demands extensions (`crit`), which are not known here"));
        }
        match header.get("typ") {
            None => {}
            Some(Value::String(kind))
                if ["JWT", "at+jwt"].iter().any(|known| kind.eq_ignore_ascii_case(known)) => {}
            Some(_) => return Err(invalid("the token's type is neither `JWT` nor `at+jwt`")),
        }
        let algorithm = match header.get("alg") {
            Some(Value::String(name)) if name.eq_ignore_ascii_case("none") => {
                return Err(invalid("the token is not signed"));
            }
            Some(Value::String(name)) => Algorithm::parse(name),
            _ => None,
        };
        let algorithm = algorithm.ok_or_else(|| invalid("the token's algorithm is never accepted"))?;
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(id)) => Some(id.as_str()),
            Some(_) => return Err(invalid("the token's `kid` is not a text")),
        };
        Ok(Self { algorithm, key_id })
    }
}

/// Checks that the token is for one of the accepted audiences; and if it is for others as well, that one of the accepted
/// is the party that it was issued to.
fn check_audience(claims: &Map<String, Value>, accepted: impl Fn(&str) -> bool) -> Result<()> {
    let not_texts = || invalid("the token's audience is neither a text nor a list of texts");
    let audiences: BTreeSet<&str> = match claims.get("aud") {
        None => return Err(invalid("the token has no audience")),
        Some(Value::String(audience)) => BTreeSet::from([audience.as_str()]),
        Some(Value::Array(items)) => {
            items.iter().map(|item| item.as_str().ok_or_else(not_texts)).collect::<Result<_>>()?
        }
        Some(_) => return Err(not_texts()),
    };
    if !audiences.iter().any(|audience| accepted(audience)) {
        return Err(invalid("the token is for another audience"));
    }
    let party = claims.get("azp").and_then(Value::as_str);
    if audiences.len() > 1 && !party.is_some_and(accepted) {
        return Err(invalid("the token has several audiences, and was issued to another party (`azp`)"));
    }
    Ok(())
}

/// Checks that the token is good at `now`, and returns when it expires.
fn check_times(
    claims: &Map<String, Value>,
    settings: &IssuerSettings,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>> {
    // Checked to be at most 300, and dates to lie before the year 10000: no sum leaves the calendar.
    let skew = TimeDelta::seconds(i64::try_from(settings.clock_skew_seconds).unwrap_or(0));
    let date = |name, message| match claims.get(name) {
        None => Ok(None),
        Some(value) => instant(value).ok_or_else(|| invalid(message)).map(Some),
    };
    let expires_at = date("exp", "the token's `exp` is not a time")?
        .ok_or_else(|| invalid("the token does not say when it expires"))?;
    if now >= expires_at + skew {
        return Err(Error::Unauthenticated {
            reason: "CREDENTIAL_EXPIRED",
            message: "the token has expired",
        });
    }
    if date("nbf", "the token's `nbf` is not a time")?.is_some_and(|from| now < from - skew) {
        return Err(invalid("the token is not valid yet"));
    }
    if date("iat", "the token's `iat` is not a time")?.is_some_and(|issued_at| now < issued_at - skew) {
        return Err(invalid("the token was issued in the future"));
    }
    Ok(expires_at)
}

/// Reads a `NumericDate`: seconds since 1970, which may have a fraction.
fn instant(value: &Value) -> Option<DateTime<Utc>> {
    let seconds = value.as_f64().filter(|seconds| (0.0..=LAST_SECOND as f64).contains(seconds))?;
    // Milliseconds of such times fit both types; what is cut off is less than one.
    DateTime::from_timestamp_millis((seconds * 1_000.0) as i64)
}

fn subject(claims: &Map<String, Value>) -> Result<String> {
    match claims.get("sub") {
        None => Err(invalid("the token does not say whom it is about")),
        Some(Value::String(subject))
            if !subject.is_empty()
                && subject.chars().count() <= SUBJECT_CHARACTERS
                && !subject.chars().any(char::is_control) =>
        {
            Ok(subject.clone())
        }
        Some(_) => Err(invalid(
            "the token's subject is not a text of 1 to 255 characters without control characters",
        )),
    }
}

fn email(claims: &Map<String, Value>) -> Result<Option<String>> {
    match claims.get("email") {
        Some(Value::String(email)) if email.chars().count() > EMAIL_CHARACTERS => {
            Err(invalid("the token's e-mail address has more than 320 characters"))
        }
        Some(Value::String(email)) if !email.is_empty() => Ok(Some(email.clone())),
        _ => Ok(None),
    }
}

fn check_email(email: Option<&str>, verified: bool, domains: &[String]) -> Result<()> {
    let email = email.ok_or_else(|| invalid("the token has no e-mail address"))?;
    let domain = match email.rsplit_once('@') {
        Some((local, domain)) if !local.is_empty() && !local.contains('@') => domain,
        _ => return Err(invalid("the token's e-mail address is not one")),
    };
    if !domains.iter().any(|accepted| accepted.eq_ignore_ascii_case(domain)) {
        return Err(invalid("the domain of the token's e-mail address is not accepted"));
    }
    if !verified {
        return Err(invalid("the token's issuer has not verified the e-mail address"));
    }
    Ok(())
}

fn groups(claims: &Map<String, Value>, path: Option<&str>) -> Vec<String> {
    match path.and_then(|path| find(claims, path)) {
        Some(Value::String(group)) => vec![group.clone()],
        Some(Value::Array(groups)) => groups.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn invalid(message: &'static str) -> Error {
    Error::Unauthenticated { reason: "CREDENTIAL_INVALID", message }
}

/// Reads a token as far as can be without keys, for the fuzzer.
#[cfg(any(test, fuzzing))]
pub(crate) fn read(token: &str) {
    if let Ok(Token { header, claims, .. }) = Token::parse(token) {
        let settings = IssuerSettings::new("https://issuer.example");
        let read = Header::parse(&header).map(drop);
        let read = read.and(check_audience(&claims, |audience| audience == "burgee"));
        drop(read.and(check_times(&claims, &settings, DateTime::UNIX_EPOCH)));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(object) => object,
            other => panic!("{other}"),
        }
    }

    fn check_header(header: Value, right: bool) {
        assert_eq!(Header::parse(&object(header.clone())).is_ok(), right, "{header}");
    }

    #[test]
    fn a_header_names_an_algorithm_and_a_known_type() {
        check_header(json!({"alg": "RS256"}), true);
        check_header(json!({"alg": "RS256", "typ": "jwt", "kid": "a"}), true);
        check_header(json!({"alg": "RS256", "typ": "AT+JWT"}), true);
        check_header(json!({"alg": "RS256", "typ": "dpop+jwt"}), false);
        check_header(json!({"alg": "RS256", "typ": null}), false);
        check_header(json!({"alg": "RS256", "kid": 1}), false);
        check_header(json!({"alg": "RS256", "crit": []}), false);
        check_header(json!({"alg": "nOnE"}), false);
        check_header(json!({"alg": "HS256"}), false);
        check_header(json!({"alg": ["RS256"]}), false);
        check_header(json!({}), false);
    }

    fn check_audiences(claims: Value, right: bool) {
        let accepted = |name: &str| ["burgee", "burgee-cli"].contains(&name);
        assert_eq!(check_audience(&object(claims.clone()), accepted).is_ok(), right, "{claims}");
    }

    #[test]
    fn several_audiences_need_an_accepted_party() {
        check_audiences(json!({"aud": "burgee"}), true);
        check_audiences(json!({"aud": ["burgee"]}), true);
        check_audiences(json!({"aud": ["burgee", "burgee"]}), true);
        check_audiences(json!({"aud": "burgee", "azp": "other"}), true);
        check_audiences(json!({"aud": ["burgee", "other"], "azp": "burgee-cli"}), true);
        check_audiences(json!({"aud": ["burgee", "other"], "azp": "other"}), false);
        check_audiences(json!({"aud": ["burgee", "other"], "azp": ["burgee"]}), false);
        check_audiences(json!({"aud": ["burgee", "other"]}), false);
        check_audiences(json!({"aud": ["other"], "azp": "burgee"}), false);
        check_audiences(json!({"aud": ["burgee", 1]}), false);
        check_audiences(json!({"aud": {"burgee": true}}), false);
        check_audiences(json!({"aud": []}), false);
        check_audiences(json!({"aud": "burgee2"}), false);
        check_audiences(json!({}), false);
    }

    fn check_instant(value: Value, milliseconds: Option<i64>) {
        assert_eq!(instant(&value).map(|instant| instant.timestamp_millis()), milliseconds, "{value}");
    }

    #[test]
    fn a_time_is_a_number_of_seconds_in_the_calendar() {
        check_instant(json!(1_700_000_000), Some(1_700_000_000_000));
        check_instant(json!(1_700_000_000.5), Some(1_700_000_000_500));
        check_instant(json!(0), Some(0));
        check_instant(json!(LAST_SECOND), Some(LAST_SECOND * 1_000));
        check_instant(json!(LAST_SECOND + 1), None);
        check_instant(json!(u64::MAX), None);
        check_instant(json!(1e300), None);
        check_instant(json!(-1), None);
        check_instant(json!("1700000000"), None);
        check_instant(json!(null), None);
    }

    fn check_address(email: Option<&str>, verified: bool, right: bool) {
        let domains = ["acme.example".to_owned()];
        assert_eq!(check_email(email, verified, &domains).is_ok(), right, "{email:?}");
    }

    #[test]
    fn an_address_belongs_to_exactly_its_domain() {
        check_address(Some("ada@acme.example"), true, true);
        check_address(Some("ada@ACME.example"), true, true);
        check_address(Some("ada@acme.example"), false, false);
        check_address(Some("ada@sub.acme.example"), true, false);
        check_address(Some("ada@evil-acme.example"), true, false);
        check_address(Some("ada@acme.example.evil"), true, false);
        check_address(Some("ada@evil.example@acme.example"), true, false);
        check_address(Some("@acme.example"), true, false);
        check_address(Some("acme.example"), true, false);
        check_address(None, true, false);
    }

    #[test]
    fn claims_are_not_printed() {
        let verified = Verified {
            issuer: "https://id.example.com".to_owned(),
            subject: "ada".to_owned(),
            email: Some("secret@acme.example".to_owned()),
            email_verified: true,
            groups: vec!["secret".to_owned()],
            expires_at: DateTime::UNIX_EPOCH,
            claims: object(json!({"name": "secret"})),
        };
        let printed = format!("{verified:?}");
        assert!(printed.contains("ada") && !printed.contains("secret"), "{printed}");
    }
}
