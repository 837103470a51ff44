//! The evaluation context: what Flagsmith's engines are called with.

use std::borrow::Cow;

use burgee_core::engine;
use burgee_core::value::TraitValue;

use super::model::{Environment, Feature, Identity, IdentityOverride, Model, Note, Priority, Segment, State};
use super::node::{Misplaced, Node};
use super::rules;
use super::states::{Override, distribute, in_order, metadata, trait_value, value, variant};

type Result<T> = std::result::Result<T, Misplaced>;

/// The name of the segments that software development kits make of identity overrides.
const IDENTITY_OVERRIDES: &str = "identity_overrides";

/// What is made of segments that stand for identity overrides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synthetic {
    /// They stay segments, as the engine sees them.
    Keep,
    /// They become identity overrides again.
    Convert,
}

/// Reads an evaluation context, but for its identity.
///
/// # Errors
/// Something is not as it must be.
pub fn read(context: &Node<'_>, synthetic: Synthetic) -> Result<Model> {
    let environment = context.get("environment");
    let mut model = Model {
        environment: Environment {
            key: environment.get("key").id()?,
            name: environment.get("name").text()?.to_owned(),
            settings: None,
        },
        ..Model::default()
    };
    for (_, feature) in context.get("features").members()? {
        let feature = read_feature(&feature)?;
        match model.features.iter_mut().find(|other| other.key == feature.key) {
            Some(earlier) => {
                model.notes.push(Note::changed(&feature.key, "the feature is there twice; the last counts"));
                *earlier = feature;
            }
            None => model.features.push(feature),
        }
    }
    let mut overrides = Vec::new();
    for (_, segment) in context.get("segments").members()? {
        if synthetic == Synthetic::Convert && is_synthetic(&segment)? {
            convert(&segment, &mut model)?;
            continue;
        }
        let index = model.segments.len();
        model.segments.push(Segment {
            key: segment.get("key").id()?,
            name: segment.get("name").text()?.to_owned(),
            rules: rules::read(&segment.get("rules"), "property", &mut model.notes)?,
            metadata: metadata(&segment.get("metadata"))?,
        });
        for item in segment.get("overrides").items()? {
            overrides.push(Override {
                feature: item.get("name").text()?.to_owned(),
                segment: index,
                priority: item
                    .get("priority")
                    .optional()
                    .map(|node| node.number().map(Priority::parse))
                    .transpose()?,
                state: read_state(&item)?,
                place: item.to_string(),
            });
        }
    }
    distribute(&mut model.features, overrides, &mut model.notes);
    Ok(model)
}

