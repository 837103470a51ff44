//! What Flagsmith writes, and what Burgee makes of it.
//!
//! Two shapes are read, the evaluation context ([`context`]) and the environment document ([`document`]),
//! into one form ([`model`]). That form is evaluated in process by `burgee conformance`, and written to a
//! server by `burgee import flagsmith` ([`import`]).

pub mod context;
pub mod document;
pub mod import;
pub mod json;
pub mod model;
pub mod node;
mod rules;
mod states;
