//! Errors of servers, for people.

use std::fmt::{Display, Write};

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Returns the canonical name of a code: `NOT_FOUND`.
#[must_use]
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// Writes all that a status says: code, message, reason, and the fields at fault.
#[must_use]
pub fn describe(status: &Status) -> String {
    let mut text = format!("{}: {}", code_name(status.code()), status.message());
    let details = status.get_error_details();
    if let Some(info) = details.error_info() {
        let _ = write!(text, "\n  reason: {}", info.reason);
        let mut metadata: Vec<_> = info.metadata.iter().collect();
        metadata.sort();
        for (key, value) in metadata {
            let _ = write!(text, "\n  {key}: {value}");
        }
    }
    for violation in details.bad_request().into_iter().flat_map(|request| &request.field_violations) {
        let _ = write!(text, "\n  field `{}` {}", violation.field, violation.description);
    }
    text
}

/// Returns what turns the status of a failed call into an error that says what was tried.
pub fn failed(what: impl Display) -> impl FnOnce(Status) -> anyhow::Error {
    move |status| anyhow::anyhow!("{what}: {}", describe(&status))
}

/// Returns the answer, or none if there is no such thing.
///
/// # Errors
/// The call failed for another reason.
pub fn found<T>(answer: Result<tonic::Response<T>, Status>) -> Result<Option<T>, Status> {
    match answer {
        Ok(response) => Ok(Some(response.into_inner())),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(status),
    }
}

#[cfg(test)]
mod tests {
    use burgee_core::Error;
    use burgee_proto::status::status;

    use super::*;

    #[test]
    fn a_status_is_shown_with_all_that_it_says() {
        let text = describe(&status(Error::invalid("flag.state", "must be set")));
        assert_eq!(
            text,
            "INVALID_ARGUMENT: `flag.state` must be set\n  reason: INVALID_FIELD\n  field `flag.state` must be set"
        );
        let text = describe(&status(Error::NotFound { kind: "flag", name: "f".into() }));
        assert_eq!(text, "NOT_FOUND: flag `f` does not exist\n  reason: NOT_FOUND\n  kind: flag\n  name: f");
    }
}
