//! Flagsmith's engine: the crate `flagsmith-flag-engine`.

use std::hint::black_box;

use burgee_bench::profile::{self, Profile, traits};
use burgee_core::engine::{FeatureRules, SegmentRules, State};
use burgee_core::rule::{Condition, Operand, Rule};
use burgee_core::value::{TraitValue, Value};
use flagsmith_flag_engine::engine::get_evaluation_result;
use flagsmith_flag_engine::engine_eval::context::{EngineEvaluationContext, IdentityContext};
use serde_json::{Value as Json, json};

use super::{Engine, IDENTITIES, Task};

pub(crate) struct Flagsmith {
    context: EngineEvaluationContext,
    /// The context takes an identity while it is evaluated for it.
    identities: Vec<Option<IdentityContext>>,
}

impl Flagsmith {
    /// Identity overrides are segments of their own, as in its SDKs.
    pub(crate) fn new(profile: &Profile) -> Self {
        let rules = profile.rules();
        let features = rules.features.iter().map(|feature| (feature.key.clone(), feature_json(feature)));
        let overrides = rules.features.iter().flat_map(|feature| {
            let others = feature.segment_overrides.iter();
            others.map(move |other| {
                (other.segment, state_json(&feature.key, &other.state, other.priority as f64))
            })
        });
        let mut by_segment = vec![Vec::new(); rules.segments.len()];
        overrides.for_each(|(segment, other)| by_segment[segment].push(other));
        let segments = rules.segments.iter().zip(by_segment).map(|(segment, overrides)| {
            let SegmentRules { name, hashing_key, rules, .. } = segment;
            let rules: Vec<_> = rules.iter().map(rule_json).collect();
            let json = json!({"key": hashing_key, "name": name, "rules": rules, "overrides": overrides});
            (hashing_key.clone(), json)
        });
        let mut by_identity = std::collections::BTreeMap::<_, Vec<Json>>::new();
        for feature in &rules.features {
            for (identifier, state) in &feature.identity_overrides {
                let state = state_json(&feature.key, state, f64::MIN);
                by_identity.entry(identifier.as_str()).or_default().push(state);
            }
        }
        let identity_overrides = by_identity.into_iter().map(|(identifier, overrides)| {
            let condition =
                json!({"property": "$.identity.identifier", "operator": "IN", "value": [identifier]});
            let rules = json!([{"type": "ALL", "conditions": [condition], "rules": []}]);
            let json =
                json!({"key": "", "name": "identity_overrides", "rules": rules, "overrides": overrides});
            (format!("identity {identifier}"), json)
        });
        let context = json!({
            "environment": {"key": rules.hashing_key, "name": rules.name},
            "features": features.collect::<serde_json::Map<_, _>>(),
            "segments": segments.chain(identity_overrides).collect::<serde_json::Map<_, _>>(),
        });
        let identities = (0..IDENTITIES).map(|number| {
            let traits = traits(number).map(|(key, value)| (key.to_owned(), trait_json(&value)));
            let json = json!({
                "identifier": profile::identifier(number),
                // Which it would make of the two, but not for percentage splits.
                "key": format!("{}_{}", rules.hashing_key, profile::identifier(number)),
                "traits": traits.into_iter().collect::<serde_json::Map<_, _>>(),
            });
            Some(serde_json::from_value(json).expect("an identity of Flagsmith's"))
        });
        Self {
            context: serde_json::from_value(context).expect("a context of Flagsmith's"),
            identities: identities.collect(),
        }
    }
}

impl Engine for Flagsmith {
    fn name(&self) -> &'static str {
        "flagsmith-flag-engine"
    }

    /// It has no way to evaluate less than everything.
    fn evaluate(&mut self, _: Task, identity: usize) -> usize {
        std::mem::swap(&mut self.context.identity, &mut self.identities[identity]);
        let result = black_box(get_evaluation_result(&self.context));
        std::mem::swap(&mut self.context.identity, &mut self.identities[identity]);
        result.flags.values().filter(|flag| flag.enabled).count()
    }
}

fn feature_json(feature: &FeatureRules) -> Json {
    let mut json = state_json(&feature.key, &feature.state, 0.0);
    let variants = feature.state.variants.iter().enumerate().map(|(priority, variant)| {
        json!({
            "key": variant.key,
            "value": value_json(variant.value.as_ref()),
            "weight": variant.weight,
            "priority": priority as f64,
        })
    });
    json["variants"] = variants.collect();
    json
}

fn state_json(feature: &str, state: &State, priority: f64) -> Json {
    json!({
        "key": state.hashing_key,
        "name": feature,
        "enabled": state.enabled,
        "value": value_json(state.value.as_ref()),
        "priority": priority,
    })
}

fn value_json(value: Option<&Value>) -> Json {
    match value {
        Some(Value::String(text)) => json!(text),
        _ => unreachable!("the values of a profile are texts"),
    }
}

fn trait_json(value: &TraitValue) -> Json {
    match value {
        TraitValue::String(text) => json!(text),
        TraitValue::Integer(integer) => json!(integer),
        TraitValue::Double(double) => json!(double),
        TraitValue::Boolean(boolean) => json!(boolean),
    }
}

fn rule_json(rule: &Rule) -> Json {
    let conditions: Vec<_> = rule.conditions.iter().map(condition_json).collect();
    let rules: Vec<_> = rule.rules.iter().map(rule_json).collect();
    json!({"type": rule.kind.as_str(), "conditions": conditions, "rules": rules})
}

fn condition_json(condition: &Condition) -> Json {
    let value = match condition.operand() {
        Operand::Text(text) => json!(text),
        Operand::List(items) => json!(items),
    };
    json!({"property": condition.property(), "operator": condition.operator().as_str(), "value": value})
}
