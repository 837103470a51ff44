//! The evaluation of flags: a pure function over a compiled snapshot. No I/O, no clock, no randomness.
//!
//! [`EnvironmentRules`] are what an environment says, in document order. [`Ruleset::compile`] turns them
//! into what can be evaluated fast, once per revision; [`Ruleset::evaluate`] looks at one identity and
//! does as little as the flags that are asked for need.

mod buckets;
mod condition;
mod document;
mod evaluation;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod hash;
mod identity;
mod lanes;
pub(crate) mod number;
pub(crate) mod pattern;
pub(crate) mod property;
mod rules;
mod ruleset;
mod scalar;
mod translate;

pub use evaluation::{Evaluation, Outcome, Reason};
pub use identity::{Identity, Traits};
pub use rules::{EnvironmentRules, FeatureRules, SegmentOverrideRules, SegmentRules, State, VariantRules};
pub use ruleset::{CompiledFeature, CompiledSegment, OutcomeId, Ruleset};
