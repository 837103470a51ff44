//! Segments: groups of identities, defined by rules.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::name::{FeatureKey, SegmentName};
use crate::rule::Rule;

/// Nested rules over traits and context; an identity is a member if there is at least one rule and all match.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// The resource name.
    pub name: SegmentName,
    /// What people read, and what evaluation gives as the reason.
    pub display_name: String,
    /// For people.
    pub description: String,
    /// The only feature that may use it, if any.
    pub feature: Option<FeatureKey>,
    /// All must match.
    pub rules: Vec<Rule>,
    /// What percentage splits hash; an import sets the original's id.
    pub hashing_key: String,
    /// A JSON object, as text.
    pub metadata: Option<String>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// Changes with every write.
    pub etag: String,
}

/// Changes to a segment; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SegmentPatch {
    /// See [`Segment::display_name`].
    pub display_name: Option<String>,
    /// See [`Segment::description`].
    pub description: Option<String>,
    /// See [`Segment::rules`].
    pub rules: Option<Vec<Rule>>,
    /// See [`Segment::hashing_key`].
    pub hashing_key: Option<String>,
    /// See [`Segment::metadata`].
    pub metadata: Option<Option<String>>,
}
