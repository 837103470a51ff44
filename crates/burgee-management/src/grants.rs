//! Grants, and what somebody may do by them.

use burgee_core::account::AccountMutation;
use burgee_core::change::WriteContext;
use burgee_core::grant::{Extent, Grant, Grantee, Principal, Rights};
use burgee_core::name::{GrantId, GrantName, OrganisationName, RoleName};
use burgee_core::permission::{Permission, Place};
use burgee_core::store::{FlagStore, GrantFilter};
use burgee_core::{Error, Result, Violation};
use burgee_proto::management::v1 as pb;
use burgee_proto::v1 as shared;

use crate::fields::{self, At as _, required};
use crate::gate::Caller;
use crate::page::Paging;
use crate::roles::permission;
use crate::transaction::apply_account;

/// Permissions that are tested at once.
const PERMISSIONS_TESTED: usize = 100;

/// Returns who becomes the administrator of something new: its creator, unless they administer what it is in.
pub(crate) fn creator(principal: &Principal, rights: &Rights, above: &Place) -> Option<Grantee> {
    let administers = rights.allows(above.administrator(), above);
    (!administers).then(|| principal.clone().into())
}

pub(crate) async fn create(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::CreateGrantRequest,
) -> Result<pb::CreateGrantResponse> {
    let grant = new_grant(context, request)?;
    let written = apply_account(store, context, AccountMutation::CreateGrant { grant }).await?;
    Ok(pb::CreateGrantResponse { grant: written.grant() })
}

fn new_grant(context: &WriteContext, request: pb::CreateGrantRequest) -> Result<Grant, Violation> {
    let organisation = OrganisationName::parse(&request.parent).at("parent")?;
    let id = GrantId::parse(&request.grant_id).at("grant_id")?;
    let wire = required(request.grant, "grant")?;
    let grantee = grantee(&organisation, &wire.grantee).at("grant.grantee")?;
    let place = place(&organisation, &wire.resource).at("grant.resource")?;
    let role = match wire.role.as_str() {
        "" => None,
        name => Some(role(&organisation, name).at("grant.role")?),
    };
    let permissions = permissions(&place, role.as_ref(), &wire.permissions).at("grant")?;
    let tags = fields::tags(&wire.tags).at("grant")?;
    if !tags.is_empty() && permissions.iter().any(|permission| permission.is_administrator()) {
        return Err(Violation::new("grant.tags", "must be empty: administrators cannot be limited"));
    }
    let name = GrantName { organisation, grant: id };
    Ok(Grant { name, grantee, place, permissions, role, tags, created_at: context.now })
}

/// Parses somebody of an organisation; whether a user is a member, the store knows.
fn grantee(organisation: &OrganisationName, name: &str) -> Result<Grantee, Violation> {
    let grantee = Grantee::parse(name)?;
    fields::belongs_to(organisation, grantee.organisation())?;
    Ok(grantee)
}

/// Parses a place of an organisation.
fn place(organisation: &OrganisationName, name: &str) -> Result<Place, Violation> {
    let place = Place::parse(name)?;
    fields::belongs_to(organisation, Some(place.organisation()))?;
    Ok(place)
}

/// Parses a role of an organisation.
fn role(organisation: &OrganisationName, name: &str) -> Result<RoleName, Violation> {
    let role = RoleName::parse(name)?;
    fields::belongs_to(organisation, Some(&role.organisation))?;
    Ok(role)
}

/// Checks the field `permissions` of a grant at a place, and returns them in order.
fn permissions(place: &Place, role: Option<&RoleName>, given: &[i32]) -> Result<Vec<Permission>, Violation> {
    let mut permissions = fields::each_once(given, "permissions", |number| {
        let permission = permission(number)?;
        if permission.level() < place.level() {
            let rule = format!("must be of the level of `{place}` or below, is `{}`", permission.as_str());
            return Err(Violation::new("", rule));
        }
        Ok(permission)
    })?;
    match (role, permissions.is_empty()) {
        (None, true) => Err(Violation::new("permissions", "must have at least one, unless `role` is set")),
        (Some(_), false) => Err(Violation::new("permissions", "must be empty if `role` is set")),
        (None, false) | (Some(_), true) => {
            permissions.sort_unstable();
            Ok(permissions)
        }
    }
}

pub(crate) async fn get(store: &dyn FlagStore, request: pb::GetGrantRequest) -> Result<pb::GetGrantResponse> {
    let name = GrantName::parse(&request.name).at("name")?;
    Ok(pb::GetGrantResponse { grant: Some((&store.grant(&name).await?).into()) })
}

