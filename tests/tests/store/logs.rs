//! The change logs as a whole: what is kept of them, and that administrators stay.

use std::sync::Arc;

use burgee_core::access::{KeyKind, KeyScope};
use burgee_core::change::{Mutation, WriteContext};
use burgee_core::grant::Principal;
use burgee_core::name::LogName;
use burgee_core::organisation::{Role, User, UserPatch};
use burgee_core::store::{ChangeOrder, FlagStore};
use burgee_core::trust::TrustRelationshipPatch;
use tokio::task::JoinSet;

use crate::company::*;
use crate::world::*;

both! {
    old_changes_are_forgotten_from_the_oldest,
    several_processes_may_forget_at_once,
    what_was_forgotten_counts_as_touched,
    administrators_who_remove_each_other_leave_one,
    administrators_who_are_deleted_at_once_leave_one,
    the_last_administrator_of_the_server_stays,
    organisations_are_listed_of_somebody,
    exchanged_tokens_end_with_the_rules_that_gave_them,
    keys_keep_their_scopes_and_tags,
    the_log_keeps_no_traits_of_people,
}

fn at(hours: i64) -> WriteContext {
    WriteContext { now: later(hours), ..write() }
}

async fn revisions(store: &dyn FlagStore, log: &LogName) -> Vec<i64> {
    let changes = store.changes(log, ChangeOrder::After(0), 100).await.unwrap();
    changes.into_iter().map(|change| change.revision).collect()
}

async fn old_changes_are_forgotten_from_the_oldest(world: World) {
    let store = world.flags();
    assert_eq!(store.log(&LogName::Server).await.unwrap().oldest, 1, "none is kept: 1 more than the newest");
    let world = world.with_flags().await;
    let store = world.flags();
    // A clock that was wrong for a while leaves no gap behind.
    for hours in [5, 1, 6] {
        store.apply(&at(hours), &shop(), vec![switch("dev", "banner", true)]).await.unwrap();
        store.create_group(&at(hours), group(&format!("g{hours}"))).await.unwrap();
    }
    assert_eq!(store.trim_changes(later(-1), 100).await.unwrap(), 0);
    assert_eq!(store.trim_changes(later(2), 2).await.unwrap(), 2, "at most so many of each log");
    assert_eq!(revisions(store, &shop_log()).await, [3, 4, 5, 6]);
    assert_eq!(store.trim_changes(later(2), 100).await.unwrap(), 1);
    assert_eq!(revisions(store, &shop_log()).await, [4, 5, 6]);
    let state = store.log(&shop_log()).await.unwrap();
    assert_eq!((state.oldest, state.newest, state.created_at), (4, 6, now()));
    assert_eq!(store.trim_changes(later(99), 100).await.unwrap(), 4);
    for (log, newest) in [(shop_log(), 6), (acme_log(), 3), (LogName::Server, 1)] {
        assert_eq!(revisions(store, &log).await, [newest], "the newest stays");
        let state = store.log(&log).await.unwrap();
        assert_eq!((state.oldest, state.newest), (newest, newest));
        assert_eq!(store.trim_changes(later(99), 100).await.unwrap(), 0);
    }
    check_missing(store.change(&shop_log(), 5).await, &format!("{}/changes/5", shop()));
    assert_eq!(world.write(switch("dev", "banner", true)).await, 7);
}

async fn several_processes_may_forget_at_once(world: World) {
    let world = Arc::new(world.with_flags().await);
    for _ in 0..50 {
        world.write(switch("dev", "banner", true)).await;
    }
    let mut attempts = JoinSet::new();
    for _ in 0..4 {
        let store = world.another_store();
        attempts.spawn(async move {
            let mut forgotten = 0;
            for _ in 0..20 {
                forgotten += store.trim_changes(later(1), 5).await.unwrap();
            }
            forgotten
        });
    }
    let forgotten: u64 = attempts.join_all().await.into_iter().sum();
    let left = world.flags().trim_changes(later(1), 1_000).await.unwrap();
    assert_eq!(forgotten + left, 52, "each once, and the newest stays");
    assert_eq!(revisions(world.flags(), &shop_log()).await, [53]);
}

