//! Identify.

use std::collections::BTreeSet;

use burgee_core::organisation::OrganisationPatch;
use burgee_core::project::EnvironmentPatch;
use burgee_proto::evaluation::v1 as pb;
use burgee_proto::v1;
use tonic::Code;

use crate::service::*;
use crate::world::*;

both! {
    an_identity_is_stored_and_answered,
    a_transient_identity_is_not_stored,
    a_transient_trait_is_not_stored,
    traits_that_are_not_to_be_kept_count_for_the_call,
    traits_from_clients_count_if_the_environment_says_so,
    many_callers_at_once_are_all_stored,
    an_identity_with_too_many_traits_is_refused_alone,
}

async fn identify(client: &Client, request: pb::IdentifyRequest) -> pb::IdentifyResponse {
    client.clone().identify(request).await.unwrap().into_inner()
}

fn request(identifier: &str, traits: &[(&str, &str)]) -> pb::IdentifyRequest {
    pb::IdentifyRequest { identifier: identifier.to_owned(), traits: trait_map(traits), ..Default::default() }
}

async fn stored(world: &World, identifier: &str) -> Option<Vec<String>> {
    let identity = world.flags().identity(&identity_name("dev", identifier)).await.ok()?;
    Some(identity.traits.iter().map(|stored| format!("{}={}", stored.key, stored.value.to_text())).collect())
}

fn echoed(response: &pb::IdentifyResponse) -> Vec<String> {
    let text = |value: &v1::TraitValue| match value.kind.as_ref().unwrap() {
        v1::trait_value::Kind::StringValue(text) => text.clone(),
        other => format!("{other:?}"),
    };
    response.traits.iter().map(|(key, value)| format!("{key}={}", text(value))).collect()
}

async fn an_identity_is_stored_and_answered(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let client = service.client(SERVER_KEY).await;
    let answer = identify(&client, request("eve", &[("plan", "beta"), ("city", "Rome")])).await;
    assert_eq!(answer.identifier, "eve");
    assert_eq!(echoed(&answer), ["city=Rome", "plan=beta"]);
    assert_eq!(text_of(flag_of(&answer.flags, "banner")), "beta");
    assert_eq!(answer.revision, world.revision().await);
    assert_eq!(stored(&world, "eve").await.unwrap(), ["city=Rome", "plan=beta"]);

    let features = vec!["banner".to_owned(), "what".to_owned()];
    let next = pb::IdentifyRequest { features, ..request("eve", &[("city", ""), ("age", "41")]) };
    let answer = identify(&client, next).await;
    assert_eq!(echoed(&answer), ["age=41", "plan=beta"]);
    assert_eq!((keys_of(&answer.flags), answer.missing_features), (vec!["banner"], vec!["what".to_owned()]));
    assert_eq!(stored(&world, "eve").await.unwrap(), ["age=41", "plan=beta"]);
    identify(&client, request("empty", &[])).await;
    assert_eq!(stored(&world, "empty").await.unwrap(), [""; 0]);
}

async fn a_transient_identity_is_not_stored(world: World) {
    let world = world.served().await;
    world.set_traits("eve", &[("city", "Rome")]).await;
    let service = Service::start(&world).await;
    let client = service.client(SERVER_KEY).await;
    let transient =
        |identifier, traits: &[_]| pb::IdentifyRequest { transient: true, ..request(identifier, traits) };
    let answer = identify(&client, transient("eve", &[("plan", "beta")])).await;
    assert_eq!(echoed(&answer), ["city=Rome", "plan=beta"]);
    assert_eq!(text_of(flag_of(&answer.flags, "banner")), "beta");
    assert_eq!(stored(&world, "eve").await.unwrap(), ["city=Rome"]);
    identify(&client, transient("nobody", &[("plan", "beta")])).await;
    assert_eq!(stored(&world, "nobody").await, None);

    let nameless = identify(&client, request("", &[("plan", "beta")])).await;
    assert_eq!(nameless.identifier.len(), 64);
    assert_eq!(text_of(flag_of(&nameless.flags, "banner")), "beta");
    assert_eq!(nameless.identifier, identify(&client, request("", &[("plan", "beta")])).await.identifier);
    let traitless = identify(&client, request("", &[])).await;
    assert_eq!(traitless.identifier.len(), 32);
    for identifier in [nameless.identifier, traitless.identifier] {
        assert_eq!(stored(&world, &identifier).await, None);
    }
}

async fn a_transient_trait_is_not_stored(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let client = service.client(SERVER_KEY).await;
    let transient_traits = vec!["plan".to_owned()];
    let request = |traits: &[_]| pb::IdentifyRequest {
        transient_traits: transient_traits.clone(),
        ..request("eve", traits)
    };
    let answer = identify(&client, request(&[("plan", "beta"), ("city", "Rome")])).await;
    assert_eq!(echoed(&answer), ["city=Rome", "plan=beta"]);
    assert_eq!(stored(&world, "eve").await.unwrap(), ["city=Rome"]);
    let refused = client.clone().identify(request(&[])).await;
    check_status(refused, Code::InvalidArgument, "INVALID_FIELD");
}

