//! A database of its own for every test, and short words for what tests write.

use std::fmt::Debug;

use burgee_core::access::{EnvironmentKey, KeyKind, KeyScope, SecretHash, StoredSecret, Token};
use burgee_core::change::{Applied, ChangeKind, Mutation, WriteContext};
use burgee_core::feature::{Feature, Variant};
use burgee_core::flag::{FlagState, FlagStatePatch, VariantWeight};
use burgee_core::identity::{Trait, TraitChanges};
use burgee_core::limits::Limits;
use burgee_core::name::{
    EnvironmentName, FeatureKey, FeatureName, FlagName, Identifier, IdentityName, IdentityOverrideName,
    KeyName, LogName, MemberName, OrganisationName, ProjectName, SegmentId, SegmentName, SegmentOverrideName,
    TokenName, TraitKey, UserName, VariantKey,
};
use burgee_core::organisation::{Organisation, User};
use burgee_core::project::{Environment, IdentityHashing, Project};
use burgee_core::rule::{Condition, Operand, Operator, Rule, RuleKind};
use burgee_core::segment::Segment;
use burgee_core::store::{
    ChangeOrder, EnvironmentRef, FlagFeed, FlagStore, IdentityStore, LoadedEnvironment, Page, ProjectRef,
};
use burgee_core::value::{TraitValue, Value, ValueType};
use burgee_core::{Error, Result};
use burgee_store::{Store, StoreOptions};
use burgee_tests::postgres::Cluster;
use chrono::{DateTime, TimeDelta, Utc};
use tempfile::TempDir;

pub(crate) use crate::made::Made;

/// Makes each promise a test on both databases.
macro_rules! both {
    ($($name:ident,)*) => {
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    super::$name(crate::world::World::postgres().await).await;
                }
            )*
        }
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    super::$name(crate::world::World::sqlite().await).await;
                }
            )*
        }
    };
}

/// A migrated store of its own.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) url: String,
    folder: Option<TempDir>,
}

