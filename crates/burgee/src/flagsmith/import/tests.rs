//! Plans, without a server.

use std::collections::BTreeMap;

use burgee_core::name::{EnvironmentName, ProjectName};
use burgee_proto::management::v1::change_request::Change;
use burgee_proto::v1 as pb;

use super::current::Current;
use super::plan::{Plan, plan};
use super::{Kind, Target, parse};
use crate::flagsmith::model::{Model, NoteKind};

const SHOP: &str = "organisations/acme/projects/shop";

/// Builds a context of features and segments.
fn model(features: &str, segments: &str) -> Model {
    let environment = r#""environment": {"key": "env", "name": "Production"}"#;
    parse(&format!(r#"{{{environment}, "features": {{{features}}}, "segments": {{{segments}}}}}"#)).unwrap()
}

fn plan_into(model: &Model, current: &Current) -> Plan {
    let project = ProjectName::parse(SHOP).unwrap();
    let environment = EnvironmentName::parse(&format!("{SHOP}/environments/production")).unwrap();
    let target = Target { project, environment: None, dry_run: false, reason: String::new() };
    plan(model, current, &target, &environment)
}

fn changes(plan: &Plan) -> Vec<&Change> {
    plan.changes.iter().filter_map(|change| change.change.as_ref()).collect()
}

const SPLIT: &str = r#""split": {"key": "5", "name": "split", "enabled": true, "value": "c", "variants": [
    {"value": "a", "weight": 70, "priority": 1}, {"value": "b", "weight": 70, "priority": 2, "key": "bee"}
]}"#;
const SEGMENT: &str = r#""9": {"key": "9", "name": "Beta (EU)", "rules": [{"type": "ALL"}], "overrides": [
    {"key": "6", "name": "split", "enabled": false, "value": "d", "priority": 3}
]}"#;

