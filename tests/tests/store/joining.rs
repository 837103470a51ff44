//! Invitations, and people who sign in with a token of an issuer.

use std::sync::Arc;

use burgee_core::Error;
use burgee_core::account::{Joiner, SignIn};
use burgee_core::change::ChangeKind;
use burgee_core::name::LogName;
use burgee_core::organisation::{Group, Role, User};
use tokio::task::JoinSet;

use crate::company::*;
use crate::world::*;

both! {
    an_invitation_by_email_is_for_one_person_once,
    an_invitation_creates_an_account,
    a_link_is_for_everybody_until_it_expires,
    an_invitation_is_looked_up_by_its_secret,
    an_open_invitation_for_the_same_address_is_in_the_way,
    an_invitation_is_accepted_once_at_the_same_time,
    the_subject_of_an_issuer_is_one_account,
    only_a_verified_address_is_linked,
    a_new_account_gets_a_free_id,
    two_first_sign_ins_make_one_account,
}

fn invited(user: &str) -> Joiner {
    Joiner::User(user_name(user))
}

fn new_joiner(id: &str) -> Joiner {
    Joiner::New { user: user(id), token: token(&format!("users/{id}"), "first"), secret: secret(id) }
}

fn at(hours: i64) -> burgee_core::change::WriteContext {
    burgee_core::change::WriteContext { now: later(hours), ..write() }
}

async fn an_invitation_by_email_is_for_one_person_once(world: World) {
    let world = world.company().await;
    let store = world.flags();
    let mut asked = invitation("y", Some("MIA@Example.com"));
    asked.groups = vec![group_name("team").group];
    let everybody = Group { is_default: true, ..group("everybody") };
    store.create_group(&write(), everybody).await.unwrap();
    store.create_invitation(&write(), asked, secret("iy")).await.unwrap();
    let name = invitation_name("y");
    check_missing(store.accept(&at(1), &name, invited("mia")).await, &name.to_string());
    check_missing(store.accept(&write(), &name, invited("ada")).await, &name.to_string());
    check_missing(store.accept(&write(), &name, invited("nobody")).await, "users/nobody");
    let (member, user, token) = store.accept(&write(), &name, invited("mia")).await.unwrap();
    assert_eq!((member.name, member.role, user, token), (member_name("mia"), Role::Member, None, None));
    let expected = [
        (ChangeKind::Created, member_name("mia").to_string()),
        (ChangeKind::Created, group_member_name("everybody", "mia").to_string()),
        (ChangeKind::Created, group_member_name("team", "mia").to_string()),
        (ChangeKind::Updated, name.to_string()),
    ];
    assert_eq!(world.last_subjects(&acme_log()).await, expected);
    assert_eq!(store.invitation(&name).await.unwrap().accepted_at, Some(now()));
    store.remove_member(&write(), &member_name("mia"), None).await.unwrap();
    check_missing(store.accept(&write(), &name, invited("mia")).await, &name.to_string());
}

async fn an_invitation_creates_an_account(world: World) {
    let world = world.company().await;
    let store = world.flags();
    let mut eager = user("guest");
    (eager.email, eager.administrator) = ("other@example.com".to_owned(), true);
    let joiner = |user: User, owner: &str| Joiner::New {
        token: token(&format!("users/{owner}"), "first"),
        user,
        secret: secret("g"),
    };
    check_error(
        store.accept(&write(), &invitation_name("x"), joiner(eager.clone(), "ada")).await,
        "users/guest",
    );
    let (member, made, first) =
        store.accept(&write(), &invitation_name("x"), joiner(eager, "guest")).await.unwrap();
    let made = made.unwrap();
    assert_eq!(
        (made.email.as_str(), made.email_verified, made.administrator),
        ("guest@example.com", false, false)
    );
    assert_eq!(member.name, member_name("guest"));
    assert_eq!(first.unwrap().name.to_string(), "users/guest/tokens/first");
    assert!(store.credential(&secret("g").lookup).await.unwrap().is_some());
    store.create_invitation(&write(), invitation("y", Some("Eve@example.com")), secret("iy")).await.unwrap();
    let taken = store.accept(&write(), &invitation_name("y"), new_joiner("someone")).await;
    check_reason(taken, "ACCOUNT_EXISTS");
    check_missing(store.user(&user_name("someone")).await, "users/someone");
    let member = store.accept(&write(), &invitation_name("y"), invited("eve")).await;
    check_taken(member, &member_name("eve").to_string());
}