impl World {
    pub(crate) async fn postgres() -> Self {
        Self::open(Cluster::shared().database().await, None).await
    }

    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("burgee.db").display());
        Self::open(url, Some(folder)).await
    }

    async fn open(url: String, folder: Option<TempDir>) -> Self {
        let store = Store::open(&url, &small_pools(Limits::default())).unwrap();
        store.migrate().await.unwrap();
        Self { store, url, folder }
    }

    /// Opens the same database with other limits.
    pub(crate) fn with_limits(self, limits: Limits) -> Self {
        let store = Store::open(&self.url, &small_pools(limits)).unwrap();
        Self { store, ..self }
    }

    /// Uses a database that nothing has migrated.
    pub(crate) fn unmigrated(self, url: String) -> Self {
        let store = Store::open(&url, &small_pools(Limits::default())).unwrap();
        Self { store, url, ..self }
    }

    /// Opens the same database a second time, as another process would.
    pub(crate) fn another_store(&self) -> Store {
        Store::open(&self.url, &small_pools(Limits::default())).unwrap()
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.folder.is_none()
    }

    pub(crate) fn flags(&self) -> &dyn FlagStore {
        &self.store
    }

    pub(crate) fn feed(&self) -> &dyn FlagFeed {
        &self.store
    }

    pub(crate) fn identities(&self) -> &dyn IdentityStore {
        &self.store
    }

    /// Creates the organisation `acme` with the project `shop`: revision 1.
    pub(crate) async fn shop(self) -> Self {
        self.flags().create_organisation(&write(), organisation("acme")).await.unwrap();
        self.flags().create_project(&write(), project("shop"), None).await.unwrap();
        self
    }

    /// Creates the shop with the environments `dev` and `production`: revision 2.
    pub(crate) async fn with_environments(self) -> Self {
        let world = self.shop().await;
        world.apply(vec![create_environment("dev"), create_environment("production")]).await;
        world
    }

    /// Creates the shop with environments, the features `banner` and `limit` and the segments `beta` and `staff`:
    /// revision 3.
    pub(crate) async fn with_flags(self) -> Self {
        let world = self.with_environments().await;
        world
            .apply(vec![
                create_feature("banner"),
                Mutation::CreateFeature { feature: feature("limit") },
                create_segment("beta"),
                create_segment("staff"),
            ])
            .await;
        world
    }

    pub(crate) async fn try_apply(&self, mutations: Vec<Mutation>) -> Result<Applied> {
        self.flags().apply(&write(), &shop(), mutations).await
    }

    pub(crate) async fn apply(&self, mutations: Vec<Mutation>) -> Applied {
        self.try_apply(mutations).await.unwrap()
    }

    /// Applies one mutation and returns the revision.
    pub(crate) async fn write(&self, mutation: Mutation) -> i64 {
        self.apply(vec![mutation]).await.revision
    }

    pub(crate) async fn revision(&self) -> i64 {
        self.flags().project(&shop()).await.unwrap().revision
    }

    /// Applies one mutation that must fail and change nothing.
    pub(crate) async fn refuse(&self, mutation: Mutation) -> Error {
        let before = self.revision().await;
        let error = self.try_apply(vec![mutation]).await.unwrap_err();
        assert_eq!(self.revision().await, before, "a refused write changed something");
        error
    }

    /// Returns what evaluation needs of an environment.
    pub(crate) async fn load(&self, id: &str) -> LoadedEnvironment {
        let reference = self.environment_ref(id).await;
        self.feed().load_environment(reference).await.unwrap().unwrap()
    }

    /// Finds an environment's number by a key that is made for it once.
    pub(crate) async fn environment_ref(&self, id: &str) -> EnvironmentRef {
        let secret = format!("finder of {id}");
        let hash = SecretHash::of(&secret);
        if let Some(reference) = self.feed().environment_of_key(&hash).await.unwrap() {
            return reference;
        }
        self.write(create_key(id, "finder", &secret)).await;
        self.feed().environment_of_key(&hash).await.unwrap().unwrap()
    }

    pub(crate) async fn project_ref(&self) -> ProjectRef {
        self.load("dev").await.project
    }

    /// Returns the newest change of a log.
    pub(crate) async fn last_of(&self, log: &LogName) -> burgee_core::change::Change {
        self.flags().changes(log, ChangeOrder::Before(i64::MAX), 1).await.unwrap().remove(0)
    }

    /// Returns what was changed last in the organisation: kinds and subjects.
    pub(crate) async fn last_subjects(&self, log: &LogName) -> Vec<(ChangeKind, String)> {
        let change = self.last_of(log).await;
        change.entries.into_iter().map(|entry| (entry.kind, entry.subject)).collect()
    }

    /// Returns the newest change.
    pub(crate) async fn last_change(&self) -> burgee_core::change::Change {
        self.flags().changes(&shop_log(), ChangeOrder::Before(i64::MAX), 1).await.unwrap().remove(0)
    }
}

fn small_pools(limits: Limits) -> StoreOptions {
    StoreOptions {
        limits,
        read_connections: 4,
        write_connections: 2,
        identity_connections: 2,
        ..Default::default()
    }
}

/// The time of all writes that do not say otherwise: whole microseconds.
pub(crate) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap()
}

pub(crate) fn later(hours: i64) -> DateTime<Utc> {
    now() + TimeDelta::hours(hours)
}

pub(crate) fn write() -> WriteContext {
    WriteContext {
        actor: "users/ada".to_owned(),
        credential: "users/ada/tokens/laptop".to_owned(),
        on_behalf_of: String::new(),
        address: "192.0.2.1".to_owned(),
        method: "TestService/Test".to_owned(),
        request_id: None,
        request_digest: [0; 32],
        reason: "because".to_owned(),
        validate_only: false,
        now: now(),
    }
}

/// A write with a request id; the digest stands for what the request says.
pub(crate) fn request(id: &str, digest: u8) -> WriteContext {
    WriteContext { request_id: Some(id.to_owned()), request_digest: [digest; 32], ..write() }
}

