//! Keys that may not do everything, and keys that see only features with their tags.

use burgee_core::access::{EnvironmentKey, KeyKind, KeyScope, SecretHash};
use burgee_core::change::Mutation;
use burgee_core::feature::{Feature, FeaturePatch};
use burgee_core::name::KeyId;
use burgee_proto::evaluation::v1 as pb;
use chrono::{TimeDelta, Utc};
use pb::watch_flags_response::Event;
use pb::{GoodbyeReason, SnapshotReason};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::secrecy::answers;
use crate::service::*;
use crate::world::*;

both! {
    a_key_calls_what_its_scopes_say,
    a_limited_key_sees_features_with_its_tags_only,
    a_feature_out_of_sight_is_like_one_that_does_not_exist,
    a_stream_follows_the_tags,
    a_resumed_stream_is_right_on_every_replica,
    a_token_of_a_key_with_other_tags_begins_anew,
    the_streams_of_a_limited_key_end_on_every_replica_when_it_is_revoked,
    the_streams_of_a_limited_key_end_when_it_expires,
}

/// Sees features that have the tag `web`.
const WEB_KEY: &str = "ser.web";
/// A client-side key that sees features that have the tag `web` or `app`.
const APP_KEY: &str = "app";

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn limited_key(id: &str, kind: KeyKind, tags: &[&str]) -> EnvironmentKey {
    EnvironmentKey { kind, scopes: KeyScope::of_kind(kind), tags: texts(tags), ..key("dev", id) }
}

fn create(key: EnvironmentKey, secret: &str) -> Mutation {
    Mutation::CreateKey { key, hash: SecretHash::of(secret) }
}

fn create_tagged(key: &str, tags: &[&str]) -> Mutation {
    Mutation::CreateFeature { feature: Feature { tags: texts(tags), ..feature(key) } }
}

fn tag(key: &str, tags: &[&str]) -> Mutation {
    let patch = FeaturePatch { tags: Some(texts(tags)), ..Default::default() };
    Mutation::UpdateFeature { feature: feature_key(key), patch, etag: None }
}

fn revoke(id: &str) -> Mutation {
    let environment = environment_name("dev").environment;
    Mutation::RevokeKey { environment, key: KeyId::parse(id).unwrap(), etag: None }
}

/// Creates the shop with the limited keys: `banner` has the tag `web`, `secret` has `web` and `app`, `split` has `app`, and
/// `limit` has none.
async fn tagged(world: World) -> World {
    let world = world.served().await;
    world
        .apply(vec![
            create(limited_key("web", KeyKind::ServerSide, &["web"]), WEB_KEY),
            create(limited_key("app", KeyKind::ClientSide, &["web", "app"]), APP_KEY),
            tag("banner", &["web"]),
            tag("secret", &["web", "app"]),
            tag("split", &["app"]),
        ])
        .await;
    world
}

fn resuming(token: String) -> pb::WatchFlagsRequest {
    pb::WatchFlagsRequest { resume_token: token, ..Default::default() }
}

async fn watching(service: &Service, key: &str) -> Subscriber {
    let mut stream = service.watch(key, pb::WatchFlagsRequest::default()).await;
    stream.next().await;
    stream
}

#[track_caller]
fn check_snapshot(event: Option<Event>, reason: SnapshotReason) {
    match event {
        Some(Event::Snapshot(snapshot)) => assert_eq!(snapshot.reason(), reason),
        other => panic!("{reason:?} should be the reason of a snapshot: {other:?}"),
    }
}

#[track_caller]
fn check_denied<T: std::fmt::Debug>(result: Result<T, Status>, scope: KeyScope) {
    let status = check_status(result, Code::PermissionDenied, "PERMISSION_MISSING");
    let info = status.get_details_error_info().expect("an error says why");
    assert_eq!(info.metadata["permission"], scope.as_str());
}

