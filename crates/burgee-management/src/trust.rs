//! Trust relationships: jobs of CI systems show what their platform gave them, and get a token for a while.

use std::time::Duration;

use burgee_core::access::ExchangedToken;
use burgee_core::account::AccountMutation;
use burgee_core::change::WriteContext;
use burgee_core::claims::ClaimRule;
use burgee_core::limits::{AUDIENCE_CHARACTERS, CLAIM_RULES_PER_TRUST_RELATIONSHIP};
use burgee_core::name::{OrganisationName, TrustRelationshipId, TrustRelationshipName};
use burgee_core::store::FlagStore;
use burgee_core::trust::{TrustRelationship, TrustRelationshipPatch};
use burgee_core::{Error, Result, Violation};
use burgee_proto::management::v1 as pb;
use burgee_proto::mask::Mask;
use burgee_proto::time::{length, timestamp};
use burgee_proto::v1 as shared;
use chrono::{DateTime, TimeDelta, Utc};
use tracing::{debug, info};

use crate::fields::{self, At as _, given, required};
use crate::oidc::{Audience, Verifier};
use crate::page::Paging;
use crate::secret::Secret;
use crate::transaction::apply_account;

/// The shortest time that an exchanged token is accepted.
const MINIMUM_LIFETIME_SECONDS: u32 = 60;
/// The longest time that an exchanged token is accepted, and that of a trust relationship that does not say.
const MAXIMUM_LIFETIME_SECONDS: u32 = 60 * 60;
/// The most bytes of a token that is shown.
const TOKEN_BYTES: usize = 16 * 1024;

