//! Takes in who somebody is, durably, and answers with the flags.

use std::sync::Arc;

use burgee_core::Result;
use burgee_core::identity::{Trait, TraitChanges};
use burgee_core::name::{Identifier, TraitKey};
use burgee_core::store::{EnvironmentRef, IdentityWrite};
use burgee_core::{Error, Violation};
use burgee_proto::encoded::Encoded;
use burgee_proto::evaluation::v1 as pb;
use chrono::Utc;

use crate::call::Call;
use crate::identities::Known;
use crate::message_writer::MessageWriter;
use crate::request::Checks;
use crate::session::{Refusal, Session};
use crate::subject::{RequestTraits, identity, transient_identifier};
use crate::{Shared, rights};

/// Creates an identity if there is none, changes its traits, and evaluates its flags.
pub(crate) async fn identify(
    shared: &Shared,
    call: &Call<'_>,
    request: pb::IdentifyRequest,
) -> Result<Encoded<pb::IdentifyResponse>> {
    let mut session = shared.session(call, &rights::IDENTIFY).await?;
    let pb::IdentifyRequest { identifier, traits, transient_traits, transient, features, min_revision } =
        request;
    let mut checks = Checks::default();
    let identifier = checks.identifier(&identifier);
    let traits = checks.traits(traits, "traits");
    checks.transient_traits(&transient_traits, &traits);
    let (selection, min_revision) = (checks.features(&features), checks.min_revision(min_revision));
    checks.finish(())?;
    session.reach(min_revision).await?;

    let traits = session.view().admitted_traits(&traits).to_vec();
    let known = match &identifier {
        // Nobody that is stored: who it is, is made from the traits.
        None => None,
        // While the database is away, a transient call is answered from what it brings.
        Some(identifier) if transient => {
            shared.identities.known(session.slot.environment, identifier).await.ok()
        }
        Some(identifier) => Some(write(shared, &session, identifier, &traits, &transient_traits).await?),
    };
    let identifier = match identifier {
        Some(identifier) => identifier.as_str().to_owned(),
        None => transient_identifier(&traits),
    };
    let view = session.view();
    let stored = known.as_deref().map(|known| &known.stored);
    let identity = identity(view, &identifier, None, &traits, stored);
    let evaluation = view.content.ruleset.evaluate(Some(&identity));
    let evaluated = identity.traits.iter();
    let selection = selection.as_deref();
    let mut response = MessageWriter::with_capacity(view.usual_bytes(selection));
    response.fields(&pb::IdentifyResponse {
        traits: evaluated.filter_map(|(key, value)| Some((key.to_owned(), value?.into()))).collect(),
        identifier: identifier.clone(),
        ..Default::default()
    });
    view.write_flags(&mut response, 3, &evaluation, selection);
    response.fields(&pb::IdentifyResponse {
        revision: session.snapshot.revision,
        stale_for: session.stale_for(known.as_deref()),
        missing_features: view.missing(selection),
        ..Default::default()
    });
    Ok(response.finish())
}

/// Writes the identity; returns it as it is stored then.
async fn write(
    shared: &Shared,
    session: &Session,
    identifier: &Identifier,
    traits: &RequestTraits,
    transient_traits: &[String],
) -> Result<Arc<Known>> {
    let environment = session.slot.environment;
    let changes = match session.snapshot.content.persist_trait_data {
        true => changes(traits, transient_traits)?,
        false => TraitChanges::default(),
    };
    if let Some(known) = unchanged(shared, environment, identifier, &changes).await {
        return Ok(known);
    }
    let write = IdentityWrite { environment, identifier: identifier.clone(), changes, now: Utc::now() };
    match shared.writer.identify(write).await {
        // The environment was deleted, and its keys with it.
        Err(Error::NotFound { .. }) => Err(Refusal::Unknown.into()),
        // What was stored then, even if something newer is known by now.
        written => written,
    }
}

/// Returns the identity if it is stored as it would be after the changes, so that nothing is to be written.
///
/// What is remembered only says whether asking is worth it: another replica may have written since, and then this write,
/// which is the later one, must not be left out. So what is stored after the call began decides.
async fn unchanged(
    shared: &Shared,
    environment: EnvironmentRef,
    identifier: &Identifier,
    changes: &TraitChanges,
) -> Option<Arc<Known>> {
    shared.identities.guess(environment, identifier).filter(|known| known.has(changes))?;
    // If it cannot be read, writing fails as well, and says why.
    let known = shared.identities.read_now(environment, identifier).await.ok()?;
    let is_unchanged = known.has(changes);
    is_unchanged.then(|| {
        shared.settings.metrics.note_unchanged();
        known
    })
}

/// Returns the changes that are to be stored.
fn changes(traits: &RequestTraits, transient_traits: &[String]) -> Result<TraitChanges, Violation> {
    let mut changes = TraitChanges::default();
    for (key, value) in traits {
        if transient_traits.contains(key) {
            continue;
        }
        let key = TraitKey::parse(key)?;
        match value {
            Some(value) => changes.set.push(Trait { key, value: value.clone() }),
            None => changes.remove.push(key),
        }
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use burgee_core::value::TraitValue;

    use super::*;

    #[test]
    fn a_transient_trait_is_not_stored() {
        let traits = [("a", Some(1)), ("b", None), ("c", Some(3)), ("d", None)];
        let traits = traits.map(|(key, value)| (key.to_owned(), value.map(TraitValue::Integer))).to_vec();
        let changes = changes(&traits, &["c".to_owned(), "d".to_owned()]).unwrap();
        let set: Vec<_> = changes.set.iter().map(|changed| changed.key.as_str()).collect();
        let removed: Vec<_> = changes.remove.iter().map(TraitKey::as_str).collect();
        assert_eq!((set, removed), (vec!["a"], vec!["b"]));
    }
}
