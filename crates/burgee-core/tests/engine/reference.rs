//! A slow evaluation, written straight from the rules and sharing nothing with the engine but its types.

use burgee_core::engine::{EnvironmentRules, Identity, State};
use burgee_core::rule::{Condition, Operand, Operator, Rule, RuleKind};
use burgee_core::value::{TraitValue, Value};
use md5::{Digest, Md5};

/// What a flag comes to: enabled, value, variant, and the id of the segment that decided.
pub(super) type Flag = (bool, Option<Value>, Option<String>, Option<String>);

pub(super) fn evaluate(rules: &EnvironmentRules, identity: Option<&Identity>) -> (Vec<Flag>, Vec<String>) {
    let key = identity.map(|identity| match &identity.key {
        Some(key) if !key.is_empty() => key.clone().into_owned(),
        _ => format!("{}_{}", rules.hashing_key, identity.identifier),
    });
    let context = Context { rules, identity, key };
    let is_in: Vec<bool> = rules
        .segments
        .iter()
        .map(|segment| {
            let matches = |rule| context.matches(rule, &segment.hashing_key);
            !segment.rules.is_empty() && segment.rules.iter().all(matches)
        })
        .collect();
    let flags = rules.features.iter().map(|feature| {
        let own = identity.and_then(|identity| feature.identity_overrides.get(&*identity.identifier));
        let mut held: Option<(i64, usize, &State)> = None;
        for segment in (0..rules.segments.len()).filter(|segment| is_in[*segment]) {
            for entry in feature.segment_overrides.iter().filter(|entry| entry.segment == segment) {
                if held.is_none_or(|(priority, _, _)| entry.priority < priority) {
                    held = Some((entry.priority, segment, &entry.state));
                }
            }
        }
        match (own, held) {
            (Some(state), _) => context.flag(state, None),
            (None, Some((_, segment, state))) => {
                context.flag(state, Some(rules.segments[segment].id.clone()))
            }
            (None, None) => context.flag(&feature.state, None),
        }
    });
    let segments = rules.segments.iter().zip(&is_in).filter(|(_, is_in)| **is_in);
    (flags.collect(), segments.map(|(segment, _)| segment.id.clone()).collect())
}

/// Returns the bucket of two ids.
pub(super) fn bucket(first: &str, second: &str) -> f64 {
    for times in 1.. {
        let ids = [first, second].repeat(times).join(",");
        let hash = u128::from_be_bytes(Md5::digest(ids).into()) % 9999;
        if hash != 9998 {
            return hash as f64 / 9998.0 * 100.0;
        }
    }
    unreachable!()
}

struct Context<'a> {
    rules: &'a EnvironmentRules,
    identity: Option<&'a Identity<'a>>,
    key: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
enum Typed {
    Boolean(bool),
    Integer(i128),
    Float(f64),
    Text(String),
}

