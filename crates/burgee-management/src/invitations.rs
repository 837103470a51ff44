//! Invitations: who may join an organisation by showing a secret.

use burgee_core::access::{StoredSecret, Token};
use burgee_core::account::{AccountMutation, Joiner};
use burgee_core::change::WriteContext;
use burgee_core::grant::Principal;
use burgee_core::limits::GROUPS_PER_INVITATION;
use burgee_core::name::{
    GroupId, GroupName, InvitationId, InvitationName, OrganisationName, TokenId, TokenName, TokenOwner,
    UserId, UserName,
};
use burgee_core::organisation::{Invitation, Role, User};
use burgee_core::store::FlagStore;
use burgee_core::{Error, Result, Violation};
use burgee_proto::management::v1 as pb;
use burgee_proto::v1 as shared;
use chrono::{DateTime, TimeDelta, Utc};

use crate::fields::{self, At as _, given};
use crate::gate::Caller;
use crate::page::Paging;
use crate::secret::Secret;
use crate::transaction::apply_account;

/// How long an invitation can be accepted if the request does not say.
const DEFAULT_LIFETIME: TimeDelta = TimeDelta::days(7);
/// The longest time that an invitation can be accepted.
const MAXIMUM_LIFETIME: TimeDelta = TimeDelta::days(30);
/// The most bytes of a secret that is looked up.
const SECRET_BYTES: usize = 256;
/// The id of the token that a new user gets.
const FIRST_TOKEN: &str = "first";

pub(crate) async fn create(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::CreateInvitationRequest,
) -> Result<pb::CreateInvitationResponse> {
    let secret = Secret::invitation()?;
    let invitation = new_invitation(context, secret.hint(), request)?;
    let mutation = AccountMutation::CreateInvitation { invitation, secret: secret.stored() };
    let written = apply_account(store, context, mutation).await?;
    // The secret of an earlier, equal request was shown then.
    let shown = if written.done_now { secret.reveal() } else { String::new() };
    Ok(pb::CreateInvitationResponse { invitation: written.invitation(), secret: shown })
}

fn new_invitation(
    context: &WriteContext,
    hint: String,
    request: pb::CreateInvitationRequest,
) -> Result<Invitation, Violation> {
    let organisation = OrganisationName::parse(&request.parent).at("parent")?;
    let id = InvitationId::parse(&request.invitation_id).at("invitation_id")?;
    let wire = request.invitation.unwrap_or_default();
    let role = Role::try_from(wire.role()).at("invitation.role")?;
    let email = given(wire.email).map(fields::email).transpose().at("invitation")?;
    if email.is_none() && role == Role::Admin {
        return Err(Violation::new("invitation.role", "must be `ROLE_MEMBER` without an `email`"));
    }
    Ok(Invitation {
        email,
        role,
        groups: groups(&organisation, &wire.groups).at("invitation")?,
        hint,
        inviter: context.actor.clone(),
        created_at: context.now,
        expires_at: expiry(wire.expire_time, context.now).at("invitation")?,
        accepted_at: None,
        name: InvitationName { organisation, invitation: id },
    })
}

/// Checks the field `groups`.
fn groups(organisation: &OrganisationName, names: &[String]) -> Result<Vec<GroupId>, Violation> {
    if names.len() > GROUPS_PER_INVITATION {
        let rule = format!("must be at most {GROUPS_PER_INVITATION}, is {}", names.len());
        return Err(Violation::new("groups", rule));
    }
    fields::each_once(names, "groups", |name| {
        let name = GroupName::parse(name)?;
        fields::belongs_to(organisation, Some(&name.organisation))?;
        Ok(name.group)
    })
}

/// Checks the field `expire_time`, which has a default and a maximum.
fn expiry(time: Option<prost_types::Timestamp>, now: DateTime<Utc>) -> Result<DateTime<Utc>, Violation> {
    match fields::expiry(time, now)? {
        None => Ok(now + DEFAULT_LIFETIME),
        Some(time) if time > now + MAXIMUM_LIFETIME => Err(Violation::new(
            "expire_time",
            format!("must be at most {} days ahead", MAXIMUM_LIFETIME.num_days()),
        )),
        Some(time) => Ok(time),
    }
}

