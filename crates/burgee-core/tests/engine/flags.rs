//! Which state wins, and what it comes to.

use burgee_core::engine::{
    EnvironmentRules, FeatureRules, Identity, Outcome, Reason, Ruleset, SegmentOverrideRules, State,
    VariantRules,
};
use burgee_core::rule::{Rule, RuleKind};
use burgee_core::value::Value;

use super::{environment, rule, segment, text, with_trait};

fn always() -> Vec<Rule> {
    vec![rule(RuleKind::All, &[], vec![])]
}

fn never() -> Vec<Rule> {
    vec![rule(RuleKind::None, &["$.environment.name EQUAL Prod"], vec![])]
}

fn state(value: &str) -> State {
    State { enabled: true, value: Some(Value::String(value.into())), ..State::default() }
}

fn variant(key: &str, weight: f64) -> VariantRules {
    VariantRules { key: key.into(), weight, value: Some(Value::String(key.into())) }
}

fn overriding(segment: usize, priority: i64, value: &str) -> SegmentOverrideRules {
    SegmentOverrideRules { segment, priority, state: state(value) }
}

/// A flag `f` whose own state is on and has the value `default`.
fn flag(segment_overrides: Vec<SegmentOverrideRules>) -> FeatureRules {
    FeatureRules { key: "f".into(), state: state("default"), segment_overrides, ..FeatureRules::default() }
}

fn user() -> Identity<'static> {
    Identity::new("user", [])
}

