//! The settings of an issuer: whose tokens are accepted, and for what.

use std::collections::BTreeSet;
use std::fmt;

use burgee_core::claims::check_claim;
use burgee_core::name::OrganisationId;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// The clock skew that is allowed for unless told otherwise.
pub const CLOCK_SKEW_SECONDS: u64 = 60;
/// The most that may be allowed for.
pub const MOST_CLOCK_SKEW_SECONDS: u64 = 300;
/// What an issuer may sign with unless told otherwise.
pub const DEFAULT_ALGORITHMS: [Algorithm; 2] = [Algorithm::Rs256, Algorithm::Es256];

/// What a token may be signed with: asymmetric algorithms only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// RSA, PKCS #1 v1.5, SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSA, PKCS #1 v1.5, SHA-384.
    #[serde(rename = "RS384")]
    Rs384,
    /// RSA, PKCS #1 v1.5, SHA-512.
    #[serde(rename = "RS512")]
    Rs512,
    /// RSA, PSS, SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
    /// RSA, PSS, SHA-384.
    #[serde(rename = "PS384")]
    Ps384,
    /// RSA, PSS, SHA-512.
    #[serde(rename = "PS512")]
    Ps512,
    /// ECDSA over P-256, SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// ECDSA over P-384, SHA-384.
    #[serde(rename = "ES384")]
    Es384,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl Algorithm {
    /// Every algorithm, in the order of declaration.
    pub const ALL: [Self; 9] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// Returns the name that tokens and keys have for it, such as `RS256`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Finds the algorithm with this name; case counts.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// An issuer of OpenID Connect tokens, and what its tokens are good for.
///
/// In the settings file the names have dashes: `clock-skew-seconds`. Only `issuer` must be given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct IssuerSettings {
    /// What the claim `iss` must be, to the letter: an address with `https`, or with `http` on this machine.
    pub issuer: String,
    /// The values of the claim `aud` that are accepted when people sign in: the ids of our clients at the issuer.
    /// \[default: none; `sign-in` needs one\]
    #[serde(default)]
    pub audiences: Vec<String>,
    /// What tokens may be signed with. \[default: `RS256`, `ES256`\]
    #[serde(default = "default_algorithms")]
    pub algorithms: Vec<Algorithm>,
    /// Where the issuer publishes its keys. \[default: what `ISSUER/.well-known/openid-configuration` says\]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// Whether people may sign in with its tokens. \[default: false\]
    #[serde(default)]
    pub sign_in: bool,
    /// Whether trust relationships may name it, so that pipelines exchange its tokens. \[default: false\]
    #[serde(default)]
    pub exchange: bool,
    /// The domains of the e-mail addresses of those who may sign in, ignoring case, without their subdomains. If there are
    /// any, a token must have an address that the issuer has verified. \[default: any address, or none\]
    #[serde(default)]
    pub email_domains: Vec<String>,
    /// The claim with the groups of a person in `organisation`, which it needs, as a path such as `realm_access.roles`.
    /// \[default: no groups\]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups_claim: Option<String>,
    /// Whether people who sign in for the first time get an account. \[default: false\]
    #[serde(default)]
    pub create_users: bool,
    /// The id of the organisation that people who sign in for the first time join as members. \[default: none\]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// How far the issuer's clock may be from ours, at most 300. \[default: 60\]
    #[serde(default = "default_clock_skew_seconds")]
    pub clock_skew_seconds: u64,
}

fn default_algorithms() -> Vec<Algorithm> {
    DEFAULT_ALGORITHMS.to_vec()
}

fn default_clock_skew_seconds() -> u64 {
    CLOCK_SKEW_SECONDS
}

/// Why the settings of issuers cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A field breaks a rule.
    #[error("issuer `{issuer}`: `{field}` {rule}")]
    Field {
        /// The issuer whose settings they are.
        issuer: String,
        /// The field, as it is called in the settings file.
        field: &'static str,
        /// The rule, and what broke it.
        rule: String,
    },

    /// Two issuers have the same address.
    #[error("issuer `{issuer}` is configured twice")]
    Duplicate {
        /// The issuer.
        issuer: String,
    },

    /// There can be no client that fetches keys.
    #[error("the client that fetches keys could not be made")]
    Client(#[source] reqwest::Error),
}

