//! Runs cases through a server: each is imported into a project of its own, and evaluated there.

use std::collections::HashMap;
use std::pin::pin;

use anyhow::Context;
use burgee_core::engine::Identity;
use burgee_core::name::{OrganisationId, OrganisationName, ProjectId, ProjectName};
use burgee_core::value::Value;
use burgee_proto::evaluation::v1::evaluation_service_client::EvaluationServiceClient;
use burgee_proto::evaluation::v1::{
    EvaluateFlagsRequest, EvaluateFlagsResponse, EvaluatedFlag, IdentityContext, Reason as WireReason,
};
use burgee_proto::management::v1 as rpc;
use burgee_proto::v1 as pb;
use futures_util::{StreamExt, stream};
use tonic::transport::Channel;

use super::cases::Case;
use super::result::{self, FlagResult, Reason};
use super::{Outcome, problems};
use crate::client::connection::connect;
use crate::client::error::failed;
use crate::client::management::Management;
use crate::client::{Credential, TlsArgs};
use crate::flagsmith::context::{self, Synthetic};
use crate::flagsmith::import::{Mapping, Silent, Target, import};
use crate::flagsmith::json::Json;
use crate::flagsmith::model::{Model, Variant};
use crate::flagsmith::node::Node;

/// Which server, and how.
pub(super) struct Options {
    pub(super) evaluation: String,
    pub(super) management: String,
    pub(super) token: Option<String>,
    pub(super) tls: TlsArgs,
    pub(super) concurrency: usize,
}

/// Runs the cases; `tally` gets their outcomes in the order of the cases.
pub(super) async fn check(
    cases: Vec<Case>,
    options: Options,
    tally: &mut dyn FnMut(Outcome),
) -> anyhow::Result<()> {
    let management =
        Management::new(connect(&options.management, &options.tls).await?, options.token.as_deref())?;
    let evaluation = connect(&options.evaluation, &options.tls).await?;
    let id = format!("conformance-{}", uuid::Uuid::new_v4().simple());
    let organisation = OrganisationName {
        organisation: OrganisationId::parse(&id)
            .map_err(|violation| anyhow::anyhow!(violation.description))?,
    };
    let runner = Runner { management, evaluation, organisation };
    runner.begin().await?;
    let run = async {
        let outcomes = cases.iter().enumerate().map(|(number, case)| runner.check(number, case));
        let mut outcomes = pin!(stream::iter(outcomes).buffered(options.concurrency));
        while let Some(outcome) = outcomes.next().await {
            tally(outcome);
        }
    };
    let interrupted = tokio::select! {
        () = run => false,
        _ = tokio::signal::ctrl_c() => true,
    };
    runner.end().await?;
    if interrupted {
        anyhow::bail!("interrupted");
    }
    Ok(())
}

struct Runner {
    management: Management,
    evaluation: Channel,
    organisation: OrganisationName,
}

impl Runner {
    async fn begin(&self) -> anyhow::Result<()> {
        let request = rpc::CreateOrganisationRequest {
            organisation_id: self.organisation.organisation.to_string(),
            organisation: Some(pb::Organisation {
                display_name: "Conformance, may be deleted".to_owned(),
                ..pb::Organisation::default()
            }),
            ..rpc::CreateOrganisationRequest::default()
        };
        let answer = self.management.organisations.clone().create_organisation(request).await;
        answer.map_err(failed("could not create an organisation for the cases"))?;
        Ok(())
    }

    async fn end(&self) -> anyhow::Result<()> {
        let request = rpc::DeleteOrganisationRequest {
            name: self.organisation.to_string(),
            force: true,
            ..rpc::DeleteOrganisationRequest::default()
        };
        let answer = self.management.organisations.clone().delete_organisation(request).await;
        answer.map_err(failed(format!("could not delete `{}`", self.organisation)))?;
        Ok(())
    }

    async fn check(&self, number: usize, case: &Case) -> Outcome {
        let problems = match self.evaluate(number, case).await {
            Ok(actual) => problems(case, &actual),
            Err(error) => format!("{error:#}").lines().map(str::to_owned).collect(),
        };
        Outcome { name: case.name.clone(), place: case.place.clone(), problems }
    }

    async fn evaluate(&self, number: usize, case: &Case) -> anyhow::Result<Json> {
        let node = Node::root(&case.context);
        let wrong = "the context cannot be read";
        let model = context::read(&node, Synthetic::Keep).context(wrong)?;
        let identity = context::read_identity(&node).context(wrong)?;
        let project = ProjectId::parse(&format!("case-{number}"));
        let project = project.map_err(|violation| anyhow::anyhow!(violation.description))?;
        let project = ProjectName { organisation: self.organisation.clone(), project };
        let actual = self.evaluate_in(&project, &model, identity).await;
        let request = rpc::DeleteProjectRequest {
            name: project.to_string(),
            force: true,
            ..rpc::DeleteProjectRequest::default()
        };
        let deleted = self.management.projects.clone().delete_project(request).await;
        let actual = actual?;
        deleted.map_err(failed("could not delete the project"))?;
        Ok(actual)
    }

