//! What the services ask of a database. Both databases pass one conformance suite.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::Result;
use crate::access::{EnvironmentKey, KeyKind, SecretHash, Token};
use crate::change::{Applied, Change, Mutation, WriteContext};
use crate::engine::EnvironmentRules;
use crate::feature::Feature;
use crate::flag::{Flag, IdentityOverride};
use crate::identity::{Identity, TraitChanges};
use crate::name::{
    EnvironmentName, FeatureName, FlagName, Identifier, IdentityName, IdentityOverrideName, KeyName,
    MemberName, OrganisationName, ProjectName, SegmentName, TokenName, TokenOwner, UserName,
};
use crate::organisation::{Member, Organisation, OrganisationPatch, Role, User};
use crate::project::{Environment, IdentityHashing, Project};
use crate::segment::Segment;
use crate::value::TraitValue;

/// A part of a list, ordered by id, byte by byte (identities and their overrides: by the hash of the identifier).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Starts behind this id; `None` is the beginning.
    pub after: Option<String>,
    /// The most items that are returned.
    pub limit: usize,
}

/// What a list of identities is narrowed to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentityFilter {
    /// Identifiers that contain this, byte by byte.
    pub identifier_contains: Option<String>,
}

/// Which changes to list, newest first or oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeOrder {
    /// Oldest first, with revisions above this.
    After(i64),
    /// Newest first, with revisions below this.
    Before(i64),
}

/// The caller behind a token.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenCaller {
    /// The token.
    pub token: Token,
    /// Whether it may do everything on this server.
    pub administrator: bool,
}

/// Everything that the management service asks of the store. Every method is one transaction.
#[async_trait]
pub trait FlagStore: Send + Sync {
    // Organisations and members.

    /// Creates an organisation.
    async fn create_organisation(
        &self,
        context: &WriteContext,
        organisation: Organisation,
    ) -> Result<Organisation>;
    /// Returns an organisation.
    async fn organisation(&self, name: &OrganisationName) -> Result<Organisation>;
    /// Lists organisations.
    async fn organisations(&self, page: &Page) -> Result<Vec<Organisation>>;
    /// Changes an organisation. Settings that evaluation looks at take a revision of each of its projects.
    async fn update_organisation(
        &self,
        context: &WriteContext,
        name: &OrganisationName,
        patch: OrganisationPatch,
        etag: Option<&str>,
    ) -> Result<Organisation>;
    /// Deletes an organisation; with `force`, with its projects, otherwise one that has any is refused.
    async fn delete_organisation(
        &self,
        context: &WriteContext,
        name: &OrganisationName,
        force: bool,
        etag: Option<&str>,
    ) -> Result<()>;
    /// Makes a user a member.
    async fn add_member(&self, context: &WriteContext, name: &MemberName, role: Role) -> Result<Member>;
    /// Lists members.
    async fn members(&self, organisation: &OrganisationName, page: &Page) -> Result<Vec<Member>>;
    /// Changes a member's role; the last administrator keeps it.
    async fn update_member(
        &self,
        context: &WriteContext,
        name: &MemberName,
        role: Role,
        etag: Option<&str>,
    ) -> Result<Member>;
    /// Removes a member; the last administrator stays.
    async fn remove_member(
        &self,
        context: &WriteContext,
        name: &MemberName,
        etag: Option<&str>,
    ) -> Result<()>;

    // Users and tokens.

    /// Creates a user.
    async fn create_user(&self, context: &WriteContext, user: User) -> Result<User>;
    /// Returns a user.
    async fn user(&self, name: &UserName) -> Result<User>;
    /// Lists users.
    async fn users(&self, page: &Page) -> Result<Vec<User>>;
    /// Creates a token. The flag tells whether an earlier, equal request had made it.
    async fn create_token(
        &self,
        context: &WriteContext,
        token: Token,
        hash: SecretHash,
    ) -> Result<(Token, bool)>;
    /// Lists tokens, expired and revoked ones included.
    async fn tokens(&self, owner: &TokenOwner, page: &Page) -> Result<Vec<Token>>;
    /// Makes a token useless; doing so again changes nothing.
    async fn revoke_token(&self, context: &WriteContext, name: &TokenName) -> Result<Token>;
    /// Returns who presents a secret, if its token is not revoked. It may have expired.
    async fn token_caller(&self, hash: &SecretHash) -> Result<Option<TokenCaller>>;
    /// Creates the first user and its token, if the store has no user; tells whether it did.
    async fn create_first_user(&self, user: User, token: Token, hash: SecretHash) -> Result<bool>;

