//! What ARCHITECTURE.md says of the crates, and what the protos promise, held.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use burgee_proto::DESCRIPTORS;
use prost::Message as _;
use prost_types::FileDescriptorSet;

/// Who may depend on whom: arrows point only down.
const ARROWS: [(&str, &[&str]); 7] = [
    ("burgee-core", &[]),
    ("burgee-proto", &["burgee-core"]),
    ("burgee-store", &["burgee-core"]),
    ("burgee-management", &["burgee-core", "burgee-proto"]),
    ("burgee-evaluation", &["burgee-core", "burgee-proto"]),
    ("burgee", &["burgee-core", "burgee-proto", "burgee-store", "burgee-management", "burgee-evaluation"]),
    (
        "burgee-bench",
        // Of the tests: PostgreSQL for a while, and the credentials of a client.
        &["burgee-core", "burgee-proto", "burgee", "burgee-tests"],
    ),
];

/// What the core must never know: the wire, the database, the network.
const FOREIGN_TO_CORE: [&str; 6] = ["tonic", "prost", "sqlx", "hyper", "h2", "axum"];

fn metadata() -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}

/// The normal dependencies of every package of the workspace.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("a list of packages");
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("a list of dependencies");
            let normal = dependencies.iter().filter(|dependency| dependency["kind"].is_null());
            let names = normal.map(|dependency| dependency["name"].as_str().expect("a name").to_owned());
            (package["name"].as_str().expect("a name").to_owned(), names.collect())
        })
        .collect()
}

#[test]
fn crates_depend_only_downwards() {
    let dependencies = dependencies();
    for (name, allowed) in ARROWS {
        let ours: BTreeSet<&str> = dependencies[name]
            .iter()
            .map(String::as_str)
            .filter(|other| other.starts_with("burgee"))
            .collect();
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        assert!(ours.is_subset(&allowed), "{name} depends on {ours:?}, may depend on {allowed:?}");
    }
    let known: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).chain(["burgee-tests"]).collect();
    let all: BTreeSet<&str> = dependencies.keys().map(String::as_str).collect();
    assert_eq!(all, known, "a new crate needs its arrows here and in ARCHITECTURE.md");
}

#[test]
fn the_core_knows_neither_wire_nor_database() {
    let core = &dependencies()["burgee-core"];
    for name in FOREIGN_TO_CORE {
        assert!(!core.contains(name), "burgee-core depends on {name}");
    }
    assert!(!dependencies()["burgee-management"].contains("sqlx"));
    assert!(!dependencies()["burgee-evaluation"].contains("sqlx"));
}

#[test]
fn every_part_of_our_protos_has_a_comment() {
    let set = FileDescriptorSet::decode(DESCRIPTORS).expect("our own descriptors");
    let mut missing = Vec::new();
    for file in set.file.iter().filter(|file| file.package().starts_with("burgee.")) {
        let commented: BTreeSet<&[i32]> = file
            .source_code_info
            .iter()
            .flat_map(|info| &info.location)
            .filter(|location| !location.leading_comments().trim().is_empty())
            .map(|location| location.path.as_slice())
            .collect();
        let mut check = |path: &[i32], what: String| {
            if !commented.contains(path) {
                missing.push(format!("{}: {what}", file.name()));
            }
        };
        // The numbers are those of the fields of `google.protobuf.FileDescriptorProto`.
        for (message, m) in file.message_type.iter().zip(0..) {
            check(&[4, m], message.name().to_owned());
            for (field, f) in message.field.iter().zip(0..) {
                check(&[4, m, 2, f], format!("{}.{}", message.name(), field.name()));
            }
        }
        for (item, e) in file.enum_type.iter().zip(0..) {
            check(&[5, e], item.name().to_owned());
            for (value, v) in item.value.iter().zip(0..) {
                check(&[5, e, 2, v], value.name().to_owned());
            }
        }
        for (service, s) in file.service.iter().zip(0..) {
            check(&[6, s], service.name().to_owned());
            for (method, m) in service.method.iter().zip(0..) {
                check(&[6, s, 2, m], format!("{}/{}", service.name(), method.name()));
            }
        }
    }
    assert!(missing.is_empty(), "without a comment: {missing:#?}");
}
