//! One write of a project's configuration: a revision, what it changes, and its entry in the change log.

use std::collections::BTreeSet;
use std::fmt::Display;

use burgee_core::change::{ChangeEntry, ChangeKind, WriteContext};
use burgee_core::grant::Grant;
use burgee_core::limits::Limits;
use burgee_core::name::ProjectName;
use burgee_core::store::{ProjectRef, Wakeup};
use burgee_core::{Error, Result};
use chrono::{DateTime, SubsecRound, Utc};
use serde::Serialize;
use sqlx::Transaction;
use sqlx::types::Json;

use super::super::dialect::{Db, list};
use super::account_write::log_grants;
use super::entries::Entries;
use super::organisations::{lock_organisation, organisation_id};
use super::{Backend, Connection};
use crate::error::{corrupt, storage};

/// A resource and its number.
#[derive(Clone, Debug)]
pub(super) struct Stored<T> {
    /// The number in the tables.
    pub(super) id: i64,
    /// The resource.
    pub(super) resource: T,
}

/// A write of a project's configuration. It holds the project's row, so that it is the only one.
pub(super) struct Write<'a> {
    /// The transaction. Dropped, it changes nothing.
    pub(super) tx: Transaction<'static, Db>,
    /// The limits of what is stored.
    pub(super) limits: &'a Limits,
    /// The project's number.
    pub(super) project: i64,
    /// The project's name.
    pub(super) name: ProjectName,
    /// See [`burgee_core::project::Project::prevent_flag_defaults`].
    pub(super) prevent_flag_defaults: bool,
    /// The revision that this write makes.
    pub(super) revision: i64,
    /// The time of the write.
    pub(super) now: DateTime<Utc>,
    entries: Entries,
    /// Grants that are made and taken back, for the log of the organisation.
    grants: Entries,
    /// The environments whose evaluation may change; `None` means all.
    touched: Option<BTreeSet<i64>>,
}

impl<'a> Write<'a> {
    /// Begins a write.
    pub(super) async fn begin(
        backend: &'a Backend,
        name: &ProjectName,
        context: &WriteContext,
    ) -> Result<Self> {
        Self::begin_in(backend, backend.begin().await?, name, context).await
    }

    /// Begins a write that also grants something, or takes grants back, which nobody else in the organisation may do meanwhile.
    pub(super) async fn begin_granting(
        backend: &'a Backend,
        name: &ProjectName,
        context: &WriteContext,
    ) -> Result<Self> {
        let mut tx = backend.begin().await?;
        lock_organisation(&mut tx, &name.organisation).await?;
        Self::begin_in(backend, tx, name, context).await
    }

    async fn begin_in(
        backend: &'a Backend,
        mut tx: Transaction<'static, Db>,
        name: &ProjectName,
        context: &WriteContext,
    ) -> Result<Self> {
        // Taking the project's row first makes the order of revisions the order of commits.
        let project: Option<(i64, i64, bool)> = sqlx::query_as(
            "UPDATE projects SET revision = revision + 1
            WHERE key = $2 AND organisation_id = (SELECT id FROM organisations WHERE key = $1)
            RETURNING id, revision, prevent_flag_defaults",
        )
        .bind(name.organisation.organisation.as_str())
        .bind(name.project.as_str())
        .fetch_optional(&mut *tx)
        .await
        .map_err(storage)?;
        let (project, revision, prevent_flag_defaults) = project.ok_or_else(|| not_found("project", name))?;
        Ok(Self {
            tx,
            limits: &backend.limits,
            project,
            name: name.clone(),
            prevent_flag_defaults,
            revision,
            now: microseconds(context.now),
            entries: Entries::default(),
            grants: Entries::default(),
            touched: Some(BTreeSet::new()),
        })
    }

    /// Adds a subject to the change log. What is updated several times in one write is told once: before and after all.
    pub(super) fn record<T: Serialize>(
        &mut self,
        subject: &dyn Display,
        before: Option<&T>,
        after: Option<&T>,
    ) -> Result<()> {
        self.entries.merge(entry(subject, before, after)?)
    }

    /// Adds a grant to the log of the organisation, where all grants are. The write must hold the organisation.
    pub(super) fn record_grant(&mut self, before: Option<&Grant>, after: Option<&Grant>) -> Result<()> {
        if let Some(grant) = after.or(before) {
            self.grants.add(entry(&grant.name, before, after)?)?;
        }
        Ok(())
    }

    /// Notes that an environment's evaluation may change.
    pub(super) fn touch(&mut self, environment: i64) {
        if let Some(touched) = &mut self.touched {
            touched.insert(environment);
        }
    }

    /// Notes that the evaluation of all environments may change.
    pub(super) fn touch_all(&mut self) {
        self.touched = None;
    }

