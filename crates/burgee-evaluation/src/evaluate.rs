//! Answers with flags. Nothing is written, and nothing but stored traits needs the database.

use std::sync::Arc;

use burgee_core::engine::Identity;
use burgee_core::name::Identifier;
use burgee_core::{Error, Result};
use burgee_proto::encoded::Encoded;
use burgee_proto::evaluation::v1 as pb;
use burgee_proto::status;

use crate::call::Call;
use crate::database::database_unavailable;
use crate::identities::Known;
use crate::message_writer::MessageWriter;
use crate::request::Checks;
use crate::session::Session;
use crate::subject::Who;
use crate::view::{Selection, View};
use crate::{Shared, rights};

/// The bytes that an answer usually takes beside its flags.
const FIELDS_BYTES: usize = 32;

/// Evaluates all flags, or those named.
pub(crate) async fn flags(
    shared: &Shared,
    call: &Call<'_>,
    request: pb::EvaluateFlagsRequest,
) -> Result<Encoded<pb::EvaluateFlagsResponse>> {
    let mut session = shared.session(call, &rights::EVALUATE_FLAGS).await?;
    let pb::EvaluateFlagsRequest { identity, features, min_revision, include_segments } = request;
    let mut checks = Checks::default();
    let (who, selection, min_revision) =
        (checks.who(identity), checks.features(&features), checks.min_revision(min_revision));
    checks.finish(())?;
    session.reach(min_revision).await?;
    let known = stored(shared, &session, who.as_ref()).await?;
    let view = session.view();
    let identity = subject(view, who.as_ref(), known.as_deref());
    let evaluation = view.content.ruleset.evaluate(identity.as_ref());
    let selection = selection.as_deref();
    let mut response = MessageWriter::with_capacity(view.usual_bytes(selection) + FIELDS_BYTES);
    view.write_flags(&mut response, 1, &evaluation, selection);
    response.fields(&pb::EvaluateFlagsResponse {
        revision: session.snapshot.revision,
        stale_for: session.stale_for(known.as_deref()),
        missing_features: view.missing(selection),
        ..Default::default()
    });
    if include_segments {
        view.write_segments(&mut response, 5, &evaluation);
    }
    Ok(response.finish())
}

/// Evaluates one flag.
pub(crate) async fn flag(
    shared: &Shared,
    call: &Call<'_>,
    request: pb::EvaluateFlagRequest,
) -> Result<Encoded<pb::EvaluateFlagResponse>> {
    let mut session = shared.session(call, &rights::EVALUATE_FLAG).await?;
    let pb::EvaluateFlagRequest { feature, identity, min_revision } = request;
    let mut checks = Checks::default();
    let (who, key, min_revision) =
        (checks.who(identity), checks.feature(&feature), checks.min_revision(min_revision));
    checks.finish(())?;
    session.reach(min_revision).await?;
    let view = session.view();
    let missing = || Error::NotFound { kind: "feature", name: feature.clone() };
    let index = key.and_then(|key| view.find(key.as_str())).ok_or_else(missing)?;
    let known = stored(shared, &session, who.as_ref()).await?;
    let identity = subject(view, who.as_ref(), known.as_deref());
    let flag = view.flag_part(&view.content.ruleset.evaluate(identity.as_ref()), index);
    if flag.is_empty() {
        return Err(missing());
    }
    let mut response = MessageWriter::with_capacity(flag.len() + FIELDS_BYTES);
    response.part(1, flag);
    response.fields(&pb::EvaluateFlagResponse {
        revision: session.snapshot.revision,
        stale_for: session.stale_for(known.as_deref()),
        ..Default::default()
    });
    Ok(response.finish())
}

