//! Calls with one answer.

use std::time::Duration;

use burgee_core::organisation::OrganisationPatch;
use burgee_core::project::{EnvironmentPatch, IdentityHashing};
use burgee_proto::evaluation::v1 as pb;
use pb::Reason;
use pb::batch_evaluate_flags_result::Result as ItemResult;
use tonic::{Code, Request};
use tonic_types::StatusExt as _;

use crate::service::*;
use crate::world::*;

both! {
    the_environments_own_flags_are_evaluated,
    stored_traits_count_and_those_sent_win,
    named_features_are_answered_and_missing_ones_named,
    segments_that_match_are_answered,
    one_flag_is_answered_or_missing,
    a_batch_answers_every_item,
    a_large_batch_is_answered_like_a_small_one,
    percentages_hash_what_the_caller_says_or_what_is_stored,
    disabled_flags_can_be_hidden,
    a_call_waits_for_a_revision,
    a_revision_that_does_not_come_is_an_error,
    everything_wrong_is_named,
    a_refusal_arrives_however_much_is_wrong,
    nothing_is_served_after_the_organisation_stops,
}

async fn the_environments_own_flags_are_evaluated(world: World) {
    let world = world.served().await;
    world.write(switch("dev", "limit", false)).await;
    let service = Service::start(&world).await;
    let mut client = service.client(SERVER_KEY).await;
    let answer = client.evaluate_flags(pb::EvaluateFlagsRequest::default()).await.unwrap().into_inner();
    assert_eq!(keys_of(&answer.flags), ["banner", "limit", "secret", "split"]);
    assert_eq!(answer.revision, world.revision().await);
    assert_eq!(answer.stale_for, None);
    let banner = flag_of(&answer.flags, "banner");
    assert_eq!((text_of(banner), banner.enabled, banner.reason()), ("initial", true, Reason::Default));
    assert_eq!(flag_of(&answer.flags, "limit").reason(), Reason::Disabled);
    let split = flag_of(&answer.flags, "split");
    assert_eq!((text_of(split), split.variant.as_deref()), ("initial", None), "nobody is in no bucket");
}

async fn stored_traits_count_and_those_sent_win(world: World) {
    let world = world.served().await;
    world.set_traits("eve", &[("plan", "beta")]).await;
    let service = Service::start(&world).await;
    let client = service.client(SERVER_KEY).await;
    let banner = async |identity: pb::IdentityContext| {
        let request = pb::EvaluateFlagsRequest { identity: Some(identity), ..Default::default() };
        let answer = client.clone().evaluate_flags(request).await.unwrap().into_inner();
        flag_of(&answer.flags, "banner").clone()
    };
    let stored = banner(somebody("eve")).await;
    assert_eq!((text_of(&stored), stored.reason()), ("beta", Reason::SegmentOverride));
    let segment = stored.segment.unwrap();
    assert_eq!((segment.id.as_str(), segment.display_name.as_str()), ("beta", "BETA"));
    assert_eq!(text_of(&banner(somebody_with("eve", &[("plan", "staff")])).await), "initial");
    assert_eq!(text_of(&banner(somebody_with("eve", &[("plan", "")])).await), "initial");
    assert_eq!(text_of(&banner(somebody_with("eve", &[("other", "x")])).await), "beta");
    let ignoring = pb::IdentityContext { ignore_stored_traits: true, ..somebody("eve") };
    assert_eq!(text_of(&banner(ignoring).await), "initial");
    assert_eq!(text_of(&banner(somebody_with("new", &[("plan", "beta")])).await), "beta");
    let request = pb::EvaluateFlagsRequest { identity: Some(somebody("ada")), ..Default::default() };
    let answer = client.clone().evaluate_flags(request).await.unwrap().into_inner();
    let limit = flag_of(&answer.flags, "limit");
    assert_eq!((text_of(limit), limit.reason()), ("ada", Reason::IdentityOverride));
    assert!(world.flags().identity(&identity_name("dev", "new")).await.is_err(), "nothing is written");
}

