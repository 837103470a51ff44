//! The environment document: what Flagsmith gives to those who evaluate on their own.

use std::collections::{HashMap, HashSet};

use burgee_core::project::IdentityHashing;

use super::model::{
    Environment, Feature, Identity, IdentityOverride, Model, Note, Origin, Priority, Segment, Settings, State,
};
use super::node::{Misplaced, Node};
use super::rules;
use super::states::{Override, distribute, in_order, trait_value, value, variant};

type Result<T> = std::result::Result<T, Misplaced>;

/// Says whether this looks like an environment document.
pub fn is_document(node: &Node<'_>) -> bool {
    node.has("api_key") && node.has("feature_states")
}

/// Reads an environment document.
///
/// # Errors
/// Something is not as it must be.
pub fn read(document: &Node<'_>) -> Result<Model> {
    let project = document.get("project").object()?;
    let mut model = Model { environment: environment(document, &project)?, ..Model::default() };
    model.origin = origin(&project)?;
    note_settings(document, &mut model)?;

    let server_side = project.get("server_key_only_feature_ids");
    let server_side = server_side.items()?.map(|id| id.id()).collect::<Result<HashSet<String>>>()?;
    for item in document.get("feature_states").items()? {
        let feature = item.get("feature");
        let id = feature.get("id").id()?;
        let feature = Feature {
            key: feature.get("name").text()?.to_owned(),
            server_side_only: Some(server_side.contains(&id)),
            id,
            state: read_state(&item)?,
            segment_overrides: Vec::new(),
            identity_overrides: Vec::new(),
        };
        match model.features.iter().any(|other| other.key == feature.key) {
            true => {
                model.notes.push(Note::changed(item, "the feature has a state already; the first counts"))
            }
            false => model.features.push(feature),
        }
    }

    let mut overrides = Vec::new();
    for segment in project.get("segments").items()? {
        let index = model.segments.len();
        model.segments.push(Segment {
            key: segment.get("id").id()?,
            name: segment.get("name").text()?.to_owned(),
            rules: rules::read(&segment.get("rules"), "property_", &mut model.notes)?,
            metadata: None,
        });
        for item in segment.get("feature_states").items()? {
            let priority = item.get("feature_segment");
            let priority = priority.get("priority");
            overrides.push(Override {
                feature: item.get("feature").get("name").text()?.to_owned(),
                segment: index,
                priority: priority
                    .optional()
                    .map(|priority| priority.number().map(Priority::parse))
                    .transpose()?,
                state: read_state(&item)?,
                place: item.to_string(),
            });
        }
    }
    distribute(&mut model.features, overrides, &mut model.notes);
    read_identities(document, &mut model)?;
    Ok(model)
}

fn environment(document: &Node<'_>, project: &Node<'_>) -> Result<Environment> {
    let or = |node: Node<'_>, default| node.optional().map_or(Ok(default), |node| node.boolean());
    let hides = or(project.get("hide_disabled_flags"), false)?;
    let composite = or(document.get("use_identity_composite_key_for_hashing"), true)?;
    let settings = Settings {
        hide_disabled_flags: or(document.get("hide_disabled_flags"), hides)?,
        allow_client_traits: or(document.get("allow_client_traits"), true)?,
        identity_hashing: if composite { IdentityHashing::Composite } else { IdentityHashing::Identifier },
    };
    let key = document.get("api_key").text()?.to_owned();
    let name = match document.get("name").optional() {
        Some(name) => name.text()?.to_owned(),
        None => key.clone(),
    };
    Ok(Environment { key, name, settings: Some(settings) })
}

fn origin(project: &Node<'_>) -> Result<Option<Origin>> {
    let organisation = project.get("organisation");
    let (Some(name), Some(organisation_name)) =
        (project.get("name").optional(), organisation.get("name").optional())
    else {
        return Ok(None);
    };
    let or = |node: Node<'_>, default| node.optional().map_or(Ok(default), |node| node.boolean());
    Ok(Some(Origin {
        project: name.text()?.to_owned(),
        organisation: organisation_name.text()?.to_owned(),
        stop_serving_flags: or(organisation.get("stop_serving_flags"), false)?,
        persist_trait_data: or(organisation.get("persist_trait_data"), true)?,
    }))
}

/// Says which settings have no counterpart.
fn note_settings(document: &Node<'_>, model: &mut Model) -> Result<()> {
    let is_on = |node: Node<'_>| node.optional().map_or(Ok(false), |node| node.boolean());
    if is_on(document.get("hide_sensitive_data"))? {
        let text = "not needed: answers hold neither ids nor descriptions";
        model.notes.push(Note::changed("hide_sensitive_data", text));
    }
    let overrides = document.get("use_identity_overrides_in_local_eval");
    if let Some(overrides) = overrides.optional()
        && !overrides.boolean()?
    {
        let text = "is off: the document holds no identity overrides, so that none were taken";
        model.notes.push(Note::not_taken("use_identity_overrides_in_local_eval", text));
    }
    for name in [
        "amplitude_config",
        "dynatrace_config",
        "heap_config",
        "mixpanel_config",
        "rudderstack_config",
        "segment_config",
        "webhook_config",
    ] {
        if document.get(name).optional().is_some() {
            model.notes.push(Note::not_taken(name, "there are no integrations with other services"));
        }
    }
    Ok(())
}

