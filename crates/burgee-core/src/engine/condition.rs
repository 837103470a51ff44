//! Conditions and rules, compiled: operands parsed once for every type a property may have.

use std::cmp::Ordering;

use serde_json::value::RawValue;

use super::buckets::BucketIndex;
use super::hash::percentage;
use super::number::{self, FloatText, Integer, IntegerOperand, modulo};
use super::pattern::Pattern;
use super::scalar::Scalar;
use crate::rule::{Condition, Operand, Operator, Rule, RuleKind, SEMVER_SUFFIX, parse_modulo};

/// A rule whose conditions and sub-rules are compiled, the cheap ones first.
#[derive(Debug)]
pub(super) struct CompiledRule {
    pub(super) kind: RuleKind,
    pub(super) conditions: Box<[CompiledCondition]>,
    pub(super) rules: Box<[CompiledRule]>,
    /// What the dearest condition in it costs.
    cost: Cost,
}

impl CompiledRule {
    /// Compiles rules. `subject` says what a condition looks at.
    pub(super) fn compile(rules: &[Rule], subject: &mut impl FnMut(&Condition) -> Subject) -> Box<[Self]> {
        let mut compiled: Box<[Self]> = rules.iter().map(|rule| Self::new(rule, subject)).collect();
        // Conditions have no effects, so their order is free.
        compiled.sort_by_key(|rule| rule.cost);
        compiled
    }

    fn new(rule: &Rule, subject: &mut impl FnMut(&Condition) -> Subject) -> Self {
        let Rule { kind, conditions, rules } = rule;
        // Flagsmith wraps most rules in another, which says no more than they do.
        if let (RuleKind::All | RuleKind::Any, [], [only]) = (kind, conditions.as_slice(), rules.as_slice()) {
            return Self::new(only, subject);
        }
        let mut conditions: Box<[CompiledCondition]> = conditions
            .iter()
            .map(|condition| CompiledCondition::new(condition, subject(condition)))
            .collect();
        conditions.sort_by_key(|condition| condition.test.cost());
        let rules = Self::compile(rules, subject);
        let own = conditions.last().map(|condition| condition.test.cost());
        let cost = own.max(rules.last().map(|rule| rule.cost)).unwrap_or(Cost::Lookup);
        Self { kind: *kind, conditions, rules, cost }
    }
}

/// What a condition costs to look at, roughly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cost {
    Lookup,
    Search,
    Hash,
    Pattern,
}

/// What a condition looks at.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject {
    /// The value of a property, which has a slot.
    Property(usize),
    /// The identity's bucket in the segment.
    Bucket(BucketIndex),
}

/// A condition whose operand is parsed.
#[derive(Debug)]
pub(super) struct CompiledCondition {
    pub(super) subject: Subject,
    test: Test,
}

#[derive(Debug)]
enum Test {
    /// The operand means nothing to the operator; checked conditions have none of these.
    Never,
    IsSet,
    IsNotSet,
    Compare(Comparison, Box<Comparand>),
    Contains(String),
    NotContains(String),
    Regex(Box<Pattern>),
    PercentageSplit {
        threshold: f64,
    },
    Modulo {
        divisor: f64,
        remainder: f64,
    },
    In(Items),
}

impl CompiledCondition {
    fn new(condition: &Condition, subject: Subject) -> Self {
        let test = match (condition.operator(), condition.operand()) {
            (Operator::In, Operand::List(items)) => Test::In(Items::new(items.clone())),
            (_, Operand::List(_)) => Test::Never,
            (operator, Operand::Text(text)) => Test::new(operator, text),
        };
        Self { subject, test }
    }

    /// Says whether the condition holds for the identity's bucket: a percentage split does, up to its threshold.
    #[inline]
    pub(super) fn takes(&self, bucket: f64) -> bool {
        matches!(self.test, Test::PercentageSplit { threshold } if bucket <= threshold)
    }

