//! The change logs: one entry per write. A project's is the audit log of its configuration, the feed of the evaluation service and the
//! source of history; an organisation's and the server's tell who may do what.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::access::EnvironmentKey;
use crate::access::SecretHash;
use crate::feature::{Feature, FeaturePatch, Variant};
use crate::flag::{Flag, FlagState, FlagStatePatch, IdentityOverride};
use crate::grant::Grantee;
use crate::name::{
    EnvironmentId, FeatureKey, FlagName, IdentityOverrideName, KeyId, LogName, SegmentId,
    SegmentOverrideName, VariantKey,
};
use crate::project::{Environment, EnvironmentPatch, Project, ProjectPatch};
use crate::segment::{Segment, SegmentPatch};

/// Who writes, how, and whether for real.
#[derive(Clone, Debug)]
pub struct WriteContext {
    /// The name of who acts: a user, a token of an organisation, a trust relationship, or `system`.
    pub actor: String,
    /// What the actor presented: the name of a token or a trust relationship, or an issuer.
    pub credential: String,
    /// On whose behalf: the subject that an issuer named.
    pub on_behalf_of: String,
    /// The network address of the caller.
    pub address: String,
    /// The gRPC method, such as `FlagService/UpdateFlag`.
    pub method: String,
    /// The caller's id of the request: the same id twice is one change.
    pub request_id: Option<String>,
    /// Tells apart different requests that claim one id: SHA-256 of the request.
    pub request_digest: [u8; 32],
    /// Why, in the caller's words.
    pub reason: String,
    /// Check everything and answer as if done, but change nothing.
    pub validate_only: bool,
    /// The time of the write.
    pub now: DateTime<Utc>,
}

/// One change to the configuration of a project. All that a request asks for are applied together or not at all.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "a handful exist at a time")]
pub enum Mutation {
    /// Changes the project itself.
    UpdateProject {
        /// What to change.
        patch: ProjectPatch,
        /// Must be the current one, if given.
        etag: Option<String>,
    },
    /// Creates an environment, with a flag for every feature.
    CreateEnvironment {
        /// Its etag is not looked at.
        environment: Environment,
        /// Who becomes its administrator, by a grant.
        creator: Option<Grantee>,
    },
    /// Creates an environment with the flags and segment overrides of another; never identities or keys.
    CloneEnvironment {
        /// The one to copy.
        source: EnvironmentId,
        /// The new one; its etag is not looked at.
        environment: Environment,
        /// Who becomes its administrator, by a grant.
        creator: Option<Grantee>,
    },
    /// Changes an environment.
    UpdateEnvironment {
        /// Which.
        environment: EnvironmentId,
        /// What to change.
        patch: EnvironmentPatch,
        /// Must be the current one, if given.
        etag: Option<String>,
    },
    /// Deletes an environment with all that is in it.
    DeleteEnvironment {
        /// Which.
        environment: EnvironmentId,
        /// Must be the current one, if given.
        etag: Option<String>,
    },
    /// Creates a key.
    CreateKey {
        /// The key; its etag is not looked at.
        key: EnvironmentKey,
        /// The hash of its secret.
        hash: SecretHash,
    },
    /// Gives a key a new secret.
    RotateKey {
        /// The environment.
        environment: EnvironmentId,
        /// Which.
        key: KeyId,
        /// The hash of the new secret.
        hash: SecretHash,
        /// The first characters of the new secret.
        hint: String,
        /// From when the new secret is refused, if ever.
        expires_at: Option<DateTime<Utc>>,
        /// Until when the former secret is accepted.
        former_expires_at: DateTime<Utc>,
        /// Must be the current one, if given.
        etag: Option<String>,
    },
    /// Makes a key, and every former secret of it, useless at once.
    RevokeKey {
        /// The environment.
        environment: EnvironmentId,
        /// Which.
        key: KeyId,
        /// Must be the current one, if given.
        etag: Option<String>,
    },
    /// Creates a feature, with a flag in every environment.
    CreateFeature {
        /// The feature; its etag is not looked at.
        feature: Feature,
    },
    /// Changes a feature.
    UpdateFeature {
        /// Which.
        feature: FeatureKey,
        /// What to change.
        patch: FeaturePatch,
        /// Must be the current one, if given.
        etag: Option<String>,
    },
    /// Deletes a feature with its flags, overrides and feature-specific segments.
    DeleteFeature {
        /// Which.
        feature: FeatureKey,
        /// Must be the current one, if given.
        etag: Option<String>,
    },
    /// Adds a variant at the end. Every environment's own state that has a split gets it with its default weight; so
    /// does every one without a split if it is the feature's first variant.
    CreateVariant {
        /// The feature.
        feature: FeatureKey,
        /// The variant.
        variant: Variant,
        /// The feature's; must be the current one, if given.
        etag: Option<String>,
    },
    /// Replaces a variant's value and default weight; the key stays.
    UpdateVariant {
        /// The feature.
        feature: FeatureKey,
        /// The variant, with the key of an existing one.
        variant: Variant,
        /// The feature's; must be the current one, if given.
        etag: Option<String>,
    },
    /// Removes a variant, and its weight from every state.
    DeleteVariant {
        /// The feature.
        feature: FeatureKey,
        /// Which.
        variant: VariantKey,
        /// The feature's; must be the current one, if given.
        etag: Option<String>,
    },
    /// Changes what an environment serves.
    UpdateFlag {
        /// Which.
        flag: FlagName,
        /// What to change.
        patch: FlagStatePatch,
        /// Must be the current one, if given.
        etag: Option<String>,
    },
    /// Creates or replaces a segment override.
    SetSegmentOverride {
        /// Which.
        name: SegmentOverrideName,
        /// The whole state; an empty hashing key means the feature's (or, when replacing, the one it had).
        state: FlagState,
        /// The place among the flag's overrides, 0 first; beyond the end means last. `None`: where it is, or last.
        priority: Option<u32>,
        /// The flag's; must be the current one, if given.
        etag: Option<String>,
    },
    /// Removes a segment override; it must exist.
    RemoveSegmentOverride {
        /// Which.
        name: SegmentOverrideName,
        /// The flag's; must be the current one, if given.
        etag: Option<String>,
    },
    /// Puts a flag's segment overrides in order.
    ReorderSegmentOverrides {
        /// The flag.
        flag: FlagName,
        /// All segments that have an override, each once, the winning one first.
        segments: Vec<SegmentId>,
        /// The flag's; must be the current one, if given.
        etag: Option<String>,
    },
    /// Creates or replaces an identity override; the identity need not exist.
    SetIdentityOverride {
        /// Which.
        name: IdentityOverrideName,
        /// The whole state; an empty hashing key means the feature's (or, when replacing, the one it had).
        state: FlagState,
        /// Must be the current one, if given.
        etag: Option<String>,
    },
    /// Removes an identity override; it must exist.
    RemoveIdentityOverride {
        /// Which.
        name: IdentityOverrideName,
        /// Must be the current one, if given.
        etag: Option<String>,
    },
    /// Creates a segment.
    CreateSegment {
        /// The segment; its etag is not looked at.
        segment: Segment,
    },
    /// Changes a segment.
    UpdateSegment {
        /// Which.
        segment: SegmentId,
        /// What to change.
        patch: SegmentPatch,
        /// Must be the current one, if given.
        etag: Option<String>,
    },
    /// Deletes a segment.
    DeleteSegment {
        /// Which.
        segment: SegmentId,
        /// Deletes its overrides, too; otherwise a segment in use is refused.
        force: bool,
        /// Must be the current one, if given.
        etag: Option<String>,
    },
}