fn read_identities(document: &Node<'_>, model: &mut Model) -> Result<()> {
    let by_name: HashMap<String, usize> =
        model.features.iter().enumerate().map(|(index, feature)| (feature.key.clone(), index)).collect();
    let hashes_identifier = model
        .environment
        .settings
        .is_some_and(|settings| settings.identity_hashing == IdentityHashing::Identifier);
    let mut has_numbers = false;
    for item in document.get("identity_overrides").items()? {
        let identifier = item.get("identifier").text()?.to_owned();
        let features = item.get("identity_features");
        for state in features.items()? {
            let name = state.get("feature").get("name").text()?.to_owned();
            let Some(feature) = by_name.get(&name).map(|index| &mut model.features[*index]) else {
                let text =
                    format!("the override is of the feature `{name}`, which the environment does not have");
                model.notes.push(Note::changed(state, text));
                continue;
            };
            if feature.identity_overrides.iter().any(|other| other.identifier == identifier) {
                model.notes.push(Note::changed(state, format!("`{identifier}` overrides `{name}` twice")));
                continue;
            }
            let state = read_state(&state)?;
            feature.identity_overrides.push(IdentityOverride { identifier: identifier.clone(), state });
        }
        let original = match hashes_identifier {
            true => item.get("django_id").optional().map(|id| id.id()).transpose()?,
            false => item.get("composite_key").optional().map(|key| key.id()).transpose()?,
        };
        has_numbers |= hashes_identifier && original.is_some();
        let by_rule = match hashes_identifier {
            true => identifier.clone(),
            false => format!("{}_{identifier}", model.environment.key),
        };
        let identity = Identity {
            hashing_key: original.filter(|key| !key.is_empty() && *key != by_rule),
            traits: read_traits(&item)?,
            identifier,
        };
        if identity.hashing_key.is_some() || !identity.traits.is_empty() {
            model.identities.push(identity);
        }
    }
    note_hashing(hashes_identifier, has_numbers, model);
    Ok(())
}

/// Without composite keys, the original hashes a number that the document tells of few identities.
fn note_hashing(hashes_identifier: bool, has_numbers: bool, model: &mut Model) {
    let place = "use_identity_composite_key_for_hashing";
    if has_numbers {
        let text = "is off: identities that the document does not list were in buckets by their number; they are now \
                    by their identifier, unless they are given the number as their hashing key";
        model.notes.push(Note::not_taken(place, text));
    } else if hashes_identifier {
        let text = "is off: identities are in buckets by their identifier, as on Flagsmith's edge";
        model.notes.push(Note::changed(place, text));
    }
}

fn read_traits(identity: &Node<'_>) -> Result<Vec<(String, burgee_core::value::TraitValue)>> {
    let mut traits = Vec::new();
    for item in identity.get("identity_traits").items()? {
        let key = item.get("trait_key").text()?.to_owned();
        if let Some(value) = trait_value(item.get("trait_value").json()) {
            traits.push((key, value));
        }
    }
    Ok(traits)
}

fn read_state(node: &Node<'_>) -> Result<State> {
    let mut variants = Vec::new();
    for item in node.get("multivariate_feature_state_values").items()? {
        let option = item.get("multivariate_feature_option");
        let key = option.get("key").optional().map(|key| key.id()).transpose()?;
        let priority = match item.get("id").optional() {
            Some(id) => Priority::parse(id.number()?),
            None => {
                let uuid = item.get("mv_fs_value_uuid");
                let text = uuid.text()?;
                Priority::of_uuid(
                    text.parse().map_err(|_| uuid.problem(format!("must be a UUID, is `{text}`")))?,
                )
            }
        };
        variants
            .push((priority, variant(key, option.get("value").json(), &item.get("percentage_allocation"))?));
    }
    let hashing_key = match node.get("django_id").optional() {
        Some(id) => id.id()?,
        None => {
            node.get("featurestate_uuid").optional().map(|uuid| uuid.id()).transpose()?.unwrap_or_default()
        }
    };
    Ok(State {
        enabled: node.get("enabled").boolean()?,
        value: value(node.get("feature_state_value").json()),
        hashing_key,
        variants: in_order(variants),
        metadata: None,
    })
}

#[cfg(test)]
mod tests {
    use burgee_core::value::{TraitValue, Value};

    use super::super::json::Json;
    use super::super::model::NoteKind;
    use super::*;

