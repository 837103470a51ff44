//! Clones of environments.

use burgee_core::change::Mutation;
use burgee_core::flag::Flag;
use burgee_core::name::EnvironmentId;

use crate::world::*;

both! {
    a_clone_has_the_flags_and_segment_overrides_of_its_source,
    a_clone_has_no_identities_and_no_keys,
    a_clone_and_its_source_change_apart,
}

fn clone(source: &str, id: &str) -> Mutation {
    Mutation::CloneEnvironment {
        source: EnvironmentId::parse(source).unwrap(),
        environment: environment(id),
        creator: None,
    }
}

/// What flags serve, without what says which they are.
fn served(flags: &[Flag]) -> Vec<String> {
    let overrides = |flag: &Flag| {
        flag.segment_overrides
            .iter()
            .map(|replacement| (replacement.name.segment.clone(), replacement.state.clone()))
            .collect::<Vec<_>>()
    };
    flags.iter().map(|flag| format!("{} {:?} {:?}", flag.name.feature, flag.state, overrides(flag))).collect()
}

async fn a_clone_has_the_flags_and_segment_overrides_of_its_source(world: World) {
    let world = world.with_flags().await;
    world
        .apply(vec![
            switch("dev", "limit", false),
            set_override("dev", "banner", "beta", None),
            set_override("dev", "banner", "staff", Some(0)),
        ])
        .await;
    let revision = world.write(clone("dev", "copy")).await;
    let source = world.flags().flags(&environment_name("dev"), &all()).await.unwrap();
    let copy = world.flags().flags(&environment_name("copy"), &all()).await.unwrap();
    assert_eq!(served(&copy), served(&source));
    assert!(copy.iter().all(|flag| flag.etag == revision.to_string()));
    let settings = world.flags().environment(&environment_name("copy")).await.unwrap();
    assert_eq!(settings.hashing_key, "hash of copy", "settings are those that were given");
    check_missing(
        world.try_apply(vec![clone("nowhere", "other")]).await,
        &environment_name("nowhere").to_string(),
    );
    check_taken(world.try_apply(vec![clone("dev", "copy")]).await, &environment_name("copy").to_string());
}

async fn a_clone_has_no_identities_and_no_keys(world: World) {
    let world = world.with_flags().await;
    world
        .apply(vec![create_key("dev", "backend", "secret"), set_identity_override("dev", "banner", "ada")])
        .await;
    world.flags().set_identity(&write(), &identity_name("dev", "ada"), traits(&[], &[]), None).await.unwrap();
    world.write(clone("dev", "copy")).await;
    let copy = environment_name("copy");
    assert_eq!(world.flags().keys(&copy, &all()).await.unwrap(), []);
    assert_eq!(world.flags().identities(&copy, &Default::default(), &all()).await.unwrap(), []);
    assert_eq!(world.flags().identity_overrides(&flag_name("copy", "banner"), &all()).await.unwrap(), []);
}

async fn a_clone_and_its_source_change_apart(world: World) {
    let world = world.with_flags().await;
    world.write(clone("dev", "copy")).await;
    world.apply(vec![switch("copy", "banner", false), set_override("copy", "limit", "beta", None)]).await;
    let source = world.flags().flags(&environment_name("dev"), &all()).await.unwrap();
    assert!(source.iter().all(|flag| flag.state.enabled && flag.segment_overrides.is_empty()));
}
