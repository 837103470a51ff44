//! Update masks.

use burgee_core::Violation;

/// The fields that an update names.
#[derive(Debug)]
pub struct Mask {
    paths: Vec<String>,
}

impl Mask {
    /// Checks a mask against the fields that can be updated, each with whether it is set; a path names a field, or a part
    /// of one. Without a mask, the fields that are set are meant (Google's AIP-134).
    ///
    /// # Errors
    /// The mask names something else, or there is none and nothing is set.
    pub fn parse(mask: Option<prost_types::FieldMask>, fields: &[(&str, bool)]) -> Result<Self, Violation> {
        let mut paths = mask.unwrap_or_default().paths;
        if paths.is_empty() {
            paths.extend(fields.iter().filter(|(_, set)| *set).map(|(field, _)| (*field).to_owned()));
        }
        let fields: Vec<&str> = fields.iter().map(|(field, _)| *field).collect();
        if paths.is_empty() {
            let rule = format!("must name at least one of {}, or one of them must be set", list(&fields));
            return Err(Violation::new("update_mask", rule));
        }
        if paths.iter().any(|path| path == "*") {
            return match paths.len() {
                1 => Ok(Self { paths: fields.iter().map(ToString::to_string).collect() }),
                _ => Err(Violation::new("update_mask", "must have nothing beside `*`")),
            };
        }
        match paths.iter().find(|path| !fields.contains(&path.as_str())) {
            Some(path) => {
                Err(Violation::new("update_mask", format!("must be of {}, has `{path}`", list(&fields))))
            }
            None => Ok(Self { paths }),
        }
    }

    /// Returns whether the mask names the field, or something that the field is a part of.
    pub fn has(&self, field: &str) -> bool {
        self.paths.iter().any(|path| {
            field.strip_prefix(path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }

    /// Returns the value if the mask names the field.
    pub fn select<T>(&self, field: &str, value: T) -> Option<T> {
        self.has(field).then_some(value)
    }
}

fn list(fields: &[&str]) -> String {
    fields.iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(paths: &[&str]) -> Option<prost_types::FieldMask> {
        Some(prost_types::FieldMask { paths: paths.iter().map(ToString::to_string).collect() })
    }

    /// Fields of which only `tags` is set.
    const FIELDS: &[(&str, bool)] =
        &[("state", false), ("state.enabled", false), ("state.value", false), ("tags", true)];

    #[test]
    fn a_mask_selects_what_it_names() {
        let mask = Mask::parse(mask(&["state.enabled", "tags"]), FIELDS).unwrap();
        assert!(mask.has("state.enabled") && mask.has("tags"));
        assert!(!mask.has("state.value") && !mask.has("state") && !mask.has("tagsx"));
    }

    #[test]
    fn a_whole_selects_its_parts() {
        assert!(Mask::parse(mask(&["state"]), FIELDS).unwrap().has("state.enabled"));
        assert!(Mask::parse(mask(&["*"]), FIELDS).unwrap().has("state.value"));
    }

    #[test]
    fn without_a_mask_what_is_set_is_meant() {
        for none in [None, mask(&[])] {
            let mask = Mask::parse(none, FIELDS).unwrap();
            assert!(mask.has("tags") && !mask.has("state.enabled"));
        }
        assert_eq!(Mask::parse(None, &[("tags", false)]).unwrap_err().field, "update_mask");
    }

    #[test]
    fn a_mask_must_name_fields_that_can_change() {
        for paths in [&["name"][..], &["*", "tags"]] {
            assert_eq!(Mask::parse(mask(paths), FIELDS).unwrap_err().field, "update_mask");
        }
    }
}
