//! What a key must be good for to call a method. A method that is not listed is not served.

use std::collections::BTreeSet;

use burgee_core::access::{KeyKind, KeyScope};
use burgee_core::store::ActiveKey;
use burgee_core::{Error, Result};
use prost::Message as _;

/// The package whose methods are listed.
const PACKAGE: &str = "burgee.evaluation.v1";

/// The methods, each with the scope that it needs, and the kind of key; `None`: any.
const METHODS: &[(&str, KeyScope, Option<KeyKind>)] = &[
    ("EvaluationService/EvaluateFlags", KeyScope::Evaluate, None),
    ("EvaluationService/EvaluateFlag", KeyScope::Evaluate, None),
    ("EvaluationService/BatchEvaluateFlags", KeyScope::Evaluate, None),
    ("EvaluationService/Identify", KeyScope::Identify, None),
    ("EvaluationService/WatchFlags", KeyScope::Evaluate, None),
];

/// Checks that a key may call a method.
pub(crate) fn check_call(method: &str, key: &ActiveKey) -> Result<()> {
    let listed = METHODS.iter().find(|(name, ..)| *name == method);
    let permission = match listed {
        None => "a method that is served",
        Some((_, scope, _)) if !key.scopes.contains(scope) => scope.as_str(),
        Some((_, _, Some(kind))) if *kind != key.kind => match kind {
            KeyKind::ClientSide => "client-side key",
            KeyKind::ServerSide => "server-side key",
        },
        Some(_) => return Ok(()),
    };
    Err(Error::PermissionDenied { permission })
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
    let listed: BTreeSet<String> = METHODS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    let differing: Vec<_> = defined.symmetric_difference(&listed).cloned().collect();
    if differing.is_empty() { Ok(()) } else { Err(differing) }
}

#[cfg(test)]
mod tests {
    use burgee_core::access::KeyScope::{Evaluate, Explain, Identify, WatchRules};

    use super::*;
    use crate::testing::key;

    fn lacks(method: &str, scopes: &[KeyScope]) -> Option<&'static str> {
        match check_call(
            &format!("EvaluationService/{method}"),
            &ActiveKey { scopes: scopes.to_vec(), ..key("key") },
        ) {
            Ok(()) => None,
            Err(Error::PermissionDenied { permission }) => Some(permission),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn every_method_is_listed() {
        assert_eq!(check(burgee_proto::DESCRIPTORS), Ok(()));
    }

    #[test]
    fn a_method_that_is_not_listed_is_found() {
        assert_eq!(check(&[]).unwrap_err().len(), METHODS.len());
        assert!(lacks("DropEverything", &KeyScope::ALL).is_some());
    }

    #[test]
    fn a_key_calls_what_its_scopes_say() {
        let reads = ["EvaluateFlags", "EvaluateFlag", "BatchEvaluateFlags", "WatchFlags"];
        for method in reads {
            assert_eq!(lacks(method, &[Evaluate]), None, "{method}");
            let without = lacks(method, &[WatchRules, Identify, Explain]);
            assert_eq!(without, Some("KEY_SCOPE_EVALUATE"), "{method}");
        }
        assert_eq!(lacks("Identify", &[Identify]), None);
        assert_eq!(lacks("Identify", &[Evaluate, WatchRules, Explain]), Some("KEY_SCOPE_IDENTIFY"));
        assert_eq!(lacks("Identify", &[]), Some("KEY_SCOPE_IDENTIFY"));
    }
}
