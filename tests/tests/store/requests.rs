//! Request ids: the same request twice is one change.

use burgee_core::change::Mutation;
use burgee_core::name::EnvironmentId;

use crate::world::*;

both! {
    a_repeated_request_is_one_change,
    a_request_id_cannot_be_used_for_another_request,
    a_repeated_request_answers_what_is_there_now,
    a_request_that_failed_may_be_repeated,
    request_ids_of_projects_are_apart,
    a_request_id_is_forgotten_after_a_day,
}

async fn a_repeated_request_is_one_change(world: World) {
    let world = world.with_flags().await;
    let write = vec![switch("dev", "banner", false), set_override("dev", "limit", "beta", None)];
    let first = world.flags().apply(&request("r", 1), &shop(), write.clone()).await.unwrap();
    assert!(!first.replayed);
    let again = world.flags().apply(&request("r", 1), &shop(), write).await.unwrap();
    assert!(again.replayed);
    assert_eq!((again.revision, again.resources), (first.revision, first.resources));
    assert_eq!(world.revision().await, first.revision);
}

async fn a_request_id_cannot_be_used_for_another_request(world: World) {
    let world = world.with_flags().await;
    world.flags().apply(&request("r", 1), &shop(), vec![switch("dev", "banner", false)]).await.unwrap();
    let before = world.revision().await;
    let other = world.flags().apply(&request("r", 2), &shop(), vec![switch("dev", "banner", true)]).await;
    check_error(other, "request id `r` was used for a different request");
    assert_eq!(world.revision().await, before);
}

async fn a_repeated_request_answers_what_is_there_now(world: World) {
    let world = world.with_environments().await;
    let create = vec![
        create_feature("kept"),
        create_feature("gone"),
        create_segment("group"),
        create_environment("staging"),
        create_key("dev", "backend", "secret"),
        set_identity_override("dev", "kept", "ada"),
    ];
    let first = world.flags().apply(&request("r", 1), &shop(), create.clone()).await.unwrap();
    let environment = EnvironmentId::parse("staging").unwrap();
    world
        .apply(vec![
            delete_feature("gone"),
            Mutation::DeleteEnvironment { environment, etag: None },
            set_identity_override("dev", "kept", "bob"),
        ])
        .await;
    let again = world.flags().apply(&request("r", 1), &shop(), create).await.unwrap();
    assert_eq!(again.revision, first.revision);
    let there: Vec<bool> = again.resources.iter().map(Option::is_some).collect();
    assert_eq!(there, [true, false, true, false, true, true]);
    assert_eq!(again.resources[0], first.resources[0]);
    let project = Mutation::UpdateProject { patch: Default::default(), etag: None };
    let first = world.flags().apply(&request("p", 1), &shop(), vec![project.clone()]).await.unwrap();
    let again = world.flags().apply(&request("p", 1), &shop(), vec![project]).await.unwrap();
    assert_eq!(only!(Project, again), only!(Project, first));
}

async fn a_request_that_failed_may_be_repeated(world: World) {
    let world = world.with_environments().await;
    let write = vec![switch("dev", "banner", false)];
    let refused = world.flags().apply(&request("r", 1), &shop(), write.clone()).await;
    check_missing(refused, &flag_name("dev", "banner").to_string());
    world.write(create_feature("banner")).await;
    let done = world.flags().apply(&request("r", 1), &shop(), write).await.unwrap();
    assert!(!done.replayed);
}

async fn request_ids_of_projects_are_apart(world: World) {
    let world = world.with_flags().await;
    world.flags().create_project(&request("r", 1), project("other"), None).await.unwrap();
    world.flags().apply(&request("r", 2), &shop(), vec![switch("dev", "banner", false)]).await.unwrap();
    let mut other = environment("dev");
    other.name.project = project("other").name;
    let create = vec![Mutation::CreateEnvironment { environment: other, creator: None }];
    let applied = world.flags().apply(&request("r", 3), &project("other").name, create).await.unwrap();
    assert_eq!((applied.revision, applied.replayed), (2, false));
}

async fn a_request_id_is_forgotten_after_a_day(world: World) {
    let world = world.with_flags().await;
    let at = |hours: i64, id: &str, digest: u8| {
        let mut context = request(id, digest);
        context.now = later(hours);
        context
    };
    let write = || vec![switch("dev", "banner", false)];
    world.flags().apply(&at(0, "old", 1), &shop(), write()).await.unwrap();
    world.flags().apply(&at(0, "other", 1), &shop(), write()).await.unwrap();
    assert!(world.flags().apply(&at(23, "old", 1), &shop(), write()).await.unwrap().replayed);
    assert!(!world.flags().apply(&at(25, "old", 2), &shop(), write()).await.unwrap().replayed);
    assert!(world.flags().apply(&at(26, "old", 2), &shop(), write()).await.unwrap().replayed);
    assert!(!world.flags().apply(&at(26, "other", 9), &shop(), write()).await.unwrap().replayed);
}
