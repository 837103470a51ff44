//! Permissions, roles and grants.

use burgee_core::Violation;
use burgee_core::grant::{Grant, PermissionRole};
use burgee_core::permission::Permission;

use crate::time::timestamp;
use crate::v1 as pb;

macro_rules! permissions {
    ($($variant:ident)*) => {
        impl From<Permission> for pb::Permission {
            fn from(permission: Permission) -> Self {
                match permission { $(Permission::$variant => Self::$variant,)* }
            }
        }

        impl TryFrom<pb::Permission> for Permission {
            type Error = Violation;

            fn try_from(permission: pb::Permission) -> Result<Self, Violation> {
                match permission {
                    pb::Permission::Unspecified => Err(Violation::new("", "must be set")),
                    $(pb::Permission::$variant => Ok(Self::$variant),)*
                }
            }
        }
    };
}

permissions! {
    ViewOrganisation OrganisationAdmin CreateProject ManageUserGroups
    ViewProject ProjectAdmin CreateEnvironment CreateFeature
    DeleteFeature ManageSegments ViewAuditLog ManageTags
    CreateProjectLevelChangeRequests ApproveProjectLevelChangeRequests ManageProjectLevelChangeRequests ViewEnvironment
    EnvironmentAdmin UpdateFeatureState ManageSegmentOverrides ViewIdentities
    ManageIdentities CreateChangeRequest ApproveChangeRequest
}

fn wire(permissions: &[Permission]) -> Vec<i32> {
    permissions.iter().map(|permission| pb::Permission::from(*permission).into()).collect()
}

impl From<&PermissionRole> for pb::PermissionRole {
    fn from(role: &PermissionRole) -> Self {
        Self {
            name: role.name.to_string(),
            display_name: role.display_name.clone(),
            description: role.description.clone(),
            permissions: wire(&role.permissions),
            create_time: Some(timestamp(role.created_at)),
            etag: role.etag.clone(),
        }
    }
}

impl From<&Grant> for pb::Grant {
    fn from(grant: &Grant) -> Self {
        Self {
            name: grant.name.to_string(),
            grantee: grant.grantee.to_string(),
            resource: grant.place.to_string(),
            permissions: wire(&grant.permissions),
            role: grant.role.as_ref().map(ToString::to_string).unwrap_or_default(),
            tags: grant.tags.clone(),
            create_time: Some(timestamp(grant.created_at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_called_the_same_everywhere() {
        for &permission in Permission::ALL {
            let wire = pb::Permission::from(permission);
            assert_eq!(wire.as_str_name(), format!("PERMISSION_{}", permission.as_str()));
            assert_eq!(Permission::try_from(wire), Ok(permission));
        }
    }
}
