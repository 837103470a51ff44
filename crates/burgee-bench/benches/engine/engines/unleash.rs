//! Unleash's engine: the crate `unleash-yggdrasil`.
//!
//! A segment override is a strategy with the conditions of the segment and a variant, before one for everybody else if
//! the feature is on for them. Unleash has neither values nor identity overrides: a value is a variant's payload, and
//! identity overrides are left out.

use std::hint::black_box;

use burgee_bench::profile::{self, FeatureSpec, Profile, SegmentSpec, traits};
use burgee_core::rule::{Condition, Operand, Operator, RuleKind};
use serde_json::{Value as Json, json};
use unleash_types::client_features::{ClientFeatures, Context};
use unleash_yggdrasil::{EngineState, UpdateMessage};

use super::{Engine, IDENTITIES, Task};

pub(crate) struct Unleash {
    state: EngineState,
    identities: Vec<Context>,
    features: Vec<String>,
}

impl Unleash {
    pub(crate) fn new(profile: &Profile) -> Self {
        let features: Vec<_> =
            profile.features.iter().map(|feature| feature_json(feature, &profile.segments)).collect();
        let document = json!({"version": 2, "features": features});
        let document: ClientFeatures = serde_json::from_value(document).expect("features of Unleash's");
        let state = EngineState::default();
        let warnings = state.take_state(UpdateMessage::FullResponse(document));
        assert!(warnings.is_none(), "Unleash's engine understands all strategies");
        let identities = (0..IDENTITIES).map(|number| Context {
            user_id: Some(profile::identifier(number)),
            properties: Some(traits(number).map(|(key, value)| (key.to_owned(), value.to_text())).into()),
            ..Context::default()
        });
        Self {
            state,
            identities: identities.collect(),
            features: profile.features.iter().map(|feature| feature.key.clone()).collect(),
        }
    }
}

impl Engine for Unleash {
    fn name(&self) -> &'static str {
        "unleash-yggdrasil"
    }

    fn evaluate(&mut self, task: Task, identity: usize) -> usize {
        let context = &self.identities[identity];
        match task {
            Task::All => {
                let toggles = black_box(self.state.resolve_all(context, &None)).unwrap_or_default();
                toggles.values().filter(|toggle| toggle.enabled).count()
            }
            Task::One(index) => {
                let toggle = black_box(self.state.resolve(&self.features[index], context, &None));
                usize::from(toggle.is_some_and(|toggle| toggle.enabled))
            }
        }
    }
}

fn feature_json(feature: &FeatureSpec, segments: &[SegmentSpec]) -> Json {
    let FeatureSpec { key, enabled, value, variants, segment_overrides } = feature;
    let overrides = segment_overrides.iter().map(|other| {
        let SegmentSpec { id, rules } = &segments[other.segment];
        assert!(rules.iter().all(|rule| rule.kind == RuleKind::All && rule.rules.is_empty()));
        let conditions = || rules.iter().flat_map(|rule| &rule.conditions);
        let split = conditions().find(|condition| condition.operator() == Operator::PercentageSplit);
        let constraints = conditions().filter(|condition| condition.operator() != Operator::PercentageSplit);
        let rollout = split.map_or("100", text);
        strategy(rollout, id, constraints.map(constraint).collect(), vec![variant(id, &other.value, 1_000.0)])
    });
    let default = || {
        let mut shares: Vec<_> =
            variants.iter().map(|other| variant(&other.key, &other.value, other.weight * 10.0)).collect();
        let rest = 100.0 - variants.iter().map(|variant| variant.weight).sum::<f64>();
        if rest > 0.0 {
            shares.push(variant("control", value, rest * 10.0));
        }
        strategy("100", key, Vec::new(), shares)
    };
    // Without a strategy that matches, a feature is off.
    let strategies = overrides.chain(enabled.then(default)).collect::<Vec<_>>();
    json!({"name": key, "enabled": *enabled || !strategies.is_empty(), "strategies": strategies})
}

fn strategy(rollout: &str, group: &str, constraints: Vec<Json>, variants: Vec<Json>) -> Json {
    json!({
        "name": "flexibleRollout",
        "parameters": {"rollout": rollout, "stickiness": "userId", "groupId": group},
        "constraints": constraints,
        "variants": variants,
    })
}

/// `weight` is in tenths of a per cent.
fn variant(name: &str, value: &str, weight: f64) -> Json {
    let payload = json!({"type": "string", "value": value});
    json!({"name": name, "weight": weight as i32, "stickiness": "userId", "payload": payload})
}

fn constraint(condition: &Condition) -> Json {
    let operand = text(condition);
    let (version, is_version) =
        operand.strip_suffix(":semver").map_or((operand, false), |version| (version, true));
    let (operator, values, value) = match condition.operator() {
        Operator::Equal => ("IN", vec![operand], ""),
        Operator::NotEqual => ("NOT_IN", vec![operand], ""),
        Operator::In => ("IN", operand.split(',').collect(), ""),
        Operator::GreaterThan if is_version => ("SEMVER_GT", Vec::new(), version),
        Operator::GreaterThan => ("NUM_GT", Vec::new(), operand),
        Operator::GreaterThanInclusive => ("NUM_GTE", Vec::new(), operand),
        Operator::LessThan => ("NUM_LT", Vec::new(), operand),
        other => unreachable!("no profile has `{}`", other.as_str()),
    };
    json!({"contextName": condition.property(), "operator": operator, "values": values, "value": value})
}

fn text(condition: &Condition) -> &str {
    match condition.operand() {
        Operand::Text(text) => text,
        Operand::List(_) => unreachable!("the operands of a profile are texts"),
    }
}
