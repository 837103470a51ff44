//! Wake-ups.

use std::time::Duration;

use burgee_core::name::LogName;
use burgee_core::store::Wakeup;
use tokio::time::timeout;

use crate::company::group;
use crate::world::*;

both! {
    a_write_wakes_every_listener,
    a_log_tells_what_is_heard_of_it,
    what_is_not_written_wakes_nobody,
    a_listener_is_told_when_it_missed_something,
}

/// Long enough for a loaded machine; nothing waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(20);

async fn a_write_wakes_every_listener(world: World) {
    let world = world.with_flags().await;
    let project = world.project_ref().await;
    let mut one = world.feed().wakeups().await.unwrap();
    let mut two = world.flags().wakeups().await.unwrap();
    for _ in 0..3 {
        world.write(switch("dev", "banner", true)).await;
        for listener in [&mut one, &mut two] {
            let wakeup = timeout(PATIENCE, listener.next()).await.unwrap().unwrap();
            assert_eq!(wakeup, Wakeup::Project(project));
        }
    }
}

async fn a_log_tells_what_is_heard_of_it(world: World) {
    let world = world.shop().await;
    let store = world.flags();
    let mut logs = Vec::new();
    for name in [shop_log(), acme_log(), LogName::Server] {
        logs.push(store.log(&name).await.unwrap().wakeup);
    }
    let [of_shop, of_acme, of_server] = logs[..] else { panic!("{logs:?}") };
    let mut listener = store.wakeups().await.unwrap();
    let mut heard = async |expected: &[Wakeup]| {
        for _ in expected {
            let wakeup = timeout(PATIENCE, listener.next()).await.unwrap().unwrap();
            assert!(expected.contains(&wakeup), "{wakeup:?} is none of {expected:?}");
        }
    };
    world.write(create_feature("banner")).await;
    heard(&[of_shop]).await;
    store.create_group(&write(), group("team")).await.unwrap();
    heard(&[of_acme]).await;
    store.create_user(&write(), user("ada")).await.unwrap();
    heard(&[of_server]).await;
    store.delete_organisation(&write(), &acme(), true, None).await.unwrap();
    heard(&[of_shop, of_acme, of_server]).await;
    assert_eq!(logs.iter().collect::<std::collections::HashSet<_>>().len(), 3);
}

async fn what_is_not_written_wakes_nobody(world: World) {
    let world = world.with_flags().await;
    world.flags().create_project(&write(), project("other"), None).await.unwrap();
    let mut listener = world.feed().wakeups().await.unwrap();
    world.flags().apply(&validation(), &shop(), vec![switch("dev", "banner", true)]).await.unwrap();
    world.try_apply(vec![switch("dev", "nothing", true)]).await.unwrap_err();
    let name = identity_name("dev", "ada");
    world.flags().set_identity(&validation(), &name, traits(&[], &[]), None).await.unwrap();
    world.flags().create_user(&validation(), user("ada")).await.unwrap();
    world.flags().delete_project(&write(), &project("other").name, false, None).await.unwrap();
    // The first thing that is heard is the first thing that was written.
    let shop = world.project_ref().await;
    let heard = timeout(PATIENCE, listener.next()).await.unwrap().unwrap();
    assert!(matches!(heard, Wakeup::Project(project) if project != shop), "{heard:?}");
}

async fn a_listener_is_told_when_it_missed_something(world: World) {
    let world = world.with_flags().await;
    let mut listener = world.feed().wakeups().await.unwrap();
    let writes = 1_100;
    for _ in 0..writes {
        world.write(switch("dev", "banner", true)).await;
    }
    // Either it hears of all writes, or that something was lost.
    let mut heard = 0;
    while heard < writes {
        match timeout(PATIENCE, listener.next()).await.unwrap().unwrap() {
            Wakeup::Project(_) => heard += 1,
            Wakeup::Account(_) => {}
            Wakeup::Unknown => break,
        }
    }
}
