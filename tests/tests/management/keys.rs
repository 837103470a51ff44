//! Environment keys.

use burgee_core::access::SecretHash;
use burgee_core::store::FlagFeed as _;
use burgee_proto::management::v1::*;
use burgee_proto::v1 as pb;
use tonic::Code;

use crate::world::*;

both! {
    a_key_opens_its_environment_until_it_is_revoked,
    a_rotated_key_has_a_new_secret,
    a_revoked_key_stays_so,
    a_secret_of_a_key_is_shown_once,
    a_key_is_limited_by_scope_and_tag,
}

fn create(id: &str, kind: pb::KeyKind) -> CreateEnvironmentKeyRequest {
    CreateEnvironmentKeyRequest {
        parent: DEV.into(),
        key_id: id.into(),
        key: Some(pb::EnvironmentKey { kind: kind.into(), ..Default::default() }),
        ..Default::default()
    }
}

async fn created(world: &World, id: &str, kind: pb::KeyKind) -> (pb::EnvironmentKey, String) {
    let created = world.environments().create_environment_key(create(id, kind)).await.unwrap().into_inner();
    (created.key.unwrap(), created.secret)
}

async fn opens(world: &World, secret: &str) -> bool {
    world.store.environment_of_key(&SecretHash::of(secret)).await.unwrap().is_some()
}

async fn a_key_opens_its_environment_until_it_is_revoked(world: World) {
    let world = world.with_features().await;
    let (server, secret) = created(&world, "backend", pb::KeyKind::ServerSide).await;
    assert!(secret.starts_with("ser.") && secret.starts_with(&server.hint));
    let (client, public) = created(&world, "web", pb::KeyKind::ClientSide).await;
    assert!(public.len() >= 22 && client.kind() == pb::KeyKind::ClientSide);
    assert!(opens(&world, &secret).await && opens(&world, &public).await);
    check_taken(
        world.environments().create_environment_key(create("web", pb::KeyKind::ClientSide)).await,
        &client.name,
    );
    check_invalid(
        world.environments().create_environment_key(create("x", pb::KeyKind::Unspecified)).await,
        "key.kind",
    );

    let revoke = RevokeEnvironmentKeyRequest { name: server.name, ..Default::default() };
    let revoked = world.environments().revoke_environment_key(revoke).await.unwrap().into_inner();
    assert!(revoked.key.unwrap().revoke_time.is_some());
    assert!(!opens(&world, &secret).await && opens(&world, &public).await);
    let list = ListEnvironmentKeysRequest { parent: DEV.into(), ..Default::default() };
    let listed = world.environments().list_environment_keys(list).await.unwrap().into_inner().keys;
    assert_eq!(listed.iter().map(|key| key.display_name.as_str()).collect::<Vec<_>>(), ["backend", "web"]);
}

async fn a_rotated_key_has_a_new_secret(world: World) {
    let world = world.with_features().await;
    let (key, secret) = created(&world, "backend", pb::KeyKind::ServerSide).await;
    let rotate = RotateEnvironmentKeyRequest {
        name: key.name,
        overlap: Some(prost_types::Duration { seconds: 3_600, nanos: 0 }),
        etag: key.etag,
        ..Default::default()
    };
    let rotated = world.environments().rotate_environment_key(rotate.clone()).await.unwrap().into_inner();
    assert!(rotated.secret.starts_with("ser.") && rotated.secret != secret);
    assert!(opens(&world, &secret).await && opens(&world, &rotated.secret).await);
    let key = rotated.key.unwrap();
    assert!(rotated.secret.starts_with(&key.hint));
    check_stale(world.environments().rotate_environment_key(rotate.clone()).await, &key.etag);
    let long = prost_types::Duration { seconds: 31 * 86_400, nanos: 0 };
    let rotate = RotateEnvironmentKeyRequest { overlap: Some(long), etag: String::new(), ..rotate };
    check_invalid(world.environments().rotate_environment_key(rotate).await, "overlap");
}

async fn a_revoked_key_stays_so(world: World) {
    let world = world.with_features().await;
    let (key, _) = created(&world, "backend", pb::KeyKind::ServerSide).await;
    let revoke = RevokeEnvironmentKeyRequest { name: key.name.clone(), ..Default::default() };
    let first = world.environments().revoke_environment_key(revoke.clone()).await.unwrap().into_inner().key;
    let again = world.environments().revoke_environment_key(revoke).await.unwrap().into_inner().key;
    assert_eq!(first.unwrap().revoke_time, again.unwrap().revoke_time);
    let rotate = RotateEnvironmentKeyRequest { name: key.name, ..Default::default() };
    let outcome = world.environments().rotate_environment_key(rotate).await;
    check(outcome, Code::FailedPrecondition, "KEY_REVOKED");
}

async fn a_secret_of_a_key_is_shown_once(world: World) {
    let world = world.with_features().await;
    let request =
        CreateEnvironmentKeyRequest { request_id: "1".into(), ..create("backend", pb::KeyKind::ServerSide) };
    let tried = CreateEnvironmentKeyRequest { validate_only: true, ..request.clone() };
    assert_eq!(world.environments().create_environment_key(tried).await.unwrap().into_inner().secret, "");
    let first = world.environments().create_environment_key(request.clone()).await.unwrap().into_inner();
    let again = world.environments().create_environment_key(request).await.unwrap().into_inner();
    assert!(!first.secret.is_empty() && again.secret.is_empty());
    assert_eq!((first.key, first.revision), (again.key, again.revision));
}

async fn a_key_is_limited_by_scope_and_tag(world: World) {
    use pb::KeyKind::{ClientSide, ServerSide};
    use pb::KeyScope::{Evaluate, Explain, Identify, WatchRules};
    let world = world.with_features().await;
    let limited = |kind, scopes: &[pb::KeyScope], tags: &[&str]| {
        let mut request = create("limited", kind);
        let key = request.key.as_mut().unwrap();
        key.scopes = scopes.iter().map(|scope| (*scope).into()).collect();
        key.tags = tags.iter().map(ToString::to_string).collect();
        request
    };
    let refused = [
        (limited(ClientSide, &[WatchRules], &[]), "key.scopes[0]"),
        (limited(ServerSide, &[Evaluate, WatchRules], &["a"]), "key.scopes[1]"),
        (limited(ServerSide, &[Evaluate, Evaluate], &[]), "key.scopes[1]"),
        (limited(ServerSide, &[], &["a", "a"]), "key.tags[1]"),
    ];
    for (request, field) in refused {
        check_invalid(world.environments().create_environment_key(request).await, field);
    }
    let request = limited(ServerSide, &[], &["b", "a"]);
    let key = world.environments().create_environment_key(request).await.unwrap().into_inner().key.unwrap();
    assert_eq!(key.scopes().collect::<Vec<_>>(), [Evaluate, Identify, Explain]);
    assert_eq!(key.tags, ["a", "b"]);
    let (all, _) = created(&world, "web", ClientSide).await;
    assert_eq!(all.scopes().collect::<Vec<_>>(), [Evaluate, Identify]);
    let rotate = RotateEnvironmentKeyRequest { name: key.name, ..Default::default() };
    let rotated =
        world.environments().rotate_environment_key(rotate).await.unwrap().into_inner().key.unwrap();
    assert_eq!((rotated.scopes, rotated.tags), (key.scopes, key.tags));
}
