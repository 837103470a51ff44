//! OpenID Connect: tokens of other issuers, checked against the keys that those publish.
//!
//! Nothing here knows accounts or permissions: [`Verifier`] says what a token proves, and no more.

mod issuer;
mod json;
mod keys;
mod verifier;

#[cfg(any(test, fuzzing))]
pub(crate) use verifier::read;

pub use issuer::{
    Algorithm, CLOCK_SKEW_SECONDS, DEFAULT_ALGORITHMS, IssuerSettings, MOST_CLOCK_SKEW_SECONDS, SettingsError,
};
pub use keys::{
    FETCH_TIMEOUT, KEYS_BYTES, LONGEST_CACHE, LONGEST_UNASKED, REFETCH_INTERVAL, RSA_KEY_BITS,
    SHORTEST_CACHE, STALE_KEYS,
};
pub use verifier::{Audience, EMAIL_CHARACTERS, SUBJECT_CHARACTERS, TOKEN_BYTES, Verified, Verifier};
