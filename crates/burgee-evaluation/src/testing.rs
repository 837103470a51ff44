//! Environments in memory, for unit tests.

use std::sync::Arc;

use async_trait::async_trait;
use burgee_core::Result;
use burgee_core::access::{KeyKind, SecretHash};
use burgee_core::engine::{EnvironmentRules, FeatureRules, SegmentOverrideRules, SegmentRules, State};
use burgee_core::name::{EnvironmentName, Identifier, KeyName};
use burgee_core::project::IdentityHashing;
use burgee_core::rule::{Condition, Operand, Operator, Rule, RuleKind};
use burgee_core::store::{
    ActiveKey, EnvironmentRef, FlagFeed, IdentityStore, IdentityWrite, LoadedEnvironment, ProjectRef,
    StoredIdentity, Wakeups,
};
use burgee_core::value::Value;

use tokio_util::sync::CancellationToken;

use crate::database::database_unavailable;
use crate::snapshot::{Content, Snapshot};
use crate::{Evaluation, Settings, Shared};

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
        created_at: chrono::DateTime::UNIX_EPOCH,
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

/// Returns what calls share, over a database that is away.
pub(crate) fn shared() -> Arc<Shared> {
    let away = Arc::new(Away);
    let evaluation = Evaluation::start(away.clone(), away, Settings::default(), CancellationToken::new());
    evaluation.unwrap().shared
}

struct Away;

#[async_trait]
impl FlagFeed for Away {
    async fn environment_of_key(&self, _: &SecretHash) -> Result<Option<EnvironmentRef>> {
        Err(database_unavailable("away"))
    }

    async fn load_environment(&self, _: EnvironmentRef) -> Result<Option<LoadedEnvironment>> {
        Err(database_unavailable("away"))
    }

    async fn revisions(&self, _: &[ProjectRef]) -> Result<Vec<(ProjectRef, i64)>> {
        Err(database_unavailable("away"))
    }

    async fn touched(
        &self,
        _: ProjectRef,
        _: i64,
        _: i64,
        _: &[EnvironmentRef],
    ) -> Result<Vec<EnvironmentRef>> {
        Err(database_unavailable("away"))
    }

    async fn wakeups(&self) -> Result<Box<dyn Wakeups>> {
        Err(database_unavailable("away"))
    }
}

#[async_trait]
impl IdentityStore for Away {
    async fn stored_identities(
        &self,
        _: EnvironmentRef,
        _: &[Identifier],
    ) -> Result<Vec<Option<StoredIdentity>>> {
        Err(database_unavailable("away"))
    }

    async fn identify(&self, _: &[IdentityWrite]) -> Result<Vec<Result<StoredIdentity>>> {
        Err(database_unavailable("away"))
    }
}