/// What a mutation made or changed; of a deletion, what was deleted.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds what it is named after")]
#[allow(clippy::large_enum_variant, reason = "a handful exist at a time")]
pub enum Resource {
    Project(Project),
    Environment(Environment),
    Key(EnvironmentKey),
    Feature(Feature),
    Flag(Flag),
    IdentityOverride(IdentityOverride),
    Segment(Segment),
}

/// The outcome of a write.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The project's revision that holds the change; of a request that changed nothing (`validate_only`), the current.
    pub revision: i64,
    /// One per mutation, in their order. Of a repeated request: as they are now, without those deleted since.
    pub resources: Vec<Option<Resource>>,
    /// Whether the request id had been used for this request before, so that nothing was done now.
    pub replayed: bool,
}

/// What happened to a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words say it")]
pub enum ChangeKind {
    Created,
    Updated,
    Deleted,
}

/// One subject of a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangeEntry {
    /// The resource name.
    pub subject: String,
    /// What happened to it.
    pub kind: ChangeKind,
    /// The resource before, as JSON; never a secret.
    pub before: Option<serde_json::Value>,
    /// The resource after, as JSON.
    pub after: Option<serde_json::Value>,
}

/// One write: of a project's configuration, of an organisation, or of the server.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Whose log it is in.
    pub log: LogName,
    /// The revision of the log that it made.
    pub revision: i64,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// See [`WriteContext::actor`].
    pub actor: String,
    /// See [`WriteContext::credential`].
    pub credential: String,
    /// See [`WriteContext::on_behalf_of`].
    pub on_behalf_of: String,
    /// See [`WriteContext::address`].
    pub address: String,
    /// The gRPC method.
    pub method: String,
    /// The caller's id of the request; empty if none was given.
    pub request_id: String,
    /// Why, in the caller's words.
    pub reason: String,
    /// What was changed, in order.
    pub entries: Vec<ChangeEntry>,
}