async fn what_was_forgotten_counts_as_touched(world: World) {
    let world = world.with_flags().await;
    let (dev, production) = (world.environment_ref("dev").await, world.environment_ref("production").await);
    let project = world.project_ref().await;
    let start = world.revision().await;
    for _ in 0..3 {
        world.write(switch("dev", "banner", true)).await;
    }
    let touched =
        async |after: i64| world.feed().touched(project, after, start + 3, &[dev, production]).await.unwrap();
    assert_eq!(touched(start).await, [dev]);
    world.flags().trim_changes(later(1), 1_000).await.unwrap();
    assert_eq!(touched(start).await, [dev, production], "nobody knows any more");
    assert_eq!(touched(start + 2).await, [dev], "the newest is kept");
}

async fn administrators_who_remove_each_other_leave_one(world: World) {
    let world = Arc::new(world.company().await);
    for round in 0..5 {
        for id in ["ada", "bob"] {
            let name = member_name(id);
            let _ = world.flags().add_member(&write(), &name, Role::Admin).await;
            world.flags().update_member(&write(), &name, Role::Admin, None).await.unwrap();
        }
        let mut attempts = JoinSet::new();
        for id in ["ada", "bob"] {
            let (world, demote) = (Arc::clone(&world), round % 2 == 0);
            attempts.spawn(async move {
                let (store, name) = (world.another_store(), member_name(id));
                match demote {
                    true => store.update_member(&write(), &name, Role::Member, None).await.is_ok(),
                    false => store.remove_member(&write(), &name, None).await.is_ok(),
                }
            });
        }
        assert_eq!(attempts.join_all().await.into_iter().filter(|done| *done).count(), 1);
    }
}

async fn administrators_who_are_deleted_at_once_leave_one(world: World) {
    let world = Arc::new(world.company().await);
    for id in ["kim", "lea"] {
        world.flags().create_user(&write(), user(id)).await.unwrap();
        world.flags().add_member(&write(), &member_name(id), Role::Admin).await.unwrap();
    }
    world.flags().update_member(&write(), &member_name("ada"), Role::Member, None).await.unwrap();
    let mut attempts = JoinSet::new();
    for id in ["kim", "lea"] {
        let store = world.another_store();
        attempts.spawn(async move {
            match id {
                "kim" => store.delete_user(&write(), &user_name(id), None).await.map(drop),
                _ => store.remove_member(&write(), &member_name(id), None).await.map(drop),
            }
        });
    }
    let outcomes = attempts.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for refused in outcomes.into_iter().filter(Result::is_err) {
        check_reason(refused, "LAST_ADMINISTRATOR");
    }
}

async fn the_last_administrator_of_the_server_stays(world: World) {
    let world = Arc::new(world.company().await);
    let store = world.flags();
    let demotion = || UserPatch { administrator: Some(false), ..Default::default() };
    let ada = user_name("ada");
    check_reason(store.update_user(&write(), &ada, demotion(), None).await, "LAST_ADMINISTRATOR");
    check_reason(store.delete_user(&write(), &ada, None).await, "LAST_ADMINISTRATOR");
    store.create_user(&write(), User { administrator: true, ..user("kim") }).await.unwrap();
    check_reason(store.delete_user(&write(), &ada, None).await, "LAST_ADMINISTRATOR");
    store.update_member(&write(), &member_name("bob"), Role::Admin, None).await.unwrap();
    let mut attempts = JoinSet::new();
    for id in ["ada", "kim"] {
        let store = world.another_store();
        attempts.spawn(
            async move { store.update_user(&write(), &user_name(id), demotion(), None).await.is_ok() },
        );
    }
    assert_eq!(attempts.join_all().await.into_iter().filter(|done| *done).count(), 1);
    let bob = UserPatch { email: Some("ADA@example.com".to_owned()), ..Default::default() };
    check_taken(store.update_user(&write(), &user_name("bob"), bob, None).await, "ADA@example.com");
}

async fn organisations_are_listed_of_somebody(world: World) {
    let world = world.company().await;
    let store = world.flags();
    store.create_organisation(&write(), organisation("other")).await.unwrap();
    for (of, expected) in [
        (None, vec!["acme", "other"]),
        (Some(Principal::User(user_name("bob"))), vec!["acme"]),
        (Some(Principal::User(user_name("mia"))), vec![]),
        (Some(Principal::Token(token("organisations/other", "x").name)), vec!["other"]),
        (Some(Principal::Token(token("users/bob", "x").name)), vec![]),
        (Some(Principal::TrustRelationship(trust_name("x"))), vec!["acme"]),
    ] {
        let found = store.organisations(of.as_ref(), &all()).await.unwrap();
        let ids: Vec<&str> = found.iter().map(|found| found.name.organisation.as_str()).collect();
        assert_eq!(ids, expected, "{of:?}");
    }
}

