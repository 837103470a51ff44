//! Organisations, users, projects, environments and credentials.

use burgee_core::Violation;
use burgee_core::access::{EnvironmentKey, KeyKind, KeyScope, Token};
use burgee_core::identity::Identity;
use burgee_core::name::UserName;
use burgee_core::organisation::{Member, Organisation, Role, User};
use burgee_core::project::{Environment, IdentityHashing, Project};

use crate::time::timestamp;
use crate::v1 as pb;

impl From<&Organisation> for pb::Organisation {
    fn from(organisation: &Organisation) -> Self {
        Self {
            name: organisation.name.to_string(),
            display_name: organisation.display_name.clone(),
            persist_trait_data: Some(organisation.persist_trait_data),
            stop_serving_flags: Some(organisation.stop_serving_flags),
            create_time: Some(timestamp(organisation.created_at)),
            etag: organisation.etag.clone(),
        }
    }
}

impl From<Role> for pb::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Admin => Self::Admin,
            Role::Member => Self::Member,
        }
    }
}

impl TryFrom<pb::Role> for Role {
    type Error = Violation;

    fn try_from(role: pb::Role) -> Result<Self, Violation> {
        match role {
            pb::Role::Unspecified => Err(Violation::new("", "must be set")),
            pb::Role::Admin => Ok(Self::Admin),
            pb::Role::Member => Ok(Self::Member),
        }
    }
}

impl From<&Member> for pb::Member {
    fn from(member: &Member) -> Self {
        Self {
            name: member.name.to_string(),
            user: UserName { user: member.name.user.clone() }.to_string(),
            role: pb::Role::from(member.role).into(),
            create_time: Some(timestamp(member.created_at)),
            etag: member.etag.clone(),
        }
    }
}

impl From<&User> for pb::User {
    fn from(user: &User) -> Self {
        Self {
            name: user.name.to_string(),
            email: user.email.clone(),
            email_verified: user.email_verified,
            display_name: user.display_name.clone(),
            administrator: Some(user.administrator),
            create_time: Some(timestamp(user.created_at)),
            etag: user.etag.clone(),
        }
    }
}

impl From<&Token> for pb::Token {
    fn from(token: &Token) -> Self {
        Self {
            name: token.name.to_string(),
            display_name: token.display_name.clone(),
            hint: token.hint.clone(),
            create_time: Some(timestamp(token.created_at)),
            expire_time: token.expires_at.map(timestamp),
            revoke_time: token.revoked_at.map(timestamp),
            last_use_time: token.last_used_at.map(timestamp),
        }
    }
}

impl From<&Project> for pb::Project {
    fn from(project: &Project) -> Self {
        Self {
            name: project.name.to_string(),
            display_name: project.display_name.clone(),
            prevent_flag_defaults: Some(project.prevent_flag_defaults),
            revision: project.revision,
            create_time: Some(timestamp(project.created_at)),
            etag: project.etag.clone(),
        }
    }
}

impl From<IdentityHashing> for pb::IdentityHashing {
    fn from(hashing: IdentityHashing) -> Self {
        match hashing {
            IdentityHashing::Composite => Self::Composite,
            IdentityHashing::Identifier => Self::Identifier,
        }
    }
}

impl From<pb::IdentityHashing> for IdentityHashing {
    fn from(hashing: pb::IdentityHashing) -> Self {
        match hashing {
            pb::IdentityHashing::Unspecified | pb::IdentityHashing::Composite => Self::Composite,
            pb::IdentityHashing::Identifier => Self::Identifier,
        }
    }
}

impl From<&Environment> for pb::Environment {
    fn from(environment: &Environment) -> Self {
        Self {
            name: environment.name.to_string(),
            display_name: environment.display_name.clone(),
            description: environment.description.clone(),
            hide_disabled_flags: Some(environment.hide_disabled_flags),
            allow_client_traits: Some(environment.allow_client_traits),
            identity_hashing: pb::IdentityHashing::from(environment.identity_hashing).into(),
            hashing_key: environment.hashing_key.clone(),
            create_time: Some(timestamp(environment.created_at)),
            etag: environment.etag.clone(),
        }
    }
}

impl From<KeyKind> for pb::KeyKind {
    fn from(kind: KeyKind) -> Self {
        match kind {
            KeyKind::ClientSide => Self::ClientSide,
            KeyKind::ServerSide => Self::ServerSide,
        }
    }
}

impl TryFrom<pb::KeyKind> for KeyKind {
    type Error = Violation;

    fn try_from(kind: pb::KeyKind) -> Result<Self, Violation> {
        match kind {
            pb::KeyKind::Unspecified => Err(Violation::new("", "must be set")),
            pb::KeyKind::ClientSide => Ok(Self::ClientSide),
            pb::KeyKind::ServerSide => Ok(Self::ServerSide),
        }
    }
}

impl From<KeyScope> for pb::KeyScope {
    fn from(scope: KeyScope) -> Self {
        match scope {
            KeyScope::Evaluate => Self::Evaluate,
            KeyScope::WatchRules => Self::WatchRules,
            KeyScope::Identify => Self::Identify,
            KeyScope::Explain => Self::Explain,
        }
    }
}

impl TryFrom<pb::KeyScope> for KeyScope {
    type Error = Violation;

    fn try_from(scope: pb::KeyScope) -> Result<Self, Violation> {
        match scope {
            pb::KeyScope::Unspecified => Err(Violation::new("", "must be set")),
            pb::KeyScope::Evaluate => Ok(Self::Evaluate),
            pb::KeyScope::WatchRules => Ok(Self::WatchRules),
            pb::KeyScope::Identify => Ok(Self::Identify),
            pb::KeyScope::Explain => Ok(Self::Explain),
        }
    }
}

impl From<&EnvironmentKey> for pb::EnvironmentKey {
    fn from(key: &EnvironmentKey) -> Self {
        Self {
            name: key.name.to_string(),
            display_name: key.display_name.clone(),
            kind: pb::KeyKind::from(key.kind).into(),
            scopes: key.scopes.iter().map(|scope| pb::KeyScope::from(*scope).into()).collect(),
            tags: key.tags.clone(),
            hint: key.hint.clone(),
            create_time: Some(timestamp(key.created_at)),
            expire_time: key.expires_at.map(timestamp),
            revoke_time: key.revoked_at.map(timestamp),
            etag: key.etag.clone(),
        }
    }
}

impl From<&Identity> for pb::Identity {
    fn from(identity: &Identity) -> Self {
        Self {
            name: identity.name.to_string(),
            identifier: identity.name.identifier.to_string(),
            traits: identity.traits.iter().map(|item| (item.key.to_string(), (&item.value).into())).collect(),
            hashing_key: identity.hashing_key.clone().unwrap_or_default(),
            create_time: Some(timestamp(identity.created_at)),
        }
    }
}
