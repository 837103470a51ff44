//! The part of [`crate::fuzzing`] that looks inside the import.

use burgee_core::name::{EnvironmentName, ProjectName};

use super::current::Current;
use super::plan::{Plan, environment_id, plan};
use super::{Target, parse};

/// Whatever is read from a document, a server accepts what is planned to be written.
pub fn imports(document: &str) {
    let Ok(model) = parse(document) else { return };
    let Ok(project) = ProjectName::parse("organisations/acme/projects/shop") else { return };
    let current = Current::default();
    let target =
        Target { project: project.clone(), environment: None, dry_run: false, reason: String::new() };
    let id = environment_id(&model, &current, &target).expect("every name makes an id");
    let environment = EnvironmentName { project: project.clone(), environment: id };
    let plan = plan(&model, &current, &target, &environment);
    assert!(!plan.report.to_lines(&environment.to_string()).is_empty());
    assert!(!plan.report.to_json(&environment.to_string()).to_string().is_empty());
    check(plan, &project);
}

#[cfg(not(fuzzing))]
fn check(_: Plan, _: &ProjectName) {}

#[cfg(fuzzing)]
fn check(plan: Plan, project: &ProjectName) {
    use std::collections::{BTreeMap, BTreeSet};

    use burgee_core::change::Mutation;
    use burgee_core::flag::FlagState;
    use burgee_management::fuzzing::writes;

    plan.organisation.map_or(Ok(()), writes::organisation).expect("the organisation is accepted");
    plan.project.map_or(Ok(()), writes::project).expect("the project is accepted");
    plan.create_environment.map_or(Ok(()), writes::environment).expect("the environment is accepted");
    plan.traits.into_iter().try_for_each(writes::traits).expect("traits are accepted");
    assert!(plan.update_environment.is_none() && plan.update_features.is_empty() && plan.variants.is_empty());

    let (mut features, mut segments) = (BTreeMap::new(), BTreeSet::new());
    for changes in plan.changes.chunks(5_000) {
        for mutation in writes::changes(project, changes.to_vec()).expect("changes are accepted") {
            match mutation {
                Mutation::CreateFeature { feature } => {
                    let key = feature.name.feature.as_str().to_lowercase();
                    assert_eq!(features.insert(key, feature), None);
                }
                Mutation::CreateSegment { segment } => assert!(segments.insert(segment.name.segment)),
                Mutation::UpdateFlag { flag, patch, .. } => {
                    let state = FlagState {
                        enabled: patch.enabled.unwrap_or_default(),
                        value: patch.value.flatten(),
                        weights: patch.weights.unwrap_or_default(),
                        hashing_key: patch.hashing_key.flatten().unwrap_or_default(),
                        metadata: patch.metadata.flatten(),
                    };
                    let feature = &features[&flag.feature.as_str().to_lowercase()];
                    state.check(feature).expect("the flag is accepted");
                }
                Mutation::SetSegmentOverride { name, state, .. } => {
                    assert!(segments.contains(&name.segment), "{name}");
                    let feature = &features[&name.flag.feature.as_str().to_lowercase()];
                    state.check(feature).expect("the override of a segment is accepted");
                }
                Mutation::SetIdentityOverride { name, state, .. } => {
                    let feature = &features[&name.flag.feature.as_str().to_lowercase()];
                    state.check(feature).expect("the override of an identity is accepted");
                }
                Mutation::ReorderSegmentOverrides { .. } => {}
                other => panic!("nothing else is planned for an empty server: {other:?}"),
            }
        }
    }
}