async fn exchanged_tokens_end_with_the_rules_that_gave_them(world: World) {
    let world = world.company().await;
    let store = world.flags();
    store.exchange(&trust_name("x"), "1", exchanged("e")).await.unwrap();
    let credential = store.credential(&secret("e").lookup).await.unwrap().unwrap();
    assert_eq!(credential.principal, Principal::TrustRelationship(trust_name("x")));
    assert_eq!(
        (credential.name, credential.on_behalf_of),
        (trust_name("x").to_string(), "repo:acme/shop".to_owned())
    );
    assert_eq!(
        (credential.administrator, credential.token, credential.expires_at),
        (false, None, Some(later(1)))
    );
    let update = async |patch| store.update_trust(&write(), &trust_name("x"), patch, None).await.unwrap();
    let shorter = TrustRelationshipPatch { token_lifetime_seconds: Some(60), ..Default::default() };
    assert_eq!(update(shorter).await.token_lifetime_seconds, 60);
    let same = TrustRelationshipPatch { audience: Some("burgee".to_owned()), ..Default::default() };
    update(same).await;
    assert!(store.credential(&secret("e").lookup).await.unwrap().is_some(), "who may exchange is as before");
    let other = TrustRelationshipPatch { audience: Some("other".to_owned()), ..Default::default() };
    let changed = update(other).await;
    assert_eq!(store.credential(&secret("e").lookup).await.unwrap(), None);
    assert_eq!(store.trust_relationship(&trust_name("x")).await.unwrap(), changed);
    assert_eq!(store.trust_relationships(&acme(), &all()).await.unwrap(), [changed]);
}

async fn keys_keep_their_scopes_and_tags(world: World) {
    let world = world.with_environments().await;
    let mut limited = key("dev", "limited");
    (limited.kind, limited.scopes) = (KeyKind::ClientSide, vec![KeyScope::Evaluate]);
    limited.tags = vec!["a".to_owned(), "b".to_owned()];
    let hash = burgee_core::access::SecretHash::of("limited");
    world.write(Mutation::CreateKey { key: limited.clone(), hash }).await;
    let mut tagged = feature("tagged");
    tagged.tags = vec!["a".to_owned()];
    world.write(Mutation::CreateFeature { feature: tagged }).await;
    let read = world.flags().key(&limited.name).await.unwrap();
    assert_eq!((&read.scopes, &read.tags), (&limited.scopes, &limited.tags));
    assert_eq!(world.flags().keys(&environment_name("dev"), &all()).await.unwrap(), [read]);
    let loaded = world.load("dev").await;
    let key = loaded.keys.iter().find(|key| key.name == limited.name).unwrap();
    assert_eq!((&key.scopes, &key.tags), (&limited.scopes, &limited.tags));
    assert_eq!(loaded.rules.features[0].tags, ["a"]);
}

async fn the_log_keeps_no_traits_of_people(world: World) {
    let world = world.with_environments().await;
    let (store, name) = (world.flags(), identity_name("dev", "ada"));
    let before = world.revision().await;
    store.set_identity(&validation(), &name, traits(&[("plan", "pro")], &[]), None).await.unwrap();
    assert_eq!(world.revision().await, before);
    store
        .set_identity(&request("i", 1), &name, traits(&[("plan", "confidential")], &[]), None)
        .await
        .unwrap();
    store
        .set_identity(&request("i", 1), &name, traits(&[("plan", "confidential")], &[]), None)
        .await
        .unwrap();
    assert_eq!(world.revision().await, before + 1);
    let entry = world.last_change().await.entries.remove(0);
    assert_eq!(entry.subject, name.to_string());
    assert_eq!(
        (entry.before, &entry.after.as_ref().unwrap()["traits"]),
        (None, &serde_json::json!(["plan"]))
    );
    store.set_identity(&write(), &name, traits(&[], &["plan"]), None).await.unwrap();
    store.delete_identity(&request("d", 1), &name).await.unwrap();
    store.delete_identity(&request("d", 1), &name).await.unwrap();
    assert_eq!(world.revision().await, before + 3);
    let changes = store.changes(&shop_log(), ChangeOrder::After(before), 10).await.unwrap();
    assert!(!format!("{changes:?}").contains("confidential"));
    let (dev, project) = (world.environment_ref("dev").await, world.project_ref().await);
    assert_eq!(world.feed().touched(project, before, before + 3, &[dev]).await.unwrap(), []);
}
