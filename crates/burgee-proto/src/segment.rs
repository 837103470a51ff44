//! Segments and their rules.

use burgee_core::Violation;
use burgee_core::limits::RULE_DEPTH;
use burgee_core::rule::{Condition, Operand, Operator, Rule, RuleKind};
use burgee_core::segment::Segment;

use crate::time::timestamp;
use crate::v1 as pb;

impl From<&Segment> for pb::Segment {
    fn from(segment: &Segment) -> Self {
        Self {
            name: segment.name.to_string(),
            display_name: segment.display_name.clone(),
            description: segment.description.clone(),
            feature: segment.feature.as_ref().map(ToString::to_string).unwrap_or_default(),
            rules: segment.rules.iter().map(Into::into).collect(),
            hashing_key: segment.hashing_key.clone(),
            metadata: segment.metadata.clone().unwrap_or_default(),
            create_time: Some(timestamp(segment.created_at)),
            etag: segment.etag.clone(),
        }
    }
}

impl From<&Rule> for pb::Rule {
    fn from(rule: &Rule) -> Self {
        let kind = match rule.kind {
            RuleKind::All => pb::RuleType::All,
            RuleKind::Any => pb::RuleType::Any,
            RuleKind::None => pb::RuleType::None,
        };
        Self {
            r#type: kind.into(),
            conditions: rule.conditions.iter().map(Into::into).collect(),
            rules: rule.rules.iter().map(Into::into).collect(),
        }
    }
}

impl From<&Condition> for pb::Condition {
    fn from(condition: &Condition) -> Self {
        let operand = match condition.operand() {
            Operand::Text(text) => pb::condition::Operand::Value(text.clone()),
            Operand::List(items) => pb::condition::Operand::Values(pb::StringList { items: items.clone() }),
        };
        Self {
            property: condition.property().to_owned(),
            operator: pb::Operator::from(condition.operator()).into(),
            operand: Some(operand),
            description: condition.description().to_owned(),
        }
    }
}

/// Converts the rules of a segment; a violation's field begins at `rules`.
///
/// # Errors
/// A rule or a condition breaks a rule.
pub fn rules(rules: Vec<pb::Rule>) -> Result<Vec<Rule>, Violation> {
    let rules = inner_rules(rules, 1)?;
    burgee_core::rule::check_rules(&rules).map_err(|violation| violation.at("rules"))?;
    Ok(rules)
}

fn inner_rules(rules: Vec<pb::Rule>, depth: usize) -> Result<Vec<Rule>, Violation> {
    // Checked on the way down, so that a hostile depth cannot exhaust the stack.
    if depth > RULE_DEPTH && !rules.is_empty() {
        return Err(Violation::new("rules", format!("must be at most {RULE_DEPTH} levels deep")));
    }
    let convert = |(index, inner): (usize, pb::Rule)| {
        rule(inner, depth).map_err(|violation| violation.at(format!("rules[{index}]")))
    };
    rules.into_iter().enumerate().map(convert).collect()
}

fn rule(rule: pb::Rule, depth: usize) -> Result<Rule, Violation> {
    let kind = match rule.r#type() {
        pb::RuleType::Unspecified => return Err(Violation::new("type", "must be set")),
        pb::RuleType::All => RuleKind::All,
        pb::RuleType::Any => RuleKind::Any,
        pb::RuleType::None => RuleKind::None,
    };
    let pb::Rule { r#type: _, conditions, rules } = rule;
    let convert = |(index, condition): (usize, pb::Condition)| {
        Condition::try_from(condition).map_err(|violation| violation.at(format!("conditions[{index}]")))
    };
    let conditions = conditions.into_iter().enumerate().map(convert).collect::<Result<_, _>>()?;
    Ok(Rule { kind, conditions, rules: inner_rules(rules, depth + 1)? })
}

impl TryFrom<pb::Condition> for Condition {
    type Error = Violation;

    fn try_from(condition: pb::Condition) -> Result<Self, Violation> {
        let operator =
            Operator::try_from(condition.operator()).map_err(|violation| violation.at("operator"))?;
        let pb::Condition { property, operator: _, operand, description } = condition;
        let operand = match operand {
            None => Operand::Text(String::new()),
            Some(pb::condition::Operand::Value(text)) => Operand::Text(text),
            Some(pb::condition::Operand::Values(pb::StringList { items })) => Operand::List(items),
        };
        let list = matches!(operand, Operand::List(_));
        Self::new(property, operator, operand, description).map_err(|violation| as_written(violation, list))
    }
}

/// The operand is `value` or `values.items` on the wire.
fn as_written(violation: Violation, list: bool) -> Violation {
    let field = match violation.field.strip_prefix("operand") {
        Some(item) if list => format!("values.items{item}"),
        Some(_) => "value".to_owned(),
        None => violation.field,
    };
    Violation { field, description: violation.description }
}

impl From<Operator> for pb::Operator {
    fn from(operator: Operator) -> Self {
        match operator {
            Operator::Equal => Self::Equal,
            Operator::NotEqual => Self::NotEqual,
            Operator::GreaterThan => Self::GreaterThan,
            Operator::GreaterThanInclusive => Self::GreaterThanInclusive,
            Operator::LessThan => Self::LessThan,
            Operator::LessThanInclusive => Self::LessThanInclusive,
            Operator::Contains => Self::Contains,
            Operator::NotContains => Self::NotContains,
            Operator::Regex => Self::Regex,
            Operator::PercentageSplit => Self::PercentageSplit,
            Operator::IsSet => Self::IsSet,
            Operator::IsNotSet => Self::IsNotSet,
            Operator::Modulo => Self::Modulo,
            Operator::In => Self::In,
        }
    }
}

impl TryFrom<pb::Operator> for Operator {
    type Error = Violation;

    fn try_from(operator: pb::Operator) -> Result<Self, Violation> {
        match operator {
            pb::Operator::Unspecified => Err(Violation::new("", "must be set")),
            pb::Operator::Equal => Ok(Self::Equal),
            pb::Operator::NotEqual => Ok(Self::NotEqual),
            pb::Operator::GreaterThan => Ok(Self::GreaterThan),
            pb::Operator::GreaterThanInclusive => Ok(Self::GreaterThanInclusive),
            pb::Operator::LessThan => Ok(Self::LessThan),
            pb::Operator::LessThanInclusive => Ok(Self::LessThanInclusive),
            pb::Operator::Contains => Ok(Self::Contains),
            pb::Operator::NotContains => Ok(Self::NotContains),
            pb::Operator::Regex => Ok(Self::Regex),
            pb::Operator::PercentageSplit => Ok(Self::PercentageSplit),
            pb::Operator::IsSet => Ok(Self::IsSet),
            pb::Operator::IsNotSet => Ok(Self::IsNotSet),
            pb::Operator::Modulo => Ok(Self::Modulo),
            pb::Operator::In => Ok(Self::In),
        }
    }
}