    /// Says whether the condition holds for its property's value.
    #[inline]
    pub(super) fn holds(&self, value: Scalar<'_>, segment_key: &str) -> bool {
        if matches!(value, Scalar::Unset) {
            return matches!(self.test, Test::IsNotSet);
        }
        match &self.test {
            Test::Never | Test::IsNotSet => false,
            Test::IsSet => true,
            Test::Compare(comparison, comparand) => comparand.holds(*comparison, value),
            Test::Contains(part) => matches!(value, Scalar::Text(text) if text.contains(part.as_str())),
            Test::NotContains(part) => matches!(value, Scalar::Text(text) if !text.contains(part.as_str())),
            Test::Regex(pattern) => value.with_text(|text| pattern.matches(text)).unwrap_or(false),
            Test::PercentageSplit { threshold } => {
                value.with_text(|text| percentage(segment_key, text) <= *threshold).unwrap_or(false)
            }
            Test::Modulo { divisor, remainder } => {
                as_number(value).is_some_and(|number| modulo(number, *divisor) == *remainder)
            }
            Test::In(items) => items.contain(value),
        }
    }
}

impl Test {
    fn new(operator: Operator, text: &str) -> Self {
        let compare = |comparison| Self::Compare(comparison, Box::new(Comparand::new(text)));
        match operator {
            Operator::Equal => compare(Comparison::Equal),
            Operator::NotEqual => compare(Comparison::NotEqual),
            Operator::GreaterThan => compare(Comparison::Greater),
            Operator::GreaterThanInclusive => compare(Comparison::GreaterOrEqual),
            Operator::LessThan => compare(Comparison::Less),
            Operator::LessThanInclusive => compare(Comparison::LessOrEqual),
            Operator::Contains => Self::Contains(text.to_owned()),
            Operator::NotContains => Self::NotContains(text.to_owned()),
            Operator::Regex => {
                Pattern::compile(text).map_or(Self::Never, |pattern| Self::Regex(Box::new(pattern)))
            }
            Operator::PercentageSplit => {
                number::parse_float(text).map_or(Self::Never, |threshold| Self::PercentageSplit { threshold })
            }
            Operator::IsSet => Self::IsSet,
            Operator::IsNotSet => Self::IsNotSet,
            Operator::Modulo => parse_modulo(text)
                .map_or(Self::Never, |(divisor, remainder)| Self::Modulo { divisor, remainder }),
            Operator::In => Self::In(Items::parse(text)),
        }
    }

    fn cost(&self) -> Cost {
        match self {
            Self::Never | Self::IsSet | Self::IsNotSet | Self::Compare(..) | Self::Modulo { .. } => {
                Cost::Lookup
            }
            Self::Contains(_) | Self::NotContains(_) | Self::In(_) => Cost::Search,
            Self::PercentageSplit { .. } => Cost::Hash,
            Self::Regex(_) => Cost::Pattern,
        }
    }
}

/// Returns the number that is divided; a boolean counts as 1 or 0.
fn as_number(value: Scalar<'_>) -> Option<f64> {
    match value {
        Scalar::Unset | Scalar::Text(_) => None,
        Scalar::Boolean(boolean) => Some(f64::from(u8::from(boolean))),
        // The reference throws if the integer is beyond every double.
        Scalar::Integer(integer) => Some(integer.to_f64()).filter(|number| number.is_finite()),
        Scalar::Float(float) => Some(float),
    }
}

#[derive(Clone, Copy, Debug)]
enum Comparison {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Comparison {
    /// `None` is the order of a number that is none (NaN): it differs from everything.
    #[inline]
    fn accepts(self, ordering: Option<Ordering>) -> bool {
        match self {
            Self::Equal => ordering == Some(Ordering::Equal),
            Self::NotEqual => ordering != Some(Ordering::Equal),
            Self::Greater => ordering == Some(Ordering::Greater),
            Self::GreaterOrEqual => matches!(ordering, Some(Ordering::Greater | Ordering::Equal)),
            Self::Less => ordering == Some(Ordering::Less),
            Self::LessOrEqual => matches!(ordering, Some(Ordering::Less | Ordering::Equal)),
        }
    }
}

/// An operand, cast to every type of property; `None` where the cast fails.
#[derive(Debug)]
struct Comparand {
    boolean: bool,
    integer: Option<IntegerOperand>,
    float: Option<f64>,
    text: TextComparand,
}

#[derive(Debug)]
enum TextComparand {
    Text(String),
    Version(Option<semver::Version>),
}

impl Comparand {
    fn new(text: &str) -> Self {
        Self {
            boolean: !matches!(text, "False" | "false"),
            integer: IntegerOperand::parse(text),
            float: number::parse_float(text),
            text: match text.strip_suffix(SEMVER_SUFFIX) {
                Some(version) => TextComparand::Version(semver::Version::parse(version).ok()),
                None => TextComparand::Text(text.to_owned()),
            },
        }
    }