async fn a_key_calls_what_its_scopes_say(world: World) {
    let world = world.served().await;
    let with = |id: &str, scopes: &[KeyScope]| EnvironmentKey { scopes: scopes.to_vec(), ..key("dev", id) };
    let reading = [KeyScope::Evaluate, KeyScope::WatchRules, KeyScope::Explain];
    let writing = [KeyScope::Identify, KeyScope::WatchRules, KeyScope::Explain];
    world
        .apply(vec![
            create(with("reading", &reading), "ser.reading"),
            create(with("writing", &writing), "ser.writing"),
        ])
        .await;
    let service = Service::start(&world).await;
    let flag = || pb::EvaluateFlagRequest { feature: "banner".to_owned(), ..Default::default() };
    let batch = || {
        let items = vec![pb::BatchEvaluateFlagsItem::default()];
        pb::BatchEvaluateFlagsRequest { items, ..Default::default() }
    };
    let identify = || pb::IdentifyRequest { identifier: "eve".to_owned(), ..Default::default() };

    let mut client = service.client("ser.reading").await;
    client.evaluate_flags(pb::EvaluateFlagsRequest::default()).await.unwrap();
    client.evaluate_flag(flag()).await.unwrap();
    client.batch_evaluate_flags(batch()).await.unwrap();
    client.watch_flags(pb::WatchFlagsRequest::default()).await.unwrap();
    check_denied(client.identify(identify()).await, KeyScope::Identify);
    let transient = pb::IdentifyRequest { transient: true, ..identify() };
    check_denied(client.identify(transient).await, KeyScope::Identify);
    assert!(world.flags().identity(&identity_name("dev", "eve")).await.is_err(), "nothing was stored");

    let mut client = service.client("ser.writing").await;
    client.identify(identify()).await.unwrap();
    check_denied(client.evaluate_flags(pb::EvaluateFlagsRequest::default()).await, KeyScope::Evaluate);
    check_denied(client.evaluate_flag(flag()).await, KeyScope::Evaluate);
    check_denied(client.batch_evaluate_flags(batch()).await, KeyScope::Evaluate);
    let watched = client.watch_flags(pb::WatchFlagsRequest::default()).await.map(drop);
    check_denied(watched, KeyScope::Evaluate);
}

async fn a_limited_key_sees_features_with_its_tags_only(world: World) {
    let world = tagged(world).await;
    // A segment of its own, an override for Ada, a trait that makes Eve a member: all could give it away.
    world
        .apply(vec![
            create_segment("hush"),
            create_tagged("unseen", &["internal"]),
            set_override("dev", "unseen", "hush", None),
            set_identity_override("dev", "unseen", "ada"),
        ])
        .await;
    world.set_traits("eve", &[("plan", "hush")]).await;
    let service = Service::start(&world).await;
    let revision = world.revision().await;
    let features = ["banner", "limit", "secret", "split", "unseen"];
    for (key, visible) in [
        (SERVER_KEY, &["banner", "limit", "secret", "split", "unseen"][..]),
        (WEB_KEY, &["banner", "secret"]),
        (APP_KEY, &["banner", "split"]),
    ] {
        let request = pb::EvaluateFlagsRequest { min_revision: revision, ..Default::default() };
        let all = service.client(key).await.evaluate_flags(request.clone()).await.unwrap().into_inner();
        assert_eq!(keys_of(&all.flags), visible, "{key}");
        let named = pb::EvaluateFlagsRequest { features: texts(&features), ..request };
        let named = service.client(key).await.evaluate_flags(named).await.unwrap().into_inner();
        assert_eq!(keys_of(&named.flags), visible, "{key}");
        let missing: Vec<_> = features.into_iter().filter(|feature| !visible.contains(feature)).collect();
        assert_eq!(named.missing_features, missing, "{key}");
        let tells = |answer: &String| answer.contains("unseen") || answer.contains("HUSH");
        let all = answers(&service, key, revision, &features).await;
        assert_eq!(all.iter().any(tells), key == SERVER_KEY, "{key}");
    }
}

async fn a_feature_out_of_sight_is_like_one_that_does_not_exist(world: World) {
    let world = tagged(world).await;
    let service = Service::start(&world).await;
    let ask = async |feature: &str| {
        let request = pb::EvaluateFlagRequest { feature: feature.to_owned(), ..Default::default() };
        let status = service.client(WEB_KEY).await.evaluate_flag(request).await.map(drop).unwrap_err();
        (status.code(), status.message().replace(feature, "it"), burgee_proto::status::reason(&status))
    };
    assert_eq!(ask("limit").await, ask("no-such").await);
    assert_eq!(ask("split").await.0, Code::NotFound);
}

async fn a_stream_follows_the_tags(world: World) {
    let world = tagged(world).await;
    let service = Service::start(&world).await;
    let mut stream = watching(&service, WEB_KEY).await;
    let named =
        pb::WatchFlagsRequest { features: texts(&["limit", "unseen", "split"]), ..Default::default() };
    let mut asking = service.watch(WEB_KEY, named).await;
    asking.next().await;
    assert_eq!((stream.keys(), asking.keys()), (vec!["banner", "secret"], vec![]));
    let revision = world.write(tag("limit", &["web"])).await;
    assert_eq!(stream.reach(revision).await.keys(), ["banner", "limit", "secret"]);
    assert_eq!(asking.reach(revision).await.keys(), ["limit"]);
    let revision = world.write(tag("limit", &["app"])).await;
    assert_eq!(stream.reach(revision).await.keys(), ["banner", "secret"]);
    assert_eq!(asking.reach(revision).await.keys(), [""; 0]);
    // Of what it never sees, it hears nothing.
    world.write(create_tagged("unseen", &["internal"])).await;
    world.write(switch("dev", "unseen", false)).await;
    world.write(delete_feature("unseen")).await;
    world.write(switch("dev", "split", false)).await;
    world.write(delete_feature("split")).await;
    let revision = world.write(delete_feature("banner")).await;
    assert_eq!(stream.reach(revision).await.keys(), ["secret"]);
    for message in stream.messages.iter().chain(&asking.messages) {
        let message = format!("{message:?}");
        assert!(!message.contains("unseen") && !message.contains("split"), "{message}");
    }
}

