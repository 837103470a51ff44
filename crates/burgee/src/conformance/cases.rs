//! Files of cases.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::flagsmith::json::Json;
use crate::flagsmith::node::{Misplaced, Node};

/// A context, and what it must evaluate to.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name; by default, the file's.
    pub name: String,
    /// Where it stands: the file, and the place in it if it has many.
    pub place: String,
    /// What to evaluate.
    pub context: Json,
    /// What must come of it.
    pub result: Json,
}

/// Reads the cases of files, and of directories with all that is in them, in order of their names.
///
/// # Errors
/// There is no case, or a file cannot be read or holds something else.
pub fn read(paths: &[PathBuf]) -> anyhow::Result<Vec<Case>> {
    let mut files = Vec::new();
    for path in paths {
        collect(path, &mut files).with_context(|| format!("could not read `{}`", path.display()))?;
    }
    let mut cases = Vec::new();
    for file in &files {
        let text =
            fs::read_to_string(file).with_context(|| format!("could not read `{}`", file.display()))?;
        cases
            .extend(parse(file, &text).with_context(|| format!("`{}` is no file of cases", file.display()))?);
    }
    if cases.is_empty() {
        bail!("there are no cases");
    }
    Ok(cases)
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !fs::metadata(path)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut entries =
        fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    entries.sort();
    for entry in entries {
        let is_case = entry.extension().is_some_and(|extension| extension == "json" || extension == "jsonc");
        if is_case || entry.is_dir() {
            collect(&entry, files)?;
        }
    }
    Ok(())
}

fn parse(file: &Path, text: &str) -> anyhow::Result<Vec<Case>> {
    let json = Json::parse(&without_comments(text))?;
    let root = Node::root(&json);
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    if !root.has("cases") {
        return Ok(vec![case(&root, &stem, file)?]);
    }
    let list = root.get("cases");
    let cases = list.items()?.enumerate().map(|(index, node)| case(&node, &format!("{stem}[{index}]"), file));
    Ok(cases.collect::<Result<_, _>>()?)
}

fn case(node: &Node<'_>, default_name: &str, file: &Path) -> Result<Case, Misplaced> {
    let name = match node.get("name").optional() {
        Some(name) => name.text()?.to_owned(),
        None => default_name.to_owned(),
    };
    let inside = node.to_string();
    let separator = if inside.is_empty() { "" } else { ": " };
    Ok(Case {
        name,
        place: format!("{}{separator}{inside}", file.display()),
        context: node.get("context").object()?.json().clone(),
        result: node.get("result").object()?.json().clone(),
    })
}

/// Empties lines that are comments, so that the others keep their numbers.
fn without_comments(text: &str) -> String {
    let keep =
        |line: &'_ str| if line.trim_start().starts_with("//") { String::new() } else { line.to_owned() };
    text.lines().map(keep).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(file: &str, text: &str) -> anyhow::Result<Vec<String>> {
        Ok(parse(Path::new(file), text)?.into_iter().map(|case| case.name).collect())
    }

    #[test]
    fn a_file_holds_one_case_or_many() {
        assert_eq!(names("a/one.json", r#"{"context": {}, "result": {}}"#).unwrap(), ["one"]);
        let many =
            r#"{"cases": [{"name": "x", "context": {}, "result": {}}, {"context": {}, "result": {}}]}"#;
        assert_eq!(names("many.json", many).unwrap(), ["x", "many[1]"]);
    }

    #[test]
    fn lines_that_begin_with_slashes_are_comments() {
        let text = "// note\n{\"$schema\": \"https://x\",\n  // {\n\"context\": {}, \"result\": {}}";
        assert_eq!(names("one.jsonc", text).unwrap(), ["one"]);
        let error = format!("{:#}", names("one.jsonc", "// note\n{\"context\": }").unwrap_err());
        assert!(error.contains("line 2"), "{error}");
    }

    #[test]
    fn what_is_no_case_is_named() {
        let error = names("one.json", r#"{"context": {}}"#).unwrap_err().to_string();
        assert_eq!(error, "`result` is missing; it must be an object");
        let error = names("many.json", r#"{"cases": [{"context": 5}]}"#).unwrap_err().to_string();
        assert_eq!(error, "`cases[0].context` must be an object, is a number");
    }
}