/// Evaluates flags for many identities, all at one revision.
pub(crate) async fn batch(
    shared: &Shared,
    call: &Call<'_>,
    request: pb::BatchEvaluateFlagsRequest,
) -> Result<Encoded<pb::BatchEvaluateFlagsResponse>> {
    let mut session = shared.session(call, &rights::BATCH_EVALUATE_FLAGS).await?;
    let pb::BatchEvaluateFlagsRequest { items, features, min_revision } = request;
    let mut checks = Checks::default();
    checks.items(items.len());
    let (selection, min_revision) = (checks.features(&features), checks.min_revision(min_revision));
    checks.finish(())?;
    session.reach(min_revision).await?;

    let items: Vec<Item> = items.into_iter().map(Item::new).collect();
    let wanted: Vec<Identifier> = items.iter().filter_map(Item::stored_identity).cloned().collect();
    let mut known = shared.identities.known_many(session.slot.environment, &wanted).await.into_iter();
    let mut oldest: Option<Arc<Known>> = None;
    let mut subjects = Vec::with_capacity(items.len());
    for item in items {
        let known = item.stored_identity().and_then(|_| known.next()).transpose();
        if let Ok(Some(known)) = &known {
            oldest = oldest.filter(|oldest| oldest.is_older_than(known)).or_else(|| Some(Arc::clone(known)));
        }
        let Item { item_id, who } = item;
        subjects.push((item_id, who.and_then(|who| Ok((who, known?)))));
    }

    let seen = session.seen();
    let missing_features = session.view().missing(selection.as_deref());
    let flags = subjects.len() * session.view().count(selection.as_deref());
    let evaluate = move || evaluate_subjects(seen.view(), &selection, subjects);
    let mut response = if flags > shared.settings.large_batch_flags {
        shared.outside_of_requests(evaluate).await?
    } else {
        evaluate()
    };
    response.fields(&pb::BatchEvaluateFlagsResponse {
        revision: session.snapshot.revision,
        stale_for: session.stale_for(oldest.as_deref()),
        missing_features,
        ..Default::default()
    });
    Ok(response.finish())
}

/// An item of a batch, checked.
struct Item {
    item_id: String,
    who: Result<Option<Who>>,
}

impl Item {
    fn new(item: pb::BatchEvaluateFlagsItem) -> Self {
        let pb::BatchEvaluateFlagsItem { item_id, identity } = item;
        let mut checks = Checks::default();
        checks.item_id(&item_id);
        let who = checks.who(identity);
        Self { item_id, who: checks.finish(who) }
    }

    /// Returns whose stored traits are needed, if anybody's.
    fn stored_identity(&self) -> Option<&Identifier> {
        let who = self.who.as_ref().ok()?.as_ref()?;
        (!who.ignore_stored_traits).then_some(&who.identifier)
    }
}

type Subject = (String, Result<(Option<Who>, Option<Arc<Known>>)>);

/// Writes the results of a batch.
fn evaluate_subjects(
    view: View<'_>,
    selection: &Selection,
    subjects: Vec<Subject>,
) -> MessageWriter<pb::BatchEvaluateFlagsResponse> {
    use pb::batch_evaluate_flags_result::Result as Answer;
    let usual_bytes = view.usual_bytes(selection.as_deref());
    let mut response = MessageWriter::default();
    let mut result = MessageWriter::<pb::BatchEvaluateFlagsResult>::with_capacity(usual_bytes + FIELDS_BYTES);
    let mut flags = MessageWriter::<pb::EvaluatedFlags>::with_capacity(usual_bytes);
    for (item_id, subject_or_error) in subjects {
        result.clear();
        match subject_or_error {
            Ok((who, known)) => {
                let identity = subject(view, who.as_ref(), known.as_deref());
                let evaluation = view.content.ruleset.evaluate(identity.as_ref());
                flags.clear();
                view.write_flags(&mut flags, 1, &evaluation, selection.as_deref());
                result.fields(&pb::BatchEvaluateFlagsResult { item_id, result: None });
                result.message(2, &flags);
            }
            Err(error) => {
                let result_of_item = Some(Answer::Error(item_error(error)));
                result.fields(&pb::BatchEvaluateFlagsResult { item_id, result: result_of_item });
            }
        }
        response.message(1, &result);
    }
    response
}

fn item_error(error: Error) -> pb::ItemError {
    let status = status::status(error);
    pb::ItemError {
        code: status.code().into(),
        message: status.message().to_owned(),
        reason: status::reason(&status).unwrap_or_default(),
    }
}

/// Returns what is stored of an identity, if that is needed.
pub(crate) async fn stored(
    shared: &Shared,
    session: &Session,
    who: Option<&Who>,
) -> Result<Option<Arc<Known>>> {
    match who {
        Some(who) if !who.ignore_stored_traits => {
            let known = shared.identities.known(session.slot.environment, &who.identifier);
            match tokio::time::timeout_at(session.deadline, known).await {
                Ok(known) => known.map(Some),
                Err(_) => Err(database_unavailable("the stored traits were not read in time")),
            }
        }
        Some(_) | None => Ok(None),
    }
}

/// Returns whom to evaluate for.
pub(crate) fn subject<'a>(
    view: View<'_>,
    who: Option<&'a Who>,
    known: Option<&'a Known>,
) -> Option<Identity<'a>> {
    who.map(|who| who.identity(view, known.map(|known| &known.stored)))
}