#[test]
fn an_empty_server_gets_everything() {
    let plan = plan_into(&model(SPLIT, SEGMENT), &Current::default());
    assert!(plan.organisation.is_some() && plan.project.is_some());
    let environment = plan.create_environment.as_ref().unwrap().environment.as_ref().unwrap();
    assert_eq!((environment.display_name.as_str(), environment.hashing_key.as_str()), ("Production", "env"));
    match changes(&plan).as_slice() {
        [
            Change::CreateSegment(segment),
            Change::CreateFeature(feature),
            Change::UpdateFlag(flag),
            Change::SetSegmentOverride(item),
        ] => {
            assert_eq!(segment.segment_id, "beta-eu");
            assert_eq!(segment.segment.as_ref().unwrap().hashing_key, "9");
            let feature = feature.feature.as_ref().unwrap();
            assert_eq!(feature.value_type(), pb::ValueType::String);
            let variants: Vec<_> =
                feature.variants.iter().map(|item| (item.name.as_str(), item.default_weight)).collect();
            assert_eq!(variants, [("a", 70.0), ("bee", 30.0)]);
            let state = flag.flag.as_ref().unwrap().state.as_ref().unwrap();
            assert_eq!(state.hashing_key, "5");
            assert_eq!(state.weights.iter().map(|item| item.weight).collect::<Vec<_>>(), [70.0, 30.0]);
            assert!(item.name.ends_with("/flags/split/segmentOverrides/beta-eu"));
            let state = item.state.as_ref().unwrap();
            assert_eq!((state.hashing_key.as_str(), state.weights.len()), ("6", 0));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(plan.report.notes.len(), 1, "the weights were clamped: {:?}", plan.report.notes);
    assert_eq!(plan.mapping.features[0].variants, ["a", "bee"]);
}

/// A project that has the feature, without variants, and the segment, under another name.
fn current() -> Current {
    let environment = pb::Environment {
        name: format!("{SHOP}/environments/production"),
        display_name: "Production".to_owned(),
        hashing_key: "env".to_owned(),
        ..pb::Environment::default()
    };
    let feature = pb::Feature {
        name: format!("{SHOP}/features/split"),
        value_type: pb::ValueType::String.into(),
        ..pb::Feature::default()
    };
    let segment = pb::Segment {
        name: format!("{SHOP}/segments/old-name"),
        display_name: "Old name".to_owned(),
        hashing_key: "9".to_owned(),
        rules: vec![pb::Rule { r#type: pb::RuleType::All.into(), ..pb::Rule::default() }],
        ..pb::Segment::default()
    };
    Current {
        has_organisation: true,
        project: Some(pb::Project::default()),
        environments: vec![environment],
        features: BTreeMap::from([("split".to_owned(), feature)]),
        segments: vec![segment],
        ..Current::default()
    }
}

#[test]
fn what_is_there_is_only_changed_where_it_differs() {
    let plan = plan_into(&model(SPLIT, SEGMENT), &current());
    assert!(plan.project.is_none() && plan.create_environment.is_none() && plan.update_environment.is_none());
    let added: Vec<_> = plan.variants.iter().map(|variant| variant.variant_id.as_str()).collect();
    assert_eq!(added, ["a", "bee"]);
    match changes(&plan).first() {
        Some(Change::UpdateSegment(update)) => {
            assert_eq!(update.update_mask.as_ref().unwrap().paths, ["display_name"]);
            assert_eq!(update.segment.as_ref().unwrap().name, format!("{SHOP}/segments/old-name"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_type_that_cannot_hold_the_values_is_not_taken() {
    let mut current = current();
    let feature = current.features.get_mut("split").unwrap();
    feature.value_type = pb::ValueType::Integer.into();
    let plan = plan_into(&model(SPLIT, ""), &current);
    assert!(plan.changes.is_empty() && plan.variants.is_empty());
    let notes: Vec<_> = plan.report.not_taken().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        [
            "feature `split`: the feature is there with the type `integer`, which never changes; its values are of type `string`"
        ]
    );
}

#[test]
fn overrides_are_put_in_the_originals_order() {
    let two = r#"
        "1": {"key": "9", "name": "Old name", "rules": [{"type": "ALL"}], "overrides": [
            {"key": "6", "name": "split", "enabled": false, "value": "d", "priority": 3}]},
        "2": {"key": "10", "name": "New", "rules": [{"type": "ALL"}], "overrides": [
            {"key": "7", "name": "split", "enabled": false, "value": "e", "priority": 1}]}"#;
    let plain = r#""split": {"key": "5", "name": "split", "enabled": true, "value": "c"}"#;
    let mut current = current();
    let state = |value: &str, key: &str, enabled| pb::FlagState {
        enabled: Some(enabled),
        value: Some(pb::Value { kind: Some(pb::value::Kind::StringValue(value.to_owned())) }),
        hashing_key: key.to_owned(),
        ..pb::FlagState::default()
    };
    let item = |segment: &str, state| pb::SegmentOverride {
        segment: format!("{SHOP}/segments/{segment}"),
        state: Some(state),
        ..pb::SegmentOverride::default()
    };
    let flag = pb::Flag {
        state: Some(state("c", "5", true)),
        segment_overrides: vec![
            item("own", pb::FlagState::default()),
            item("old-name", state("d", "6", false)),
        ],
        ..pb::Flag::default()
    };
    current.flags.insert("split".to_owned(), flag);
    let plan = plan_into(&model(plain, two), &current);
    match changes(&plan).as_slice() {
        [
            Change::CreateSegment(_),
            Change::SetSegmentOverride(set),
            Change::ReorderSegmentOverrides(order),
        ] => {
            assert!(set.name.ends_with("/segmentOverrides/new"));
            assert_eq!(order.segments, ["new", "old-name", "own"]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(plan.report.notes.iter().map(|note| note.kind).collect::<Vec<_>>(), [NoteKind::Changed]);
}

#[test]
fn names_that_differ_only_in_case_are_not_taken_twice() {
    let features = r#""a": {"key": "1", "name": "Dark", "enabled": true, "value": null},
                      "b": {"key": "2", "name": "dark", "enabled": true, "value": 1}"#;
    let plan = plan_into(&model(features, ""), &Current::default());
    assert_eq!(plan.report.made[&Kind::Feature], ["Dark"]);
    assert_eq!(plan.report.not_taken().count(), 1);
    assert_eq!(plan.mapping.features.len(), 2);
}

#[test]
fn values_that_differ_in_type_make_a_feature_of_any() {
    let feature = r#""f": {"key": "1", "name": "f", "enabled": true, "value": 1, "variants": [
        {"value": 1.0, "weight": 1, "priority": 1}, {"value": true, "weight": 1, "priority": 2}]}"#;
    let plan = plan_into(&model(feature, ""), &Current::default());
    let Some(Change::CreateFeature(created)) = changes(&plan).first().copied() else {
        panic!("{:?}", plan.changes)
    };
    let feature = created.feature.as_ref().unwrap();
    assert_eq!(feature.value_type(), pb::ValueType::Any);
    assert_eq!(
        feature.variants.iter().map(|item| item.name.as_str()).collect::<Vec<_>>(),
        ["variant-1", "true"]
    );
}

#[test]
fn segments_beyond_the_limits_are_not_taken_with_their_overrides() {
    let conditions = vec![r#"{"property": "a", "operator": "IS_SET", "value": ""}"#; 101].join(",");
    let segment =
        SEGMENT.replace(r#"{"type": "ALL"}"#, &format!(r#"{{"type": "ALL", "conditions": [{conditions}]}}"#));
    let plan = plan_into(&model(SPLIT, &segment), &Current::default());
    assert!(!plan.report.made.contains_key(&Kind::Segment));
    assert!(!plan.report.made.contains_key(&Kind::SegmentOverride));
    assert_eq!(plan.report.not_taken().count(), 2);
}

#[test]
fn names_keys_and_traits_that_a_server_refuses_are_not_taken() {
    let traits: Vec<_> = (0..501).map(|number| format!(r#""{number}": 1"#)).collect();
    let text = format!(
        r#"{{"environment": {{"key": "{}", "name": "a\u0000"}}, "identity": {{"identifier": "ada", "traits": {{{}}}}}}}"#,
        "k".repeat(256),
        traits.join(",")
    );
    let plan = plan_into(&parse(&text).unwrap(), &Current::default());
    let environment = plan.create_environment.as_ref().unwrap().environment.as_ref().unwrap();
    assert_eq!((environment.display_name.as_str(), environment.hashing_key.as_str()), ("production", ""));
    assert_eq!(plan.traits[0].traits.len(), 500);
    let notes: Vec<_> = plan.report.not_taken().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        [
            "the environment: its name must be at most 2000 characters without NUL",
            "the environment: its key must be at most 255 characters without NUL",
            "identity `ada`: its trait `99` is one of more than 500",
        ]
    );
}

#[test]
fn what_is_neither_shape_is_refused() {
    for text in ["{}", "[]", r#"{"flags": []}"#] {
        assert!(parse(text).unwrap_err().to_string().contains("neither"), "{text}");
    }
}
