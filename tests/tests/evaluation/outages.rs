//! Databases that go away, fall behind, or send no notifications.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use burgee_core::access::SecretHash;
use burgee_core::name::Identifier;
use burgee_core::store::{
    EnvironmentRef, FlagFeed, IdentityStore, IdentityWrite, LoadedEnvironment, ProjectRef, StoredIdentity,
    Wakeup, Wakeups,
};
use burgee_core::{Error, Result};
use burgee_evaluation::Settings;
use burgee_proto::evaluation::v1 as pb;
use burgee_store::Store;
use pb::GoodbyeReason;
use pb::watch_flags_response::Event;
use tokio::sync::watch;
use tonic::Code;

use crate::service::*;
use crate::world::*;

both! {
    what_is_held_goes_on_while_the_database_is_away,
    a_service_starts_without_a_database,
    readiness_follows_the_database,
    a_poll_finds_what_no_notification_told,
    a_database_that_was_set_back_is_not_up_to_date,
    a_replica_that_is_behind_is_silent_until_it_has_caught_up,
    a_replica_that_stays_behind_says_goodbye,
    idle_environments_are_forgotten_and_come_back,
}

/// What stands between a service and its database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// Nothing.
    Open,
    /// Questions are answered, but nobody is notified.
    Silent,
    /// It tells of no new revision, like a replica that has stopped to follow.
    Behind,
    /// Every question fails.
    Cut,
}

/// A database behind a line that can be cut.
#[derive(Clone)]
struct Distant {
    store: Store,
    line: Arc<watch::Sender<Line>>,
    revisions: Arc<Mutex<Vec<(ProjectRef, i64)>>>,
}

impl Distant {
    fn new(world: &World, line: Line) -> Self {
        let line = Arc::new(watch::Sender::new(line));
        Self { store: world.store.clone(), line, revisions: Arc::default() }
    }

    fn set(&self, line: Line) {
        self.line.send_replace(line);
    }

    fn check(&self) -> Result<()> {
        match *self.line.borrow() {
            Line::Open | Line::Silent | Line::Behind => Ok(()),
            Line::Cut => {
                Err(Error::Unavailable { reason: "DATABASE_UNAVAILABLE", message: "cut".to_owned() })
            }
        }
    }

    fn is_behind(&self) -> bool {
        *self.line.borrow() == Line::Behind
    }

    async fn serve(&self, settings: Settings) -> Service {
        Service::start_over(Arc::new(self.clone()), Arc::new(self.clone()), settings).await
    }
}

#[async_trait]
impl FlagFeed for Distant {
    async fn environment_of_key(&self, hash: &SecretHash) -> Result<Option<EnvironmentRef>> {
        self.check()?;
        self.store.environment_of_key(hash).await
    }

    async fn load_environment(&self, environment: EnvironmentRef) -> Result<Option<LoadedEnvironment>> {
        self.check()?;
        if self.is_behind() {
            return Err(Error::Unavailable { reason: "DATABASE_UNAVAILABLE", message: "behind".to_owned() });
        }
        self.store.load_environment(environment).await
    }

    async fn revisions(&self, projects: &[ProjectRef]) -> Result<Vec<(ProjectRef, i64)>> {
        self.check()?;
        if self.is_behind() {
            return Ok(self.revisions.lock().unwrap().clone());
        }
        let revisions = self.store.revisions(projects).await?;
        self.revisions.lock().unwrap().clone_from(&revisions);
        Ok(revisions)
    }

    async fn touched(
        &self,
        project: ProjectRef,
        after: i64,
        through: i64,
        environments: &[EnvironmentRef],
    ) -> Result<Vec<EnvironmentRef>> {
        self.check()?;
        self.store.touched(project, after, through, environments).await
    }

    async fn wakeups(&self) -> Result<Box<dyn Wakeups>> {
        self.check()?;
        let wakeups = FlagFeed::wakeups(&self.store).await?;
        Ok(Box::new(DistantWakeups { wakeups, line: self.line.subscribe() }))
    }
}

struct DistantWakeups {
    wakeups: Box<dyn Wakeups>,
    line: watch::Receiver<Line>,
}

