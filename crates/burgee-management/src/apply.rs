//! Many changes of a project at once: all of them, or none.

use burgee_core::change::{Mutation, WriteContext};
use burgee_core::name::ProjectName;
use burgee_core::store::FlagStore;
use burgee_core::{Error, Result, Violation};
use burgee_proto::management::v1 as pb;
use pb::change_request::Change;

use crate::context::WriteRequest;
use crate::fields::{At as _, required};
use crate::gate::Caller;
use crate::transaction::{Planned, located, log_revision};
use crate::{features, flags, overrides, segments};

/// The most changes of one request.
const CHANGES: usize = 5_000;

pub(crate) async fn apply_changes(
    store: &dyn FlagStore,
    caller: &Caller,
    context: &WriteContext,
    request: pb::ApplyChangesRequest,
) -> Result<pb::ApplyChangesResponse> {
    let project = ProjectName::parse(&request.project).at("project")?;
    let plans = plan_all(&project, context, request.changes)?;
    let mutations = plans.iter().map(|plan| plan.mutation.clone()).collect();
    let rights = caller.rights(store, &project.organisation).await?;
    let outcome = store.apply(context, &project, mutations).await;
    let applied = outcome.map_err(|error| segments::as_seen_by(&rights, at_fault(error, &plans)))?;
    log_revision(context, &project, &applied);
    Ok(pb::ApplyChangesResponse { revision: applied.revision })
}

/// One change, and where it stands in the request.
#[derive(Debug)]
struct Plan {
    /// Such as `changes[3].update_flag`.
    path: String,
    mutation: Mutation,
    locate: fn(Violation) -> Violation,
}

fn plan_all(
    project: &ProjectName,
    context: &WriteContext,
    changes: Vec<pb::ChangeRequest>,
) -> Result<Vec<Plan>, Violation> {
    check_count(changes.len())?;
    let plan = |(index, request): (usize, pb::ChangeRequest)| {
        let change = required(request.change, "").at(format_args!("changes[{index}]"))?;
        let path = format!("changes[{index}].{}", kind(&change));
        let planned =
            plan(project, context, change).and_then(|planned| inside(project, planned)).at(&path)?;
        Ok(Plan { path, mutation: planned.mutation, locate: planned.locate })
    };
    changes.into_iter().enumerate().map(plan).collect()
}

/// Plans changes for the fuzzer.
#[cfg(fuzzing)]
pub(crate) fn mutations(
    project: &ProjectName,
    context: &WriteContext,
    changes: Vec<pb::ChangeRequest>,
) -> Result<Vec<Mutation>, Violation> {
    Ok(plan_all(project, context, changes)?.into_iter().map(|plan| plan.mutation).collect())
}

/// Checks how many changes a request has.
pub(crate) fn check_count(changes: usize) -> Result<(), Violation> {
    if (1..=CHANGES).contains(&changes) {
        Ok(())
    } else {
        Err(Violation::new("changes", format!("must be 1 to {CHANGES}, is {changes}")))
    }
}

/// Returns the field of a request that holds a change.
pub(crate) fn kind(change: &Change) -> &'static str {
    match change {
        Change::UpdateFlag(_) => "update_flag",
        Change::SetSegmentOverride(_) => "set_segment_override",
        Change::RemoveSegmentOverride(_) => "remove_segment_override",
        Change::ReorderSegmentOverrides(_) => "reorder_segment_overrides",
        Change::SetIdentityOverride(_) => "set_identity_override",
        Change::RemoveIdentityOverride(_) => "remove_identity_override",
        Change::CreateSegment(_) => "create_segment",
        Change::UpdateSegment(_) => "update_segment",
        Change::DeleteSegment(_) => "delete_segment",
        Change::CreateFeature(_) => "create_feature",
    }
}

fn plan(project: &ProjectName, context: &WriteContext, change: Change) -> Result<Planned, Violation> {
    match change {
        Change::UpdateFlag(request) => flags::plan_update(bare(request)?),
        Change::SetSegmentOverride(request) => overrides::plan_set_segment(bare(request)?),
        Change::RemoveSegmentOverride(request) => {
            must_exist(request.allow_missing)?;
            overrides::plan_remove_segment(bare(request)?).map(|(_, planned)| planned)
        }
        Change::ReorderSegmentOverrides(request) => overrides::plan_reorder_segments(bare(request)?),
        Change::SetIdentityOverride(request) => overrides::plan_set_identity(bare(request)?),
        Change::RemoveIdentityOverride(request) => {
            must_exist(request.allow_missing)?;
            overrides::plan_remove_identity(bare(request)?).map(|(_, planned)| planned)
        }
        Change::CreateSegment(pb::CreateSegmentChange { segment_id, segment }) => {
            segments::plan_create(project.clone(), &segment_id, segment, context.now)
        }
        Change::UpdateSegment(pb::UpdateSegmentChange { segment, update_mask }) => {
            segments::plan_update(segment, update_mask)
        }
        Change::DeleteSegment(pb::DeleteSegmentChange { name, etag, force }) => {
            segments::plan_delete(&name, force, etag)
        }
        Change::CreateFeature(pb::CreateFeatureChange { feature_id, feature }) => {
            features::plan_create(project.clone(), &feature_id, feature, context.now)
        }
    }
}

