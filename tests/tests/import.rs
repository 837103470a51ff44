//! Moving an environment in from Flagsmith, and evaluating cases through a server: the commands, against a
//! real one.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use burgee_tests::document::{FEATURES, SEGMENTS, large};
use burgee_tests::server::{Server, binary};
use burgee_tests::tools::workspace;
use serde_json::Value;
use tokio::process::Command;

/// How long the import of a large document may take; a binary that is not optimised gets more.
const IMPORT_TIME: Duration = Duration::from_secs(if cfg!(debug_assertions) { 20 } else { 5 });

/// A context with a split, a segment that overrides it, and an identity override, and the identity that it
/// was for.
const CONTEXT: &str = r#"{
    "environment": {"key": "test_env", "name": "Production (EU)"},
    "identity": {"identifier": "ada", "key": "test_env_foobar", "traits": {"beta": true, "age": 36, "gone": null}},
    "features": {
        "split": {"key": "78986", "name": "split", "enabled": true, "value": "control value", "variants": [
            {"value": "late", "weight": 90, "priority": 8, "key": "late"},
            {"value": "early", "weight": 54.5, "priority": 7}
        ]},
        "a/b %": {"key": "2", "name": "a/b %", "enabled": false, "value": 123456789012345678901234567890}
    },
    "segments": {
        "": {"key": "", "name": "identity_overrides", "rules": [{"type": "ALL", "conditions": [
            {"property": "$.identity.identifier", "operator": "IN", "value": "bob,eve/%"}
        ]}], "overrides": [{"key": "", "name": "a/b %", "enabled": true, "value": true}]},
        "9": {"key": "9", "name": "Beta", "rules": [{"type": "ALL", "conditions": [
            {"property": "beta", "operator": "EQUAL", "value": "true"}
        ]}], "overrides": [{"key": "3", "name": "a/b %", "enabled": true, "value": "for beta"}]}
    }
}"#;

async fn burgee(server: &Server, arguments: &[&str]) -> Output {
    let address = server.management.expect("management is served");
    Command::new(binary())
        .args(arguments)
        .args(["--server", &format!("http://{address}")])
        .env("BURGEE_TOKEN", &server.credentials.token)
        .stdin(Stdio::null())
        .output()
        .await
        .expect("the binary runs")
}

/// Imports a text; returns the report.
async fn import(server: &Server, text: &str, more: &[&str]) -> Value {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("document.json");
    std::fs::write(&file, text).expect("a file can be written");
    let file = file.display().to_string();
    let output = burgee(server, &[&["import", "flagsmith", &file, "--output", "json"], more].concat()).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    serde_json::from_slice(&output.stdout).expect("a report")
}

/// Makes a key of an environment, and evaluates all flags for an identity, by its identifier alone.
async fn evaluate(server: &Server, environment: &str, identifier: &str) -> Value {
    use burgee_proto::management::v1::CreateEnvironmentKeyRequest;
    use burgee_proto::management::v1::environment_service_client::EnvironmentServiceClient;
    use burgee_proto::v1::{EnvironmentKey, KeyKind};

    let mut environments =
        EnvironmentServiceClient::with_interceptor(server.management_channel().await, server.token());
    let request = CreateEnvironmentKeyRequest {
        parent: environment.to_owned(),
        key_id: format!("for-{}", uuid::Uuid::new_v4().simple()),
        key: Some(EnvironmentKey { kind: KeyKind::ServerSide.into(), ..Default::default() }),
        ..Default::default()
    };
    let key = environments.create_environment_key(request).await.expect("a key").into_inner();
    let revision = key.revision.to_string();
    let arguments = ["eval", "--environment-key", &key.secret, "--identity", identifier, "--output", "json"];
    let output = burgee(server, &[&arguments[..], &["--min-revision", &revision]].concat()).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("an answer")
}

const PROJECT: [&str; 2] = ["--project", "organisations/moved/projects/shop"];

