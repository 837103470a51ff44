//! What has to be written so that a server has what a model says.

use std::collections::HashSet;

use burgee_core::limits::TRAITS_PER_IDENTITY;
use burgee_core::name::{EnvironmentId, EnvironmentName, Identifier, IdentityName, SegmentId, TraitKey};
use burgee_core::project::IdentityHashing;
use burgee_core::rule::check_rules;
use burgee_proto::management::v1 as rpc;
use burgee_proto::v1 as pb;
use prost_types::FieldMask;
use rpc::change_request::Change;

use super::current::Current;
use super::report::{Kind, Report};
use super::slug::{slug, unique_slug};
use super::{Mapping, Target, wire};
use crate::flagsmith::model::{Model, Note, Segment};

mod features;

/// What has to be written, in this order.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) organisation: Option<rpc::CreateOrganisationRequest>,
    pub(super) project: Option<rpc::CreateProjectRequest>,
    pub(super) create_environment: Option<rpc::CreateEnvironmentRequest>,
    pub(super) update_environment: Option<rpc::UpdateEnvironmentRequest>,
    pub(super) update_features: Vec<rpc::UpdateFeatureRequest>,
    pub(super) variants: Vec<rpc::CreateVariantRequest>,
    pub(super) changes: Vec<rpc::ChangeRequest>,
    pub(super) traits: Vec<rpc::SetTraitsRequest>,
    pub(super) mapping: Mapping,
    pub(super) report: Report,
}

/// Returns the id of the environment: the one that was asked for, the one that has the original's key, or one
/// made of its name.
pub(super) fn environment_id(
    model: &Model,
    current: &Current,
    target: &Target,
) -> anyhow::Result<EnvironmentId> {
    if let Some(id) = &target.environment {
        return Ok(id.clone());
    }
    let has_key = |environment: &&pb::Environment| environment.hashing_key == model.environment.key;
    if let Some(environment) = current.environments.iter().find(has_key)
        && let Ok(name) = EnvironmentName::parse(&environment.name)
    {
        return Ok(name.environment);
    }
    let id = EnvironmentId::parse(&slug(&model.environment.name, "environment"));
    id.map_err(|violation| anyhow::anyhow!("the environment's id {}", violation.description))
}

/// Compares what is wanted with what is there.
pub(super) fn plan(model: &Model, current: &Current, target: &Target, environment: &EnvironmentName) -> Plan {
    let mut planner = Planner { model, current, target, environment, plan: Plan::default() };
    planner.plan.report.notes.clone_from(&model.notes);
    planner.organisation_and_project();
    planner.environment();
    let segments = planner.segments();
    planner.features(&segments);
    planner.identities();
    planner.plan
}

struct Planner<'a> {
    model: &'a Model,
    current: &'a Current,
    target: &'a Target,
    environment: &'a EnvironmentName,
    plan: Plan,
}