pub(crate) async fn get(
    store: &dyn FlagStore,
    request: pb::GetInvitationRequest,
) -> Result<pb::GetInvitationResponse> {
    let name = InvitationName::parse(&request.name).at("name")?;
    Ok(pb::GetInvitationResponse { invitation: Some((&store.invitation(&name).await?).into()) })
}

pub(crate) async fn list(
    store: &dyn FlagStore,
    request: pb::ListInvitationsRequest,
) -> Result<pb::ListInvitationsResponse> {
    let parent = OrganisationName::parse(&request.parent).at("parent")?;
    let paging = Paging::parse(request.page_size, &request.page_token, &["invitations", &request.parent])?;
    let found = store.invitations(&parent, &paging.query()).await?;
    let (invitations, next_page_token) = paging.cut(found, |item| item.name.invitation.to_string());
    Ok(pb::ListInvitationsResponse { invitations, next_page_token })
}

pub(crate) async fn delete(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::DeleteInvitationRequest,
) -> Result<pb::DeleteInvitationResponse> {
    let name = InvitationName::parse(&request.name).at("name")?;
    apply_account(store, context, AccountMutation::DeleteInvitation { name }).await?;
    Ok(pb::DeleteInvitationResponse {})
}

pub(crate) async fn accept(
    store: &dyn FlagStore,
    caller: Option<&Caller>,
    context: &WriteContext,
    request: pb::AcceptInvitationRequest,
) -> Result<pb::AcceptInvitationResponse> {
    let pb::AcceptInvitationRequest { secret, user_id, user, .. } = request;
    let joining = Joining::parse(caller.map(|caller| &caller.principal), &user_id, user)?;
    let invitation = opened(store, &secret).await?;
    let (joiner, shown, context) = match joining {
        Joining::Caller(name) => (Joiner::User(name), None, context.clone()),
        Joining::New { id, wire } => {
            let secret = Secret::user_token()?;
            let user = new_user(id, wire, invitation.email, context.now)?;
            let token = first_token(&user, secret.hint())?;
            // Whoever is created here acts for the first time.
            let context = WriteContext { actor: user.name.to_string(), ..context.clone() };
            (Joiner::New { user, token, secret: secret.stored() }, Some(secret), context)
        }
    };
    let mutation = AccountMutation::AcceptInvitation { name: invitation.name, joiner };
    let written = apply_account(store, &context, mutation).await.map_err(closed)?;
    let (member, user, token) = match written.joined() {
        Some((member, user, token)) => (Some(member), user, token),
        None => (None, None, None),
    };
    let token_secret = match shown {
        Some(secret) if written.done_now => secret.reveal(),
        _ => String::new(),
    };
    Ok(pb::AcceptInvitationResponse { member, user, token, token_secret })
}

/// Who wants to join.
#[derive(Debug)]
enum Joining {
    /// The user who calls.
    Caller(UserName),
    /// Somebody without an account.
    New { id: UserId, wire: shared::User },
}

impl Joining {
    fn parse(
        caller: Option<&Principal>,
        user_id: &str,
        user: Option<shared::User>,
    ) -> Result<Self, Violation> {
        match caller {
            Some(Principal::User(_)) if !user_id.is_empty() => {
                Err(Violation::new("user_id", "must be empty: who presents a token has an account"))
            }
            Some(Principal::User(name)) => Ok(Self::Caller(name.clone())),
            Some(other @ (Principal::Token(_) | Principal::TrustRelationship(_))) => {
                Err(Violation::new("secret", format!("must be presented by a user, not by `{other}`")))
            }
            None => {
                let id = UserId::parse(user_id).at("user_id")?;
                Ok(Self::New { id, wire: user.unwrap_or_default() })
            }
        }
    }
}