#[tokio::test]
async fn a_large_document_is_imported_once_and_a_second_run_changes_nothing() {
    let server = Server::dev().await;
    let begun = Instant::now();
    let report = import(&server, &large(), &PROJECT).await;
    let taken = begun.elapsed();
    eprintln!("the import took {taken:?}");
    assert!(taken < IMPORT_TIME, "{taken:?}");
    let made = |kind: &str| report["made"][kind].as_array().map_or(0, Vec::len);
    assert_eq!(made("features"), FEATURES);
    assert_eq!(made("segments"), SEGMENTS);
    assert_eq!(made("segment_overrides"), FEATURES * SEGMENTS);
    assert_eq!(report["not_taken"], Value::Array(vec![]));

    let again = import(&server, &large(), &PROJECT).await;
    assert_eq!(again["revision"], Value::Null);
    assert_eq!((&again["made"], &again["changed"]), (&serde_json::json!({}), &serde_json::json!({})));
}

#[tokio::test]
async fn what_is_too_large_for_one_change_is_written_in_several() {
    let server = Server::dev().await;
    // 1 MB of values, and 6 MB as the change log has them: JSON spells such characters with six.
    let mut document = large();
    for id in 0..=FEATURES {
        let value = format!("\"{} {id}\"", "\\u0001".repeat(19_900));
        document = document.replace(&format!("\"value {id}\""), &value);
    }
    assert!(document.len() > 5_000_000);
    let report = import(&server, &document, &PROJECT).await;
    let made = |kind: &str| report["made"][kind].as_array().map_or(0, Vec::len);
    assert_eq!((made("features"), made("segment_overrides")), (FEATURES, FEATURES * SEGMENTS));
    let again = import(&server, &document, &PROJECT).await;
    assert_eq!(again["revision"], Value::Null);
}

#[tokio::test]
async fn a_document_that_has_changed_changes_only_that() {
    let server = Server::dev().await;
    import(&server, &large(), &PROJECT).await;
    // A value of a flag, one of an override, and the name of a segment.
    let changed = large()
        .replace(r#""value 7""#, r#""another value""#)
        .replace(r#""value 1203""#, r#""another value""#)
        .replace(r#""segment 4""#, r#""another name""#);
    let report = import(&server, &changed, &[&PROJECT[..], &["--dry-run"]].concat()).await;
    let expected = serde_json::json!({
        "segments": ["segment-4"], "flags": ["imported_7"], "segment_overrides": ["imported_3 for segment-4"],
    });
    assert_eq!(report["changed"], expected);
    assert_eq!(report["made"], serde_json::json!({}));
    let report = import(&server, &changed, &PROJECT).await;
    assert_eq!(report["changed"], expected);
    assert_eq!(import(&server, &changed, &PROJECT).await["changed"], serde_json::json!({}));
}

#[tokio::test]
async fn everybody_stays_in_the_bucket_they_were_in() {
    let server = Server::dev().await;
    let report = import(&server, CONTEXT, &PROJECT).await;
    let environment = report["environment"].as_str().expect("a name").to_owned();
    assert_eq!(environment, "organisations/moved/projects/shop/environments/production-eu");
    assert_eq!(import(&server, CONTEXT, &PROJECT).await["revision"], Value::Null);

    // 54.53 is beyond the first variant, so it is in the second's share, which is cut to what is left.
    let answer = evaluate(&server, &environment, "ada").await;
    let flags = answer["flags"].as_array().expect("flags");
    assert_eq!((&flags[0]["key"], &flags[0]["value"]), (&"a/b %".into(), &"for beta".into()));
    assert_eq!((&flags[1]["value"], &flags[1]["variant"]), (&"late".into(), &"late".into()));
    for identifier in ["bob", "eve/%"] {
        let answer = evaluate(&server, &environment, identifier).await;
        assert_eq!(answer["flags"][0]["reason"], "IDENTITY_OVERRIDE", "{identifier}");
        assert_eq!(answer["flags"][0]["value"], true);
    }
}

#[tokio::test]
async fn cases_pass_through_a_server() {
    let server = Server::dev().await;
    let own = workspace().join("crates/burgee/tests/cases");
    let shared = workspace().join("../shared/cases");
    let paths = [own, shared.join("flagsmith-engine"), shared.join("flagsmith-engine-extra.json")];
    let paths: Vec<String> =
        paths.iter().filter(|path| path.exists()).map(|path: &_| Path::display(path).to_string()).collect();
    let arguments: Vec<&str> = ["conformance"].into_iter().chain(paths.iter().map(String::as_str)).collect();
    let output = burgee(&server, &arguments).await;
    let printed = String::from_utf8_lossy(&output.stdout);
    let last = printed.lines().last().unwrap_or_default();
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    assert!(last.ends_with(" passed, 0 failed"), "{last}");
}
