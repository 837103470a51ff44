//! Environment keys: what evaluation is called with.

use std::time::Duration;

use burgee_core::access::{EnvironmentKey, KeyKind, KeyScope};
use burgee_core::change::{Mutation, WriteContext};
use burgee_core::name::{EnvironmentName, KeyId, KeyName};
use burgee_core::store::FlagStore;
use burgee_core::{Result, Violation};
use burgee_proto::management::v1 as pb;
use burgee_proto::time::length;
use burgee_proto::v1 as shared;

use crate::fields::{self, At as _, given};
use crate::page::Paging;
use crate::secret::Secret;
use crate::transaction::{Planned, Written, apply};

/// The longest time that a former secret is accepted.
const MAXIMUM_OVERLAP: Duration = Duration::from_secs(30 * 24 * 60 * 60);

pub(crate) async fn create(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::CreateEnvironmentKeyRequest,
) -> Result<pb::CreateEnvironmentKeyResponse> {
    let environment = EnvironmentName::parse(&request.parent).at("parent")?;
    let id = KeyId::parse(&request.key_id).at("key_id")?;
    let wire = request.key.unwrap_or_default();
    let kind = wire.kind().try_into().at("key.kind")?;
    let tags = fields::tags(&wire.tags).at("key")?;
    let scopes = scopes(kind, &wire.scopes, &tags).at("key")?;
    let secret = Secret::key(kind)?;
    let key = EnvironmentKey {
        display_name: fields::display_name(wire.display_name, id.as_str()).at("key")?,
        kind,
        scopes,
        tags,
        hint: secret.hint(),
        created_at: context.now,
        expires_at: fields::expiry(wire.expire_time, context.now).at("key")?,
        revoked_at: None,
        etag: String::new(),
        name: KeyName { environment, key: id },
    };
    let planned = Planned {
        project: key.name.environment.project.clone(),
        name_field: "parent",
        mutation: Mutation::CreateKey { key, hash: secret.hash() },
        locate: |violation| violation.at("key"),
    };
    let written = apply(store, context, planned).await?;
    let revision = written.revision;
    Ok(pb::CreateEnvironmentKeyResponse { key: written.key(), secret: shown(&written, secret), revision })
}

/// Checks the field `scopes`, and returns them in order; none given means all that such a key can have.
fn scopes(kind: KeyKind, given: &[i32], tags: &[String]) -> Result<Vec<KeyScope>, Violation> {
    let mut possible = KeyScope::of_kind(kind);
    // Rules tell of all features.
    let limited = !tags.is_empty();
    possible.retain(|scope| !(limited && *scope == KeyScope::WatchRules));
    if given.is_empty() {
        return Ok(possible);
    }
    let mut scopes = fields::each_once(given, "scopes", |number| {
        let wrong = |_| Violation::new("", format!("must be a scope of keys, is {number}"));
        let scope = KeyScope::try_from(shared::KeyScope::try_from(*number).map_err(wrong)?)?;
        if possible.contains(&scope) {
            Ok(scope)
        } else {
            let rule = match scope {
                KeyScope::WatchRules if limited => "must not be given beside `tags`",
                _ => "must be one that this kind of key can have",
            };
            Err(Violation::new("", format!("{rule}, is `{}`", scope.as_str())))
        }
    })?;
    scopes.sort_unstable();
    Ok(scopes)
}

/// Returns the secret if it was stored now: that of an earlier, equal request was shown then.
fn shown(written: &Written, secret: Secret) -> String {
    if written.done_now { secret.reveal() } else { String::new() }
}

pub(crate) async fn list(
    store: &dyn FlagStore,
    request: pb::ListEnvironmentKeysRequest,
) -> Result<pb::ListEnvironmentKeysResponse> {
    let parent = EnvironmentName::parse(&request.parent).at("parent")?;
    let paging = Paging::parse(request.page_size, &request.page_token, &["keys", &request.parent])?;
    let found = store.keys(&parent, &paging.query()).await?;
    let (keys, next_page_token) = paging.cut(found, |item| item.name.key.to_string());
    Ok(pb::ListEnvironmentKeysResponse { keys, next_page_token })
}