#[async_trait]
impl Wakeups for DistantWakeups {
    async fn next(&mut self) -> Result<Wakeup> {
        loop {
            let wakeup = self.wakeups.next().await?;
            if *self.line.borrow() == Line::Open {
                return Ok(wakeup);
            }
        }
    }
}

#[async_trait]
impl IdentityStore for Distant {
    async fn stored_identities(
        &self,
        environment: EnvironmentRef,
        identifiers: &[Identifier],
    ) -> Result<Vec<Option<StoredIdentity>>> {
        self.check()?;
        self.store.stored_identities(environment, identifiers).await
    }

    async fn identify(&self, writes: &[IdentityWrite], batch: u64) -> Result<Vec<Result<StoredIdentity>>> {
        self.check()?;
        self.store.identify(writes, batch).await
    }
}

/// Polls often, so that tests need not wait.
fn hasty() -> Settings {
    Settings {
        poll_interval: Duration::from_millis(20),
        longest_back_off: Duration::from_millis(200),
        catch_up_limit: Duration::from_secs(20),
        ..Default::default()
    }
}

async fn what_is_held_goes_on_while_the_database_is_away(world: World) {
    let world = world.served().await;
    world.set_traits("eve", &[("plan", "beta")]).await;
    let distant = Distant::new(&world, Line::Open);
    let service = distant.serve(hasty()).await;
    let client = service.client(SERVER_KEY).await;
    let evaluate = async |identity| {
        let request = pb::EvaluateFlagsRequest { identity, ..Default::default() };
        client.clone().evaluate_flags(request).await.map(tonic::Response::into_inner)
    };
    let identify = async |request: pb::IdentifyRequest| {
        client.clone().identify(request).await.map(tonic::Response::into_inner)
    };
    let eve = evaluate(Some(somebody("eve"))).await.unwrap();
    assert_eq!(text_of(flag_of(&eve.flags, "banner")), "beta");
    let second = prost_types::Duration { seconds: 1, nanos: 0 };
    let request = pb::WatchFlagsRequest { checkpoint_interval: Some(second), ..Default::default() };
    let mut stream = service.watch(SERVER_KEY, request).await;
    stream.next().await;

    distant.set(Line::Cut);
    until("the answers are stale", async || evaluate(None).await.unwrap().stale_for.is_some()).await;
    let again = evaluate(Some(somebody("eve"))).await.unwrap();
    assert_eq!(again.flags, eve.flags, "Eve was read lately");
    assert!(again.stale_for.is_some());
    let ignoring =
        pb::IdentityContext { ignore_stored_traits: true, ..somebody_with("new", &[("plan", "beta")]) };
    assert_eq!(text_of(flag_of(&evaluate(Some(ignoring)).await.unwrap().flags, "banner")), "beta");
    let unread =
        check_status(evaluate(Some(somebody("new"))).await, Code::Unavailable, "DATABASE_UNAVAILABLE");
    assert!(unread.message().contains("ignore_stored_traits"), "{unread:?}");

    let request = |transient| pb::IdentifyRequest {
        identifier: "new".to_owned(),
        traits: trait_map(&[("plan", "beta")]),
        transient,
        ..Default::default()
    };
    check_status(identify(request(false)).await, Code::Unavailable, "DATABASE_UNAVAILABLE");
    let transient = identify(request(true)).await.unwrap();
    assert_eq!(text_of(flag_of(&transient.flags, "banner")), "beta");
    let identities = [None, Some(somebody("eve")), Some(somebody("new"))];
    let items = identities.map(|identity| pb::BatchEvaluateFlagsItem { item_id: String::new(), identity });
    let request = pb::BatchEvaluateFlagsRequest { items: items.to_vec(), ..Default::default() };
    let batch = client.clone().batch_evaluate_flags(request).await.unwrap().into_inner();
    let errors: Vec<_> = batch
        .results
        .iter()
        .map(|result| match result.result.as_ref().unwrap() {
            pb::batch_evaluate_flags_result::Result::Flags(_) => "",
            pb::batch_evaluate_flags_result::Result::Error(error) => error.reason.as_str(),
        })
        .collect();
    assert_eq!(errors, ["", "", "DATABASE_UNAVAILABLE"]);
    check_status(
        service.client(OTHER_KEY).await.evaluate_flags(pb::EvaluateFlagsRequest::default()).await,
        Code::Unavailable,
        "DATABASE_UNAVAILABLE",
    );
    let Some(Event::Checkpoint(pb::Checkpoint { stale_for: Some(_) })) = stream.next().await else {
        panic!("{:?}", stream.messages);
    };

    let revision = world.write(switch("dev", "banner", false)).await;
    distant.set(Line::Open);
    stream.reach(revision).await;
    assert!(!stream.state.flags["banner"].enabled);
    until("the answers are fresh", async || evaluate(None).await.unwrap().stale_for.is_none()).await;
    until("identities are written", async || {
        identify(pb::IdentifyRequest { identifier: "new".to_owned(), ..Default::default() }).await.is_ok()
    })
    .await;
}

