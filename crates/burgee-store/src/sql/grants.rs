//! Grants, read and taken back.

use burgee_core::Result;
use burgee_core::grant::{Grant, Grantee};
use burgee_core::name::{
    EnvironmentId, EnvironmentName, GrantId, GrantName, GroupId, GroupName, OrganisationId, OrganisationName,
    ProjectId, ProjectName, RoleId, RoleName, TokenId, TokenName, TokenOwner, TrustRelationshipId,
    TrustRelationshipName, UserId, UserName,
};
use burgee_core::permission::{Permission, Place};
use burgee_core::store::{GrantFilter, Page};
use chrono::{DateTime, Utc};
use sqlx::types::Json;

use super::account_write::AccountWrite;
use super::organisations::organisation_id;
use super::write::not_found;
use super::{Backend, Connection, rows};
use crate::error::{corrupt, storage, stored};

/// A query of grants, with everything that they name.
macro_rules! grants_where {
    ($condition:literal) => {
        concat!(
            "SELECT x.key, o.key AS organisation_key, u.key AS user_key, g.key AS group_key, t.key AS token_key,
                s.key AS trust_relationship_key, p.key AS project_key, e.key AS environment_key, r.key AS role_key,
                x.permissions, x.tags, x.created_at
            FROM grants x JOIN organisations o ON o.id = x.organisation_id
            LEFT JOIN users u ON u.id = x.user_id LEFT JOIN groups g ON g.id = x.group_id
            LEFT JOIN tokens t ON t.id = x.token_id
            LEFT JOIN trust_relationships s ON s.id = x.trust_relationship_id
            LEFT JOIN projects p ON p.id = x.project_id LEFT JOIN environments e ON e.id = x.environment_id
            LEFT JOIN roles r ON r.id = x.role_id WHERE ",
            $condition
        )
    };
}

#[derive(sqlx::FromRow)]
struct GrantRecord {
    key: String,
    organisation_key: String,
    user_key: Option<String>,
    group_key: Option<String>,
    token_key: Option<String>,
    trust_relationship_key: Option<String>,
    project_key: Option<String>,
    environment_key: Option<String>,
    role_key: Option<String>,
    permissions: Json<Vec<Permission>>,
    tags: Json<Vec<String>>,
    created_at: DateTime<Utc>,
}

impl GrantRecord {
    fn into_grant(self) -> Result<Grant> {
        let organisation =
            OrganisationName { organisation: stored(OrganisationId::parse(&self.organisation_key))? };
        let role = self.role_key.as_deref().map(|key| stored(RoleId::parse(key))).transpose()?;
        Ok(Grant {
            name: GrantName { organisation: organisation.clone(), grant: stored(GrantId::parse(&self.key))? },
            grantee: self.grantee(&organisation)?,
            place: place(&organisation, self.project_key.as_deref(), self.environment_key.as_deref())?,
            permissions: self.permissions.0,
            role: role.map(|role| RoleName { organisation, role }),
            tags: self.tags.0,
            created_at: self.created_at,
        })
    }

    fn grantee(&self, organisation: &OrganisationName) -> Result<Grantee> {
        let organisation = organisation.clone();
        let keys = (&self.user_key, &self.group_key, &self.token_key, &self.trust_relationship_key);
        Ok(match keys {
            (Some(key), ..) => Grantee::User(UserName { user: stored(UserId::parse(key))? }),
            (_, Some(key), ..) => {
                Grantee::Group(GroupName { organisation, group: stored(GroupId::parse(key))? })
            }
            (.., Some(key), _) => {
                let owner = TokenOwner::Organisation(organisation);
                Grantee::Token(TokenName { owner, token: stored(TokenId::parse(key))? })
            }
            (.., Some(key)) => {
                let trust_relationship = stored(TrustRelationshipId::parse(key))?;
                Grantee::TrustRelationship(TrustRelationshipName { organisation, trust_relationship })
            }
            (None, None, None, None) => return Err(corrupt("a stored grant has no grantee".to_owned())),
        })
    }
}

/// Returns the place that stored keys name.
pub(super) fn place(
    organisation: &OrganisationName,
    project: Option<&str>,
    environment: Option<&str>,
) -> Result<Place> {
    let organisation = organisation.clone();
    let Some(project) = project else { return Ok(Place::Organisation(organisation)) };
    let project = ProjectName { organisation, project: stored(ProjectId::parse(project))? };
    let Some(environment) = environment else { return Ok(Place::Project(project)) };
    let environment = stored(EnvironmentId::parse(environment))?;
    Ok(Place::Environment(EnvironmentName { project, environment }))
}

fn grants(records: Vec<GrantRecord>) -> Result<Vec<Grant>> {
    records.into_iter().map(GrantRecord::into_grant).collect()
}

/// Finds a grant.
pub(super) async fn find_grant(connection: &mut Connection, name: &GrantName) -> Result<Grant> {
    let record: Option<GrantRecord> = sqlx::query_as(grants_where!("o.key = $1 AND x.key = $2"))
        .bind(name.organisation.organisation.as_str())
        .bind(name.grant.as_str())
        .fetch_optional(connection)
        .await
        .map_err(storage)?;
    record.ok_or_else(|| not_found("grant", name))?.into_grant()
}

/// Returns what was granted to a user, in all organisations.
pub(super) async fn grants_of_user(connection: &mut Connection, user: i64) -> Result<Vec<Grant>> {
    let query = sqlx::query_as(grants_where!("x.user_id = $1 ORDER BY x.organisation_id, x.key"));
    grants(query.bind(user).fetch_all(connection).await.map_err(storage)?)
}

