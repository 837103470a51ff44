//! Writes a plan to a server.

use std::future::Future;
use std::time::Duration;

use burgee_core::name::ProjectName;
use burgee_proto::management::v1 as rpc;
use futures_util::{StreamExt, TryStreamExt, stream};
use prost::Message;
use rand::Rng;
use rpc::change_request::Change;
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

use super::plan::Plan;
use super::progress::Progress;
use crate::client::error::failed;
use crate::client::management::Management;

/// The most changes of one request, and the most bytes; servers take 5,000, and 4 MiB.
const CHANGES: usize = 5_000;
const CHANGES_BYTES: usize = 3 * 1024 * 1024;
/// Calls at a time, where the order does not matter.
const CALLS: usize = 16;
/// How often a call is made when the server cannot answer, and the longest pause after the first time.
const ATTEMPTS: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Makes a call with an id, so that it can be repeated, and a reason; returns the answer.
macro_rules! call {
    ($writer:ident, $client:ident.$method:ident, $request:expr) => {{
        let mut request = $request;
        request.request_id = format!("import-{}", uuid::Uuid::new_v4());
        $writer.reason.clone_into(&mut request.reason);
        repeat(|| {
            let (mut client, request) = ($writer.server.$client.clone(), request.clone());
            async move { client.$method(request).await }
        })
        .await
    }};
}

/// Writes all; returns the newest revision, if there was anything that takes one.
pub(super) async fn apply(
    server: &Management,
    project: &ProjectName,
    plan: Plan,
    reason: &str,
    progress: &dyn Progress,
) -> anyhow::Result<Option<i64>> {
    let writer = Writer { server, reason };
    let mut revision = writer.containers(&plan).await?;
    for request in plan.update_features {
        let answer = call!(writer, features.update_feature, request);
        revision = Some(answer.map_err(failed("could not change a feature"))?.revision);
    }
    for request in plan.variants {
        let what = format!("could not add the variant `{}` to `{}`", request.variant_id, request.parent);
        revision = Some(call!(writer, features.create_variant, request).map_err(failed(what))?.revision);
    }
    progress.begin("changes", plan.changes.len());
    let mut left = chunks(plan.changes);
    left.reverse();
    while let Some(changes) = left.pop() {
        let count = changes.len();
        match writer.changes(project, &changes).await? {
            Some(written) => {
                revision = Some(written);
                progress.advance(count);
            }
            None => {
                let (first, rest) = changes.split_at(count / 2);
                left.extend([rest.to_vec(), first.to_vec()]);
            }
        }
    }
    progress.begin("identities", plan.traits.len());
    let writer = &writer;
    let identities = stream::iter(plan.traits).map(|request| async move {
        let what = format!("could not set the traits of `{}`", request.name);
        call!(writer, identities.set_traits, request).map_err(failed(what))?;
        progress.advance(1);
        anyhow::Ok(())
    });
    identities.buffer_unordered(CALLS).try_collect::<Vec<()>>().await?;
    Ok(revision)
}

struct Writer<'a> {
    server: &'a Management,
    reason: &'a str,
}

impl Writer<'_> {
    /// Writes what the project and the environment need.
    async fn containers(&self, plan: &Plan) -> anyhow::Result<Option<i64>> {
        let mut revision = None;
        if let Some(request) = plan.organisation.clone() {
            let answer = call!(self, organisations.create_organisation, request);
            answer.map_err(failed("could not create the organisation"))?;
        }
        if let Some(request) = plan.project.clone() {
            let answer = call!(self, projects.create_project, request);
            revision = Some(answer.map_err(failed("could not create the project"))?.revision);
        }
        if let Some(request) = plan.create_environment.clone() {
            let answer = call!(self, environments.create_environment, request);
            revision = Some(answer.map_err(failed("could not create the environment"))?.revision);
        }
        if let Some(request) = plan.update_environment.clone() {
            let answer = call!(self, environments.update_environment, request);
            revision = Some(answer.map_err(failed("could not change the environment"))?.revision);
        }
        Ok(revision)
    }

    /// Writes changes as one, and returns the revision. `None` if they would be too large for the change log together.
    async fn changes(
        &self,
        project: &ProjectName,
        changes: &[rpc::ChangeRequest],
    ) -> anyhow::Result<Option<i64>> {
        let request = rpc::ApplyChangesRequest {
            project: project.to_string(),
            changes: changes.to_vec(),
            ..rpc::ApplyChangesRequest::default()
        };
        match call!(self, flags.apply_changes, request) {
            Ok(answer) => Ok(Some(answer.revision)),
            Err(status) if changes.len() > 1 && is_too_large(&status) => Ok(None),
            Err(status) => {
                let at_fault = index(status.message()).and_then(|index| changes.get(index)).map(subject);
                let about = at_fault.map(|subject| format!(" ({subject})")).unwrap_or_default();
                Err(failed(format!("could not apply the changes{about}"))(status))
            }
        }
    }
}

