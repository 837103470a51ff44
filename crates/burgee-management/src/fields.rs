//! Rules that fields of several messages share, and how a violation gets the path of its field.

use std::fmt::Display;

use burgee_core::Violation;
use burgee_core::feature::check_metadata;
use burgee_core::limits::{DESCRIPTION_BYTES, DISPLAY_NAME_CHARACTERS, TAGS_PER_LIMIT};
use burgee_core::name::OrganisationName;
use chrono::{DateTime, Utc};

/// Characters of a hashing key.
const HASHING_KEY_CHARACTERS: usize = 255;
/// Characters of an e-mail address.
const EMAIL_CHARACTERS: usize = 254;
/// Characters of a tag.
const TAG_CHARACTERS: usize = 100;

/// Puts the path of a field before that of a violation.
pub(crate) trait At<T> {
    /// Returns the same, with violations below `field`.
    fn at(self, field: impl Display) -> Result<T, Violation>;
}

impl<T> At<T> for Result<T, Violation> {
    fn at(self, field: impl Display) -> Self {
        self.map_err(|violation| violation.at(field))
    }
}

/// Returns a message that must be set.
pub(crate) fn required<T>(message: Option<T>, field: &str) -> Result<T, Violation> {
    message.ok_or_else(|| Violation::new(field, "must be set"))
}

/// Returns a text unless it is empty, which means that it was not given.
pub(crate) fn given(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// Checks text of at most so many characters, none of them NUL, which no database column holds.
pub(crate) fn text(text: String, characters: usize) -> Result<String, Violation> {
    match text.chars().count() {
        count if count > characters => {
            Err(Violation::new("", format!("must be at most {characters} characters, is {count}")))
        }
        _ => without_nul(text),
    }
}

fn without_nul(text: String) -> Result<String, Violation> {
    if text.contains('\0') { Err(Violation::new("", "must not contain the character NUL")) } else { Ok(text) }
}

/// Checks the field `display_name`; an empty one means the id.
pub(crate) fn display_name(name: String, id: &str) -> Result<String, Violation> {
    if name.is_empty() { Ok(id.to_owned()) } else { text(name, DISPLAY_NAME_CHARACTERS).at("display_name") }
}

/// Checks the field `description`.
pub(crate) fn description(text: String) -> Result<String, Violation> {
    match text.len() {
        bytes if bytes > DESCRIPTION_BYTES => {
            Err(Violation::new("", format!("must be at most {DESCRIPTION_BYTES} bytes, is {bytes}")))
        }
        _ => without_nul(text),
    }
    .at("description")
}

/// Checks the field `hashing_key`, which may be empty.
pub(crate) fn hashing_key(key: String) -> Result<String, Violation> {
    text(key, HASHING_KEY_CHARACTERS).at("hashing_key")
}

/// Checks the field `hashing_key` of something new; an empty one means a random id.
pub(crate) fn new_hashing_key(key: String) -> Result<String, Violation> {
    if key.is_empty() { Ok(uuid::Uuid::new_v4().to_string()) } else { hashing_key(key) }
}

/// Checks the field `hashing_key` of an update, which cannot be taken away.
pub(crate) fn changed_hashing_key(key: String) -> Result<String, Violation> {
    // A default here would be a new random id, which moves everybody to another bucket.
    if key.is_empty() { Err(Violation::new("hashing_key", "must not be empty")) } else { hashing_key(key) }
}

/// Checks the field `metadata`; an empty one means none.
pub(crate) fn metadata(text: String) -> Result<Option<String>, Violation> {
    let Some(text) = given(text) else { return Ok(None) };
    check_metadata(&text).at("metadata")?;
    Ok(Some(text))
}

/// Parses the items of a list, each of which may be given once.
pub(crate) fn each_once<T, P: PartialEq>(
    items: &[T],
    field: &str,
    parse: impl Fn(&T) -> Result<P, Violation>,
) -> Result<Vec<P>, Violation> {
    let mut parsed = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let here = format!("{field}[{index}]");
        let item = parse(item).at(&here)?;
        if parsed.contains(&item) {
            return Err(Violation::new(here, "is given twice"));
        }
        parsed.push(item);
    }
    Ok(parsed)
}

/// Checks the field `tags` of something that they limit, and returns them in order.
pub(crate) fn tags(tags: &[String]) -> Result<Vec<String>, Violation> {
    if tags.len() > TAGS_PER_LIMIT {
        return Err(Violation::new("tags", format!("must be at most {TAGS_PER_LIMIT}, is {}", tags.len())));
    }
    let mut tags = each_once(tags, "tags", |tag| match tag.chars().count() {
        1..=TAG_CHARACTERS => without_nul(tag.clone()),
        count => Err(Violation::new("", format!("must be 1 to {TAG_CHARACTERS} characters, is {count}"))),
    })?;
    tags.sort_unstable();
    Ok(tags)
}