/// Checks that a request says nothing that only the outer one can.
fn bare<T: WriteRequest>(mut request: T) -> Result<T, Violation> {
    request.take_fields().check_empty()?;
    Ok(request)
}

fn must_exist(allow_missing: bool) -> Result<(), Violation> {
    if allow_missing {
        Err(Violation::new("allow_missing", "must not be set within ApplyChanges"))
    } else {
        Ok(())
    }
}

fn inside(project: &ProjectName, planned: Planned) -> Result<Planned, Violation> {
    if planned.project == *project {
        Ok(planned)
    } else {
        Err(Violation::new(
            planned.name_field,
            format!("must be in `{project}`, is in `{}`", planned.project),
        ))
    }
}

/// Gives the violations of the change at fault their paths in the request.
fn at_fault(error: Error, plans: &[Plan]) -> Error {
    // The store says which change it is, unless there is only one.
    let (index, error) = match error {
        Error::Change { index, error } => (index, *error),
        error if plans.len() == 1 => (0, error),
        error => return error,
    };
    let Some(plan) = plans.get(index) else { return error };
    match error {
        Error::Invalid(_) => located(error, |violation| (plan.locate)(violation).at(&plan.path)),
        other => other.of_change(index),
    }
}

#[cfg(test)]
mod tests {
    use burgee_proto::v1 as shared;
    use chrono::DateTime;

    use super::*;

    const SHOP: &str = "organisations/acme/projects/shop";

    fn context() -> WriteContext {
        WriteContext {
            actor: "users/ada".into(),
            credential: String::new(),
            on_behalf_of: String::new(),
            address: String::new(),
            method: "FlagService/ApplyChanges".into(),
            request_id: None,
            request_digest: [0; 32],
            reason: String::new(),
            validate_only: false,
            now: DateTime::UNIX_EPOCH,
        }
    }

    fn update(name: &str) -> pb::UpdateFlagRequest {
        pb::UpdateFlagRequest {
            flag: Some(shared::Flag {
                name: name.into(),
                state: Some(shared::FlagState::default()),
                ..Default::default()
            }),
            update_mask: Some(prost_types::FieldMask { paths: vec!["state".into()] }),
            ..Default::default()
        }
    }

    fn plans(changes: Vec<Change>) -> Result<Vec<Plan>, Violation> {
        let changes = changes.into_iter().map(|change| pb::ChangeRequest { change: Some(change) }).collect();
        plan_all(&ProjectName::parse(SHOP).unwrap(), &context(), changes)
    }

    fn check(change: Change, field: &str) {
        let valid = Change::UpdateFlag(update(&format!("{SHOP}/environments/dev/flags/dark")));
        assert_eq!(plans(vec![valid, change]).unwrap_err().field, field);
    }

    #[test]
    fn a_violation_names_the_change() {
        check(Change::UpdateFlag(pb::UpdateFlagRequest::default()), "changes[1].update_flag.flag");
        check(
            Change::UpdateFlag(update("organisations/acme/projects/other/environments/dev/flags/dark")),
            "changes[1].update_flag.flag.name",
        );
        let reason = pb::UpdateFlagRequest { reason: "why".into(), ..Default::default() };
        check(Change::UpdateFlag(reason), "changes[1].update_flag.reason");
        check(
            Change::RemoveIdentityOverride(pb::RemoveIdentityOverrideRequest {
                allow_missing: true,
                ..Default::default()
            }),
            "changes[1].remove_identity_override.allow_missing",
        );
        check(
            Change::CreateSegment(pb::CreateSegmentChange::default()),
            "changes[1].create_segment.segment_id",
        );
        let feature = pb::CreateFeatureChange { feature_id: "f".into(), feature: None };
        check(Change::CreateFeature(feature), "changes[1].create_feature.feature.value_type");
        let none = plan_all(
            &ProjectName::parse(SHOP).unwrap(),
            &context(),
            vec![pb::ChangeRequest { change: None }],
        );
        assert_eq!(none.unwrap_err().field, "changes[0]");
        assert_eq!(plans(vec![]).unwrap_err().field, "changes");
    }

    #[test]
    fn an_error_of_the_store_names_the_change() {
        let flag = || Change::UpdateFlag(update(&format!("{SHOP}/environments/dev/flags/dark")));
        let plans = plans(vec![flag(), flag()]).unwrap();
        let error = at_fault(Error::invalid("value", "must be a boolean").of_change(1), &plans);
        assert_eq!(error.to_string(), "`changes[1].update_flag.flag.state.value` must be a boolean");
        let error = at_fault(Error::NotFound { kind: "flag", name: "f".into() }, &plans[..1]);
        assert_eq!(error.to_string(), "changes[0]: flag `f` does not exist");
        let error = at_fault(Error::Storage("disk full".into()), &plans);
        assert_eq!(error.to_string(), "storage failed");
    }
}
