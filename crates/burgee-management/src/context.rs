//! What all writes have in common: who, how, why, and whether for real.

use burgee_core::change::WriteContext;
use burgee_core::{Result, Violation};
use burgee_proto::management::v1 as pb;
use burgee_proto::status::status;
use chrono::{DateTime, Utc};
use prost::Message;
use sha2::{Digest as _, Sha256};
use tonic::{Request, Status};

use crate::access::Caller;
use crate::fields::{self, At as _};

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
    CreateOrganisationRequest UpdateOrganisationRequest DeleteOrganisationRequest
    AddMemberRequest UpdateMemberRoleRequest RemoveMemberRequest
    CreateUserRequest CreateTokenRequest RevokeTokenRequest
    CreateProjectRequest UpdateProjectRequest DeleteProjectRequest
    CreateEnvironmentRequest CloneEnvironmentRequest UpdateEnvironmentRequest DeleteEnvironmentRequest
    CreateEnvironmentKeyRequest RotateEnvironmentKeyRequest RevokeEnvironmentKeyRequest
    CreateFeatureRequest UpdateFeatureRequest ArchiveFeatureRequest DeleteFeatureRequest
    CreateVariantRequest UpdateVariantRequest DeleteVariantRequest
    UpdateFlagRequest SetSegmentOverrideRequest RemoveSegmentOverrideRequest ReorderSegmentOverridesRequest
    SetIdentityOverrideRequest RemoveIdentityOverrideRequest ApplyChangesRequest
    CreateSegmentRequest UpdateSegmentRequest DeleteSegmentRequest
    DeleteIdentityRequest SetTraitsRequest RemoveTraitsRequest
}

/// Returns who calls.
pub(crate) fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    // The guard puts it there; a service without a guard answers nobody.
    request.extensions().get().cloned().ok_or_else(|| Status::internal("the service has no guard"))
}

/// Takes a request to write apart: what all of them have, and the rest. This is where a write reads the clock.
#[allow(clippy::result_large_err, reason = "tonic's status")]
pub(crate) fn write<T: WriteRequest>(method: &str, request: Request<T>) -> Result<(WriteContext, T), Status> {
    let caller = caller(&request)?;
    let mut request = request.into_inner();
    let context = context(&caller.owner.to_string(), method, &mut request, Utc::now());
    Ok((context.map_err(|violation| status(violation.into()))?, request))
}

fn context<T: WriteRequest>(
    actor: &str,
    method: &str,
    request: &mut T,
    now: DateTime<Utc>,
) -> Result<WriteContext, Violation> {
    let WriteFields { request_id, validate_only, reason } = request.take_fields();
    let request_id = fields::text(request_id, REQUEST_ID_CHARACTERS).at("request_id")?;
    let reason = fields::text(reason, REASON_CHARACTERS).at("reason")?;
    // Neither the id nor `validate_only` makes a request another one.
    let digest = Sha256::new()
        .chain_update(method)
        .chain_update([0])
        .chain_update(&reason)
        .chain_update([0])
        .chain_update(request.encode_to_vec());
    Ok(WriteContext {
        actor: actor.to_owned(),
        method: method.to_owned(),
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

    fn check(change: impl Fn(&mut pb::DeleteProjectRequest), same: bool) {
        let digest = |method, mut request: pb::DeleteProjectRequest| {
            context("users/ada", method, &mut request, DateTime::UNIX_EPOCH).unwrap().request_digest
        };
        let request =
            pb::DeleteProjectRequest { name: "p".into(), request_id: "1".into(), ..Default::default() };
        let mut changed = request.clone();
        change(&mut changed);
        let first = digest("ProjectService/DeleteProject", request);
        assert_eq!(first == digest("ProjectService/DeleteProject", changed.clone()), same);
        assert_ne!(first, digest("ProjectService/Other", changed));
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
            let context = context("users/ada", "m", &mut request, DateTime::UNIX_EPOCH);
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
