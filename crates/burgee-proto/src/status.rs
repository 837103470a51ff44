//! Errors as gRPC statuses, with `google.rpc` details. The reasons are listed in `burgee/v1/error.proto`.

use std::collections::HashMap;
use std::time::Duration;

use burgee_core::limits::USERS_LISTED;
use burgee_core::{Error, Violation};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::v1::ErrorReason;

/// The `domain` of every `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "burgee";

/// When a caller may try again what failed because the service cannot answer now.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Bytes of a status's message, and of each text in its details. Callers can send texts of megabytes, and a thousand of
/// them; but a status travels in trailers, with its message twice, and clients commonly refuse trailers above 8 KiB.
const TEXT_BYTES: usize = 800;
/// Bytes of the violations of a status, together; those that do not fit are left out.
const VIOLATIONS_BYTES: usize = 2 * TEXT_BYTES + VIOLATION_FRAME_BYTES;
/// Bytes of a violation beside its texts.
const VIOLATION_FRAME_BYTES: usize = 16;

/// Turns an error into a status. What would be too long is cut.
#[must_use]
pub fn status(error: Error) -> Status {
    let message = cut(error.to_string());
    let (code, details) = parts(error);
    Status::with_error_details(code, message, details)
}

fn parts(error: Error) -> (Code, ErrorDetails) {
    match error {
        Error::Invalid(violations) => {
            let mut details = details(ErrorReason::InvalidField, []);
            let mut bytes = 0;
            for Violation { field, description } in violations {
                let (field, description) = (cut(field), cut(description));
                bytes += field.len() + description.len() + VIOLATION_FRAME_BYTES;
                if bytes > VIOLATIONS_BYTES {
                    break;
                }
                details.add_bad_request_violation(field, description);
            }
            (Code::InvalidArgument, details)
        }
        Error::NotFound { kind, name } => {
            let details = details(ErrorReason::NotFound, [("kind", kind.to_owned()), ("name", name)]);
            (Code::NotFound, details)
        }
        Error::AlreadyExists { kind, name } => {
            let details = details(ErrorReason::AlreadyExists, [("kind", kind.to_owned()), ("name", name)]);
            (Code::AlreadyExists, details)
        }
        Error::StaleEtag { name, current } => {
            let details = details(ErrorReason::StaleEtag, [("name", name), ("etag", current)]);
            (Code::Aborted, details)
        }
        Error::InUse { name, mut users, hidden } => {
            users.truncate(USERS_LISTED);
            let metadata = [("name", name), ("users", users.join(",")), ("hidden", hidden.to_string())];
            (Code::FailedPrecondition, details(ErrorReason::InUse, metadata))
        }
        Error::Precondition { reason, .. } => (Code::FailedPrecondition, named(reason, HashMap::new())),
        Error::OutOfRange { oldest, newest, .. } => {
            let metadata = [("oldest_revision", oldest.to_string()), ("newest_revision", newest.to_string())];
            let details = details(ErrorReason::RevisionOutOfRange, metadata);
            (Code::OutOfRange, details)
        }
        Error::LimitExceeded { limit, maximum } => {
            let metadata = [("limit", limit.to_owned()), ("maximum", maximum.to_string())];
            (Code::ResourceExhausted, details(ErrorReason::LimitExceeded, metadata))
        }
        Error::TooManyRequests { limit, per_second, retry_after } => {
            let metadata = [("limit", limit.to_owned()), ("per_second", per_second.to_string())];
            let mut details = details(ErrorReason::RequestLimitExceeded, metadata);
            details.set_retry_info(Some(retry_after));
            (Code::ResourceExhausted, details)
        }
        Error::RequestIdReused { request_id } => {
            let mut details = details(ErrorReason::RequestIdReused, [("request_id", request_id)]);
            details.add_bad_request_violation("request_id", "was used for a different request");
            (Code::InvalidArgument, details)
        }
        Error::Unauthenticated { reason, .. } => (Code::Unauthenticated, named(reason, HashMap::new())),
        Error::PermissionDenied { permission } => {
            let details = details(ErrorReason::PermissionMissing, [("permission", permission.to_owned())]);
            (Code::PermissionDenied, details)
        }
        Error::SignInLimitExceeded { limit, maximum, retry_after } => {
            let metadata = [("limit", limit.to_owned()), ("maximum", maximum.to_string())];
            let mut details = details(ErrorReason::SignInLimitExceeded, metadata);
            details.set_retry_info(Some(retry_after));
            (Code::ResourceExhausted, details)
        }
        Error::Unavailable { reason, .. } => {
            let mut details = named(reason, HashMap::new());
            details.set_retry_info(Some(RETRY_DELAY));
            (Code::Unavailable, details)
        }
        Error::Change { index: _, error } => parts(*error),
        Error::RevisionNotReached { revision, min_revision } => {
            let metadata = [("revision", revision.to_string()), ("min_revision", min_revision.to_string())];
            let mut details = details(ErrorReason::RevisionNotReached, metadata);
            details.set_retry_info(Some(RETRY_DELAY));
            (Code::Unavailable, details)
        }
        Error::Storage(source) => {
            // The cause is for the operator; the caller learns that it is not the caller's fault.
            let mut causes = source.to_string();
            let mut cause = source.source();
            while let Some(next) = cause {
                causes = format!("{causes}: {next}");
                cause = next.source();
            }
            tracing::error!(error = %causes, "storage failed");
            (Code::Internal, details(ErrorReason::Internal, []))
        }
    }
}

