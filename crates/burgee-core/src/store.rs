//! What the services ask of a database. Both databases pass one conformance suite.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::Result;
use crate::access::{
    EnvironmentKey, ExchangedToken, KeyKind, KeyScope, SecretHash, StoredCredential, StoredSecret, Token,
    TokenRef,
};
use crate::account::{AccountApplied, AccountMutation, SignIn};
use crate::change::{Applied, Change, Mutation, WriteContext};
use crate::engine::{EnvironmentRules, FeatureRules, SegmentRules};
use crate::feature::Feature;
use crate::flag::{Flag, IdentityOverride};
use crate::grant::{Grant, Grantee, PermissionRole, Principal, Rights};
use crate::identity::{Identity, TraitChanges};
use crate::name::{
    EnvironmentName, FeatureName, FlagName, GrantName, GroupName, Identifier, IdentityName,
    IdentityOverrideName, InvitationName, KeyName, LogName, OrganisationName, ProjectName, RoleName,
    SegmentName, TokenOwner, TrustRelationshipName, UserName,
};
use crate::organisation::{Group, GroupMember, Invitation, Member, Organisation, User};
use crate::permission::Place;
use crate::project::{Environment, IdentityHashing, Project};
use crate::segment::Segment;
use crate::trust::TrustRelationship;
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

/// What a list of grants is narrowed to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantFilter {
    /// Those on this very place.
    pub place: Option<Place>,
    /// Those to this very grantee.
    pub grantee: Option<Grantee>,
}

/// What a log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogState {
    /// The oldest revision that is kept; 1 more than the newest if none is.
    pub oldest: i64,
    /// The newest revision; 0 if there is none.
    pub newest: i64,
    /// When what the log is of was created: tells apart those of the same name.
    pub created_at: DateTime<Utc>,
    /// What is heard when the log is written.
    pub wakeup: Wakeup,
}

/// Everything that the management service asks of the store. Every method is one transaction.
#[async_trait]
pub trait FlagStore: Send + Sync {
    // Accounts, and who may do what.

    /// Does a write outside of projects, as one revision of a log with one change.
    async fn apply_account(
        &self,
        context: &WriteContext,
        mutation: AccountMutation,
    ) -> Result<AccountApplied>;

    /// Returns an organisation.
    async fn organisation(&self, name: &OrganisationName) -> Result<Organisation>;
    /// Lists organisations: all, or those that somebody belongs to.
    async fn organisations(&self, of: Option<&Principal>, page: &Page) -> Result<Vec<Organisation>>;
    /// Lists members.
    async fn members(&self, organisation: &OrganisationName, page: &Page) -> Result<Vec<Member>>;
    /// Returns a user.
    async fn user(&self, name: &UserName) -> Result<User>;
    /// Lists users.
    async fn users(&self, page: &Page) -> Result<Vec<User>>;
    /// Says whether two users are members of one organisation.
    async fn are_colleagues(&self, one: &UserName, other: &UserName) -> Result<bool>;
    /// Lists tokens, expired and revoked ones included.
    async fn tokens(&self, owner: &TokenOwner, page: &Page) -> Result<Vec<Token>>;
    /// Returns a group.
    async fn group(&self, name: &GroupName) -> Result<Group>;
    /// Lists groups.
    async fn groups(&self, organisation: &OrganisationName, page: &Page) -> Result<Vec<Group>>;
    /// Lists the members of a group.
    async fn group_members(&self, group: &GroupName, page: &Page) -> Result<Vec<GroupMember>>;
    /// Returns an invitation.
    async fn invitation(&self, name: &InvitationName) -> Result<Invitation>;
    /// Lists invitations, accepted and expired ones included.
    async fn invitations(&self, organisation: &OrganisationName, page: &Page) -> Result<Vec<Invitation>>;
    /// Returns the invitation whose secret is looked up by this; it may be accepted or expired.
    async fn invitation_by_secret(&self, lookup: &str) -> Result<Option<(Invitation, StoredSecret)>>;
    /// Returns a role.
    async fn role(&self, name: &RoleName) -> Result<PermissionRole>;
    /// Lists roles.
    async fn roles(&self, organisation: &OrganisationName, page: &Page) -> Result<Vec<PermissionRole>>;
    /// Returns a grant.
    async fn grant(&self, name: &GrantName) -> Result<Grant>;
    /// Lists grants.
    async fn grants(
        &self,
        organisation: &OrganisationName,
        filter: &GrantFilter,
        page: &Page,
    ) -> Result<Vec<Grant>>;
    /// Returns a trust relationship.
    async fn trust_relationship(&self, name: &TrustRelationshipName) -> Result<TrustRelationship>;
    /// Lists trust relationships.
    async fn trust_relationships(
        &self,
        organisation: &OrganisationName,
        page: &Page,
    ) -> Result<Vec<TrustRelationship>>;

