//! Answers put together from parts are, byte for byte, the encodings of plain messages: those that are made here, in the simplest
//! way.

use std::fmt::Debug;

use burgee_core::Error;
use burgee_core::access::KeyKind;
use burgee_core::engine::{
    Evaluation, FeatureRules, Identity, SegmentOverrideRules, SegmentRules, State, VariantRules,
};
use burgee_core::name::FeatureKey;
use burgee_core::store::LoadedEnvironment;
use burgee_core::value::Value;
use burgee_proto::encoded::Encoded;
use burgee_proto::evaluation::v1 as pb;
use burgee_proto::v1;
use proptest::prelude::*;
use prost::Message;

use crate::call::Call;
use crate::outcome::{evaluated_flag, matched_segment};
use crate::session::Session;
use crate::subject::identity;
use crate::testing::*;
use crate::view::View;
use crate::{Shared, evaluate, identify, rights};

/// The features that requests may name, and what environments have some of.
const FEATURES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const SEGMENTS: [(&str, &str); 3] = [("pro", "plan"), ("ada", "$.identity.identifier"), ("1", "plan")];
const KEYS: [&str; 4] = [KEY, CLIENT_KEY, "server-x", "client-x"];

/// What is asked, in any method.
#[derive(Clone, Debug)]
struct Question {
    secret: &'static str,
    identity: Option<pb::IdentityContext>,
    features: Vec<String>,
    include_segments: bool,
}

