//! Ids made of names that people chose.

use std::collections::HashSet;

use burgee_core::name::ID_CHARACTERS;

/// Makes an id of a name: lower case, `-` for all but letters and digits. `default` stands for a name without
/// any, and goes before one that begins with a digit.
pub(super) fn slug(name: &str, default: &str) -> String {
    let mut id = String::with_capacity(name.len().min(ID_CHARACTERS));
    for character in name.chars() {
        match character.to_ascii_lowercase() {
            plain if plain.is_ascii_alphanumeric() => id.push(plain),
            _ if id.is_empty() || id.ends_with('-') => {}
            _ => id.push('-'),
        }
    }
    let id = id.trim_end_matches('-');
    let id = match id.chars().next() {
        None => default.to_owned(),
        Some(first) if first.is_ascii_digit() => format!("{default}-{id}"),
        Some(_) => id.to_owned(),
    };
    cut(&id, ID_CHARACTERS)
}

/// Makes an id of a name that is not among those taken, and takes it.
pub(super) fn unique_slug(name: &str, default: &str, taken: &mut HashSet<String>) -> String {
    let base = slug(name, default);
    let numbered = (2..).map(|number| {
        let suffix = format!("-{number}");
        format!("{}{suffix}", cut(&base, ID_CHARACTERS - suffix.len()))
    });
    let mut candidates = std::iter::once(base.clone()).chain(numbered);
    let id = candidates.find(|id| !taken.contains(id)).unwrap_or(base.clone());
    taken.insert(id.clone());
    id
}

/// Cuts an id, which is ASCII, to a length.
fn cut(id: &str, characters: usize) -> String {
    id[..id.len().min(characters)].trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use burgee_core::name::SegmentId;

    use super::*;

    #[test]
    fn an_id_is_made_of_what_a_name_has() {
        for (name, id) in [
            ("Beta testers (EU)", "beta-testers-eu"),
            ("snake_case", "snake-case"),
            ("10_percent", "segment-10-percent"),
            ("--", "segment"),
            ("日本", "segment"),
            ("Größe", "gr-e"),
        ] {
            assert_eq!(slug(name, "segment"), id);
            assert!(SegmentId::parse(id).is_ok(), "{id}");
        }
        assert!(SegmentId::parse(&slug(&"long name ".repeat(20), "segment")).is_ok());
    }

    #[test]
    fn ids_are_not_given_twice() {
        let mut taken = HashSet::from(["beta".to_owned()]);
        assert_eq!(unique_slug("Beta", "segment", &mut taken), "beta-2");
        assert_eq!(unique_slug("BETA", "segment", &mut taken), "beta-3");
        let long = "x".repeat(80);
        let ids: Vec<_> = (0..3).map(|_| unique_slug(&long, "segment", &mut taken)).collect();
        assert!(ids.iter().all(|id| SegmentId::parse(id).is_ok()), "{ids:?}");
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 3);
    }
}
