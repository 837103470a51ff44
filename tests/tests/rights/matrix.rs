//! Every method, with every kind of caller, at every place: what is allowed is what the documentation says, and nothing more.

use std::sync::Arc;

use burgee_proto::v1 as pb;
use burgee_tests::postgres::Cluster;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::cases::{CASES, Case, Level, Needs, Place, SOMEBODY};
use crate::world::{Actor, World, level, permissions};

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

fn holds(actor: &Actor, needed: pb::Permission, place: &str) -> bool {
    let organisation = place.split('/').take(2).collect::<Vec<_>>().join("/");
    let is_member = actor.belongs_to.contains(&organisation);
    actor.server_administrator
        || is_member && needed == pb::Permission::ViewOrganisation
        || actor.holdings.iter().any(|held| covers(&held.place, place) && implies(held.permission, needed))
}

fn sees(actor: &Actor, place: &str) -> bool {
    let is_administrator = |permission: pb::Permission| {
        use pb::Permission::*;
        matches!(permission, OrganisationAdmin | ProjectAdmin | EnvironmentAdmin)
    };
    actor.server_administrator
        || actor.belongs_to.iter().any(|organisation| organisation == place)
        || actor.holdings.iter().any(|held| {
            covers(place, &held.place)
                || covers(&held.place, place)
                    && (is_administrator(held.permission) || level(held.permission) >= level_of(place))
        })
}

fn expected(actor: &Actor, case: &Case, place: &Place) -> Outcome {
    // Without a credential, what holds a secret of its own looks at that.
    if let Some(reason) = actor.refused {
        return match case.needs {
            Needs::Secret if actor.secret.is_empty() => secret(case),
            _ => Outcome::Unauthenticated(reason.to_owned()),
        };
    }
    let server_administrator = || Outcome::Denied("SERVER_ADMINISTRATOR".to_owned());
    let knows = actor.belongs_to.iter().any(|name| name == "organisations/acme") && actor.user.is_some();
    match case.needs {
        Needs::Credential if case.path == "UserService/GetCurrentUser" && actor.user.is_none() => {
            Outcome::Missing(String::new())
        }
        Needs::Credential => Outcome::Done,
        Needs::Secret => secret(case),
        Needs::ServerAdministrator | Needs::Colleague | Needs::Oneself if actor.server_administrator => {
            Outcome::Done
        }
        Needs::ServerAdministrator => server_administrator(),
        Needs::Colleague if knows => Outcome::Done,
        Needs::Oneself if knows => server_administrator(),
        Needs::Colleague | Needs::Oneself => Outcome::Missing(SOMEBODY.to_owned()),
        Needs::Permissions(needed) => {
            for name in needed {
                let permission = pb::Permission::from_str_name(&format!("PERMISSION_{name}")).unwrap();
                let here = place.at(level(permission));
                if !holds(actor, permission, here) {
                    return match sees(actor, here) {
                        true => Outcome::Denied((*name).to_owned()),
                        false => Outcome::Missing(here.to_owned()),
                    };
                }
            }
            // Whom the caller does not know, they cannot add.
            if case.path == "OrganisationService/AddMember" && !actor.server_administrator {
                return Outcome::Missing("users/outsider".to_owned());
            }
            Outcome::Done
        }
    }
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
        (Outcome::Other(message), "InvitationService/AcceptInvitation")
            if message.contains("by a user") || message.contains("`user_id`") =>
        {
            Outcome::Missing(String::new())
        }
        (outcome, _) => outcome,
    }
}

async fn check_all(database_url: &str) {
    let _busy = crate::MACHINE.read().await;
    let world = World::start(database_url).await;
    let actors = world.actors().await;
    assert!(actors.len() > 50, "{}", actors.len());
    assert_eq!(permissions().count(), 23);
    // In `bravo` and `cargo`, other users have the place that `somebody` has in `acme`.
    let mut calls = Vec::new();
    for case in CASES {
        let mut places: Vec<&Place> = Vec::new();
        for place in &world.places {
            let is_new = places.iter().all(|other| other.at(case.level) != place.at(case.level));
            let concerns_somebody = (case.request)(place).windows(8).any(|bytes| bytes == b"somebody");
            let is_acme = place.organisation == "organisations/acme";
            if is_new && (is_acme || !concerns_somebody) {
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
                        "{} at `{place}` by {}: {actual:?}, not {expected:?}",
                        case.path, actor.what
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
    assert!(total > 20_000 && allowed > 1_500, "{allowed} of {total} calls are allowed");
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