fn value() -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        Just(None),
        any::<bool>().prop_map(|value| Some(Value::Boolean(value))),
        any::<i64>().prop_map(|value| Some(Value::Integer(value))),
        any::<f64>().prop_map(|value| Some(Value::Double(value))),
        "[aé]{0,200}".prop_map(|value| Some(Value::String(value))),
        Just(Some(Value::Json(r#"{"a":[1]}"#.to_owned()))),
    ]
}

fn metadata_text() -> impl Strategy<Value = Option<String>> {
    prop::option::of(Just(r#"{"a":1}"#.to_owned()))
}

fn state() -> impl Strategy<Value = State> {
    let variants = prop::collection::vec(value(), 0..3).prop_map(|values| {
        let variant = |(index, value)| VariantRules { key: format!("v{index}"), weight: 40.0, value };
        values.into_iter().enumerate().map(variant).collect()
    });
    (any::<bool>(), value(), "[a-c]{3}", variants, metadata_text()).prop_map(
        |(enabled, value, hashing_key, variants, metadata)| State {
            enabled,
            value,
            hashing_key,
            variants,
            metadata,
        },
    )
}

fn features() -> impl Strategy<Value = Vec<FeatureRules>> {
    let overrides = prop::collection::vec(prop::option::of(state()), SEGMENTS.len());
    let rules = (any::<bool>(), any::<bool>(), state(), overrides, prop::option::of(state())).prop_map(
        |(server_side_only, has_tag, state, overrides, own)| {
            let overrides = overrides.into_iter().enumerate();
            FeatureRules {
                server_side_only,
                tags: has_tag.then(|| "x".to_owned()).into_iter().collect(),
                state,
                segment_overrides: overrides
                    .filter_map(|(segment, state)| Some((segment, state?)))
                    .map(|(segment, state)| SegmentOverrideRules { state, ..override_for(segment) })
                    .collect(),
                identity_overrides: own.map(|state| ("ada".to_owned(), state)).into_iter().collect(),
                ..FeatureRules::default()
            }
        },
    );
    prop::collection::vec(prop::option::weighted(0.8, rules), FEATURES.len()).prop_map(|features| {
        let keys = FEATURES.into_iter().zip(features);
        keys.filter_map(|(key, rules)| Some(FeatureRules { key: key.to_owned(), ..rules? })).collect()
    })
}

fn environments() -> impl Strategy<Value = LoadedEnvironment> {
    let metadata = prop::collection::vec(metadata_text(), SEGMENTS.len());
    (features(), metadata, any::<bool>(), any::<bool>()).prop_map(
        |(features, metadata, hide_disabled_flags, allow_client_traits)| {
            let mut loaded = environment(7, features);
            loaded.rules.segments = SEGMENTS
                .into_iter()
                .zip(metadata)
                .map(|((value, property), metadata)| SegmentRules {
                    metadata,
                    name: format!("Of {value}"),
                    ..segment(&format!("s-{value}"), property, value)
                })
                .collect();
            loaded.keys.push(limited(key("server-x"), &["x"]));
            loaded.keys.push(limited(client_key("client-x"), &["x"]));
            LoadedEnvironment { hide_disabled_flags, allow_client_traits, ..loaded }
        },
    )
}

fn identities() -> impl Strategy<Value = pb::IdentityContext> {
    use v1::trait_value::Kind;
    let kind = prop_oneof![
        Just(None),
        "pro|free|".prop_map(|text| Some(Kind::StringValue(text))),
        (0..3i64).prop_map(|integer| Some(Kind::IntegerValue(integer))),
        any::<bool>().prop_map(|boolean| Some(Kind::BooleanValue(boolean))),
    ];
    let traits = prop::collection::btree_map("plan|age", kind.prop_map(|kind| v1::TraitValue { kind }), 0..3);
    ("ada|bob|é", traits, "|key").prop_map(|(identifier, traits, hashing_key)| pb::IdentityContext {
        identifier,
        traits,
        ignore_stored_traits: true,
        hashing_key,
    })
}

fn questions() -> impl Strategy<Value = Question> {
    let names = prop_oneof![
        Just(Vec::new()),
        prop::collection::vec(prop::sample::select(&FEATURES[..]), 1..FEATURES.len()),
    ];
    let names = names.prop_map(|names| names.into_iter().map(str::to_owned).collect());
    (prop::sample::select(&KEYS[..]), prop::option::weighted(0.8, identities()), names, any::<bool>())
        .prop_map(|(secret, identity, features, include_segments)| Question {
            secret,
            identity,
            features,
            include_segments,
        })
}

/// What a view shows, as plain messages.
struct Plain<'a> {
    view: View<'a>,
    evaluation: Evaluation<'a>,
    selection: Vec<FeatureKey>,
}

impl<'a> Plain<'a> {
    fn new(view: View<'a>, identity: Option<&'a Identity<'a>>, features: &[String]) -> Self {
        let mut selection: Vec<_> = features.iter().map(|key| FeatureKey::parse(key).unwrap()).collect();
        selection.sort();
        selection.dedup();
        Self { view, evaluation: view.content.ruleset.evaluate(identity), selection }
    }

    fn flags(&self) -> Vec<pb::EvaluatedFlag> {
        let features = self.view.content.ruleset.features().iter().enumerate();
        let is_selected =
            |key: &str| self.selection.is_empty() || self.selection.iter().any(|other| other.as_str() == key);
        features
            .filter(|(index, feature)| self.view.sight.sees(*index) && is_selected(feature.key()))
            .map(|(index, _)| self.evaluation.flag(index))
            .filter(|outcome| outcome.enabled || !self.view.content.hide_disabled_flags)
            .map(|outcome| evaluated_flag(&outcome))
            .collect()
    }

    fn missing(&self) -> Vec<String> {
        let keys = self.selection.iter().map(FeatureKey::as_str);
        keys.filter(|key| self.view.find(key).is_none()).map(ToOwned::to_owned).collect()
    }

    fn segments(&self) -> Vec<pb::MatchedSegment> {
        let segments = self.view.content.ruleset.segments().iter().enumerate();
        segments
            .filter(|(index, _)| {
                self.evaluation.is_in_segment(*index) && !self.view.sight.hides_segment(*index)
            })
            .map(|(_, segment)| matched_segment(segment))
            .collect()
    }
}

/// Returns whom a question is about, as evaluation takes it.
fn whom(view: View<'_>, context: Option<&pb::IdentityContext>) -> Option<Identity<'static>> {
    let pb::IdentityContext { identifier, traits, hashing_key, .. } = context?;
    let traits: Vec<_> = traits.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
    let key = Some(hashing_key.as_str()).filter(|key| !key.is_empty());
    Some(identity(view, identifier, key, view.admitted_traits(&traits), None).into_owned())
}

#[track_caller]
fn check<T: Message + Debug + Default + PartialEq>(fast: &Encoded<T>, plain: &T) {
    assert_eq!(&fast.decode().unwrap(), plain);
    assert_eq!(fast.as_bytes(), &plain.encode_to_vec());
}

async fn check_flags(shared: &Shared, session: &Session, call: &Call<'_>, question: &Question) {
    let Question { secret: _, identity, features, include_segments } = question.clone();
    let whom = whom(session.view(), identity.as_ref());
    let plain = Plain::new(session.view(), whom.as_ref(), &features);
    let request = pb::EvaluateFlagsRequest { identity, features, min_revision: 0, include_segments };
    let fast = evaluate::flags(shared, call, request).await.unwrap();
    let segments = if include_segments { plain.segments() } else { Vec::new() };
    check(
        &fast,
        &pb::EvaluateFlagsResponse {
            flags: plain.flags(),
            revision: 7,
            stale_for: None,
            missing_features: plain.missing(),
            segments,
        },
    );
}

async fn check_flag(shared: &Shared, session: &Session, call: &Call<'_>, question: &Question) {
    let whom = whom(session.view(), question.identity.as_ref());
    let flags = Plain::new(session.view(), whom.as_ref(), &[]).flags();
    for feature in FEATURES {
        let expected = flags.iter().find(|flag| flag.key == feature);
        let identity = question.identity.clone();
        let request = pb::EvaluateFlagRequest { feature: feature.to_owned(), identity, ..Default::default() };
        match evaluate::flag(shared, call, request).await {
            Ok(fast) => {
                let flag = Some(expected.unwrap().clone());
                check(&fast, &pb::EvaluateFlagResponse { flag, revision: 7, stale_for: None });
            }
            Err(Error::NotFound { .. }) => assert_eq!(expected, None),
            Err(other) => panic!("{other}"),
        }
    }
}

async fn check_batch(shared: &Shared, session: &Session, call: &Call<'_>, questions: &[Question]) {
    use pb::batch_evaluate_flags_result::Result as Answer;
    let features = &questions[0].features;
    let mut items: Vec<_> = questions
        .iter()
        .enumerate()
        .map(|(index, question)| pb::BatchEvaluateFlagsItem {
            item_id: "i".repeat(index * 100 % 256),
            identity: question.identity.clone(),
        })
        .collect();
    let nobody = Some(pb::IdentityContext::default());
    items.push(pb::BatchEvaluateFlagsItem { item_id: "wrong".to_owned(), identity: nobody });
    let request =
        pb::BatchEvaluateFlagsRequest { items: items.clone(), features: features.clone(), min_revision: 0 };
    let fast = evaluate::batch(shared, call, request).await.unwrap();
    let error = fast.decode().unwrap().results.pop().unwrap();
    assert!(matches!(error.result, Some(Answer::Error(_))));
    items.pop();
    let result = |pb::BatchEvaluateFlagsItem { item_id, identity }| {
        let whom = whom(session.view(), identity.as_ref());
        let flags = Plain::new(session.view(), whom.as_ref(), features).flags();
        let flags = pb::EvaluatedFlags { flags };
        pb::BatchEvaluateFlagsResult { item_id, result: Some(Answer::Flags(flags)) }
    };
    let missing_features = Plain::new(session.view(), None, features).missing();
    let results = items.into_iter().map(result).chain([error]).collect();
    check(&fast, &pb::BatchEvaluateFlagsResponse { results, revision: 7, stale_for: None, missing_features });
}

async fn check_identify(shared: &Shared, session: &Session, call: &Call<'_>, question: &Question) {
    let Some(context) = question.identity.clone() else { return };
    let context = pb::IdentityContext { hashing_key: String::new(), ..context };
    let whom = whom(session.view(), Some(&context)).unwrap();
    let plain = Plain::new(session.view(), Some(&whom), &question.features);
    let pb::IdentityContext { identifier, traits, .. } = context;
    let request = pb::IdentifyRequest {
        identifier: identifier.clone(),
        traits,
        transient: true,
        features: question.features.clone(),
        ..Default::default()
    };
    match identify::identify(shared, call, request).await {
        Ok(fast) => {
            let evaluated = whom.traits.iter();
            check(
                &fast,
                &pb::IdentifyResponse {
                    identifier,
                    traits: evaluated
                        .filter_map(|(key, value)| Some((key.to_owned(), value?.into())))
                        .collect(),
                    flags: plain.flags(),
                    revision: 7,
                    stale_for: None,
                    missing_features: plain.missing(),
                },
            );
        }
        // Not every key may identify.
        Err(Error::PermissionDenied { .. }) => assert_eq!(session.view().sight.kind(), KeyKind::ClientSide),
        Err(other) => panic!("{other}"),
    }
}

async fn check_all(loaded: LoadedEnvironment, questions: Vec<Question>) {
    let shared = shared_over(Silent::new(loaded));
    for question in &questions {
        let metadata = metadata(question.secret);
        let call = Call::begin(&metadata, &shared.settings);
        let session = shared.session(&call, &rights::EVALUATE_FLAGS).await.unwrap();
        check_flags(&shared, &session, &call, question).await;
        check_flag(&shared, &session, &call, question).await;
        check_batch(&shared, &session, &call, &questions).await;
        check_identify(&shared, &session, &call, question).await;
    }
    shared.shutdown.cancel();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_answer_is_the_encoding_of_the_plain_message(
        loaded in environments(),
        questions in prop::collection::vec(questions(), 1..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check_all(loaded, questions));
    }
}
