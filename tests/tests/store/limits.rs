//! Limits, at their edge.

use burgee_core::change::Mutation;
use burgee_core::limits::Limits;
use burgee_core::name::{EnvironmentId, KeyId};

use crate::world::*;

both! {
    content_of_a_project_is_limited,
    content_of_an_environment_is_limited,
    what_is_replaced_does_not_count_twice,
    former_secrets_of_a_key_are_limited,
    projects_members_and_tokens_are_limited,
}

/// Passes the limit with the last of the mutations only.
async fn check(world: &World, limit: &str, maximum: u64, mutations: Vec<Mutation>) {
    let mut mutations = mutations.into_iter();
    for _ in 0..maximum {
        world.write(mutations.next().unwrap()).await;
    }
    check_limit(Err::<(), _>(world.refuse(mutations.next().unwrap()).await), limit, maximum);
}

async fn content_of_a_project_is_limited(world: World) {
    let limits = Limits {
        features_per_project: 3,
        segments_per_project: 2,
        environments_per_project: 2,
        ..Default::default()
    };
    let world = world.shop().await.with_limits(limits);
    check(&world, "features_per_project", 3, ["a", "b", "c", "d"].map(create_feature).to_vec()).await;
    check(&world, "segments_per_project", 2, ["a", "b", "c"].map(create_segment).to_vec()).await;
    check(&world, "environments_per_project", 2, ["a", "b", "c"].map(create_environment).to_vec()).await;
    let clone = Mutation::CloneEnvironment {
        creator: None,
        source: EnvironmentId::parse("a").unwrap(),
        environment: environment("c"),
    };
    check_limit(Err::<(), _>(world.refuse(clone).await), "environments_per_project", 2);
    world.apply(vec![delete_feature("a"), create_feature("d")]).await;
}

async fn content_of_an_environment_is_limited(world: World) {
    let limits = Limits {
        keys_per_environment: 2,
        segment_overrides_per_environment: 3,
        identity_overrides_per_environment: 2,
        ..Default::default()
    };
    let world = world.with_flags().await.with_limits(limits);
    let overrides = vec![
        set_override("dev", "banner", "beta", None),
        set_override("dev", "banner", "staff", None),
        set_override("dev", "limit", "beta", None),
        set_override("dev", "limit", "staff", None),
    ];
    check(&world, "segment_overrides_per_environment", 3, overrides).await;
    let overrides = vec![
        set_identity_override("dev", "banner", "ada"),
        set_identity_override("dev", "limit", "ada"),
        set_identity_override("dev", "limit", "bob"),
    ];
    check(&world, "identity_overrides_per_environment", 2, overrides).await;
    let keys = ["a", "b", "c"].map(|id| create_key("dev", id, id)).to_vec();
    check(&world, "keys_per_environment", 2, keys).await;
    world.write(set_override("production", "limit", "staff", None)).await;
    world.write(create_key("production", "a", "x")).await;
}

async fn what_is_replaced_does_not_count_twice(world: World) {
    let limits = Limits {
        segment_overrides_per_environment: 1,
        identity_overrides_per_environment: 1,
        ..Default::default()
    };
    let world = world.with_flags().await.with_limits(limits);
    for _ in 0..2 {
        world.write(set_override("dev", "banner", "beta", None)).await;
        world.write(set_identity_override("dev", "banner", "ada")).await;
    }
}

async fn former_secrets_of_a_key_are_limited(world: World) {
    let world = world.with_environments().await;
    let world = world.with_limits(Limits { former_secrets_per_key: 2, ..Default::default() });
    world.write(create_key("dev", "backend", "0")).await;
    let rotations = ["1", "2", "3"].map(|secret| Mutation::RotateKey {
        environment: EnvironmentId::parse("dev").unwrap(),
        key: KeyId::parse("backend").unwrap(),
        hash: burgee_core::access::SecretHash::of(secret),
        hint: secret.to_owned(),
        expires_at: None,
        former_expires_at: later(1),
        etag: None,
    });
    check(&world, "former_secrets_per_key", 2, rotations.to_vec()).await;
}

async fn projects_members_and_tokens_are_limited(world: World) {
    use burgee_core::organisation::Role;
    let limits = Limits {
        projects_per_organisation: 1,
        members_per_organisation: 1,
        tokens_per_owner: 1,
        ..Default::default()
    };
    let world = world.shop().await.with_limits(limits);
    let store = world.flags();
    check_limit(store.create_project(&write(), project("b"), None).await, "projects_per_organisation", 1);
    for id in ["ada", "bob"] {
        store.create_user(&write(), user(id)).await.unwrap();
    }
    store.add_member(&write(), &member_name("ada"), Role::Admin).await.unwrap();
    check_limit(
        store.add_member(&write(), &member_name("bob"), Role::Admin).await,
        "members_per_organisation",
        1,
    );
    store.create_token(&write(), token("users/ada", "a"), secret("a")).await.unwrap();
    check_limit(
        store.create_token(&write(), token("users/ada", "b"), secret("b")).await,
        "tokens_per_owner",
        1,
    );
}
