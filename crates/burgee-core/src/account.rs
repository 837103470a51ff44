//! Writes outside of projects: of the server's accounts, and of who may do what in an organisation.

use chrono::{DateTime, Utc};

use crate::access::{StoredSecret, Token};
use crate::grant::{Grant, PermissionRole, PermissionRolePatch};
use crate::name::{
    GrantName, GroupMemberName, GroupName, InvitationName, MemberName, OrganisationName, ProjectName,
    RoleName, TokenName, TrustRelationshipName, UserName,
};
use crate::organisation::{
    Group, GroupMember, GroupPatch, Invitation, Member, Organisation, OrganisationPatch, Role, User,
    UserPatch,
};
use crate::trust::{TrustRelationship, TrustRelationshipPatch};

/// One write outside of projects. It is one change of one log: the server's or an organisation's.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "a handful exist at a time")]
pub enum AccountMutation {
    /// Creates an organisation. In the server's log.
    CreateOrganisation {
        /// Its etag is not looked at.
        organisation: Organisation,
    },
    /// Changes an organisation. Settings that evaluation looks at take a revision of each of its projects.
    UpdateOrganisation {
        /// Which.
        name: OrganisationName,
        /// What to change.
        patch: OrganisationPatch,
        /// Must be the current one, if given.
        etag: Option<String>,
    },
    /// Deletes an organisation. In the server's log: its own goes with it.
    DeleteOrganisation {
        /// Which.
        name: OrganisationName,
        /// Deletes its projects, too; otherwise one that has any is refused.
        force: bool,
        /// Must be the current one, if given.
        etag: Option<String>,
    },
    /// Deletes a project with all that is in it. In the organisation's log.
    DeleteProject {
        /// Which.
        name: ProjectName,
        /// Without it, one that has environments or features is refused.
        force: bool,
        /// Must be the current one, if given.
        etag: Option<String>,
    },
    /// Creates a user. In the server's log.
    CreateUser {
        /// Its etag is not looked at.
        user: User,
    },
    /// Changes a user; the last administrator of the server stays one. In the server's log.
    UpdateUser {
        /// Which.
        name: UserName,
        /// What to change.
        patch: UserPatch,
        /// Must be the current one, if given.
        etag: Option<String>,
    },
    /// Deletes a user with tokens, memberships and grants; not the last administrator of the server or of an
    /// organisation. In the server's log.
    DeleteUser {
        /// Which.
        name: UserName,
        /// Must be the current one, if given.
        etag: Option<String>,
    },
    /// Creates a token. In the log of its owner: of a user, the server's.
    CreateToken {
        /// The token.
        token: Token,
        /// Its secret, as it is stored.
        secret: StoredSecret,
    },
    /// Makes a token useless; doing so again changes nothing (and is no change).
    RevokeToken {
        /// Which.
        name: TokenName,
    },
    /// Makes a user a member, and puts them into the default groups.
    AddMember {
        /// Who.
        name: MemberName,
        /// As what.
        role: Role,
    },
    /// Changes a member's role; the last administrator keeps it.
    UpdateMember {
        /// Who.
        name: MemberName,
        /// As what.
        role: Role,
        /// Must be the current one, if given.
        etag: Option<String>,
    },
    /// Removes a member, with what was granted to them and their places in groups; the last administrator stays.
    RemoveMember {
        /// Who.
        name: MemberName,
        /// Must be the current one, if given.
        etag: Option<String>,
    },
    /// Creates a group.
    CreateGroup {
        /// Its etag is not looked at.
        group: Group,
    },
    /// Changes a group.
    UpdateGroup {
        /// Which.
        name: GroupName,
        /// What to change.
        patch: GroupPatch,
        /// Must be the current one, if given.
        etag: Option<String>,
    },
    /// Deletes a group, with what was granted to it.
    DeleteGroup {
        /// Which.
        name: GroupName,
        /// Must be the current one, if given.
        etag: Option<String>,
    },
    /// Puts a member of the organisation into a group.
    AddGroupMember {
        /// Who.
        name: GroupMemberName,
        /// See [`GroupMember::administrator`].
        administrator: bool,
    },
    /// Changes a member of a group.
    UpdateGroupMember {
        /// Who.
        name: GroupMemberName,
        /// See [`GroupMember::administrator`].
        administrator: bool,
    },
    /// Takes a member out of a group.
    RemoveGroupMember {
        /// Who.
        name: GroupMemberName,
    },
    /// Creates an invitation; one that is open for the same e-mail address is in the way.
    CreateInvitation {
        /// The invitation.
        invitation: Invitation,
        /// Its secret, as it is stored.
        secret: StoredSecret,
    },
    /// Deletes an invitation.
    DeleteInvitation {
        /// Which.
        name: InvitationName,
    },
    /// Accepts an invitation that is open at the time of the write.
    AcceptInvitation {
        /// Which.
        name: InvitationName,
        /// Who.
        joiner: Joiner,
    },
    /// Creates a role.
    CreateRole {
        /// Its etag is not looked at.
        role: PermissionRole,
    },
    /// Changes a role.
    UpdateRole {
        /// Which.
        name: RoleName,
        /// What to change.
        patch: PermissionRolePatch,
        /// Must be the current one, if given.
        etag: Option<String>,
    },
    /// Deletes a role that is not granted.
    DeleteRole {
        /// Which.
        name: RoleName,
        /// Must be the current one, if given.
        etag: Option<String>,
    },
    /// Grants something.
    CreateGrant {
        /// The grant. Its grantee, place and role must exist in the organisation.
        grant: Grant,
    },
    /// Takes back what a grant gave.
    RevokeGrant {
        /// Which.
        name: GrantName,
    },
    /// Creates a trust relationship.
    CreateTrustRelationship {
        /// Its etag is not looked at.
        trust_relationship: TrustRelationship,
    },
    /// Changes a trust relationship; if who may exchange changes, tokens that it gave are gone.
    UpdateTrustRelationship {
        /// Which.
        name: TrustRelationshipName,
        /// What to change.
        patch: TrustRelationshipPatch,
        /// Must be the current one, if given.
        etag: Option<String>,
    },
    /// Deletes a trust relationship, with what was granted to it and the tokens that it gave.
    DeleteTrustRelationship {
        /// Which.
        name: TrustRelationshipName,
        /// Must be the current one, if given.
        etag: Option<String>,
    },
}

