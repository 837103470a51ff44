//! Finds out who calls, and whether they may.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use burgee_core::access::{PREFIX_CHARACTERS, SecretHash, StoredSecret};
use burgee_core::account::SignIn;
use burgee_core::grant::{Extent, Grantee, Principal, Rights};
use burgee_core::name::{OrganisationId, OrganisationName, UserId, UserName};
use burgee_core::organisation::User;
use burgee_core::permission::{Permission, Place};
use burgee_core::store::FlagStore;
use burgee_core::{Error, Result};
use chrono::{DateTime, TimeDelta, Utc};
use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::access::{Needs, SERVER_ADMINISTRATOR};
use crate::failures::Failures;
use crate::oidc::{Audience, Verified, Verifier};
use crate::secret::is_mistyped;
use crate::uses::Uses;

/// Who calls.
#[derive(Clone)]
pub(crate) struct Caller {
    /// Who acts.
    pub(crate) principal: Principal,
    /// Whether they may do everything on this server.
    pub(crate) administrator: bool,
    /// What they presented: the name of a token or a trust relationship, or an issuer.
    pub(crate) credential: String,
    /// On whose behalf: the subject that an issuer named.
    pub(crate) on_behalf_of: String,
    /// Tells credentials apart, for limits.
    pub(crate) key: SecretHash,
    presented: Presented,
    /// The groups that an issuer says they are in, of the organisation of its settings.
    claimed_groups: Vec<String>,
    claimed_in: Option<OrganisationName>,
    /// What was looked up for this call.
    rights: Arc<Mutex<KnownRights>>,
}

/// The rights in organisations that a call has asked about.
type KnownRights = Vec<(OrganisationName, Arc<Rights>)>;

/// What was presented, to look again whether it still counts.
#[derive(Clone)]
enum Presented {
    Secret(StoredSecret),
    SignIn { sign_in: Box<SignIn>, expires_at: DateTime<Utc> },
}

impl fmt::Debug for Caller {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Caller({} by {})", self.principal, self.credential)
    }
}

impl Caller {
    /// Returns the groups of an organisation that an issuer says the caller is in.
    pub(crate) fn claimed_groups(&self, organisation: &OrganisationName) -> &[String] {
        if self.claimed_in.as_ref() == Some(organisation) { &self.claimed_groups } else { &[] }
    }

    /// Returns what the caller may do in an organisation. Looked up once for each call.
    pub(crate) async fn rights(
        &self,
        store: &dyn FlagStore,
        organisation: &OrganisationName,
    ) -> Result<Arc<Rights>> {
        if let Some(rights) = self.known_rights(organisation) {
            return Ok(rights);
        }
        let found = match self.administrator {
            true => Rights { administrator: true, ..Rights::default() },
            false => {
                let grantee = Grantee::from(self.principal.clone());
                store.rights(&grantee, self.claimed_groups(organisation), organisation).await?
            }
        };
        let found = Arc::new(found);
        let mut known = self.rights.lock().unwrap_or_else(PoisonError::into_inner);
        known.push((organisation.clone(), Arc::clone(&found)));
        Ok(found)
    }

    fn known_rights(&self, organisation: &OrganisationName) -> Option<Arc<Rights>> {
        let known = self.rights.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().find(|(name, _)| name == organisation).map(|(_, rights)| Arc::clone(rights))
    }
}

/// Finds out who calls, and what they may do.
#[derive(Clone)]
pub(crate) struct Gate {
    store: Arc<dyn FlagStore>,
    verifier: Verifier,
    uses: Uses,
    failures: Arc<Failures>,
}

impl Gate {
    /// Creates a gate that knows the callers of the store and of the issuers.
    pub(crate) fn new(
        store: Arc<dyn FlagStore>,
        verifier: Verifier,
        uses: Uses,
        failures: Arc<Failures>,
    ) -> Self {
        Self { store, verifier, uses, failures }
    }