async fn a_link_is_for_everybody_until_it_expires(world: World) {
    let world = world.company().await;
    let store = world.flags();
    let mut link = invitation("y", None);
    link.groups = vec![group_name("team").group];
    let created = store.create_invitation(&write(), link, secret("iy")).await.unwrap();
    assert_eq!(created.hint, secret("iy").lookup);
    assert_eq!(store.invitation(&created.name).await.unwrap(), created);
    store.accept(&write(), &created.name, invited("mia")).await.unwrap();
    let (_, made, _) = store.accept(&write(), &created.name, new_joiner("late")).await.unwrap();
    assert!(!made.unwrap().email_verified, "nobody vouched for the address");
    assert_eq!(store.invitation(&created.name).await.unwrap().accepted_at, None);
    store.delete_group(&write(), &group_name("team"), None).await.unwrap();
    assert_eq!(store.invitation(&created.name).await.unwrap().groups, [], "the group is gone");
    let last = at(0);
    store.accept(&last, &created.name, new_joiner("later")).await.unwrap();
    check_taken(store.accept(&write(), &created.name, new_joiner("mia")).await, "users/mia");
    let same_address = Joiner::New {
        user: User { email: "MIA@example.com".to_owned(), ..user("someone") },
        token: token("users/someone", "first"),
        secret: secret("someone"),
    };
    check_reason(store.accept(&write(), &created.name, same_address).await, "ACCOUNT_EXISTS");
    check_missing(
        store.accept(&at(1), &created.name, new_joiner("too-late")).await,
        &created.name.to_string(),
    );
    store.delete_invitation(&write(), &created.name).await.unwrap();
    check_missing(store.accept(&write(), &created.name, new_joiner("x")).await, &created.name.to_string());
}

async fn an_invitation_is_looked_up_by_its_secret(world: World) {
    let world = world.company().await;
    let store = world.flags();
    let (found, stored) = store.invitation_by_secret(&secret("ix").lookup).await.unwrap().unwrap();
    assert_eq!((found.name, stored), (invitation_name("x"), secret("ix")));
    assert_eq!(store.invitation_by_secret("bgi_nothing").await.unwrap(), None);
    let listed = store.invitations(&acme(), &all()).await.unwrap();
    assert_eq!(listed.len(), 1);
}

async fn an_open_invitation_for_the_same_address_is_in_the_way(world: World) {
    let world = world.company().await;
    let store = world.flags();
    let again = || invitation("y", Some("Guest@Example.com"));
    check_taken(store.create_invitation(&write(), again(), secret("iy")).await, "Guest@Example.com");
    let name = invitation_name("x");
    check_taken(
        store.create_invitation(&write(), invitation("x", None), secret("iy")).await,
        &name.to_string(),
    );
    let mut grouped = invitation("z", None);
    grouped.groups = vec![group_name("none").group];
    let refused = store.create_invitation(&write(), grouped, secret("iz")).await;
    check_missing(refused, &group_name("none").to_string());
    store.create_invitation(&at(1), again(), secret("iy")).await.unwrap();
}

async fn an_invitation_is_accepted_once_at_the_same_time(world: World) {
    let world = Arc::new(world.company().await);
    let mut attempts = JoinSet::new();
    for index in 0..6 {
        let world = Arc::clone(&world);
        attempts.spawn(async move {
            let joiner = new_joiner(&format!("u{index}"));
            world.flags().accept(&write(), &invitation_name("x"), joiner).await.is_ok()
        });
    }
    assert_eq!(attempts.join_all().await.into_iter().filter(|accepted| *accepted).count(), 1);
    assert_eq!(world.flags().members(&acme(), &all()).await.unwrap().len(), 4);
}

fn sign_in(subject: &str, email: Option<&str>, create: Option<&str>, join: bool) -> SignIn {
    SignIn {
        address: "192.0.2.1".to_owned(),
        issuer: "https://id.example.com".to_owned(),
        subject: subject.to_owned(),
        email: email.map(str::to_owned),
        create: create.map(|id| User { email: format!("{subject}@example.com"), ..user(id) }),
        join: join.then(acme),
        now: now(),
    }
}

