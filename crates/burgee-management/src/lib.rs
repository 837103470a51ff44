//! Burgee's management service: organisations, projects, environments, features, flags, segments, identities.
//!
//! A handler in `services/` is a line; what it means is a function in the file named after its topic. Requests are
//! parsed once, into domain types; the store decides the rest in one transaction.

mod access;
mod address;
mod apply;
mod bootstrap;
mod changes;
mod context;
mod deadline;
mod environments;
mod failures;
mod features;
mod fields;
mod filter;
mod flags;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod grants;
mod groups;
mod guard;
mod hub;
mod identities;
mod invitations;
mod keys;
mod management;
mod members;
mod metrics;
mod organisations;
mod overrides;
mod page;
mod projects;
mod rate;
mod retention;
mod roles;
mod secret;
mod segments;
mod services;
mod tokens;
mod transaction;
mod trust;
mod users;
mod uses;
mod variants;
mod watch;

pub mod oidc;

pub use access::RightsError;
pub use bootstrap::bootstrap;
pub use management::{Management, Settings, StartError};
pub use metrics::Metrics;
pub use secret::Secret;
