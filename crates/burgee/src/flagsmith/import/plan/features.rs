//! Features, their flags and overrides.

use std::collections::{HashMap, HashSet};

use burgee_core::limits::VARIANTS_PER_FEATURE;
use burgee_core::name::{
    FeatureKey, FeatureName, FlagName, Identifier, IdentityOverrideName, SegmentId, SegmentOverrideName,
};
use burgee_core::value::ValueType;
use burgee_proto::management::v1 as rpc;
use burgee_proto::v1 as pb;
use prost_types::FieldMask;
use rpc::change_request::Change;

use super::Planner;
use crate::flagsmith::import::report::Kind;
use crate::flagsmith::import::variants::{Assignment, Entry, assign, clamp};
use crate::flagsmith::import::{FeatureMapping, wire};
use crate::flagsmith::model::{Feature, Note, State};

/// A feature that is taken.
struct Taken<'a> {
    key: FeatureKey,
    feature: &'a Feature,
    /// The overrides that are taken.
    segment_overrides: Vec<(SegmentId, &'a State)>,
    identity_overrides: Vec<(Identifier, &'a State)>,
}

impl<'a> Taken<'a> {
    /// Returns all states: the feature's own, and those of its overrides.
    fn states(&self) -> impl Iterator<Item = &'a State> {
        let segments = self.segment_overrides.iter().map(|(_, state)| *state);
        let identities = self.identity_overrides.iter().map(|(_, state)| *state);
        std::iter::once(&self.feature.state).chain(segments).chain(identities)
    }
}