    /// Says whether the comparison holds; it does not if the operand cannot be cast to the value's type.
    #[inline]
    fn holds(&self, comparison: Comparison, value: Scalar<'_>) -> bool {
        match (comparison, value, &self.text) {
            // Texts are equal faster than they are in order.
            (Comparison::Equal, Scalar::Text(text), TextComparand::Text(operand)) => text == operand,
            (Comparison::NotEqual, Scalar::Text(text), TextComparand::Text(operand)) => text != operand,
            _ => self.compare(value).is_some_and(|ordering| comparison.accepts(ordering)),
        }
    }

    /// Compares the value with the operand; `None` if the operand cannot be cast to the value's type.
    fn compare(&self, value: Scalar<'_>) -> Option<Option<Ordering>> {
        match value {
            Scalar::Unset => None,
            Scalar::Boolean(boolean) => Some(Some(boolean.cmp(&self.boolean))),
            Scalar::Integer(integer) => Some(Some(integer.cmp(&self.integer.as_ref()?.get()))),
            Scalar::Float(float) => Some(float.partial_cmp(&self.float?)),
            Scalar::Text(text) => match &self.text {
                TextComparand::Text(operand) => Some(Some(text.cmp(operand))),
                TextComparand::Version(operand) => {
                    let version = semver::Version::parse(text).ok()?;
                    Some(Some(version.cmp_precedence(operand.as_ref()?)))
                }
            },
        }
    }
}

/// The items of `IN`.
#[derive(Debug)]
struct Items {
    /// All items, sorted.
    texts: Box<[String]>,
    /// The items that are the text of a 64-bit integer, sorted.
    integers: Box<[i64]>,
}

impl Items {
    fn new(mut texts: Vec<String>) -> Self {
        texts.sort_unstable();
        texts.dedup();
        // `01` and `+1` are no integer's text.
        let integer = |text: &String| text.parse().ok().filter(|integer: &i64| integer.to_string() == *text);
        let mut integers: Vec<_> = texts.iter().filter_map(integer).collect();
        integers.sort_unstable();
        Self { texts: texts.into(), integers: integers.into() }
    }

    /// Reads a JSON array, or else items joined by commas, without trimming.
    fn parse(text: &str) -> Self {
        let array =
            if text.starts_with('[') { serde_json::from_str::<Vec<&RawValue>>(text).ok() } else { None };
        Self::new(match array {
            Some(items) => items.into_iter().filter_map(item_text).collect(),
            None => text.split(',').map(str::to_owned).collect(),
        })
    }

    /// Booleans and floats are in no list, whatever it holds.
    fn contain(&self, value: Scalar<'_>) -> bool {
        match value {
            Scalar::Unset | Scalar::Boolean(_) | Scalar::Float(_) => false,
            Scalar::Integer(Integer::Small(integer)) => self.integers.binary_search(&integer).is_ok(),
            Scalar::Integer(large @ Integer::Large { .. }) => self.has(&large.to_string()),
            Scalar::Text(text) => self.has(text),
        }
    }

    fn has(&self, text: &str) -> bool {
        self.texts.binary_search_by(|item| item.as_str().cmp(text)).is_ok()
    }
}

/// Returns the text of a JSON array's item as Python prints it; arrays and objects are no items.
fn item_text(item: &RawValue) -> Option<String> {
    let json = item.get();
    match json.as_bytes().first()? {
        b'"' => serde_json::from_str(json).ok(),
        b't' => Some("True".to_owned()),
        b'f' => Some("False".to_owned()),
        b'n' => Some("None".to_owned()),
        b'[' | b'{' => None,
        _ => match IntegerOperand::parse(json) {
            Some(integer) => Some(integer.get().to_string()),
            None => json.parse().ok().map(|float| FloatText(float).to_string()),
        },
    }
}