impl Context<'_> {
    fn flag(&self, state: &State, segment: Option<String>) -> Flag {
        let Some(key) = self.key.as_ref().filter(|_| !state.variants.is_empty()) else {
            return (state.enabled, state.value.clone(), None, segment);
        };
        let bucket = bucket(&state.hashing_key, key);
        let mut start = 0.0;
        for variant in &state.variants {
            if start <= bucket && bucket < start + variant.weight {
                return (state.enabled, variant.value.clone(), Some(variant.key.clone()), segment);
            }
            start += variant.weight;
        }
        (state.enabled, state.value.clone(), Some("control".into()), segment)
    }

    fn matches(&self, rule: &Rule, segment_key: &str) -> bool {
        let combine = |results: Vec<bool>| {
            results.is_empty()
                || match rule.kind {
                    RuleKind::All => results.iter().all(|result| *result),
                    RuleKind::Any => results.iter().any(|result| *result),
                    RuleKind::None => !results.iter().any(|result| *result),
                }
        };
        combine(rule.conditions.iter().map(|condition| self.holds(condition, segment_key)).collect())
            && combine(rule.rules.iter().map(|rule| self.matches(rule, segment_key)).collect())
    }

    fn value(&self, condition: &Condition) -> Option<Typed> {
        let property = condition.property();
        if condition.operator() == Operator::PercentageSplit && property.is_empty() {
            return self.key.clone().map(Typed::Text);
        }
        if let Some(value) = self.identity.and_then(|identity| identity.traits.get(property)) {
            return of_trait(value?);
        }
        let identity = self.identity;
        match property {
            "$.environment.key" => Some(retype(&self.rules.hashing_key)),
            "$.environment.name" | "$.environment[ 'name' ]" => Some(retype(&self.rules.name)),
            "$.identity.identifier" | "$..identifier" => Some(retype(&identity?.identifier)),
            "$.identity.key" | "$.identity[ 'key' ]" => Some(retype(self.key.as_ref()?)),
            _ => {
                let key = property.strip_prefix("$.identity.traits.")?;
                of_trait(identity?.traits.get(key)??)
            }
        }
    }

    fn holds(&self, condition: &Condition, segment_key: &str) -> bool {
        let value = self.value(condition);
        let operator = condition.operator();
        match (operator, &value) {
            (Operator::IsSet, _) => return value.is_some(),
            (Operator::IsNotSet, _) => return value.is_none(),
            _ => {}
        }
        let Some(value) = value else { return false };
        let operand = match condition.operand() {
            Operand::List(items) => return items.iter().any(|item| is_item(item, &value)),
            Operand::Text(text) => text.as_str(),
        };
        match operator {
            Operator::In => operand.split(',').any(|item| is_item(item, &value)),
            Operator::Contains => matches!(value, Typed::Text(text) if text.contains(operand)),
            Operator::NotContains => matches!(value, Typed::Text(text) if !text.contains(operand)),
            Operator::Regex => {
                let anchored = regex::Regex::new(&format!("\\A(?:{operand})")).unwrap();
                anchored.is_match(&print(&value))
            }
            Operator::PercentageSplit => bucket(segment_key, &print(&value)) <= operand.parse().unwrap(),
            Operator::Modulo => {
                let (divisor, remainder) = operand.split_once('|').unwrap();
                let (divisor, remainder): (f64, f64) = (divisor.parse().unwrap(), remainder.parse().unwrap());
                let number = match value {
                    Typed::Boolean(boolean) => f64::from(u8::from(boolean)),
                    Typed::Integer(integer) => integer as f64,
                    Typed::Float(float) => float,
                    Typed::Text(_) => return false,
                };
                let rest = (number * divisor.signum()).rem_euclid(divisor.abs()) * divisor.signum();
                rest == remainder
            }
            _ => compare(operator, &value, operand),
        }
    }
}

fn is_item(item: &str, value: &Typed) -> bool {
    match value {
        Typed::Text(text) => item == text,
        Typed::Integer(integer) => item == integer.to_string(),
        Typed::Boolean(_) | Typed::Float(_) => false,
    }
}

fn compare(operator: Operator, value: &Typed, operand: &str) -> bool {
    fn apply<T: PartialOrd>(operator: Operator, value: T, operand: T) -> bool {
        match operator {
            Operator::Equal => value == operand,
            Operator::NotEqual => value != operand,
            Operator::GreaterThan => value > operand,
            Operator::GreaterThanInclusive => value >= operand,
            Operator::LessThan => value < operand,
            Operator::LessThanInclusive => value <= operand,
            _ => unreachable!("{operator:?} does not compare"),
        }
    }
    match value {
        Typed::Boolean(boolean) => apply(operator, *boolean, !["False", "false"].contains(&operand)),
        Typed::Integer(integer) => operand.parse().is_ok_and(|operand| apply(operator, *integer, operand)),
        Typed::Float(float) => operand.parse().is_ok_and(|operand| apply(operator, *float, operand)),
        Typed::Text(text) => match operand.strip_suffix(":semver") {
            Some(version) => match (semver::Version::parse(text), semver::Version::parse(version)) {
                (Ok(left), Ok(right)) => apply(operator, left.cmp_precedence(&right) as i8, 0),
                _ => false,
            },
            None => apply(operator, text.as_str(), operand),
        },
    }
}

fn of_trait(value: &TraitValue) -> Option<Typed> {
    Some(match value {
        TraitValue::String(text) => retype(text),
        TraitValue::Integer(integer) => Typed::Integer(i128::from(*integer)),
        TraitValue::Double(double) => Typed::Float(*double),
        TraitValue::Boolean(boolean) => Typed::Boolean(*boolean),
    })
}

fn retype(text: &str) -> Typed {
    let fits = |pattern: &str| regex::Regex::new(pattern).unwrap().is_match(text);
    if fits(r"\A-?[0-9]+\z") {
        Typed::Integer(text.parse().unwrap())
    } else if fits(r"\A-?[0-9]+\.[0-9]+\z") {
        Typed::Float(text.parse().unwrap())
    } else {
        Typed::Text(text.to_owned())
    }
}

/// Prints a value as Python does, for floats without an exponent.
fn print(value: &Typed) -> String {
    match value {
        Typed::Boolean(true) => "True".into(),
        Typed::Boolean(false) => "False".into(),
        Typed::Integer(integer) => integer.to_string(),
        Typed::Float(float) => format!("{float:?}"),
        Typed::Text(text) => text.clone(),
    }
}