pub(crate) async fn rotate(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::RotateEnvironmentKeyRequest,
) -> Result<pb::RotateEnvironmentKeyResponse> {
    let name = KeyName::parse(&request.name).at("name")?;
    let overlap = overlap(request.overlap).at("overlap")?;
    let key = store.key(&name).await?;
    let secret = Secret::key(key.kind)?;
    let planned = Planned {
        project: name.environment.project,
        name_field: "name",
        mutation: Mutation::RotateKey {
            environment: name.environment.environment,
            key: name.key,
            hash: secret.hash(),
            hint: secret.hint(),
            // A new secret does not make the key live longer.
            expires_at: key.expires_at,
            former_expires_at: context.now + overlap,
            etag: given(request.etag),
        },
        locate: |violation| violation,
    };
    let written = apply(store, context, planned).await?;
    let revision = written.revision;
    Ok(pb::RotateEnvironmentKeyResponse { key: written.key(), secret: shown(&written, secret), revision })
}

fn overlap(overlap: Option<prost_types::Duration>) -> Result<Duration, Violation> {
    let overlap = overlap.as_ref().map(length).transpose()?.unwrap_or_default();
    if overlap > MAXIMUM_OVERLAP { Err(Violation::new("", "must be at most 30 days")) } else { Ok(overlap) }
}

pub(crate) async fn revoke(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::RevokeEnvironmentKeyRequest,
) -> Result<pb::RevokeEnvironmentKeyResponse> {
    let name = KeyName::parse(&request.name).at("name")?;
    let planned = Planned {
        project: name.environment.project,
        name_field: "name",
        mutation: Mutation::RevokeKey {
            environment: name.environment.environment,
            key: name.key,
            etag: given(request.etag),
        },
        locate: |violation| violation,
    };
    let written = apply(store, context, planned).await?;
    Ok(pb::RevokeEnvironmentKeyResponse { key: written.key(), revision: written.revision })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_scopes_of_its_kind() {
        use shared::KeyScope::{Evaluate, Explain, Identify, Unspecified, WatchRules};
        let check = |kind, given: &[shared::KeyScope], tags: &[&str], expected: Result<&[KeyScope], &str>| {
            let given: Vec<i32> = given.iter().map(|scope| (*scope).into()).collect();
            let tags: Vec<String> = tags.iter().map(ToString::to_string).collect();
            let checked = scopes(kind, &given, &tags).map_err(|violation| violation.field);
            assert_eq!(checked, expected.map(<[_]>::to_vec).map_err(str::to_owned), "{given:?} {tags:?}");
        };
        let (client, server) = (KeyKind::ClientSide, KeyKind::ServerSide);
        check(client, &[], &[], Ok(&[KeyScope::Evaluate, KeyScope::Identify]));
        check(server, &[], &[], Ok(&KeyScope::ALL));
        check(server, &[], &["a"], Ok(&[KeyScope::Evaluate, KeyScope::Identify, KeyScope::Explain]));
        check(server, &[Explain, Evaluate], &["a"], Ok(&[KeyScope::Evaluate, KeyScope::Explain]));
        check(server, &[WatchRules], &[], Ok(&[KeyScope::WatchRules]));
        check(server, &[Evaluate, WatchRules], &["a"], Err("scopes[1]"));
        check(client, &[WatchRules], &[], Err("scopes[0]"));
        check(client, &[Identify, Explain], &[], Err("scopes[1]"));
        check(server, &[Evaluate, Evaluate], &[], Err("scopes[1]"));
        check(server, &[Unspecified], &[], Err("scopes[0]"));
        assert_eq!(
            scopes(server, &[99], &[]).unwrap_err().to_string(),
            "`scopes[0]` must be a scope of keys, is 99"
        );
    }

    #[test]
    fn a_former_secret_is_accepted_for_at_most_30_days() {
        let days = |days: i64| overlap(Some(prost_types::Duration { seconds: days * 86_400, nanos: 0 }));
        assert_eq!(overlap(None), Ok(Duration::ZERO));
        assert_eq!(days(30), Ok(MAXIMUM_OVERLAP));
        assert!(days(31).is_err());
        assert!(days(-1).is_err());
    }
}
