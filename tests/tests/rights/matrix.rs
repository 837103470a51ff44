//! Every method, with every kind of caller, at every place: what is allowed is what the documentation says, and nothing more.

use std::sync::Arc;

use burgee_proto::v1 as pb;
use burgee_tests::postgres::Cluster;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::cases::{CASES, Case, Level, Needs, Place, SOMEBODY};
use crate::variants::VARIANTS;
use crate::world::{Actor, World, is_administrator, level, permissions};

/// Calls at once.
const CALLS: usize = 16;

/// What must come of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// With the missing permission.
    Denied(String),
    /// With the name of what cannot be seen.
    Missing(String),
    /// With the reason.
    Unauthenticated(String),
    /// With the field that breaks a rule.
    Invalid(String),
    Other(String),
}

fn outcome(answer: Result<Vec<u8>, Status>) -> Outcome {
    let Err(status) = answer else { return Outcome::Done };
    let Some(info) = status.get_details_error_info() else {
        return Outcome::Other(status.message().to_owned());
    };
    let metadata = |key: &str| info.metadata.get(key).cloned().unwrap_or_default();
    match status.code() {
        Code::PermissionDenied => Outcome::Denied(metadata("permission")),
        Code::NotFound => Outcome::Missing(metadata("name")),
        Code::Unauthenticated => Outcome::Unauthenticated(info.reason),
        Code::InvalidArgument => {
            let violations = status.get_details_bad_request().map(|details| details.field_violations);
            Outcome::Invalid(violations.into_iter().flatten().map(|violation| violation.field).collect())
        }
        code => Outcome::Other(format!("{code:?}: {}", status.message())),
    }
}