async fn a_service_starts_without_a_database(world: World) {
    let world = world.served().await;
    let distant = Distant::new(&world, Line::Cut);
    let service = distant.serve(hasty()).await;
    let client = service.client(SERVER_KEY).await;
    let evaluate = async || client.clone().evaluate_flags(pb::EvaluateFlagsRequest::default()).await;
    check_status(evaluate().await, Code::Unavailable, "DATABASE_UNAVAILABLE");
    assert!(!*service.evaluation.readiness().borrow());
    distant.set(Line::Open);
    until("the database is found", async || evaluate().await.is_ok()).await;
    // Notifications are listened to, too.
    let mut stream = service.watch(SERVER_KEY, pb::WatchFlagsRequest::default()).await;
    stream.next().await;
    let revision = world.write(switch("dev", "banner", false)).await;
    stream.reach(revision).await;
}

async fn readiness_follows_the_database(world: World) {
    let world = world.served().await;
    let distant = Distant::new(&world, Line::Open);
    let unready_when_stale_for = Some(Duration::from_millis(300));
    let service = distant.serve(Settings { unready_when_stale_for, ..hasty() }).await;
    let mut ready = service.evaluation.readiness();
    ready.wait_for(|ready| *ready).await.unwrap();
    distant.set(Line::Cut);
    ready.wait_for(|ready| !*ready).await.unwrap();
    distant.set(Line::Open);
    ready.wait_for(|ready| *ready).await.unwrap();
    let patient = distant.serve(hasty()).await;
    patient.evaluation.readiness().wait_for(|ready| *ready).await.unwrap();
    let client = patient.client(SERVER_KEY).await;
    client.clone().evaluate_flags(pb::EvaluateFlagsRequest::default()).await.unwrap();
    distant.set(Line::Cut);
    until("the answers are stale", async || {
        let answer = client.clone().evaluate_flags(pb::EvaluateFlagsRequest::default()).await.unwrap();
        answer.into_inner().stale_for.is_some()
    })
    .await;
    assert!(*patient.evaluation.readiness().borrow(), "by default it stays ready for ever");
}

async fn a_poll_finds_what_no_notification_told(world: World) {
    let world = world.served().await;
    let distant = Distant::new(&world, Line::Silent);
    let service = distant.serve(hasty()).await;
    let mut stream = service.watch(SERVER_KEY, pb::WatchFlagsRequest::default()).await;
    stream.next().await;
    let revision = world.write(switch("dev", "banner", false)).await;
    stream.reach(revision).await;
    let elsewhere = world.write(switch("production", "banner", false)).await;
    let request = pb::EvaluateFlagsRequest { min_revision: elsewhere, ..Default::default() };
    service.client(SERVER_KEY).await.evaluate_flags(request).await.unwrap();
}