    /// Returns the credential that is looked up by this, unless it is revoked. It may have expired.
    async fn credential(&self, lookup: &str) -> Result<Option<StoredCredential>>;
    /// Returns what somebody may do in an organisation; nothing, if it does not exist or they do not belong to it. Members
    /// count as in the groups whose external ids are in `claimed_groups`, too. Not whether they administer the server.
    async fn rights(
        &self,
        grantee: &Grantee,
        claimed_groups: &[String],
        organisation: &OrganisationName,
    ) -> Result<Rights>;
    /// Returns who signs in, after creating or linking the account where that is asked for; `None` if nobody is known by
    /// the subject or the address, and none is to be created. An address that is not known to be its user's is
    /// refused with [`crate::Error::Precondition`], reason `ACCOUNT_EXISTS`.
    async fn sign_in(&self, sign_in: &SignIn) -> Result<Option<User>>;
    /// Notes a token that a trust relationship gives, unless the relationship is not any more what its etag says.
    async fn exchange(&self, name: &TrustRelationshipName, etag: &str, token: ExchangedToken) -> Result<()>;
    /// Notes when tokens were last used; never sets a time back.
    async fn note_uses(&self, uses: &[(TokenRef, DateTime<Utc>)]) -> Result<()>;
    /// Creates the first user and its token, if the store has no user; tells whether it did.
    async fn create_first_user(&self, user: User, token: Token, secret: StoredSecret) -> Result<bool>;

    // Projects and what is in them.

    /// Creates a project, at revision 1; `creator` becomes its administrator by a grant, which is recorded in the log of the
    /// organisation.
    async fn create_project(
        &self,
        context: &WriteContext,
        project: Project,
        creator: Option<Grantee>,
    ) -> Result<Project>;
    /// Returns a project.
    async fn project(&self, name: &ProjectName) -> Result<Project>;
    /// Lists projects.
    async fn projects(&self, organisation: &OrganisationName, page: &Page) -> Result<Vec<Project>>;
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

    /// Returns the state of a log.
    async fn log(&self, log: &LogName) -> Result<LogState>;
    /// Returns a change.
    async fn change(&self, log: &LogName, revision: i64) -> Result<Change>;
    /// Lists changes: at most so many, and no more than [`CHANGES_READ_BYTES`](crate::limits::CHANGES_READ_BYTES) of them, but for
    /// the first. Empty only where the log ends.
    async fn changes(&self, log: &LogName, order: ChangeOrder, limit: usize) -> Result<Vec<Change>>;
    /// Forgets changes that were written before a time, at most so many of each log; the newest of a log stays. Tells how many
    /// were forgotten.
    async fn trim_changes(&self, before: DateTime<Utc>, limit: usize) -> Result<u64>;

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
    /// Creates an identity if it does not exist, and changes its traits and (if given) its hashing key. Returns the project's
    /// revision, too.
    async fn set_identity(
        &self,
        context: &WriteContext,
        name: &IdentityName,
        changes: TraitChanges,
        hashing_key: Option<String>,
    ) -> Result<(Identity, i64)>;
    /// Deletes an identity with its traits and its overrides. Returns the project's revision.
    async fn delete_identity(&self, context: &WriteContext, name: &IdentityName) -> Result<i64>;

    /// Returns a listener to writes, which misses none that commits after this returned.
    async fn wakeups(&self) -> Result<Box<dyn Wakeups>>;
}

/// A project within the store; never used again after it was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProjectRef(pub i64);

/// An environment within the store; never used again after it was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EnvironmentRef(pub i64);

/// The log of an organisation or the server within the store; never used again after the organisation was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogRef(pub i64);

/// Says "look again".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wakeup {
    /// A project has a new revision, or is gone.
    Project(ProjectRef),
    /// The server or an organisation has a new revision, or is gone.
    Account(LogRef),
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActiveKey {
    /// The hash of the secret.
    pub hash: SecretHash,
    /// The resource name of the key.
    pub name: KeyName,
    /// What it may see.
    pub kind: KeyKind,
    /// What it may be used for.
    pub scopes: Vec<KeyScope>,
    /// It sees only features that have one of these tags; empty: all features.
    pub tags: Vec<String>,
    /// From when it is refused, if ever.
    pub expires_at: Option<DateTime<Utc>>,
}

/// All of an environment that evaluation needs, at one revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadedEnvironment {
    /// The environment.
    pub environment: EnvironmentRef,
    /// Its project.
    pub project: ProjectRef,
    /// Its resource name.
    pub name: EnvironmentName,
    /// The project's revision that all this was read at.
    pub revision: i64,
    /// When that revision was written, if the log still has it: tells histories apart of a database that was set back.
    pub changed_at: Option<DateTime<Utc>>,
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
    /// Features that were deleted, with the revision that did: newest deletion of each key that has no feature now. In order of
    /// the keys.
    pub deleted_features: Vec<(String, i64)>,
}

/// What happened to an environment after the revision at which it was loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct EnvironmentDelta {
    /// The environment as it is now, but of its flags only those that were touched since, and no segments.
    pub now: LoadedEnvironment,
    /// All segments of the project, in order of creation.
    pub segments: Vec<SegmentDelta>,
}