impl IssuerSettings {
    /// Returns an issuer with every default, whose tokens are good for nothing yet.
    pub fn new(issuer: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audiences: Vec::new(),
            algorithms: default_algorithms(),
            jwks_uri: None,
            sign_in: false,
            exchange: false,
            email_domains: Vec::new(),
            groups_claim: None,
            create_users: false,
            organisation: None,
            clock_skew_seconds: CLOCK_SKEW_SECONDS,
        }
    }

    /// Checks every rule.
    ///
    /// # Errors
    ///
    /// Names the first field that breaks one.
    pub fn validate(&self) -> Result<(), SettingsError> {
        self.check().map_err(|(field, rule)| SettingsError::Field {
            issuer: self.issuer.clone(),
            field,
            rule,
        })
    }

    /// Checks every rule of every issuer, and that no two are the same.
    ///
    /// # Errors
    ///
    /// Names the first issuer that breaks one.
    pub fn validate_all(issuers: &[Self]) -> Result<(), SettingsError> {
        let mut seen = BTreeSet::new();
        for settings in issuers {
            settings.validate()?;
            if !seen.insert(settings.issuer.as_str()) {
                return Err(SettingsError::Duplicate { issuer: settings.issuer.clone() });
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        let issuer = parse_address(&self.issuer).map_err(|rule| ("issuer", rule))?;
        if issuer.query().is_some() {
            return Err(("issuer", "must have no query".to_owned()));
        }
        if let Some(jwks_uri) = &self.jwks_uri {
            parse_address(jwks_uri).map_err(|rule| ("jwks-uri", rule))?;
        }
        if self.sign_in && self.audiences.is_empty() {
            return Err(("audiences", "must have an item when `sign-in` is on".to_owned()));
        }
        if self.audiences.iter().any(String::is_empty) {
            return Err(("audiences", "must have no empty item".to_owned()));
        }
        if self.algorithms.is_empty() {
            return Err(("algorithms", "must have an item".to_owned()));
        }
        if let Some(domain) = self.email_domains.iter().find(|domain| !is_domain(domain)) {
            let rule = format!("must be domains such as `example.com`, has `{domain}`");
            return Err(("email-domains", rule));
        }
        if let Some(claim) = &self.groups_claim {
            check_claim(claim).map_err(|violation| ("groups-claim", violation.description))?;
            if self.organisation.is_none() {
                return Err(("groups-claim", "needs `organisation`, whose groups they are".to_owned()));
            }
        }
        if let Some(organisation) = &self.organisation {
            OrganisationId::parse(organisation)
                .map_err(|violation| ("organisation", violation.description))?;
        }
        if self.clock_skew_seconds > MOST_CLOCK_SKEW_SECONDS {
            let rule = format!("must be at most {MOST_CLOCK_SKEW_SECONDS}, is {}", self.clock_skew_seconds);
            return Err(("clock-skew-seconds", rule));
        }
        Ok(())
    }
}

/// Parses an address that keys may be fetched from, or says which rule it breaks.
pub(super) fn parse_address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("must be a URL: {error}"))?;
    if url.scheme() != "https" && !is_local(&url) {
        return Err("must begin with `https://`, or with `http://` and an address of this machine".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must have no user and no password".to_owned());
    }
    if url.fragment().is_some() {
        return Err("must have no fragment".to_owned());
    }
    Ok(url)
}