    /// Returns who presents a credential. It is looked up each time: one that is revoked is refused at once, on every replica.
    pub(crate) async fn authenticate(&self, presented: &str, address: Option<IpAddr>) -> Result<Caller> {
        let key = SecretHash::of(presented);
        self.failures.check(address, Some(&key))?;
        let found = self.identify(presented, key, address, Utc::now()).await;
        match &found {
            Ok(_) => self.failures.succeeded(key),
            Err(Error::Unauthenticated { reason: "CREDENTIAL_INVALID", .. }) => self.failures.failed(address),
            Err(_) => {}
        }
        found
    }

    /// Notes that a secret within a request was no good.
    pub(crate) fn note_failure(&self, address: Option<IpAddr>) {
        self.failures.failed(address);
    }

    /// Checks the limit of failed sign-ins, for requests that hold a secret of their own.
    pub(crate) fn check_failures(&self, address: Option<IpAddr>) -> Result<()> {
        self.failures.check(address, None)
    }

    async fn identify(
        &self,
        presented: &str,
        key: SecretHash,
        address: Option<IpAddr>,
        now: DateTime<Utc>,
    ) -> Result<Caller> {
        if is_mistyped(presented) {
            return Err(invalid("the token is mistyped: its checksum does not fit"));
        }
        let caller = |principal, administrator, credential, on_behalf_of, presented, claimed| Caller {
            principal,
            administrator,
            credential,
            on_behalf_of,
            key,
            presented,
            claimed_groups: Vec::new(),
            claimed_in: claimed,
            rights: Arc::default(),
        };
        if is_signed(presented) {
            let Verified { issuer, subject, email, email_verified, groups, expires_at, .. } =
                self.verifier.verify(presented, Audience::SignIn, now).await?;
            let email = email.filter(|_| email_verified);
            let skew = self.verifier.issuer(&issuer).map_or(0, |settings| settings.clock_skew_seconds);
            let expires_at = expires_at + TimeDelta::seconds(i64::try_from(skew).unwrap_or(0));
            let sign_in = self.sign_in_of(&issuer, &subject, email, address, now);
            let join = sign_in.join.clone();
            let user = self.store.sign_in(&sign_in).await?.ok_or_else(|| {
                invalid("nobody is known by the subject or a verified e-mail address of the token")
            })?;
            let User { name, administrator, .. } = user;
            let presented = Presented::SignIn { sign_in: Box::new(sign_in), expires_at };
            let caller = caller(Principal::User(name), administrator, issuer, subject, presented, join);
            return Ok(Caller { claimed_groups: groups, ..caller });
        }
        let found = self.store.credential(&StoredSecret::lookup(presented)).await?;
        let found = found
            .filter(|found| found.secret.is(presented))
            .ok_or_else(|| invalid("the token is not known, or was revoked"))?;
        check_expiry(found.expires_at, now)?;
        if let Some(token) = found.token {
            self.uses.note(token, now);
        }
        let presented = Presented::Secret(found.secret);
        Ok(caller(found.principal, found.administrator, found.name, found.on_behalf_of, presented, None))
    }

    fn sign_in_of(
        &self,
        issuer: &str,
        subject: &str,
        email: Option<String>,
        address: Option<IpAddr>,
        now: DateTime<Utc>,
    ) -> SignIn {
        let settings = self.verifier.issuer(issuer);
        let creates = settings.is_some_and(|settings| settings.create_users);
        let create = email.as_ref().filter(|_| creates).map(|email| new_user(email, now));
        let join = settings
            .and_then(|settings| OrganisationId::parse(settings.organisation.as_deref()?).ok())
            .map(|organisation| OrganisationName { organisation });
        let address = address.map(|address| address.to_string()).unwrap_or_default();
        SignIn { issuer: issuer.to_owned(), subject: subject.to_owned(), email, create, join, address, now }
    }

    /// Checks that a caller who was admitted would be admitted now.
    pub(crate) async fn admit_again(&self, caller: &Caller, needs: &Needs) -> Result<()> {
        let now = Utc::now();
        let mut again = caller.clone();
        again.rights = Arc::default();
        again.administrator = match &caller.presented {
            Presented::Secret(secret) => {
                let found = self.store.credential(&secret.lookup).await?;
                let found = found
                    .filter(|found| found.secret == *secret)
                    .ok_or_else(|| invalid("the token was revoked"))?;
                check_expiry(found.expires_at, now)?;
                found.administrator
            }
            Presented::SignIn { sign_in, expires_at } => {
                check_expiry(Some(*expires_at), now)?;
                let known = SignIn { email: None, create: None, join: None, ..(**sign_in).clone() };
                let user = self.store.sign_in(&known).await?;
                user.ok_or_else(|| invalid("the user was deleted"))?.administrator
            }
        };
        self.check(&again, needs).await
    }

