//! Environments in memory, for unit tests.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use burgee_core::Result;
use burgee_core::access::{KeyKind, KeyScope, SecretHash};
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
use tonic::metadata::MetadataMap;

use crate::database::database_unavailable;
use crate::moment::lock;
use crate::snapshot::{Content, Seen, Snapshot};
use crate::{Evaluation, Settings, Shared};

/// The environment's server-side key.
pub(crate) const KEY: &str = "key";
/// The environment's client-side key.
pub(crate) const CLIENT_KEY: &str = "client";
const ENVIRONMENT: &str = "organisations/acme/projects/shop/environments/dev";

/// Returns a server-side key that may do and see everything.
pub(crate) fn key(secret: &str) -> ActiveKey {
    ActiveKey {
        hash: SecretHash::of(secret),
        name: KeyName::parse(&format!("{ENVIRONMENT}/keys/key")).unwrap(),
        kind: KeyKind::ServerSide,
        scopes: KeyScope::ALL.to_vec(),
        tags: Vec::new(),
        expires_at: None,
    }
}

/// Returns a client-side key.
pub(crate) fn client_key(secret: &str) -> ActiveKey {
    let kind = KeyKind::ClientSide;
    ActiveKey { kind, scopes: KeyScope::of_kind(kind), ..key(secret) }
}

/// Returns a key that sees only features with one of these tags.
pub(crate) fn limited(key: ActiveKey, tags: &[&str]) -> ActiveKey {
    ActiveKey { tags: texts(tags), ..key }
}

/// Returns an environment at a revision, with a key of each kind.
pub(crate) fn environment(revision: i64, features: Vec<FeatureRules>) -> LoadedEnvironment {
    let name = EnvironmentName::parse(ENVIRONMENT).unwrap();
    LoadedEnvironment {
        environment: EnvironmentRef(1),
        project: ProjectRef(1),
        name,
        revision,
        changed_at: None,
        settings_revision: 1,
        created_revision: 1,
        created_at: chrono::DateTime::UNIX_EPOCH,
        hide_disabled_flags: false,
        allow_client_traits: true,
        identity_hashing: IdentityHashing::Composite,
        persist_trait_data: true,
        stop_serving_flags: false,
        rules: EnvironmentRules { features, ..EnvironmentRules::default() },
        keys: vec![key(KEY), client_key(CLIENT_KEY)],
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

/// Returns a feature with tags.
pub(crate) fn tagged(feature: FeatureRules, tags: &[&str]) -> FeatureRules {
    FeatureRules { tags: texts(tags), ..feature }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
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

/// Returns a snapshot, as a key sees it.
pub(crate) fn seen(snapshot: &Snapshot, secret: &str) -> Seen {
    let sight = snapshot.content.key(&SecretHash::of(secret)).unwrap().sight;
    Seen { snapshot: Arc::new(snapshot.clone()), sight }
}

/// Returns what a call with a key brings.
pub(crate) fn metadata(secret: &str) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    metadata.insert("x-environment-key", secret.parse().unwrap());
    metadata
}

/// Returns what calls share, over a database that is away.
pub(crate) fn shared() -> Arc<Shared> {
    shared_over(Arc::new(Away))
}

/// Returns what calls share, over a database whose identities are away.
pub(crate) fn shared_over(feed: Arc<dyn FlagFeed>) -> Arc<Shared> {
    let evaluation = Evaluation::start(feed, Arc::new(Away), Settings::default(), CancellationToken::new());
    evaluation.unwrap().shared
}

/// A database of one environment that notifies nobody.
pub(crate) struct Silent(Mutex<LoadedEnvironment>);

impl Silent {
    /// Creates the database.
    pub(crate) fn new(environment: LoadedEnvironment) -> Arc<Self> {
        Arc::new(Self(Mutex::new(environment)))
    }

    /// Changes the environment; returns the revision. The change is given it, too.
    pub(crate) fn write(&self, change: impl FnOnce(&mut LoadedEnvironment, i64)) -> i64 {
        let mut environment = lock(&self.0);
        environment.revision += 1;
        let revision = environment.revision;
        change(&mut environment, revision);
        revision
    }

    /// Returns the environment.
    pub(crate) fn read(&self) -> LoadedEnvironment {
        lock(&self.0).clone()
    }
}

#[async_trait]
impl FlagFeed for Silent {
    async fn environment_of_key(&self, hash: &SecretHash) -> Result<Option<EnvironmentRef>> {
        let LoadedEnvironment { environment, keys, .. } = self.read();
        Ok(keys.iter().any(|key| key.hash == *hash).then_some(environment))
    }

    async fn load_environment(&self, _: EnvironmentRef) -> Result<Option<LoadedEnvironment>> {
        Ok(Some(self.read()))
    }

    async fn revisions(&self, projects: &[ProjectRef]) -> Result<Vec<(ProjectRef, i64)>> {
        let LoadedEnvironment { project, revision, .. } = self.read();
        Ok(projects.contains(&project).then_some((project, revision)).into_iter().collect())
    }

    async fn touched(
        &self,
        _: ProjectRef,
        _: i64,
        _: i64,
        environments: &[EnvironmentRef],
    ) -> Result<Vec<EnvironmentRef>> {
        Ok(environments.to_vec())
    }

    async fn wakeups(&self) -> Result<Box<dyn Wakeups>> {
        Err(database_unavailable("it notifies nobody"))
    }
}

/// A database that is away.
pub(crate) struct Away;

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

    async fn identify(&self, _: &[IdentityWrite], _: u64) -> Result<Vec<Result<StoredIdentity>>> {
        Err(database_unavailable("away"))
    }
}