    async fn evaluate_in(
        &self,
        project: &ProjectName,
        model: &Model,
        identity: Option<Identity<'_>>,
    ) -> anyhow::Result<Json> {
        let target = Target {
            project: project.clone(),
            environment: None,
            dry_run: false,
            reason: "conformance".to_owned(),
        };
        let imported = import(&self.management, model, &target, &Silent).await?;
        let refused: Vec<_> = imported.report.not_taken().map(ToString::to_string).collect();
        anyhow::ensure!(refused.is_empty(), "could not be taken: {}", refused.join("; "));
        let request = rpc::CreateEnvironmentKeyRequest {
            parent: imported.environment.to_string(),
            key_id: "conformance".to_owned(),
            key: Some(pb::EnvironmentKey {
                kind: pb::KeyKind::ServerSide.into(),
                ..pb::EnvironmentKey::default()
            }),
            ..rpc::CreateEnvironmentKeyRequest::default()
        };
        let key = self.management.environments.clone().create_environment_key(request).await;
        let key = key.map_err(failed("could not create an environment key"))?.into_inner();

        let credential = Credential::environment_key(&key.secret)?;
        let mut client = EvaluationServiceClient::new(credential.on(self.evaluation.clone()));
        let request = EvaluateFlagsRequest {
            identity: identity.map(|identity| wire_identity(identity, model)),
            features: Vec::new(),
            min_revision: imported.report.revision.unwrap_or_default().max(key.revision),
            include_segments: true,
        };
        let answer = client.evaluate_flags(request).await.map_err(failed("could not evaluate"))?.into_inner();
        Ok(to_result(&answer, model, &imported.mapping))
    }
}

fn wire_identity(identity: Identity<'_>, model: &Model) -> IdentityContext {
    let value =
        |value| pb::TraitValue { kind: Option::and_then(value, |value| pb::TraitValue::from(value).kind) };
    // An environment with an empty key gets another, so that its rule would make other keys.
    let by_rule = || model.environment.key.is_empty().then(|| format!("_{}", identity.identifier));
    IdentityContext {
        hashing_key: identity.key.as_deref().map(str::to_owned).or_else(by_rule).unwrap_or_default(),
        traits: identity
            .traits
            .iter()
            .map(|(key, trait_value)| (key.to_owned(), value(trait_value)))
            .collect(),
        ignore_stored_traits: true,
        identifier: identity.identifier.into_owned(),
    }
}

/// Turns an answer into the published shape, with the case's own words for segments, variants and weights.
fn to_result(answer: &EvaluateFlagsResponse, model: &Model, mapping: &Mapping) -> Json {
    let segment_name =
        |id: &str| mapping.segments.get(id).map_or("", |index| model.segments[*index].name.as_str());
    let features: HashMap<&str, usize> =
        model.features.iter().enumerate().map(|(index, feature)| (feature.key.as_str(), index)).collect();
    let flag = |flag: &EvaluatedFlag| {
        let picked = features.get(flag.key.as_str()).and_then(|index| picked(flag, *index, model, mapping));
        let segment = flag.segment.as_ref().map(|segment| segment_name(&segment.id));
        let reason = match (flag.reason(), segment) {
            (WireReason::Split, _) => {
                Reason::Split(picked.map_or("", |variant| variant.weight_text.as_str()))
            }
            (WireReason::SegmentOverride, Some(name)) => Reason::Segment(name),
            (WireReason::IdentityOverride, _) => Reason::Segment("identity_overrides"),
            (
                WireReason::Unspecified
                | WireReason::Default
                | WireReason::Disabled
                | WireReason::SegmentOverride,
                _,
            ) => Reason::Default,
        };
        let value: Option<Value> = flag.value.clone().and_then(Into::into);
        let flag = FlagResult {
            name: &flag.key,
            enabled: flag.enabled,
            value: value.as_ref(),
            reason,
            variant: picked.map_or(flag.variant.as_deref(), |variant| variant.key.as_deref()),
            metadata: (!flag.metadata.is_empty()).then_some(flag.metadata.as_str()),
        };
        flag.to_json()
    };
    let segment = |segment: &burgee_proto::evaluation::v1::MatchedSegment| {
        let metadata = (!segment.metadata.is_empty()).then_some(segment.metadata.as_str());
        result::segment(segment_name(&segment.id), metadata)
    };
    result::whole(answer.flags.iter().map(flag).collect(), answer.segments.iter().map(segment).collect())
}

/// Returns the variant that was picked, as the case has it.
fn picked<'a>(
    flag: &EvaluatedFlag,
    index: usize,
    model: &'a Model,
    mapping: &Mapping,
) -> Option<&'a Variant> {
    let key = flag.variant.as_ref()?;
    let (feature, names) = (&model.features[index], mapping.features.get(index)?);
    let (variants, names) = match &flag.segment {
        None => (&feature.state.variants, &names.variants),
        Some(segment) => {
            let held = mapping.segments.get(&segment.id)?;
            let item = feature.segment_overrides.iter().find(|item| item.segment == *held)?;
            (&item.state.variants, names.overrides.get(&segment.id)?)
        }
    };
    let place = names.iter().position(|name| name == key)?;
    variants.get(place)
}
