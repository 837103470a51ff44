//! One store, over either database.

use async_trait::async_trait;
use burgee_core::Result;
use burgee_core::access::{EnvironmentKey, SecretHash, Token};
use burgee_core::change::{Applied, Change, Mutation, WriteContext};
use burgee_core::feature::Feature;
use burgee_core::flag::{Flag, IdentityOverride};
use burgee_core::identity::{Identity, TraitChanges};
use burgee_core::name::{
    EnvironmentName, FeatureName, FlagName, Identifier, IdentityName, IdentityOverrideName, KeyName,
    MemberName, OrganisationName, ProjectName, SegmentName, TokenName, TokenOwner, UserName,
};
use burgee_core::organisation::{Member, Organisation, OrganisationPatch, Role, User};
use burgee_core::project::{Environment, Project};
use burgee_core::segment::Segment;
use burgee_core::store::{
    ChangeOrder, EnvironmentRef, FlagFeed, FlagStore, IdentityFilter, IdentityStore, IdentityWrite,
    LoadedEnvironment, Page, ProjectRef, StoredIdentity, TokenCaller, Wakeups,
};
use std::sync::Arc;

use crate::error::OpenError;
use crate::options::StoreOptions;
use crate::{postgres, sqlite};

/// A database that holds everything: configuration, identities, accounts. Clones share its connections.
#[derive(Clone)]
pub struct Store {
    database: Database,
}

#[derive(Clone)]
enum Database {
    Postgres(Arc<postgres::Backend>),
    Sqlite(Arc<sqlite::Backend>),
}

/// Does the same with whichever database it is.
macro_rules! on {
    ($store:ident, $database:ident => $done:expr) => {
        match &$store.database {
            Database::Postgres($database) => $done,
            Database::Sqlite($database) => $done,
        }
    };
}

impl Store {
    /// Opens `postgres://…`, `postgresql://…` or `sqlite:PATH`. Connects when it is used for the first time; must be
    /// called within a Tokio runtime.
    pub fn open(url: &str, options: &StoreOptions) -> Result<Self, OpenError> {
        let database = if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Database::Postgres(Arc::new(postgres::open(url, options)?))
        } else if url.starts_with("sqlite:") {
            Database::Sqlite(Arc::new(sqlite::open(url, options)?))
        } else {
            return Err(OpenError::UnknownDatabase);
        };
        Ok(Self { database })
    }

    /// Brings the tables up to date. Those of a newer version of this program are refused.
    pub async fn migrate(&self) -> Result<(), OpenError> {
        on!(self, database => database.migrate().await)
    }

    /// Returns the number of the newest migration that was applied; 0 if none was.
    pub async fn schema_version(&self) -> Result<i64, OpenError> {
        on!(self, database => database.schema_version().await)
    }

    /// Checks that the tables are those that this program knows: a server calls it before it serves.
    pub async fn check_schema(&self) -> Result<(), OpenError> {
        on!(self, database => database.check_schema().await)
    }

    /// Closes all connections, after what they are doing.
    pub async fn close(&self) {
        on!(self, database => database.close().await);
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self.database {
            Database::Postgres(_) => "Store(PostgreSQL)",
            Database::Sqlite(_) => "Store(SQLite)",
        })
    }
}

#[async_trait]
impl FlagStore for Store {
    async fn create_organisation(
        &self,
        context: &WriteContext,
        organisation: Organisation,
    ) -> Result<Organisation> {
        on!(self, database => database.create_organisation(context, organisation).await)
    }

    async fn organisation(&self, name: &OrganisationName) -> Result<Organisation> {
        on!(self, database => database.organisation(name).await)
    }

    async fn organisations(&self, page: &Page) -> Result<Vec<Organisation>> {
        on!(self, database => database.organisations(page).await)
    }

    async fn update_organisation(
        &self,
        context: &WriteContext,
        name: &OrganisationName,
        patch: OrganisationPatch,
        etag: Option<&str>,
    ) -> Result<Organisation> {
        on!(self, database => database.update_organisation(context, name, patch, etag).await)
    }