impl Planner<'_> {
    fn organisation_and_project(&mut self) {
        let origin = self.model.origin.as_ref();
        let organisation = &self.target.project.organisation;
        if !self.current.has_organisation {
            let name = origin.map(|origin| origin.organisation.as_str()).unwrap_or_default();
            let display_name = self.checked("the organisation", name, wire::check_display_name);
            self.plan.organisation = Some(rpc::CreateOrganisationRequest {
                organisation_id: organisation.organisation.to_string(),
                organisation: Some(pb::Organisation {
                    display_name,
                    persist_trait_data: origin.map(|origin| origin.persist_trait_data),
                    stop_serving_flags: origin.map(|origin| origin.stop_serving_flags),
                    ..pb::Organisation::default()
                }),
                ..rpc::CreateOrganisationRequest::default()
            });
            self.plan.report.make(Kind::Organisation, organisation);
        } else if let Some(origin) = origin {
            // The organisation may have other projects, so its settings stay.
            if origin.stop_serving_flags {
                self.note(Note::changed("stop_serving_flags", "is on; the organisation stays as it is"));
            }
            if !origin.persist_trait_data {
                self.note(Note::changed("persist_trait_data", "is off; the organisation stays as it is"));
            }
        }
        if self.current.project.is_none() {
            let name = origin.map(|origin| origin.project.as_str()).unwrap_or_default();
            let display_name = self.checked("the project", name, wire::check_display_name);
            self.plan.project = Some(rpc::CreateProjectRequest {
                parent: organisation.to_string(),
                project_id: self.target.project.project.to_string(),
                project: Some(pb::Project { display_name, ..pb::Project::default() }),
                ..rpc::CreateProjectRequest::default()
            });
            self.plan.report.make(Kind::Project, &self.target.project);
        }
    }

    fn environment(&mut self) {
        let original = &self.model.environment;
        let display_name = self.checked("the environment", &original.name, wire::check_display_name);
        let mut wanted = pb::Environment {
            name: self.environment.to_string(),
            display_name: or(&display_name, self.environment.environment.as_str()),
            hashing_key: self.checked("the environment", &original.key, wire::check_hashing_key),
            ..pb::Environment::default()
        };
        if let Some(settings) = original.settings {
            wanted.hide_disabled_flags = Some(settings.hide_disabled_flags);
            wanted.allow_client_traits = Some(settings.allow_client_traits);
            wanted.identity_hashing = match settings.identity_hashing {
                IdentityHashing::Composite => pb::IdentityHashing::Composite.into(),
                IdentityHashing::Identifier => pb::IdentityHashing::Identifier.into(),
            };
        }
        let name = wanted.name.clone();
        let Some(actual) = self.current.environments.iter().find(|environment| environment.name == name)
        else {
            self.plan.create_environment = Some(rpc::CreateEnvironmentRequest {
                parent: self.target.project.to_string(),
                environment_id: self.environment.environment.to_string(),
                environment: Some(wanted),
                ..rpc::CreateEnvironmentRequest::default()
            });
            self.plan.report.make(Kind::Environment, name);
            return;
        };
        let has_settings = original.settings.is_some();
        let differs = [
            ("display_name", wanted.display_name != actual.display_name),
            ("hashing_key", !wanted.hashing_key.is_empty() && wanted.hashing_key != actual.hashing_key),
            ("hide_disabled_flags", has_settings && wanted.hide_disabled_flags != actual.hide_disabled_flags),
            (
                "allow_client_traits",
                has_settings
                    && wanted.allow_client_traits != Some(actual.allow_client_traits.unwrap_or(true)),
            ),
            ("identity_hashing", has_settings && wanted.identity_hashing != actual.identity_hashing),
        ];
        let paths: Vec<_> =
            differs.iter().filter(|(_, differs)| *differs).map(|(path, _)| (*path).to_owned()).collect();
        if !paths.is_empty() {
            self.plan.report.change(Kind::Environment, format!("{name} ({})", paths.join(", ")));
            self.plan.update_environment = Some(rpc::UpdateEnvironmentRequest {
                environment: Some(wanted),
                update_mask: Some(FieldMask { paths }),
                ..rpc::UpdateEnvironmentRequest::default()
            });
        }
    }

    /// Plans the segments; returns the id of each, or none if it could not be taken.
    fn segments(&mut self) -> Vec<Option<SegmentId>> {
        let current = self.current;
        let id = |segment: &pb::Segment| segment.name.rsplit('/').next().unwrap_or_default().to_owned();
        let mut taken: HashSet<String> = current.segments.iter().map(id).collect();
        let mut known: Vec<&pb::Segment> = current.segments.iter().collect();
        let mut ids = Vec::new();
        for (index, segment) in self.model.segments.iter().enumerate() {
            if let Err(problem) = check_segment(segment) {
                self.note(Note::not_taken(format!("segment `{}`", segment.name), problem));
                ids.push(None);
                continue;
            }
            let has_key = |known: &&&pb::Segment| known.hashing_key == segment.key;
            let has_name = |known: &&&pb::Segment| known.display_name == segment.name;
            let actual = known.iter().find(|item| has_key(item) && has_name(item)).or_else(|| match segment
                .key
                .as_str()
            {
                "" => known.iter().find(has_name),
                _ => known.iter().find(has_key),
            });
            let actual = actual.copied();
            known.retain(|item| actual.is_none_or(|actual| actual.name != item.name));
            let id = match actual {
                Some(actual) => id(actual),
                None => unique_slug(&segment.name, "segment", &mut taken),
            };
            self.segment(segment, &id, actual);
            self.plan.mapping.segments.insert(id.clone(), index);
            ids.push(SegmentId::parse(&id).ok());
        }
        ids
    }

    fn segment(&mut self, segment: &Segment, id: &str, actual: Option<&pb::Segment>) {
        let name = format!("{}/segments/{id}", self.target.project);
        let subject = format!("segment `{}`", segment.name);
        let wanted = pb::Segment {
            name: name.clone(),
            display_name: or(&segment.name, id),
            rules: segment.rules.iter().map(Into::into).collect(),
            hashing_key: segment.key.clone(),
            metadata: wire::metadata(&subject, segment.metadata.as_ref(), &mut self.plan.report.notes),
            ..pb::Segment::default()
        };
        let Some(actual) = actual else {
            self.plan.report.make(Kind::Segment, id);
            self.change(Change::CreateSegment(rpc::CreateSegmentChange {
                segment_id: id.to_owned(),
                segment: Some(wanted),
            }));
            return;
        };
        let differs = [
            ("display_name", wanted.display_name != actual.display_name),
            ("rules", wanted.rules != actual.rules),
            ("hashing_key", !wanted.hashing_key.is_empty() && wanted.hashing_key != actual.hashing_key),
            ("metadata", !wire::is_same_metadata(&wanted.metadata, &actual.metadata)),
        ];
        let paths: Vec<_> =
            differs.iter().filter(|(_, differs)| *differs).map(|(path, _)| (*path).to_owned()).collect();
        if !paths.is_empty() {
            self.plan.report.change(Kind::Segment, id);
            let update_mask = Some(FieldMask { paths });
            self.change(Change::UpdateSegment(rpc::UpdateSegmentChange {
                segment: Some(wanted),
                update_mask,
            }));
        }
    }

    fn identities(&mut self) {
        for identity in &self.model.identities {
            let subject = format!("identity `{}`", identity.identifier);
            let Ok(identifier) = Identifier::parse(&identity.identifier) else {
                self.note(Note::not_taken(
                    subject,
                    "the identifier must be 1 to 2,000 characters without NUL",
                ));
                continue;
            };
            let mut hashing_key = identity.hashing_key.clone();
            if let Some(Err(problem)) = hashing_key.as_deref().map(wire::check_hashing_key) {
                self.note(Note::not_taken(&subject, problem));
                hashing_key = None;
            }
            let actual = self.current.identities.get(&identity.identifier);
            let hashing_key =
                hashing_key.filter(|key| actual.is_none_or(|actual| actual.hashing_key != *key));
            let mut traits = std::collections::BTreeMap::new();
            for (key, value) in &identity.traits {
                let checked = TraitKey::parse(key).and_then(|_| value.check());
                if let Err(violation) = checked {
                    self.note(Note::not_taken(
                        &subject,
                        format!("its trait `{key}` {}", violation.description),
                    ));
                    continue;
                }
                if traits.len() == TRAITS_PER_IDENTITY && !traits.contains_key(key) {
                    let text = format!("its trait `{key}` is one of more than {TRAITS_PER_IDENTITY}");
                    self.note(Note::not_taken(&subject, text));
                    continue;
                }
                let value = pb::TraitValue::from(value);
                if actual.and_then(|actual| actual.traits.get(key)) != Some(&value) {
                    traits.insert(key.clone(), value);
                }
            }
            if hashing_key.is_none() && traits.is_empty() {
                continue;
            }
            match actual {
                Some(_) => self.plan.report.change(Kind::Identity, &identity.identifier),
                None => self.plan.report.make(Kind::Identity, &identity.identifier),
            }
            let name = IdentityName { environment: self.environment.clone(), identifier };
            self.plan.traits.push(rpc::SetTraitsRequest {
                name: name.to_string(),
                traits,
                hashing_key,
                ..rpc::SetTraitsRequest::default()
            });
        }
    }

    fn checked(&mut self, subject: &str, text: &str, check: fn(&str) -> Result<(), String>) -> String {
        wire::checked(subject, text, check, &mut self.plan.report.notes)
    }

    fn note(&mut self, note: Note) {
        self.plan.report.notes.push(note);
    }

    fn change(&mut self, change: Change) {
        self.plan.changes.push(rpc::ChangeRequest { change: Some(change) });
    }
}

/// Returns the text, or the default if it is empty.
fn or(text: &str, default: &str) -> String {
    if text.is_empty() { default.to_owned() } else { text.to_owned() }
}

fn check_segment(segment: &Segment) -> Result<(), String> {
    wire::check_hashing_key(&segment.key)?;
    wire::check_display_name(&segment.name)?;
    check_rules(&segment.rules)
        .map_err(|violation| format!("`rules{}` {}", violation.field, violation.description))
}