impl Planner<'_> {
    /// Plans the features. `segments` are the ids of the model's segments.
    pub(super) fn features(&mut self, segments: &[Option<SegmentId>]) {
        let (model, current) = (self.model, self.current);
        let mut names: HashMap<String, &str> =
            current.features.keys().map(|key| (key.to_lowercase(), key.as_str())).collect();
        for feature in &model.features {
            let taken = match *names.entry(feature.key.to_lowercase()).or_insert(&feature.key) {
                other if other != feature.key => Err(format!("`{other}` has the same name but for the case")),
                _ => self.take(feature, segments),
            };
            let mapping = taken.and_then(|taken| self.feature(&taken)).unwrap_or_else(|problem| {
                self.note(Note::not_taken(format!("feature `{}`", feature.key), problem));
                FeatureMapping::default()
            });
            self.plan.mapping.features.push(mapping);
        }
    }

    /// Checks what of a feature can be taken.
    fn take<'a>(
        &mut self,
        feature: &'a Feature,
        segments: &[Option<SegmentId>],
    ) -> Result<Taken<'a>, String> {
        let key = FeatureKey::parse(&feature.key).map_err(|violation| violation.description)?;
        wire::check_hashing_key(&feature.id)?;
        wire::check(&feature.state)?;
        let (mut segment_overrides, mut identity_overrides) = (Vec::new(), Vec::new());
        for item in &feature.segment_overrides {
            let Some(segment) = &segments[item.segment] else {
                let text = "the override is of a segment that could not be taken";
                self.note(Note::not_taken(format!("feature `{}`", feature.key), text));
                continue;
            };
            match wire::check(&item.state) {
                Ok(()) => segment_overrides.push((segment.clone(), &item.state)),
                Err(problem) => {
                    self.note(Note::not_taken(
                        format!("`{}` for the segment `{segment}`", feature.key),
                        problem,
                    ));
                }
            }
        }
        for item in &feature.identity_overrides {
            let identifier = Identifier::parse(&item.identifier).map_err(|violation| violation.description);
            match identifier.and_then(|identifier| wire::check(&item.state).map(|()| identifier)) {
                Ok(identifier) => identity_overrides.push((identifier, &item.state)),
                Err(problem) => {
                    let subject = format!("`{}` for the identity `{}`", feature.key, item.identifier);
                    self.note(Note::not_taken(subject, problem));
                }
            }
        }
        Ok(Taken { key, feature, segment_overrides, identity_overrides })
    }

    fn feature(&mut self, taken: &Taken<'_>) -> Result<FeatureMapping, String> {
        let actual = self.current.features.get(taken.key.as_str());
        let value_type = wire::value_type(taken.states());
        check_type(actual, value_type, taken)?;

        let existing = actual.map(entries).unwrap_or_default();
        let known = existing.len();
        let states: Vec<_> = taken.states().map(|state| state.variants.as_slice()).collect();
        let assignment = assign(existing, &states);
        if assignment.entries.len() > VARIANTS_PER_FEATURE {
            return Err(format!(
                "its states need {} variants in all; a feature has at most {VARIANTS_PER_FEATURE}",
                assignment.entries.len()
            ));
        }
        match actual {
            None => self.create(taken, value_type, &assignment),
            Some(actual) => {
                self.add_variants(taken, &assignment.entries[known..]);
                self.update(taken, actual);
            }
        }
        let keys: Vec<Vec<String>> = assignment
            .states
            .iter()
            .map(|indices| indices.iter().map(|index| assignment.entries[*index].key.clone()).collect())
            .collect();
        let (own, overrides) =
            keys.split_first().map_or((&[][..], &[][..]), |(own, rest)| (own.as_slice(), rest));
        let (segments, identities) = overrides.split_at(taken.segment_overrides.len());
        self.flag(taken, own);
        self.segment_overrides(taken, segments);
        self.identity_overrides(taken, identities);
        let overrides = taken.segment_overrides.iter().zip(segments);
        Ok(FeatureMapping {
            variants: own.to_vec(),
            overrides: overrides.map(|((segment, _), keys)| (segment.to_string(), keys.clone())).collect(),
        })
    }

    fn create(&mut self, taken: &Taken<'_>, value_type: ValueType, assignment: &Assignment) {
        let own = assignment.states.first().map(Vec::as_slice).unwrap_or_default();
        let shares = clamp(taken.feature.state.variants.iter().map(|variant| variant.weight));
        let weights: HashMap<usize, f64> = own.iter().copied().zip(shares).collect();
        let variants = assignment.entries.iter().enumerate().map(|(index, entry)| pb::Variant {
            name: entry.key.clone(),
            value: entry.value.as_ref().map(Into::into),
            default_weight: weights.get(&index).copied().unwrap_or_default(),
        });
        let feature = pb::Feature {
            value_type: pb::ValueType::from(value_type).into(),
            variants: variants.collect(),
            server_side_only: taken.feature.server_side_only,
            hashing_key: taken.feature.id.clone(),
            ..pb::Feature::default()
        };
        self.plan.report.make(Kind::Feature, &taken.key);
        let feature_id = taken.key.to_string();
        self.change(Change::CreateFeature(rpc::CreateFeatureChange { feature_id, feature: Some(feature) }));
    }

    fn add_variants(&mut self, taken: &Taken<'_>, entries: &[Entry]) {
        let parent =
            FeatureName { project: self.target.project.clone(), feature: taken.key.clone() }.to_string();
        for entry in entries {
            self.plan.report.make(Kind::Variant, format!("{} of {}", entry.key, taken.key));
            self.plan.variants.push(rpc::CreateVariantRequest {
                parent: parent.clone(),
                variant_id: entry.key.clone(),
                // Other environments have splits of their own, which leave it no room.
                variant: Some(pb::Variant {
                    name: String::new(),
                    value: entry.value.as_ref().map(Into::into),
                    default_weight: 0.0,
                }),
                ..rpc::CreateVariantRequest::default()
            });
        }
    }

    fn update(&mut self, taken: &Taken<'_>, actual: &pb::Feature) {
        let Some(server_side_only) = taken.feature.server_side_only else { return };
        if server_side_only == actual.server_side_only() {
            return;
        }
        self.plan.report.change(Kind::Feature, &taken.key);
        let feature = pb::Feature {
            name: actual.name.clone(),
            server_side_only: Some(server_side_only),
            ..pb::Feature::default()
        };
        self.plan.update_features.push(rpc::UpdateFeatureRequest {
            feature: Some(feature),
            update_mask: Some(FieldMask { paths: vec!["server_side_only".to_owned()] }),
            ..rpc::UpdateFeatureRequest::default()
        });
    }

    fn flag(&mut self, taken: &Taken<'_>, keys: &[String]) {
        let subject = format!("feature `{}`", taken.key);
        let wanted = wire::state(&subject, &taken.feature.state, keys, &mut self.plan.report.notes);
        if let Some(actual) = self.current.flags.get(taken.key.as_str()) {
            if actual.state.as_ref().is_some_and(|actual| wire::is_same_state(&wanted, actual)) {
                return;
            }
            self.plan.report.change(Kind::Flag, &taken.key);
        }
        let name = self.flag_name(taken).to_string();
        self.change(Change::UpdateFlag(rpc::UpdateFlagRequest {
            flag: Some(pb::Flag { name, state: Some(wanted), ..pb::Flag::default() }),
            update_mask: Some(FieldMask { paths: vec!["state".to_owned()] }),
            ..rpc::UpdateFlagRequest::default()
        }));
    }

    fn segment_overrides(&mut self, taken: &Taken<'_>, keys: &[Vec<String>]) {
        let flag = self.flag_name(taken);
        let current = self.current.flags.get(taken.key.as_str());
        let actual = current.map(|flag| flag.segment_overrides.as_slice()).unwrap_or_default();
        let id = |item: &pb::SegmentOverride| item.segment.rsplit('/').next().unwrap_or_default().to_owned();
        // The order that there will be, and the one that there should be.
        let mut order: Vec<String> = actual.iter().map(id).collect();
        let mut wanted_order: Vec<String> = Vec::new();
        for ((segment, state), keys) in taken.segment_overrides.iter().zip(keys) {
            let subject = format!("`{}` for the segment `{segment}`", taken.key);
            let wanted = wire::state(&subject, state, keys, &mut self.plan.report.notes);
            let name = SegmentOverrideName { flag: flag.clone(), segment: segment.clone() };
            wanted_order.push(segment.to_string());
            match actual.iter().find(|item| id(item) == segment.as_str()) {
                Some(actual)
                    if actual.state.as_ref().is_some_and(|actual| wire::is_same_state(&wanted, actual)) =>
                {
                    continue;
                }
                Some(_) => {
                    self.plan.report.change(Kind::SegmentOverride, format!("{} for {segment}", taken.key))
                }
                None => {
                    self.plan.report.make(Kind::SegmentOverride, format!("{} for {segment}", taken.key));
                    order.push(segment.to_string());
                }
            }
            self.change(Change::SetSegmentOverride(rpc::SetSegmentOverrideRequest {
                name: name.to_string(),
                state: Some(wanted),
                ..rpc::SetSegmentOverrideRequest::default()
            }));
        }
        let wanted: HashSet<&String> = wanted_order.iter().collect();
        let others: Vec<String> = order.iter().filter(|segment| !wanted.contains(segment)).cloned().collect();
        if !others.is_empty() {
            let text = format!(
                "has overrides that the original does not have, for {}; they stay, last",
                others.join(", ")
            );
            self.note(Note::changed(format!("feature `{}`", taken.key), text));
            wanted_order.extend(others);
        }
        if order != wanted_order {
            self.plan.report.change(Kind::SegmentOverride, format!("the order of {}", taken.key));
            self.change(Change::ReorderSegmentOverrides(rpc::ReorderSegmentOverridesRequest {
                name: flag.to_string(),
                segments: wanted_order,
                ..rpc::ReorderSegmentOverridesRequest::default()
            }));
        }
    }

    fn identity_overrides(&mut self, taken: &Taken<'_>, keys: &[Vec<String>]) {
        for ((identifier, state), keys) in taken.identity_overrides.iter().zip(keys) {
            let subject = format!("`{}` for the identity `{identifier}`", taken.key);
            let wanted = wire::state(&subject, state, keys, &mut self.plan.report.notes);
            let name = format!("{} for {identifier}", taken.key);
            match self.current.identity_overrides.get(&(taken.key.to_string(), identifier.to_string())) {
                Some(actual) if wire::is_same_state(&wanted, actual) => continue,
                Some(_) => self.plan.report.change(Kind::IdentityOverride, name),
                None => self.plan.report.make(Kind::IdentityOverride, name),
            }
            let name = IdentityOverrideName { flag: self.flag_name(taken), identifier: identifier.clone() };
            self.change(Change::SetIdentityOverride(rpc::SetIdentityOverrideRequest {
                name: name.to_string(),
                state: Some(wanted),
                ..rpc::SetIdentityOverrideRequest::default()
            }));
        }
    }

    fn flag_name(&self, taken: &Taken<'_>) -> FlagName {
        FlagName { environment: self.environment.clone(), feature: taken.key.clone() }
    }
}

/// Checks that the feature that is there can hold the values.
fn check_type(actual: Option<&pb::Feature>, wanted: ValueType, taken: &Taken<'_>) -> Result<(), String> {
    let Some(actual) = actual else { return Ok(()) };
    let declared = ValueType::try_from(actual.value_type()).unwrap_or_default();
    let has_values = taken
        .states()
        .any(|state| state.value.is_some() || state.variants.iter().any(|variant| variant.value.is_some()));
    if declared == ValueType::Any || declared == wanted || !has_values {
        return Ok(());
    }
    let (declared, wanted) = (declared.as_str(), wanted.as_str());
    Err(format!(
        "the feature is there with the type `{declared}`, which never changes; its values are of type `{wanted}`"
    ))
}

fn entries(feature: &pb::Feature) -> Vec<Entry> {
    let entry = |variant: &pb::Variant| {
        Some(Entry { key: wire::variant_key(variant)?, value: wire::value(variant.value.as_ref()) })
    };
    feature.variants.iter().filter_map(entry).collect()
}
