//! A walk over every method of every service, as reflection tells them.

use std::collections::BTreeSet;

use burgee_proto::evaluation::v1::*;
use burgee_proto::v1 as pb;
use burgee_tests::postgres::Cluster;
use prost::Message as _;
use prost_types::FileDescriptorProto;
use tokio_stream::StreamExt as _;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use crate::cases::{CASES, Needs};
use crate::raw::Server;
use crate::variants::VARIANTS;
use crate::world::{Holding, World, level};

/// What anybody may call: they tell what there is, not what is in it.
const OPEN_SERVICES: [&str; 3] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// The packages whose methods ask who calls.
const PACKAGES: [&str; 2] = ["burgee.management.v1.", "burgee.evaluation.v1."];

async fn reflect(client: &mut ServerReflectionClient<Channel>, message: MessageRequest) -> MessageResponse {
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(message) };
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    let ServerReflectionResponse { message_response, .. } = answers.next().await.unwrap().unwrap();
    message_response.unwrap()
}

/// Returns the methods of all services of a package that a server tells of, as `package.Service/Method`. All services are of the
/// packages here, or open.
async fn methods(address: std::net::SocketAddr, package: &str) -> BTreeSet<String> {
    let mut client = ServerReflectionClient::new(burgee_tests::server::channel(address).await);
    let listed = reflect(&mut client, MessageRequest::ListServices(String::new())).await;
    let MessageResponse::ListServicesResponse(services) = listed else { panic!("{listed:?}") };
    let mut methods = BTreeSet::new();
    for service in services.service.into_iter().map(|service| service.name) {
        if OPEN_SERVICES.contains(&service.as_str()) {
            continue;
        }
        let found = reflect(&mut client, MessageRequest::FileContainingSymbol(service.clone())).await;
        let MessageResponse::FileDescriptorResponse(files) = found else { panic!("{service}: {found:?}") };
        for file in files.file_descriptor_proto {
            let file = FileDescriptorProto::decode(&*file).unwrap();
            for described in &file.service {
                if format!("{}.{}", file.package(), described.name()) == service {
                    methods
                        .extend(described.method.iter().map(|method| format!("{service}/{}", method.name())));
                }
            }
        }
    }
    assert!(methods.iter().all(|method| PACKAGES.iter().any(|package| method.starts_with(package))));
    methods.retain(|method| method.starts_with(package));
    methods
}

fn reason(status: &Status) -> String {
    burgee_proto::status::reason(status).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_asks_who_calls_and_whether_they_may() {
    let _busy = crate::MACHINE.read().await;
    let world = World::start(&Cluster::shared().database().await).await;
    let found = methods(world.process.management.unwrap(), PACKAGES[0]).await;
    let known: BTreeSet<_> = CASES.iter().map(|case| format!("burgee.management.v1.{}", case.path)).collect();
    assert_eq!(found, known, "every method has a case");
    assert!(found.len() >= 95, "{}", found.len());

    let place = &world.places[0];
    // With nothing, the answer to an empty request is that nobody knows who calls; nothing of it is looked at.
    for case in CASES.iter().filter(|case| !matches!(case.needs, Needs::Secret)) {
        for request in [Vec::new(), vec![0xff; 64], (case.request)(place)] {
            let status = world.server.call(case.path, "", request).await.unwrap_err();
            assert_eq!(
                (status.code(), reason(&status).as_str()),
                (Code::Unauthenticated, "CREDENTIAL_MISSING"),
                "{}",
                case.path
            );
        }
    }
    // Another tenant learns nothing, not even that there is something.
    let outsider = world.create_token("users/bravo-owner", "walk", None).await;
    for case in CASES.iter().chain(VARIANTS) {
        if case.needs.permissions().is_empty() {
            continue;
        }
        let status = world.server.call(case.path, &outsider, (case.request)(place)).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound, "{} {}: {status:?}", case.path, case.of);
        let nowhere = crate::cases::Place::of("nowhere", "shop", "dev");
        let of_nothing = world.server.call(case.path, &outsider, (case.request)(&nowhere)).await.unwrap_err();
        let same = |status: &Status| status.message().replace("nowhere", "acme");
        assert_eq!(same(&status), same(&of_nothing), "{} {}", case.path, case.of);
    }
    // With one permission too few, the missing one is named; with just enough, it is done.
    for (index, case) in CASES.iter().enumerate() {
        let needed = case.needs.permissions();
        if needed.is_empty() || needed == ["VIEW_ORGANISATION"] {
            // Every member holds it.
            continue;
        }
        let id = format!("walker-{index}");
        let secret = world.create_user(&id).await;
        world.add_member("organisations/acme", &format!("users/{id}"), pb::Role::Member).await;
        let permission = |name: &str| pb::Permission::from_str_name(&format!("PERMISSION_{name}")).unwrap();
        // To see the place is not to do something there.
        for (number, name) in needed.iter().enumerate() {
            let needs = permission(name);
            let at = place.at(level(needs)).to_owned();
            let sight = match level(needs) {
                crate::cases::Level::Environment if *name != "VIEW_ENVIRONMENT" => {
                    pb::Permission::ViewEnvironment
                }
                crate::cases::Level::Environment => pb::Permission::ViewIdentities,
                _ if *name != "VIEW_PROJECT" => pb::Permission::ViewProject,
                _ => pb::Permission::ViewAuditLog,
            };
            if level(needs) != crate::cases::Level::Organisation {
                let sight = Holding { permission: sight, place: at.clone() };
                world.grant(&format!("{id}-sight-{number}"), &format!("users/{id}"), &sight).await;
            }
        }
        for (number, name) in needed.iter().enumerate() {
            let answer = world.server.call(case.path, &secret, (case.request)(place)).await;
            if let Err(status) = &answer {
                assert_eq!(status.code(), Code::PermissionDenied, "{}: {status:?}", case.path);
                let still_missing = &needed[number..];
                let is_named = still_missing.iter().any(|name| status.message().contains(name));
                assert!(is_named, "{}: {status:?}", case.path);
            } else {
                // What lets the place be seen may be all that is missing.
                assert!(matches!(*name, "VIEW_PROJECT" | "VIEW_ENVIRONMENT"), "{}", case.path);
            }
            let holding =
                Holding { permission: permission(name), place: place.at(level(permission(name))).to_owned() };
            world.grant(&format!("{id}-{number}"), &format!("users/{id}"), &holding).await;
        }
        let done = world.server.call(case.path, &secret, (case.request)(place)).await;
        if case.path == "OrganisationService/AddMember" {
            // Whom the walker does not know, they cannot add: it gets as far as that.
            assert!(done.unwrap_err().message().contains("users/outsider"));
            continue;
        }
        assert!(done.is_ok(), "{}: {done:?}", case.path);
    }
}