pub(crate) fn validation() -> WriteContext {
    WriteContext { validate_only: true, ..write() }
}

pub(crate) fn all() -> Page {
    Page { after: None, limit: 1_000 }
}

pub(crate) fn page(after: &str, limit: usize) -> Page {
    Page { after: Some(after.to_owned()), limit }
}

pub(crate) fn parsed<T, E: Debug>(name: String, parse: impl FnOnce(&str) -> Result<T, E>) -> T {
    parse(&name).unwrap()
}

pub(crate) fn acme() -> OrganisationName {
    OrganisationName::parse("organisations/acme").unwrap()
}

pub(crate) fn shop() -> ProjectName {
    ProjectName::parse("organisations/acme/projects/shop").unwrap()
}

/// Returns the log of the shop.
pub(crate) fn shop_log() -> LogName {
    LogName::Project(shop())
}

/// Returns the log of the organisation.
pub(crate) fn acme_log() -> LogName {
    LogName::Organisation(acme())
}

pub(crate) fn member_name(user: &str) -> MemberName {
    parsed(format!("organisations/acme/members/{user}"), MemberName::parse)
}

pub(crate) fn environment_name(id: &str) -> EnvironmentName {
    parsed(format!("{}/environments/{id}", shop()), EnvironmentName::parse)
}

pub(crate) fn feature_name(key: &str) -> FeatureName {
    FeatureName { project: shop(), feature: feature_key(key) }
}

pub(crate) fn feature_key(key: &str) -> FeatureKey {
    FeatureKey::parse(key).unwrap()
}

pub(crate) fn segment_id(id: &str) -> SegmentId {
    SegmentId::parse(id).unwrap()
}

pub(crate) fn segment_name(id: &str) -> SegmentName {
    SegmentName { project: shop(), segment: segment_id(id) }
}

pub(crate) fn flag_name(environment: &str, feature: &str) -> FlagName {
    FlagName { environment: environment_name(environment), feature: feature_key(feature) }
}

pub(crate) fn override_name(environment: &str, feature: &str, segment: &str) -> SegmentOverrideName {
    SegmentOverrideName { flag: flag_name(environment, feature), segment: segment_id(segment) }
}

pub(crate) fn identity_override_name(
    environment: &str,
    feature: &str,
    identifier: &str,
) -> IdentityOverrideName {
    IdentityOverrideName { flag: flag_name(environment, feature), identifier: identity(identifier) }
}

pub(crate) fn identity(identifier: &str) -> Identifier {
    Identifier::parse(identifier).unwrap()
}

pub(crate) fn identity_name(environment: &str, identifier: &str) -> IdentityName {
    IdentityName { environment: environment_name(environment), identifier: identity(identifier) }
}

pub(crate) fn key_name(environment: &str, key: &str) -> KeyName {
    parsed(format!("{}/keys/{key}", environment_name(environment)), KeyName::parse)
}

pub(crate) fn user_name(id: &str) -> UserName {
    parsed(format!("users/{id}"), UserName::parse)
}

pub(crate) fn variant_key(key: &str) -> VariantKey {
    VariantKey::parse(key).unwrap()
}

pub(crate) fn organisation(id: &str) -> Organisation {
    Organisation {
        name: parsed(format!("organisations/{id}"), OrganisationName::parse),
        display_name: id.to_uppercase(),
        persist_trait_data: true,
        stop_serving_flags: false,
        created_at: now(),
        etag: String::new(),
    }
}

pub(crate) fn user(id: &str) -> User {
    User {
        name: user_name(id),
        email: format!("{id}@example.com"),
        display_name: id.to_uppercase(),
        email_verified: true,
        administrator: false,
        created_at: now(),
        etag: String::new(),
    }
}

