//! Burgee's gRPC APIs: generated code, conversions to and from the domain, errors as statuses.

/// `burgee.v1`: messages that several services share.
#[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated")]
pub mod v1 {
    tonic::include_proto!("burgee.v1");
}

/// `burgee.management.*`
pub mod management {
    /// `burgee.management.v1`: the management services.
    #[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated")]
    pub mod v1 {
        tonic::include_proto!("burgee.management.v1");
    }
}

/// `burgee.evaluation.*`
pub mod evaluation {
    /// `burgee.evaluation.v1`: the evaluation service.
    #[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated")]
    pub mod v1 {
        tonic::include_proto!("burgee.evaluation.v1");
    }

    /// The server of `burgee.evaluation.v1`, whose responses are encoded already.
    #[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated")]
    pub mod encoded {
        include!(concat!(env!("OUT_DIR"), "/encoded/burgee.evaluation.v1.rs"));
    }
}

mod access;
mod account;
mod change;
pub mod codec;
pub mod encoded;
pub mod feature;
mod flag;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod measure;
mod permission;
pub mod segment;
mod value;

pub mod mask;
pub mod status;
pub mod time;

/// The compiled descriptors of all packages, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