    /// A document with two features, a segment that overrides one of them, and an identity that overrides the
    /// other.
    const DOCUMENT: &str = r#"{
        "id": 1, "api_key": "env", "name": "Production", "updated_at": "2026-01-01T00:00:00+00:00",
        "allow_client_traits": false, "hide_sensitive_data": false, "hide_disabled_flags": null,
        "use_identity_composite_key_for_hashing": COMPOSITE,
        "project": {
            "id": 2, "name": "Shop", "hide_disabled_flags": true, "server_key_only_feature_ids": [12],
            "organisation": {"id": 3, "name": "Acme", "stop_serving_flags": false, "persist_trait_data": true},
            "segments": [{"id": 31, "name": "Beta", "rules": [{"type": "ALL", "conditions": [], "rules": [
                {"type": "ANY", "rules": [], "conditions": [{"operator": "IS_SET", "value": null, "property_": "beta"}]}
            ]}], "feature_states": [{
                "feature": {"id": 11, "name": "split", "type": "MULTIVARIATE"}, "enabled": true, "django_id": null,
                "feature_segment": {"priority": 0}, "featurestate_uuid": "0197aa", "feature_state_value": "seg",
                "multivariate_feature_state_values": []
            }]}]
        },
        "feature_states": [
            {"feature": {"id": 11, "name": "split", "type": "MULTIVARIATE"}, "enabled": true, "django_id": 501,
             "feature_segment": null, "featurestate_uuid": "x", "feature_state_value": "control value",
             "multivariate_feature_state_values": [
                {"id": 9, "mv_fs_value_uuid": "y", "percentage_allocation": 30.0,
                 "multivariate_feature_option": {"id": 2, "value": "late", "key": null}},
                {"id": 8, "mv_fs_value_uuid": "z", "percentage_allocation": 20.5,
                 "multivariate_feature_option": {"id": 1, "value": "early", "key": "first"}}
             ]},
            {"feature": {"id": 12, "name": "secret", "type": "STANDARD"}, "enabled": false, "django_id": 502,
             "feature_segment": null, "featurestate_uuid": "w", "feature_state_value": null,
             "multivariate_feature_state_values": []}
        ],
        "identity_overrides": [{
            "identifier": "ada", "environment_api_key": "env", "identity_uuid": "u", "django_id": 77,
            "composite_key": "env_ada", "identity_traits": [{"trait_key": "age", "trait_value": 36}],
            "identity_features": [{
                "feature": {"id": 12, "name": "secret", "type": "STANDARD"}, "enabled": true, "django_id": 503,
                "feature_segment": null, "featurestate_uuid": "v", "feature_state_value": 5,
                "multivariate_feature_state_values": []
            }]
        }]
    }"#;

    fn model(composite: bool) -> Model {
        let json = Json::parse(&DOCUMENT.replace("COMPOSITE", &composite.to_string())).unwrap();
        let root = Node::root(&json);
        assert!(is_document(&root));
        read(&root).unwrap()
    }

    #[test]
    fn states_keep_what_their_splits_hash_and_their_order() {
        let model = model(true);
        let split = &model.features[0];
        assert_eq!((split.id.as_str(), split.state.hashing_key.as_str()), ("11", "501"));
        let variants: Vec<_> =
            split.state.variants.iter().map(|item| (item.key.as_deref(), item.weight)).collect();
        assert_eq!(variants, [(Some("first"), 20.5), (None, 30.0)]);
        assert_eq!(split.state.variants[1].weight_text, "30.0");
        assert_eq!(split.segment_overrides[0].state.hashing_key, "0197aa");
        assert_eq!(model.segments[0].key, "31");
        assert_eq!(model.segments[0].rules[0].rules[0].conditions[0].property(), "beta");
    }

    #[test]
    fn settings_of_the_environment_win_over_those_of_the_project() {
        let settings = model(true).environment.settings.unwrap();
        assert!(settings.hide_disabled_flags);
        assert!(!settings.allow_client_traits);
        assert_eq!(settings.identity_hashing, IdentityHashing::Composite);
    }

    #[test]
    fn overrides_of_identities_are_taken() {
        let model = model(true);
        let secret = &model.features[1];
        assert_eq!(secret.server_side_only, Some(true));
        assert_eq!(secret.identity_overrides[0].identifier, "ada");
        assert_eq!(secret.identity_overrides[0].state.value, Some(Value::Integer(5)));
        let identity = &model.identities[0];
        assert_eq!(identity.hashing_key, None);
        assert_eq!(identity.traits, [("age".to_owned(), TraitValue::Integer(36))]);
    }

    #[test]
    fn without_composite_keys_identities_keep_their_numbers() {
        let model = model(false);
        assert_eq!(model.environment.settings.unwrap().identity_hashing, IdentityHashing::Identifier);
        assert_eq!(model.identities[0].hashing_key.as_deref(), Some("77"));
        assert!(model.notes.iter().any(|note| note.kind == NoteKind::NotTaken));
    }

    #[test]
    fn what_is_missing_is_named() {
        let text = DOCUMENT.replace("COMPOSITE", "true").replace("\"percentage_allocation\": 20.5,", "");
        let json = Json::parse(&text).unwrap();
        let error = read(&Node::root(&json)).unwrap_err().to_string();
        assert_eq!(
            error,
            "`feature_states[0].multivariate_feature_state_values[1].percentage_allocation` is missing; it must be a number"
        );
    }
}