/// Reads the context's identity as the engine takes it.
///
/// # Errors
/// Something is not as it must be.
pub fn read_identity(context: &Node<'_>) -> Result<Option<engine::Identity<'static>>> {
    let identity = context.get("identity");
    let Some(identity) = identity.optional() else { return Ok(None) };
    let key = identity.get("key").optional().map(|key| key.id()).transpose()?;
    let list = identity.get("traits");
    let traits = list.members()?.map(|(key, value)| (key.to_owned(), trait_value(value.json())));
    let identifier = identity.get("identifier").text()?;
    Ok(Some(engine::Identity::new(identifier, traits).with_key(key.filter(|key| !key.is_empty()))))
}

/// Adds the context's identity to what is imported.
///
/// # Errors
/// Something is not as it must be.
pub fn take_identity(context: &Node<'_>, model: &mut Model) -> Result<()> {
    let Some(identity) = read_identity(context)? else { return Ok(()) };
    let composite = format!("{}_{}", model.environment.key, identity.identifier);
    let with_value = |(key, value): (&str, Option<&TraitValue>)| Some((key.to_owned(), value?.clone()));
    model.identities.push(Identity {
        hashing_key: identity.key.map(Cow::into_owned).filter(|key| *key != composite),
        traits: identity.traits.iter().filter_map(with_value).collect(),
        identifier: identity.identifier.into_owned(),
    });
    Ok(())
}

fn read_feature(feature: &Node<'_>) -> Result<Feature> {
    let state = read_state(feature)?;
    Ok(Feature {
        key: feature.get("name").text()?.to_owned(),
        id: state.hashing_key.clone(),
        server_side_only: None,
        state,
        segment_overrides: Vec::new(),
        identity_overrides: Vec::new(),
    })
}

fn read_state(node: &Node<'_>) -> Result<State> {
    let mut variants = Vec::new();
    for item in node.get("variants").items()? {
        let key = item.get("key").optional().map(|key| key.id()).transpose()?;
        let priority = Priority::parse(item.get("priority").number()?);
        variants.push((priority, variant(key, item.get("value").json(), &item.get("weight"))?));
    }
    Ok(State {
        enabled: node.get("enabled").boolean()?,
        value: value(node.get("value").json()),
        hashing_key: node.get("key").id()?,
        variants: in_order(variants),
        metadata: metadata(&node.get("metadata"))?,
    })
}

/// Says whether the segment stands for identity overrides: no key, that name, one `IN` over identifiers.
fn is_synthetic(segment: &Node<'_>) -> Result<bool> {
    if segment.get("name").text()? != IDENTITY_OVERRIDES || !segment.get("key").id()?.is_empty() {
        return Ok(false);
    }
    let rules = segment.get("rules");
    let mut rules = rules.items()?;
    let (Some(rule), None) = (rules.next(), rules.next()) else { return Ok(false) };
    let (conditions, inner) = (rule.get("conditions"), rule.get("rules"));
    let mut conditions = conditions.items()?;
    let (Some(condition), None) = (conditions.next(), conditions.next()) else { return Ok(false) };
    let is_in = condition.get("operator").text()? == "IN"
        && condition.get("property").optional().map(|node| node.text()).transpose()?
            == Some("$.identity.identifier");
    Ok(is_in && rule.get("type").text()? == "ALL" && inner.items()?.next().is_none())
}

fn convert(segment: &Node<'_>, model: &mut Model) -> Result<()> {
    let rules = segment.get("rules");
    let identifiers: Vec<String> = match rules.items()?.next() {
        Some(rule) => match rule.get("conditions").items()?.next() {
            Some(condition) => rules::items(condition.get("value").json()),
            None => Vec::new(),
        },
        None => Vec::new(),
    };
    for item in segment.get("overrides").items()? {
        let name = item.get("name").text()?;
        let state = read_state(&item)?;
        let Some(feature) = model.features.iter_mut().find(|feature| feature.key == name) else {
            let text =
                format!("the override is of the feature `{name}`, which the environment does not have");
            model.notes.push(Note::changed(item, text));
            continue;
        };
        for identifier in &identifiers {
            // The first of several segments wins, as with all overrides of equal priority.
            if !feature.identity_overrides.iter().any(|other| other.identifier == *identifier) {
                let identifier = identifier.clone();
                feature.identity_overrides.push(IdentityOverride { identifier, state: state.clone() });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use burgee_core::value::Value;

    use super::super::json::Json;
    use super::*;

    const CONTEXT: &str = r#"{
        "environment": {"key": "env", "name": "Production"},
        "identity": {"identifier": "ada", "key": "17", "traits": {"age": 36, "plan": null}},
        "features": {"limit": {"key": "5", "name": "limit", "enabled": true, "value": 123456789012345678901234567890}},
        "segments": {
            "": {
                "key": "", "name": "identity_overrides",
                "rules": [{"type": "ALL", "conditions": [
                    {"property": "$.identity.identifier", "operator": "IN", "value": ["ada", "bob"]}
                ]}],
                "overrides": [{"key": "", "name": "limit", "enabled": false, "value": 1.0, "priority": -1e999}]
            },
            "9": {"key": "9", "name": "all", "rules": [{"type": "ALL"}], "overrides": [
                {"key": "6", "name": "limit", "enabled": true, "value": 2},
                {"key": "7", "name": "gone", "enabled": true, "value": 2}
            ]}
        }
    }"#;

    fn model(synthetic: Synthetic) -> Model {
        let json = Json::parse(CONTEXT).unwrap();
        read(&Node::root(&json), synthetic).unwrap()
    }

    #[test]
    fn segments_that_stand_for_identities_stay_or_are_converted() {
        let kept = model(Synthetic::Keep);
        let names =
            |model: &Model| model.segments.iter().map(|segment| segment.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&kept), ["identity_overrides", "all"]);
        assert_eq!(
            kept.features[0].segment_overrides.iter().map(|item| item.segment).collect::<Vec<_>>(),
            [0, 1]
        );

        let converted = model(Synthetic::Convert);
        assert_eq!(names(&converted), ["all"]);
        let overrides = &converted.features[0].identity_overrides;
        assert_eq!(overrides.iter().map(|item| item.identifier.as_str()).collect::<Vec<_>>(), ["ada", "bob"]);
        assert_eq!(overrides[0].state.value, Some(Value::Double(1.0)));
    }

    #[test]
    fn a_large_integer_keeps_its_digits() {
        let value = model(Synthetic::Keep).features[0].state.value.clone();
        assert_eq!(value, Some(Value::Json("123456789012345678901234567890".into())));
    }

    #[test]
    fn an_override_of_no_feature_is_noted() {
        let notes = model(Synthetic::Keep).notes;
        assert_eq!(notes.len(), 1);
        assert_eq!(notes[0].subject, r#"segments["9"].overrides[1]"#);
    }

    #[test]
    fn the_identity_keeps_its_key_and_its_traits() {
        let json = Json::parse(CONTEXT).unwrap();
        let mut model = model(Synthetic::Convert);
        take_identity(&Node::root(&json), &mut model).unwrap();
        let identity = &model.identities[0];
        assert_eq!(identity.hashing_key.as_deref(), Some("17"));
        assert_eq!(identity.traits, [("age".to_owned(), TraitValue::Integer(36))]);
    }
}