/// The fields that can change, and whether they are set.
fn changeable(wire: &shared::TrustRelationship) -> [(&'static str, bool); 4] {
    [
        ("display_name", !wire.display_name.is_empty()),
        ("audience", !wire.audience.is_empty()),
        ("claim_rules", !wire.claim_rules.is_empty()),
        ("token_lifetime", wire.token_lifetime.is_some()),
    ]
}

pub(crate) async fn create(
    store: &dyn FlagStore,
    verifier: &Verifier,
    context: &WriteContext,
    request: pb::CreateTrustRelationshipRequest,
) -> Result<pb::CreateTrustRelationshipResponse> {
    let trust_relationship =
        new_trust_relationship(context, |issuer| verifier.can_exchange(issuer), request)?;
    let mutation = AccountMutation::CreateTrustRelationship { trust_relationship };
    let written = apply_account(store, context, mutation).await?;
    Ok(pb::CreateTrustRelationshipResponse { trust_relationship: written.trust_relationship() })
}

fn new_trust_relationship(
    context: &WriteContext,
    can_exchange: impl Fn(&str) -> bool,
    request: pb::CreateTrustRelationshipRequest,
) -> Result<TrustRelationship, Violation> {
    let organisation = OrganisationName::parse(&request.parent).at("parent")?;
    let id = TrustRelationshipId::parse(&request.trust_relationship_id).at("trust_relationship_id")?;
    let wire = required(request.trust_relationship, "trust_relationship")?;
    if !can_exchange(&wire.issuer) {
        let rule = "must be an issuer that the server's settings allow for trust relationships";
        return Err(Violation::new("trust_relationship.issuer", rule));
    }
    let name = TrustRelationshipName { organisation, trust_relationship: id };
    parse(name, wire, context.now).at("trust_relationship")
}

fn parse(
    name: TrustRelationshipName,
    wire: shared::TrustRelationship,
    now: DateTime<Utc>,
) -> Result<TrustRelationship, Violation> {
    Ok(TrustRelationship {
        display_name: fields::display_name(wire.display_name, name.trust_relationship.as_str())?,
        issuer: wire.issuer,
        audience: audience(wire.audience)?,
        claim_rules: claim_rules(wire.claim_rules)?,
        token_lifetime_seconds: lifetime_seconds(wire.token_lifetime)?,
        created_at: now,
        etag: String::new(),
        name,
    })
}

/// Checks the field `audience`.
fn audience(audience: String) -> Result<String, Violation> {
    if audience.is_empty() {
        return Err(Violation::new("audience", "must be set"));
    }
    fields::text(audience, AUDIENCE_CHARACTERS).at("audience")
}

/// Checks the field `claim_rules`.
fn claim_rules(rules: Vec<shared::ClaimRule>) -> Result<Vec<ClaimRule>, Violation> {
    // Without a rule, every customer of a public CI system would be let in.
    if !(1..=CLAIM_RULES_PER_TRUST_RELATIONSHIP).contains(&rules.len()) {
        let rule = format!("must be 1 to {CLAIM_RULES_PER_TRUST_RELATIONSHIP}, is {}", rules.len());
        return Err(Violation::new("claim_rules", rule));
    }
    let parse = |(index, rule)| ClaimRule::try_from(rule).at(format_args!("claim_rules[{index}]"));
    rules.into_iter().enumerate().map(parse).collect()
}

/// Checks the field `token_lifetime`, which has a default.
fn lifetime_seconds(lifetime: Option<prost_types::Duration>) -> Result<u32, Violation> {
    let Some(lifetime) = lifetime else { return Ok(MAXIMUM_LIFETIME_SECONDS) };
    let lifetime = length(&lifetime).at("token_lifetime")?;
    let seconds = u32::try_from(lifetime.as_secs()).ok().filter(|seconds| {
        let whole = lifetime == Duration::from_secs(u64::from(*seconds));
        whole && (MINIMUM_LIFETIME_SECONDS..=MAXIMUM_LIFETIME_SECONDS).contains(seconds)
    });
    seconds.ok_or_else(|| {
        let rule = format!(
            "must be {MINIMUM_LIFETIME_SECONDS} to {MAXIMUM_LIFETIME_SECONDS} whole seconds, is {lifetime:?}"
        );
        Violation::new("token_lifetime", rule)
    })
}

pub(crate) async fn get(
    store: &dyn FlagStore,
    request: pb::GetTrustRelationshipRequest,
) -> Result<pb::GetTrustRelationshipResponse> {
    let name = TrustRelationshipName::parse(&request.name).at("name")?;
    let found = store.trust_relationship(&name).await?;
    Ok(pb::GetTrustRelationshipResponse { trust_relationship: Some((&found).into()) })
}

pub(crate) async fn list(
    store: &dyn FlagStore,
    request: pb::ListTrustRelationshipsRequest,
) -> Result<pb::ListTrustRelationshipsResponse> {
    let parent = OrganisationName::parse(&request.parent).at("parent")?;
    let list = ["trust relationships", &request.parent];
    let paging = Paging::parse(request.page_size, &request.page_token, &list)?;
    let found = store.trust_relationships(&parent, &paging.query()).await?;
    let (trust_relationships, next_page_token) =
        paging.cut(found, |item| item.name.trust_relationship.to_string());
    Ok(pb::ListTrustRelationshipsResponse { trust_relationships, next_page_token })
}

pub(crate) async fn update(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::UpdateTrustRelationshipRequest,
) -> Result<pb::UpdateTrustRelationshipResponse> {
    let written = apply_account(store, context, plan_update(request)?).await?;
    Ok(pb::UpdateTrustRelationshipResponse { trust_relationship: written.trust_relationship() })
}

fn plan_update(request: pb::UpdateTrustRelationshipRequest) -> Result<AccountMutation, Violation> {
    let wire = required(request.trust_relationship, "trust_relationship")?;
    let name = TrustRelationshipName::parse(&wire.name).at("trust_relationship.name")?;
    let mask = Mask::parse(request.update_mask, &changeable(&wire))?;
    let display_name = mask
        .select("display_name", wire.display_name)
        .map(|text| fields::display_name(text, name.trust_relationship.as_str()));
    let audience = mask.select("audience", wire.audience).map(audience);
    let claim_rules = mask.select("claim_rules", wire.claim_rules).map(claim_rules);
    let lifetime_seconds = mask.select("token_lifetime", wire.token_lifetime).map(lifetime_seconds);
    let patch = TrustRelationshipPatch {
        display_name: display_name.transpose().at("trust_relationship")?,
        audience: audience.transpose().at("trust_relationship")?,
        claim_rules: claim_rules.transpose().at("trust_relationship")?,
        token_lifetime_seconds: lifetime_seconds.transpose().at("trust_relationship")?,
    };
    Ok(AccountMutation::UpdateTrustRelationship { name, patch, etag: given(wire.etag) })
}

pub(crate) async fn delete(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::DeleteTrustRelationshipRequest,
) -> Result<pb::DeleteTrustRelationshipResponse> {
    let name = TrustRelationshipName::parse(&request.name).at("name")?;
    let mutation = AccountMutation::DeleteTrustRelationship { name, etag: given(request.etag) };
    apply_account(store, context, mutation).await?;
    Ok(pb::DeleteTrustRelationshipResponse {})
}

pub(crate) async fn exchange(
    store: &dyn FlagStore,
    verifier: &Verifier,
    now: DateTime<Utc>,
    request: pb::ExchangeTokenRequest,
) -> Result<pb::ExchangeTokenResponse> {
    let name = TrustRelationshipName::parse(&request.name).at("name")?;
    if !(1..=TOKEN_BYTES).contains(&request.token.len()) {
        let rule = format!("must be 1 to {TOKEN_BYTES} bytes, is {}", request.token.len());
        return Err(Error::invalid("token", rule));
    }
    let outcome = exchanged(store, verifier, now, &name, &request.token).await;
    outcome.inspect_err(|error| {
        debug!(trust_relationship.name = %name, %error, "refused to exchange a token: {error}");
    })
}

async fn exchanged(
    store: &dyn FlagStore,
    verifier: &Verifier,
    now: DateTime<Utc>,
    name: &TrustRelationshipName,
    token: &str,
) -> Result<pb::ExchangeTokenResponse> {
    let trust = store.trust_relationship(name).await.map_err(refusal)?;
    let audience = Audience::Exchange { issuer: &trust.issuer, audience: &trust.audience };
    let verified = verifier.verify(token, audience, now).await.map_err(refusal)?;
    // A trust relationship without rules would trust every customer of the issuer.
    let fits = trust.claim_rules.iter().all(|rule| rule.matches(&verified.claims));
    if trust.claim_rules.is_empty() || !fits {
        return Err(refused());
    }
    let secret = Secret::exchanged_token()?;
    let expires_at = now + TimeDelta::seconds(i64::from(trust.token_lifetime_seconds));
    let token = ExchangedToken {
        secret: secret.stored(),
        subject: verified.subject.clone(),
        created_at: now,
        expires_at,
    };
    store.exchange(name, &trust.etag, token).await.map_err(refusal)?;
    let subject = &verified.subject;
    info!(
        trust_relationship.name = %name, subject, hint = secret.hint(), %expires_at,
        "`{subject}` exchanged a token by `{name}`, good until {expires_at}"
    );
    Ok(pb::ExchangeTokenResponse { secret: secret.reveal(), expire_time: Some(timestamp(expires_at)) })
}

/// What every token is answered that is not what is asked for, also of a trust relationship that does not exist: nobody learns
/// which there are.
fn refused() -> Error {
    Error::Unauthenticated {
        reason: "CREDENTIAL_INVALID",
        message: "the token is not one that this trust relationship asks for, or there is no such trust relationship",
    }
}

/// Makes errors that tell whether a trust relationship exists, or what it asks for, the same as all others.
fn refusal(error: Error) -> Error {
    match error {
        Error::NotFound { .. } | Error::Unauthenticated { .. } => refused(),
        // It was changed while the token was looked at.
        Error::StaleEtag { .. } => refused(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GITHUB: &str = "https://token.actions.githubusercontent.com";

    fn wire() -> shared::TrustRelationship {
        shared::TrustRelationship {
            name: "organisations/acme/trustRelationships/github".into(),
            issuer: GITHUB.into(),
            audience: "https://flags.acme.example".into(),
            claim_rules: vec![rule("repository")],
            ..Default::default()
        }
    }

    fn rule(claim: &str) -> shared::ClaimRule {
        shared::ClaimRule { claim: claim.into(), patterns: vec!["acme/*".into()] }
    }

    fn created(trust_relationship: shared::TrustRelationship) -> Result<TrustRelationship, Violation> {
        let context = WriteContext {
            actor: "users/ada".into(),
            credential: "users/ada/tokens/laptop".into(),
            on_behalf_of: String::new(),
            address: String::new(),
            method: "TrustService/CreateTrustRelationship".into(),
            request_id: None,
            request_digest: [0; 32],
            reason: String::new(),
            validate_only: false,
            now: DateTime::UNIX_EPOCH,
        };
        let request = pb::CreateTrustRelationshipRequest {
            parent: "organisations/acme".into(),
            trust_relationship_id: "github".into(),
            trust_relationship: Some(trust_relationship),
            ..Default::default()
        };
        new_trust_relationship(&context, |issuer| issuer == GITHUB, request)
    }

    fn updated(
        trust_relationship: shared::TrustRelationship,
        paths: &[&str],
    ) -> Result<AccountMutation, Violation> {
        plan_update(pb::UpdateTrustRelationshipRequest {
            trust_relationship: Some(trust_relationship),
            update_mask: Some(prost_types::FieldMask {
                paths: paths.iter().map(ToString::to_string).collect(),
            }),
            ..Default::default()
        })
    }

    #[test]
    fn a_trust_relationship_names_an_issuer_that_the_settings_allow() {
        let trust = created(wire()).unwrap();
        assert_eq!((trust.issuer.as_str(), trust.token_lifetime_seconds), (GITHUB, 3_600));
        assert_eq!(trust.display_name, "github");
        for issuer in ["", "https://evil.example", "https://token.actions.githubusercontent.com/"] {
            let other = shared::TrustRelationship { issuer: issuer.into(), ..wire() };
            assert_eq!(created(other).unwrap_err().field, "trust_relationship.issuer", "{issuer}");
        }
        assert_eq!(updated(wire(), &["issuer"]).unwrap_err().field, "update_mask");
    }

    /// Checks that creating and updating refuse the same.
    fn check_refused(trust: shared::TrustRelationship, field: &str) {
        assert_eq!(created(trust.clone()).unwrap_err().field, field);
        assert_eq!(updated(trust, &["*"]).unwrap_err().field, field);
    }

    #[test]
    fn a_trust_relationship_asks_for_something() {
        let with = |claim_rules| shared::TrustRelationship { claim_rules, ..wire() };
        check_refused(with(vec![]), "trust_relationship.claim_rules");
        check_refused(with(vec![rule("sub"); 21]), "trust_relationship.claim_rules");
        assert_eq!(created(with(vec![rule("sub"); 20])).unwrap().claim_rules.len(), 20);
        check_refused(with(vec![rule("sub"), rule("")]), "trust_relationship.claim_rules[1].claim");
        let nothing = shared::ClaimRule { claim: "sub".into(), patterns: vec![] };
        check_refused(with(vec![nothing]), "trust_relationship.claim_rules[0].patterns");
        for audience in [String::new(), "é".repeat(501)] {
            check_refused(shared::TrustRelationship { audience, ..wire() }, "trust_relationship.audience");
        }
        let audience = "é".repeat(500);
        assert!(created(shared::TrustRelationship { audience, ..wire() }).is_ok());
    }

    #[test]
    fn a_token_is_accepted_for_a_minute_to_an_hour() {
        let check = |seconds: i64, nanos: i32, valid: bool| {
            let token_lifetime = Some(prost_types::Duration { seconds, nanos });
            let trust = shared::TrustRelationship { token_lifetime, ..wire() };
            if valid {
                assert_eq!(i64::from(created(trust).unwrap().token_lifetime_seconds), seconds);
            } else {
                check_refused(trust, "trust_relationship.token_lifetime");
            }
        };
        check(60, 0, true);
        check(3_600, 0, true);
        check(59, 999_999_999, false);
        check(60, 1, false);
        check(3_601, 0, false);
        check(-60, 0, false);
        check(i64::MAX, 0, false);
    }

    #[test]
    fn an_update_changes_what_the_mask_names() {
        let check = |paths: &[&str], patch: TrustRelationshipPatch| {
            let name = TrustRelationshipName::parse(&wire().name).unwrap();
            let expected = AccountMutation::UpdateTrustRelationship { name, patch, etag: None };
            assert_eq!(updated(wire(), paths).unwrap(), expected);
        };
        let audience = Some("https://flags.acme.example".to_owned());
        let claim_rules = Some(vec![ClaimRule::new("repository", vec!["acme/*".into()]).unwrap()]);
        let none = TrustRelationshipPatch::default();
        check(&["audience"], TrustRelationshipPatch { audience: audience.clone(), ..none.clone() });
        check(
            &["token_lifetime"],
            TrustRelationshipPatch { token_lifetime_seconds: Some(3_600), ..none.clone() },
        );
        check(&[], TrustRelationshipPatch { audience, claim_rules, ..none });
    }

    #[test]
    fn nobody_learns_which_trust_relationships_exist() {
        let check = |error: Error| {
            let refusal = burgee_proto::status::status(refusal(error));
            let refused = burgee_proto::status::status(refused());
            assert_eq!((refusal.code(), refusal.message()), (refused.code(), refused.message()));
            assert_eq!(refusal.details(), refused.details());
        };
        check(Error::NotFound { kind: "trust relationship", name: "x".into() });
        check(Error::NotFound { kind: "organisation", name: "organisations/acme".into() });
        check(Error::Unauthenticated { reason: "CREDENTIAL_INVALID", message: "the signature is wrong" });
        check(Error::Unauthenticated { reason: "CREDENTIAL_EXPIRED", message: "the token has expired" });
    }
}