async fn a_database_that_was_set_back_is_not_up_to_date(world: World) {
    let world = world.served().await;
    let distant = Distant::new(&world, Line::Open);
    let service = distant.serve(hasty()).await;
    let client = service.client(SERVER_KEY).await;
    let stale_for = async || {
        let answer = client.clone().evaluate_flags(pb::EvaluateFlagsRequest::default()).await.unwrap();
        answer.into_inner().stale_for
    };
    stale_for().await;
    until("the replica has asked", async || !distant.revisions.lock().unwrap().is_empty()).await;
    let held = distant.revisions.lock().unwrap().clone();
    distant.set(Line::Behind);
    until("the answers are stale", async || {
        *distant.revisions.lock().unwrap() =
            held.iter().map(|(project, revision)| (*project, revision - 1)).collect();
        stale_for().await.is_some()
    })
    .await;
    distant.set(Line::Open);
    until("the answers are fresh", async || stale_for().await.is_none()).await;
}

/// Returns a token at a revision that the distant database does not tell of.
async fn token_from_ahead(world: &World, distant: &Distant, service: &Service) -> (String, i64) {
    let behind = service.watch(SERVER_KEY, pb::WatchFlagsRequest::default()).await.next().await;
    assert!(behind.is_some());
    until("the replica has asked", async || !distant.revisions.lock().unwrap().is_empty()).await;
    distant.set(Line::Behind);
    let revision = world.write(switch("dev", "banner", false)).await;
    let ahead = Service::start(world).await;
    let mut stream = ahead.watch(SERVER_KEY, pb::WatchFlagsRequest::default()).await;
    stream.next().await;
    assert_eq!(stream.state.revision, revision);
    (stream.token(), revision)
}

async fn a_replica_that_is_behind_is_silent_until_it_has_caught_up(world: World) {
    let world = world.served().await;
    let distant = Distant::new(&world, Line::Open);
    let service = distant.serve(hasty()).await;
    let (resume_token, revision) = token_from_ahead(&world, &distant, &service).await;
    let request = pb::WatchFlagsRequest { resume_token, ..Default::default() };
    let mut stream = service.watch(SERVER_KEY, request).await;
    assert!(tokio::time::timeout(Duration::from_millis(200), stream.next()).await.is_err(), "it is silent");
    distant.set(Line::Open);
    assert!(matches!(stream.next().await, Some(Event::UpToDate(_))), "{:?}", stream.messages);
    assert_eq!(stream.state.revision, revision);
}

async fn a_replica_that_stays_behind_says_goodbye(world: World) {
    let world = world.served().await;
    let distant = Distant::new(&world, Line::Open);
    let catch_up_limit = Duration::from_millis(300);
    let service = distant.serve(Settings { catch_up_limit, ..hasty() }).await;
    let (resume_token, revision) = token_from_ahead(&world, &distant, &service).await;
    let request = pb::WatchFlagsRequest { resume_token, ..Default::default() };
    let mut stream = service.watch(SERVER_KEY, request).await;
    let goodbye = stream.goodbye().await;
    assert_eq!(goodbye.reason(), GoodbyeReason::ReplicaBehind);
    assert!(goodbye.retry_after.is_some());
    assert_eq!((stream.messages.len(), stream.messages[0].revision), (1, revision));
}

async fn idle_environments_are_forgotten_and_come_back(world: World) {
    let world = world.served().await;
    let settings = Settings { idle_environment_ttl: Duration::from_millis(50), ..hasty() };
    let distant = Distant::new(&world, Line::Open);
    let service = distant.serve(settings).await;
    let mut stream = service.watch(OTHER_KEY, pb::WatchFlagsRequest::default()).await;
    stream.next().await;
    let client = service.client(SERVER_KEY).await;
    let evaluate = async || client.clone().evaluate_flags(pb::EvaluateFlagsRequest::default()).await;
    evaluate().await.unwrap();
    distant.set(Line::Cut);
    // Nobody asks while it is to be forgotten.
    tokio::time::sleep(Duration::from_millis(500)).await;
    check_status(evaluate().await, Code::Unavailable, "DATABASE_UNAVAILABLE");
    service.client(OTHER_KEY).await.evaluate_flags(pb::EvaluateFlagsRequest::default()).await.unwrap();
    distant.set(Line::Open);
    until("it is read again", async || evaluate().await.is_ok()).await;
    let revision = world.write(switch("production", "banner", false)).await;
    stream.reach(revision).await;
}
