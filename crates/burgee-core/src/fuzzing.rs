//! What holds of every text that is parsed here: the fuzz targets in `fuzz/` look for texts of which it does not, and the
//! tests look at those that were found worth keeping.

use std::cmp::Ordering;
use std::fmt::{Debug, Display};

use crate::Violation;
use crate::engine::{EnvironmentRules, Identity, Ruleset, SegmentRules};
use crate::grant::Grantee;
use crate::limits::{CONDITION_CHARACTERS, IDENTIFIER_CHARACTERS};
use crate::name::*;
use crate::permission::Place;
use crate::rule::{Condition, Operand, Operator, Rule, RuleKind};
use crate::value::TraitValue;

pub use crate::engine::fuzzing::{jsonpath, patterns};

/// Bytes of the longest name: an identifier of four-byte characters, all of them encoded, and what stands before it.
const NAME_BYTES: usize = IDENTIFIER_CHARACTERS * 4 * 3 + FEATURE_KEY_CHARACTERS * 4 * 3 + 1_000;

/// A name that was read is written in one way, which reads as the same name.
pub fn names(text: &str) {
    macro_rules! check {
        ($($name:ident)*) => { $( check(text, $name::parse); )* };
    }
    check!(OrganisationId ProjectId EnvironmentId SegmentId UserId TokenId KeyId);
    check!(FeatureKey VariantKey Identifier TraitKey);
    check!(OrganisationName UserName MemberName ProjectName EnvironmentName KeyName FeatureName VariantName);
    check!(SegmentName FlagName SegmentOverrideName IdentityOverrideName IdentityName TokenOwner TokenName);
    check!(GroupId InvitationId RoleId GrantId TrustRelationshipId);
    check!(GroupName GroupMemberName InvitationName RoleName GrantName TrustRelationshipName);
    check!(LogName ChangeName Place Grantee);
}

fn check<T: Debug + Display + PartialEq>(text: &str, parse: impl Fn(&str) -> Result<T, Violation>) {
    match parse(text) {
        Ok(name) => {
            let canonical = name.to_string();
            assert!(canonical.len() <= NAME_BYTES, "{} bytes", canonical.len());
            let again = parse(&canonical);
            assert_eq!(again.as_ref(), Ok(&name), "`{canonical}` is not read as `{text}`");
            assert_eq!(again.map(|again| again.to_string()), Ok(canonical));
        }
        Err(violation) => assert_eq!(violation.field, "", "{violation}"),
    }
}

/// Two versions are in one order, whichever of them is the operand.
pub fn semver(left: &str, right: &str) {
    let (Some(there), Some(back)) = (order(left, right), order(right, left)) else { return };
    assert_eq!(there, back.reverse(), "{left:?} {right:?}");
    assert_eq!(order(left, left), Some(Ordering::Equal), "{left:?}");
}

/// Returns how rules order a trait and a version; `None` if one of them is no version.
fn order(value: &str, version: &str) -> Option<Ordering> {
    let holds = |operator| holds(value, operator, &format!("{version}:semver"));
    let (less, equal, greater) =
        (holds(Operator::LessThan)?, holds(Operator::Equal)?, holds(Operator::GreaterThan)?);
    assert_eq!(holds(Operator::NotEqual), Some(less || greater), "{value:?} {version:?}");
    assert_eq!(holds(Operator::LessThanInclusive), Some(less || equal), "{value:?} {version:?}");
    assert_eq!(holds(Operator::GreaterThanInclusive), Some(greater || equal), "{value:?} {version:?}");
    match (less, equal, greater) {
        (true, false, false) => Some(Ordering::Less),
        (false, true, false) => Some(Ordering::Equal),
        (false, false, true) => Some(Ordering::Greater),
        (false, false, false) => None,
        several => panic!("{several:?} {value:?} {version:?}"),
    }
}

/// Says whether a condition on a trait holds; `None` if its operand is refused.
fn holds(value: &str, operator: Operator, operand: &str) -> Option<bool> {
    let operand = Operand::Text(operand.to_owned());
    let condition = Condition::new("trait", operator, operand, "").ok()?;
    let identity = Identity::new("user", [("trait".to_owned(), Some(TraitValue::String(value.to_owned())))]);
    let rules = vec![Rule { kind: RuleKind::All, conditions: vec![condition], rules: Vec::new() }];
    let segments = vec![SegmentRules { rules, ..SegmentRules::default() }];
    let ruleset = Ruleset::compile(EnvironmentRules { segments, ..EnvironmentRules::default() });
    Some(ruleset.evaluate(Some(&identity)).is_in_segment(0))
}

/// Splits a case of two texts.
pub fn split(data: &str) -> (&str, &str) {
    data.split_once('\0').unwrap_or((data, ""))
}

/// Returns no more of a text than a condition may have.
pub(crate) fn operand(text: &str) -> &str {
    text.char_indices().nth(CONDITION_CHARACTERS).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replay(target: &str, check: impl Fn(&str)) {
        let folder = format!("{}/../../fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
        let files: Vec<_> = std::fs::read_dir(folder).unwrap().collect();
        assert!(!files.is_empty());
        for file in files {
            if let Ok(text) = String::from_utf8(std::fs::read(file.unwrap().path()).unwrap()) {
                check(&text);
            }
        }
    }

    #[test]
    fn a_name_is_read_as_it_was_written() {
        replay("names", names);
    }

    #[test]
    fn versions_are_in_one_order() {
        replay("semver", |text| {
            let (left, right) = split(text);
            semver(left, right);
        });
    }

    #[test]
    fn a_path_finds_what_the_standard_says() {
        replay("jsonpath", |text| {
            let (path, document) = split(text);
            jsonpath(path, document);
        });
    }

    #[test]
    fn a_pattern_that_compiles_can_be_matched() {
        replay("patterns", |text| {
            let (pattern, text) = split(text);
            patterns(pattern, text);
        });
    }
}
