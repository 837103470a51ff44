//! One write outside of projects: a revision of a log, what it changes, and its change.

use std::fmt::Display;

use burgee_core::Result;
use burgee_core::account::AccountMutation;
use burgee_core::change::WriteContext;
use burgee_core::limits::Limits;
use burgee_core::name::OrganisationName;
use burgee_core::organisation::Organisation;
use burgee_core::store::{LogRef, ProjectRef, Wakeup};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::Transaction;
use sqlx::types::Json;

use super::super::dialect::Db;
use super::accounts::organisation_of;
use super::entries::Entries;
use super::organisations::{find_and_lock, lock_organisation, lock_projects, patched, served};
use super::projects::lock_project;
use super::users::lock_organisations_of;
use super::write::{Stored, entry, microseconds};
use super::{Backend, Connection};
use crate::error::{corrupt, storage};

/// What is held before the row of a log. Everybody takes organisations first, in the order of their numbers, then
/// projects, and logs last, so that no two wait for each other.
#[derive(Default)]
pub(super) struct Held {
    /// The organisation that the write is about.
    pub(super) organisation: Option<Stored<Organisation>>,
    /// All organisations of a user who is to be deleted.
    pub(super) organisations: Vec<i64>,
    /// Numbers and keys of the projects that the write changes or deletes.
    pub(super) projects: Vec<(i64, String)>,
}

impl Held {
    /// Takes what a write needs.
    async fn take(connection: &mut Connection, mutation: &AccountMutation) -> Result<Self> {
        let mut held = Self::default();
        match mutation {
            AccountMutation::DeleteOrganisation { name, .. } => {
                held.organisation = find_and_lock(connection, name).await?;
                if let Some(organisation) = &held.organisation {
                    held.projects = lock_projects(connection, organisation.id).await?;
                }
            }
            AccountMutation::UpdateOrganisation { name, patch, .. } => {
                let organisation = lock_organisation(connection, name).await?;
                let before = &organisation.resource;
                if served(before) != served(&patched(before, patch)) {
                    held.projects = lock_projects(connection, organisation.id).await?;
                }
                held.organisation = Some(organisation);
            }
            AccountMutation::DeleteProject { name, .. } => {
                let organisation = lock_organisation(connection, &name.organisation).await?;
                held.projects.extend(lock_project(connection, organisation.id, name).await?);
                held.organisation = Some(organisation);
            }
            AccountMutation::DeleteUser { name, .. } => {
                held.organisations = lock_organisations_of(connection, name).await?;
            }
            _ => {
                if let Some(name) = organisation_of(mutation) {
                    held.organisation = Some(lock_organisation(connection, name).await?);
                }
            }
        }
        Ok(held)
    }
}

/// A write outside of projects. It holds the row of its log, so that it is the only one.
pub(super) struct AccountWrite<'a> {
    /// The transaction. Dropped, it changes nothing.
    pub(super) tx: Transaction<'static, Db>,
    /// The limits of what is stored.
    pub(super) limits: &'a Limits,
    /// What it holds beside the log.
    pub(super) held: Held,
    /// The log's number.
    pub(super) log: i64,
    /// The revision that this write makes.
    pub(super) revision: i64,
    /// The time of the write.
    pub(super) now: DateTime<Utc>,
    entries: Entries,
    /// The projects that have a new revision, or are gone.
    projects: Vec<i64>,
    /// The logs that have a new revision, or are gone.
    logs: Vec<LogRef>,
}

/// Makes the log of an organisation if it has none: a server of before, still running while the tables were brought up to date, may
/// have created it. The organisation is locked.
pub(super) async fn ensure_log(
    connection: &mut Connection,
    organisation: i64,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO logs (organisation_id, revision, created_at) VALUES ($1, 0, $2)
        ON CONFLICT (organisation_id) DO NOTHING",
    )
    .bind(organisation)
    .bind(microseconds(now))
    .execute(connection)
    .await
    .map_err(storage)?;
    Ok(())
}

impl<'a> AccountWrite<'a> {
    /// Begins the write of a mutation.
    pub(super) async fn begin(
        backend: &'a Backend,
        mutation: &AccountMutation,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let mut tx = backend.begin().await?;
        let held = Held::take(&mut tx, mutation).await?;
        let log = match organisation_of(mutation) {
            Some(_) => held.organisation.as_ref().map(|organisation| organisation.id),
            None => None,
        };
        Self::of_log(backend, tx, held, log, now).await
    }

    /// Begins a write of the log of an organisation, or else of the server's.
    pub(super) async fn open(
        backend: &'a Backend,
        organisation: Option<&OrganisationName>,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let mut tx = backend.begin().await?;
        let mut held = Held::default();
        if let Some(name) = organisation {
            held.organisation = Some(lock_organisation(&mut tx, name).await?);
        }
        let log = held.organisation.as_ref().map(|organisation| organisation.id);
        Self::of_log(backend, tx, held, log, now).await
    }