pub(crate) async fn list(
    store: &dyn FlagStore,
    request: pb::ListGrantsRequest,
) -> Result<pb::ListGrantsResponse> {
    let pb::ListGrantsRequest { parent, resource, grantee, page_size, page_token } = request;
    let organisation = OrganisationName::parse(&parent).at("parent")?;
    let paging = Paging::parse(page_size, &page_token, &["grants", &parent, &resource, &grantee])?;
    let filter = filter(&organisation, &resource, &grantee)?;
    let found = store.grants(&organisation, &filter, &paging.query()).await?;
    let (grants, next_page_token) = paging.cut(found, |item| item.name.grant.to_string());
    Ok(pb::ListGrantsResponse { grants, next_page_token })
}

fn filter(organisation: &OrganisationName, resource: &str, of: &str) -> Result<GrantFilter, Violation> {
    let place = match resource {
        "" => None,
        // The caller administers this place: of another organisation, it says nothing about this one.
        name => Some(place(organisation, name).at("resource")?),
    };
    let grantee = match of {
        "" => None,
        name => Some(grantee(organisation, name).at("grantee")?),
    };
    Ok(GrantFilter { place, grantee })
}

pub(crate) async fn revoke(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::RevokeGrantRequest,
) -> Result<pb::RevokeGrantResponse> {
    let name = GrantName::parse(&request.name).at("name")?;
    apply_account(store, context, AccountMutation::RevokeGrant { name }).await?;
    Ok(pb::RevokeGrantResponse {})
}

pub(crate) async fn test(
    store: &dyn FlagStore,
    caller: &Caller,
    request: pb::TestPermissionsRequest,
) -> Result<pb::TestPermissionsResponse> {
    let place = Place::parse(&request.resource).at("resource")?;
    let tested = tested(&place, &request.permissions)?;
    let somebody_else = match request.grantee.as_str() {
        "" => None,
        name => Some(grantee(place.organisation(), name).at("grantee")?),
    };
    let somebody_else = somebody_else.filter(|grantee| *grantee != caller.principal.clone().into());

    let rights = caller.rights(store, place.organisation()).await?;
    if !rights.sees(&place) || !exists(store, &place).await? {
        return Ok(pb::TestPermissionsResponse { held: Vec::new() });
    }
    let held = match somebody_else {
        None => held(&rights, &place, &tested),
        Some(grantee) => held(&rights_of(store, &grantee, &place).await?, &place, &tested),
    };
    Ok(pb::TestPermissionsResponse { held })
}

/// Returns what somebody else may do in the organisation of a place.
async fn rights_of(store: &dyn FlagStore, grantee: &Grantee, place: &Place) -> Result<Rights> {
    let rights = store.rights(grantee, &[], place.organisation()).await?;
    let administrator = match grantee {
        Grantee::User(name) => match store.user(name).await {
            Ok(user) => user.administrator,
            Err(Error::NotFound { .. }) => false,
            Err(error) => return Err(error),
        },
        Grantee::Group(_) | Grantee::Token(_) | Grantee::TrustRelationship(_) => false,
    };
    Ok(Rights { administrator, ..rights })
}

/// Checks the field `permissions` of a test, and returns in order those that can be held at a place.
fn tested(place: &Place, given: &[i32]) -> Result<Vec<Permission>, Violation> {
    if given.len() > PERMISSIONS_TESTED {
        let rule = format!("must be at most {PERMISSIONS_TESTED}, is {}", given.len());
        return Err(Violation::new("permissions", rule));
    }
    let parse = |(index, number)| permission(number).at(format_args!("permissions[{index}]"));
    let mut tested = given.iter().enumerate().map(parse).collect::<Result<Vec<_>, _>>()?;
    if tested.is_empty() {
        tested = Permission::ALL.to_vec();
    }
    tested.retain(|permission| permission.level() >= place.level());
    tested.sort_unstable();
    tested.dedup();
    Ok(tested)
}

