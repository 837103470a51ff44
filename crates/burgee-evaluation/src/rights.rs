//! Which key a method needs. A method that is not listed is not served.

use std::collections::BTreeSet;

use burgee_core::access::KeyKind;
use prost::Message as _;

/// The package whose methods are listed.
const PACKAGE: &str = "burgee.evaluation.v1";

/// The methods, each with the kind of key that it needs; `None`: any.
const METHODS: &[(&str, Option<KeyKind>)] = &[
    ("EvaluationService/EvaluateFlags", None),
    ("EvaluationService/EvaluateFlag", None),
    ("EvaluationService/BatchEvaluateFlags", None),
    ("EvaluationService/Identify", None),
    ("EvaluationService/WatchFlags", None),
];

/// Says whether a kind of key may call a method.
pub(crate) fn may_call(method: &str, kind: KeyKind) -> bool {
    METHODS.iter().any(|(name, needed)| *name == method && needed.is_none_or(|needed| needed == kind))
}

/// Checks that every method of the package is listed, and none that does not exist.
///
/// # Errors
/// Returns the names of those that are in one list only.
pub(crate) fn check(descriptors: &[u8]) -> Result<(), Vec<String>> {
    let descriptors = prost_types::FileDescriptorSet::decode(descriptors)
        .map_err(|error| vec![format!("the descriptors cannot be read: {error}")])?;
    let files = descriptors.file.iter().filter(|file| file.package() == PACKAGE);
    let services = files.flat_map(|file| &file.service);
    let defined: BTreeSet<String> = services
        .flat_map(|service| {
            service.method.iter().map(|method| format!("{}/{}", service.name(), method.name()))
        })
        .collect();
    let listed: BTreeSet<String> = METHODS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let differing: Vec<_> = defined.symmetric_difference(&listed).cloned().collect();
    if differing.is_empty() { Ok(()) } else { Err(differing) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_listed() {
        assert_eq!(check(burgee_proto::DESCRIPTORS), Ok(()));
    }

    #[test]
    fn a_method_that_is_not_listed_is_found() {
        assert_eq!(check(&[]).unwrap_err().len(), METHODS.len());
        assert!(!may_call("EvaluationService/DropEverything", KeyKind::ServerSide));
    }
}
