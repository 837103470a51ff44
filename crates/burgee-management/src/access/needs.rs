//! What requests need, by the names and the changes in them.

use std::collections::HashSet;

use burgee_core::name::{
    EnvironmentName, FeatureName, FlagName, GroupName, IdentityName, IdentityOverrideName, InvitationName,
    KeyName, LogName, MemberName, OrganisationName, ProjectName, RoleName, SegmentName, SegmentOverrideName,
    TokenOwner, TrustRelationshipName, VariantName,
};
use burgee_core::permission::{Permission, Place};
use burgee_core::{Result, Violation};
use burgee_proto::management::v1 as pb;
use pb::change_request::Change;
use prost_types::FieldMask;

use super::{Guarded as _, Needs};
use crate::apply::{check_count, kind};
use crate::fields::At as _;

/// Returns the name in a message that may be missing.
pub(super) fn name<T>(message: &Option<T>, name: fn(&T) -> &String) -> &str {
    message.as_ref().map(name).map(String::as_str).unwrap_or_default()
}

pub(super) type Outcome = Result<Needs, Violation>;

pub(super) fn organisation(permission: Permission, name: &str, field: &str) -> Outcome {
    Ok(Needs::Permission(permission, Place::Organisation(OrganisationName::parse(name).at(field)?)))
}

pub(super) fn project(permission: Permission, name: &str, field: &str) -> Outcome {
    Ok(Needs::Permission(permission, Place::Project(ProjectName::parse(name).at(field)?)))
}

pub(super) fn environment(permission: Permission, name: &str, field: &str) -> Outcome {
    Ok(Needs::Permission(permission, Place::Environment(EnvironmentName::parse(name).at(field)?)))
}

pub(super) fn administrator(place: &str, field: &str) -> Outcome {
    let place = Place::parse(place).at(field)?;
    Ok(Needs::Permission(place.administrator(), place))
}

pub(super) fn member(name: &str) -> Outcome {
    let organisation = MemberName::parse(name).at("name")?.organisation;
    Ok(Needs::Permission(Permission::OrganisationAdmin, Place::Organisation(organisation)))
}

pub(super) fn group(permission: Permission, name: &str, field: &str) -> Outcome {
    let organisation = GroupName::parse(name).at(field)?.organisation;
    Ok(Needs::Permission(permission, Place::Organisation(organisation)))
}

pub(super) fn invitation(name: &str) -> Outcome {
    let organisation = InvitationName::parse(name).at("name")?.organisation;
    Ok(Needs::Permission(Permission::OrganisationAdmin, Place::Organisation(organisation)))
}

pub(super) fn role(permission: Permission, name: &str, field: &str) -> Outcome {
    let organisation = RoleName::parse(name).at(field)?.organisation;
    Ok(Needs::Permission(permission, Place::Organisation(organisation)))
}

pub(super) fn trust_relationship(name: &str, field: &str) -> Outcome {
    let organisation = TrustRelationshipName::parse(name).at(field)?.organisation;
    Ok(Needs::Permission(Permission::OrganisationAdmin, Place::Organisation(organisation)))
}

pub(super) fn tokens_of(owner: TokenOwner) -> Outcome {
    Ok(match owner {
        TokenOwner::User(user) => Needs::Own(user),
        TokenOwner::Organisation(organisation) => {
            Needs::Permission(Permission::OrganisationAdmin, Place::Organisation(organisation))
        }
    })
}

pub(super) fn key(name: &str) -> Outcome {
    let environment = KeyName::parse(name).at("name")?.environment;
    Ok(Needs::Permission(Permission::EnvironmentAdmin, Place::Environment(environment)))
}

pub(super) fn feature(permission: Permission, name: &str, field: &str) -> Outcome {
    let project = FeatureName::parse(name).at(field)?.project;
    Ok(Needs::Permission(permission, Place::Project(project)))
}

