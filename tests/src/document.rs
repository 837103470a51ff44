//! Documents of Flagsmith's, generated.

use serde_json::{Value, json};

/// Features of the large document.
pub const FEATURES: usize = 50;
/// Segments of the large document; each overrides every feature.
pub const SEGMENTS: usize = 15;
/// Conditions of each of its segments.
const CONDITIONS: usize = 15;

/// Returns an environment document of 50 features and 15 segments, each of which overrides every feature.
#[must_use]
pub fn large() -> String {
    let state = |feature: usize, id: usize, priority: Option<usize>| {
        json!({
            "feature": {"id": feature, "name": format!("imported_{feature}"), "type": "STANDARD"},
            "enabled": id.is_multiple_of(2),
            "django_id": id,
            "feature_segment": priority.map(|priority| json!({"priority": priority})),
            "featurestate_uuid": format!("00000000-0000-4000-8000-{id:012}"),
            "feature_state_value": format!("value {id}"),
            "multivariate_feature_state_values": [],
        })
    };
    let segment = |number: usize| {
        let conditions: Vec<Value> = (0..CONDITIONS)
            .map(|condition| {
                json!({"operator": "EQUAL", "property_": format!("trait_{condition}"), "value": number.to_string()})
            })
            .collect();
        let overrides: Vec<Value> = (0..FEATURES)
            .map(|feature| state(feature, 1_000 + number * FEATURES + feature, Some(number)))
            .collect();
        json!({
            "id": 100 + number,
            "name": format!("segment {number}"),
            "rules": [{"type": "ALL", "rules": [{"type": "ANY", "rules": [], "conditions": conditions}], "conditions": []}],
            "feature_states": overrides,
        })
    };
    json!({
        "id": 1, "api_key": "n9fbf9h3v4fFgH3U3ngWhb", "name": "Imported", "updated_at": "2026-01-01T00:00:00+00:00",
        "allow_client_traits": true, "hide_sensitive_data": false, "hide_disabled_flags": null,
        "use_identity_composite_key_for_hashing": true, "use_identity_overrides_in_local_eval": true,
        "project": {
            "id": 1, "name": "Shop", "hide_disabled_flags": false, "enable_realtime_updates": false,
            "server_key_only_feature_ids": [],
            "organisation": {"id": 1, "name": "Acme", "feature_analytics": false, "stop_serving_flags": false,
                "persist_trait_data": true},
            "segments": (0..SEGMENTS).map(segment).collect::<Vec<_>>(),
        },
        "feature_states": (0..FEATURES).map(|feature| state(feature, feature, None)).collect::<Vec<_>>(),
        "identity_overrides": [],
    })
    .to_string()
}
