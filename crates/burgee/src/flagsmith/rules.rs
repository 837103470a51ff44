//! Rules of segments. What the original silently treats as false becomes a condition that says so.

use burgee_core::limits::{CONDITION_CHARACTERS, CONDITION_LIST_ITEMS};
use burgee_core::rule::{Condition, Operand, Operator, Rule, RuleKind};

use super::json::{Json, python_text};
use super::model::Note;
use super::node::{Misplaced, Node};

type Result<T> = std::result::Result<T, Misplaced>;

/// How deep rules may be nested while they are read; what is stored may be less deep.
const DEPTH: usize = 64;

/// Reads a list of rules. `property` is the name of the member that holds a condition's property.
pub(super) fn read(list: &Node<'_>, property: &str, notes: &mut Vec<Note>) -> Result<Vec<Rule>> {
    Reader { property, notes }.rules(list, DEPTH)
}

/// Returns the items of an `IN` condition's operand as the engine reads them.
pub(super) fn items(value: &Json) -> Vec<String> {
    match value {
        Json::List(items) => items.iter().map(python).collect(),
        Json::Text(text) => {
            let array = if text.starts_with('[') { Json::parse(text).ok() } else { None };
            match array {
                Some(Json::List(items)) => items.iter().map(python).collect(),
                Some(_) | None => text.split(',').map(str::to_owned).collect(),
            }
        }
        Json::Null => Vec::new(),
        Json::Boolean(_) | Json::Number(_) | Json::Map(_) => vec![python(value)],
    }
}

/// Returns the text that Python makes of a value.
fn python(value: &Json) -> String {
    match value {
        Json::Null => "None".to_owned(),
        Json::Boolean(true) => "True".to_owned(),
        Json::Boolean(false) => "False".to_owned(),
        Json::Number(number) => python_text(number),
        Json::Text(text) => text.clone(),
        // Nothing equals these.
        Json::List(_) | Json::Map(_) => value.to_string(),
    }
}

struct Reader<'a> {
    property: &'a str,
    notes: &'a mut Vec<Note>,
}

