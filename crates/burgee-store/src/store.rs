//! One store, over either database.

use std::sync::Arc;

use async_trait::async_trait;
use burgee_core::Result;
use burgee_core::access::{
    EnvironmentKey, ExchangedToken, SecretHash, StoredCredential, StoredSecret, Token, TokenRef,
};
use burgee_core::account::{AccountApplied, AccountMutation, SignIn};
use burgee_core::change::{Applied, Change, Mutation, WriteContext};
use burgee_core::feature::Feature;
use burgee_core::flag::{Flag, IdentityOverride};
use burgee_core::grant::{Grant, Grantee, PermissionRole, Principal, Rights};
use burgee_core::identity::{Identity, TraitChanges};
use burgee_core::name::{
    EnvironmentName, FeatureName, FlagName, GrantName, GroupName, Identifier, IdentityName,
    IdentityOverrideName, InvitationName, KeyName, LogName, OrganisationName, ProjectName, RoleName,
    SegmentName, TokenOwner, TrustRelationshipName, UserName,
};
use burgee_core::organisation::{Group, GroupMember, Invitation, Member, Organisation, User};
use burgee_core::project::{Environment, Project};
use burgee_core::segment::Segment;
use burgee_core::store::{
    ChangeOrder, EnvironmentDelta, EnvironmentRef, FlagFeed, FlagStore, GrantFilter, IdentityFilter,
    IdentityListener, IdentityStore, IdentityWrite, LoadedEnvironment, LogState, Page, ProjectRef,
    StoredIdentity, Wakeups,
};
use burgee_core::trust::TrustRelationship;
use chrono::{DateTime, Utc};

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
    async fn apply_account(
        &self,
        context: &WriteContext,
        mutation: AccountMutation,
    ) -> Result<AccountApplied> {
        on!(self, database => database.apply_account(context, mutation).await)
    }

    async fn organisation(&self, name: &OrganisationName) -> Result<Organisation> {
        on!(self, database => database.organisation(name).await)
    }

    async fn organisations(&self, of: Option<&Principal>, page: &Page) -> Result<Vec<Organisation>> {
        on!(self, database => database.organisations(of, page).await)
    }

    async fn members(&self, organisation: &OrganisationName, page: &Page) -> Result<Vec<Member>> {
        on!(self, database => database.members(organisation, page).await)
    }

    async fn user(&self, name: &UserName) -> Result<User> {
        on!(self, database => database.user(name).await)
    }

    async fn users(&self, page: &Page) -> Result<Vec<User>> {
        on!(self, database => database.users(page).await)
    }

    async fn are_colleagues(&self, one: &UserName, other: &UserName) -> Result<bool> {
        on!(self, database => database.are_colleagues(one, other).await)
    }

    async fn tokens(&self, owner: &TokenOwner, page: &Page) -> Result<Vec<Token>> {
        on!(self, database => database.tokens(owner, page).await)
    }

    async fn group(&self, name: &GroupName) -> Result<Group> {
        on!(self, database => database.group(name).await)
    }

    async fn groups(&self, organisation: &OrganisationName, page: &Page) -> Result<Vec<Group>> {
        on!(self, database => database.groups(organisation, page).await)
    }

    async fn group_members(&self, group: &GroupName, page: &Page) -> Result<Vec<GroupMember>> {
        on!(self, database => database.group_members(group, page).await)
    }

    async fn invitation(&self, name: &InvitationName) -> Result<Invitation> {
        on!(self, database => database.invitation(name).await)
    }

    async fn invitations(&self, organisation: &OrganisationName, page: &Page) -> Result<Vec<Invitation>> {
        on!(self, database => database.invitations(organisation, page).await)
    }

    async fn invitation_by_secret(&self, lookup: &str) -> Result<Option<(Invitation, StoredSecret)>> {
        on!(self, database => database.invitation_by_secret(lookup).await)
    }

    async fn role(&self, name: &RoleName) -> Result<PermissionRole> {
        on!(self, database => database.role(name).await)
    }

    async fn roles(&self, organisation: &OrganisationName, page: &Page) -> Result<Vec<PermissionRole>> {
        on!(self, database => database.roles(organisation, page).await)
    }

    async fn grant(&self, name: &GrantName) -> Result<Grant> {
        on!(self, database => database.grant(name).await)
    }

    async fn grants(
        &self,
        organisation: &OrganisationName,
        filter: &GrantFilter,
        page: &Page,
    ) -> Result<Vec<Grant>> {
        on!(self, database => database.grants(organisation, filter, page).await)
    }

    async fn trust_relationship(&self, name: &TrustRelationshipName) -> Result<TrustRelationship> {
        on!(self, database => database.trust_relationship(name).await)
    }

    async fn trust_relationships(
        &self,
        organisation: &OrganisationName,
        page: &Page,
    ) -> Result<Vec<TrustRelationship>> {
        on!(self, database => database.trust_relationships(organisation, page).await)
    }

    async fn credential(&self, lookup: &str) -> Result<Option<StoredCredential>> {
        on!(self, database => database.credential(lookup).await)
    }

    async fn rights(
        &self,
        grantee: &Grantee,
        claimed_groups: &[String],
        organisation: &OrganisationName,
    ) -> Result<Rights> {
        on!(self, database => database.rights(grantee, claimed_groups, organisation).await)
    }

    async fn sign_in(&self, sign_in: &SignIn) -> Result<Option<User>> {
        on!(self, database => database.sign_in(sign_in).await)
    }

    async fn exchange(&self, name: &TrustRelationshipName, etag: &str, token: ExchangedToken) -> Result<()> {
        on!(self, database => database.exchange(name, etag, token).await)
    }

    async fn note_uses(&self, uses: &[(TokenRef, DateTime<Utc>)]) -> Result<()> {
        on!(self, database => database.note_uses(uses).await)
    }

    async fn create_first_user(&self, user: User, token: Token, secret: StoredSecret) -> Result<bool> {
        on!(self, database => database.create_first_user(user, token, secret).await)
    }

    async fn create_project(
        &self,
        context: &WriteContext,
        project: Project,
        creator: Option<Grantee>,
    ) -> Result<Project> {
        on!(self, database => database.create_project(context, project, creator).await)
    }

    async fn project(&self, name: &ProjectName) -> Result<Project> {
        on!(self, database => database.project(name).await)
    }

    async fn projects(&self, organisation: &OrganisationName, page: &Page) -> Result<Vec<Project>> {
        on!(self, database => database.projects(organisation, page).await)
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

    async fn log(&self, log: &LogName) -> Result<LogState> {
        on!(self, database => database.log(log).await)
    }

    async fn change(&self, log: &LogName, revision: i64) -> Result<Change> {
        on!(self, database => database.change(log, revision).await)
    }

    async fn changes(&self, log: &LogName, order: ChangeOrder, limit: usize) -> Result<Vec<Change>> {
        on!(self, database => database.changes(log, order, limit).await)
    }

    async fn trim_changes(&self, before: DateTime<Utc>, limit: usize) -> Result<u64> {
        on!(self, database => database.trim_changes(before, limit).await)
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
    ) -> Result<(Identity, i64)> {
        on!(self, database => database.set_identity(context, name, changes, hashing_key).await)
    }

    async fn delete_identity(&self, context: &WriteContext, name: &IdentityName) -> Result<i64> {
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

    async fn load_environment_since(
        &self,
        environment: EnvironmentRef,
        revision: i64,
        changed_at: DateTime<Utc>,
    ) -> Result<Option<EnvironmentDelta>> {
        on!(self, database => database.load_environment_since(environment, revision, changed_at).await)
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

    async fn identify(&self, writes: &[IdentityWrite], batch: u64) -> Result<Vec<Result<StoredIdentity>>> {
        on!(self, database => database.identify(writes, batch).await)
    }

    async fn identity_listener(&self) -> Result<Option<Box<dyn IdentityListener>>> {
        on!(self, database => database.identity_listener().await)
    }
}
