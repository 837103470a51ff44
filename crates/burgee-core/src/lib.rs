//! Burgee's domain and evaluation engine: no I/O, no wire format, no clock but that of [`rate`].

mod error;

pub mod access;
pub mod account;
pub mod change;
pub mod claims;
pub mod engine;
pub mod feature;
pub mod flag;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod grant;
pub mod identity;
pub mod limits;
pub mod name;
pub mod organisation;
pub mod permission;
pub mod project;
pub mod rate;
pub mod rule;
pub mod segment;
pub mod store;
pub mod trust;
pub mod value;

pub use error::{Error, Result, Violation};
