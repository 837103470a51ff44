//! Nobody sees what is not theirs: server-side-only features, and other environments.

use burgee_core::change::Mutation;
use burgee_core::feature::FeaturePatch;
use burgee_core::flag::FlagStatePatch;
use burgee_core::project::EnvironmentPatch;
use burgee_proto::evaluation::v1 as pb;
use tonic::Code;

use crate::service::*;
use crate::world::*;

both! {
    to_a_client_server_side_only_features_do_not_exist,
    a_stream_never_names_them_either,
    a_key_sees_its_own_environment_only,
}

/// Calls every method in every way, and returns all answers as text.
pub(crate) async fn answers(
    service: &Service,
    key: &str,
    min_revision: i64,
    features: &[&str],
) -> Vec<String> {
    let client = service.client(key).await;
    let mut answers = Vec::new();
    let named: Vec<String> = features.iter().map(|key| (*key).to_owned()).collect();
    let identities =
        [None, Some(somebody("ada")), Some(somebody("eve")), Some(somebody_with("joe", &[("plan", "hush")]))];
    for features in [Vec::new(), named.clone()] {
        for identity in &identities {
            let request = pb::EvaluateFlagsRequest {
                identity: identity.clone(),
                features: features.clone(),
                min_revision,
                include_segments: true,
            };
            let mut answer = client.clone().evaluate_flags(request).await.unwrap().into_inner();
            // What was asked for is named when it is missing; it says nothing that the caller did not.
            answer.missing_features.retain(|key| !features.contains(key));
            answers.push(format!("{answer:?}"));

            let item = pb::BatchEvaluateFlagsItem { item_id: String::new(), identity: identity.clone() };
            let (items, features) = (vec![item], features.clone());
            let request = pb::BatchEvaluateFlagsRequest { items, features: features.clone(), min_revision };
            let mut answer = client.clone().batch_evaluate_flags(request).await.unwrap().into_inner();
            answer.missing_features.retain(|key| !features.contains(key));
            answers.push(format!("{answer:?}"));

            let identifier = identity.clone().unwrap_or_default().identifier;
            let request = pb::IdentifyRequest {
                identifier,
                transient: true,
                features: features.clone(),
                min_revision,
                ..Default::default()
            };
            let mut answer = client.clone().identify(request).await.unwrap().into_inner();
            answer.missing_features.retain(|key| !features.contains(key));
            answers.push(format!("{answer:?}"));

            let request =
                pb::WatchFlagsRequest { identity: identity.clone(), features, ..Default::default() };
            let mut stream = service.watch(key, request).await;
            stream.next().await;
            answers.push(format!("{:?}", stream.messages));
        }
    }
    for feature in named {
        for identity in &identities {
            let identity = identity.clone();
            let request = pb::EvaluateFlagRequest { feature: feature.clone(), identity, min_revision };
            match client.clone().evaluate_flag(request).await {
                Ok(answer) => answers.push(format!("{:?}", answer.into_inner())),
                Err(status) => assert_eq!(status.code(), Code::NotFound),
            }
        }
    }
    answers
}

async fn to_a_client_server_side_only_features_do_not_exist(world: World) {
    let world = world.served().await;
    // A segment of its own, an override for Ada, a trait that makes Eve a member: all could give it away.
    world
        .apply(vec![
            create_segment("hush"),
            set_override("dev", "secret", "hush", None),
            set_identity_override("dev", "secret", "ada"),
        ])
        .await;
    world.set_traits("eve", &[("plan", "hush")]).await;
    let service = Service::start(&world).await;
    for hide_disabled_flags in [false, true] {
        for allow_client_traits in [false, true] {
            for enabled in [false, true] {
                let settings = EnvironmentPatch {
                    hide_disabled_flags: Some(hide_disabled_flags),
                    allow_client_traits: Some(allow_client_traits),
                    ..Default::default()
                };
                world.set_environment(settings).await;
                let revision = world.write(switch("dev", "secret", enabled)).await;
                let features = ["secret", "banner"];
                for answer in answers(&service, CLIENT_KEY, revision, &features).await {
                    assert!(!answer.contains("secret") && !answer.contains("HUSH"), "{answer}");
                }
                let all = answers(&service, SERVER_KEY, revision, &features).await.concat();
                assert!(all.contains("secret") && all.contains("HUSH"), "a server-side key sees it");
            }
        }
    }
}

async fn a_stream_never_names_them_either(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let mut stream = service.watch(CLIENT_KEY, pb::WatchFlagsRequest::default()).await;
    let named = vec!["secret".to_owned(), "banner".to_owned()];
    let mut asking =
        service.watch(CLIENT_KEY, pb::WatchFlagsRequest { features: named, ..Default::default() }).await;
    let server_side_only = |feature: &str, only| {
        let patch = FeaturePatch { server_side_only: Some(only), ..Default::default() };
        Mutation::UpdateFeature { feature: feature_key(feature), patch, etag: None }
    };
    stream.next().await;
    asking.next().await;
    world.write(switch("dev", "secret", false)).await;
    world.write(secret_feature("secret-2")).await;
    world.write(delete_feature("secret-2")).await;
    world.write(delete_feature("secret")).await;
    world.write(secret_feature("secret")).await;
    let revision = world.write(switch("dev", "banner", false)).await;
    stream.reach(revision).await;
    asking.reach(revision).await;
    for message in stream.messages.iter().chain(&asking.messages) {
        assert!(!format!("{message:?}").contains("secret"), "{message:?}");
    }
    // What it could see, it is told the end of.
    let revision = world.write(server_side_only("banner", true)).await;
    assert_eq!(stream.reach(revision).await.keys(), ["limit", "split"]);
    assert_eq!(asking.reach(revision).await.keys(), [""; 0]);
    let revision = world.write(server_side_only("secret", false)).await;
    assert_eq!(stream.reach(revision).await.keys(), ["limit", "secret", "split"]);
    assert_eq!(asking.reach(revision).await.keys(), ["secret"]);
    let revision = world.write(delete_feature("secret")).await;
    assert_eq!(stream.reach(revision).await.keys(), ["limit", "split"]);
}

async fn a_key_sees_its_own_environment_only(world: World) {
    let world = world.served().await;
    for (environment, word) in [("dev", "only-in-dev"), ("production", "only-in-production")] {
        let patch = FlagStatePatch { value: Some(Some(text(word))), ..Default::default() };
        let flag = flag_name(environment, "banner");
        world.write(Mutation::UpdateFlag { flag, patch, etag: None }).await;
        for identifier in ["ada", "eve"] {
            let name = identity_name(environment, identifier);
            world.flags().set_identity(&write(), &name, traits(&[("home", word)], &[]), None).await.unwrap();
        }
    }
    let service = Service::start(&world).await;
    let revision = world.revision().await;
    let features = ["banner", "limit"];
    for (key, own, others) in [
        (SERVER_KEY, "only-in-dev", "only-in-production"),
        (CLIENT_KEY, "only-in-dev", "only-in-production"),
        (OTHER_KEY, "only-in-production", "only-in-dev"),
    ] {
        let answers = answers(&service, key, revision, &features).await.concat();
        assert!(answers.contains(own) && !answers.contains(others), "{key}");
    }
    let request = pb::IdentifyRequest { identifier: "visitor".to_owned(), ..Default::default() };
    service.client(OTHER_KEY).await.identify(request).await.unwrap();
    assert!(world.flags().identity(&identity_name("production", "visitor")).await.is_ok());
    assert!(world.flags().identity(&identity_name("dev", "visitor")).await.is_err());
}
