//! The tool itself: a quick run measures everything, a little, and its figures can be read. That they are good is not asked.

use std::fs;
use std::process::Command;

#[test]
fn a_quick_run_measures_everything() {
    let folder = tempfile::tempdir().unwrap();
    let [json, markdown] = ["figures.json", "figures.md"].map(|name| folder.path().join(name));
    let run = Command::new(env!("CARGO_BIN_EXE_burgee-bench"))
        .arg("--quick")
        .args(["--json".as_ref(), json.as_os_str(), "--markdown".as_ref(), markdown.as_os_str()])
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));

    let rows: Vec<serde_json::Value> = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    let table = fs::read_to_string(markdown).unwrap();
    for name in [
        "evaluate_flag/standard",
        "evaluate_flags/standard",
        "evaluate_flags/standard/open",
        "evaluate_flags/reference",
        "evaluate_flags_stored_cold/standard",
        "batch_evaluate_flags/standard",
        "identify_changed/standard",
        "evaluate_flags_changing/standard",
        "propagation/one",
        "propagation/100/last",
        "subscriber_memory/100",
        "reconnect_storm/100",
        "environments/6/first_answer",
    ] {
        let row = rows.iter().find(|row| row["name"] == name);
        let row = row.unwrap_or_else(|| panic!("{name} was not measured"));
        assert!(row["p99_us"].is_number() || row["rss_bytes"].is_number(), "{row}");
        assert!(table.contains(&format!("| {name} |")), "{name} is not in the table");
    }
}