impl Reader<'_> {
    fn rules(&mut self, list: &Node<'_>, depth: usize) -> Result<Vec<Rule>> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(list.problem(format!("must be nested at most {DEPTH} deep")));
        };
        list.items()?.map(|rule| self.rule(&rule, depth)).collect()
    }

    fn rule(&mut self, rule: &Node<'_>, depth: usize) -> Result<Rule> {
        let kind = rule.get("type");
        let kind = RuleKind::parse(kind.text()?).map_err(|violation| kind.problem(violation.description))?;
        let list = rule.get("conditions");
        let conditions = list.items()?.map(|condition| self.condition(&condition)).collect::<Result<_>>()?;
        let rules = self.rules(&rule.get("rules"), depth)?;
        Ok(Rule { kind, conditions, rules })
    }

    fn condition(&mut self, condition: &Node<'_>) -> Result<Condition> {
        let property = match condition.get(self.property).optional() {
            Some(property) => property.text()?.to_owned(),
            None => String::new(),
        };
        let name = condition.get("operator").text()?.to_owned();
        let value = condition.get("value");
        let value = value.json();
        let Ok(operator) = Operator::parse(&name) else {
            return Ok(self.never(condition, property, &name, value, "the operator is unknown"));
        };
        let operand = match (operator, value) {
            (Operator::In, Json::List(_)) => Operand::List(items(value)),
            (Operator::IsSet | Operator::IsNotSet, _) => Operand::Text(String::new()),
            (_, Json::Null) => return Ok(self.never(condition, property, &name, value, "it has no operand")),
            (_, Json::List(_) | Json::Map(_)) => {
                return Ok(self.never(condition, property, &name, value, "its operand is no text"));
            }
            (_, Json::Text(_) | Json::Number(_) | Json::Boolean(_)) => Operand::Text(python(value)),
        };
        Ok(self.checked(condition, property, operator, operand, value))
    }

    /// Creates the condition, or the nearest that can be stored.
    fn checked(
        &mut self,
        place: &Node<'_>,
        property: String,
        operator: Operator,
        operand: Operand,
        value: &Json,
    ) -> Condition {
        let violation = match Condition::new(property.as_str(), operator, operand.clone(), "") {
            Ok(condition) => return condition,
            Err(violation) => violation,
        };
        let name = operator.as_str();
        let Operand::Text(text) = operand else {
            return self.too_long(place, property, name, value, &violation.to_string());
        };
        let is_long = text.chars().count() > CONDITION_CHARACTERS;
        if violation.field == "property" || text.contains('\0') || (is_long && operator != Operator::In) {
            return self.too_long(place, property, name, value, &violation.to_string());
        }
        match operator {
            // A list has more room than a text.
            Operator::In => {
                match Condition::new(property.as_str(), operator, Operand::List(items(value)), "") {
                    Ok(condition) => condition,
                    Err(_) => {
                        let rule = format!("it has more than {CONDITION_LIST_ITEMS} items, or too long ones");
                        self.too_long(place, property, name, value, &rule)
                    }
                }
            }
            Operator::PercentageSplit
                if text.trim().parse().is_ok_and(|threshold: f64| threshold > 100.0) =>
            {
                self.notes.push(Note::changed(place, format!("the percentage {text} is now 100")));
                let full = Operand::Text("100".to_owned());
                let condition = Condition::new(property.as_str(), operator, full, "");
                condition.unwrap_or_else(|_| Condition::never(property, ""))
            }
            Operator::Equal
            | Operator::NotEqual
            | Operator::GreaterThan
            | Operator::GreaterThanInclusive
            | Operator::LessThan
            | Operator::LessThanInclusive
            | Operator::Contains
            | Operator::NotContains
            | Operator::Regex
            | Operator::PercentageSplit
            | Operator::IsSet
            | Operator::IsNotSet
            | Operator::Modulo => {
                self.never(place, property, name, value, &format!("its operand {}", violation.description))
            }
        }
    }

    /// Creates a condition that is never true, as the original is.
    fn never(
        &mut self,
        place: &Node<'_>,
        property: String,
        operator: &str,
        value: &Json,
        why: &str,
    ) -> Condition {
        let text = format!("`{property}` {operator} {value} is never true: {why}");
        self.notes.push(Note::changed(place, &text));
        Condition::never(property, text)
    }

    /// Creates a condition that is never true in the place of one that cannot be stored.
    fn too_long(
        &mut self,
        place: &Node<'_>,
        property: String,
        operator: &str,
        value: &Json,
        why: &str,
    ) -> Condition {
        let value: String = value.to_string().chars().take(200).collect();
        let text = format!("`{property}` {operator} {value} is now never true: {why}");
        self.notes.push(Note::not_taken(place, &text));
        Condition::never(property, text)
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::NoteKind;
    use super::*;

    fn check(condition: &str, expected: Operand, note: Option<NoteKind>) {
        let json = Json::parse(&format!(r#"[{{"type": "ALL", "conditions": [{condition}]}}]"#)).unwrap();
        let mut notes = Vec::new();
        let rules = read(&Node::root(&json), "property", &mut notes).unwrap();
        assert_eq!(rules[0].conditions[0].operand(), &expected, "{condition}");
        assert_eq!(notes.first().map(|note| note.kind), note, "{condition}: {notes:?}");
    }

    fn text(text: &str) -> Operand {
        Operand::Text(text.to_owned())
    }

    fn never() -> Operand {
        Operand::List(Vec::new())
    }

    #[test]
    fn an_operand_is_the_text_that_python_makes_of_it() {
        check(r#"{"property": "a", "operator": "EQUAL", "value": "1.0"}"#, text("1.0"), None);
        check(r#"{"property": "a", "operator": "EQUAL", "value": 1.50}"#, text("1.5"), None);
        check(r#"{"property": "a", "operator": "EQUAL", "value": false}"#, text("False"), None);
        check(r#"{"property": "a", "operator": "IS_SET", "value": null}"#, text(""), None);
        let items = Operand::List(vec!["a".into(), "1".into(), "True".into()]);
        check(r#"{"property": "a", "operator": "IN", "value": ["a", 1, true]}"#, items, None);
    }

    #[test]
    fn what_is_silently_false_becomes_a_condition_that_says_so() {
        for condition in [
            r#"{"property": "a", "operator": "SOUNDS_LIKE", "value": "b"}"#,
            r#"{"property": "a", "operator": "REGEX", "value": "["}"#,
            r#"{"property": "a", "operator": "MODULO", "value": "3"}"#,
            r#"{"property": "a", "operator": "MODULO", "value": "0|1"}"#,
            r#"{"property": "a", "operator": "PERCENTAGE_SPLIT", "value": "many"}"#,
            r#"{"property": "a", "operator": "PERCENTAGE_SPLIT", "value": "-1"}"#,
            r#"{"property": "a", "operator": "EQUAL", "value": null}"#,
            r#"{"property": "a", "operator": "EQUAL", "value": "v1:semver"}"#,
            r#"{"property": "a", "operator": "EQUAL", "value": ["b"]}"#,
        ] {
            check(condition, never(), Some(NoteKind::Changed));
        }
    }

    #[test]
    fn a_percentage_above_100_is_100() {
        let condition = r#"{"property": "a", "operator": "PERCENTAGE_SPLIT", "value": "250"}"#;
        check(condition, text("100"), Some(NoteKind::Changed));
    }

    #[test]
    fn a_long_text_of_items_becomes_a_list() {
        let identifiers: Vec<String> = (0..400).map(|number| format!("user-{number}")).collect();
        let condition =
            format!(r#"{{"property": "a", "operator": "IN", "value": "{}"}}"#, identifiers.join(","));
        check(&condition, Operand::List(identifiers), None);
    }

    #[test]
    fn a_path_that_takes_too_long_is_not_taken() {
        let condition = r#"{"property": "$..a..b", "operator": "EQUAL", "value": "x"}"#;
        check(condition, never(), Some(NoteKind::NotTaken));
    }

    #[test]
    fn what_is_too_long_is_not_taken() {
        let long = "x".repeat(1_001);
        let condition = format!(r#"{{"property": "a", "operator": "EQUAL", "value": "{long}"}}"#);
        check(&condition, never(), Some(NoteKind::NotTaken));
    }
}