async fn named_features_are_answered_and_missing_ones_named(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let features = ["split", "what", "banner", "split"].map(str::to_owned).to_vec();
    let request = pb::EvaluateFlagsRequest { features, ..Default::default() };
    let answer = service.client(SERVER_KEY).await.evaluate_flags(request).await.unwrap().into_inner();
    assert_eq!(keys_of(&answer.flags), ["banner", "split"]);
    assert_eq!(answer.missing_features, ["what"]);
}

async fn segments_that_match_are_answered(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let identity = Some(somebody_with("eve", &[("plan", "staff")]));
    let request = pb::EvaluateFlagsRequest { identity, include_segments: true, ..Default::default() };
    let answer = service.client(SERVER_KEY).await.evaluate_flags(request).await.unwrap().into_inner();
    let ids: Vec<_> = answer.segments.iter().map(|segment| segment.id.as_str()).collect();
    assert_eq!(ids, ["staff"], "also one that no flag uses");
}

async fn one_flag_is_answered_or_missing(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let client = service.client(SERVER_KEY).await;
    let evaluate = async |feature: &str, identity| {
        let request = pb::EvaluateFlagRequest { feature: feature.to_owned(), identity, min_revision: 0 };
        client.clone().evaluate_flag(request).await
    };
    let answer =
        evaluate("banner", Some(somebody_with("eve", &[("plan", "beta")]))).await.unwrap().into_inner();
    assert_eq!(answer.revision, world.revision().await);
    assert_eq!(text_of(&answer.flag.unwrap()), "beta");
    assert_eq!(text_of(&evaluate("secret", None).await.unwrap().into_inner().flag.unwrap()), "initial");
    check_status(evaluate("what", None).await, Code::NotFound, "NOT_FOUND");
}

async fn a_batch_answers_every_item(world: World) {
    let world = world.served().await;
    world.set_traits("eve", &[("plan", "beta")]).await;
    let service = Service::start(&world).await;
    let item = |item_id: &str, identity| pb::BatchEvaluateFlagsItem { item_id: item_id.to_owned(), identity };
    let long = "é".repeat(256);
    let items = vec![
        item("nobody", None),
        item("stored", Some(somebody("eve"))),
        item("nameless", Some(somebody(""))),
        item("stored", Some(pb::IdentityContext { ignore_stored_traits: true, ..somebody("eve") })),
        item(&long, None),
        item("", Some(somebody("ada"))),
    ];
    let features = vec!["banner".to_owned(), "limit".to_owned(), "what".to_owned()];
    let request = pb::BatchEvaluateFlagsRequest { items, features, min_revision: 0 };
    let answer = service.client(SERVER_KEY).await.batch_evaluate_flags(request).await.unwrap().into_inner();
    assert_eq!((answer.revision, answer.stale_for), (world.revision().await, None));
    assert_eq!(answer.missing_features, ["what"]);
    let results: Vec<_> = answer.results.iter().map(|result| result.item_id.as_str()).collect();
    assert_eq!(results, ["nobody", "stored", "nameless", "stored", long.as_str(), ""]);
    let flags = |index: usize| match answer.results[index].result.as_ref().unwrap() {
        ItemResult::Flags(flags) => flags.flags.iter().map(text_of).collect::<Vec<_>>(),
        ItemResult::Error(error) => vec![error.reason.as_str(), error.message.as_str()],
    };
    assert_eq!(flags(0), ["initial", "initial"]);
    assert_eq!(flags(1), ["beta", "initial"]);
    assert_eq!(flags(2)[0], "INVALID_FIELD");
    assert!(flags(2)[1].contains("identity.identifier"));
    assert_eq!(flags(3), ["initial", "initial"]);
    assert!(flags(4)[1].contains("item_id"));
    assert_eq!(flags(5), ["initial", "ada"]);
}

