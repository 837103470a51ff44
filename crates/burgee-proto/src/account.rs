//! Groups, invitations and trust relationships.

use burgee_core::Violation;
use burgee_core::claims::ClaimRule;
use burgee_core::name::{GroupName, UserName};
use burgee_core::organisation::{Group, GroupMember, Invitation};
use burgee_core::trust::TrustRelationship;

use crate::time::timestamp;
use crate::v1 as pb;

impl From<&Group> for pb::Group {
    fn from(group: &Group) -> Self {
        Self {
            name: group.name.to_string(),
            display_name: group.display_name.clone(),
            is_default: Some(group.is_default),
            external_id: Some(group.external_id.clone().unwrap_or_default()),
            create_time: Some(timestamp(group.created_at)),
            etag: group.etag.clone(),
        }
    }
}

impl From<&GroupMember> for pb::GroupMember {
    fn from(member: &GroupMember) -> Self {
        Self {
            name: member.name.to_string(),
            user: UserName { user: member.name.user.clone() }.to_string(),
            administrator: member.administrator,
            create_time: Some(timestamp(member.created_at)),
        }
    }
}

impl From<&Invitation> for pb::Invitation {
    fn from(invitation: &Invitation) -> Self {
        let organisation = &invitation.name.organisation;
        let name = |group: &burgee_core::name::GroupId| {
            GroupName { organisation: organisation.clone(), group: group.clone() }.to_string()
        };
        Self {
            name: invitation.name.to_string(),
            email: invitation.email.clone().unwrap_or_default(),
            role: pb::Role::from(invitation.role).into(),
            groups: invitation.groups.iter().map(name).collect(),
            hint: invitation.hint.clone(),
            inviter: invitation.inviter.clone(),
            create_time: Some(timestamp(invitation.created_at)),
            expire_time: Some(timestamp(invitation.expires_at)),
            accept_time: invitation.accepted_at.map(timestamp),
        }
    }
}

impl From<&ClaimRule> for pb::ClaimRule {
    fn from(rule: &ClaimRule) -> Self {
        Self { claim: rule.claim().to_owned(), patterns: rule.patterns().to_vec() }
    }
}

impl TryFrom<pb::ClaimRule> for ClaimRule {
    type Error = Violation;

    fn try_from(rule: pb::ClaimRule) -> Result<Self, Violation> {
        let pb::ClaimRule { claim, patterns } = rule;
        Self::new(claim, patterns)
    }
}

impl From<&TrustRelationship> for pb::TrustRelationship {
    fn from(trust: &TrustRelationship) -> Self {
        let seconds = i64::from(trust.token_lifetime_seconds);
        Self {
            name: trust.name.to_string(),
            display_name: trust.display_name.clone(),
            issuer: trust.issuer.clone(),
            audience: trust.audience.clone(),
            claim_rules: trust.claim_rules.iter().map(Into::into).collect(),
            token_lifetime: Some(prost_types::Duration { seconds, nanos: 0 }),
            create_time: Some(timestamp(trust.created_at)),
            etag: trust.etag.clone(),
        }
    }
}