/// A token of an owner.
pub(crate) fn token(owner: &str, id: &str) -> Token {
    Token {
        name: parsed(format!("{owner}/tokens/{id}"), TokenName::parse),
        display_name: id.to_uppercase(),
        hint: "bgu_0123456789ab".to_owned(),
        created_at: now(),
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    }
}

/// What is stored of a secret. Its first 16 characters are made of the text, so that texts have different ones.
pub(crate) fn secret(text: &str) -> StoredSecret {
    StoredSecret::new(&secret_text(text), [7; 16])
}

/// The secret itself.
pub(crate) fn secret_text(text: &str) -> String {
    format!("bgu_{text:0>12}{text:s>32}")
}

pub(crate) fn project(id: &str) -> Project {
    Project {
        name: parsed(format!("organisations/acme/projects/{id}"), ProjectName::parse),
        display_name: id.to_uppercase(),
        prevent_flag_defaults: false,
        revision: 0,
        created_at: now(),
        etag: String::new(),
    }
}

pub(crate) fn environment(id: &str) -> Environment {
    Environment {
        name: environment_name(id),
        display_name: id.to_uppercase(),
        description: String::new(),
        hide_disabled_flags: false,
        allow_client_traits: true,
        identity_hashing: IdentityHashing::Composite,
        hashing_key: format!("hash of {id}"),
        created_at: now(),
        etag: String::new(),
    }
}

/// A feature with a text value that is on by default.
pub(crate) fn feature(key: &str) -> Feature {
    Feature {
        name: feature_name(key),
        description: String::new(),
        value_type: ValueType::String,
        initial_value: Some(text("initial")),
        default_enabled: true,
        variants: Vec::new(),
        tags: Vec::new(),
        owners: Vec::new(),
        archived: false,
        server_side_only: false,
        hashing_key: format!("hash of {key}"),
        created_at: now(),
        etag: String::new(),
    }
}

pub(crate) fn variant(key: &str, default_weight: f64) -> Variant {
    Variant { key: variant_key(key), value: Some(text(key)), default_weight }
}

pub(crate) fn weight(variant: &str, weight: f64) -> VariantWeight {
    VariantWeight { variant: variant_key(variant), weight }
}

pub(crate) fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

pub(crate) fn segment(id: &str) -> Segment {
    let condition = Condition::new("plan", Operator::Equal, Operand::Text(id.to_owned()), "").unwrap();
    Segment {
        name: segment_name(id),
        display_name: id.to_uppercase(),
        description: String::new(),
        feature: None,
        rules: vec![Rule { kind: RuleKind::All, conditions: vec![condition], rules: Vec::new() }],
        hashing_key: format!("hash of {id}"),
        metadata: None,
        created_at: now(),
        etag: String::new(),
    }
}

/// A state with a text value; the hashing key is left to the store.
pub(crate) fn state(value: &str) -> FlagState {
    FlagState {
        enabled: true,
        value: Some(text(value)),
        weights: Vec::new(),
        hashing_key: String::new(),
        metadata: None,
    }
}

pub(crate) fn create_environment(id: &str) -> Mutation {
    Mutation::CreateEnvironment { environment: environment(id), creator: None }
}

pub(crate) fn create_feature(key: &str) -> Mutation {
    Mutation::CreateFeature { feature: feature(key) }
}

pub(crate) fn delete_feature(key: &str) -> Mutation {
    Mutation::DeleteFeature { feature: feature_key(key), etag: None }
}

pub(crate) fn create_segment(id: &str) -> Mutation {
    Mutation::CreateSegment { segment: segment(id) }
}

pub(crate) fn key(environment: &str, id: &str) -> EnvironmentKey {
    EnvironmentKey {
        name: key_name(environment, id),
        display_name: id.to_uppercase(),
        kind: KeyKind::ServerSide,
        scopes: KeyScope::of_kind(KeyKind::ServerSide),
        tags: Vec::new(),
        hint: "ser.abcd".to_owned(),
        created_at: now(),
        expires_at: None,
        revoked_at: None,
        etag: String::new(),
    }
}

