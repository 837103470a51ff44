//! An organisation with a bit of everything: short words for who may do what.

use burgee_core::access::ExchangedToken;
use burgee_core::claims::ClaimRule;
use burgee_core::grant::{Grant, Grantee, PermissionRole};
use burgee_core::name::*;
use burgee_core::organisation::{Group, Invitation, Role};
use burgee_core::permission::{Permission, Place};
use burgee_core::trust::TrustRelationship;

use crate::world::*;

pub(crate) fn group_name(id: &str) -> GroupName {
    parsed(format!("organisations/acme/groups/{id}"), GroupName::parse)
}

pub(crate) fn group_member_name(group: &str, user: &str) -> GroupMemberName {
    parsed(format!("{}/members/{user}", group_name(group)), GroupMemberName::parse)
}

pub(crate) fn invitation_name(id: &str) -> InvitationName {
    parsed(format!("organisations/acme/invitations/{id}"), InvitationName::parse)
}

pub(crate) fn role_name(id: &str) -> RoleName {
    parsed(format!("organisations/acme/roles/{id}"), RoleName::parse)
}

pub(crate) fn grant_name(id: &str) -> GrantName {
    parsed(format!("organisations/acme/grants/{id}"), GrantName::parse)
}

pub(crate) fn trust_name(id: &str) -> TrustRelationshipName {
    parsed(format!("organisations/acme/trustRelationships/{id}"), TrustRelationshipName::parse)
}

pub(crate) fn group(id: &str) -> Group {
    Group {
        name: group_name(id),
        display_name: id.to_uppercase(),
        is_default: false,
        external_id: None,
        created_at: now(),
        etag: String::new(),
    }
}

/// An invitation of somebody by e-mail, for an hour.
pub(crate) fn invitation(id: &str, email: Option<&str>) -> Invitation {
    Invitation {
        name: invitation_name(id),
        email: email.map(str::to_owned),
        role: Role::Member,
        groups: Vec::new(),
        hint: String::new(),
        inviter: "users/ada".to_owned(),
        created_at: now(),
        expires_at: later(1),
        accepted_at: None,
    }
}

pub(crate) fn role(id: &str, permissions: &[Permission]) -> PermissionRole {
    PermissionRole {
        name: role_name(id),
        display_name: id.to_uppercase(),
        description: String::new(),
        permissions: permissions.to_vec(),
        created_at: now(),
        etag: String::new(),
    }
}

/// A grant of a permission on a named place to a named grantee.
pub(crate) fn grant(id: &str, grantee: &str, place: &str, permission: Permission) -> Grant {
    Grant {
        name: grant_name(id),
        grantee: Grantee::parse(grantee).unwrap(),
        place: Place::parse(place).unwrap(),
        permissions: vec![permission],
        role: None,
        tags: Vec::new(),
        created_at: now(),
    }
}

pub(crate) fn trust(id: &str) -> TrustRelationship {
    TrustRelationship {
        name: trust_name(id),
        display_name: id.to_uppercase(),
        issuer: "https://ci.example.com".to_owned(),
        audience: "burgee".to_owned(),
        claim_rules: vec![ClaimRule::new("repository", vec!["acme/*".to_owned()]).unwrap()],
        token_lifetime_seconds: 3_600,
        created_at: now(),
        etag: String::new(),
    }
}

/// A token that a trust relationship gives for an hour.
pub(crate) fn exchanged(text: &str) -> ExchangedToken {
    ExchangedToken {
        secret: secret(text),
        subject: "repo:acme/shop".to_owned(),
        created_at: now(),
        expires_at: later(1),
    }
}

impl World {
    /// Creates the shop with environments, `ada` as administrator of server and organisation, the members `bob` and `eve`,
    /// and the user `mia` who is no member; the group `team` with `bob`, and of everything else one that is named `x`.
    pub(crate) async fn company(self) -> Self {
        let world = self.with_environments().await;
        let store = world.flags();
        for id in ["ada", "bob", "eve", "mia"] {
            let administrator = id == "ada";
            let user = burgee_core::organisation::User { administrator, ..user(id) };
            store.create_user(&write(), user).await.unwrap();
        }
        store.add_member(&write(), &member_name("ada"), Role::Admin).await.unwrap();
        for id in ["bob", "eve"] {
            store.add_member(&write(), &member_name(id), Role::Member).await.unwrap();
        }
        store.create_group(&write(), group("team")).await.unwrap();
        store.add_group_member(&write(), &group_member_name("team", "bob"), false).await.unwrap();
        store.create_token(&write(), token("users/ada", "x"), secret("ux")).await.unwrap();
        store.create_token(&write(), token("organisations/acme", "x"), secret("ox")).await.unwrap();
        let email = Some("guest@example.com");
        store.create_invitation(&write(), invitation("x", email), secret("ix")).await.unwrap();
        store.create_role(&write(), role("x", &[Permission::CreateFeature])).await.unwrap();
        store.create_trust(&write(), trust("x")).await.unwrap();
        let place = shop().to_string();
        let given = grant("x", "users/bob", &place, Permission::ViewProject);
        store.create_grant(&write(), given).await.unwrap();
        world
    }
}