    /// Checks that a caller has what a request needs.
    pub(crate) async fn check(&self, caller: &Caller, needs: &Needs) -> Result<()> {
        match needs {
            Needs::Nothing | Needs::Credential => Ok(()),
            Needs::ServerAdministrator if caller.administrator => Ok(()),
            Needs::ServerAdministrator => Err(denied(SERVER_ADMINISTRATOR)),
            Needs::Permission(permission, place) => match self.extent(caller, *permission, place).await? {
                Extent::Everything => Ok(()),
                Extent::Nothing | Extent::Tagged(_) => Err(self.refusal(caller, *permission, place).await?),
            },
            Needs::OfFeature(permission, place, feature) => {
                let may = match self.extent(caller, *permission, place).await? {
                    Extent::Everything => true,
                    Extent::Nothing => false,
                    Extent::Tagged(tags) => {
                        // Whoever may not see features does not learn here which there are.
                        match self.store.feature(feature).await {
                            Ok(feature) => feature.tags.iter().any(|tag| tags.contains(tag)),
                            Err(Error::NotFound { .. }) => false,
                            Err(error) => return Err(error),
                        }
                    }
                };
                if may { Ok(()) } else { Err(self.refusal(caller, *permission, place).await?) }
            }
            Needs::OfGrant(name) => {
                let organisation = Place::Organisation(name.organisation.clone());
                let rights = caller.rights(&*self.store, &name.organisation).await?;
                if !rights.sees(&organisation) {
                    return Err(missing(&organisation));
                }
                let place = match self.store.grant(name).await {
                    Ok(grant) => grant.place,
                    // A repeated request finds its grant revoked; the store knows whether it is one.
                    Err(Error::NotFound { .. }) if rights.is_administrator() => return Ok(()),
                    Err(error) => return Err(error),
                };
                match rights.allows(place.administrator(), &place) {
                    true => Ok(()),
                    false if rights.sees(&place) => Err(denied(place.administrator().as_str())),
                    false => Err(Error::NotFound { kind: "grant", name: name.to_string() }),
                }
            }
            Needs::OfGrantee(grantee, _) if *grantee == caller.principal.clone().into() => Ok(()),
            Needs::OfGrantee(_, place) => {
                let needs = Needs::Permission(place.administrator(), place.clone());
                Box::pin(self.check(caller, &needs)).await
            }
            Needs::OfGroup(group) => {
                let place = Place::Organisation(group.organisation.clone());
                let rights = caller.rights(&*self.store, &group.organisation).await?;
                let permission = Permission::ManageUserGroups;
                if rights.allows(permission, &place) || rights.administered_groups.contains(&group.group) {
                    Ok(())
                } else {
                    Err(self.refusal(caller, permission, &place).await?)
                }
            }
            Needs::Own(user) if is(caller, user) || caller.administrator => Ok(()),
            Needs::Own(user) if self.knows(caller, user).await? => Err(denied(SERVER_ADMINISTRATOR)),
            Needs::Known(user) if caller.administrator || self.knows(caller, user).await? => Ok(()),
            Needs::Own(user) | Needs::Known(user) => {
                Err(Error::NotFound { kind: "user", name: user.to_string() })
            }
            Needs::All(all) => {
                for needs in all {
                    Box::pin(self.check(caller, needs)).await?;
                }
                Ok(())
            }
        }
    }

    async fn extent(&self, caller: &Caller, permission: Permission, place: &Place) -> Result<Extent> {
        Ok(caller.rights(&*self.store, place.organisation()).await?.extent(permission, place))
    }

    /// Returns why a caller may not: what they may not see does not exist for them.
    async fn refusal(&self, caller: &Caller, permission: Permission, place: &Place) -> Result<Error> {
        let rights = caller.rights(&*self.store, place.organisation()).await?;
        Ok(if rights.sees(place) { denied(permission.as_str()) } else { missing(place) })
    }

