//! Environment keys: what evaluation is called with.

use std::time::Duration;

use burgee_core::access::EnvironmentKey;
use burgee_core::change::{Mutation, WriteContext};
use burgee_core::name::{EnvironmentName, KeyId, KeyName};
use burgee_core::store::FlagStore;
use burgee_core::{Result, Violation};
use burgee_proto::management::v1 as pb;
use burgee_proto::time::length;

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
    let secret = Secret::key(kind)?;
    let key = EnvironmentKey {
        display_name: fields::display_name(wire.display_name, id.as_str()).at("key")?,
        kind,
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
    fn a_former_secret_is_accepted_for_at_most_30_days() {
        let days = |days: i64| overlap(Some(prost_types::Duration { seconds: days * 86_400, nanos: 0 }));
        assert_eq!(overlap(None), Ok(Duration::ZERO));
        assert_eq!(days(30), Ok(MAXIMUM_OVERLAP));
        assert!(days(31).is_err());
        assert!(days(-1).is_err());
    }
}
