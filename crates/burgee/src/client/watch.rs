//! `burgee watch`: follows flags as they change, across lost connections.
#![allow(
    clippy::print_stderr,
    reason = "standard output is for messages; what happens to the connection goes beside it"
)]

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use burgee_proto::evaluation::v1::evaluation_service_client::EvaluationServiceClient;
use burgee_proto::evaluation::v1::{Goodbye, WatchFlagsRequest};
use rand::Rng;
use tonic::{Code, Status};

use super::connection::{ANSWER_BYTES, Connection, endpoint};
use super::error::{describe, failed};
use super::selection::Selection;
use super::{ConnectionArgs, Credential, Output};
use crate::output::print;

mod event;

use event::{Event, Parts};

/// The longest pause before the first new attempt, and before any.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How much longer than the checkpoint interval a stream may be silent before it counts as lost.
const SILENCE: Duration = Duration::from_secs(15);

/// The arguments of `burgee watch`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Ends after this many messages. Default: goes on until interrupted.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Goes on from the message that carried this token.
    #[arg(long, value_name = "TOKEN", default_value = "")]
    resume_token: String,
    /// How many seconds the stream may be silent before the server says that nothing has changed.
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..=300))]
    checkpoint_interval: u16,
    /// How to print messages: a line of text, or of JSON, for each.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Follows flags until interrupted, or until enough messages have come.
///
/// # Errors
/// The server cannot be reached at first, refuses, or says that there is nothing to come back for.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let endpoint = endpoint(&args.connection.server, &args.connection.tls).await?;
    let credential = Credential::environment_key(args.selection.environment_key()?)?.without_timeout();
    // The first connection must succeed, so that a wrong address is told at once.
    let channel = args.connection.connect().await?;
    drop(channel);
    let client = EvaluationServiceClient::new(credential.on(endpoint.connect_lazy()))
        .max_decoding_message_size(ANSWER_BYTES);
    let mut watch =
        Watch { resume_token: args.resume_token.clone(), remaining: args.count, args, client, attempts: 0 };
    tokio::select! {
        result = watch.follow() => result?,
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    if watch.args.output == Output::Text && !watch.resume_token.is_empty() {
        eprintln!("burgee: to go on from here: --resume-token {}", watch.resume_token);
    }
    Ok(ExitCode::SUCCESS)
}

struct Watch {
    args: Args,
    client: EvaluationServiceClient<Connection>,
    /// Of the last message that was printed.
    resume_token: String,
    remaining: Option<u64>,
    /// New attempts since the last message.
    attempts: u32,
}

/// Why a stream has ended.
enum End {
    /// Enough messages have come.
    Enough,
    /// The server said so.
    Goodbye(Goodbye),
    /// The connection was lost, or the call failed.
    Lost(Status),
}

impl Watch {
    async fn follow(&mut self) -> anyhow::Result<()> {
        loop {
            let pause = match self.stream().await {
                End::Enough => return Ok(()),
                End::Goodbye(goodbye) => match &goodbye.retry_after {
                    Some(after) => {
                        let after = burgee_proto::time::length(after).unwrap_or(FIRST_PAUSE);
                        after + pause(0)
                    }
                    None => {
                        bail!("the server ended the stream for good: {}", event::goodbye_reason(&goodbye))
                    }
                },
                End::Lost(status) => {
                    if status.code() == Code::InvalidArgument
                        && !self.resume_token.is_empty()
                        && self.attempts == 0
                    {
                        // Another server may not know the token; begin anew, once.
                        self.resume_token.clear();
                    } else if !is_worth_a_retry(&status) {
                        return Err(failed("could not watch")(status));
                    }
                    let pause = pause(self.attempts);
                    eprintln!(
                        "burgee: the stream was lost; again in {:.1} s: {}",
                        pause.as_secs_f64(),
                        describe(&status)
                    );
                    pause
                }
            };
            self.attempts = self.attempts.saturating_add(1);
            tokio::time::sleep(pause).await;
        }
    }

    /// Opens a stream and prints its messages until it ends.
    async fn stream(&mut self) -> End {
        let interval = Duration::from_secs(self.args.checkpoint_interval.into());
        let request = WatchFlagsRequest {
            identity: self.args.selection.identity(),
            features: self.args.selection.flags.clone(),
            resume_token: self.resume_token.clone(),
            checkpoint_interval: Some(burgee_proto::time::duration(interval)),
        };
        let mut stream = match self.client.watch_flags(request).await {
            Ok(response) => response.into_inner(),
            Err(status) => return End::Lost(status),
        };
        let mut parts = Parts::default();
        loop {
            let message = match tokio::time::timeout(interval + SILENCE, stream.message()).await {
                Ok(Ok(Some(message))) => message,
                Ok(Ok(None)) => return End::Lost(Status::unavailable("the server closed the stream")),
                Ok(Err(status)) => return End::Lost(status),
                Err(_) => return End::Lost(Status::unavailable("the stream was silent for too long")),
            };
            let Some(event) = parts.add(message) else { continue };
            self.attempts = 0;
            print(&match self.args.output {
                Output::Text => event.to_text(),
                Output::Json => event.to_json().to_string(),
            });
            if !event.resume_token.is_empty() {
                self.resume_token.clone_from(&event.resume_token);
            }
            if let Some(remaining) = &mut self.remaining {
                *remaining -= 1;
                if *remaining == 0 {
                    return End::Enough;
                }
            }
            if let Event { kind: event::Kind::Goodbye(goodbye), .. } = event {
                return End::Goodbye(goodbye);
            }
        }
    }
}

/// Says whether the same call may succeed later.
fn is_worth_a_retry(status: &Status) -> bool {
    match status.code() {
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => true,
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unauthenticated => false,
    }
}

/// Returns a pause of random length, on average twice as long with every attempt, up to a bound.
fn pause(attempts: u32) -> Duration {
    let longest = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(attempts)).min(LONGEST_PAUSE);
    longest.mul_f64(rand::rng().random_range(0.1..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_are_never_nothing() {
        for attempts in [0, 1, 5, 40, u32::MAX] {
            let pause = pause(attempts);
            assert!(pause >= FIRST_PAUSE.mul_f64(0.1) && pause <= LONGEST_PAUSE, "{attempts}: {pause:?}");
        }
        assert!(pause(0) <= FIRST_PAUSE);
    }

    #[test]
    fn a_revoked_key_is_not_worth_a_retry() {
        assert!(!is_worth_a_retry(&Status::unauthenticated("")));
        assert!(is_worth_a_retry(&Status::unavailable("")));
    }
}
