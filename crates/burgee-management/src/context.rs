//! How a handler gets its request: checked against the table of rights; and what all writes have in common: who, how, why, and
//! whether for real.

use std::net::IpAddr;

use burgee_core::change::WriteContext;
use burgee_core::{Result, Violation};
use burgee_proto::management::v1 as pb;
use burgee_proto::status::status;
use chrono::{DateTime, Utc};
use prost::Message;
use sha2::{Digest as _, Sha256};
use tonic::{Request, Status};

use crate::access::{Guarded, Needs};
use crate::fields::{self, At as _};
use crate::gate::{Caller, Gate};

/// Characters of a request id.
const REQUEST_ID_CHARACTERS: usize = 128;
/// Characters of a reason.
const REASON_CHARACTERS: usize = 2_000;

/// The fields that every request to write has.
pub(crate) struct WriteFields {
    request_id: String,
    validate_only: bool,
    reason: String,
}

impl WriteFields {
    /// Checks that nothing is set, as it must be within another request.
    pub(crate) fn check_empty(&self) -> Result<(), Violation> {
        let Self { request_id, validate_only, reason } = self;
        for (field, set) in [
            ("request_id", !request_id.is_empty()),
            ("validate_only", *validate_only),
            ("reason", !reason.is_empty()),
        ] {
            if set {
                return Err(Violation::new(field, "must not be set within ApplyChanges"));
            }
        }
        Ok(())
    }
}

/// A request to write.
pub(crate) trait WriteRequest: Message {
    /// Takes the fields that every such request has out of it.
    fn take_fields(&mut self) -> WriteFields;
}

macro_rules! write_requests {
    ($($name:ident)*) => {
        $(
            impl WriteRequest for pb::$name {
                fn take_fields(&mut self) -> WriteFields {
                    WriteFields {
                        request_id: std::mem::take(&mut self.request_id),
                        validate_only: std::mem::take(&mut self.validate_only),
                        reason: std::mem::take(&mut self.reason),
                    }
                }
            }
        )*
    };
}

write_requests! {
    CreateOrganisationRequest UpdateOrganisationRequest DeleteOrganisationRequest AddMemberRequest
    UpdateMemberRoleRequest RemoveMemberRequest CreateUserRequest UpdateUserRequest DeleteUserRequest
    CreateTokenRequest RevokeTokenRequest CreateGroupRequest UpdateGroupRequest DeleteGroupRequest
    AddGroupMemberRequest UpdateGroupMemberRequest RemoveGroupMemberRequest CreateInvitationRequest
    DeleteInvitationRequest AcceptInvitationRequest CreateRoleRequest UpdateRoleRequest DeleteRoleRequest
    CreateGrantRequest RevokeGrantRequest CreateTrustRelationshipRequest UpdateTrustRelationshipRequest
    DeleteTrustRelationshipRequest CreateProjectRequest UpdateProjectRequest DeleteProjectRequest
    CreateEnvironmentRequest CloneEnvironmentRequest UpdateEnvironmentRequest DeleteEnvironmentRequest
    CreateEnvironmentKeyRequest RotateEnvironmentKeyRequest RevokeEnvironmentKeyRequest CreateFeatureRequest
    UpdateFeatureRequest ArchiveFeatureRequest DeleteFeatureRequest CreateVariantRequest
    UpdateVariantRequest DeleteVariantRequest UpdateFlagRequest SetSegmentOverrideRequest
    RemoveSegmentOverrideRequest ReorderSegmentOverridesRequest SetIdentityOverrideRequest
    RemoveIdentityOverrideRequest ApplyChangesRequest CreateSegmentRequest UpdateSegmentRequest
    DeleteSegmentRequest DeleteIdentityRequest SetTraitsRequest RemoveTraitsRequest
}

/// Who sends a request, as the guard found out.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    /// Nobody, if an open method is called without a credential.
    pub(crate) caller: Option<Caller>,
    /// Where the call comes from.
    pub(crate) address: Option<IpAddr>,
}

/// Hands out a request to read, if its sender has the right.
pub(crate) async fn read<T: Guarded>(gate: &Gate, request: Request<T>) -> Result<(Caller, T), Status> {
    let (visitor, request) = checked(gate, request).await?;
    Ok((visitor.caller.ok_or_else(no_guard)?, request))
}

/// Hands out a request to write, if its sender has the right, and what all writes have in common apart from it. This is
/// where a write reads the clock.
pub(crate) async fn write<T: Guarded + WriteRequest>(
    gate: &Gate,
    request: Request<T>,
) -> Result<(WriteContext, Caller, T), Status> {
    let (visitor, mut request) = checked(gate, request).await?;
    let context = context(&visitor, &mut request, Utc::now());
    let context = context.map_err(|violation| status(violation.into()))?;
    Ok((context, visitor.caller.ok_or_else(no_guard)?, request))
}