    async fn knows(&self, caller: &Caller, user: &UserName) -> Result<bool> {
        match &caller.principal {
            Principal::User(caller) => Ok(caller == user || self.store.are_colleagues(caller, user).await?),
            Principal::Token(_) | Principal::TrustRelationship(_) => Ok(false),
        }
    }
}

fn is(caller: &Caller, user: &UserName) -> bool {
    matches!(&caller.principal, Principal::User(caller) if caller == user)
}

fn denied(permission: &'static str) -> Error {
    Error::PermissionDenied { permission }
}

/// The error of a place that is not there, or that the caller may not see: nobody can tell which.
fn missing(place: &Place) -> Error {
    Error::NotFound { kind: place.kind(), name: place.to_string() }
}

fn invalid(message: &'static str) -> Error {
    Error::Unauthenticated { reason: "CREDENTIAL_INVALID", message }
}

fn check_expiry(expires_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Result<()> {
    if expires_at.is_some_and(|expires_at| expires_at <= now) {
        let message = "the token has expired";
        return Err(Error::Unauthenticated { reason: "CREDENTIAL_EXPIRED", message });
    }
    Ok(())
}

/// Says whether a credential is a signed token of an issuer: three parts, none of which has a dot.
fn is_signed(presented: &str) -> bool {
    presented.len() > PREFIX_CHARACTERS && presented.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// Returns an account for an e-mail address, with an id made of what is before the `@`.
fn new_user(email: &str, now: DateTime<Utc>) -> User {
    let local = email.split('@').next().unwrap_or_default().to_lowercase();
    let plain = local.chars().map(|symbol| if symbol.is_ascii_alphanumeric() { symbol } else { '-' });
    let plain: String =
        plain.skip_while(|symbol| !symbol.is_ascii_lowercase()).take(USER_ID_CHARACTERS).collect();
    let user = UserId::parse(plain.trim_end_matches('-')).or_else(|_| UserId::parse("user"));
    let user = user.unwrap_or_else(|_| unreachable!("`user` is an id"));
    User {
        name: UserName { user },
        email: email.to_owned(),
        email_verified: true,
        display_name: local,
        administrator: false,
        created_at: now,
        etag: String::new(),
    }
}

/// Characters of an id that is made of an e-mail address; the store may need some more to make it unique.
const USER_ID_CHARACTERS: usize = 50;

/// Returns what a request presents, if anything.
pub(crate) fn credential(headers: &HeaderMap) -> Result<&str> {
    let missing = Error::Unauthenticated {
        reason: "CREDENTIAL_MISSING",
        message: "a token must be presented as `authorization: Bearer TOKEN`",
    };
    let Some(value) = headers.get(AUTHORIZATION) else { return Err(missing) };
    let Ok(value) = value.to_str() else { return Err(missing) };
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => {
            Ok(token.trim())
        }
        _ => Err(missing),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn check_bearer(value: &'static str, token: Option<&str>) {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
        assert_eq!(credential(&headers).ok(), token, "{value}");
    }

    #[test]
    fn a_token_is_presented_as_bearer() {
        check_bearer("Bearer bgt_x", Some("bgt_x"));
        check_bearer("bearer  bgt_x ", Some("bgt_x"));
        check_bearer("Basic bgt_x", None);
        check_bearer("Bearer ", None);
        check_bearer("bgt_x", None);
        assert!(credential(&HeaderMap::new()).is_err());
    }

    #[test]
    fn an_account_is_named_after_its_address() {
        for (email, id) in [
            ("Ada.Lovelace@acme.com", "ada-lovelace"),
            ("1ada_2@acme.com", "ada-2"),
            ("--@acme.com", "user"),
            ("é@acme.com", "user"),
            ("a-@acme.com", "a"),
        ] {
            assert_eq!(new_user(email, DateTime::UNIX_EPOCH).name.user.as_str(), id, "{email}");
        }
        let long = format!("{}@acme.com", "a".repeat(64));
        assert_eq!(new_user(&long, DateTime::UNIX_EPOCH).name.user.as_str().len(), USER_ID_CHARACTERS);
    }
}