    /// Checks that a caller's etag is the resource's, or was it before this very write.
    pub(super) fn check_etag(&self, name: &dyn Display, given: Option<&str>, current: &str) -> Result<()> {
        let name = name.to_string();
        let former = || self.entries.before(&name)?.get("etag")?.as_str();
        match given {
            Some(given) if given != current && Some(given) != former() => {
                Err(Error::StaleEtag { name, current: current.to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// Checks that one more row keeps to a limit.
    pub(super) fn check_limit(&self, limit: &'static str, maximum: usize, present: i64) -> Result<()> {
        check_limit(limit, maximum, present)
    }

    /// Takes the changes into the log and the log into the database, or forgets everything if the write is not meant.
    /// Returns the project's revision.
    pub(super) async fn finish(mut self, backend: &Backend, context: &WriteContext) -> Result<i64> {
        if context.validate_only {
            self.tx.rollback().await.map_err(storage)?;
            return Ok(self.revision - 1);
        }
        self.log(context).await?;
        let mut wakeups = vec![Wakeup::Project(ProjectRef(self.project))];
        if !self.grants.is_empty() {
            let organisation = organisation_id(&mut self.tx, &self.name.organisation).await?;
            wakeups.push(log_grants(&mut self.tx, context, organisation, self.now, &self.grants).await?);
        }
        for wakeup in &wakeups {
            backend.announcer.within(&mut self.tx, *wakeup).await.map_err(storage)?;
        }
        self.tx.commit().await.map_err(storage)?;
        wakeups.into_iter().for_each(|wakeup| backend.announcer.committed(wakeup));
        Ok(self.revision)
    }

    async fn log(&mut self, context: &WriteContext) -> Result<()> {
        let (project, revision, now) = (self.project, self.revision, self.now);
        insert_change(&mut self.tx, context, project, revision, now, &self.entries, self.touched.as_ref())
            .await
    }
}

/// Adds a change to the log.
pub(super) async fn insert_change(
    connection: &mut Connection,
    context: &WriteContext,
    project: i64,
    revision: i64,
    now: DateTime<Utc>,
    entries: &Entries,
    touched: Option<&BTreeSet<i64>>,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO changes
            (project_id, revision, created_at, actor, method, request_id, reason, entries, touched, credential,
                on_behalf_of, address, bytes)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(project)
    .bind(revision)
    .bind(now)
    .bind(&context.actor)
    .bind(&context.method)
    .bind(context.request_id.as_deref().unwrap_or_default())
    .bind(&context.reason)
    .bind(Json(entries.list()))
    .bind(touched.map(list))
    .bind(&context.credential)
    .bind(&context.on_behalf_of)
    .bind(&context.address)
    .bind(entries.bytes())
    .execute(connection)
    .await
    .map_err(storage)?;
    Ok(())
}

/// Creates an entry of the change log.
pub(super) fn entry<T: Serialize>(
    subject: &dyn Display,
    before: Option<&T>,
    after: Option<&T>,
) -> Result<ChangeEntry> {
    let kind = match (before, after) {
        (None, _) => ChangeKind::Created,
        (Some(_), Some(_)) => ChangeKind::Updated,
        (Some(_), None) => ChangeKind::Deleted,
    };
    let json = |resource: Option<&T>| {
        resource.map(serde_json::to_value).transpose().map_err(|error| corrupt(error.to_string()))
    };
    Ok(ChangeEntry { subject: subject.to_string(), kind, before: json(before)?, after: json(after)? })
}

/// Checks that one more row keeps to a limit.
pub(super) fn check_limit(limit: &'static str, maximum: usize, present: i64) -> Result<()> {
    let maximum = maximum as u64;
    if present.unsigned_abs() >= maximum { Err(Error::LimitExceeded { limit, maximum }) } else { Ok(()) }
}

/// Cuts a time to what both databases keep.
pub(super) fn microseconds(time: DateTime<Utc>) -> DateTime<Utc> {
    time.trunc_subsecs(6)
}

/// Creates the error of a resource that is missing.
pub(super) fn not_found(kind: &'static str, name: &dyn Display) -> Error {
    Error::NotFound { kind, name: name.to_string() }
}

/// Creates the error of a name that is taken.
pub(super) fn already_exists(kind: &'static str, name: &dyn Display) -> Error {
    Error::AlreadyExists { kind, name: name.to_string() }
}

/// Says what a failed insertion means: most often that the name is taken.
pub(super) fn taken(kind: &'static str, name: &dyn Display) -> impl FnOnce(sqlx::Error) -> Error {
    let error = already_exists(kind, name);
    move |cause| match cause.as_database_error() {
        Some(database) if database.is_unique_violation() => error,
        _ => storage(cause),
    }
}