    async fn of_log(
        backend: &'a Backend,
        mut tx: Transaction<'static, Db>,
        held: Held,
        organisation: Option<i64>,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let (log, revision) = next_revision(&mut tx, organisation, now).await?;
        let (limits, now) = (&backend.limits, microseconds(now));
        Ok(Self {
            tx,
            limits,
            held,
            log,
            revision,
            now,
            entries: Entries::default(),
            projects: Vec::new(),
            logs: vec![LogRef(log)],
        })
    }

    /// Returns the number of the organisation that the write is about.
    pub(super) fn organisation(&self) -> Result<i64> {
        match &self.held.organisation {
            Some(organisation) => Ok(organisation.id),
            None => Err(corrupt("a write of an organisation does not hold it".to_owned())),
        }
    }

    /// Adds a subject to the change.
    pub(super) fn record<T: Serialize>(
        &mut self,
        subject: &dyn Display,
        before: Option<&T>,
        after: Option<&T>,
    ) -> Result<()> {
        self.entries.add(entry(subject, before, after)?)
    }

    /// Notes that the log of an organisation is gone.
    pub(super) fn touch_log(&mut self, log: LogRef) {
        self.logs.push(log);
    }

    /// Notes that a project has a new revision, or is gone.
    pub(super) fn touch_project(&mut self, project: i64) {
        self.projects.push(project);
    }

    /// Takes the change into the log and the log into the database, or forgets everything if the write is not meant or
    /// changed nothing. Returns the log's revision.
    pub(super) async fn finish(mut self, backend: &Backend, context: &WriteContext) -> Result<i64> {
        if context.validate_only || self.entries.is_empty() {
            self.tx.rollback().await.map_err(storage)?;
            return Ok(self.revision - 1);
        }
        insert_log_change(&mut self.tx, context, self.log, self.revision, self.now, &self.entries).await?;
        let projects = self.projects.into_iter().map(|project| Wakeup::Project(ProjectRef(project)));
        let wakeups: Vec<Wakeup> = projects.chain(self.logs.into_iter().map(Wakeup::Account)).collect();
        for wakeup in &wakeups {
            backend.announcer.within(&mut self.tx, *wakeup).await.map_err(storage)?;
        }
        self.tx.commit().await.map_err(storage)?;
        wakeups.into_iter().for_each(|wakeup| backend.announcer.committed(wakeup));
        Ok(self.revision)
    }
}

/// Adds what a write of a project granted and took back to the log of the organisation, which is held: there are all grants.
/// Returns whom to wake.
pub(super) async fn log_grants(
    connection: &mut Connection,
    context: &WriteContext,
    organisation: i64,
    now: DateTime<Utc>,
    entries: &Entries,
) -> Result<Wakeup> {
    let (log, revision) = next_revision(connection, Some(organisation), now).await?;
    insert_log_change(connection, context, log, revision, now, entries).await?;
    Ok(Wakeup::Account(LogRef(log)))
}

/// Takes the log of an organisation, which is held, or else the server's. Returns its number and its next revision.
async fn next_revision(
    connection: &mut Connection,
    organisation: Option<i64>,
    now: DateTime<Utc>,
) -> Result<(i64, i64)> {
    if let Some(organisation) = organisation {
        ensure_log(connection, organisation, now).await?;
    }
    // The order of revisions is the order of commits.
    match organisation {
        Some(organisation) => sqlx::query_as(
            "UPDATE logs SET revision = revision + 1 WHERE organisation_id = $1 RETURNING id, revision",
        )
        .bind(organisation),
        None => sqlx::query_as(
            "UPDATE logs SET revision = revision + 1 WHERE organisation_id IS NULL RETURNING id, revision",
        ),
    }
    .fetch_one(connection)
    .await
    .map_err(storage)
}

async fn insert_log_change(
    connection: &mut Connection,
    context: &WriteContext,
    log: i64,
    revision: i64,
    now: DateTime<Utc>,
    entries: &Entries,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO log_changes
            (log_id, revision, created_at, actor, credential, on_behalf_of, address, method, request_id, reason,
                entries, bytes)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(log)
    .bind(revision)
    .bind(now)
    .bind(&context.actor)
    .bind(&context.credential)
    .bind(&context.on_behalf_of)
    .bind(&context.address)
    .bind(&context.method)
    .bind(context.request_id.as_deref().unwrap_or_default())
    .bind(&context.reason)
    .bind(Json(entries.list()))
    .bind(entries.bytes())
    .execute(connection)
    .await
    .map_err(storage)?;
    Ok(())
}
