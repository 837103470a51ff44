//! The requests that are measured.

use std::ops::Range;

use burgee_bench::profile::{FeatureSpec, Profile, identifier, traits};
use burgee_proto::evaluation::v1 as pb;
use burgee_proto::v1 as shared;
use prost::Message as _;

use crate::load::job::Requests;

/// The items of a batch.
const BATCH: usize = 100;
/// A trait that no rule looks at.
const UNUSED_TRAIT: &str = "session";

/// Where an identity's traits come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Traits {
    /// From the request; the stored ones are left out.
    Given,
    /// From what is stored.
    Stored,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One flag after the other, for an identity.
    EvaluateFlag,
    /// All flags of the environment.
    EvaluateFlags,
    /// All flags of an identity.
    EvaluateFlagsOf(Traits),
    /// All flags of [`BATCH`] identities.
    BatchEvaluateFlags,
    /// All flags of an identity, whose traits are as stored.
    IdentifyUnchanged,
    /// All flags of an identity, of whose traits one is another than stored.
    IdentifyChanged,
}

impl Kind {
    /// Returns the method's path.
    pub(crate) fn path(self) -> String {
        let method = match self {
            Self::EvaluateFlag => "EvaluateFlag",
            Self::EvaluateFlags | Self::EvaluateFlagsOf(_) => "EvaluateFlags",
            Self::BatchEvaluateFlags => "BatchEvaluateFlags",
            Self::IdentifyUnchanged | Self::IdentifyChanged => "Identify",
        };
        format!("/burgee.evaluation.v1.EvaluationService/{method}")
    }

    /// Returns requests about these identities. What is changed in a round is changed to what no other round changed it to.
    pub(crate) fn requests(self, profile: &Profile, identities: Range<usize>, round: usize) -> Requests {
        let bodies = match self {
            Self::EvaluateFlag => {
                identities.map(|number| evaluate_flag(&profile.features, number).encode_to_vec()).collect()
            }
            Self::EvaluateFlags => vec![evaluate_flags(None).encode_to_vec()],
            Self::EvaluateFlagsOf(traits) => identities
                .map(|number| evaluate_flags(Some(context(number, traits))).encode_to_vec())
                .collect(),
            Self::BatchEvaluateFlags => identities.step_by(BATCH).map(batch).collect(),
            Self::IdentifyUnchanged => identities.map(|number| identify(number, None)).collect(),
            // Each identity comes twice, and never as it came before.
            Self::IdentifyChanged => [2 * round, 2 * round + 1]
                .into_iter()
                .flat_map(|session| identities.clone().map(move |number| identify(number, Some(session))))
                .collect(),
        };
        Requests { path: self.path(), bodies }
    }
}

fn context(number: usize, from: Traits) -> pb::IdentityContext {
    let traits = if from == Traits::Given { traits_of(number).collect() } else { Default::default() };
    pb::IdentityContext {
        identifier: identifier(number),
        traits,
        ignore_stored_traits: from == Traits::Given,
        ..Default::default()
    }
}

fn traits_of(number: usize) -> impl Iterator<Item = (String, shared::TraitValue)> {
    traits(number).into_iter().map(|(key, value)| (key.to_owned(), (&value).into()))
}

fn evaluate_flag(features: &[FeatureSpec], number: usize) -> pb::EvaluateFlagRequest {
    pb::EvaluateFlagRequest {
        feature: features[number % features.len()].key.clone(),
        identity: Some(context(number, Traits::Given)),
        ..Default::default()
    }
}

fn evaluate_flags(identity: Option<pb::IdentityContext>) -> pb::EvaluateFlagsRequest {
    pb::EvaluateFlagsRequest { identity, ..Default::default() }
}

fn batch(first: usize) -> Vec<u8> {
    let items = (first..first + BATCH).map(|number| pb::BatchEvaluateFlagsItem {
        item_id: format!("{number:06}"),
        identity: Some(context(number, Traits::Given)),
    });
    pb::BatchEvaluateFlagsRequest { items: items.collect(), ..Default::default() }.encode_to_vec()
}

fn identify(number: usize, session: Option<usize>) -> Vec<u8> {
    let session = session.map(|session| {
        let value = shared::trait_value::Kind::StringValue(format!("{session:06}"));
        (UNUSED_TRAIT.to_owned(), shared::TraitValue { kind: Some(value) })
    });
    pb::IdentifyRequest {
        identifier: identifier(number),
        traits: traits_of(number).chain(session).collect(),
        ..Default::default()
    }
    .encode_to_vec()
}

/// Returns the path and the request of a stream of all flags of the environment, which stays silent while nothing happens.
pub(crate) fn watch_flags() -> (String, Vec<u8>) {
    let request = pb::WatchFlagsRequest {
        checkpoint_interval: Some(prost_types::Duration { seconds: 300, nanos: 0 }),
        ..Default::default()
    };
    ("/burgee.evaluation.v1.EvaluationService/WatchFlags".to_owned(), request.encode_to_vec())
}