/// Whoever chooses the tags of features decides what limits by tag mean, so that takes a permission of its own.
pub(super) fn new_feature(parent: &str, field: &str, chooses_tags: bool) -> Outcome {
    let create = project(Permission::CreateFeature, parent, field)?;
    if chooses_tags {
        Ok(Needs::All(vec![create, project(Permission::ManageTags, parent, field)?]))
    } else {
        Ok(create)
    }
}

/// Says whether an update changes a field.
pub(super) fn chooses(mask: &Option<FieldMask>, field: &str, is_set: bool) -> bool {
    match mask {
        Some(mask) if !mask.paths.is_empty() => mask.paths.iter().any(|path| path == field || path == "*"),
        Some(_) | None => is_set,
    }
}

pub(super) fn variant(name: &str, field: &str) -> Outcome {
    let project = VariantName::parse(name).at(field)?.feature.project;
    Ok(Needs::Permission(Permission::ProjectAdmin, Place::Project(project)))
}

pub(super) fn segment(permission: Permission, name: &str, field: &str) -> Outcome {
    let project = SegmentName::parse(name).at(field)?.project;
    Ok(Needs::Permission(permission, Place::Project(project)))
}

pub(super) fn of_flag(permission: Permission, flag: FlagName) -> Needs {
    let feature = FeatureName { project: flag.environment.project.clone(), feature: flag.feature };
    Needs::OfFeature(permission, Place::Environment(flag.environment), feature)
}

pub(super) fn segment_override(name: &str) -> Outcome {
    let flag = SegmentOverrideName::parse(name).at("name")?.flag;
    Ok(of_flag(Permission::ManageSegmentOverrides, flag))
}

pub(super) fn identity_override(name: &str) -> Outcome {
    let environment = IdentityOverrideName::parse(name).at("name")?.flag.environment;
    Ok(Needs::Permission(Permission::ManageIdentities, Place::Environment(environment)))
}

pub(super) fn identity(permission: Permission, name: &str, field: &str) -> Outcome {
    let environment = IdentityName::parse(name).at(field)?.environment;
    Ok(Needs::Permission(permission, Place::Environment(environment)))
}

pub(super) fn log(log: LogName) -> Outcome {
    Ok(match log {
        LogName::Server => Needs::ServerAdministrator,
        LogName::Organisation(name) => {
            Needs::Permission(Permission::OrganisationAdmin, Place::Organisation(name))
        }
        LogName::Project(name) => Needs::Permission(Permission::ViewAuditLog, Place::Project(name)),
    })
}

/// Each change needs what its own method needs; all together, a sight of the project.
pub(super) fn changes(request: &pb::ApplyChangesRequest) -> Outcome {
    let parent = &request.project;
    check_count(request.changes.len())?;
    let mut needs = vec![project(Permission::ViewProject, parent, "project")?];
    // Many changes need the same.
    let mut known = HashSet::new();
    for (index, change) in request.changes.iter().enumerate() {
        let Some(change) = &change.change else { continue };
        let needed = match change {
            Change::UpdateFlag(request) => request.needs(),
            Change::SetSegmentOverride(request) => request.needs(),
            Change::RemoveSegmentOverride(request) => request.needs(),
            Change::ReorderSegmentOverrides(request) => request.needs(),
            Change::SetIdentityOverride(request) => request.needs(),
            Change::RemoveIdentityOverride(request) => request.needs(),
            Change::CreateSegment(_) => project(Permission::ManageSegments, parent, ""),
            Change::UpdateSegment(request) => {
                segment(Permission::ManageSegments, name(&request.segment, |it| &it.name), "segment.name")
            }
            Change::DeleteSegment(request) => segment(Permission::ManageSegments, &request.name, "name"),
            Change::CreateFeature(request) => {
                new_feature(parent, "", request.feature.as_ref().is_some_and(|it| !it.tags.is_empty()))
            }
        };
        let needed = needed.at(format_args!("changes[{index}].{}", kind(change)))?;
        if known.insert(needed.clone()) {
            needs.push(needed);
        }
    }
    Ok(Needs::All(needs))
}
