//! The rules of a segment, checked when written: what is stored can be evaluated.

use serde::{Deserialize, Serialize};

use crate::Violation;
use crate::engine::{number, pattern::Pattern, property::check_path};
use crate::limits::{
    CONDITION_CHARACTERS, CONDITION_LIST_ITEMS, CONDITIONS_PER_SEGMENT, DESCRIPTION_BYTES, RULE_DEPTH,
    TRAIT_VALUE_CHARACTERS,
};
use crate::value::{check_bytes, check_characters, check_storable};

/// How a rule combines its conditions, and, separately, its sub-rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleKind {
    /// Every one holds.
    All,
    /// At least one holds.
    Any,
    /// Not one holds.
    None,
}

impl RuleKind {
    /// Every kind, in the order of declaration.
    pub const ALL: [Self; 3] = [Self::All, Self::Any, Self::None];

    /// Returns Flagsmith's name of the kind: `ALL`, `ANY` or `NONE`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "ALL",
            Self::Any => "ANY",
            Self::None => "NONE",
        }
    }

    /// Parses a name as [`Self::as_str`] returns it.
    pub fn parse(name: &str) -> Result<Self, Violation> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
            .ok_or_else(|| Violation::new("", format!("must be a kind of rule, is `{name}`")))
    }
}

/// A rule of a segment: holds if its conditions hold and its sub-rules hold, each combined by `kind`.
///
/// No conditions hold, and so do no sub-rules; a rule with neither holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// How the conditions, and the sub-rules, are combined.
    pub kind: RuleKind,
    /// What is asked of the identity and its surroundings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The rules below this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
}

/// How a condition compares a property with its operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// The property equals the operand, cast to the property's type.
    Equal,
    /// The property differs from the operand, cast to the property's type.
    NotEqual,
    /// The property is greater than the operand, cast to the property's type.
    GreaterThan,
    /// The property is at least the operand, cast to the property's type.
    GreaterThanInclusive,
    /// The property is less than the operand, cast to the property's type.
    LessThan,
    /// The property is at most the operand, cast to the property's type.
    LessThanInclusive,
    /// The property is a text that contains the operand.
    Contains,
    /// The property is a text that does not contain the operand.
    NotContains,
    /// The text of the property begins with a match of the operand.
    Regex,
    /// The property's bucket, from 0 to below 100, is at most the operand.
    PercentageSplit,
    /// The property is there.
    IsSet,
    /// The property is not there, or null.
    IsNotSet,
    /// The property divided by the operand's first number leaves its second.
    Modulo,
    /// The property is one of the operand's items.
    In,
}

impl Operator {
    /// Every operator, in the order of declaration.
    pub const ALL: [Self; 14] = [
        Self::Equal,
        Self::NotEqual,
        Self::GreaterThan,
        Self::GreaterThanInclusive,
        Self::LessThan,
        Self::LessThanInclusive,
        Self::Contains,
        Self::NotContains,
        Self::Regex,
        Self::PercentageSplit,
        Self::IsSet,
        Self::IsNotSet,
        Self::Modulo,
        Self::In,
    ];

    /// Returns Flagsmith's name of the operator, such as `GREATER_THAN`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "EQUAL",
            Self::NotEqual => "NOT_EQUAL",
            Self::GreaterThan => "GREATER_THAN",
            Self::GreaterThanInclusive => "GREATER_THAN_INCLUSIVE",
            Self::LessThan => "LESS_THAN",
            Self::LessThanInclusive => "LESS_THAN_INCLUSIVE",
            Self::Contains => "CONTAINS",
            Self::NotContains => "NOT_CONTAINS",
            Self::Regex => "REGEX",
            Self::PercentageSplit => "PERCENTAGE_SPLIT",
            Self::IsSet => "IS_SET",
            Self::IsNotSet => "IS_NOT_SET",
            Self::Modulo => "MODULO",
            Self::In => "IN",
        }
    }

    /// Parses a name as [`Self::as_str`] returns it.
    pub fn parse(name: &str) -> Result<Self, Violation> {
        Self::ALL
            .into_iter()
            .find(|operator| operator.as_str() == name)
            .ok_or_else(|| Violation::new("", format!("must be an operator, is `{name}`")))
    }
}