/// Tells whether the change log takes no change as large as this.
fn is_too_large(status: &Status) -> bool {
    let info = status.get_details_error_info();
    info.is_some_and(|info| info.metadata.get("limit").is_some_and(|limit| limit == "change_bytes"))
}

/// Makes a call again when the server cannot answer; the id of the request makes that safe.
async fn repeat<R, F>(mut call: impl FnMut() -> F) -> Result<R, Status>
where
    F: Future<Output = Result<Response<R>, Status>>,
{
    let mut longest = FIRST_PAUSE;
    for _ in 1..ATTEMPTS {
        match call().await {
            Ok(response) => return Ok(response.into_inner()),
            Err(status) if status.code() == Code::Unavailable => {}
            Err(status) => return Err(status),
        }
        let pause = longest.mul_f64(rand::rng().random_range(0.1..=1.0));
        tokio::time::sleep(pause).await;
        longest *= 4;
    }
    call().await.map(Response::into_inner)
}

/// Cuts changes into requests that servers take.
fn chunks(changes: Vec<rpc::ChangeRequest>) -> Vec<Vec<rpc::ChangeRequest>> {
    let mut chunks: Vec<Vec<rpc::ChangeRequest>> = Vec::new();
    let mut bytes = 0;
    for change in changes {
        // The field's tag and the length stand before each.
        let length = change.encoded_len() + 8;
        match chunks.last_mut() {
            Some(chunk) if chunk.len() < CHANGES && bytes + length <= CHANGES_BYTES => {
                chunk.push(change);
                bytes += length;
            }
            Some(_) | None => {
                chunks.push(vec![change]);
                bytes = length;
            }
        }
    }
    chunks
}

/// Returns what a change is about.
fn subject(change: &rpc::ChangeRequest) -> String {
    match &change.change {
        None => String::new(),
        Some(Change::UpdateFlag(request)) => {
            request.flag.as_ref().map(|flag| flag.name.clone()).unwrap_or_default()
        }
        Some(Change::SetSegmentOverride(request)) => request.name.clone(),
        Some(Change::RemoveSegmentOverride(request)) => request.name.clone(),
        Some(Change::ReorderSegmentOverrides(request)) => request.name.clone(),
        Some(Change::SetIdentityOverride(request)) => request.name.clone(),
        Some(Change::RemoveIdentityOverride(request)) => request.name.clone(),
        Some(Change::CreateSegment(request)) => format!("segment `{}`", request.segment_id),
        Some(Change::UpdateSegment(request)) => {
            request.segment.as_ref().map(|segment| segment.name.clone()).unwrap_or_default()
        }
        Some(Change::DeleteSegment(request)) => request.name.clone(),
        Some(Change::CreateFeature(request)) => format!("feature `{}`", request.feature_id),
    }
}

/// Reads the number in `changes[NUMBER]`.
fn index(message: &str) -> Option<usize> {
    message.split_once("changes[")?.1.split_once(']')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(bytes: usize) -> rpc::ChangeRequest {
        let segment_id = "x".repeat(bytes);
        let change = Change::CreateSegment(rpc::CreateSegmentChange { segment_id, segment: None });
        rpc::ChangeRequest { change: Some(change) }
    }

    #[test]
    fn requests_keep_the_limits() {
        let lengths = |changes| chunks(changes).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(lengths(vec![]), [0; 0]);
        assert_eq!(lengths(vec![change(10); 5_001]), [5_000, 1]);
        assert_eq!(lengths(vec![change(2_000_000); 3]), [1, 1, 1]);
        assert_eq!(lengths(vec![change(1_000_000); 4]), [3, 1]);
    }

    #[test]
    fn a_change_that_is_too_large_is_told_from_other_limits() {
        let status =
            |limit| burgee_proto::status::status(burgee_core::Error::LimitExceeded { limit, maximum: 1 });
        assert!(is_too_large(&status("change_bytes")));
        assert!(!is_too_large(&status("features_per_project")));
        assert!(!is_too_large(&Status::resource_exhausted("")));
    }

    #[test]
    fn the_change_at_fault_is_found() {
        assert_eq!(index("`changes[12].update_flag.flag` must be set"), Some(12));
        assert_eq!(index("storage failed"), None);
    }

    #[tokio::test]
    async fn a_call_is_repeated_while_the_server_cannot_answer() {
        let calls = std::cell::Cell::new(0);
        let answer = repeat(|| {
            calls.set(calls.get() + 1);
            let ready = calls.get() == 3;
            async move { if ready { Ok(Response::new(5)) } else { Err(Status::unavailable("")) } }
        });
        assert_eq!(answer.await.unwrap(), 5);
        calls.set(10);
        let answer: Result<i32, _> = repeat(|| {
            calls.set(calls.get() + 1);
            async { Err(Status::not_found("")) }
        })
        .await;
        assert_eq!((answer.unwrap_err().code(), calls.get()), (Code::NotFound, 11));
    }
}
