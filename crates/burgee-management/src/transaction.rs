//! Writes of a project's configuration, and those outside of projects, on their way to the store and back.

use burgee_core::account::{AccountApplied, AccountMutation, AccountResource};
use burgee_core::change::{Applied, Mutation, Resource, WriteContext};
use burgee_core::name::ProjectName;
use burgee_core::store::FlagStore;
use burgee_core::{Error, Result, Violation};
use burgee_proto::v1 as pb;
use tracing::{debug, info};

/// What a request asks for.
#[derive(Debug)]
pub(crate) struct Planned {
    /// The project that it names.
    pub(crate) project: ProjectName,
    /// Where it does so.
    pub(crate) name_field: &'static str,
    /// What to do.
    pub(crate) mutation: Mutation,
    /// Gives a violation that only the store can see the path of the field in the request.
    pub(crate) locate: fn(Violation) -> Violation,
}

/// What was done.
#[derive(Debug)]
pub(crate) struct Written {
    /// The project's revision that holds the change.
    pub(crate) revision: i64,
    /// Whether it was done now: not by an earlier, equal request, and not only checked.
    pub(crate) done_now: bool,
    resource: Option<Resource>,
}

macro_rules! resources {
    ($($(#[$doc:meta])* $function:ident: $variant:ident => $message:ident)*) => {
        $(
            $(#[$doc])*
            pub(crate) fn $function(&self) -> Option<pb::$message> {
                match &self.resource {
                    Some(Resource::$variant(resource)) => Some(resource.into()),
                    _ => None,
                }
            }
        )*
    };
}

impl Written {
    resources! {
        /// Returns the project, unless it was deleted since.
        project: Project => Project
        /// Returns the environment, unless it was deleted since.
        environment: Environment => Environment
        /// Returns the key, unless it was deleted since.
        key: Key => EnvironmentKey
        /// Returns the feature, unless it was deleted since.
        feature: Feature => Feature
        /// Returns the flag, unless it was deleted since.
        flag: Flag => Flag
        /// Returns the identity override, unless it was deleted since.
        identity_override: IdentityOverride => IdentityOverride
        /// Returns the segment, unless it was deleted since.
        segment: Segment => Segment
    }
}

/// Does what a request asks for.
pub(crate) async fn apply(
    store: &dyn FlagStore,
    context: &WriteContext,
    planned: Planned,
) -> Result<Written> {
    let Planned { project, name_field: _, mutation, locate } = planned;
    let applied =
        store.apply(context, &project, vec![mutation]).await.map_err(|error| located(error, locate))?;
    log_revision(context, &project, &applied);
    let done_now = !applied.replayed && !context.validate_only;
    let resource = applied.resources.into_iter().next().flatten();
    Ok(Written { revision: applied.revision, done_now, resource })
}

/// Gives the violations of an error their paths in the request.
pub(crate) fn located(error: Error, locate: impl Fn(Violation) -> Violation) -> Error {
    match error {
        Error::Invalid(violations) => Error::Invalid(violations.into_iter().map(locate).collect()),
        other => other,
    }
}

/// Logs a write of a project's configuration.
pub(crate) fn log_revision(context: &WriteContext, project: &ProjectName, applied: &Applied) {
    let WriteContext { actor, method, .. } = context;
    let revision = applied.revision;
    if context.validate_only || applied.replayed {
        debug!(project.name = %project, revision, actor, method, "{method} by `{actor}` changed nothing in `{project}`");
        return;
    }
    let subject =
        applied.resources.first().and_then(Option::as_ref).map_or_else(|| project.to_string(), subject);
    let changes = applied.resources.len();
    info!(
        project.name = %project, revision, subject, changes, actor, method,
        "{method} of `{subject}` by `{actor}` made revision {revision} of `{project}`"
    );
}

/// What was done outside of projects.
#[derive(Debug)]
pub(crate) struct AccountWritten {
    /// Whether it was done now: not by an earlier, equal request, and not only checked.
    pub(crate) done_now: bool,
    resource: Option<AccountResource>,
}

macro_rules! account_resources {
    ($($(#[$doc:meta])* $function:ident: $variant:ident => $message:ident)*) => {
        $(
            $(#[$doc])*
            pub(crate) fn $function(&self) -> Option<pb::$message> {
                match &self.resource {
                    Some(AccountResource::$variant(resource)) => Some(resource.into()),
                    _ => None,
                }
            }
        )*
    };
}

impl AccountWritten {
    account_resources! {
        /// Returns the organisation, unless it was deleted since.
        organisation: Organisation => Organisation
        /// Returns the user, unless it was deleted since.
        user: User => User
        /// Returns the token, unless it was deleted since.
        token: Token => Token
        /// Returns the member, unless it was removed since.
        member: Member => Member
        /// Returns the group, unless it was deleted since.
        group: Group => Group
        /// Returns the member of a group, unless it was removed since.
        group_member: GroupMember => GroupMember
        /// Returns the invitation, unless it was deleted since.
        invitation: Invitation => Invitation
        /// Returns the role, unless it was deleted since.
        role: Role => PermissionRole
        /// Returns the grant, unless it was revoked since.
        grant: Grant => Grant
        /// Returns the trust relationship, unless it was deleted since.
        trust_relationship: TrustRelationship => TrustRelationship
    }

    /// Returns who joined, and the account and the token that were made for them, unless they left since.
    pub(crate) fn joined(&self) -> Option<(pb::Member, Option<pb::User>, Option<pb::Token>)> {
        match &self.resource {
            Some(AccountResource::Joined { member, user, token }) => {
                Some((member.into(), user.as_ref().map(Into::into), token.as_ref().map(Into::into)))
            }
            _ => None,
        }
    }
}

/// Does what a request asks for outside of projects.
pub(crate) async fn apply_account(
    store: &dyn FlagStore,
    context: &WriteContext,
    mutation: AccountMutation,
) -> Result<AccountWritten> {
    let applied = store.apply_account(context, mutation).await?;
    log_account_revision(context, &applied);
    let done_now = !applied.replayed && !context.validate_only;
    Ok(AccountWritten { done_now, resource: applied.resource })
}

/// Logs a write outside of projects.
fn log_account_revision(context: &WriteContext, applied: &AccountApplied) {
    let WriteContext { actor, method, .. } = context;
    let revision = applied.revision;
    // What is not there any more has no name.
    let subject = applied.resource.as_ref().map(account_subject).unwrap_or_default();
    if context.validate_only || applied.replayed {
        debug!(revision, subject, actor, method, "{method} by `{actor}` changed nothing");
    } else {
        info!(
            revision,
            subject,
            actor,
            method,
            "{method} of `{subject}` by `{actor}` made revision {revision} of its log"
        );
    }
}

/// Logs a write that is in no log of its own.
pub(crate) fn log_write(context: &WriteContext, subject: &dyn std::fmt::Display) {
    let WriteContext { actor, method, .. } = context;
    if context.validate_only {
        debug!(%subject, actor, method, "{method} by `{actor}` would change `{subject}`");
    } else {
        info!(%subject, actor, method, "{method} by `{actor}` changed `{subject}`");
    }
}

fn subject(resource: &Resource) -> String {
    match resource {
        Resource::Project(project) => project.name.to_string(),
        Resource::Environment(environment) => environment.name.to_string(),
        Resource::Key(key) => key.name.to_string(),
        Resource::Feature(feature) => feature.name.to_string(),
        Resource::Flag(flag) => flag.name.to_string(),
        Resource::IdentityOverride(replacement) => replacement.name.to_string(),
        Resource::Segment(segment) => segment.name.to_string(),
    }
}

fn account_subject(resource: &AccountResource) -> String {
    match resource {
        AccountResource::Organisation(organisation) => organisation.name.to_string(),
        AccountResource::Project(project) => project.name.to_string(),
        AccountResource::User(user) => user.name.to_string(),
        AccountResource::Token(token) => token.name.to_string(),
        AccountResource::Member(member) | AccountResource::Joined { member, .. } => member.name.to_string(),
        AccountResource::Group(group) => group.name.to_string(),
        AccountResource::GroupMember(member) => member.name.to_string(),
        AccountResource::Invitation(invitation) => invitation.name.to_string(),
        AccountResource::Role(role) => role.name.to_string(),
        AccountResource::Grant(grant) => grant.name.to_string(),
        AccountResource::TrustRelationship(trust) => trust.name.to_string(),
    }
}