/// Returns what was granted to a member.
pub(super) async fn grants_of_member(
    connection: &mut Connection,
    organisation: i64,
    user: i64,
) -> Result<Vec<Grant>> {
    let query = sqlx::query_as(grants_where!("x.organisation_id = $1 AND x.user_id = $2 ORDER BY x.key"));
    grants(query.bind(organisation).bind(user).fetch_all(connection).await.map_err(storage)?)
}

/// Returns what was granted to a group.
pub(super) async fn grants_of_group(connection: &mut Connection, group: i64) -> Result<Vec<Grant>> {
    let query = sqlx::query_as(grants_where!("x.group_id = $1 ORDER BY x.key"));
    grants(query.bind(group).fetch_all(connection).await.map_err(storage)?)
}

/// Returns what was granted to a trust relationship.
pub(super) async fn grants_of_trust_relationship(
    connection: &mut Connection,
    trust_relationship: i64,
) -> Result<Vec<Grant>> {
    let query = sqlx::query_as(grants_where!("x.trust_relationship_id = $1 ORDER BY x.key"));
    grants(query.bind(trust_relationship).fetch_all(connection).await.map_err(storage)?)
}

/// Returns what was granted on a project and its environments.
pub(super) async fn grants_on_project(connection: &mut Connection, project: i64) -> Result<Vec<Grant>> {
    let query = sqlx::query_as(grants_where!("x.project_id = $1 ORDER BY x.key"));
    grants(query.bind(project).fetch_all(connection).await.map_err(storage)?)
}

/// Returns what was granted on an environment.
pub(super) async fn grants_on_environment(
    connection: &mut Connection,
    environment: i64,
) -> Result<Vec<Grant>> {
    let query = sqlx::query_as(grants_where!("x.environment_id = $1 ORDER BY x.key"));
    grants(query.bind(environment).fetch_all(connection).await.map_err(storage)?)
}

impl Backend {
    pub(crate) async fn grant(&self, name: &GrantName) -> Result<Grant> {
        let mut connection = self.reads.acquire().await.map_err(storage)?;
        find_grant(&mut connection, name).await
    }

    pub(crate) async fn grants(
        &self,
        organisation: &OrganisationName,
        filter: &GrantFilter,
        page: &Page,
    ) -> Result<Vec<Grant>> {
        let mut tx = self.snapshot().await?;
        let id = organisation_id(&mut tx, organisation).await?;
        let (place, grantee) = (&filter.place, &filter.grantee);
        let elsewhere = place.as_ref().is_some_and(|place| place.organisation() != organisation)
            || grantee.as_ref().and_then(Grantee::organisation).is_some_and(|of| of != organisation);
        if elsewhere {
            return Ok(Vec::new());
        }
        let (level, project, environment) = match place {
            None => ("", "", ""),
            Some(Place::Organisation(_)) => ("organisation", "", ""),
            Some(Place::Project(name)) => ("project", name.project.as_str(), ""),
            Some(Place::Environment(name)) => {
                ("environment", name.project.project.as_str(), name.environment.as_str())
            }
        };
        let (kind, key) = match grantee {
            None => ("", ""),
            Some(Grantee::User(name)) => ("user", name.user.as_str()),
            Some(Grantee::Group(name)) => ("group", name.group.as_str()),
            Some(Grantee::Token(name)) => ("token", name.token.as_str()),
            Some(Grantee::TrustRelationship(name)) => {
                ("trust_relationship", name.trust_relationship.as_str())
            }
        };
        let records: Vec<GrantRecord> = sqlx::query_as(grants_where!(
            "x.organisation_id = $1 AND x.key > $2
            AND ($4 = '' OR ($4 = 'organisation' AND x.project_id IS NULL)
                OR ($4 = 'project' AND p.key = $5 AND x.environment_id IS NULL)
                OR ($4 = 'environment' AND p.key = $5 AND e.key = $6))
            AND ($7 = '' OR ($7 = 'user' AND u.key = $8) OR ($7 = 'group' AND g.key = $8)
                OR ($7 = 'token' AND t.key = $8) OR ($7 = 'trust_relationship' AND s.key = $8))
            ORDER BY x.key LIMIT $3"
        ))
        .bind(id)
        .bind(page.after.as_deref().unwrap_or_default())
        .bind(rows(page.limit))
        .bind(level)
        .bind(project)
        .bind(environment)
        .bind(kind)
        .bind(key)
        .fetch_all(&mut *tx)
        .await
        .map_err(storage)?;
        grants(records)
    }
}

impl AccountWrite<'_> {
    /// Takes back what a grant gave.
    pub(super) async fn revoke_grant(&mut self, name: &GrantName) -> Result<Grant> {
        let grant = find_grant(&mut self.tx, name).await?;
        sqlx::query("DELETE FROM grants WHERE organisation_id = $1 AND key = $2")
            .bind(self.organisation()?)
            .bind(name.grant.as_str())
            .execute(&mut *self.tx)
            .await
            .map_err(storage)?;
        self.record(name, Some(&grant), None)?;
        Ok(grant)
    }

    /// Adds grants that went with something else to the change.
    pub(super) fn record_revoked(&mut self, grants: &[Grant]) -> Result<()> {
        grants.iter().try_for_each(|grant| self.record(&grant.name, Some(grant), None))
    }
}
