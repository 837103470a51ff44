//! What a flag comes to, on the wire. Everything that answers with flags makes them here.

use burgee_core::engine::{CompiledSegment, Outcome, Reason};
use burgee_proto::evaluation::v1 as pb;

/// Returns the answer for a flag.
pub(crate) fn evaluated_flag(outcome: &Outcome<'_>) -> pb::EvaluatedFlag {
    let Outcome { feature, enabled, value, reason, segment, variant, weight: _, metadata } = outcome;
    pb::EvaluatedFlag {
        key: (*feature).to_owned(),
        enabled: *enabled,
        value: value.map(Into::into),
        reason: reason_of(*reason).into(),
        segment: segment.map(|(id, display_name)| pb::MatchedSegment {
            id: id.to_owned(),
            display_name: display_name.to_owned(),
            metadata: String::new(),
        }),
        variant: variant.map(ToOwned::to_owned),
        metadata: metadata.unwrap_or_default().to_owned(),
    }
}

/// Returns the answer for a segment that matches.
pub(crate) fn matched_segment(segment: &CompiledSegment) -> pb::MatchedSegment {
    pb::MatchedSegment {
        id: segment.id().to_owned(),
        display_name: segment.name().to_owned(),
        metadata: segment.metadata().unwrap_or_default().to_owned(),
    }
}

fn reason_of(reason: Reason) -> pb::Reason {
    match reason {
        Reason::Default => pb::Reason::Default,
        Reason::Disabled => pb::Reason::Disabled,
        Reason::SegmentOverride => pb::Reason::SegmentOverride,
        Reason::IdentityOverride => pb::Reason::IdentityOverride,
        Reason::Split => pb::Reason::Split,
    }
}