/// A segment, and its rules if they were touched since.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentDelta {
    /// The id in the segment's resource name.
    pub id: String,
    /// The newest revision that touched it.
    pub revision: i64,
    /// What it says now; `None`: what it said before.
    pub rules: Option<SegmentRules>,
}

impl LoadedEnvironment {
    /// Returns the environment as it was loaded and then changed; `None` if the delta does not build on it.
    #[must_use]
    pub fn advance(self, delta: EnvironmentDelta) -> Option<Self> {
        let EnvironmentDelta { mut now, segments } = delta;
        let mut places = vec![None; self.rules.segments.len()];
        let mut former: HashMap<String, (usize, SegmentRules)> = HashMap::new();
        for (place, segment) in self.rules.segments.into_iter().enumerate() {
            former.insert(segment.id.clone(), (place, segment));
        }
        let mut revisions = Vec::with_capacity(segments.len());
        for SegmentDelta { id, revision, rules } in segments {
            let former = former.remove(&id);
            if let Some((place, _)) = &former {
                places[*place] = Some(revisions.len());
            }
            revisions.push(revision);
            now.rules.segments.push(rules.or(former.map(|(_, segment)| segment))?);
        }
        let is_gone =
            |key: &str| now.deleted_features.binary_search_by(|(gone, _)| (**gone).cmp(key)).is_ok();
        let mut features: BTreeMap<String, FeatureRules> = BTreeMap::new();
        for mut feature in self.rules.features.into_iter().filter(|feature| !is_gone(&feature.key)) {
            // Whoever deletes a segment touches the flags that had an override for it.
            feature.segment_overrides.retain_mut(|entry| {
                let Some(place) = places.get(entry.segment).copied().flatten() else { return false };
                feature.revision = feature.revision.max(revisions[place]);
                entry.segment = place;
                true
            });
            features.insert(feature.key.clone(), feature);
        }
        features.extend(now.rules.features.into_iter().map(|feature| (feature.key.clone(), feature)));
        now.rules.features = features.into_values().collect();
        Some(now)
    }
}

/// What the evaluation service reads of configuration: the read half of the store.
#[async_trait]
pub trait FlagFeed: Send + Sync {
    /// Returns the environment that a key's secret opens, unless the key is revoked or unknown.
    async fn environment_of_key(&self, hash: &SecretHash) -> Result<Option<EnvironmentRef>>;
    /// Returns all of an environment at one revision, or `None` if it does not exist (any more).
    async fn load_environment(&self, environment: EnvironmentRef) -> Result<Option<LoadedEnvironment>>;
    /// Returns what happened to an environment after the revision at which it was loaded. `None` if the whole must be loaded:
    /// it does not exist (any more), or the log does not tell that the revision was this one.
    async fn load_environment_since(
        &self,
        _environment: EnvironmentRef,
        _revision: i64,
        _changed_at: DateTime<Utc>,
    ) -> Result<Option<EnvironmentDelta>> {
        Ok(None)
    }
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

/// How news name an identity within its environment: 64 bits of the SHA-256 of its identifier. Two identities may share
/// one; news of either then concern both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdentityMark(pub u64);

impl IdentityMark {
    /// Returns the mark of an identity.
    pub fn of(identifier: &Identifier) -> Self {
        let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = Sha256::digest(identifier.as_str().as_bytes()).into();
        Self(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }
}

/// The number of no batch: what people write by the management API.
pub const NO_BATCH: u64 = 0;

/// What is told of writes of identities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityNews {
    /// Identities of an environment were created, changed or deleted.
    Written {
        /// The environment.
        environment: EnvironmentRef,
        /// Which ones.
        marks: Vec<IdentityMark>,
        /// The number that [`IdentityStore::identify`] was given, or [`NO_BATCH`].
        batch: u64,
    },
    /// An environment was deleted with all its identities.
    Gone(EnvironmentRef),
    /// The answer to [`IdentityListener::beat`] with this number.
    Beat(u64),
    /// Any identity may have been written.
    Unknown,
}

/// Listens to writes of identities, in the order of their commits. What is told can be read.
#[async_trait]
pub trait IdentityListener: Send {
    /// Waits for the next news; may be dropped half-way. After an error, news are lost and the listener is of no more use.
    async fn next(&mut self) -> Result<IdentityNews>;
    /// Has the database send a beat to this listener alone. When it arrives, everything that was committed before this
    /// was called has been told. After an error, the listener is of no more use.
    async fn beat(&mut self, number: u64) -> Result<()>;
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
    /// Makes writes durable, each as a whole; several of one identity apply in their order. Answers for each: the
    /// identity as stored then, or the limit (`traits_per_identity`) that it would pass, or that its environment is
    /// gone; those are left out. Listeners are told of those that were written, with the number of the batch, before
    /// this returns. An error leaves open which of them were written; repeating them does no harm.
    async fn identify(&self, writes: &[IdentityWrite], batch: u64) -> Result<Vec<Result<StoredIdentity>>>;
    /// Returns a listener to writes of identities, which misses none that commits after this returned; `None` if the
    /// database tells nobody.
    async fn identity_listener(&self) -> Result<Option<Box<dyn IdentityListener>>> {
        Ok(None)
    }
}