async fn a_large_batch_is_answered_like_a_small_one(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let client = service.client(SERVER_KEY).await;
    let item = |index: usize| pb::BatchEvaluateFlagsItem {
        item_id: index.to_string(),
        identity: Some(somebody(&format!("user-{index}"))),
    };
    let evaluate = async |items: Vec<pb::BatchEvaluateFlagsItem>| {
        let request = pb::BatchEvaluateFlagsRequest { items, ..Default::default() };
        client.clone().batch_evaluate_flags(request).await.unwrap().into_inner().results
    };
    let large = evaluate((0..1_000).map(item).collect()).await;
    assert_eq!(large.len(), 1_000);
    assert_eq!(large[990..], evaluate((990..1_000).map(item).collect()).await);
}

async fn percentages_hash_what_the_caller_says_or_what_is_stored(world: World) {
    let world = world.served().await;
    let imported = identity_name("dev", "imported");
    world
        .flags()
        .set_identity(&write(), &imported, traits(&[], &[]), Some("old-7".to_owned()))
        .await
        .unwrap();
    let service = Service::start(&world).await;
    let client = service.client(SERVER_KEY).await;
    let bucket = async |identifier: &str, hashing_key: &str, min_revision| {
        let identity =
            Some(pb::IdentityContext { hashing_key: hashing_key.to_owned(), ..somebody(identifier) });
        let request = pb::EvaluateFlagRequest { feature: "split".to_owned(), identity, min_revision };
        client.clone().evaluate_flag(request).await.unwrap().into_inner().flag.unwrap().variant.unwrap()
    };
    let mut seen = std::collections::BTreeSet::new();
    for index in 0..20 {
        let identifier = format!("user-{index}");
        let own = bucket(&identifier, "", 0).await;
        let composite = format!("hash of dev_{identifier}");
        assert_eq!(own, bucket("somebody else", &composite, 0).await);
        seen.insert(own);
    }
    assert_eq!(seen.len(), 2, "both variants are served");
    assert_eq!(bucket("imported", "", 0).await, bucket("x", "old-7", 0).await);
    assert_eq!(bucket("imported", "new", 0).await, bucket("x", "new", 0).await);
    let identity_hashing = Some(IdentityHashing::Identifier);
    let revision = world.set_environment(EnvironmentPatch { identity_hashing, ..Default::default() }).await;
    for index in 0..20 {
        let identifier = format!("user-{index}");
        assert_eq!(bucket(&identifier, "", revision).await, bucket("x", &identifier, revision).await);
    }
    assert_eq!(bucket("imported", "", revision).await, bucket("x", "old-7", revision).await);
}

async fn disabled_flags_can_be_hidden(world: World) {
    let world = world.served().await;
    world.write(switch("dev", "banner", false)).await;
    let hide_disabled_flags = Some(true);
    world.set_environment(EnvironmentPatch { hide_disabled_flags, ..Default::default() }).await;
    let service = Service::start(&world).await;
    let client = service.client(SERVER_KEY).await;
    let evaluate = async |identity| {
        let features = vec!["banner".to_owned(), "limit".to_owned()];
        let request = pb::EvaluateFlagsRequest { identity, features, ..Default::default() };
        client.clone().evaluate_flags(request).await.unwrap().into_inner()
    };
    let answer = evaluate(None).await;
    assert_eq!(keys_of(&answer.flags), ["limit"]);
    assert!(answer.missing_features.is_empty(), "it exists, and may be seen");
    let member = evaluate(Some(somebody_with("eve", &[("plan", "beta")]))).await;
    assert_eq!(keys_of(&member.flags), ["banner", "limit"], "the override is on");
    let request = pb::EvaluateFlagRequest { feature: "banner".to_owned(), ..Default::default() };
    check_status(client.clone().evaluate_flag(request).await, Code::NotFound, "NOT_FOUND");
}

