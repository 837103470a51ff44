//! What a key must be good for to call a method. Without a list of all methods that is complete, the service does not start.

use std::collections::BTreeSet;

use burgee_core::access::KeyScope;
use burgee_core::store::ActiveKey;
use burgee_core::{Error, Result};
use prost::Message as _;

/// The package whose methods are listed.
const PACKAGE: &str = "burgee.evaluation.v1";

/// A method, and the scope that a key needs for it.
#[derive(Debug)]
pub(crate) struct Method {
    name: &'static str,
    scope: KeyScope,
}

impl Method {
    const fn new(name: &'static str, scope: KeyScope) -> Self {
        Self { name, scope }
    }
}

pub(crate) const EVALUATE_FLAGS: Method = Method::new("EvaluationService/EvaluateFlags", KeyScope::Evaluate);
pub(crate) const EVALUATE_FLAG: Method = Method::new("EvaluationService/EvaluateFlag", KeyScope::Evaluate);
pub(crate) const BATCH_EVALUATE_FLAGS: Method =
    Method::new("EvaluationService/BatchEvaluateFlags", KeyScope::Evaluate);
pub(crate) const IDENTIFY: Method = Method::new("EvaluationService/Identify", KeyScope::Identify);
pub(crate) const WATCH_FLAGS: Method = Method::new("EvaluationService/WatchFlags", KeyScope::Evaluate);

/// All methods.
const METHODS: [Method; 5] = [EVALUATE_FLAGS, EVALUATE_FLAG, BATCH_EVALUATE_FLAGS, IDENTIFY, WATCH_FLAGS];

/// Checks that a key may call a method.
pub(crate) fn check_call(method: &Method, key: &ActiveKey) -> Result<()> {
    match key.scopes.contains(&method.scope) {
        true => Ok(()),
        false => Err(Error::PermissionDenied { permission: method.scope.as_str() }),
    }
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
    let listed: BTreeSet<String> = METHODS.iter().map(|method| method.name.to_owned()).collect();
    let differing: Vec<_> = defined.symmetric_difference(&listed).cloned().collect();
    if differing.is_empty() { Ok(()) } else { Err(differing) }
}

#[cfg(test)]
mod tests {
    use burgee_core::access::KeyScope::{Evaluate, Explain, Identify, WatchRules};

    use super::*;
    use crate::testing::key;

    fn lacks(method: &Method, scopes: &[KeyScope]) -> Option<&'static str> {
        match check_call(method, &ActiveKey { scopes: scopes.to_vec(), ..key("key") }) {
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
    }

    #[test]
    fn a_key_calls_what_its_scopes_say() {
        for method in [EVALUATE_FLAGS, EVALUATE_FLAG, BATCH_EVALUATE_FLAGS, WATCH_FLAGS] {
            assert_eq!(lacks(&method, &[Evaluate]), None, "{method:?}");
            let without = lacks(&method, &[WatchRules, Identify, Explain]);
            assert_eq!(without, Some("KEY_SCOPE_EVALUATE"), "{method:?}");
        }
        assert_eq!(lacks(&IDENTIFY, &[Identify]), None);
        assert_eq!(lacks(&IDENTIFY, &[Evaluate, WatchRules, Explain]), Some("KEY_SCOPE_IDENTIFY"));
        assert_eq!(lacks(&IDENTIFY, &[]), Some("KEY_SCOPE_IDENTIFY"));
    }
}