/// Tells whether it is plain HTTP to this very machine.
pub(super) fn is_local(url: &Url) -> bool {
    url.scheme() == "http"
        && match url.host() {
            Some(Host::Domain(domain)) => domain == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
}

fn is_domain(text: &str) -> bool {
    text.split('.').all(|label| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut IssuerSettings), broken: Option<&str>) {
        let mut settings = IssuerSettings::new("https://id.example.com");
        change(&mut settings);
        match (settings.validate(), broken) {
            (Ok(()), None) => {}
            (Err(SettingsError::Field { field, rule, .. }), Some(broken)) => {
                assert_eq!(field, broken, "{rule}")
            }
            (result, _) => panic!("{result:?} for {settings:?}"),
        }
    }

    fn check_issuer(issuer: &str, right: bool) {
        check(|settings| settings.issuer = issuer.to_owned(), (!right).then_some("issuer"));
    }

    #[test]
    fn an_issuer_is_reached_safely() {
        check_issuer("https://accounts.google.com", true);
        check_issuer("https://acme.eu.auth0.com/", true);
        check_issuer("https://id.example.com:8443/realms/acme", true);
        check_issuer("http://127.0.0.1:4000", true);
        check_issuer("http://127.1.2.3", true);
        check_issuer("http://[::1]:4000", true);
        check_issuer("http://localhost:4000/", true);
        check_issuer("http://id.example.com", false);
        check_issuer("http://localhost.example.com", false);
        check_issuer("http://10.0.0.1", false);
        check_issuer("http://0.0.0.0", false);
        check_issuer("ftp://localhost", false);
        check_issuer("file:///etc/passwd", false);
        check_issuer("id.example.com", false);
        check_issuer("", false);
        check_issuer("https://id.example.com?tenant=1", false);
        check_issuer("https://id.example.com#keys", false);
        check_issuer("https://user:secret@id.example.com", false);
    }

    #[test]
    fn every_field_has_its_rule() {
        check(|_| {}, None);
        check(|settings| settings.sign_in = true, Some("audiences"));
        check(|settings| (settings.sign_in, settings.audiences) = (true, vec!["burgee".to_owned()]), None);
        check(|settings| settings.audiences = vec![String::new()], Some("audiences"));
        check(|settings| settings.algorithms = vec![], Some("algorithms"));
        check(|settings| settings.jwks_uri = Some("http://id.example.com/keys".to_owned()), Some("jwks-uri"));
        check(|settings| settings.jwks_uri = Some("https://id.example.com/keys?v=2".to_owned()), None);
        check(|settings| settings.email_domains = vec!["acme.example".to_owned()], None);
        check(|settings| settings.email_domains = vec!["@acme.example".to_owned()], Some("email-domains"));
        check(|settings| settings.email_domains = vec!["*.example".to_owned()], Some("email-domains"));
        check(|settings| settings.email_domains = vec![String::new()], Some("email-domains"));
        let groups = |claim: &str, organisation: Option<&str>| {
            let (claim, organisation) = (Some(claim.to_owned()), organisation.map(str::to_owned));
            move |settings: &mut IssuerSettings| {
                (settings.groups_claim, settings.organisation) = (claim, organisation);
            }
        };
        check(groups("realm_access.roles", Some("acme")), None);
        check(groups("realm_access.roles", None), Some("groups-claim"));
        check(groups("", Some("acme")), Some("groups-claim"));
        check(|settings| settings.organisation = Some("acme".to_owned()), None);
        check(|settings| settings.organisation = Some("organisations/acme".to_owned()), Some("organisation"));
        check(|settings| settings.clock_skew_seconds = 300, None);
        check(|settings| settings.clock_skew_seconds = 301, Some("clock-skew-seconds"));
    }

    #[test]
    fn groups_without_an_organisation_are_refused_by_name() {
        let groups_claim = Some("groups".to_owned());
        let settings = IssuerSettings { groups_claim, ..IssuerSettings::new("https://id.example.com") };
        assert_eq!(
            settings.validate().unwrap_err().to_string(),
            "issuer `https://id.example.com`: `groups-claim` needs `organisation`, whose groups they are"
        );
    }

    #[test]
    fn an_issuer_is_configured_once() {
        let issuer = |issuer: &str| IssuerSettings::new(issuer);
        let (one, other) = (issuer("https://id.example.com"), issuer("https://id.example.com/"));
        assert!(IssuerSettings::validate_all(&[one.clone(), other.clone()]).is_ok());
        let error = IssuerSettings::validate_all(&[one.clone(), other, one]).unwrap_err();
        assert_eq!(error.to_string(), "issuer `https://id.example.com` is configured twice");
    }

    #[test]
    fn what_is_not_given_has_its_default() {
        let read: IssuerSettings = serde_json::from_str(r#"{"issuer":"https://id.example.com"}"#).unwrap();
        assert_eq!(read, IssuerSettings::new("https://id.example.com"));
        assert_eq!(
            (read.clock_skew_seconds, read.algorithms.as_slice()),
            (60, DEFAULT_ALGORITHMS.as_slice())
        );
        let again = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<IssuerSettings>(&again).unwrap(), read);
    }

    fn check_unreadable(text: &str) {
        assert!(serde_json::from_str::<IssuerSettings>(text).is_err(), "{text}");
    }

    #[test]
    fn symmetric_algorithms_and_none_cannot_be_named() {
        for name in ["HS256", "HS384", "HS512", "none", "None", "rs256", "ES512", ""] {
            assert_eq!(Algorithm::parse(name), None, "{name}");
            check_unreadable(&format!(r#"{{"issuer":"https://id.example.com","algorithms":["{name}"]}}"#));
        }
        check_unreadable(r#"{"issuer":"https://id.example.com","audience":"burgee"}"#);
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::parse(algorithm.as_str()), Some(algorithm));
            assert_eq!(serde_json::to_string(&algorithm).unwrap(), format!("\"{algorithm}\""));
        }
    }

    #[test]
    fn an_error_names_the_issuer_the_field_and_the_rule() {
        let mut settings = IssuerSettings::new("https://id.example.com");
        settings.clock_skew_seconds = 400;
        assert_eq!(
            settings.validate().unwrap_err().to_string(),
            "issuer `https://id.example.com`: `clock-skew-seconds` must be at most 300, is 400"
        );
    }
}
