//! Every command of the README, and every line that `burgee dev` prints, typed as it stands.
//!
//! Where `grpcurl` is installed it is used; elsewhere a stand-in of the same words hands each call to `buf curl`, which
//! knows the services by reflection alone, too.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use burgee::settings::{Given, Listen, Settings};
use burgee_management::oidc::IssuerSettings;
use burgee_tests::postgres::Cluster;
use burgee_tests::server::{PATIENCE, Server, binary};
use burgee_tests::tools::{buf, workspace};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Understands the words of grpcurl that the documentation uses.
const STAND_IN: &str = r#"#!/usr/bin/env bash
set -euo pipefail
headers=() data='{}'
while [ $# -gt 0 ]; do
  case "$1" in
    -plaintext) shift ;;
    -H) headers+=(-H "$2"); shift 2 ;;
    -d) data=$2; shift 2 ;;
    *) break ;;
  esac
done
address=$1 verb=$2
curl=("$BUF" curl --http2-prior-knowledge --protocol grpc --reflect-protocol "${REFLECTION:-grpc-v1}")
case "$verb" in
  list) exec "${curl[@]}" --list-services "http://$address" ;;
  describe) "${curl[@]}" --list-methods "http://$address" | grep --fixed-strings "$3/" ;;
  *) exec "${curl[@]}" "${headers[@]}" -d "$data" "http://$address/$verb" ;;
esac
"#;

/// A shell with a server and the variables that it printed.
struct Shell {
    server: Server,
    folder: TempDir,
    path: String,
}

impl Shell {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let programs = folder.path().join("bin");
        fs::create_dir(&programs).unwrap();
        if !installed("grpcurl") {
            script(&programs.join("grpcurl"), STAND_IN);
        }
        script(&programs.join("burgee"), &format!("#!/bin/sh\nexec {} \"$@\"\n", binary().display()));
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        Self { server: Server::dev().await, folder, path }
    }

    fn command(&self, text: &str) -> Command {
        let address = self.server.management.unwrap().to_string();
        let mut command = Command::new("bash");
        command
            .args(["-euo", "pipefail", "-c", &text.replace("127.0.0.1:7777", &address)])
            .current_dir(self.folder.path())
            .env("PATH", &self.path)
            .env("BUF", buf())
            .env("BURGEE_SERVER", format!("http://{address}"))
            .env("BURGEE_TOKEN", &self.server.credentials.token)
            .env("BURGEE_ENVIRONMENT_KEY", &self.server.credentials.server_side)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs what must succeed, and returns what it printed.
    async fn run(&self, text: &str) -> String {
        let output = tokio::time::timeout(PATIENCE, self.command(text).output()).await;
        let output = output.unwrap_or_else(|_| panic!("took too long: {text}")).unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}\n{printed}{}", String::from_utf8_lossy(&output.stderr));
        printed
    }

    /// Starts what runs until it is stopped, and waits until it prints a word.
    async fn follow(&self, text: &str, word: &str) -> Follower {
        let mut child = self.command(&format!("exec {text}")).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut follower = Follower { _child: child, lines };
        follower.until(word).await;
        follower
    }
}

struct Follower {
    _child: Child,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
}

impl Follower {
    async fn until(&mut self, word: &str) {
        let found = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                if line.contains(word) {
                    return;
                }
            }
            panic!("the output ended before `{word}`");
        };
        tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("`{word}` never came"));
    }
}

fn installed(program: &str) -> bool {
    std::env::var("PATH").unwrap().split(':').any(|folder| Path::new(folder).join(program).exists())
}

fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Returns the rows of a table of the README, by its first words.
fn table(first: &str) -> Vec<Vec<String>> {
    let readme = fs::read_to_string(workspace().join("README.md")).unwrap();
    let lines = readme.lines().skip_while(|line| !line.starts_with(first)).skip(2);
    let rows = lines.take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// Writes a number with commas.
fn number(number: u64) -> String {
    match number / 1_000 {
        0 => number.to_string(),
        thousands => format!("{},{:03}", self::number(thousands), number % 1_000),
    }
}

#[test]
fn the_limits_are_those_of_the_code() {
    use burgee_core::limits::*;
    let limits = serde_json::to_value(Limits::default()).unwrap();
    let stored = limits.as_object().unwrap().iter();
    let mut expected: Vec<[String; 3]> = stored
        .map(|(name, value)| {
            [format!("`{name}`"), number(value.as_u64().unwrap()), "`[server.limits]`".to_owned()]
        })
        .collect();
    let settings = Settings::resolve(Listen::default(), Given::default(), None).unwrap();
    let server = serde_json::to_value(settings.server).unwrap();
    for (name, setting) in [
        ("bytes of a request", "max-message-bytes"),
        ("milliseconds of a call without a stream", "max-deadline-ms"),
        ("connections", "max-connections"),
        ("streams of one connection", "streams-per-connection"),
        ("streams with one environment key", "streams-per-key"),
        ("streams with one token", "streams-per-token"),
        ("requests a second with one environment key", "requests-per-key-per-second"),
        ("requests a second with one token", "requests-per-token-per-second"),
        ("failed sign-ins of one address in a minute", "sign-in-failures-per-minute"),
    ] {
        let default = match &server[setting] {
            Value::Null => "none".to_owned(),
            value => number(value.as_u64().unwrap()),
        };
        expected.push([name.to_owned(), default, format!("`{setting}`")]);
    }
    for (name, value) in [
        ("bytes of a text value", VALUE_BYTES),
        ("bytes of a JSON value", JSON_VALUE_BYTES),
        ("bytes of metadata", METADATA_BYTES),
        ("bytes of a description", DESCRIPTION_BYTES),
        ("characters of a display name", DISPLAY_NAME_CHARACTERS),
        ("characters of an identifier", IDENTIFIER_CHARACTERS),
        ("characters of a trait's key", TRAIT_KEY_CHARACTERS),
        ("characters of a trait's text", TRAIT_VALUE_CHARACTERS),
        ("conditions of a segment", CONDITIONS_PER_SEGMENT),
        ("rules within rules of a segment", RULE_DEPTH),
        ("characters of a condition's property, and of its operand", CONDITION_CHARACTERS),
        ("items of a condition's list", CONDITION_LIST_ITEMS),
        ("variants of a feature", VARIANTS_PER_FEATURE),
        ("tags of a feature, and owners", TAGS_PER_FEATURE),
        ("tags that limit a grant or a key", TAGS_PER_LIMIT),
        ("groups of an invitation", GROUPS_PER_INVITATION),
        ("rules of a trust relationship", CLAIM_RULES_PER_TRUST_RELATIONSHIP),
        ("patterns of such a rule", PATTERNS_PER_CLAIM_RULE),
    ] {
        expected.push([name.to_owned(), number(value as u64), String::new()]);
    }
    let mut rows: Vec<[String; 3]> =
        table("| limit |").iter().map(|row| [row[0].clone(), row[1].clone(), row[2].clone()]).collect();
    rows.sort();
    expected.sort();
    assert_eq!(rows, expected);
}

#[test]
fn the_settings_of_issuers_are_those_of_the_code() {
    let some = || Some("x".to_owned());
    let (jwks_uri, groups_claim, organisation) = (some(), some(), some());
    let all = IssuerSettings { jwks_uri, groups_claim, organisation, ..IssuerSettings::new("x") };
    let all = serde_json::to_value(all).unwrap();
    let defaults = serde_json::to_value(IssuerSettings::new("x")).unwrap();
    let default = |name: &str| match &defaults[name] {
        _ if name == "issuer" => "required".to_owned(),
        Value::Null => "none".to_owned(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => {
            items.iter().map(|item| format!("`{}`", item.as_str().unwrap())).collect::<Vec<_>>().join(", ")
        }
        value => value.to_string(),
    };
    let mut expected: Vec<[String; 2]> =
        all.as_object().unwrap().keys().map(|name| [format!("`{name}`"), default(name)]).collect();
    let mut rows: Vec<[String; 2]> =
        table("| `[[server.issuers]]` |").iter().map(|row| [row[0].clone(), row[1].clone()]).collect();
    rows.sort();
    expected.sort();
    assert_eq!(rows, expected);
}

/// Returns the `sh` blocks of a section of the README.
fn blocks(section: &str) -> Vec<String> {
    let readme = fs::read_to_string(workspace().join("README.md")).unwrap();
    let section = readme.split("\n## ").find(|part| part.starts_with(section)).unwrap();
    let blocks = section.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap().to_owned());
    blocks.collect()
}

#[tokio::test]
async fn a_team_is_set_up_as_it_stands() {
    let shell = Shell::new().await;
    let mut printed = Vec::new();
    for block in blocks("Share it with a team") {
        printed.push(shell.run(&block).await);
    }
    assert_eq!(printed.len(), 5);
    assert!(printed[1].contains("users/grace") && printed[1].contains("bgu_"), "{}", printed[1]);
    assert!(printed[3].contains("PERMISSION_UPDATE_FEATURE_STATE"), "{}", printed[3]);
    assert!(printed[4].contains("PermissionService/CreateGrant"), "{}", printed[4]);
}

#[tokio::test]
async fn the_tour_works_as_it_stands() {
    let shell = Shell::new().await;
    let mut follower = None;
    let mut printed = String::new();
    for block in blocks("A tour with grpcurl") {
        if block.contains("/WatchFlags") {
            follower = Some(shell.follow(block.trim(), "snapshot").await);
        } else {
            printed.push_str(&shell.run(&block).await);
        }
    }
    // The change of the flag reached the stream that was open.
    follower.unwrap().until("REASON_DEFAULT").await;
    for word in
        ["burgee.management.v1.FlagService", "WatchFlags", "REASON_SEGMENT_OVERRIDE", "grace", "launch"]
    {
        assert!(printed.contains(word), "`{word}` is missing: {printed}");
    }
}

#[tokio::test]
async fn the_command_line_works_as_it_stands() {
    let shell = Shell::new().await;
    let tour = blocks("A tour with grpcurl");
    for block in tour.iter().filter(|block| block.contains("Create") || block.contains("/SetSegmentOverride"))
    {
        shell.run(block).await;
    }
    for line in blocks("From the command line")[0].lines() {
        shell.run(line).await;
    }
    let flag = shell.run("burgee eval banner").await;
    assert!(flag.contains("Hello"), "{flag}");

    fs::write(shell.folder.path().join("environment.json"), ENVIRONMENT).unwrap();
    let cases = shell.folder.path().join("path/to/cases");
    fs::create_dir_all(&cases).unwrap();
    fs::write(cases.join("one.json"), CASE).unwrap();
    for block in blocks("Move from Flagsmith") {
        for line in block.lines() {
            let printed = shell.run(line).await;
            if line.contains("conformance") {
                assert!(printed.contains("1 passed, 0 failed"), "{printed}");
            }
        }
    }
}

#[tokio::test]
async fn the_way_to_production_works_but_for_its_addresses() {
    let shell = Shell::new().await;
    let database_url = Cluster::shared().database().await;
    let mut servers = Vec::new();
    for line in blocks("In production")[0].lines() {
        let line = line
            .replace("postgres://burgee:PASSWORD@db/burgee", &database_url)
            .replace("0.0.0.0:7778", "127.0.0.1:0")
            .replace("0.0.0.0:7779", "127.0.0.1:0");
        if line.contains("burgee serve") {
            servers.push(shell.follow(&line, "serving").await);
        } else {
            shell.run(&line).await;
        }
    }
    assert_eq!(servers.len(), 2);
}

#[tokio::test]
async fn what_dev_prints_works_as_it_stands() {
    let shell = Shell::new().await;
    let lines = shell.server.printed.lines().filter(|line| line.starts_with("grpcurl")).map(str::to_owned);
    let mut last = String::new();
    for line in lines.collect::<Vec<_>>() {
        last = shell.run(&line).await;
    }
    assert!(last.contains("revision"), "{last}");
}

#[tokio::test]
async fn a_foreign_client_knows_both_services_by_either_reflection() {
    let shell = Shell::new().await;
    let address = shell.server.management.unwrap();
    for reflection in ["grpc-v1", "grpc-v1alpha"] {
        let list = format!(
            "\"$BUF\" curl --http2-prior-knowledge --protocol grpc --reflect-protocol {reflection} --list-methods http://{address}"
        );
        let printed = shell.run(&list).await;
        for method in [
            "burgee.management.v1.FlagService/ApplyChanges",
            "burgee.evaluation.v1.EvaluationService/WatchFlags",
            "grpc.health.v1.Health/Check",
        ] {
            assert!(printed.contains(method), "{reflection} does not list {method}: {printed}");
        }
    }
    let check = format!(
        "\"$BUF\" curl --http2-prior-knowledge --protocol grpc -d '{{}}' http://{address}/grpc.health.v1.Health/Check"
    );
    assert!(shell.run(&check).await.contains("SERVING"));
}

const ENVIRONMENT: &str = r#"{
  "id": 1, "api_key": "n9fbf9h3v4fFgH3U3ngWhb", "name": "Staging", "updated_at": "2026-01-01T00:00:00+00:00",
  "allow_client_traits": true, "hide_sensitive_data": false, "hide_disabled_flags": null,
  "use_identity_composite_key_for_hashing": true, "use_identity_overrides_in_local_eval": true,
  "project": {"id": 1, "name": "Shop", "hide_disabled_flags": false, "enable_realtime_updates": false,
    "server_key_only_feature_ids": [], "organisation": {"id": 1, "name": "Acme", "feature_analytics": false,
    "stop_serving_flags": false, "persist_trait_data": true}, "segments": []},
  "feature_states": [{"feature": {"id": 7, "name": "search_v2", "type": "STANDARD"}, "enabled": true, "django_id": 70,
    "feature_segment": null, "featurestate_uuid": "0d1d4d0e-7d4f-4f3e-9f53-0b9f3f0a6a11", "feature_state_value": "fast",
    "multivariate_feature_state_values": []}],
  "identity_overrides": []
}"#;

const CASE: &str = r#"{
  "name": "a flag that is on",
  "context": {"environment": {"key": "env", "name": "Prod"},
    "features": {"f": {"key": "1", "name": "f", "enabled": true, "value": 7}}},
  "result": {"flags": {"f": {"name": "f", "enabled": true, "value": 7, "reason": "DEFAULT", "variant": null}}, "segments": []}
}"#;
