//! Environments in memory, for unit tests.

use std::sync::Arc;

use burgee_core::access::{KeyKind, SecretHash};
use burgee_core::engine::{EnvironmentRules, FeatureRules, SegmentOverrideRules, SegmentRules, State};
use burgee_core::name::{EnvironmentName, KeyName};
use burgee_core::project::IdentityHashing;
use burgee_core::rule::{Condition, Operand, Operator, Rule, RuleKind};
use burgee_core::store::{ActiveKey, EnvironmentRef, LoadedEnvironment, ProjectRef};
use burgee_core::value::Value;

use crate::snapshot::{Content, Snapshot};

/// The environment's only key.
pub(crate) const KEY: &str = "key";
const ENVIRONMENT: &str = "organisations/acme/projects/shop/environments/dev";

/// Returns an environment at a revision, with one server-side key.
pub(crate) fn environment(revision: i64, features: Vec<FeatureRules>) -> LoadedEnvironment {
    let name = EnvironmentName::parse(ENVIRONMENT).unwrap();
    let key = ActiveKey {
        hash: SecretHash::of(KEY),
        name: KeyName::parse(&format!("{ENVIRONMENT}/keys/key")).unwrap(),
        kind: KeyKind::ServerSide,
        expires_at: None,
    };
    LoadedEnvironment {
        environment: EnvironmentRef(1),
        project: ProjectRef(1),
        name,
        revision,
        settings_revision: 1,
        created_revision: 1,
        hide_disabled_flags: false,
        allow_client_traits: true,
        identity_hashing: IdentityHashing::Composite,
        persist_trait_data: true,
        stop_serving_flags: false,
        rules: EnvironmentRules { features, ..EnvironmentRules::default() },
        keys: vec![key],
        deleted_features: Vec::new(),
    }
}

/// Returns a feature that is on, and that a revision touched.
pub(crate) fn feature(key: &str, revision: i64) -> FeatureRules {
    FeatureRules {
        key: key.to_owned(),
        revision,
        state: State { enabled: true, ..State::default() },
        ..FeatureRules::default()
    }
}

/// Returns a feature that only server-side keys see.
pub(crate) fn secret(key: &str, revision: i64) -> FeatureRules {
    FeatureRules { server_side_only: true, ..feature(key, revision) }
}

/// Returns a feature with a long value.
pub(crate) fn large(key: &str, revision: i64, bytes: usize) -> FeatureRules {
    let value = Some(Value::String("x".repeat(bytes)));
    FeatureRules { state: State { enabled: true, value, ..State::default() }, ..feature(key, revision) }
}

/// Returns a segment of those whose `property` is `value`.
pub(crate) fn segment(id: &str, property: &str, value: &str) -> SegmentRules {
    let condition =
        Condition::new(property.to_owned(), Operator::Equal, Operand::Text(value.to_owned()), "").unwrap();
    SegmentRules {
        id: id.to_owned(),
        rules: vec![Rule { kind: RuleKind::All, conditions: vec![condition], rules: Vec::new() }],
        ..SegmentRules::default()
    }
}

/// Returns an override for the segment at an index.
pub(crate) fn override_for(segment: usize) -> SegmentOverrideRules {
    SegmentOverrideRules { segment, ..SegmentOverrideRules::default() }
}

/// Compiles an environment after another.
pub(crate) fn compile(loaded: LoadedEnvironment, before: Option<&Snapshot>) -> Snapshot {
    let revision = loaded.revision;
    Snapshot { revision, content: Arc::new(Content::compile(loaded, before)) }
}
