//! Requests of methods that need something else by what is in them. Each branch of the service's table of rights has one.

use burgee_proto::management::v1::change_request::Change;
use burgee_proto::management::v1::*;
use burgee_proto::v1 as pb;
use prost::Message;

use crate::cases::Needs::{
    Absent, All, At, Credential, Known, OfFeature, OfGrant, OfGroup, Oneself, OneselfOr, Permissions, Rules,
    ServerAdministrator,
};
use crate::cases::*;

/// Who changes more of a user than the name, changes who that is.
const MORE_OF_A_USER: Needs = All(&[Oneself(SOMEBODY), ServerAdministrator]);
const WITH_TAGS: Needs = Permissions(&["CREATE_FEATURE", "MANAGE_TAGS"]);
const UPDATE_DARK: Needs = OfFeature("UPDATE_FEATURE_STATE", DARK);
const UPDATE_SPLIT: Needs = OfFeature("UPDATE_FEATURE_STATE", SPLIT);

/// Returns the other environment of the same project.
fn live(place: &Place) -> Place {
    Place { environment: place.in_project("environments/live"), ..place.clone() }
}

/// Returns a place of the other organisation.
fn elsewhere(place: &Place) -> Place {
    let other = if place.organisation == "organisations/acme" { "bravo" } else { "acme" };
    Place::of(other, "shop", "dev")
}

fn somebody(email: &str, administrator: Option<bool>) -> Option<pb::User> {
    let (name, email) = (SOMEBODY.to_owned(), email.to_owned());
    Some(pb::User { name, display_name: "New".into(), email, administrator, ..Default::default() })
}

fn grant(grantee: String, resource: &str) -> Option<pb::Grant> {
    let permissions = vec![pb::Permission::ViewEnvironment.into()];
    Some(pb::Grant { grantee, resource: resource.into(), permissions, ..Default::default() })
}

fn feature(place: &Place, tags: &[&str]) -> Option<pb::Feature> {
    Some(pb::Feature {
        name: place.in_project("features/dark"),
        value_type: pb::ValueType::Boolean.into(),
        description: "New".into(),
        tags: tags.iter().map(ToString::to_string).collect(),
        ..Default::default()
    })
}

fn update(place: &Place, feature: &str) -> UpdateFlagRequest {
    let name = format!("{}/flags/{feature}", place.environment);
    let flag = Some(pb::Flag { name, state: on(), ..Default::default() });
    UpdateFlagRequest { flag, update_mask: mask(&["state.enabled"]), ..Default::default() }
}

fn changes(changes: impl IntoIterator<Item = Change>) -> Vec<ChangeRequest> {
    changes.into_iter().map(|change| ChangeRequest { change: Some(change) }).collect()
}

