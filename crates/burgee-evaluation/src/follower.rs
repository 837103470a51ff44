//! Follows the database: what is written there is served here, soon and in order.
//!
//! A notification says "look again", and is acted on at once. A poll covers notifications that were lost, and databases
//! that send none. Both end in the same questions: which revision has the project, which environments did the revisions
//! since touch. An environment that was touched is read again, a large one as far as it was touched; all others just get the
//! newer number.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use burgee_core::Result;
use burgee_core::store::{ProjectRef, Wakeup};
use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::environments::Environments;
use crate::hints::{Hint, Hinted};
use crate::moment::back_off;

/// Nobody's project. Asked about along with those in use, so that there is always a question to ask.
const NOBODYS_PROJECT: ProjectRef = ProjectRef(0);

/// Passes the database's notifications on, until the shutdown.
pub(crate) async fn listen(environments: Arc<Environments>, shutdown: CancellationToken) {
    shutdown.run_until_cancelled(listen_for_ever(&environments)).await;
}

async fn listen_for_ever(environments: &Environments) {
    let mut failures = 0;
    loop {
        match environments.ask(environments.feed.wakeups()).await {
            Ok(mut wakeups) => {
                // What was written before this is not told any more.
                environments.hints.add_everything();
                failures = 0;
                loop {
                    match wakeups.next().await {
                        Ok(Wakeup::Project(project)) => environments.hints.add(project, Hint::Written),
                        // What evaluation needs of an organisation comes with new revisions of its projects.
                        Ok(Wakeup::Account(_)) => {}
                        Ok(Wakeup::Unknown) => environments.hints.add_everything(),
                        Err(error) => {
                            debug!("notifications are lost: {error}");
                            failures += 1;
                            tokio::time::sleep(back_off(failures, environments.settings.poll_interval)).await;
                            continue;
                        }
                    }
                    failures = 0;
                }
            }
            Err(error) => {
                failures += 1;
                debug!(failures, "could not listen to notifications: {error}");
                tokio::time::sleep(back_off(failures, environments.settings.longest_back_off)).await;
            }
        }
    }
}

/// Keeps the environments up to date, until the shutdown. Says whether the service is ready.
pub(crate) async fn follow(
    environments: Arc<Environments>,
    ready: watch::Sender<bool>,
    shutdown: CancellationToken,
) {
    let follower = Follower {
        environments,
        ready,
        questions: FuturesUnordered::new(),
        projects: HashMap::new(),
        looked_at: HashSet::new(),
        ahead: HashMap::new(),
        poll: Poll { is_running: false, is_wanted: true, failures: 0, not_before: Instant::now() },
    };
    shutdown.run_until_cancelled(follower.run()).await;
}

struct Follower {
    environments: Arc<Environments>,
    ready: watch::Sender<bool>,
    questions: FuturesUnordered<BoxFuture<'static, Answer>>,
    /// Projects to look at.
    projects: HashMap<ProjectRef, Hint>,
    /// Projects that are being looked at: one look at a time each.
    looked_at: HashSet<ProjectRef>,
    /// Projects of which a newer revision is held than the database told of when it was asked last.
    ahead: HashMap<ProjectRef, Ahead>,
    poll: Poll,
}

struct Ahead {
    /// What was held then.
    held: i64,
    is_told: bool,
}

struct Poll {
    is_running: bool,
    is_wanted: bool,
    failures: u32,
    not_before: Instant,
}

/// The end of a question to the database.
enum Answer {
    Project(ProjectRef),
    Poll { asked_at: Instant, projects: Vec<ProjectRef>, revisions: Result<HashMap<ProjectRef, i64>> },
}