/// Says whether one name is the other, or of something in it.
fn covers(place: &str, other: &str) -> bool {
    other.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn level_of(place: &str) -> Level {
    match place.split('/').count() {
        2 => Level::Organisation,
        4 => Level::Project,
        _ => Level::Environment,
    }
}

fn implies(held: pb::Permission, needed: pb::Permission) -> bool {
    use pb::Permission::*;
    held == needed
        || match held {
            OrganisationAdmin => true,
            ProjectAdmin => level(needed) >= Level::Project,
            EnvironmentAdmin => level(needed) >= Level::Environment,
            ManageIdentities => needed == ViewIdentities,
            _ => false,
        }
}

/// Says whether somebody holds a permission for a feature with some tags; with none, for all features.
fn holds(actor: &Actor, needed: pb::Permission, place: &str, tags: &[&str]) -> bool {
    use pb::Permission::*;
    let organisation = place.split('/').take(2).collect::<Vec<_>>().join("/");
    let is_member = actor.belongs_to.contains(&organisation);
    let reaches = |held: pb::Permission| match held {
        DeleteFeature | UpdateFeatureState | ManageSegmentOverrides => {
            actor.limited_to.is_none_or(|tag| tags.contains(&tag))
        }
        _ => true,
    };
    actor.server_administrator
        || is_member && needed == ViewOrganisation
        || actor.holdings.iter().any(|held| {
            covers(&held.place, place) && implies(held.permission, needed) && reaches(held.permission)
        })
}

fn sees(actor: &Actor, place: &str) -> bool {
    actor.server_administrator
        || actor.belongs_to.iter().any(|organisation| organisation == place)
        || actor.holdings.iter().any(|held| {
            covers(place, &held.place)
                || covers(&held.place, place)
                    && (is_administrator(held.permission) || level(held.permission) >= level_of(place))
        })
}

fn expected(actor: &Actor, case: &Case, place: &Place) -> Outcome {
    match actor.refused {
        // Without a credential, what holds a secret of its own looks at that.
        Some(_) if actor.secret.is_empty() && matches!(case.needs, Needs::Secret) => secret(case),
        Some(reason) => Outcome::Unauthenticated(reason.to_owned()),
        None if case.path == "UserService/GetCurrentUser" && !actor.is_user() => {
            Outcome::Missing(String::new())
        }
        None => lacks(actor, case, &case.needs, place).unwrap_or(Outcome::Done),
    }
}

/// Returns what comes of it that somebody does not have what is needed, unless they do.
fn lacks(actor: &Actor, case: &Case, needs: &Needs, place: &Place) -> Option<Outcome> {
    let server_administrator = || Outcome::Denied("SERVER_ADMINISTRATOR".to_owned());
    let lacks_permission = |name: &str, tags: &[&str]| {
        let permission = pb::Permission::from_str_name(&format!("PERMISSION_{name}")).unwrap();
        let here = place.at(level(permission));
        let refusal = match sees(actor, here) {
            true => Outcome::Denied(name.to_owned()),
            false => Outcome::Missing(here.to_owned()),
        };
        (!holds(actor, permission, here, tags)).then_some(refusal)
    };
    match needs {
        Needs::Credential => None,
        Needs::Secret => Some(secret(case)),
        Needs::Rules(field) => Some(Outcome::Invalid((*field).to_owned())),
        Needs::Absent(name) => Some(Outcome::Missing(name(place))),
        Needs::ServerAdministrator => (!actor.server_administrator).then(server_administrator),
        Needs::Oneself(user) | Needs::Known(user)
            if actor.server_administrator || actor.principal == *user =>
        {
            None
        }
        Needs::Known(user) if knows(actor, user) => None,
        Needs::Oneself(user) if knows(actor, user) => Some(server_administrator()),
        Needs::Oneself(user) | Needs::Known(user) => Some(Outcome::Missing((*user).to_owned())),
        Needs::OneselfOr(who, _)
            if actor.principal == *who || actor.principal == place.in_organisation(who) =>
        {
            None
        }
        Needs::OneselfOr(_, permission) => lacks_permission(permission, &[]),
        Needs::Permissions(needed) => needed.iter().find_map(|name| lacks_permission(name, &[])),
        Needs::OfFeature(permission, tags) => lacks_permission(permission, tags),
        Needs::OfGrant(permission, grant) => match lacks_permission(permission, &[]) {
            Some(Outcome::Missing(_)) if sees(actor, &place.organisation) => {
                Some(Outcome::Missing(place.in_organisation(&format!("grants/{grant}"))))
            }
            Some(Outcome::Missing(_)) => Some(Outcome::Missing(place.organisation.clone())),
            lacks => lacks,
        },
        Needs::OfGroup(group) => {
            match actor.administers.contains(&place.in_organisation(&format!("groups/{group}"))) {
                true => None,
                false => lacks_permission("MANAGE_USER_GROUPS", &[]),
            }
        }
        Needs::At(other, needs) => lacks(actor, case, needs, &other(place)),
        Needs::All(all) => all.iter().find_map(|needs| lacks(actor, case, needs, place)),
    }
}

/// Says whether somebody shares an organisation with a user.
fn knows(actor: &Actor, user: &str) -> bool {
    let organisation = match user {
        SOMEBODY => "organisations/acme",
        "users/cargo-somebody" => "organisations/cargo",
        _ => return false,
    };
    actor.is_user() && actor.belongs_to.iter().any(|name| name == organisation)
}

/// What comes of a secret that opens nothing.
fn secret(case: &Case) -> Outcome {
    match case.path {
        "InvitationService/AcceptInvitation" => Outcome::Missing(String::new()),
        _ => Outcome::Unauthenticated("CREDENTIAL_INVALID".to_owned()),
    }
}

/// Leaves out what the test does not say: which name is missing where it is not a place.
fn comparable(outcome: Outcome, case: &Case) -> Outcome {
    match (outcome, case.path) {
        (Outcome::Missing(_), "UserService/GetCurrentUser" | "InvitationService/AcceptInvitation") => {
            Outcome::Missing(String::new())
        }
        // A token of an organisation cannot accept for anybody, and who has none has to say who they are.
        (Outcome::Invalid(field), "InvitationService/AcceptInvitation")
            if field == "user_id" || field == "secret" =>
        {
            Outcome::Missing(String::new())
        }
        (outcome, _) => outcome,
    }
}

/// Says whether an administrator may make a request about a place: in `bravo` and `cargo`, other users have the place that
/// `somebody` has in `acme`.
fn is_possible(case: &Case, place: &Place) -> bool {
    let concerns_somebody = (case.request)(place).windows(14).any(|bytes| bytes == SOMEBODY.as_bytes())
        || (case.request)(place).windows(16).any(|bytes| bytes == b"members/somebody");
    place.organisation == "organisations/acme" || !concerns_somebody
}

async fn check_all(database_url: &str) {
    let _busy = crate::MACHINE.read().await;
    let world = World::start(database_url).await;
    let actors = world.actors().await;
    assert!(actors.len() > 50, "{}", actors.len());
    assert_eq!(permissions().count(), 23);
    let mut calls = Vec::new();
    for case in CASES {
        let mut places: Vec<&Place> = Vec::new();
        for place in &world.places {
            let is_new = places.iter().all(|other| other.at(case.level) != place.at(case.level));
            if is_new && is_possible(case, place) {
                places.push(place);
            }
        }
        for place in places {
            let request = (case.request)(place);
            for actor in &actors {
                calls.push((case, place.clone(), actor.clone(), request.clone()));
            }
        }
    }
    for case in VARIANTS {
        let both = [&world.places[0], &world.places[4]];
        let places = if case.level == Level::Server { &both[..1] } else { &both[..] };
        for place in places.iter().filter(|place| is_possible(case, place)) {
            let request = (case.request)(place);
            for actor in actors.iter().filter(|actor| !actor.is_like_others) {
                calls.push((case, (*place).clone(), actor.clone(), request.clone()));
            }
        }
    }
    let total = calls.len();
    let calls = Arc::new(std::sync::Mutex::new(calls.into_iter()));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..CALLS {
        let (calls, server) = (calls.clone(), world.server.clone());
        workers.spawn(async move {
            let mut wrong = Vec::new();
            let mut allowed = 0;
            loop {
                let Some((case, place, actor, request)) = calls.lock().unwrap().next() else {
                    return (wrong, allowed);
                };
                let expected = expected(&actor, case, &place);
                let answer = server.call(case.path, &actor.secret, request).await;
                let actual = comparable(outcome(answer), case);
                allowed += usize::from(actual == Outcome::Done);
                if actual != expected {
                    let place = place.at(case.level);
                    wrong.push(format!(
                        "{} {} at `{place}` by {}: {actual:?}, not {expected:?}",
                        case.path, case.of, actor.what
                    ));
                }
            }
        });
    }
    let mut wrong = Vec::new();
    let mut allowed = 0;
    while let Some(ended) = workers.join_next().await {
        let (more, done) = ended.unwrap();
        wrong.extend(more);
        allowed += done;
    }
    assert!(total > 35_000 && allowed > 2_500, "{allowed} of {total} calls are allowed");
    assert!(
        wrong.is_empty(),
        "{} of {total} calls:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(40)].join("\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_allowed_is_what_the_table_says_on_postgres() {
    check_all(&Cluster::shared().database().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_allowed_is_what_the_table_says_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    check_all(&format!("sqlite:{}", folder.path().join("burgee.db").display())).await;
}
