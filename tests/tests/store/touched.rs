//! Which environments a change touches, and what is told to evaluation of new revisions.

use burgee_core::change::Mutation;
use burgee_core::feature::FeaturePatch;
use burgee_core::name::EnvironmentId;
use burgee_core::project::{EnvironmentPatch, ProjectPatch};
use burgee_core::segment::SegmentPatch;
use burgee_core::store::{EnvironmentRef, ProjectRef};

use crate::world::*;

both! {
    a_change_tells_which_environments_it_touched,
    several_changes_touch_what_each_touches,
    a_gap_in_the_log_touches_everything,
    revisions_are_told_of_projects_that_exist,
}

async fn a_change_tells_which_environments_it_touched(world: World) {
    let world = world.with_flags().await;
    let dev = world.environment_ref("dev").await;
    let production = world.environment_ref("production").await;
    let project = world.project_ref().await;
    let (one, both, none) = (vec![dev], vec![dev, production], Vec::<EnvironmentRef>::new());
    let environment = || environment_name("dev").environment;
    let segment_patch = || Mutation::UpdateSegment {
        segment: segment_id("beta"),
        patch: SegmentPatch::default(),
        etag: None,
    };
    let feature_patch = FeaturePatch::default();
    for (mutation, expected) in [
        (switch("dev", "banner", false), &one),
        (segment_patch(), &both),
        (set_override("dev", "banner", "beta", None), &one),
        (segment_patch(), &both),
        (set_identity_override("dev", "banner", "ada"), &one),
        (create_key("dev", "backend", "x"), &one),
        (
            Mutation::UpdateEnvironment {
                environment: environment(),
                patch: EnvironmentPatch::default(),
                etag: None,
            },
            &one,
        ),
        (Mutation::UpdateProject { patch: ProjectPatch::default(), etag: None }, &none),
        (create_environment("staging"), &none),
        (create_segment("new"), &both),
        (create_feature("new"), &both),
        (Mutation::UpdateFeature { feature: feature_key("new"), patch: feature_patch, etag: None }, &both),
        (delete_feature("new"), &both),
        (
            Mutation::CreateVariant { feature: feature_key("limit"), variant: variant("a", 1.0), etag: None },
            &both,
        ),
        (Mutation::DeleteSegment { segment: segment_id("new"), force: true, etag: None }, &both),
        (Mutation::DeleteSegment { segment: segment_id("beta"), force: true, etag: None }, &both),
        (
            Mutation::DeleteEnvironment { environment: EnvironmentId::parse("staging").unwrap(), etag: None },
            &none,
        ),
        (Mutation::DeleteEnvironment { environment: environment(), etag: None }, &one),
    ] {
        let what = format!("{mutation:?}");
        let revision = world.write(mutation).await;
        let touched = world.feed().touched(project, revision - 1, revision, &both).await.unwrap();
        assert_eq!(&touched, expected, "{what}");
    }
}

async fn several_changes_touch_what_each_touches(world: World) {
    let world = world.with_flags().await;
    let dev = world.environment_ref("dev").await;
    let production = world.environment_ref("production").await;
    let project = world.project_ref().await;
    let start = world.write(switch("dev", "banner", true)).await;
    world.write(switch("production", "banner", true)).await;
    let end = world.write(Mutation::UpdateProject { patch: ProjectPatch::default(), etag: None }).await;
    let touched = async |after, through| {
        world.feed().touched(project, after, through, &[production, dev]).await.unwrap()
    };
    assert_eq!(touched(start - 1, end).await, [production, dev]);
    assert_eq!(touched(start, end).await, [production]);
    assert_eq!(touched(start + 1, end).await, []);
    assert_eq!(touched(end, end).await, []);
    assert_eq!(
        world.feed().touched(project, start - 1, end, &[dev]).await.unwrap(),
        [dev],
        "only those asked for"
    );
}

async fn a_gap_in_the_log_touches_everything(world: World) {
    let world = world.with_flags().await;
    let dev = world.environment_ref("dev").await;
    let project = world.project_ref().await;
    let revision = world.write(create_segment("new")).await;
    assert_eq!(world.feed().touched(project, revision - 1, revision + 1, &[dev]).await.unwrap(), [dev]);
    assert_eq!(world.feed().touched(ProjectRef(-1), 1, 2, &[dev]).await.unwrap(), [dev]);
}

async fn revisions_are_told_of_projects_that_exist(world: World) {
    let world = world.with_flags().await;
    let project = world.project_ref().await;
    let asked = [ProjectRef(-1), project, project];
    let revision = world.revision().await;
    assert_eq!(world.feed().revisions(&asked).await.unwrap(), [(project, revision)]);
    assert_eq!(world.feed().revisions(&[]).await.unwrap(), []);
}
