//! `burgee eval`: evaluates flags once.

use std::process::ExitCode;

use anyhow::Context;
use burgee_proto::evaluation::v1::evaluation_service_client::EvaluationServiceClient;
use burgee_proto::evaluation::v1::{EvaluateFlagsRequest, EvaluateFlagsResponse};

use super::connection::ANSWER_BYTES;
use super::error::failed;
use super::selection::Selection;
use super::show::{flag_json, flag_text, member, stale_seconds};
use super::{ConnectionArgs, Credential, Output};
use crate::flagsmith::json::Json;
use crate::output::print;

/// The arguments of `burgee eval`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Waits until the server has this revision.
    #[arg(long, value_name = "REVISION", default_value_t = 0)]
    min_revision: i64,
    /// How to print the answer.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Evaluates flags and prints them. Exits with 1 if one of those named does not exist.
///
/// # Errors
/// The server cannot be reached, or refuses.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let credential = Credential::environment_key(args.selection.environment_key()?)?;
    let channel = args.connection.connect().await?;
    let mut client =
        EvaluationServiceClient::new(credential.on(channel)).max_decoding_message_size(ANSWER_BYTES);
    let request = EvaluateFlagsRequest {
        identity: args.selection.identity(),
        features: args.selection.flags.clone(),
        min_revision: args.min_revision,
        include_segments: false,
    };
    let response = client.evaluate_flags(request).await.map_err(failed("could not evaluate"))?.into_inner();
    match args.output {
        Output::Text => print_text(&response),
        Output::Json => print(&serde_json::to_string_pretty(&to_json(&response)).context("could not print")?),
    }
    Ok(if response.missing_features.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_text(response: &EvaluateFlagsResponse) {
    response.flags.iter().for_each(|flag| print(&flag_text(flag)));
    response.missing_features.iter().for_each(|feature| print(&format!("{feature} does not exist")));
    let stale = stale_seconds(response.stale_for.as_ref());
    let stale = stale.map(|seconds| format!(", without news for {seconds:.1} s")).unwrap_or_default();
    print(&format!("revision {}{stale}", response.revision));
}

fn to_json(response: &EvaluateFlagsResponse) -> Json {
    let mut members = vec![
        member("revision", Json::Number(response.revision.to_string())),
        member("flags", Json::List(response.flags.iter().map(flag_json).collect())),
    ];
    if !response.missing_features.is_empty() {
        let missing = response.missing_features.iter().map(|feature| Json::from(feature.as_str()));
        members.push(member("missing_features", Json::List(missing.collect())));
    }
    if let Some(seconds) = stale_seconds(response.stale_for.as_ref()) {
        members.push(member("stale_seconds", Json::Number(format!("{seconds:?}"))));
    }
    Json::Map(members)
}
