//! What is taken back counts at once, on every replica, also for streams that are open.

use std::time::{Duration, Instant};

use burgee_proto::evaluation::v1::WatchFlagsRequest;
use burgee_proto::evaluation::v1::watch_flags_response::Event;
use burgee_proto::management::v1::change_service_client::ChangeServiceClient;
use burgee_proto::management::v1::*;
use burgee_proto::v1 as pb;
use burgee_tests::postgres::Cluster;
use burgee_tests::server::{Credential, Server as Process};
use tonic::{Code, Status};

use crate::world::{Holding, World};

/// How long a stream may go on.
const AT_ONCE: Duration = Duration::from_secs(1);
/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// Watches changes of a project on a server, and returns when and how that ends.
async fn watch_changes(
    server: &Process,
    secret: &str,
    parent: &str,
) -> impl Future<Output = (Instant, Status)> + use<> {
    let channel = server.management_channel().await;
    let mut client = ChangeServiceClient::with_interceptor(channel, Credential::token(secret));
    let request = WatchChangesRequest { parent: parent.into(), after_revision: None };
    let mut stream = client.watch_changes(request).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    async move {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("a stream ends with a reason"),
                Err(status) => return (Instant::now(), status),
            }
        }
    }
}

/// Checks that all streams end within a second of what was done.
async fn check_ended(done: Instant, streams: Vec<impl Future<Output = (Instant, Status)>>, code: Code) {
    for stream in streams {
        let (ended, status) = tokio::time::timeout(PATIENCE, stream).await.expect("the stream ends");
        assert_eq!(status.code(), code, "{status:?}");
        let took = ended.saturating_duration_since(done);
        assert!(took < AT_ONCE, "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_management_end_with_the_right_to_them_on_every_replica() {
    let _alone = crate::MACHINE.write().await;
    let database = Cluster::shared().database().await;
    let world = World::start(&database).await;
    let replica = Process::serve_some(&database, true, false, &[]).await;
    let project = world.places[0].project.clone();
    let organisation = world.places[0].organisation.clone();
    let admin = &world.token;

    // A token is revoked.
    let secret = world.create_user("revoked").await;
    world.add_member(&organisation, "users/revoked", pb::Role::Admin).await;
    let streams = vec![
        watch_changes(&world.process, &secret, &project).await,
        watch_changes(&replica, &secret, &organisation).await,
    ];
    let request = RevokeTokenRequest { name: "users/revoked/tokens/laptop".into(), ..Default::default() };
    world.server.must::<RevokeTokenResponse>("UserService/RevokeToken", admin, request).await;
    check_ended(Instant::now(), streams, Code::Unauthenticated).await;

    // A grant is taken back: the place is out of sight.
    let secret = world.create_user("ungranted").await;
    world.add_member(&organisation, "users/ungranted", pb::Role::Member).await;
    let holding = Holding { permission: pb::Permission::ViewAuditLog, place: project.clone() };
    world.grant("ungranted", "users/ungranted", &holding).await;
    let streams = vec![
        watch_changes(&world.process, &secret, &project).await,
        watch_changes(&replica, &secret, &project).await,
    ];
    let request =
        RevokeGrantRequest { name: format!("{organisation}/grants/ungranted"), ..Default::default() };
    world.server.must::<RevokeGrantResponse>("PermissionService/RevokeGrant", admin, request).await;
    check_ended(Instant::now(), streams, Code::NotFound).await;

    // A member is removed.
    let secret = world.create_user("removed").await;
    world.add_member(&organisation, "users/removed", pb::Role::Admin).await;
    let streams = vec![
        watch_changes(&world.process, &secret, &project).await,
        watch_changes(&replica, &secret, &organisation).await,
    ];
    let request =
        RemoveMemberRequest { name: format!("{organisation}/members/removed"), ..Default::default() };
    world.server.must::<RemoveMemberResponse>("OrganisationService/RemoveMember", admin, request).await;
    check_ended(Instant::now(), streams, Code::NotFound).await;

    // A user is deleted.
    let secret = world.create_user("deleted").await;
    world.add_member(&organisation, "users/deleted", pb::Role::Admin).await;
    let streams = vec![
        watch_changes(&world.process, &secret, &project).await,
        watch_changes(&replica, &secret, &project).await,
    ];
    let request = DeleteUserRequest { name: "users/deleted".into(), ..Default::default() };
    world.server.must::<DeleteUserResponse>("UserService/DeleteUser", admin, request).await;
    check_ended(Instant::now(), streams, Code::Unauthenticated).await;

    // A trust relationship is deleted: so are the tokens that it gave.
    let job = format!("{organisation}/trustRelationships/ci");
    let holding = Holding { permission: pb::Permission::ViewAuditLog, place: project.clone() };
    world.grant("job", &job, &holding).await;
    let request = ExchangeTokenRequest { name: job.clone(), token: world.ci_token("repo:acme/shop").await };
    let exchanged: ExchangeTokenResponse = world.server.must("TrustService/ExchangeToken", "", request).await;
    let streams = vec![
        watch_changes(&world.process, &exchanged.secret, &project).await,
        watch_changes(&replica, &exchanged.secret, &project).await,
    ];
    let request = DeleteTrustRelationshipRequest { name: job, ..Default::default() };
    let method = "TrustService/DeleteTrustRelationship";
    world.server.must::<DeleteTrustRelationshipResponse>(method, admin, request).await;
    check_ended(Instant::now(), streams, Code::Unauthenticated).await;
}

/// Watches flags on a server, and returns when the goodbye came.
async fn watch_flags(server: &Process, secret: &str) -> impl Future<Output = Instant> + use<> {
    let mut client = server.evaluator(secret).await;
    let mut stream = client.watch_flags(WatchFlagsRequest::default()).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    async move {
        loop {
            match stream.message().await {
                Ok(Some(message)) if matches!(message.event, Some(Event::Goodbye(_))) => {
                    return Instant::now();
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => panic!("no goodbye"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_evaluation_end_with_their_key_on_every_replica() {
    let _alone = crate::MACHINE.write().await;
    let database = Cluster::shared().database().await;
    let world = World::start(&database).await;
    let replica = Process::serve_some(&database, false, true, &[]).await;
    let environment = world.places[0].environment.clone();
    for kind in [pb::KeyKind::ServerSide, pb::KeyKind::ClientSide] {
        let id = if kind == pb::KeyKind::ServerSide { "server" } else { "client" };
        let key = pb::EnvironmentKey { kind: kind.into(), ..Default::default() };
        let secret = world.create_key(&environment, id, key.clone()).await;
        let other = world.create_key(&environment, &format!("{id}-other"), key).await;
        let ended = vec![watch_flags(&world.process, &secret).await, watch_flags(&replica, &secret).await];
        let goes_on = tokio::spawn(watch_flags(&replica, &other).await);
        let request =
            RevokeEnvironmentKeyRequest { name: format!("{environment}/keys/{id}"), ..Default::default() };
        let method = "EnvironmentService/RevokeEnvironmentKey";
        world.server.must::<RevokeEnvironmentKeyResponse>(method, &world.token, request).await;
        let done = Instant::now();
        for stream in ended {
            let at = tokio::time::timeout(PATIENCE, stream).await.expect("the stream ends");
            let took = at.saturating_duration_since(done);
            assert!(took < AT_ONCE, "{took:?}");
        }
        for server in [&world.process, &replica] {
            let mut client = server.evaluator(&secret).await;
            let status = client.evaluate_flags(burgee_proto::evaluation::v1::EvaluateFlagsRequest::default());
            assert_eq!(status.await.unwrap_err().code(), Code::Unauthenticated);
        }
        assert!(!goes_on.is_finished(), "another key's stream goes on");
        goes_on.abort();
    }
}