pub(crate) fn create_key(environment: &str, id: &str, secret: &str) -> Mutation {
    Mutation::CreateKey { key: key(environment, id), hash: SecretHash::of(secret) }
}

/// Switches a flag, which is the smallest of writes.
pub(crate) fn switch(environment: &str, feature: &str, enabled: bool) -> Mutation {
    let patch = FlagStatePatch { enabled: Some(enabled), ..Default::default() };
    Mutation::UpdateFlag { flag: flag_name(environment, feature), patch, etag: None }
}

pub(crate) fn set_override(
    environment: &str,
    feature: &str,
    segment: &str,
    priority: Option<u32>,
) -> Mutation {
    Mutation::SetSegmentOverride {
        name: override_name(environment, feature, segment),
        state: state(segment),
        priority,
        etag: None,
    }
}

pub(crate) fn set_identity_override(environment: &str, feature: &str, identifier: &str) -> Mutation {
    Mutation::SetIdentityOverride {
        name: identity_override_name(environment, feature, identifier),
        state: state(identifier),
        etag: None,
    }
}

/// Changes that set traits to texts and remove others.
pub(crate) fn traits(set: &[(&str, &str)], remove: &[&str]) -> TraitChanges {
    let set = set.iter().map(|(key, value)| Trait {
        key: TraitKey::parse(key).unwrap(),
        value: TraitValue::String((*value).to_owned()),
    });
    TraitChanges {
        set: set.collect(),
        remove: remove.iter().map(|key| TraitKey::parse(key).unwrap()).collect(),
    }
}

/// Unpacks the resource of a write's only mutation.
macro_rules! only {
    ($kind:ident, $applied:expr) => {
        match $applied.resources.as_slice() {
            [Some(burgee_core::change::Resource::$kind(resource))] => resource.clone(),
            other => panic!("expected one {}, got {other:?}", stringify!($kind)),
        }
    };
}

/// Checks an error's kind and message.
#[track_caller]
pub(crate) fn check_error<T: Debug>(result: Result<T>, expected: &str) {
    let error = result.expect_err("this should be refused");
    let message = error.to_string();
    assert!(message.contains(expected), "expected `{expected}` in `{message}`");
}

#[track_caller]
pub(crate) fn check_missing<T: Debug>(result: Result<T>, name: &str) {
    match result {
        Err(Error::NotFound { name: missing, .. }) => assert_eq!(missing, name),
        other => panic!("`{name}` should be missing: {other:?}"),
    }
}

#[track_caller]
pub(crate) fn check_taken<T: Debug>(result: Result<T>, name: &str) {
    match result {
        Err(Error::AlreadyExists { name: taken, .. }) => assert_eq!(taken, name),
        other => panic!("`{name}` should be taken: {other:?}"),
    }
}

#[track_caller]
pub(crate) fn check_limit<T: Debug>(result: Result<T>, name: &str, value: u64) {
    match result {
        Err(Error::LimitExceeded { limit, maximum }) => assert_eq!((limit, maximum), (name, value)),
        other => panic!("`{name}` should be passed: {other:?}"),
    }
}

#[track_caller]
pub(crate) fn check_stale<T: Debug>(result: Result<T>, name: &str, etag: &str) {
    match result {
        Err(Error::StaleEtag { name: stale, current }) => {
            assert_eq!((stale.as_str(), current.as_str()), (name, etag))
        }
        other => panic!("the etag of `{name}` should be stale: {other:?}"),
    }
}

#[track_caller]
pub(crate) fn check_reason<T: Debug>(result: Result<T>, expected: &str) {
    match result {
        Err(Error::Precondition { reason, .. }) => assert_eq!(reason, expected),
        other => panic!("`{expected}` should be the reason: {other:?}"),
    }
}

#[track_caller]
pub(crate) fn check_users<T: Debug>(result: Result<T>, expected: &[String]) {
    match result {
        Err(Error::InUse { users, .. }) => assert_eq!(users, expected),
        other => panic!("it should be in use by {expected:?}: {other:?}"),
    }
}
