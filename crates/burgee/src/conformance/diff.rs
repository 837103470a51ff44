//! What differs between two JSON values, for people.

use crate::flagsmith::json::Json;

/// How much of a value is shown.
const SHOWN: usize = 200;

/// Lists what differs, each with its place.
pub(super) fn differences(expected: &Json, actual: &Json) -> Vec<String> {
    let mut lines = Vec::new();
    compare("", expected, actual, &mut lines);
    lines
}

fn compare(place: &str, expected: &Json, actual: &Json, lines: &mut Vec<String>) {
    if expected == actual {
        return;
    }
    match (expected, actual) {
        (Json::Map(left), Json::Map(right)) => {
            for (name, value) in left {
                let place = member(place, name);
                match actual.get(name) {
                    Some(other) => compare(&place, value, other, lines),
                    None => lines.push(format!("{place}: expected {}, is missing", show(value))),
                }
            }
            for (name, value) in right.iter().filter(|(name, _)| expected.get(name).is_none()) {
                lines.push(format!("{}: not expected, is {}", member(place, name), show(value)));
            }
        }
        (Json::List(left), Json::List(right)) => {
            for (index, (value, other)) in left.iter().zip(right).enumerate() {
                compare(&format!("{place}[{index}]"), value, other, lines);
            }
            for (index, value) in left.iter().enumerate().skip(right.len()) {
                lines.push(format!("{place}[{index}]: expected {}, is missing", show(value)));
            }
            for (index, value) in right.iter().enumerate().skip(left.len()) {
                lines.push(format!("{place}[{index}]: not expected, is {}", show(value)));
            }
        }
        _ => lines.push(format!("{place}: expected {}, is {}", show(expected), show(actual))),
    }
}

fn member(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
}

fn show(value: &Json) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_its_place() {
        let expected =
            Json::parse(r#"{"flags": {"f": {"value": 1, "variant": null}}, "segments": [{"name": "a"}]}"#);
        let actual = Json::parse(r#"{"flags": {"f": {"value": 1.0, "x": 2}}, "segments": []}"#);
        let lines = differences(&expected.unwrap(), &actual.unwrap());
        assert_eq!(
            lines,
            [
                "flags.f.value: expected 1, is 1.0",
                "flags.f.variant: expected null, is missing",
                "flags.f.x: not expected, is 2",
                r#"segments[0]: expected {"name":"a"}, is missing"#,
            ]
        );
    }
}