/// Returns the invitation that a secret opens. Whether it can be accepted now, the store knows: a repeated request finds it
/// accepted.
async fn opened(store: &dyn FlagStore, secret: &str) -> Result<Invitation> {
    if secret.len() > SECRET_BYTES {
        return Err(unknown());
    }
    match store.invitation_by_secret(&StoredSecret::lookup(secret)).await? {
        Some((invitation, stored)) if stored.is(secret) => Ok(invitation),
        Some(_) | None => Err(unknown()),
    }
}

/// What a secret is answered that opens nothing, or nothing any more: nobody learns which.
fn unknown() -> Error {
    Error::NotFound { kind: "invitation", name: "of this secret".to_owned() }
}

/// Does not tell an invitation that cannot be accepted any more from one that never was.
fn closed(error: Error) -> Error {
    match error {
        Error::NotFound { kind: "invitation", .. } => unknown(),
        other => other,
    }
}

/// Makes an account. The address of an invitation is known to be its user's; one that somebody gives with a link is not.
fn new_user(
    id: UserId,
    wire: shared::User,
    invited: Option<String>,
    now: DateTime<Utc>,
) -> Result<User, Violation> {
    let email = match invited {
        Some(email) => email,
        None => fields::email(wire.email).at("user")?,
    };
    Ok(User {
        email,
        display_name: fields::display_name(wire.display_name, id.as_str()).at("user")?,
        // Whoever invites is shown the secret, and could accept for somebody else: that the address is the user's, nobody knows.
        email_verified: false,
        administrator: false,
        created_at: now,
        etag: String::new(),
        name: UserName { user: id },
    })
}

fn first_token(user: &User, hint: String) -> Result<Token, Violation> {
    Ok(Token {
        name: TokenName { owner: TokenOwner::User(user.name.clone()), token: TokenId::parse(FIRST_TOKEN)? },
        display_name: "First token".to_owned(),
        hint,
        created_at: user.created_at,
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    })
}

#[cfg(test)]
mod tests {
    use burgee_core::name::TrustRelationshipName;

    use super::*;

    const DAY_SECONDS: i64 = 86_400;

    fn context() -> WriteContext {
        WriteContext {
            actor: "users/ada".into(),
            credential: "users/ada/tokens/laptop".into(),
            on_behalf_of: String::new(),
            address: String::new(),
            method: "InvitationService/CreateInvitation".into(),
            request_id: None,
            request_digest: [0; 32],
            reason: String::new(),
            validate_only: false,
            now: DateTime::UNIX_EPOCH,
        }
    }

    fn parsed(invitation: shared::Invitation) -> Result<Invitation, Violation> {
        new_invitation(
            &context(),
            "bgi_abcdefghijkl".into(),
            pb::CreateInvitationRequest {
                parent: "organisations/acme".into(),
                invitation_id: "eve".into(),
                invitation: Some(invitation),
                ..Default::default()
            },
        )
    }

    fn link() -> shared::Invitation {
        shared::Invitation { role: shared::Role::Member.into(), ..Default::default() }
    }

    fn check_refused(invitation: shared::Invitation, field: &str) {
        assert_eq!(parsed(invitation).unwrap_err().field, field);
    }

    #[test]
    fn a_link_invites_members_only() {
        let invitation = parsed(link()).unwrap();
        assert_eq!((invitation.email, invitation.role), (None, Role::Member));
        assert_eq!(invitation.inviter, "users/ada");
        check_refused(shared::Invitation { role: shared::Role::Admin.into(), ..link() }, "invitation.role");
        check_refused(shared::Invitation { role: 0, ..link() }, "invitation.role");
        let invitation =
            shared::Invitation { role: shared::Role::Admin.into(), email: "eve@b".into(), ..link() };
        assert_eq!(parsed(invitation).unwrap().email.as_deref(), Some("eve@b"));
        check_refused(shared::Invitation { email: "eve".into(), ..link() }, "invitation.email");
    }