/// Checks that what is named belongs to an organisation, if it belongs to any.
pub(crate) fn belongs_to(
    organisation: &OrganisationName,
    named: Option<&OrganisationName>,
) -> Result<(), Violation> {
    match named {
        Some(other) if other != organisation => {
            Err(Violation::new("", format!("must be of `{organisation}`, is of `{other}`")))
        }
        _ => Ok(()),
    }
}

/// Checks the field `email`.
pub(crate) fn email(address: String) -> Result<String, Violation> {
    let wrong = || Violation::new("", format!("must be an e-mail address, is `{address}`"));
    let check = || {
        let (user, host) = address.rsplit_once('@').ok_or_else(wrong)?;
        let odd = |symbol: char| symbol.is_whitespace() || symbol.is_control();
        if user.is_empty() || host.is_empty() || address.contains(odd) { Err(wrong()) } else { Ok(()) }
    };
    check().at("email")?;
    text(address, EMAIL_CHARACTERS).at("email")
}

/// Checks the field `expire_time` of something new.
pub(crate) fn expiry(
    time: Option<prost_types::Timestamp>,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, Violation> {
    let Some(time) = time else { return Ok(None) };
    let time = burgee_proto::time::instant(&time).at("expire_time")?;
    if time <= now { Err(Violation::new("expire_time", "must be in the future")) } else { Ok(Some(time)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_email_address_has_two_sides() {
        for (address, valid) in [
            ("ada@example.com", true),
            ("administrator@localhost", true),
            ("\"a@b\"@example.com", true),
            ("", false),
            ("ada", false),
            ("@example.com", false),
            ("ada@", false),
            ("ada lovelace@example.com", false),
            (&format!("{}@b", "a".repeat(252)), true),
            (&format!("{}@b", "a".repeat(253)), false),
        ] {
            let checked = email(address.to_owned());
            assert_eq!(checked.is_ok(), valid, "{address}");
            assert!(checked.is_ok() || checked.unwrap_err().field == "email");
        }
    }

    #[test]
    fn lengths_are_counted_in_characters() {
        assert!(hashing_key("é".repeat(255)).is_ok());
        let violation = hashing_key("é".repeat(256)).unwrap_err();
        assert_eq!(violation.to_string(), "`hashing_key` must be at most 255 characters, is 256");
        assert!(display_name("a\0".into(), "id").is_err());
        assert_eq!(display_name(String::new(), "id").unwrap(), "id");
    }

    #[test]
    fn a_hashing_key_is_made_once_and_not_taken_away() {
        assert_ne!(new_hashing_key(String::new()).unwrap(), new_hashing_key(String::new()).unwrap());
        assert_eq!(new_hashing_key("17".into()).unwrap(), "17");
        assert!(changed_hashing_key(String::new()).is_err());
    }

    #[test]
    fn tags_are_in_order_and_each_is_given_once() {
        let check = |given: &[&str], expected: Result<&[&str], &str>| {
            let given: Vec<String> = given.iter().map(ToString::to_string).collect();
            let checked = tags(&given).map_err(|violation| violation.field);
            let expected = expected.map_err(str::to_owned);
            assert_eq!(checked, expected.map(|tags| tags.iter().map(ToString::to_string).collect()));
        };
        check(&[], Ok(&[]));
        check(&["b", "a"], Ok(&["a", "b"]));
        check(&["b", "a", "b"], Err("tags[2]"));
        check(&["a", ""], Err("tags[1]"));
        check(&["a\0"], Err("tags[0]"));
        check(&[&"é".repeat(100)], Ok(&[&"é".repeat(100)]));
        check(&[&"é".repeat(101)], Err("tags[0]"));
        let many = |count: usize| (0..count).map(|number| number.to_string()).collect::<Vec<_>>();
        assert!(tags(&many(100)).is_ok());
        assert_eq!(tags(&many(101)).unwrap_err().field, "tags");
    }

    #[test]
    fn what_belongs_to_another_organisation_is_refused() {
        let name = |name: &str| OrganisationName::parse(name).unwrap();
        let acme = name("organisations/acme");
        assert!(belongs_to(&acme, None).is_ok());
        assert!(belongs_to(&acme, Some(&acme)).is_ok());
        let violation = belongs_to(&acme, Some(&name("organisations/evil"))).unwrap_err();
        assert_eq!(violation.description, "must be of `organisations/acme`, is of `organisations/evil`");
    }

    #[test]
    fn what_expires_does_so_later() {
        let now = DateTime::from_timestamp(1_000, 0).unwrap();
        let at = |seconds| expiry(Some(prost_types::Timestamp { seconds, nanos: 0 }), now);
        assert_eq!(expiry(None, now), Ok(None));
        assert!(at(1_001).is_ok());
        assert_eq!(at(1_000).unwrap_err().field, "expire_time");
        assert!(at(i64::MAX).is_err());
    }
}