    // Projects and what is in them.

    /// Creates a project, at revision 1.
    async fn create_project(&self, context: &WriteContext, project: Project) -> Result<Project>;
    /// Returns a project.
    async fn project(&self, name: &ProjectName) -> Result<Project>;
    /// Lists projects.
    async fn projects(&self, organisation: &OrganisationName, page: &Page) -> Result<Vec<Project>>;
    /// Deletes a project with all that is in it; without `force`, one that has environments or features is refused.
    async fn delete_project(
        &self,
        context: &WriteContext,
        name: &ProjectName,
        force: bool,
        etag: Option<&str>,
    ) -> Result<()>;
    /// Applies all mutations or none, as one revision with one change.
    async fn apply(
        &self,
        context: &WriteContext,
        project: &ProjectName,
        mutations: Vec<Mutation>,
    ) -> Result<Applied>;

    /// Returns an environment.
    async fn environment(&self, name: &EnvironmentName) -> Result<Environment>;
    /// Lists environments.
    async fn environments(&self, project: &ProjectName, page: &Page) -> Result<Vec<Environment>>;
    /// Returns a key.
    async fn key(&self, name: &KeyName) -> Result<EnvironmentKey>;
    /// Lists keys, expired and revoked ones included.
    async fn keys(&self, environment: &EnvironmentName, page: &Page) -> Result<Vec<EnvironmentKey>>;
    /// Returns a feature.
    async fn feature(&self, name: &FeatureName) -> Result<Feature>;
    /// Lists features.
    async fn features(&self, project: &ProjectName, page: &Page) -> Result<Vec<Feature>>;
    /// Returns a flag.
    async fn flag(&self, name: &FlagName) -> Result<Flag>;
    /// Lists flags, by feature.
    async fn flags(&self, environment: &EnvironmentName, page: &Page) -> Result<Vec<Flag>>;
    /// Returns an identity override.
    async fn identity_override(&self, name: &IdentityOverrideName) -> Result<IdentityOverride>;
    /// Lists the identity overrides of a flag.
    async fn identity_overrides(&self, flag: &FlagName, page: &Page) -> Result<Vec<IdentityOverride>>;
    /// Returns a segment.
    async fn segment(&self, name: &SegmentName) -> Result<Segment>;
    /// Lists segments.
    async fn segments(&self, project: &ProjectName, page: &Page) -> Result<Vec<Segment>>;

    /// Returns a change.
    async fn change(&self, project: &ProjectName, revision: i64) -> Result<Change>;
    /// Lists changes.
    async fn changes(&self, project: &ProjectName, order: ChangeOrder, limit: usize) -> Result<Vec<Change>>;

    // Identities.

    /// Returns an identity.
    async fn identity(&self, name: &IdentityName) -> Result<Identity>;
    /// Lists identities.
    async fn identities(
        &self,
        environment: &EnvironmentName,
        filter: &IdentityFilter,
        page: &Page,
    ) -> Result<Vec<Identity>>;
    /// Creates an identity if it does not exist, and changes its traits and (if given) its hashing key.
    async fn set_identity(
        &self,
        context: &WriteContext,
        name: &IdentityName,
        changes: TraitChanges,
        hashing_key: Option<String>,
    ) -> Result<Identity>;
    /// Deletes an identity with its traits and its overrides; these are configuration and take a revision.
    async fn delete_identity(&self, context: &WriteContext, name: &IdentityName) -> Result<()>;

    /// Returns a listener to writes, which misses none that commits after this returned.
    async fn wakeups(&self) -> Result<Box<dyn Wakeups>>;
}

/// A project within the store; never used again after it was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectRef(pub i64);

/// An environment within the store; never used again after it was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvironmentRef(pub i64);

/// Says "look again".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wakeup {
    /// A project has a new revision, or is gone.
    Project(ProjectRef),
    /// Anything may have changed: messages were lost.
    Unknown,
}

/// Tells when something was written. A hint: whoever needs to know polls as well.
#[async_trait]
pub trait Wakeups: Send {
    /// Waits for the next hint. An error means that hints are lost until it succeeds again.
    async fn next(&mut self) -> Result<Wakeup>;
}

