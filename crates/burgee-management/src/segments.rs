//! Segments.

use burgee_core::change::{Mutation, WriteContext};
use burgee_core::grant::Rights;
use burgee_core::name::{FeatureKey, ProjectName, SegmentId, SegmentName, SegmentOverrideName};
use burgee_core::permission::{Permission, Place};
use burgee_core::segment::{Segment, SegmentPatch};
use burgee_core::store::FlagStore;
use burgee_core::{Error, Result, Violation};
use burgee_proto::management::v1 as pb;
use burgee_proto::mask::Mask;
use burgee_proto::segment::rules;
use burgee_proto::v1 as shared;
use chrono::{DateTime, Utc};

use crate::fields::{self, At as _, given, required};
use crate::gate::Caller;
use crate::page::Paging;
use crate::transaction::{Planned, apply};

/// The fields that can change, and whether they are set.
fn changeable(wire: &shared::Segment) -> [(&'static str, bool); 5] {
    [
        ("display_name", !wire.display_name.is_empty()),
        ("description", !wire.description.is_empty()),
        ("rules", !wire.rules.is_empty()),
        ("hashing_key", !wire.hashing_key.is_empty()),
        ("metadata", !wire.metadata.is_empty()),
    ]
}

pub(crate) async fn create(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::CreateSegmentRequest,
) -> Result<pb::CreateSegmentResponse> {
    let project = ProjectName::parse(&request.parent).at("parent")?;
    let planned = plan_create(project, &request.segment_id, request.segment, context.now)?;
    let written = apply(store, context, planned).await?;
    Ok(pb::CreateSegmentResponse { segment: written.segment(), revision: written.revision })
}

pub(crate) fn plan_create(
    project: ProjectName,
    segment_id: &str,
    segment: Option<shared::Segment>,
    now: DateTime<Utc>,
) -> Result<Planned, Violation> {
    let id = SegmentId::parse(segment_id).at("segment_id")?;
    let name = SegmentName { project: project.clone(), segment: id };
    let segment = new_segment(name, segment.unwrap_or_default(), now).at("segment")?;
    Ok(Planned {
        project,
        name_field: "parent",
        mutation: Mutation::CreateSegment { segment },
        locate: |violation| violation.at("segment"),
    })
}

fn new_segment(
    name: SegmentName,
    segment: shared::Segment,
    now: DateTime<Utc>,
) -> Result<Segment, Violation> {
    Ok(Segment {
        display_name: fields::display_name(segment.display_name, name.segment.as_str())?,
        description: fields::description(segment.description)?,
        feature: given(segment.feature).map(|key| FeatureKey::parse(&key)).transpose().at("feature")?,
        rules: rules(segment.rules)?,
        hashing_key: fields::new_hashing_key(segment.hashing_key)?,
        metadata: fields::metadata(segment.metadata)?,
        created_at: now,
        etag: String::new(),
        name,
    })
}

pub(crate) async fn get(
    store: &dyn FlagStore,
    request: pb::GetSegmentRequest,
) -> Result<pb::GetSegmentResponse> {
    let name = SegmentName::parse(&request.name).at("name")?;
    Ok(pb::GetSegmentResponse { segment: Some((&store.segment(&name).await?).into()) })
}

pub(crate) async fn list(
    store: &dyn FlagStore,
    request: pb::ListSegmentsRequest,
) -> Result<pb::ListSegmentsResponse> {
    let parent = ProjectName::parse(&request.parent).at("parent")?;
    let paging = Paging::parse(request.page_size, &request.page_token, &["segments", &request.parent])?;
    let found = store.segments(&parent, &paging.query()).await?;
    let (segments, next_page_token) = paging.cut(found, |item| item.name.segment.to_string());
    Ok(pb::ListSegmentsResponse { segments, next_page_token })
}

pub(crate) async fn update(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::UpdateSegmentRequest,
) -> Result<pb::UpdateSegmentResponse> {
    let written = apply(store, context, plan_update(request.segment, request.update_mask)?).await?;
    Ok(pb::UpdateSegmentResponse { segment: written.segment(), revision: written.revision })
}

pub(crate) fn plan_update(
    segment: Option<shared::Segment>,
    mask: Option<prost_types::FieldMask>,
) -> Result<Planned, Violation> {
    let wire = required(segment, "segment")?;
    let name = SegmentName::parse(&wire.name).at("segment.name")?;
    let mask = Mask::parse(mask, &changeable(&wire))?;
    let etag = given(wire.etag.clone());
    let patch = patch(&name, wire, &mask).at("segment")?;
    Ok(Planned {
        project: name.project,
        name_field: "segment.name",
        mutation: Mutation::UpdateSegment { segment: name.segment, patch, etag },
        locate: |violation| violation.at("segment"),
    })
}

fn patch(name: &SegmentName, wire: shared::Segment, mask: &Mask) -> Result<SegmentPatch, Violation> {
    let display_name = mask
        .select("display_name", wire.display_name)
        .map(|text| fields::display_name(text, name.segment.as_str()));
    Ok(SegmentPatch {
        display_name: display_name.transpose()?,
        description: mask.select("description", wire.description).map(fields::description).transpose()?,
        rules: mask.select("rules", wire.rules).map(rules).transpose()?,
        hashing_key: mask
            .select("hashing_key", wire.hashing_key)
            .map(fields::changed_hashing_key)
            .transpose()?,
        metadata: mask.select("metadata", wire.metadata).map(fields::metadata).transpose()?,
    })
}

pub(crate) async fn delete(
    store: &dyn FlagStore,
    caller: &Caller,
    context: &WriteContext,
    request: pb::DeleteSegmentRequest,
) -> Result<pb::DeleteSegmentResponse> {
    let planned = plan_delete(&request.name, request.force, request.etag)?;
    let rights = caller.rights(store, &planned.project.organisation).await?;
    let written = apply(store, context, planned).await.map_err(|error| as_seen_by(&rights, error))?;
    Ok(pb::DeleteSegmentResponse { revision: written.revision })
}

pub(crate) fn plan_delete(name: &str, force: bool, etag: String) -> Result<Planned, Violation> {
    let SegmentName { project, segment } = SegmentName::parse(name).at("name")?;
    Ok(Planned {
        project,
        name_field: "name",
        mutation: Mutation::DeleteSegment { segment, force, etag: given(etag) },
        locate: |violation| violation,
    })
}

/// Leaves out of the error of a segment in use the overrides in environments whose flags the caller may not see, and counts
/// them.
pub(crate) fn as_seen_by(rights: &Rights, error: Error) -> Error {
    let sees = |name: &String| {
        SegmentOverrideName::parse(name).is_ok_and(|name| {
            rights.allows(Permission::ViewEnvironment, &Place::Environment(name.flag.environment))
        })
    };
    match error {
        Error::InUse { name, users, hidden } => {
            let (seen, unseen): (Vec<_>, Vec<_>) = users.into_iter().partition(sees);
            Error::InUse { name, users: seen, hidden: hidden + unseen.len() }
        }
        Error::Change { index, error } => as_seen_by(rights, *error).of_change(index),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(segment: shared::Segment, field: Option<&str>) {
        let project = ProjectName::parse("organisations/acme/projects/shop").unwrap();
        let planned = plan_create(project, "beta", Some(segment), DateTime::UNIX_EPOCH);
        assert_eq!(planned.err().map(|violation| violation.field).as_deref(), field);
    }

    fn of_rules(rules: Vec<shared::Rule>) -> shared::Segment {
        shared::Segment { rules, ..Default::default() }
    }

    fn rule(conditions: Vec<shared::Condition>) -> shared::Rule {
        shared::Rule { r#type: shared::RuleType::All.into(), conditions, rules: vec![] }
    }

    fn condition(operator: shared::Operator, operand: shared::condition::Operand) -> shared::Condition {
        shared::Condition { operator: operator.into(), operand: Some(operand), ..Default::default() }
    }

    #[test]
    fn a_violation_names_its_field() {
        use shared::condition::Operand::{Value, Values};
        check(shared::Segment::default(), None);
        check(shared::Segment { feature: " x".into(), ..Default::default() }, Some("segment.feature"));
        check(shared::Segment { metadata: "[]".into(), ..Default::default() }, Some("segment.metadata"));
        check(of_rules(vec![shared::Rule::default()]), Some("segment.rules[0].type"));
        check(
            of_rules(vec![rule(vec![condition(shared::Operator::Regex, Value("(".into()))])]),
            Some("segment.rules[0].conditions[0].value"),
        );
        let long = shared::StringList { items: vec!["x".repeat(2_001)] };
        check(
            of_rules(vec![rule(vec![condition(shared::Operator::In, Values(long))])]),
            Some("segment.rules[0].conditions[0].values.items[0]"),
        );
        let set = condition(shared::Operator::IsSet, Value(String::new()));
        check(of_rules(vec![rule(vec![set; 101])]), Some("segment.rules"));
        let deep = (0..8).fold(rule(vec![]), |inner, _| shared::Rule { rules: vec![inner], ..rule(vec![]) });
        check(
            of_rules(vec![deep]),
            Some("segment.rules[0].rules[0].rules[0].rules[0].rules[0].rules[0].rules[0].rules[0].rules"),
        );
    }
}