async fn exists(store: &dyn FlagStore, place: &Place) -> Result<bool> {
    let found = match place {
        Place::Organisation(name) => store.organisation(name).await.map(drop),
        Place::Project(name) => store.project(name).await.map(drop),
        Place::Environment(name) => store.environment(name).await.map(drop),
    };
    match found {
        Ok(()) => Ok(true),
        Err(Error::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn held(rights: &Rights, place: &Place, tested: &[Permission]) -> Vec<pb::HeldPermission> {
    let mut held = Vec::new();
    for permission in tested {
        let tags = match rights.extent(*permission, place) {
            Extent::Nothing => continue,
            Extent::Tagged(tags) => tags,
            Extent::Everything => Vec::new(),
        };
        held.push(pb::HeldPermission { permission: shared::Permission::from(*permission).into(), tags });
    }
    held
}

#[cfg(test)]
mod tests {
    use burgee_core::grant::Held;
    use burgee_core::organisation::Role;
    use chrono::DateTime;

    use super::*;

    const ACME: &str = "organisations/acme";
    const SHOP: &str = "organisations/acme/projects/shop";
    const DEV: &str = "organisations/acme/projects/shop/environments/dev";

    fn context() -> WriteContext {
        WriteContext {
            actor: "users/ada".into(),
            credential: "users/ada/tokens/laptop".into(),
            on_behalf_of: String::new(),
            address: String::new(),
            method: "PermissionService/CreateGrant".into(),
            request_id: None,
            request_digest: [0; 32],
            reason: String::new(),
            validate_only: false,
            now: DateTime::UNIX_EPOCH,
        }
    }

    fn wire(permissions: &[shared::Permission]) -> shared::Grant {
        shared::Grant {
            grantee: "users/eve".into(),
            resource: SHOP.into(),
            permissions: permissions.iter().map(|permission| (*permission).into()).collect(),
            ..Default::default()
        }
    }

    fn parsed(grant: shared::Grant) -> Result<Grant, Violation> {
        new_grant(
            &context(),
            pb::CreateGrantRequest {
                parent: ACME.into(),
                grant_id: "eve".into(),
                grant: Some(grant),
                ..Default::default()
            },
        )
    }

    fn check_refused(grant: shared::Grant, field: &str) {
        assert_eq!(parsed(grant).unwrap_err().field, field);
    }

    #[test]
    fn a_grant_has_its_permissions_and_tags_in_order() {
        use shared::Permission::{DeleteFeature, UpdateFeatureState};
        let given = shared::Grant {
            tags: vec!["b".into(), "a".into()],
            ..wire(&[UpdateFeatureState, DeleteFeature])
        };
        let grant = parsed(given).unwrap();
        assert_eq!(grant.permissions, [Permission::DeleteFeature, Permission::UpdateFeatureState]);
        assert_eq!(grant.tags, ["a", "b"]);
        assert_eq!(grant.name.to_string(), "organisations/acme/grants/eve");
        for grantee in [
            "organisations/acme/groups/eng",
            "organisations/acme/tokens/ci",
            "organisations/acme/trustRelationships/github",
        ] {
            let grant = parsed(shared::Grant { grantee: grantee.into(), ..wire(&[UpdateFeatureState]) });
            assert_eq!(grant.unwrap().grantee.to_string(), grantee);
        }
    }

    #[test]
    fn a_grant_is_of_permissions_or_of_a_role() {
        use shared::Permission::ViewProject;
        let role = || "organisations/acme/roles/release".to_owned();
        check_refused(wire(&[]), "grant.permissions");
        check_refused(shared::Grant { role: role(), ..wire(&[ViewProject]) }, "grant.permissions");
        let grant = parsed(shared::Grant { role: role(), ..wire(&[]) }).unwrap();
        assert_eq!((grant.permissions, grant.role.unwrap().to_string()), (vec![], role()));
    }

    #[test]
    fn a_grant_has_no_permission_of_a_level_above() {
        use shared::Permission::{
            CreateProject, EnvironmentAdmin, OrganisationAdmin, ProjectAdmin, Unspecified, ViewProject,
        };
        check_refused(wire(&[ViewProject, OrganisationAdmin]), "grant.permissions[1]");
        check_refused(wire(&[CreateProject]), "grant.permissions[0]");
        check_refused(wire(&[ViewProject, ViewProject]), "grant.permissions[1]");
        check_refused(wire(&[Unspecified]), "grant.permissions[0]");
        let on =
            |resource: &str, permission| shared::Grant { resource: resource.into(), ..wire(&[permission]) };
        check_refused(on(DEV, ProjectAdmin), "grant.permissions[0]");
        assert!(parsed(on(DEV, EnvironmentAdmin)).is_ok());
        assert!(parsed(on(SHOP, EnvironmentAdmin)).is_ok());
        assert!(parsed(on(ACME, OrganisationAdmin)).is_ok());
    }

    #[test]
    fn an_administrator_cannot_be_limited_by_tag() {
        use shared::Permission::{DeleteFeature, EnvironmentAdmin, ProjectAdmin};
        let tagged = |permissions: &[shared::Permission]| shared::Grant {
            tags: vec!["a".into()],
            ..wire(permissions)
        };
        check_refused(tagged(&[ProjectAdmin]), "grant.tags");
        check_refused(tagged(&[DeleteFeature, EnvironmentAdmin]), "grant.tags");
        assert!(parsed(tagged(&[DeleteFeature])).is_ok());
        check_refused(shared::Grant { tags: vec![String::new()], ..wire(&[DeleteFeature]) }, "grant.tags[0]");
    }

    #[test]
    fn a_grant_stays_in_its_organisation() {
        let grant = || wire(&[shared::Permission::ViewProject]);
        for grantee in
            ["organisations/evil/groups/eng", "organisations/evil/tokens/ci", "users/eve/tokens/x", "eve", ""]
        {
            check_refused(shared::Grant { grantee: grantee.into(), ..grant() }, "grant.grantee");
        }
        for resource in ["organisations/evil", "organisations/evil/projects/shop", "shop", ""] {
            check_refused(shared::Grant { resource: resource.into(), ..grant() }, "grant.resource");
        }
        let role = "organisations/evil/roles/release".to_owned();
        check_refused(shared::Grant { role, ..wire(&[]) }, "grant.role");
        let acme = OrganisationName::parse(ACME).unwrap();
        assert!(filter(&acme, SHOP, "users/eve").is_ok());
        assert_eq!(filter(&acme, "organisations/evil", "").unwrap_err().field, "resource");
        assert_eq!(filter(&acme, "", "organisations/evil/tokens/ci").unwrap_err().field, "grantee");
    }

    fn rights(place: &str, permissions: &[Permission], tags: &[&str]) -> Rights {
        let held = Held {
            place: Place::parse(place).unwrap(),
            permissions: permissions.to_vec(),
            tags: tags.iter().map(ToString::to_string).collect(),
        };
        Rights { role: Some(Role::Member), held: vec![held], ..Rights::default() }
    }

    #[test]
    fn whoever_administers_what_something_new_is_in_needs_no_grant_of_it() {
        let ada = Principal::User(burgee_core::name::UserName::parse("users/ada").unwrap());
        let check = |rights: Rights, above: &str, granted: bool| {
            let creator = creator(&ada, &rights, &Place::parse(above).unwrap());
            assert_eq!(creator, granted.then(|| Grantee::parse("users/ada").unwrap()), "{rights:?}");
        };
        check(rights(ACME, &[Permission::CreateProject], &[]), ACME, true);
        check(rights(ACME, &[Permission::OrganisationAdmin], &[]), ACME, false);
        check(rights(SHOP, &[Permission::CreateEnvironment], &[]), SHOP, true);
        check(rights(SHOP, &[Permission::ProjectAdmin], &[]), SHOP, false);
        check(rights(ACME, &[Permission::ProjectAdmin], &[]), SHOP, false);
        check(Rights { role: Some(Role::Admin), ..Rights::default() }, SHOP, false);
        check(Rights { administrator: true, ..Rights::default() }, ACME, false);
    }

    fn check_held_at(
        rights: &Rights,
        place: &str,
        given: &[shared::Permission],
        expected: &[(&str, &[&str])],
    ) {
        let place = Place::parse(place).unwrap();
        let given: Vec<i32> = given.iter().map(|permission| (*permission).into()).collect();
        let found = held(rights, &place, &tested(&place, &given).unwrap());
        let found: Vec<_> =
            found.iter().map(|held| (held.permission().as_str_name(), held.tags.clone())).collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, tags)| (*name, tags.iter().map(ToString::to_string).collect::<Vec<_>>()))
            .collect();
        assert_eq!(found, expected, "{place}");
    }

    #[test]
    fn permissions_are_tested_at_their_levels() {
        use shared::Permission::{UpdateFeatureState, ViewEnvironment, ViewOrganisation};
        let all = [Permission::ViewEnvironment, Permission::UpdateFeatureState];
        let eve = rights(SHOP, &all, &["a"]);
        let both: &[(&str, &[&str])] =
            &[("PERMISSION_VIEW_ENVIRONMENT", &[]), ("PERMISSION_UPDATE_FEATURE_STATE", &["a"])];
        check_held_at(&eve, DEV, &[], both);
        check_held_at(&eve, SHOP, &[], both);
        check_held_at(&eve, DEV, &[UpdateFeatureState, ViewEnvironment, UpdateFeatureState], both);
        check_held_at(&eve, ACME, &[], &[("PERMISSION_VIEW_ORGANISATION", &[])]);
        // What belongs to a level above cannot be held here, whoever asks.
        let administrator = Rights { administrator: true, ..Rights::default() };
        check_held_at(&administrator, DEV, &[ViewOrganisation], &[]);
        check_held_at(&administrator, ACME, &[ViewOrganisation], &[("PERMISSION_VIEW_ORGANISATION", &[])]);
        let place = Place::parse(ACME).unwrap();
        assert_eq!(tested(&place, &[]).unwrap(), Permission::ALL);
        assert_eq!(tested(&place, &[1, 99]).unwrap_err().field, "permissions[1]");
        assert!(tested(&place, &[1; 100]).is_ok());
        assert_eq!(tested(&place, &[1; 101]).unwrap_err().field, "permissions");
    }
}
