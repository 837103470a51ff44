//! What holds of all documents that are imported: see `burgee_core::fuzzing`.

pub use crate::flagsmith::import::fuzzing::imports;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_planned_or_refused() {
        let folder = format!("{}/../../fuzz/corpus/imports", env!("CARGO_MANIFEST_DIR"));
        let files: Vec<_> = std::fs::read_dir(folder).unwrap().collect();
        assert!(!files.is_empty());
        for file in files {
            if let Ok(document) = String::from_utf8(std::fs::read(file.unwrap().path()).unwrap()) {
                imports(&document);
            }
        }
    }
}