/// What a condition compares with. Only `IN` takes a list.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Operand {
    /// A text; for `IN`, items joined by commas, or a JSON array.
    Text(String),
    /// Items.
    List(Vec<String>),
}

/// One question about the identity or its surroundings, whose operand was checked.
///
/// The property is a trait's key or a JSONPath that begins with `$.`. A path that is not valid is
/// allowed, since a trait may have exactly that key; one that would take long to follow is not. An empty property is the key of the identity
/// for `PERCENTAGE_SPLIT` and the trait with the empty key for the others, as in Flagsmith.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "ConditionRecord")]
pub struct Condition {
    property: String,
    operator: Operator,
    operand: Operand,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
}

impl Condition {
    /// Creates a condition if it can be evaluated; the violation names the field at fault.
    pub fn new(
        property: impl Into<String>,
        operator: Operator,
        operand: Operand,
        description: impl Into<String>,
    ) -> Result<Self, Violation> {
        let (property, description) = (property.into(), description.into());
        check_text(&property)
            .and_then(|()| check_path(&property))
            .map_err(|violation| violation.at("property"))?;
        check_operand(operator, &operand)?;
        check_bytes(&description, DESCRIPTION_BYTES)
            .and_then(|()| check_storable(&description))
            .map_err(|violation| violation.at("description"))?;
        Ok(Self { property, operator, operand, description })
    }

    /// Creates a condition that is never true: `IN` with an empty list.
    ///
    /// This is what an import makes of a condition that the original silently treats as false. What is
    /// too long for a property or a description is cut off, and a path that takes too long is left out:
    /// neither is looked at.
    pub fn never(property: impl Into<String>, description: impl Into<String>) -> Self {
        let storable = |text: String| text.replace('\0', "\u{fffd}");
        let mut property: String = storable(property.into()).chars().take(CONDITION_CHARACTERS).collect();
        if check_path(&property).is_err() {
            property.clear();
        }
        let mut description = storable(description.into());
        description.truncate(description.floor_char_boundary(DESCRIPTION_BYTES));
        Self { property, operator: Operator::In, operand: Operand::List(Vec::new()), description }
    }

    /// Returns the trait's key, or the path that begins with `$.`.
    pub fn property(&self) -> &str {
        &self.property
    }

    /// Returns how the property is compared.
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// Returns what the property is compared with.
    pub fn operand(&self) -> &Operand {
        &self.operand
    }

    /// Returns the note that people left.
    pub fn description(&self) -> &str {
        &self.description
    }
}

/// A condition as stored, not checked yet.
#[derive(Deserialize)]
struct ConditionRecord {
    property: String,
    operator: Operator,
    operand: Operand,
    #[serde(default)]
    description: String,
}

impl TryFrom<ConditionRecord> for Condition {
    type Error = Violation;

    fn try_from(record: ConditionRecord) -> Result<Self, Violation> {
        let ConditionRecord { property, operator, operand, description } = record;
        Self::new(property, operator, operand, description)
    }
}

/// Checks the whole of a segment's rules: how many conditions there are, and how deep they lie.
///
/// No rules at all are allowed: such a segment never matches. The violation's field is a path below
/// the list of rules, such as `[0].rules[1]`.
pub fn check_rules(rules: &[Rule]) -> Result<(), Violation> {
    check_depth(rules, 1)?;
    match count_conditions(rules) {
        count if count <= CONDITIONS_PER_SEGMENT => Ok(()),
        count => Err(Violation::new(
            "",
            format!("must have at most {CONDITIONS_PER_SEGMENT} conditions in all, has {count}"),
        )),
    }
}

