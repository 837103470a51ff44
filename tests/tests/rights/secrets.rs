//! Secrets are shown once, and are nowhere else: not in logs, changes, errors, metrics or settings.

use burgee_proto::evaluation::v1::EvaluateFlagsRequest;
use burgee_proto::management::v1::*;
use burgee_proto::v1 as pb;
use burgee_tests::postgres::Cluster;
use burgee_tests::secrets;
use burgee_tests::server::{Credentials, Server as Process, binary};
use prost::Message as _;
use tokio::process::Command;
use tonic::Status;

use crate::raw::Server;
use crate::world::World;

/// Returns what an answer says.
fn text(answer: Result<Vec<u8>, Status>) -> String {
    answer.map_or_else(|status| format!("{status:?}"), |bytes| String::from_utf8_lossy(&bytes).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_nowhere_but_where_they_are_shown() {
    // The world's server logs warnings; this one, over the same database, everything.
    let database = Cluster::shared().database().await;
    let world = World::start(&database).await;
    let arguments = [
        ["serve", "--database-url", &database, "--management", "127.0.0.1:0", "--evaluation", "127.0.0.1:0"],
        ["--log", "trace", "--log-format", "json", "--config", &world.config, "--metrics=127.0.0.1:0"],
    ];
    let mut arguments: Vec<String> = arguments.concat().into_iter().map(str::to_owned).collect();
    arguments.push("--sign-in-failures-per-minute=0".to_owned());
    let talkative = Process::start(arguments, Credentials::default()).await;
    let server = Server::connect(talkative.management.unwrap(), "burgee.management.v1").await;
    let admin = &world.token;
    let organisation = &world.places[0].organisation;
    let environment = &world.places[0].environment;
    let mut made = vec![admin.clone()];

    for parent in ["users/somebody", organisation] {
        let request =
            CreateTokenRequest { parent: parent.into(), token_id: "secret".into(), ..Default::default() };
        let created: CreateTokenResponse = server.must("UserService/CreateToken", admin, request).await;
        made.push(created.secret);
    }
    for (id, kind) in [("s", pb::KeyKind::ServerSide), ("c", pb::KeyKind::ClientSide)] {
        let key = pb::EnvironmentKey { kind: kind.into(), ..Default::default() };
        let request = CreateEnvironmentKeyRequest {
            parent: environment.clone(),
            key_id: id.into(),
            key: Some(key),
            ..Default::default()
        };
        let method = "EnvironmentService/CreateEnvironmentKey";
        let created: CreateEnvironmentKeyResponse = server.must(method, admin, request).await;
        let request =
            RotateEnvironmentKeyRequest { name: format!("{environment}/keys/{id}"), ..Default::default() };
        let method = "EnvironmentService/RotateEnvironmentKey";
        let rotated: RotateEnvironmentKeyResponse = server.must(method, admin, request).await;
        made.extend([created.secret, rotated.secret]);
    }
    let request = CreateInvitationRequest {
        parent: organisation.clone(),
        invitation_id: "secret".into(),
        invitation: Some(pb::Invitation { role: pb::Role::Member.into(), ..Default::default() }),
        ..Default::default()
    };
    let invited: CreateInvitationResponse =
        server.must("InvitationService/CreateInvitation", admin, request).await;
    let accept = AcceptInvitationRequest {
        secret: invited.secret.clone(),
        user_id: "invited".into(),
        user: Some(pb::User { email: "invited@example.com".into(), ..Default::default() }),
        request_id: "accept".into(),
        ..Default::default()
    };
    let accepted: AcceptInvitationResponse =
        server.must("InvitationService/AcceptInvitation", "", accept).await;
    let token = world.ci_token("repo:acme/shop").await;
    let request =
        ExchangeTokenRequest { name: format!("{organisation}/trustRelationships/ci"), token: token.clone() };
    let exchanged: ExchangeTokenResponse = server.must("TrustService/ExchangeToken", "", request).await;
    made.extend([invited.secret, accepted.token_secret, token, exchanged.secret]);
    assert!(made.iter().all(|secret| secret.len() >= 30), "all were shown");
    // From here on, the servers' output is searched for all of them, whatever their form.
    made.iter().for_each(|secret| secrets::note(secret));

    // Each is used, well and badly, and where it does not belong.
    let evaluation = Server::connect(talkative.evaluation.unwrap(), "burgee.evaluation.v1").await;
    let mut said = Vec::new();
    for secret in &made {
        let mut damaged = secret.clone();
        damaged.truncate(secret.len() - 2);
        for presented in [secret, &damaged] {
            for method in ["UserService/GetCurrentUser", "UserService/ListUsers"] {
                said.push(text(server.call(method, presented, Vec::new()).await));
            }
            let request = EvaluateFlagsRequest::default().encode_to_vec();
            let method = "EvaluationService/EvaluateFlags";
            said.push(text(evaluation.call(method, presented, request).await));
            let request = AcceptInvitationRequest { secret: presented.clone(), ..Default::default() };
            let method = "InvitationService/AcceptInvitation";
            said.push(text(server.call(method, admin, request.encode_to_vec()).await));
            let request = ExchangeTokenRequest {
                name: format!("{organisation}/trustRelationships/ci"),
                token: presented.clone(),
            };
            let answer = server.call("TrustService/ExchangeToken", "", request.encode_to_vec()).await;
            // That of the CI system is exchanged again.
            said.extend(answer.err().map(|status| format!("{status:?}")));
        }
    }
    let project = &world.places[0].project;
    for parent in ["server", organisation, project] {
        let mut request =
            ListChangesRequest { parent: parent.to_owned(), page_size: 1_000, ..Default::default() };
        loop {
            let page: ListChangesResponse =
                server.must("ChangeService/ListChanges", admin, request.clone()).await;
            assert!(!page.changes.is_empty(), "{parent}");
            said.push(format!("{page:?}"));
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
    }
    let lists: [(&str, Vec<u8>); 4] = [
        (
            "UserService/ListTokens",
            ListTokensRequest { parent: organisation.clone(), ..Default::default() }.encode_to_vec(),
        ),
        (
            "EnvironmentService/ListEnvironmentKeys",
            ListEnvironmentKeysRequest { parent: environment.clone(), ..Default::default() }.encode_to_vec(),
        ),
        (
            "InvitationService/ListInvitations",
            ListInvitationsRequest { parent: organisation.clone(), ..Default::default() }.encode_to_vec(),
        ),
        (
            "TrustService/ListTrustRelationships",
            ListTrustRelationshipsRequest { parent: organisation.clone(), ..Default::default() }
                .encode_to_vec(),
        ),
    ];
    for (method, request) in lists {
        let answer = server.call(method, admin, request).await.unwrap();
        said.push(String::from_utf8_lossy(&answer).into_owned());
    }
    said.push(burgee_tests::metrics::scrape(&talkative).await);
    for text in &said {
        if let Some(secret) = secrets::find(text) {
            panic!("`{secret}` is in {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_shown_without_secrets() {
    let url = "postgres://burgee:correct-horse@db.example/burgee?sslpassword=battery-staple";
    let shown = Command::new(binary())
        .args(["config", "--database-url", url, "--read-database-url", url])
        .output()
        .await
        .unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&shown.stdout), String::from_utf8_lossy(&shown.stderr));
    assert!(shown.status.success() && text.contains("db.example"), "{text}");
    assert!(!text.contains("correct-horse") && !text.contains("battery-staple"), "{text}");
}
