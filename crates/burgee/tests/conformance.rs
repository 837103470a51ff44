//! Runs evaluation cases through the engine: our own always, the published ones where they are.

use std::path::{Path, PathBuf};

use burgee::conformance::{cases, engine};

fn check(paths: &[PathBuf], at_least: usize) {
    let cases = cases::read(paths).expect("cases");
    assert!(cases.len() >= at_least, "only {} cases", cases.len());
    let outcomes: Vec<_> =
        cases.iter().map(engine::check).filter(|outcome| !outcome.problems.is_empty()).collect();
    let failures: Vec<_> = outcomes
        .iter()
        .map(|outcome| {
            format!("{} ({})\n    {}", outcome.name, outcome.place, outcome.problems.join("\n    "))
        })
        .collect();
    assert!(
        failures.is_empty(),
        "{} of {} failed:\n  {}",
        failures.len(),
        cases.len(),
        failures.join("\n  ")
    );
}

#[test]
fn our_own_cases_pass() {
    check(&[Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")], 10);
}

#[test]
fn the_shared_cases_pass() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/cases");
    if !shared.exists() {
        eprintln!("`{}` is not here: nothing to check", shared.display());
        return;
    }
    check(&[shared.join("flagsmith-engine"), shared.join("flagsmith-engine-extra.json")], 318);
}