fn check_depth(rules: &[Rule], depth: usize) -> Result<(), Violation> {
    if depth > RULE_DEPTH && !rules.is_empty() {
        return Err(Violation::new("", format!("must be at most {RULE_DEPTH} rules deep")));
    }
    for (index, rule) in rules.iter().enumerate() {
        check_depth(&rule.rules, depth + 1)
            .map_err(|violation| violation.at("rules").at(format_args!("[{index}]")))?;
    }
    Ok(())
}

fn count_conditions(rules: &[Rule]) -> usize {
    rules.iter().map(|rule| rule.conditions.len() + count_conditions(&rule.rules)).sum()
}

fn check_operand(operator: Operator, operand: &Operand) -> Result<(), Violation> {
    let checked = match (operator, operand) {
        (Operator::In, Operand::List(items)) => check_items(items),
        (_, Operand::List(_)) => {
            Err(Violation::new("", format!("must be a text: `{}` does not take a list", operator.as_str())))
        }
        (_, Operand::Text(text)) => check_text(text).and_then(|()| check_meaning(operator, text)),
    };
    checked.map_err(|violation| violation.at("operand"))
}

fn check_items(items: &[String]) -> Result<(), Violation> {
    if items.len() > CONDITION_LIST_ITEMS {
        let description = format!("must have at most {CONDITION_LIST_ITEMS} items, has {}", items.len());
        return Err(Violation::new("", description));
    }
    for (index, item) in items.iter().enumerate() {
        check_characters(item, TRAIT_VALUE_CHARACTERS)
            .and_then(|()| check_storable(item))
            .map_err(|violation| violation.at(format_args!("[{index}]")))?;
    }
    Ok(())
}

fn check_text(text: &str) -> Result<(), Violation> {
    check_characters(text, CONDITION_CHARACTERS)?;
    check_storable(text)
}

/// Checks that the operand means something to the operator, so that nothing stored is silently false.
fn check_meaning(operator: Operator, text: &str) -> Result<(), Violation> {
    let violation = |rule: &str| Err(Violation::new("", format!("{rule}, is `{text}`")));
    match operator {
        Operator::Equal
        | Operator::NotEqual
        | Operator::GreaterThan
        | Operator::GreaterThanInclusive
        | Operator::LessThan
        | Operator::LessThanInclusive => match text.strip_suffix(SEMVER_SUFFIX) {
            Some(version) if semver::Version::parse(version).is_err() => {
                violation("must be a semantic version before `:semver`")
            }
            Some(_) | None => Ok(()),
        },
        Operator::Regex => match Pattern::compile(text) {
            Ok(_) => Ok(()),
            Err(error) => Err(Violation::new("", format!("must be a regular expression: {error}"))),
        },
        Operator::PercentageSplit => match number::parse_float(text) {
            Some(threshold) if (0.0..=100.0).contains(&threshold) => Ok(()),
            Some(_) | None => violation("must be a number from 0 to 100"),
        },
        Operator::Modulo => match parse_modulo(text) {
            Some(_) => Ok(()),
            None => violation("must be a divisor other than 0 and a remainder, joined by `|`"),
        },
        Operator::Contains | Operator::NotContains | Operator::IsSet | Operator::IsNotSet | Operator::In => {
            Ok(())
        }
    }
}

/// What follows the version in an operand that compares by semantic versioning.
pub(crate) const SEMVER_SUFFIX: &str = ":semver";

/// Parses the operand of `MODULO`: a divisor other than 0 and a remainder, both finite.
pub(crate) fn parse_modulo(text: &str) -> Option<(f64, f64)> {
    let (divisor, remainder) = text.split_once('|')?;
    let divisor = number::parse_float(divisor).filter(|divisor| divisor.is_finite() && *divisor != 0.0)?;
    let remainder = number::parse_float(remainder).filter(|remainder| remainder.is_finite())?;
    Some((divisor, remainder))
}