/// Who accepts an invitation.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "a handful exist at a time")]
pub enum Joiner {
    /// A user. An invitation for an e-mail address must be for theirs.
    User(UserName),
    /// A new user, with a first token.
    New {
        /// The user.
        user: User,
        /// The token.
        token: Token,
        /// Its secret, as it is stored.
        secret: StoredSecret,
    },
}

/// What a write outside of projects made or changed; of a deletion, what was deleted.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds what it is named after")]
#[allow(clippy::large_enum_variant, reason = "a handful exist at a time")]
pub enum AccountResource {
    Organisation(Organisation),
    Project(crate::project::Project),
    User(User),
    Token(Token),
    Member(Member),
    Group(Group),
    GroupMember(GroupMember),
    Invitation(Invitation),
    Joined { member: Member, user: Option<User>, token: Option<Token> },
    Role(PermissionRole),
    Grant(Grant),
    TrustRelationship(TrustRelationship),
}

/// The outcome of a write outside of projects.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountApplied {
    /// The log's revision that holds the change; of a write that changed nothing, the current.
    pub revision: i64,
    /// What it is about. Of a repeated request: as it is now, if it is there.
    pub resource: Option<AccountResource>,
    /// Whether the request id had been used for this request before, so that nothing was done now.
    pub replayed: bool,
}

/// Somebody who signs in with a token of an issuer.
#[derive(Clone, Debug, PartialEq)]
pub struct SignIn {
    /// The issuer, exactly as in `iss`.
    pub issuer: String,
    /// Whom the issuer means, exactly as in `sub`.
    pub subject: String,
    /// The e-mail address, if the issuer has verified it.
    pub email: Option<String>,
    /// The account to create if nobody is known by the subject or the address.
    pub create: Option<User>,
    /// The organisation that somebody joins as a member who signs in for the first time.
    pub join: Option<OrganisationName>,
    /// The network address of the caller.
    pub address: String,
    /// When.
    pub now: DateTime<Utc>,
}
