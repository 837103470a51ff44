//! Runs cases in process.

use std::collections::HashMap;

use burgee_core::engine::{
    EnvironmentRules, FeatureRules, Outcome as FlagOutcome, Reason as EngineReason, Ruleset,
    SegmentOverrideRules, SegmentRules, State as StateRules, VariantRules,
};

use super::cases::Case;
use super::result::{self, FlagResult, Reason};
use super::{Outcome, problems};
use crate::flagsmith::context::{self, Synthetic};
use crate::flagsmith::json::Json;
use crate::flagsmith::model::{Model, State, Variant};
use crate::flagsmith::node::{Misplaced, Node};

/// Runs a case.
#[must_use]
pub fn check(case: &Case) -> Outcome {
    let problems = match evaluate(&case.context) {
        Ok(actual) => problems(case, &actual),
        Err(error) => vec![format!("the context cannot be read: {error}")],
    };
    Outcome { name: case.name.clone(), place: case.place.clone(), problems }
}

/// Evaluates a context, and answers in the published shape.
///
/// # Errors
/// The context is not as it must be.
pub fn evaluate(json: &Json) -> Result<Json, Misplaced> {
    let node = Node::root(json);
    let model = context::read(&node, Synthetic::Keep)?;
    let identity = context::read_identity(&node)?;
    let mut variants = Vec::new();
    let ruleset = Ruleset::compile(rules(&model, &mut variants));
    let evaluation = ruleset.evaluate(identity.as_ref());
    let indices = 0..ruleset.features().len();
    let flags = indices.map(|index| flag(&evaluation.flag(index), &variants)).collect();
    let segments =
        evaluation.segments().map(|segment| result::segment(segment.name(), segment.metadata())).collect();
    Ok(result::whole(flags, segments))
}

fn flag(outcome: &FlagOutcome<'_>, variants: &[&Variant]) -> (String, Json) {
    // A picked variant is known by its place in the list; `control` is none.
    let picked = outcome.variant.and_then(|token| token.parse::<usize>().ok()).map(|index| variants[index]);
    let reason = match (outcome.reason, outcome.segment) {
        (EngineReason::Split, _) => Reason::Split(picked.map_or("", |variant| variant.weight_text.as_str())),
        (EngineReason::SegmentOverride, Some((_, name))) => Reason::Segment(name),
        (EngineReason::IdentityOverride, _) => Reason::Segment("identity_overrides"),
        (EngineReason::SegmentOverride | EngineReason::Default | EngineReason::Disabled, _) => {
            Reason::Default
        }
    };
    let flag = FlagResult {
        name: outcome.feature,
        enabled: outcome.enabled,
        value: outcome.value,
        reason,
        variant: picked.map_or(outcome.variant, |variant| variant.key.as_deref()),
        metadata: outcome.metadata,
    };
    flag.to_json()
}

/// Turns a model into what the engine compiles. Variants may have no key, so each gets its place in
/// `variants`.
fn rules<'a>(model: &'a Model, variants: &mut Vec<&'a Variant>) -> EnvironmentRules {
    let mut state = |state: &'a State| StateRules {
        enabled: state.enabled,
        value: state.value.clone(),
        hashing_key: state.hashing_key.clone(),
        variants: state
            .variants
            .iter()
            .map(|variant| {
                variants.push(variant);
                let key = (variants.len() - 1).to_string();
                VariantRules { key, weight: variant.weight, value: variant.value.clone() }
            })
            .collect(),
        metadata: state.metadata.clone(),
    };
    let features = model.features.iter().map(|feature| FeatureRules {
        key: feature.key.clone(),
        revision: 0,
        server_side_only: false,
        tags: Vec::new(),
        state: state(&feature.state),
        segment_overrides: feature
            .segment_overrides
            .iter()
            .zip(0..)
            .map(|(item, priority)| SegmentOverrideRules {
                segment: item.segment,
                priority,
                state: state(&item.state),
            })
            .collect(),
        identity_overrides: HashMap::new(),
    });
    let features = features.collect();
    let segments = model.segments.iter().enumerate().map(|(index, segment)| SegmentRules {
        id: index.to_string(),
        name: segment.name.clone(),
        hashing_key: segment.key.clone(),
        metadata: segment.metadata.clone(),
        rules: segment.rules.clone(),
    });
    EnvironmentRules {
        hashing_key: model.environment.key.clone(),
        name: model.environment.name.clone(),
        features,
        segments: segments.collect(),
    }
}