async fn a_resumed_stream_is_right_on_every_replica(world: World) {
    let world = tagged(world).await;
    let service = Service::start(&world).await;
    let token = watching(&service, WEB_KEY).await.token();
    world.write(create_tagged("unseen", &["internal"])).await;
    world.write(tag("limit", &["web"])).await;
    let revision = world.write(tag("banner", &["app"])).await;

    // A replica that saw it all happen knows what the key had.
    let mut watching_on = watching(&service, WEB_KEY).await;
    watching_on.reach(revision).await;
    let mut stream = service.watch(WEB_KEY, resuming(token.clone())).await;
    match stream.next().await {
        Some(Event::Update(update)) => {
            assert_eq!((keys_of(&update.flags), update.removed), (vec!["limit"], texts(&["banner"])));
        }
        // It may have read several revisions at once.
        event => check_snapshot(event, SnapshotReason::FeaturesWithdrawn),
    }

    let another = Service::start(&world).await;
    let mut stream = another.watch(WEB_KEY, resuming(token)).await;
    check_snapshot(stream.next().await, SnapshotReason::FeaturesWithdrawn);
    assert_eq!(stream.keys(), ["limit", "secret"]);
    for message in watching_on.messages.iter().chain(&stream.messages) {
        assert!(!format!("{message:?}").contains("unseen"), "{message:?}");
    }
}

async fn a_token_of_a_key_with_other_tags_begins_anew(world: World) {
    let world = tagged(world).await;
    world.write(create(limited_key("other", KeyKind::ServerSide, &["app"]), "ser.other")).await;
    world.write(create(limited_key("twin", KeyKind::ServerSide, &["web"]), "ser.twin")).await;
    let service = Service::start(&world).await;
    let token = watching(&service, WEB_KEY).await.token();
    for key in ["ser.other", SERVER_KEY, APP_KEY] {
        let mut stream = service.watch(key, resuming(token.clone())).await;
        check_snapshot(stream.next().await, SnapshotReason::OtherRequest);
    }
    for key in [WEB_KEY, "ser.twin"] {
        let mut stream = service.watch(key, resuming(token.clone())).await;
        assert!(matches!(stream.next().await, Some(Event::UpToDate(_))), "{key}");
    }
}

async fn the_streams_of_a_limited_key_end_on_every_replica_when_it_is_revoked(world: World) {
    let world = tagged(world).await;
    let another_store = std::sync::Arc::new(world.another_store());
    let replicas = [
        Service::start(&world).await,
        Service::start_over(another_store.clone(), another_store, Default::default()).await,
    ];
    let (mut ending, mut staying) = (Vec::new(), Vec::new());
    for replica in &replicas {
        ending.push(watching(replica, WEB_KEY).await);
        staying.push(watching(replica, APP_KEY).await);
        staying.push(watching(replica, SERVER_KEY).await);
    }
    world.write(revoke("web")).await;
    for stream in &mut ending {
        assert_eq!(stream.goodbye().await.reason(), GoodbyeReason::KeyRevoked);
    }
    let revision = world.write(switch("dev", "banner", false)).await;
    for stream in &mut staying {
        stream.reach(revision).await;
    }
}

async fn the_streams_of_a_limited_key_end_when_it_expires(world: World) {
    let world = tagged(world).await;
    let service = Service::start(&world).await;
    let expires_at = Some(Utc::now() + TimeDelta::seconds(2));
    let soon = EnvironmentKey { expires_at, ..limited_key("soon", KeyKind::ClientSide, &["web"]) };
    world.write(create(soon, "soon")).await;
    let (mut ending, mut staying) = (watching(&service, "soon").await, watching(&service, APP_KEY).await);
    assert_eq!(ending.goodbye().await.reason(), GoodbyeReason::KeyRevoked);
    assert!(Some(Utc::now()) >= expires_at);
    let revision = world.write(switch("dev", "banner", false)).await;
    staying.reach(revision).await;
}