/// Returns the reason of a status's `ErrorInfo`, if it has one.
#[must_use]
pub fn reason(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

fn details<const N: usize>(reason: ErrorReason, metadata: [(&str, String); N]) -> ErrorDetails {
    let metadata = metadata.into_iter().map(|(key, value)| (key.to_owned(), cut(value))).collect();
    let name = reason.as_str_name();
    named(name.strip_prefix("ERROR_REASON_").unwrap_or(name), metadata)
}

/// Cuts off what is too long of a text.
fn cut(mut text: String) -> String {
    const MARK: &str = "…";
    if text.len() > TEXT_BYTES {
        text.truncate(text.floor_char_boundary(TEXT_BYTES - MARK.len()));
        text.push_str(MARK);
    }
    text
}

fn named(reason: &str, metadata: HashMap<String, String>) -> ErrorDetails {
    // A reason that is not in the documented list is a defect.
    debug_assert!(ErrorReason::from_str_name(&format!("ERROR_REASON_{reason}")).is_some(), "{reason}");
    ErrorDetails::with_error_info(reason, DOMAIN, metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(error: Error, code: Code, reason: &str) {
        let status = status(error);
        assert_eq!(status.code(), code);
        assert_eq!(super::reason(&status).as_deref(), Some(reason));
        assert_eq!(status.get_details_error_info().unwrap().domain, DOMAIN);
    }

    #[test]
    fn every_error_has_its_code_and_reason() {
        check(Error::invalid("name", "must be set"), Code::InvalidArgument, "INVALID_FIELD");
        check(Error::NotFound { kind: "flag", name: "f".into() }, Code::NotFound, "NOT_FOUND");
        check(Error::AlreadyExists { kind: "flag", name: "f".into() }, Code::AlreadyExists, "ALREADY_EXISTS");
        check(Error::StaleEtag { name: "f".into(), current: "7".into() }, Code::Aborted, "STALE_ETAG");
        check(
            Error::InUse { name: "s".into(), users: vec![], hidden: 0 },
            Code::FailedPrecondition,
            "IN_USE",
        );
        check(Error::LimitExceeded { limit: "l", maximum: 1 }, Code::ResourceExhausted, "LIMIT_EXCEEDED");
        check(
            Error::TooManyRequests { limit: "l", per_second: 1, retry_after: RETRY_DELAY },
            Code::ResourceExhausted,
            "REQUEST_LIMIT_EXCEEDED",
        );
        check(
            Error::SignInLimitExceeded { limit: "l", maximum: 1, retry_after: RETRY_DELAY },
            Code::ResourceExhausted,
            "SIGN_IN_LIMIT_EXCEEDED",
        );
        check(Error::RequestIdReused { request_id: "r".into() }, Code::InvalidArgument, "REQUEST_ID_REUSED");
        check(
            Error::Unauthenticated { reason: "CREDENTIAL_MISSING", message: "" },
            Code::Unauthenticated,
            "CREDENTIAL_MISSING",
        );
        check(Error::PermissionDenied { permission: "p" }, Code::PermissionDenied, "PERMISSION_MISSING");
        check(
            Error::Unavailable { reason: "DATABASE_UNAVAILABLE", message: String::new() },
            Code::Unavailable,
            "DATABASE_UNAVAILABLE",
        );
        check(
            Error::RevisionNotReached { revision: 1, min_revision: 2 },
            Code::Unavailable,
            "REVISION_NOT_REACHED",
        );
        check(Error::Storage("disk full".into()), Code::Internal, "INTERNAL");
    }

    #[test]
    fn what_is_in_use_tells_of_some_users_and_how_many_are_hidden() {
        let check = |users: usize, hidden: usize, message: &str, named: &str| {
            let users = (1..=users).map(|number| format!("u{number}")).collect();
            let status = status(Error::InUse { name: "s".into(), users, hidden });
            let metadata = status.get_details_error_info().unwrap().metadata;
            assert_eq!(status.message(), format!("`s` is in use by {message}"));
            assert_eq!((metadata["users"].as_str(), &metadata["hidden"]), (named, &hidden.to_string()));
        };
        check(2, 0, "u1, u2", "u1,u2");
        check(1, 3, "u1 and 3 that you may not see", "u1");
        check(0, 3, "3 that you may not see", "");
        let listed: Vec<_> = (1..=20).map(|number| format!("u{number}")).collect();
        check(21, 0, &listed.join(", "), &listed.join(","));
    }

    #[test]
    fn who_makes_too_many_requests_is_told_when_to_come_back() {
        let retry_after = Duration::from_millis(300);
        let status = status(Error::TooManyRequests { limit: "l", per_second: 5, retry_after });
        let metadata = status.get_details_error_info().unwrap().metadata;
        assert_eq!((metadata["limit"].as_str(), metadata["per_second"].as_str()), ("l", "5"));
        assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(retry_after));
    }

    #[test]
    fn the_change_at_fault_is_named() {
        let error = Error::NotFound { kind: "flag", name: "f".into() }.of_change(3);
        assert_eq!(status(error).message(), "changes[3]: flag `f` does not exist");
        check(
            Error::LimitExceeded { limit: "l", maximum: 1 }.of_change(0),
            Code::ResourceExhausted,
            "LIMIT_EXCEEDED",
        );
    }

    #[test]
    fn the_cause_of_a_storage_error_stays_here() {
        assert!(!status(Error::Storage("disk full".into())).message().contains("disk"));
    }

    #[test]
    fn a_status_fits_into_trailers() {
        let long = "é".repeat(100_000);
        let violations = |text: &str| Error::Invalid(vec![Violation::new(text, text); 1_000]);
        for error in [
            violations(&long),
            violations("x"),
            Error::NotFound { kind: "feature", name: long.clone() },
            Error::InUse { name: long.clone(), users: vec![long.clone(); 20], hidden: usize::MAX },
            Error::StaleEtag { name: long.clone(), current: long },
        ] {
            let status = status(error);
            // On the wire, a byte of the message may take three, and three bytes of the details take four.
            let bytes = status.message().len() * 3 + status.details().len() * 4 / 3;
            assert!(bytes < 7 * 1024, "{bytes}");
        }
        let status = status(violations("field"));
        assert_eq!(status.get_details_bad_request().unwrap().field_violations.len(), 62);
        assert!(status.message().ends_with('…') && status.message().len() <= TEXT_BYTES);
    }

    #[test]
    fn a_violation_names_its_field() {
        let status = status(Error::invalid("flag.state.value", "must be a boolean"));
        let violations = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(violations[0].field, "flag.state.value");
    }
}