/// Hands out a request to read of an open method, whose sender may be nobody.
pub(crate) async fn read_optional<T: Guarded>(
    gate: &Gate,
    request: Request<T>,
) -> Result<(Option<Caller>, T), Status> {
    let (visitor, request) = checked(gate, request).await?;
    Ok((visitor.caller, request))
}

/// Hands out a request to write of an open method, whose sender may be nobody.
pub(crate) async fn write_optional<T: Guarded + WriteRequest>(
    gate: &Gate,
    request: Request<T>,
) -> Result<(WriteContext, Option<Caller>, T), Status> {
    let (visitor, mut request) = checked(gate, request).await?;
    let context = context(&visitor, &mut request, Utc::now());
    Ok((context.map_err(|violation| status(violation.into()))?, visitor.caller, request))
}

async fn checked<T: Guarded>(gate: &Gate, request: Request<T>) -> Result<(Visitor, T), Status> {
    // The guard puts it there; a service without a guard answers nobody.
    let visitor: Visitor = request.extensions().get().cloned().ok_or_else(no_guard)?;
    let request = request.into_inner();
    let needs = request.needs().map_err(|violation| status(violation.into()))?;
    match &visitor.caller {
        Some(caller) => gate.check(caller, &needs).await.map_err(status)?,
        None if needs == Needs::Nothing => {}
        None => return Err(no_guard()),
    }
    Ok((visitor, request))
}

fn no_guard() -> Status {
    Status::internal("the service has no guard")
}

fn context<T: Guarded + WriteRequest>(
    visitor: &Visitor,
    request: &mut T,
    now: DateTime<Utc>,
) -> Result<WriteContext, Violation> {
    let WriteFields { request_id, validate_only, reason } = request.take_fields();
    let request_id = fields::text(request_id, REQUEST_ID_CHARACTERS).at("request_id")?;
    let reason = fields::text(reason, REASON_CHARACTERS).at("reason")?;
    let caller = visitor.caller.as_ref();
    let actor = caller.map(|caller| caller.principal.to_string()).unwrap_or_default();
    // Neither the id nor `validate_only` makes a request another one; somebody else does.
    let digest = Sha256::new()
        .chain_update(T::METHOD)
        .chain_update([0])
        .chain_update(&actor)
        .chain_update([0])
        .chain_update(&reason)
        .chain_update([0])
        .chain_update(request.encode_to_vec());
    Ok(WriteContext {
        actor,
        credential: caller.map(|caller| caller.credential.clone()).unwrap_or_default(),
        on_behalf_of: caller.map(|caller| caller.on_behalf_of.clone()).unwrap_or_default(),
        address: visitor.address.map(|address| address.to_string()).unwrap_or_default(),
        method: T::METHOD.to_owned(),
        request_id: fields::given(request_id),
        request_digest: digest.finalize().into(),
        reason,
        validate_only,
        now,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nobody() -> Visitor {
        Visitor { caller: None, address: None }
    }

    fn check(change: impl Fn(&mut pb::DeleteProjectRequest), same: bool) {
        let digest = |mut request: pb::DeleteProjectRequest| {
            context(&nobody(), &mut request, DateTime::UNIX_EPOCH).unwrap().request_digest
        };
        let request =
            pb::DeleteProjectRequest { name: "p".into(), request_id: "1".into(), ..Default::default() };
        let mut changed = request.clone();
        change(&mut changed);
        assert_eq!(digest(request) == digest(changed), same);
    }

    #[test]
    fn a_request_is_the_same_whatever_its_id() {
        check(|_| (), true);
        check(|request| request.request_id = "2".into(), true);
        check(|request| request.validate_only = true, true);
        check(|request| request.name = "q".into(), false);
        check(|request| request.force = true, false);
        check(|request| request.reason = "tidy".into(), false);
    }

    #[test]
    fn a_reason_and_a_request_id_have_lengths() {
        let check = |request_id: usize, reason: usize, field: Option<&str>| {
            let mut request = pb::DeleteProjectRequest {
                request_id: "é".repeat(request_id),
                reason: "é".repeat(reason),
                ..Default::default()
            };
            let context = context(&nobody(), &mut request, DateTime::UNIX_EPOCH);
            assert_eq!(context.err().map(|violation| violation.field).as_deref(), field);
        };
        check(128, 2_000, None);
        check(129, 2_000, Some("request_id"));
        check(128, 2_001, Some("reason"));
    }

    #[test]
    fn what_is_within_another_request_has_none_of_these_fields() {
        let mut request = pb::UpdateFlagRequest { reason: "why".into(), ..Default::default() };
        assert_eq!(request.take_fields().check_empty().unwrap_err().field, "reason");
        assert!(request.take_fields().check_empty().is_ok());
    }
}