/// A key that may be presented, as evaluation needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct ActiveKey {
    /// The hash of the secret.
    pub hash: SecretHash,
    /// The resource name of the key.
    pub name: KeyName,
    /// What it may see.
    pub kind: KeyKind,
    /// From when it is refused, if ever.
    pub expires_at: Option<DateTime<Utc>>,
}

/// All of an environment that evaluation needs, at one revision.
#[derive(Clone, Debug)]
pub struct LoadedEnvironment {
    /// The environment.
    pub environment: EnvironmentRef,
    /// Its project.
    pub project: ProjectRef,
    /// Its resource name.
    pub name: EnvironmentName,
    /// The project's revision that all this was read at.
    pub revision: i64,
    /// The newest revision that touched the environment's settings or its organisation's.
    pub settings_revision: i64,
    /// The project's revision that created the environment: nothing can be said of it before.
    pub created_revision: i64,
    /// When it was created: tells apart environments of the same name, number and revision in different databases.
    pub created_at: DateTime<Utc>,
    /// See [`crate::project::Environment::hide_disabled_flags`].
    pub hide_disabled_flags: bool,
    /// See [`crate::project::Environment::allow_client_traits`].
    pub allow_client_traits: bool,
    /// See [`crate::project::Environment::identity_hashing`].
    pub identity_hashing: IdentityHashing,
    /// See [`Organisation::persist_trait_data`].
    pub persist_trait_data: bool,
    /// See [`Organisation::stop_serving_flags`].
    pub stop_serving_flags: bool,
    /// Flags, in order of their features' keys, and all segments of the project in order of creation.
    pub rules: EnvironmentRules,
    /// The keys that are not revoked.
    pub keys: Vec<ActiveKey>,
    /// Features that were deleted, with the revision that did: newest deletion of each key that has no feature now.
    pub deleted_features: Vec<(String, i64)>,
}

/// What the evaluation service reads of configuration: the read half of the store.
#[async_trait]
pub trait FlagFeed: Send + Sync {
    /// Returns the environment that a key's secret opens, unless the key is revoked or unknown.
    async fn environment_of_key(&self, hash: &SecretHash) -> Result<Option<EnvironmentRef>>;
    /// Returns all of an environment at one revision, or `None` if it does not exist (any more).
    async fn load_environment(&self, environment: EnvironmentRef) -> Result<Option<LoadedEnvironment>>;
    /// Returns the newest revisions of those of the projects that exist.
    async fn revisions(&self, projects: &[ProjectRef]) -> Result<Vec<(ProjectRef, i64)>>;
    /// Returns which of the environments were touched by revisions above `after` and up to `through`.
    async fn touched(
        &self,
        project: ProjectRef,
        after: i64,
        through: i64,
        environments: &[EnvironmentRef],
    ) -> Result<Vec<EnvironmentRef>>;
    /// Returns a listener to writes, which misses none that commits after this returned.
    async fn wakeups(&self) -> Result<Box<dyn Wakeups>>;
}

/// A stored identity, as evaluation needs it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredIdentity {
    /// See [`Identity::hashing_key`].
    pub hashing_key: Option<String>,
    /// Traits, ordered by key.
    pub traits: Vec<(String, TraitValue)>,
}

/// One identity to upsert, with changes to its traits.
#[derive(Clone, Debug, PartialEq)]
pub struct IdentityWrite {
    /// The environment.
    pub environment: EnvironmentRef,
    /// Who.
    pub identifier: Identifier,
    /// What to change.
    pub changes: TraitChanges,
    /// When.
    pub now: DateTime<Utc>,
}

/// Identities, as the evaluation service reads and writes them.
#[async_trait]
pub trait IdentityStore: Send + Sync {
    /// Returns the stored identities in the order asked for, `None` for those not stored.
    async fn stored_identities(
        &self,
        environment: EnvironmentRef,
        identifiers: &[Identifier],
    ) -> Result<Vec<Option<StoredIdentity>>>;
    /// Makes all the writes durable, or none; several of one identity apply in their order. Answers for each: the
    /// identity as stored then, or the limit (`traits_per_identity`) that it would pass, or that its environment is
    /// gone; those are left out.
    async fn identify(&self, writes: &[IdentityWrite]) -> Result<Vec<Result<StoredIdentity>>>;
}