impl Follower {
    async fn run(mut self) {
        let environments = Arc::clone(&self.environments);
        let mut ticks = tokio::time::interval(environments.settings.poll_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(answer) = self.questions.next() => self.take(answer),
                hinted = environments.hints.next() => self.add(hinted),
                _ = ticks.tick() => {
                    self.poll.is_wanted |= Instant::now() >= self.poll.not_before;
                    environments.forget_idle(Instant::now());
                }
            }
            self.ask();
            self.tell_readiness();
        }
    }

    fn add(&mut self, Hinted { projects, everything }: Hinted) {
        self.poll.is_wanted |= everything;
        if everything || projects.values().any(|hint| *hint == Hint::Written) {
            self.environments.forget_unknown_keys();
        }
        for (project, hint) in projects {
            let known = self.projects.entry(project).or_insert(hint);
            if hint == Hint::Written {
                *known = hint;
            }
        }
    }

    fn ask(&mut self) {
        if self.poll.is_wanted && !self.poll.is_running {
            self.poll.is_wanted = false;
            self.poll.is_running = true;
            self.questions.push(poll(Arc::clone(&self.environments)).boxed());
        }
        let free = self.projects.extract_if(|project, _| !self.looked_at.contains(project));
        for (project, hint) in free.collect::<Vec<_>>() {
            self.looked_at.insert(project);
            self.questions.push(look(Arc::clone(&self.environments), project, hint).boxed());
        }
    }

    fn take(&mut self, answer: Answer) {
        match answer {
            Answer::Project(project) => {
                self.looked_at.remove(&project);
            }
            Answer::Poll { asked_at, projects, revisions: Ok(revisions) } => {
                if self.poll.failures > 0 {
                    info!("the database answers again");
                }
                self.poll.is_running = false;
                self.poll.failures = 0;
                self.poll.not_before = asked_at;
                self.environments.database.note_answer(asked_at);
                self.ahead.retain(|project, _| revisions.contains_key(project));
                for project in projects {
                    self.compare(project, revisions.get(&project).copied(), asked_at);
                }
            }
            Answer::Poll { revisions: Err(error), .. } => {
                self.poll.is_running = false;
                self.poll.failures = self.poll.failures.saturating_add(1);
                let wait = back_off(self.poll.failures, self.environments.settings.longest_back_off);
                self.poll.not_before = Instant::now() + wait;
                if self.poll.failures == 1 {
                    warn!("the database does not answer; what is held goes on being served: {error}");
                }
                self.environments.database.note_failure();
            }
        }
    }

    /// Compares what is held of a project with its revision in the database; `None` if it is gone.
    fn compare(&mut self, project: ProjectRef, revision: Option<i64>, asked_at: Instant) {
        let mut ahead = None;
        for slot in self.environments.of_project(project) {
            let held = slot.snapshot().map_or(0, |snapshot| snapshot.revision);
            match revision {
                // The database may be another one than the copy was made of.
                Some(_) if slot.is_copy() => {
                    self.projects.entry(project).or_insert(Hint::Asked);
                }
                Some(revision) if held == revision => slot.confirmed.advance(asked_at),
                Some(revision) if held > revision => ahead = ahead.max(Some((held, revision))),
                Some(_) | None => {
                    self.projects.entry(project).or_insert(Hint::Asked);
                }
            }
        }
        match ahead {
            Some((held, revision)) => self.note_ahead(project, held, revision),
            None => {
                self.ahead.remove(&project);
            }
        }
    }

    /// Notes that the database told of an older revision than is held. Once is nothing: the newer one may have been read
    /// while the answer was on its way. If it has still not told of what was held before it was asked, it was set back.
    fn note_ahead(&mut self, project: ProjectRef, held: i64, revision: i64) {
        let former = self.ahead.remove(&project);
        let is_set_back = former.as_ref().is_some_and(|former| revision < former.held);
        let was_told = former.is_some_and(|former| former.is_told);
        if is_set_back && !was_told {
            warn!(
                project = project.0,
                revision,
                held,
                "the database is at revision {revision} of project {}, and revision {held} is served: if a backup was \
                 restored, restart the server",
                project.0
            );
        }
        self.ahead.insert(project, Ahead { held, is_told: is_set_back || was_told });
    }

    fn tell_readiness(&self) {
        let limit = self.environments.settings.unready_when_stale_for;
        let is_ready = self.environments.database.is_ready(limit, Instant::now());
        self.ready.send_if_modified(|ready| std::mem::replace(ready, is_ready) != is_ready);
    }
}

/// Asks for the revisions of all projects in use.
async fn poll(environments: Arc<Environments>) -> Answer {
    let asked_at = Instant::now();
    let projects = environments.projects();
    let asked: Vec<_> = projects.iter().copied().chain([NOBODYS_PROJECT]).collect();
    let revisions = environments.ask(environments.feed.revisions(&asked)).await;
    Answer::Poll { asked_at, projects, revisions: revisions.map(|revisions| revisions.into_iter().collect()) }
}

/// Brings the environments of a project up to date.
async fn look(environments: Arc<Environments>, project: ProjectRef, hint: Hint) -> Answer {
    let slots = environments.of_project(project);
    let looked = match (slots.as_slice(), hint) {
        ([], _) => Ok(()),
        // Most likely it is this one that was touched. Reading it at once saves two questions.
        ([only], Hint::Written) => only.wait_for_read(environments.look(only)).await,
        _ => look_closely(&environments, project).await,
    };
    if let Err(error) = looked {
        // The next poll looks again.
        debug!(project = project.0, "could not look at project {}: {error}", project.0);
    }
    Answer::Project(project)
}

/// Reads those environments of a project again that were touched, and takes the others to the newest revision.
async fn look_closely(environments: &Arc<Environments>, project: ProjectRef) -> Result<()> {
    let asked_at = Instant::now();
    let revisions = environments.ask(environments.feed.revisions(&[project])).await?;
    // Of a project that is gone, every environment is read again, and found gone.
    let revision = revisions.first().map_or(i64::MAX, |(_, revision)| *revision);
    let mut reads = Vec::new();
    let mut behind = Vec::new();
    for slot in environments.of_project(project) {
        match slot.snapshot().map(|snapshot| snapshot.revision) {
            Some(_) if slot.is_copy() => reads.push(slot),
            Some(held) if held == revision => slot.confirmed.advance(asked_at),
            // Read in the meantime, or the database was set back, which the poll tells.
            Some(held) if held > revision => {}
            Some(held) if revision < i64::MAX => behind.push((slot, held)),
            Some(_) | None => reads.push(slot),
        }
    }
    if let Some(after) = behind.iter().map(|(_, held)| *held).min() {
        let names: Vec<_> = behind.iter().map(|(slot, _)| slot.environment).collect();
        let touched = environments.feed.touched(project, after, revision, &names);
        let touched: HashSet<_> = environments.ask(touched).await?.into_iter().collect();
        for (slot, _) in behind {
            if touched.contains(&slot.environment) {
                reads.push(slot);
            } else {
                slot.bump(after, revision);
                slot.confirmed.advance(asked_at);
            }
        }
    }
    let tickets: Vec<_> = reads.iter().map(|slot| environments.look(slot)).collect();
    for (slot, ticket) in reads.iter().zip(tickets) {
        slot.wait_for_read(ticket).await?;
    }
    Ok(())
}