cases! {
    /// All of them; they are about `dev` of `shop`.
    VARIANTS =
    OrganisationService {
        AddMember "a colleague of some" Organisation All(&[ORGANISATION_ADMIN, Known("users/cargo-somebody")]),
            AddMemberRequest |p| {
                parent: p.organisation.clone(), user: "users/cargo-somebody".into(),
                role: pb::Role::Member.into(), validate_only: true,
            };
    }
    UserService {
        GetUser "nobody's colleague" Server Known("users/outsider"), GetUserRequest |_| {
            name: "users/outsider".into()
        };
        UpdateUser "with an address" Server MORE_OF_A_USER, UpdateUserRequest |_| {
            user: somebody("new@example.com", None), validate_only: true
        };
        UpdateUser "with an address and an empty mask" Server MORE_OF_A_USER, UpdateUserRequest |_| {
            user: somebody("new@example.com", None), update_mask: mask(&[]), validate_only: true
        };
        UpdateUser "with a mask of the address" Server MORE_OF_A_USER, UpdateUserRequest |_| {
            user: somebody("new@example.com", None), update_mask: mask(&["display_name", "email"]),
            validate_only: true,
        };
        UpdateUser "with an administrator" Server MORE_OF_A_USER, UpdateUserRequest |_| {
            user: somebody("", Some(true)), validate_only: true
        };
        UpdateUser "with a mask of the administrator" Server MORE_OF_A_USER, UpdateUserRequest |_| {
            user: somebody("", None), update_mask: mask(&["administrator"]), validate_only: true
        };
        UpdateUser "with a mask of all" Server MORE_OF_A_USER, UpdateUserRequest |_| {
            user: somebody("new@example.com", Some(false)), update_mask: mask(&["*"]), validate_only: true
        };
        UpdateUser "with a mask of the name" Server Oneself(SOMEBODY), UpdateUserRequest |_| {
            user: somebody("new@example.com", Some(true)), update_mask: mask(&["display_name"]),
            validate_only: true,
        };
        CreateToken "of a user" Server Oneself(SOMEBODY), CreateTokenRequest |_| {
            parent: SOMEBODY.into(), token_id: "fresh".into(), validate_only: true
        };
        ListTokens "of a user" Server Oneself(SOMEBODY), ListTokensRequest |_| { parent: SOMEBODY.into() };
        RevokeToken "of a user" Server Oneself(SOMEBODY), RevokeTokenRequest |_| {
            name: format!("{SOMEBODY}/tokens/laptop"), validate_only: true
        };
        RevokeToken "of a user nobody knows" Server Oneself("users/outsider"), RevokeTokenRequest |_| {
            name: "users/outsider/tokens/laptop".into(), validate_only: true
        };
    }
    GroupService {
        AddGroupMember "to a group with an administrator" Organisation OfGroup("full"), AddGroupMemberRequest |p| {
            parent: p.in_organisation("groups/full"), validate_only: true,
            user: p.organisation.replace("organisations/", "users/") + "-owner",
        };
        RemoveGroupMember "who is none"
            Organisation All(&[OfGroup("idle"), Absent(|p| p.in_organisation("groups/idle/members/somebody"))]),
            RemoveGroupMemberRequest |p| {
                name: p.in_organisation("groups/idle/members/somebody"), validate_only: true
            };
    }
    PermissionService {
        CreateGrant "on an organisation" Organisation ORGANISATION_ADMIN, CreateGrantRequest |p| {
            parent: p.organisation.clone(), grant_id: "fresh".into(), validate_only: true,
            grant: grant(p.in_organisation("groups/idle"), &p.organisation),
        };
        CreateGrant "on a project" Project PROJECT_ADMIN, CreateGrantRequest |p| {
            parent: p.organisation.clone(), grant_id: "fresh".into(), validate_only: true,
            grant: grant(p.in_organisation("groups/idle"), &p.project),
        };
        CreateGrant "to a token" Environment ENVIRONMENT_ADMIN, CreateGrantRequest |p| {
            parent: p.organisation.clone(), grant_id: "fresh".into(), validate_only: true,
            grant: grant(p.in_organisation("tokens/idle"), &p.environment),
        };
        CreateGrant "to a trust relationship" Environment ENVIRONMENT_ADMIN, CreateGrantRequest |p| {
            parent: p.organisation.clone(), grant_id: "fresh".into(), validate_only: true,
            grant: grant(p.in_organisation("trustRelationships/ci"), &p.environment),
        };
        CreateGrant "of a role" Project PROJECT_ADMIN, CreateGrantRequest |p| {
            parent: p.organisation.clone(), grant_id: "fresh".into(), validate_only: true,
            grant: Some(pb::Grant {
                grantee: p.in_organisation("groups/idle"), resource: p.project.clone(),
                role: p.in_organisation("roles/idle"), ..Default::default()
            }),
        };
        CreateGrant "on another organisation" Environment All(&[At(elsewhere, &ENVIRONMENT_ADMIN), Rules("grant.resource")]),
            CreateGrantRequest |p| {
                parent: p.organisation.clone(), grant_id: "fresh".into(), validate_only: true,
                grant: grant(p.in_organisation("groups/idle"), &elsewhere(p).environment),
            };
        GetGrant "on a project" Organisation OfGrant("PROJECT_ADMIN", "of-project"), GetGrantRequest |p| {
            name: p.in_organisation("grants/of-project")
        };
        GetGrant "on an environment" Organisation OfGrant("ENVIRONMENT_ADMIN", "of-environment"),
            GetGrantRequest |p| { name: p.in_organisation("grants/of-environment") };
        GetGrant "that is not there"
            Organisation All(&[VIEW_ORGANISATION, Absent(|p| p.in_organisation("grants/none"))]),
            GetGrantRequest |p| { name: p.in_organisation("grants/none") };
        ListGrants "of an organisation" Organisation ORGANISATION_ADMIN, ListGrantsRequest |p| {
            parent: p.organisation.clone()
        };
        ListGrants "on an organisation" Organisation ORGANISATION_ADMIN, ListGrantsRequest |p| {
            parent: p.organisation.clone(), resource: p.organisation.clone()
        };
        ListGrants "on an environment" Environment ENVIRONMENT_ADMIN, ListGrantsRequest |p| {
            parent: p.organisation.clone(), resource: p.environment.clone()
        };
        ListGrants "on another organisation" Project All(&[At(elsewhere, &PROJECT_ADMIN), Rules("resource")]),
            ListGrantsRequest |p| { parent: p.organisation.clone(), resource: elsewhere(p).project };
        RevokeGrant "on a project" Organisation OfGrant("PROJECT_ADMIN", "of-project"), RevokeGrantRequest |p| {
            name: p.in_organisation("grants/of-project"), validate_only: true
        };
        RevokeGrant "on an environment" Organisation OfGrant("ENVIRONMENT_ADMIN", "of-environment"),
            RevokeGrantRequest |p| { name: p.in_organisation("grants/of-environment"), validate_only: true };
        RevokeGrant "that is not there"
            Organisation All(&[VIEW_ORGANISATION, Absent(|p| p.in_organisation("grants/none"))]),
            RevokeGrantRequest |p| { name: p.in_organisation("grants/none"), validate_only: true };
        TestPermissions "of oneself" Environment Credential, TestPermissionsRequest |p| {
            resource: p.environment.clone()
        };
        TestPermissions "of a user on a project" Project OneselfOr(SOMEBODY, "PROJECT_ADMIN"),
            TestPermissionsRequest |p| { resource: p.project.clone(), grantee: SOMEBODY.into() };
        TestPermissions "of a group on an organisation" Organisation ORGANISATION_ADMIN,
            TestPermissionsRequest |p| {
                resource: p.organisation.clone(), grantee: p.in_organisation("groups/idle")
            };
        TestPermissions "of a token" Environment OneselfOr("tokens/none", "ENVIRONMENT_ADMIN"),
            TestPermissionsRequest |p| {
                resource: p.environment.clone(), grantee: p.in_organisation("tokens/none")
            };
        TestPermissions "of a trust relationship" Project OneselfOr("trustRelationships/ci", "PROJECT_ADMIN"),
            TestPermissionsRequest |p| {
                resource: p.project.clone(), grantee: p.in_organisation("trustRelationships/ci")
            };
    }
    FeatureService {
        CreateFeature "without tags" Project CREATE_FEATURE, CreateFeatureRequest |p| {
            parent: p.project.clone(), feature_id: "fresh".into(), feature: feature(p, &[]), validate_only: true
        };
        UpdateFeature "with tags" Project WITH_TAGS, UpdateFeatureRequest |p| {
            feature: Some(pb::Feature {
                name: p.in_project("features/dark"), tags: vec!["stable".into()], ..Default::default()
            }),
            validate_only: true,
        };
        UpdateFeature "with tags and an empty mask" Project WITH_TAGS, UpdateFeatureRequest |p| {
            feature: feature(p, &["stable"]), update_mask: mask(&[]), validate_only: true
        };
        UpdateFeature "with a mask of tags" Project WITH_TAGS, UpdateFeatureRequest |p| {
            feature: feature(p, &[]), update_mask: mask(&["description", "tags"]), validate_only: true
        };
        UpdateFeature "with a mask of all" Project WITH_TAGS, UpdateFeatureRequest |p| {
            feature: feature(p, &[]), update_mask: mask(&["*"]), validate_only: true
        };
        UpdateFeature "with a mask without tags" Project CREATE_FEATURE, UpdateFeatureRequest |p| {
            feature: feature(p, &["stable"]), update_mask: mask(&["description"]), validate_only: true
        };
        DeleteFeature "with another tag" Project OfFeature("DELETE_FEATURE", SPLIT), DeleteFeatureRequest |p| {
            name: p.in_project("features/split"), validate_only: true
        };
        DeleteFeature "that is not there"
            Project All(&[OfFeature("DELETE_FEATURE", &[]), Absent(|p| p.in_project("features/none"))]),
            DeleteFeatureRequest |p| { name: p.in_project("features/none"), validate_only: true };
    }
    FlagService {
        UpdateFlag "with another tag" Environment UPDATE_SPLIT, UpdateFlagRequest |p| {
            flag: update(p, "split").flag, update_mask: mask(&["state.enabled"]), validate_only: true
        };
        UpdateFlag "that is not there"
            Environment All(&[
                OfFeature("UPDATE_FEATURE_STATE", &[]), Absent(|p| p.in_environment("flags/none")),
            ]),
            UpdateFlagRequest |p| {
                flag: update(p, "none").flag, update_mask: mask(&["state.enabled"]), validate_only: true
            };
        SetSegmentOverride "with another tag" Environment OfFeature("MANAGE_SEGMENT_OVERRIDES", SPLIT),
            SetSegmentOverrideRequest |p| {
                name: p.in_environment("flags/split/segmentOverrides/vip"), state: on(), validate_only: true
            };
        RemoveSegmentOverride "with another tag" Environment OfFeature("MANAGE_SEGMENT_OVERRIDES", SPLIT),
            RemoveSegmentOverrideRequest |p| {
                name: p.in_environment("flags/split/segmentOverrides/vip"), allow_missing: true,
                validate_only: true,
            };
        ReorderSegmentOverrides "with another tag" Environment OfFeature("MANAGE_SEGMENT_OVERRIDES", SPLIT),
            ReorderSegmentOverridesRequest |p| {
                name: p.in_environment("flags/split"), validate_only: true
            };
        ApplyChanges "of nothing" Project Rules("changes"), ApplyChangesRequest |p| {
            project: p.project.clone(), validate_only: true
        };
        ApplyChanges "that say nothing" Project All(&[VIEW_PROJECT, Rules("changes[0]")]), ApplyChangesRequest |p| {
            project: p.project.clone(), changes: vec![ChangeRequest::default()], validate_only: true
        };
        ApplyChanges "of flags with different tags" Environment All(&[VIEW_PROJECT, UPDATE_DARK, UPDATE_SPLIT]),
            ApplyChangesRequest |p| {
                project: p.project.clone(), validate_only: true,
                changes: changes(["dark", "split"].map(|feature| Change::UpdateFlag(update(p, feature)))),
            };
        ApplyChanges "of two environments" Environment All(&[VIEW_PROJECT, UPDATE_DARK, At(live, &UPDATE_DARK)]),
            ApplyChangesRequest |p| {
                project: p.project.clone(), validate_only: true,
                changes: changes([p.clone(), live(p)].map(|at| Change::UpdateFlag(update(&at, "dark")))),
            };
        ApplyChanges "of another organisation"
            Environment All(&[VIEW_PROJECT, UPDATE_DARK, At(elsewhere, &UPDATE_DARK), Rules("changes[1].update_flag.flag.name")]),
            ApplyChangesRequest |p| {
                project: p.project.clone(), validate_only: true,
                changes: changes([p.clone(), elsewhere(p)].map(|at| Change::UpdateFlag(update(&at, "dark")))),
            };
        ApplyChanges "that set a segment override" Environment All(&[VIEW_PROJECT, MANAGE_SEGMENT_OVERRIDES]),
            ApplyChangesRequest |p| {
                project: p.project.clone(), validate_only: true,
                changes: changes([Change::SetSegmentOverride(SetSegmentOverrideRequest {
                    name: p.in_environment("flags/dark/segmentOverrides/vip"), state: on(), ..Default::default()
                })]),
            };
        ApplyChanges "that remove a segment override" Environment All(&[VIEW_PROJECT, MANAGE_SEGMENT_OVERRIDES]),
            ApplyChangesRequest |p| {
                project: p.project.clone(), validate_only: true,
                changes: changes([Change::RemoveSegmentOverride(RemoveSegmentOverrideRequest {
                    name: p.in_environment("flags/dark/segmentOverrides/vip"), ..Default::default()
                })]),
            };
        ApplyChanges "that reorder segment overrides" Environment All(&[VIEW_PROJECT, MANAGE_SEGMENT_OVERRIDES]),
            ApplyChangesRequest |p| {
                project: p.project.clone(), validate_only: true,
                changes: changes([Change::ReorderSegmentOverrides(ReorderSegmentOverridesRequest {
                    name: p.in_environment("flags/dark"), segments: vec!["vip".into()], ..Default::default()
                })]),
            };
        ApplyChanges "that set an identity override" Environment All(&[VIEW_PROJECT, MANAGE_IDENTITIES]),
            ApplyChangesRequest |p| {
                project: p.project.clone(), validate_only: true,
                changes: changes([Change::SetIdentityOverride(SetIdentityOverrideRequest {
                    name: p.in_environment("flags/dark/identityOverrides/ada"), state: on(), ..Default::default()
                })]),
            };
        ApplyChanges "that remove an identity override that is not there"
            Environment All(&[
                VIEW_PROJECT, MANAGE_IDENTITIES, Absent(|p| p.in_environment("flags/dark/identityOverrides/ada")),
            ]),
            ApplyChangesRequest |p| {
                project: p.project.clone(), validate_only: true,
                changes: changes([Change::RemoveIdentityOverride(RemoveIdentityOverrideRequest {
                    name: p.in_environment("flags/dark/identityOverrides/ada"), ..Default::default()
                })]),
            };
        ApplyChanges "that create a segment" Project All(&[VIEW_PROJECT, MANAGE_SEGMENTS]), ApplyChangesRequest |p| {
            project: p.project.clone(), validate_only: true,
            changes: changes([Change::CreateSegment(CreateSegmentChange {
                segment_id: "fresh".into(), segment: Some(segment(p)),
            })]),
        };
        ApplyChanges "that change a segment of another organisation"
            Project All(&[VIEW_PROJECT, At(elsewhere, &MANAGE_SEGMENTS), Rules("changes[0].update_segment.segment.name")]), ApplyChangesRequest |p| {
                project: p.project.clone(), validate_only: true,
                changes: changes([Change::UpdateSegment(UpdateSegmentChange {
                    segment: Some(segment(&elsewhere(p))), update_mask: mask(&["rules"]),
                })]),
            };
        ApplyChanges "that delete a segment" Project All(&[VIEW_PROJECT, MANAGE_SEGMENTS]), ApplyChangesRequest |p| {
            project: p.project.clone(), validate_only: true,
            changes: changes([Change::DeleteSegment(DeleteSegmentChange {
                name: p.in_project("segments/vip"), force: true, ..Default::default()
            })]),
        };
        ApplyChanges "that create a feature" Project All(&[VIEW_PROJECT, CREATE_FEATURE]), ApplyChangesRequest |p| {
            project: p.project.clone(), validate_only: true,
            changes: changes([Change::CreateFeature(CreateFeatureChange {
                feature_id: "fresh".into(), feature: feature(p, &[]),
            })]),
        };
        ApplyChanges "that create a feature with tags" Project All(&[VIEW_PROJECT, WITH_TAGS]),
            ApplyChangesRequest |p| {
                project: p.project.clone(), validate_only: true,
                changes: changes([Change::CreateFeature(CreateFeatureChange {
                    feature_id: "fresh".into(), feature: feature(p, &["beta"]),
                })]),
            };
    }
    ChangeService {
        ListChanges "of the server" Server ServerAdministrator, ListChangesRequest |_| { parent: "server".into() };
        ListChanges "of an organisation" Organisation ORGANISATION_ADMIN, ListChangesRequest |p| {
            parent: p.organisation.clone()
        };
        GetChange "of the server" Server ServerAdministrator, GetChangeRequest |_| {
            name: "server/changes/1".into()
        };
        GetChange "of an organisation" Organisation ORGANISATION_ADMIN, GetChangeRequest |p| {
            name: p.in_organisation("changes/1")
        };
        WatchChanges "of the server" Server ServerAdministrator, WatchChangesRequest |_| {
            parent: "server".into()
        };
        WatchChanges "of a project" Project VIEW_AUDIT_LOG, WatchChangesRequest |p| { parent: p.project.clone() };
    }
}