async fn traits_that_are_not_to_be_kept_count_for_the_call(world: World) {
    let world = world.served().await;
    let patch = OrganisationPatch { persist_trait_data: Some(false), ..Default::default() };
    world.flags().update_organisation(&write(), &acme(), patch, None).await.unwrap();
    let service = Service::start(&world).await;
    let answer = identify(&service.client(SERVER_KEY).await, request("eve", &[("plan", "beta")])).await;
    assert_eq!(text_of(flag_of(&answer.flags, "banner")), "beta");
    assert_eq!(stored(&world, "eve").await.unwrap(), [""; 0], "the identity is stored, its traits are not");
}

async fn traits_from_clients_count_if_the_environment_says_so(world: World) {
    let world = world.served().await;
    world.set_traits("eve", &[("city", "Rome")]).await;
    let service = Service::start(&world).await;
    let client = service.client(CLIENT_KEY).await;
    let answer = identify(&client, request("joe", &[("plan", "beta")])).await;
    assert_eq!(text_of(flag_of(&answer.flags, "banner")), "beta");
    let allow_client_traits = Some(false);
    let revision =
        world.set_environment(EnvironmentPatch { allow_client_traits, ..Default::default() }).await;
    let late = |identifier| pb::IdentifyRequest {
        min_revision: revision,
        ..request(identifier, &[("plan", "beta")])
    };
    let answer = identify(&client, late("eve")).await;
    assert_eq!(text_of(flag_of(&answer.flags, "banner")), "initial");
    assert_eq!(echoed(&answer), ["city=Rome"]);
    assert_eq!(stored(&world, "eve").await.unwrap(), ["city=Rome"]);
    identify(&client, late("new")).await;
    assert_eq!(stored(&world, "new").await.unwrap(), [""; 0]);
    let identity = Some(somebody_with("eve", &[("plan", "beta")]));
    let call = pb::EvaluateFlagsRequest { identity: identity.clone(), ..Default::default() };
    let answer = client.clone().evaluate_flags(call.clone()).await.unwrap().into_inner();
    assert_eq!(text_of(flag_of(&answer.flags, "banner")), "initial");
    let answer = service.client(SERVER_KEY).await.evaluate_flags(call).await.unwrap().into_inner();
    assert_eq!(text_of(flag_of(&answer.flags, "banner")), "beta", "backends are trusted");
    let mut stream =
        service.watch(CLIENT_KEY, pb::WatchFlagsRequest { identity, ..Default::default() }).await;
    stream.reach(revision).await;
    assert_eq!(text_of(&stream.state.flags["banner"]), "initial");
}

async fn many_callers_at_once_are_all_stored(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let client = service.client(SERVER_KEY).await;
    let mut calls = tokio::task::JoinSet::new();
    for index in 0..300 {
        let client = client.clone();
        // Every third is the same identity, each with a trait of its own.
        let identifier = if index % 3 == 0 { "all".to_owned() } else { format!("user-{index}") };
        calls.spawn(async move {
            let key = format!("t{index}");
            let answer = identify(&client, request(&identifier, &[(&key, "yes")])).await;
            assert!(answer.traits.contains_key(&key), "{answer:?}");
        });
    }
    calls.join_all().await;
    let all: BTreeSet<_> = stored(&world, "all").await.unwrap().into_iter().collect();
    assert_eq!(all, (0..300).step_by(3).map(|index| format!("t{index}=yes")).collect());
    for index in (0..300).filter(|index| index % 3 != 0) {
        assert_eq!(stored(&world, &format!("user-{index}")).await.unwrap(), [format!("t{index}=yes")]);
    }
}

async fn an_identity_with_too_many_traits_is_refused_alone(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let client = service.client(SERVER_KEY).await;
    let many = |from: usize| {
        let traits = (from..from + 400).map(|index| (format!("t{index}"), "x".to_owned()));
        let traits: Vec<_> = traits.collect();
        let traits: Vec<_> = traits.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        request("full", &traits)
    };
    identify(&client, many(0)).await;
    let (mut one, other) = (client.clone(), client.clone());
    let (refused, _) = tokio::join!(one.identify(many(400)), identify(&other, request("eve", &[("a", "b")])));
    check_status(refused, Code::ResourceExhausted, "LIMIT_EXCEEDED");
    assert_eq!(stored(&world, "full").await.unwrap().len(), 400);
    assert_eq!(stored(&world, "eve").await.unwrap(), ["a=b"]);
}
