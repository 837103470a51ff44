//! The methods that there are, as the descriptors tell: each must be in the table.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use prost_types::FileDescriptorSet;

use super::METHODS;

/// The package whose services are guarded.
const PACKAGE: &str = "burgee.management.v1";

/// Why nobody could say who may call what.
#[derive(Debug, thiserror::Error)]
pub enum RightsError {
    /// The compiled descriptors cannot be read.
    #[error("the descriptors of the services cannot be read")]
    Descriptors(#[source] prost::DecodeError),

    /// The table of rights and the services do not fit.
    #[error("methods without a right: {missing:?}; rights of no method: {unknown:?}")]
    Table {
        /// Methods of a service that the table does not have.
        missing: Vec<String>,
        /// Methods of the table that no service has.
        unknown: Vec<String>,
    },
}

/// What is known of a method before its request is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Method {
    /// Whether it can be called without a credential.
    pub(crate) open: bool,
    /// Whether it answers with a stream, which has no deadline.
    pub(crate) streaming: bool,
}

/// All methods, by their paths.
#[derive(Debug)]
pub(crate) struct Methods(BTreeMap<String, Method>);

impl Methods {
    /// Reads the table, and checks that it has every method of the descriptors and nothing else.
    pub(crate) fn new(descriptors: &[u8]) -> Result<Self, RightsError> {
        Self::of(descriptors, METHODS)
    }

    fn of(descriptors: &[u8], table: &[(&str, bool)]) -> Result<Self, RightsError> {
        let files = FileDescriptorSet::decode(descriptors).map_err(RightsError::Descriptors)?;
        let mut unknown: BTreeSet<String> = table.iter().map(|(path, _)| (*path).to_owned()).collect();
        let mut missing = Vec::new();
        let mut methods = BTreeMap::new();
        for service in
            files.file.iter().filter(|file| file.package() == PACKAGE).flat_map(|file| &file.service)
        {
            for method in &service.method {
                let path = format!("{}/{}", service.name(), method.name());
                unknown.remove(&path);
                match table.iter().find(|(listed, _)| *listed == path) {
                    Some((_, open)) => {
                        let method = Method { open: *open, streaming: method.server_streaming() };
                        methods.insert(format!("/{PACKAGE}.{path}"), method);
                    }
                    None => missing.push(path),
                }
            }
        }
        if missing.is_empty() && unknown.is_empty() {
            Ok(Self(methods))
        } else {
            Err(RightsError::Table { missing, unknown: unknown.into_iter().collect() })
        }
    }

    /// Returns what is known of the method with this path.
    pub(crate) fn get(&self, path: &str) -> Option<Method> {
        self.0.get(path).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_has_a_right() {
        let methods = Methods::new(burgee_proto::DESCRIPTORS).unwrap();
        assert_eq!(methods.0.len(), METHODS.len());
        let watch = methods.get("/burgee.management.v1.ChangeService/WatchChanges").unwrap();
        assert_eq!(watch, Method { open: false, streaming: true });
        assert!(methods.get("/burgee.management.v1.ChangeService/Other").is_none());
    }

    #[test]
    fn a_table_that_does_not_fit_is_refused() {
        let mut table = METHODS.to_vec();
        let (lost, _) = table.pop().unwrap();
        table.push(("FlagService/Lost", false));
        match Methods::of(burgee_proto::DESCRIPTORS, &table) {
            Err(RightsError::Table { missing, unknown }) => {
                assert_eq!((missing, unknown), (vec![lost.to_owned()], vec!["FlagService/Lost".to_owned()]));
            }
            other => panic!("{other:?}"),
        }
    }
}