/// The evaluation methods, each with its scope and a request.
fn evaluation_cases() -> Vec<(&'static str, pb::KeyScope, Vec<u8>)> {
    vec![
        ("EvaluateFlags", pb::KeyScope::Evaluate, EvaluateFlagsRequest::default().encode_to_vec()),
        (
            "EvaluateFlag",
            pb::KeyScope::Evaluate,
            EvaluateFlagRequest { feature: "dark".into(), ..Default::default() }.encode_to_vec(),
        ),
        (
            "BatchEvaluateFlags",
            pb::KeyScope::Evaluate,
            BatchEvaluateFlagsRequest { items: vec![Default::default()], ..Default::default() }
                .encode_to_vec(),
        ),
        (
            "Identify",
            pb::KeyScope::Identify,
            IdentifyRequest { identifier: "ada".into(), ..Default::default() }.encode_to_vec(),
        ),
        ("WatchFlags", pb::KeyScope::Evaluate, WatchFlagsRequest::default().encode_to_vec()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_evaluation_method_asks_for_a_key_with_its_scope_on_postgres() {
    check_keys(&Cluster::shared().database().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_evaluation_method_asks_for_a_key_with_its_scope_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    check_keys(&format!("sqlite:{}", folder.path().join("burgee.db").display())).await;
}

/// Calls every method with every kind of key with every scope, of every environment.
async fn check_keys(database_url: &str) {
    let _busy = crate::MACHINE.read().await;
    let world = World::start(database_url).await;
    let address = world.process.evaluation.unwrap();
    let server = Server::connect(address, "burgee.evaluation.v1").await;
    let found = methods(address, PACKAGES[1]).await;
    let cases = evaluation_cases();
    let known: BTreeSet<_> =
        cases.iter().map(|(method, ..)| format!("burgee.evaluation.v1.EvaluationService/{method}")).collect();
    assert_eq!(found, known, "every method has a case");

    let all = [
        (
            pb::KeyKind::ServerSide,
            vec![
                pb::KeyScope::Evaluate,
                pb::KeyScope::WatchRules,
                pb::KeyScope::Identify,
                pb::KeyScope::Explain,
            ],
        ),
        (pb::KeyKind::ClientSide, vec![pb::KeyScope::Evaluate, pb::KeyScope::Identify]),
    ];
    let environments = world.places.iter().map(|place| &place.environment);
    for (environment, (kind, scopes)) in environments.flat_map(|name| all.iter().map(move |all| (name, all)))
    {
        for &only in scopes {
            let id =
                format!("{}-{}", kind.as_str_name(), only.as_str_name()).to_lowercase().replace('_', "-");
            let key =
                pb::EnvironmentKey { kind: (*kind).into(), scopes: vec![only.into()], ..Default::default() };
            let secret = world.create_key(environment, &id, key).await;
            for (method, scope, request) in &cases {
                let path = format!("EvaluationService/{method}");
                let answer = server.call(&path, &secret, request.clone()).await;
                if only == *scope {
                    assert!(answer.is_ok(), "{id} {method}: {answer:?}");
                } else {
                    let status = answer.unwrap_err();
                    assert_eq!(status.code(), Code::PermissionDenied, "{id} {method}: {status:?}");
                    assert!(status.message().contains(scope.as_str_name()), "{id} {method}: {status:?}");
                }
            }
        }
    }
    for (method, _, request) in cases {
        let path = format!("EvaluationService/{method}");
        for (what, secret, expected) in [
            ("nothing", String::new(), "CREDENTIAL_MISSING"),
            ("a guess", "ser.guess".to_owned(), "CREDENTIAL_INVALID"),
            ("a token", world.token.clone(), "CREDENTIAL_INVALID"),
        ] {
            let status = server.call(&path, &secret, request.clone()).await.unwrap_err();
            assert_eq!(
                (status.code(), reason(&status).as_str()),
                (Code::Unauthenticated, expected),
                "{method} with {what}"
            );
        }
    }
}