async fn a_call_waits_for_a_revision(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let mut client = service.client(SERVER_KEY).await;
    client.evaluate_flags(pb::EvaluateFlagsRequest::default()).await.unwrap();
    let written = world.revision().await;
    let request = pb::EvaluateFlagsRequest { min_revision: written + 2, ..Default::default() };
    let mut waiting = client.clone();
    let waiting = tokio::spawn(async move { waiting.evaluate_flags(request).await });
    // One revision touches another environment, the other one a feature of this.
    world.write(switch("production", "banner", false)).await;
    assert!(!waiting.is_finished());
    world.write(switch("dev", "banner", false)).await;
    let answer = waiting.await.unwrap().unwrap().into_inner();
    assert_eq!(answer.revision, written + 2);
    assert!(!flag_of(&answer.flags, "banner").enabled);
    let elsewhere = world.write(switch("production", "banner", true)).await;
    let request = pb::EvaluateFlagsRequest { min_revision: elsewhere, ..Default::default() };
    assert_eq!(client.evaluate_flags(request).await.unwrap().into_inner().revision, elsewhere);
}

async fn a_revision_that_does_not_come_is_an_error(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let mut client = service.client(SERVER_KEY).await;
    let revision = world.revision().await;
    let message = pb::EvaluateFlagsRequest { min_revision: revision + 1, ..Default::default() };
    let mut request = Request::new(message);
    request.set_timeout(Duration::from_secs(1));
    let refused = client.evaluate_flags(request).await;
    let status = check_status(refused, Code::Unavailable, "REVISION_NOT_REACHED");
    let metadata = status.get_details_error_info().unwrap().metadata;
    assert_eq!(metadata["revision"], revision.to_string());
    assert_eq!(metadata["min_revision"], (revision + 1).to_string());
    assert!(status.get_details_retry_info().is_some());
}

async fn everything_wrong_is_named(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let mut client = service.client(SERVER_KEY).await;
    let request = pb::EvaluateFlagsRequest {
        identity: Some(somebody_with("", &[("", "x")])),
        features: vec![String::new()],
        min_revision: -1,
        include_segments: false,
    };
    let status = check_status(client.evaluate_flags(request).await, Code::InvalidArgument, "INVALID_FIELD");
    let violations = status.get_details_bad_request().unwrap().field_violations;
    let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["identity.traits[]", "identity.identifier", "features[0]", "min_revision"]);
    let empty = pb::BatchEvaluateFlagsRequest::default();
    check_status(client.batch_evaluate_flags(empty).await, Code::InvalidArgument, "INVALID_FIELD");
    let nameless = pb::EvaluateFlagRequest::default();
    check_status(client.evaluate_flag(nameless).await, Code::InvalidArgument, "INVALID_FIELD");
    let resume_token = "what".to_owned();
    let mangled = pb::WatchFlagsRequest { resume_token, ..Default::default() };
    check_status(client.watch_flags(mangled).await, Code::InvalidArgument, "INVALID_FIELD");
}

async fn a_refusal_arrives_however_much_is_wrong(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let mut client = service.client(SERVER_KEY).await;
    for features in [vec![String::new(); 1_000], vec!["x".repeat(1_000_000)]] {
        let request = pb::EvaluateFlagsRequest { features, ..Default::default() };
        let status = client.evaluate_flags(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "features[0]");
    }
    let feature = "x".repeat(100_000);
    let request = pb::EvaluateFlagRequest { feature, ..Default::default() };
    assert_eq!(client.evaluate_flag(request).await.unwrap_err().code(), Code::InvalidArgument);
}

async fn nothing_is_served_after_the_organisation_stops(world: World) {
    let world = world.served().await;
    let service = Service::start(&world).await;
    let client = service.client(SERVER_KEY).await;
    let evaluate = async || client.clone().evaluate_flags(pb::EvaluateFlagsRequest::default()).await;
    evaluate().await.unwrap();
    let patch = |stop| OrganisationPatch { stop_serving_flags: Some(stop), ..Default::default() };
    world.flags().update_organisation(&write(), &acme(), patch(true), None).await.unwrap();
    until("the service stops", async || evaluate().await.is_err()).await;
    check_status(evaluate().await, Code::FailedPrecondition, "SERVING_STOPPED");
    let watch = client.clone().watch_flags(pb::WatchFlagsRequest::default()).await;
    check_status(watch, Code::FailedPrecondition, "SERVING_STOPPED");
    world.flags().update_organisation(&write(), &acme(), patch(false), None).await.unwrap();
    until("the service goes on", async || evaluate().await.is_ok()).await;
}