    #[test]
    fn an_invitation_expires_within_30_days() {
        let expiring = |seconds| {
            let expire_time = Some(prost_types::Timestamp { seconds, nanos: 0 });
            parsed(shared::Invitation { expire_time, ..link() })
        };
        assert_eq!(parsed(link()).unwrap().expires_at.timestamp(), 7 * DAY_SECONDS);
        assert_eq!(expiring(30 * DAY_SECONDS).unwrap().expires_at.timestamp(), 30 * DAY_SECONDS);
        assert_eq!(expiring(30 * DAY_SECONDS + 1).unwrap_err().field, "invitation.expire_time");
        assert_eq!(expiring(0).unwrap_err().field, "invitation.expire_time");
    }

    #[test]
    fn groups_are_of_the_organisation_and_each_is_named_once() {
        let of = |names: &[&str]| {
            parsed(shared::Invitation { groups: names.iter().map(ToString::to_string).collect(), ..link() })
        };
        let (eng, ops) = ("organisations/acme/groups/eng", "organisations/acme/groups/ops");
        assert_eq!(of(&[ops, eng]).unwrap().groups.len(), 2);
        assert_eq!(of(&[eng, ops, eng]).unwrap_err().field, "invitation.groups[2]");
        assert_eq!(of(&[eng, "organisations/evil/groups/eng"]).unwrap_err().field, "invitation.groups[1]");
        assert_eq!(of(&["eng"]).unwrap_err().field, "invitation.groups[0]");
        assert_eq!(of(&[eng; 101]).unwrap_err().field, "invitation.groups");
    }

    #[test]
    fn users_join_as_themselves_and_others_with_a_new_account() {
        let check = |caller: Option<Principal>, user_id: &str, expected: Result<&str, &str>| {
            let joining = Joining::parse(caller.as_ref(), user_id, None);
            let joining = joining.map(|joining| match joining {
                Joining::Caller(name) => name.to_string(),
                Joining::New { id, .. } => format!("new {id}"),
            });
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(joining.map_err(|violation| violation.field), expected);
        };
        let ada = || Some(Principal::User(UserName::parse("users/ada").unwrap()));
        let token = TokenName::parse("organisations/acme/tokens/ci").unwrap();
        let trust = TrustRelationshipName::parse("organisations/acme/trustRelationships/ci").unwrap();
        check(ada(), "", Ok("users/ada"));
        check(ada(), "eve", Err("user_id"));
        check(None, "eve", Ok("new eve"));
        check(None, "", Err("user_id"));
        check(Some(Principal::Token(token)), "", Err("secret"));
        check(Some(Principal::TrustRelationship(trust)), "eve", Err("secret"));
    }

    #[test]
    fn an_address_of_an_invitation_is_taken_and_not_verified() {
        let user = |invited: Option<&str>, given: &str| {
            let wire = shared::User {
                email: given.into(),
                administrator: Some(true),
                email_verified: true,
                ..Default::default()
            };
            new_user(UserId::parse("eve").unwrap(), wire, invited.map(str::to_owned), DateTime::UNIX_EPOCH)
        };
        let invited = user(Some("eve@example.com"), "ada@example.com").unwrap();
        assert_eq!((invited.email.as_str(), invited.email_verified), ("eve@example.com", false));
        let linked = user(None, "eve@example.com").unwrap();
        assert_eq!((linked.email.as_str(), linked.email_verified), ("eve@example.com", false));
        assert!(!invited.administrator && !linked.administrator);
        assert_eq!(user(None, "").unwrap_err().field, "user.email");
        let token = first_token(&invited, "bgu_abcdefghijkl".into()).unwrap();
        assert_eq!(token.name.to_string(), "users/eve/tokens/first");
    }

    #[test]
    fn a_closed_invitation_looks_like_one_that_never_was() {
        let gone = Error::NotFound { kind: "invitation", name: "organisations/acme/invitations/eve".into() };
        assert_eq!(closed(gone).to_string(), unknown().to_string());
        let taken = Error::AlreadyExists { kind: "member", name: "organisations/acme/members/eve".into() };
        assert!(matches!(closed(taken), Error::AlreadyExists { .. }));
    }
}