    async fn delete_organisation(
        &self,
        context: &WriteContext,
        name: &OrganisationName,
        force: bool,
        etag: Option<&str>,
    ) -> Result<()> {
        on!(self, database => database.delete_organisation(context, name, force, etag).await)
    }

    async fn add_member(&self, context: &WriteContext, name: &MemberName, role: Role) -> Result<Member> {
        on!(self, database => database.add_member(context, name, role).await)
    }

    async fn members(&self, organisation: &OrganisationName, page: &Page) -> Result<Vec<Member>> {
        on!(self, database => database.members(organisation, page).await)
    }

    async fn update_member(
        &self,
        context: &WriteContext,
        name: &MemberName,
        role: Role,
        etag: Option<&str>,
    ) -> Result<Member> {
        on!(self, database => database.update_member(context, name, role, etag).await)
    }

    async fn remove_member(
        &self,
        context: &WriteContext,
        name: &MemberName,
        etag: Option<&str>,
    ) -> Result<()> {
        on!(self, database => database.remove_member(context, name, etag).await)
    }

    async fn create_user(&self, context: &WriteContext, user: User) -> Result<User> {
        on!(self, database => database.create_user(context, user).await)
    }

    async fn user(&self, name: &UserName) -> Result<User> {
        on!(self, database => database.user(name).await)
    }

    async fn users(&self, page: &Page) -> Result<Vec<User>> {
        on!(self, database => database.users(page).await)
    }

    async fn create_token(
        &self,
        context: &WriteContext,
        token: Token,
        hash: SecretHash,
    ) -> Result<(Token, bool)> {
        on!(self, database => database.create_token(context, token, hash).await)
    }

    async fn tokens(&self, owner: &TokenOwner, page: &Page) -> Result<Vec<Token>> {
        on!(self, database => database.tokens(owner, page).await)
    }

    async fn revoke_token(&self, context: &WriteContext, name: &TokenName) -> Result<Token> {
        on!(self, database => database.revoke_token(context, name).await)
    }

    async fn token_caller(&self, hash: &SecretHash) -> Result<Option<TokenCaller>> {
        on!(self, database => database.token_caller(hash).await)
    }

    async fn create_first_user(&self, user: User, token: Token, hash: SecretHash) -> Result<bool> {
        on!(self, database => database.create_first_user(user, token, hash).await)
    }

    async fn create_project(&self, context: &WriteContext, project: Project) -> Result<Project> {
        on!(self, database => database.create_project(context, project).await)
    }

    async fn project(&self, name: &ProjectName) -> Result<Project> {
        on!(self, database => database.project(name).await)
    }

    async fn projects(&self, organisation: &OrganisationName, page: &Page) -> Result<Vec<Project>> {
        on!(self, database => database.projects(organisation, page).await)
    }

    async fn delete_project(
        &self,
        context: &WriteContext,
        name: &ProjectName,
        force: bool,
        etag: Option<&str>,
    ) -> Result<()> {
        on!(self, database => database.delete_project(context, name, force, etag).await)
    }

    async fn apply(
        &self,
        context: &WriteContext,
        project: &ProjectName,
        mutations: Vec<Mutation>,
    ) -> Result<Applied> {
        on!(self, database => database.apply(context, project, mutations).await)
    }

    async fn environment(&self, name: &EnvironmentName) -> Result<Environment> {
        on!(self, database => database.environment(name).await)
    }

    async fn environments(&self, project: &ProjectName, page: &Page) -> Result<Vec<Environment>> {
        on!(self, database => database.environments(project, page).await)
    }

    async fn key(&self, name: &KeyName) -> Result<EnvironmentKey> {
        on!(self, database => database.key(name).await)
    }

    async fn keys(&self, environment: &EnvironmentName, page: &Page) -> Result<Vec<EnvironmentKey>> {
        on!(self, database => database.keys(environment, page).await)
    }

