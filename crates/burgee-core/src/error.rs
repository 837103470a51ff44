//! What can go wrong, said so that a caller can act on it.

use std::fmt;
use std::time::Duration;

use crate::limits::USERS_LISTED;

/// The result of everything in Burgee that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A field that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The path of the field as the caller wrote it, such as `feature.variants[2].weight`.
    pub field: String,
    /// The rule, and what broke it, such as "must be 1 to 63 characters, is 70".
    pub description: String,
}

impl Violation {
    /// Creates a violation of a rule by `field`.
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { field: field.into(), description: description.into() }
    }

    /// Puts `parent` before the field's path: `weight` at `variants[2]` is `variants[2].weight`.
    #[must_use]
    pub fn at(mut self, parent: impl fmt::Display) -> Self {
        self.field = match self.field.as_str() {
            "" => parent.to_string(),
            field if field.starts_with('[') => format!("{parent}{field}"),
            field => format!("{parent}.{field}"),
        };
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}` {}", self.field, self.description)
    }
}

/// Everything that a service answers instead of a result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fields of the request break rules; nothing was changed.
    #[error("{}", join(.0))]
    Invalid(Vec<Violation>),

    /// The resource does not exist, or the caller may not know that it does.
    #[error("{kind} `{name}` does not exist")]
    NotFound {
        /// What kind of resource, such as "feature".
        kind: &'static str,
        /// The name that was asked for.
        name: String,
    },

    /// A resource with this name exists.
    #[error("{kind} `{name}` exists already")]
    AlreadyExists {
        /// What kind of resource.
        kind: &'static str,
        /// The name that is taken.
        name: String,
    },

    /// The caller's etag is not the resource's; somebody else changed it.
    #[error("`{name}` has changed since it was read; its etag is now `{current}`")]
    StaleEtag {
        /// The resource.
        name: String,
        /// Its etag now.
        current: String,
    },

    /// The resource cannot be deleted while others use it.
    #[error("`{name}` is in use by {}", used_by(.users, *.hidden))]
    InUse {
        /// The resource.
        name: String,
        /// The names of what uses it; the caller is told at most [`USERS_LISTED`].
        users: Vec<String>,
        /// How many more use it that the caller may not see.
        hidden: usize,
    },

    /// The state of the system forbids the operation.
    #[error("{message}")]
    Precondition {
        /// A word for programs, such as `LAST_ADMINISTRATOR`.
        reason: &'static str,
        /// A sentence for people.
        message: String,
    },

    /// The revision that was asked for is not kept (any more), or does not exist yet.
    #[error("revision {revision} is not kept: the oldest is {oldest}, the newest {newest}")]
    OutOfRange {
        /// The revision that was asked for.
        revision: i64,
        /// The oldest that can be asked for.
        oldest: i64,
        /// The newest.
        newest: i64,
    },

    /// A named limit would be passed; nothing was changed.
    #[error("`{limit}` is at most {maximum}")]
    LimitExceeded {
        /// The limit's name, as in the settings.
        limit: &'static str,
        /// Its value.
        maximum: u64,
    },

    /// The credential has made too many requests; nothing was done.
    #[error("`{limit}` is {per_second}; the next request is answered in {} ms", retry_after.as_millis().max(1))]
    TooManyRequests {
        /// The limit's name, as in the settings.
        limit: &'static str,
        /// Its value: requests a second.
        per_second: u32,
        /// When the next request will be answered.
        retry_after: Duration,
    },

    /// The request id was used before, for a different request.
    #[error("request id `{request_id}` was used for a different request")]
    RequestIdReused {
        /// The id.
        request_id: String,
    },

    /// The caller did not say who it is, or is not known.
    #[error("{message}")]
    Unauthenticated {
        /// A word for programs: `CREDENTIAL_MISSING`, `CREDENTIAL_INVALID`, `CREDENTIAL_EXPIRED`.
        reason: &'static str,
        /// A sentence for people.
        message: &'static str,
    },

    /// The caller is known and may not do this.
    #[error("this needs the permission `{permission}`")]
    PermissionDenied {
        /// The permission that is missing.
        permission: &'static str,
    },

    /// The service cannot answer now; the same request may succeed later.
    #[error("{message}")]
    Unavailable {
        /// A word for programs, such as `REVISION_NOT_REACHED`.
        reason: &'static str,
        /// A sentence for people.
        message: String,
    },

    /// Too many sign-ins from the caller's address have failed lately.
    #[error("too many sign-ins from this address have failed: `{limit}` is at most {maximum}")]
    SignInLimitExceeded {
        /// The limit's name, as in the settings.
        limit: &'static str,
        /// Its value.
        maximum: u64,
        /// When the next may be tried.
        retry_after: Duration,
    },

    /// One of several changes of a request cannot be made; nothing was changed.
    #[error("changes[{index}]: {error}")]
    Change {
        /// Its place in the request, 0 first.
        index: usize,
        /// Why.
        error: Box<Error>,
    },

    /// The revision that was asked for has not come in time; it may come yet.
    #[error("revision {min_revision} was not reached in time; this replica is at {revision}")]
    RevisionNotReached {
        /// The newest revision that is held.
        revision: i64,
        /// The revision that was asked for.
        min_revision: i64,
    },

    /// The database failed; the cause is the source.
    #[error("storage failed")]
    Storage(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Creates the error of one field that breaks a rule.
    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation::new(field, description)])
    }

    /// Says which change of a request is at fault, unless none is.
    #[must_use]
    pub fn of_change(self, index: usize) -> Self {
        match self {
            Self::Invalid(_)
            | Self::NotFound { .. }
            | Self::AlreadyExists { .. }
            | Self::StaleEtag { .. }
            | Self::InUse { .. }
            | Self::Precondition { .. }
            | Self::LimitExceeded { .. } => Self::Change { index, error: Box::new(self) },
            Self::OutOfRange { .. }
            | Self::TooManyRequests { .. }
            | Self::RequestIdReused { .. }
            | Self::Unauthenticated { .. }
            | Self::PermissionDenied { .. }
            | Self::SignInLimitExceeded { .. }
            | Self::Unavailable { .. }
            | Self::RevisionNotReached { .. }
            | Self::Change { .. }
            | Self::Storage(_) => self,
        }
    }
}

impl From<Violation> for Error {
    fn from(violation: Violation) -> Self {
        Self::Invalid(vec![violation])
    }
}

fn used_by(users: &[String], hidden: usize) -> String {
    let listed = users.iter().take(USERS_LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match (users.is_empty(), hidden) {
        (_, 0) => listed,
        (true, _) => format!("{hidden} that you may not see"),
        (false, _) => format!("{listed} and {hidden} that you may not see"),
    }
}

fn join(violations: &[Violation]) -> String {
    violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
