//! Organisations, their members, and users.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::name::{
    GroupId, GroupMemberName, GroupName, InvitationName, MemberName, OrganisationName, UserName,
};

/// A company or department: members and projects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Organisation {
    /// The resource name.
    pub name: OrganisationName,
    /// What people read.
    pub display_name: String,
    /// Whether traits that callers send with Identify are stored; if not, they only count for that call.
    pub persist_trait_data: bool,
    /// Whether every evaluation of the organisation's environments is refused.
    pub stop_serving_flags: bool,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// Changes with every write.
    pub etag: String,
}

/// Changes to an organisation; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OrganisationPatch {
    /// See [`Organisation::display_name`].
    pub display_name: Option<String>,
    /// See [`Organisation::persist_trait_data`].
    pub persist_trait_data: Option<bool>,
    /// See [`Organisation::stop_serving_flags`].
    pub stop_serving_flags: Option<bool>,
}

/// What a member may do in an organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Admin,
    /// What is granted.
    Member,
}

/// A user's membership of an organisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// The resource name.
    pub name: MemberName,
    /// What the member may do.
    pub role: Role,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// Changes with every write.
    pub etag: String,
}

/// One account, member of any number of organisations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// The resource name.
    pub name: UserName,
    /// Unique, ignoring case.
    pub email: String,
    /// What people read.
    pub display_name: String,
    /// Whether the e-mail address is known to be the user's. Only then may somebody whose issuer vouches for the address sign
    /// in as this user.
    pub email_verified: bool,
    /// Whether the user may do everything on this server.
    pub administrator: bool,
    /// When the account was created.
    pub created_at: DateTime<Utc>,
    /// Changes with every write.
    pub etag: String,
}

/// Changes to a user; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserPatch {
    /// See [`User::display_name`].
    pub display_name: Option<String>,
    /// See [`User::email`]; it then counts as verified.
    pub email: Option<String>,
    /// See [`User::administrator`].
    pub administrator: Option<bool>,
}

/// A named set of an organisation's members, to whom things are granted together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The resource name.
    pub name: GroupName,
    /// What people read.
    pub display_name: String,
    /// Whether every new member of the organisation is put into it.
    pub is_default: bool,
    /// What the issuer of sign-ins calls it, if anything.
    pub external_id: Option<String>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// Changes with every write of the group itself.
    pub etag: String,
}

/// Changes to a group; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupPatch {
    /// See [`Group::display_name`].
    pub display_name: Option<String>,
    /// See [`Group::is_default`].
    pub is_default: Option<bool>,
    /// See [`Group::external_id`].
    pub external_id: Option<Option<String>>,
}

/// A user's membership of a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupMember {
    /// The resource name.
    pub name: GroupMemberName,
    /// Whether the member may add and remove members.
    pub administrator: bool,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

/// An invitation to an organisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Invitation {
    /// The resource name.
    pub name: InvitationName,
    /// For whom; a link for anybody if there is none.
    pub email: Option<String>,
    /// What the new member may do.
    pub role: Role,
    /// Groups that the new member is put into, beside the default ones.
    pub groups: Vec<GroupId>,
    /// The part of the secret that is not secret.
    pub hint: String,
    /// The name of who created it.
    pub inviter: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// From when it cannot be accepted.
    pub expires_at: DateTime<Utc>,
    /// When the one for an e-mail address was accepted.
    pub accepted_at: Option<DateTime<Utc>>,
}