async fn the_subject_of_an_issuer_is_one_account(world: World) {
    let world = world.company().await;
    let store = world.flags();
    assert_eq!(store.sign_in(&sign_in("s1", Some("s1@example.com"), None, true)).await.unwrap(), None);
    let first = sign_in("s1", Some("s1@example.com"), Some("sue"), true);
    let sue = store.sign_in(&first).await.unwrap().unwrap();
    assert_eq!((sue.name.to_string().as_str(), sue.email.as_str()), ("users/sue", "s1@example.com"));
    let change = world.last_of(&acme_log()).await;
    assert_eq!((change.actor.as_str(), change.method.as_str()), ("users/sue", "SignIn"));
    assert_eq!((change.credential.as_str(), change.on_behalf_of.as_str()), ("https://id.example.com", "s1"));
    let subjects: Vec<&str> = change.entries.iter().map(|entry| entry.subject.as_str()).collect();
    assert_eq!(subjects, ["users/sue", "organisations/acme/members/sue"]);

    let newest = store.log(&acme_log()).await.unwrap().newest;
    let again = sign_in("s1", Some("other@example.com"), Some("other"), true);
    assert_eq!(store.sign_in(&again).await.unwrap().unwrap(), sue);
    store.remove_member(&write(), &member_name("sue"), None).await.unwrap();
    store.sign_in(&first).await.unwrap().unwrap();
    assert_eq!(store.members(&acme(), &all()).await.unwrap().len(), 3, "only the first sign-in joins");
    assert_eq!(store.log(&acme_log()).await.unwrap().newest, newest + 1, "only the removal");
    let mut other = sign_in("s1", None, None, false);
    other.issuer = "https://other.example.com".to_owned();
    assert_eq!(store.sign_in(&other).await.unwrap(), None, "a subject is of its issuer");

    let server = store.log(&LogName::Server).await.unwrap().newest;
    store.sign_in(&sign_in("s2", None, Some("tim"), false)).await.unwrap().unwrap();
    assert_eq!(store.log(&LogName::Server).await.unwrap().newest, server + 1);
    store.delete_user(&write(), &user_name("sue"), None).await.unwrap();
    assert_eq!(store.sign_in(&sign_in("s1", None, None, false)).await.unwrap(), None, "the account is gone");
}

async fn only_a_verified_address_is_linked(world: World) {
    let world = world.company().await;
    let store = world.flags();
    let eve = store.sign_in(&sign_in("s1", Some("EVE@example.com"), None, true)).await.unwrap().unwrap();
    assert_eq!(eve.name, user_name("eve"));
    assert_eq!(store.sign_in(&sign_in("s1", None, None, false)).await.unwrap(), Some(eve));
    let newcomer = User { email_verified: false, ..user("kim") };
    store.create_user(&write(), newcomer).await.unwrap();
    for create in [None, Some("kim")] {
        let refused = store.sign_in(&sign_in("s2", Some("kim@example.com"), create, false)).await;
        check_reason(refused, "ACCOUNT_EXISTS");
    }
    let mut unverified = sign_in("s3", None, Some("someone"), false);
    unverified.create.as_mut().unwrap().email = "Eve@example.com".to_owned();
    check_reason(store.sign_in(&unverified).await, "ACCOUNT_EXISTS");
    let patch = burgee_core::organisation::UserPatch {
        email: Some("kim@example.com".to_owned()),
        ..Default::default()
    };
    assert!(store.update_user(&write(), &user_name("kim"), patch, None).await.unwrap().email_verified);
    let kim = store.sign_in(&sign_in("s2", Some("kim@example.com"), None, false)).await.unwrap();
    assert_eq!(kim.unwrap().name, user_name("kim"));
    let nowhere = SignIn { join: Some(organisation("none").name), ..sign_in("s9", None, Some("x"), false) };
    check_missing(store.sign_in(&nowhere).await, "organisations/none");
    check_missing(store.user(&user_name("x")).await, "users/x");
}

async fn a_new_account_gets_a_free_id(world: World) {
    let world = world.company().await;
    let long = "a".repeat(63);
    for (subject, asked, expected) in [
        ("s1", "ada", "ada-2".to_owned()),
        ("s2", "ada", "ada-3".to_owned()),
        ("s3", &long, long.clone()),
        ("s4", &long, format!("{}-2", "a".repeat(61))),
    ] {
        let user = world.flags().sign_in(&sign_in(subject, None, Some(asked), false)).await.unwrap();
        assert_eq!(user.unwrap().name.user.as_str(), expected);
    }
}

async fn two_first_sign_ins_make_one_account(world: World) {
    let world = Arc::new(world.company().await);
    let mut attempts = JoinSet::new();
    for index in 0..8 {
        let world = Arc::clone(&world);
        attempts.spawn(async move {
            // Half of them by the server's log, half by the organisation's.
            let first = sign_in("s1", Some("s1@example.com"), Some("sue"), index % 2 == 0);
            world.flags().sign_in(&first).await
        });
    }
    for outcome in attempts.join_all().await {
        match outcome {
            Ok(Some(user)) => assert_eq!(user.name, user_name("sue")),
            // The other log was too often in the way; the next attempt finds the account.
            Err(Error::Unavailable { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(world.flags().users(&all()).await.unwrap().len(), 5);
}