/// Evaluates the only flag of an environment and hands its outcome to `look`.
fn evaluate(environment: EnvironmentRules, identity: Option<&Identity>, look: impl FnOnce(Outcome<'_>)) {
    look(Ruleset::compile(environment).evaluate(identity).flag(0));
}

/// Checks the value and the reason of flag `f`, in an environment of segments that always or never match.
fn check(segments: &[(&str, bool)], flag: FeatureRules, value: &str, reason: Reason) {
    let segments = segments.iter().map(|(id, is_in)| segment(id, if *is_in { always() } else { never() }));
    let rules = EnvironmentRules { features: vec![flag], ..environment(segments.collect()) };
    evaluate(rules, Some(&user()), |outcome| {
        assert_eq!(outcome.value, Some(&Value::String(value.into())));
        assert_eq!(outcome.reason, reason);
    });
}

#[test]
fn the_environments_own_state_is_the_default() {
    check(&[], flag(vec![]), "default", Reason::Default);
    check(&[("a", true)], flag(vec![]), "default", Reason::Default);
    check(&[("a", false)], flag(vec![overriding(0, 0, "a")]), "default", Reason::Default);
    let mut off = flag(vec![]);
    off.state.enabled = false;
    check(&[], off, "default", Reason::Disabled);
}

#[test]
fn the_lowest_priority_wins() {
    let segments = [("a", true), ("b", true), ("c", false)];
    let overrides = vec![overriding(0, 5, "a"), overriding(1, -1, "b"), overriding(2, -9, "c")];
    check(&segments, flag(overrides), "b", Reason::SegmentOverride);
    let overrides = vec![overriding(1, i64::MAX, "b"), overriding(0, i64::MAX - 1, "a")];
    check(&segments, flag(overrides), "a", Reason::SegmentOverride);
}

#[test]
fn the_earlier_segment_wins_a_tie() {
    let overrides = vec![overriding(2, 3, "c"), overriding(1, 3, "b"), overriding(0, 3, "a")];
    check(&[("z", false), ("y", true), ("x", true)], flag(overrides), "b", Reason::SegmentOverride);
}

#[test]
fn an_override_of_no_segment_is_ignored() {
    check(&[("a", true)], flag(vec![overriding(1, 0, "b")]), "default", Reason::Default);
}

#[test]
fn an_override_replaces_the_whole_state() {
    let mut feature = flag(vec![SegmentOverrideRules {
        segment: 0,
        priority: 0,
        state: State { hashing_key: "12".into(), metadata: Some("{\"id\": 2}".into()), ..State::default() },
    }]);
    feature.state.variants = vec![variant("v", 100.0)];
    feature.state.metadata = Some("{\"id\": 1}".into());
    let rules = EnvironmentRules { features: vec![feature], ..environment(vec![segment("a", always())]) };
    evaluate(rules, Some(&user()), |outcome| {
        let expected = Outcome {
            feature: "f",
            enabled: false,
            value: None,
            reason: Reason::SegmentOverride,
            segment: Some(("a", "a")),
            variant: None,
            weight: None,
            metadata: Some("{\"id\": 2}"),
        };
        assert_eq!(outcome, expected);
    });
}

#[test]
fn an_identitys_own_state_wins_over_everything() {
    let mut feature = flag(vec![overriding(0, i64::MIN, "segment")]);
    feature.identity_overrides.insert("user".into(), state("own"));
    feature.identity_overrides.insert("other".into(), state("other's"));
    check(&[("a", true)], feature.clone(), "own", Reason::IdentityOverride);
    let rules = EnvironmentRules { features: vec![feature], ..environment(vec![segment("a", always())]) };
    evaluate(rules.clone(), Some(&user()), |outcome| assert_eq!(outcome.segment, None));
    evaluate(rules.clone(), Some(&Identity::new("third", [])), |outcome| {
        assert_eq!(outcome.segment, Some(("a", "a")));
    });
    evaluate(rules, None, |outcome| assert_eq!(outcome.reason, Reason::SegmentOverride));
}

#[test]
fn identity_overrides_are_each_for_their_feature() {
    let mut rules = environment(vec![]);
    for key in ["a", "b", "c", "d"] {
        rules.features.push(FeatureRules { key: key.into(), state: state("default"), ..Default::default() });
    }
    rules.features[1].identity_overrides.insert("user".into(), state("b's"));
    rules.features[3].identity_overrides.insert("user".into(), state("d's"));
    let ruleset = Ruleset::compile(rules);
    let (user, other) = (user(), Identity::new("other", []));
    let reasons = |identity| {
        let evaluation = ruleset.evaluate(Some(identity));
        [0, 1, 2, 3].map(|index| evaluation.flag(index).reason == Reason::IdentityOverride)
    };
    assert_eq!(reasons(&user), [false, true, false, true]);
    assert_eq!(reasons(&other), [false; 4]);
}

/// Checks which variant the identity with the key `93` gets: its bucket in `12` is 27.655531106221243.
fn check_variants(variants: &[(&str, f64)], expected: &str, weight: Option<f64>) {
    let mut feature = flag(vec![]);
    feature.state.enabled = false;
    feature.state.hashing_key = "12".into();
    feature.state.variants = variants.iter().map(|(key, weight)| variant(key, *weight)).collect();
    let rules = EnvironmentRules { features: vec![feature], ..environment(vec![]) };
    evaluate(rules.clone(), Some(&user().with_key(Some("93".into()))), |outcome| {
        let is_control = weight.is_none();
        let value = if is_control { "default" } else { expected };
        assert_eq!(outcome.variant, Some(expected), "{variants:?}");
        assert_eq!(outcome.weight, weight);
        assert_eq!(outcome.value, Some(&Value::String(value.into())));
        assert_eq!(outcome.reason, if is_control { Reason::Disabled } else { Reason::Split });
        assert!(!outcome.enabled);
    });
    evaluate(rules, None, |outcome| assert_eq!((outcome.variant, outcome.reason), (None, Reason::Disabled)));
}

#[test]
fn variants_share_the_line_from_0_to_100_in_their_order() {
    check_variants(&[("a", 20.0), ("b", 10.0), ("c", 70.0)], "b", Some(10.0));
    check_variants(&[("c", 70.0), ("b", 10.0), ("a", 20.0)], "c", Some(70.0));
    check_variants(&[("a", 0.0), ("b", 54.54)], "b", Some(54.54));
    check_variants(&[("a", 20.0), ("b", 90.0)], "b", Some(90.0));
}

#[test]
fn what_no_variant_takes_is_the_control() {
    check_variants(&[("a", 20.0), ("b", 7.0)], "control", None);
    check_variants(&[("a", 0.0)], "control", None);
}

#[test]
fn a_variants_upper_bound_is_not_its_own() {
    let bucket = 27.655531106221243_f64;
    check_variants(&[("a", bucket), ("b", 50.0)], "b", Some(50.0));
    check_variants(&[("a", bucket.next_up()), ("b", 50.0)], "a", Some(bucket.next_up()));
    check_variants(&[("a", bucket)], "control", None);
}

#[test]
fn an_overrides_variants_are_picked_by_its_own_key() {
    let mut feature = flag(vec![overriding(0, 0, "whole")]);
    feature.state.hashing_key = "12".into();
    // The bucket of `78986,test_env_foobar` is 54.53090618123625.
    feature.segment_overrides[0].state.hashing_key = "78986".into();
    feature.segment_overrides[0].state.variants = vec![variant("low", 54.5), variant("high", 0.1)];
    let rules = EnvironmentRules { features: vec![feature], ..environment(vec![segment("a", always())]) };
    evaluate(rules, Some(&user().with_key(Some("test_env_foobar".into()))), |outcome| {
        assert_eq!(outcome.variant, Some("high"));
        assert_eq!(outcome.reason, Reason::Split);
        assert_eq!(outcome.segment, Some(("a", "a")));
    });
}

#[test]
fn an_identitys_own_state_may_be_split() {
    let mut feature = flag(vec![]);
    let own = State { variants: vec![variant("v", 0.0)], ..state("own") };
    feature.identity_overrides.insert("user".into(), own);
    let rules = EnvironmentRules { features: vec![feature], ..environment(vec![]) };
    evaluate(rules, Some(&user()), |outcome| {
        assert_eq!((outcome.variant, outcome.reason), (Some("control"), Reason::IdentityOverride));
    });
}

#[test]
fn many_splits_are_picked_each_by_its_own_key() {
    let mut rules = environment(vec![]);
    for index in 0..11 {
        let variants = vec![variant("a", 30.0), variant("b", 30.0)];
        let split = State { hashing_key: format!("key-{index}"), variants, ..state("default") };
        rules.features.push(FeatureRules { key: index.to_string(), state: split, ..Default::default() });
        rules.features.push(FeatureRules { key: "whole".into(), state: state("x"), ..Default::default() });
    }
    let all = Ruleset::compile(rules.clone());
    for user in 0..100 {
        let identity = Identity::new(format!("user-{user}"), []);
        let evaluation = all.evaluate(Some(&identity));
        for index in 0..rules.features.len() {
            let alone = EnvironmentRules { features: vec![rules.features[index].clone()], ..rules.clone() };
            evaluate(alone, Some(&identity), |outcome| assert_eq!(evaluation.flag(index), outcome));
        }
    }
}

#[test]
fn empty_metadata_is_none() {
    for (metadata, expected) in
        [(None, None), (Some("{}"), None), (Some(" {\n} "), None), (Some("{\"a\": {}}"), Some("{\"a\": {}}"))]
    {
        let mut rules = environment(vec![segment("a", always())]);
        rules.segments[0].metadata = metadata.map(str::to_owned);
        rules.features.push(flag(vec![]));
        rules.features[0].state.metadata = metadata.map(str::to_owned);
        let ruleset = Ruleset::compile(rules);
        let evaluation = ruleset.evaluate(None);
        assert_eq!(evaluation.flag(0).metadata, expected);
        assert_eq!(evaluation.segments().map(|segment| segment.metadata()).collect::<Vec<_>>(), [expected]);
    }
}

#[test]
fn segments_are_in_document_order() {
    let ids = ["z", "10", "9", "a"];
    let mut segments: Vec<_> = ids.iter().map(|id| segment(id, always())).collect();
    segments.insert(2, segment("out", never()));
    segments.push(segment("without rules", vec![]));
    let ruleset = Ruleset::compile(environment(segments));
    let user = user();
    for identity in [None, Some(&user)] {
        let evaluation = ruleset.evaluate(identity);
        assert_eq!(evaluation.segments().map(|segment| segment.id()).collect::<Vec<_>>(), ids);
    }
}

#[test]
fn without_an_identity_the_environment_still_decides() {
    let prod = rule(RuleKind::All, &["$.environment.name EQUAL Prod"], vec![]);
    let overrides = vec![overriding(0, 0, "prod's")];
    let rules =
        EnvironmentRules { features: vec![flag(overrides)], ..environment(vec![segment("a", vec![prod])]) };
    evaluate(rules, None, |outcome| assert_eq!(outcome.reason, Reason::SegmentOverride));
}

#[test]
fn features_are_found_by_key() {
    let mut rules = environment(vec![]);
    rules.features.push(flag(vec![]));
    rules.features.push(FeatureRules {
        key: "g".into(),
        revision: 7,
        server_side_only: true,
        ..FeatureRules::default()
    });
    let ruleset = Ruleset::compile(rules);
    let index = ruleset.feature("g").unwrap();
    let feature = &ruleset.features()[index];
    assert_eq!((feature.key(), feature.revision(), feature.server_side_only()), ("g", 7, true));
    assert_eq!(ruleset.evaluate(None).flag(index).feature, "g");
    assert_eq!(ruleset.feature("h"), None);
}

#[test]
fn every_outcome_has_an_id() {
    let mut feature = flag(vec![overriding(0, 0, "override")]);
    feature.state.variants = vec![variant("a", 10.0), variant("b", 10.0)];
    feature.identity_overrides.insert("user".into(), state("own"));
    let rules = environment(vec![segment("a", vec![rule(RuleKind::All, &["t EQUAL x"], vec![])])]);
    let ruleset = Ruleset::compile(EnvironmentRules { features: vec![feature], ..rules });
    assert_eq!(ruleset.outcome_count(), 6); // whole, control, a, b; the segment's; the identity's
    for (index, (id, outcome)) in ruleset.outcomes().enumerate() {
        assert_eq!(id.index(), index);
        assert_eq!(outcome, ruleset.outcome(id));
    }
    let member = with_trait("t", text("x"));
    for identity in [None, Some(&member), Some(&Identity::new("a", [])), Some(&Identity::new("b", []))] {
        let evaluation = ruleset.evaluate(identity);
        assert_eq!(ruleset.outcome(evaluation.outcome_id(0)), evaluation.flag(0));
    }
}

#[test]
fn the_last_of_duplicate_traits_wins() {
    let traits = [("t", "a"), ("s", "x"), ("t", "b"), ("t", "c")];
    let identity = Identity::new("user", traits.map(|(key, value)| (key.to_owned(), text(value))));
    assert_eq!(identity.traits.len(), 2);
    assert_eq!(identity.traits.get("t"), Some(text("c").as_ref()));
    assert_eq!(identity.traits.get("u"), None);
}

#[test]
fn a_ruleset_can_be_shared_among_threads() {
    fn is_shared<T: Send + Sync + 'static>() {}
    is_shared::<Ruleset>();
    is_shared::<Identity>();
}
