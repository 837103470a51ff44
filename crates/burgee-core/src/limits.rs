//! The limits of what is stored: each has a name, a value and an error that states both.

use serde::{Deserialize, Serialize};

/// Bytes of a string value.
pub const VALUE_BYTES: usize = 20_000;
/// Bytes of a JSON value, as text.
pub const JSON_VALUE_BYTES: usize = 64 * 1024;
/// Bytes of a metadata object, as JSON text.
pub const METADATA_BYTES: usize = 4 * 1024;
/// Characters of an identity's identifier.
pub const IDENTIFIER_CHARACTERS: usize = 2_000;
/// Characters of a trait's key.
pub const TRAIT_KEY_CHARACTERS: usize = 200;
/// Characters of a trait's string value.
pub const TRAIT_VALUE_CHARACTERS: usize = 2_000;
/// Traits of one identity.
pub const TRAITS_PER_IDENTITY: usize = 500;
/// Characters of a condition's property, and of its operand.
pub const CONDITION_CHARACTERS: usize = 1_000;
/// Descents (`..`) of a property's path: each multiplies what must be looked at by the depth of the context.
pub const PATH_DESCENTS: usize = 1;
/// Filters (`?`) of a property's path: to parse one within another takes twice as long.
pub const PATH_FILTERS: usize = 1;
/// Opening parentheses of a property's path: each that is parsed within another needs more of the stack.
pub const PATH_PARENTHESES: usize = 8;
/// Wildcards (`*`), commas and colons of a property's path, all together: each may find several values.
pub const PATH_BRANCHES: usize = 4;
/// Items of a condition's list operand.
pub const CONDITION_LIST_ITEMS: usize = 1_000;
/// Conditions of a segment, in all its rules together.
pub const CONDITIONS_PER_SEGMENT: usize = 100;
/// Rules inside rules inside rules: a top-level rule has depth 1.
pub const RULE_DEPTH: usize = 8;
/// Characters of a display name.
pub const DISPLAY_NAME_CHARACTERS: usize = 2_000;
/// Bytes of a description.
pub const DESCRIPTION_BYTES: usize = 20_000;
/// Variants of a feature.
pub const VARIANTS_PER_FEATURE: usize = 100;
/// Tags of a feature, and owners of a feature.
pub const TAGS_PER_FEATURE: usize = 100;
/// Characters of the path of a claim of a sign-in token.
pub const CLAIM_CHARACTERS: usize = 200;
/// Characters of a pattern of a rule about a claim.
pub const CLAIM_PATTERN_CHARACTERS: usize = 500;
/// Patterns of a rule about a claim.
pub const PATTERNS_PER_CLAIM_RULE: usize = 50;
/// Rules about claims of a trust relationship.
pub const CLAIM_RULES_PER_TRUST_RELATIONSHIP: usize = 20;
/// Characters of the external id of a group.
pub const EXTERNAL_ID_CHARACTERS: usize = 255;
/// Characters of the audience of a trust relationship.
pub const AUDIENCE_CHARACTERS: usize = 500;
/// Groups that an invitation names.
pub const GROUPS_PER_INVITATION: usize = 100;
/// Tags of a grant, and of an environment key.
pub const TAGS_PER_LIMIT: usize = 100;
/// Bytes of the entries of one change, as JSON text. With the rest of it, it fits into a message of 4 MiB, which is what clients
/// commonly take.
pub const CHANGE_BYTES: usize = 3 * 1024 * 1024;
/// Bytes of the entries of the changes that are read at once; a larger change is read alone.
pub const CHANGES_READ_BYTES: usize = 1024 * 1024;
/// Users of a resource that the error of a refused deletion lists.
pub const USERS_LISTED: usize = 20;

/// The limits that an operator may set, in the table `[server.limits]` of the settings file. Each field is the limit's name there
/// and in [`Error::LimitExceeded`](crate::Error::LimitExceeded).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Projects of an organisation: a change of its settings takes a revision of each.
    pub projects_per_organisation: usize,
    /// Members of an organisation.
    pub members_per_organisation: usize,
    /// Groups of an organisation.
    pub groups_per_organisation: usize,
    /// Invitations of an organisation, accepted and expired ones included.
    pub invitations_per_organisation: usize,
    /// Roles of an organisation.
    pub roles_per_organisation: usize,
    /// Grants of an organisation.
    pub grants_per_organisation: usize,
    /// Trust relationships of an organisation.
    pub trust_relationships_per_organisation: usize,
    /// Tokens of a user or an organisation, expired and revoked ones included.
    pub tokens_per_owner: usize,
    /// Tokens that a trust relationship has given and that have not expired.
    pub tokens_per_trust_relationship: usize,
    /// Environments of a project.
    pub environments_per_project: usize,
    /// Features of a project.
    pub features_per_project: usize,
    /// Segments of a project.
    pub segments_per_project: usize,
    /// Keys of an environment, expired and revoked ones included.
    pub keys_per_environment: usize,
    /// Former secrets of a key that are still accepted.
    pub former_secrets_per_key: usize,
    /// Segment overrides of an environment, of all its flags together.
    pub segment_overrides_per_environment: usize,
    /// Identity overrides of an environment, of all its flags together.
    pub identity_overrides_per_environment: usize,
    /// Traits of one identity.
    pub traits_per_identity: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            projects_per_organisation: 1_000,
            members_per_organisation: 10_000,
            groups_per_organisation: 1_000,
            invitations_per_organisation: 1_000,
            roles_per_organisation: 100,
            grants_per_organisation: 10_000,
            trust_relationships_per_organisation: 100,
            tokens_per_owner: 1_000,
            tokens_per_trust_relationship: 10_000,
            environments_per_project: 100,
            features_per_project: 1_000,
            segments_per_project: 500,
            keys_per_environment: 100,
            former_secrets_per_key: 10,
            segment_overrides_per_environment: 2_000,
            identity_overrides_per_environment: 10_000,
            traits_per_identity: TRAITS_PER_IDENTITY,
        }
    }
}