    async fn feature(&self, name: &FeatureName) -> Result<Feature> {
        on!(self, database => database.feature(name).await)
    }

    async fn features(&self, project: &ProjectName, page: &Page) -> Result<Vec<Feature>> {
        on!(self, database => database.features(project, page).await)
    }

    async fn flag(&self, name: &FlagName) -> Result<Flag> {
        on!(self, database => database.flag(name).await)
    }

    async fn flags(&self, environment: &EnvironmentName, page: &Page) -> Result<Vec<Flag>> {
        on!(self, database => database.flags(environment, page).await)
    }

    async fn identity_override(&self, name: &IdentityOverrideName) -> Result<IdentityOverride> {
        on!(self, database => database.identity_override(name).await)
    }

    async fn identity_overrides(&self, flag: &FlagName, page: &Page) -> Result<Vec<IdentityOverride>> {
        on!(self, database => database.identity_overrides(flag, page).await)
    }

    async fn segment(&self, name: &SegmentName) -> Result<Segment> {
        on!(self, database => database.segment(name).await)
    }

    async fn segments(&self, project: &ProjectName, page: &Page) -> Result<Vec<Segment>> {
        on!(self, database => database.segments(project, page).await)
    }

    async fn change(&self, project: &ProjectName, revision: i64) -> Result<Change> {
        on!(self, database => database.change(project, revision).await)
    }

    async fn changes(&self, project: &ProjectName, order: ChangeOrder, limit: usize) -> Result<Vec<Change>> {
        on!(self, database => database.changes(project, order, limit).await)
    }

    async fn identity(&self, name: &IdentityName) -> Result<Identity> {
        on!(self, database => database.identity(name).await)
    }

    async fn identities(
        &self,
        environment: &EnvironmentName,
        filter: &IdentityFilter,
        page: &Page,
    ) -> Result<Vec<Identity>> {
        on!(self, database => database.identities(environment, filter, page).await)
    }

    async fn set_identity(
        &self,
        context: &WriteContext,
        name: &IdentityName,
        changes: TraitChanges,
        hashing_key: Option<String>,
    ) -> Result<Identity> {
        on!(self, database => database.set_identity(context, name, changes, hashing_key).await)
    }

    async fn delete_identity(&self, context: &WriteContext, name: &IdentityName) -> Result<()> {
        on!(self, database => database.delete_identity(context, name).await)
    }

    async fn wakeups(&self) -> Result<Box<dyn Wakeups>> {
        on!(self, database => database.wakeups().await)
    }
}

#[async_trait]
impl FlagFeed for Store {
    async fn environment_of_key(&self, hash: &SecretHash) -> Result<Option<EnvironmentRef>> {
        on!(self, database => database.environment_of_key(hash).await)
    }

    async fn load_environment(&self, environment: EnvironmentRef) -> Result<Option<LoadedEnvironment>> {
        on!(self, database => database.load_environment(environment).await)
    }

    async fn revisions(&self, projects: &[ProjectRef]) -> Result<Vec<(ProjectRef, i64)>> {
        on!(self, database => database.revisions(projects).await)
    }

    async fn touched(
        &self,
        project: ProjectRef,
        after: i64,
        through: i64,
        environments: &[EnvironmentRef],
    ) -> Result<Vec<EnvironmentRef>> {
        on!(self, database => database.touched(project, after, through, environments).await)
    }

    async fn wakeups(&self) -> Result<Box<dyn Wakeups>> {
        on!(self, database => database.wakeups().await)
    }
}

#[async_trait]
impl IdentityStore for Store {
    async fn stored_identities(
        &self,
        environment: EnvironmentRef,
        identifiers: &[Identifier],
    ) -> Result<Vec<Option<StoredIdentity>>> {
        on!(self, database => database.stored_identities(environment, identifiers).await)
    }

    async fn identify(&self, writes: &[IdentityWrite]) -> Result<Vec<Result<StoredIdentity>>> {
        on!(self, database => database.identify(writes).await)
    }
}
