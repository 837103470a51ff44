//! Update masks.

use burgee_core::Violation;

/// The fields that an update names.
#[derive(Debug)]
pub struct Mask {
    paths: Vec<String>,
}

impl Mask {
    /// Checks a mask against the fields that can be updated; a path names a field, or a part of one.
    ///
    /// # Errors
    /// The mask is missing or empty, or names something else.
    pub fn parse(mask: Option<prost_types::FieldMask>, fields: &[&str]) -> Result<Self, Violation> {
        let paths = mask.unwrap_or_default().paths;
        if paths.is_empty() {
            return Err(Violation::new("update_mask", format!("must name at least one of {}", list(fields))));
        }
        if paths.iter().any(|path| path == "*") {
            return match paths.len() {
                1 => Ok(Self { paths: fields.iter().map(ToString::to_string).collect() }),
                _ => Err(Violation::new("update_mask", "must have nothing beside `*`")),
            };
        }
        match paths.iter().find(|path| !fields.contains(&path.as_str())) {
            Some(path) => {
                Err(Violation::new("update_mask", format!("must be of {}, has `{path}`", list(fields))))
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

    #[test]
    fn a_mask_selects_what_it_names() {
        let mask =
            Mask::parse(mask(&["state.enabled", "tags"]), &["state", "state.enabled", "state.value", "tags"]);
        let mask = mask.unwrap();
        assert!(mask.has("state.enabled") && mask.has("tags"));
        assert!(!mask.has("state.value") && !mask.has("state") && !mask.has("tagsx"));
    }

    #[test]
    fn a_whole_selects_its_parts() {
        assert!(Mask::parse(mask(&["state"]), &["state", "state.enabled"]).unwrap().has("state.enabled"));
        assert!(Mask::parse(mask(&["*"]), &["state", "tags"]).unwrap().has("tags"));
    }

    #[test]
    fn a_mask_must_name_fields_that_can_change() {
        for paths in [&[][..], &["name"], &["*", "tags"]] {
            assert_eq!(Mask::parse(mask(paths), &["tags"]).unwrap_err().field, "update_mask");
        }
        assert!(Mask::parse(None, &["tags"]).is_err());
    }
}
