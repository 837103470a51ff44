//! Grants that are made.

use burgee_core::grant::{Grant, Grantee};
use burgee_core::limits::Limits;
use burgee_core::name::{GrantId, GrantName, MemberName, OrganisationName};
use burgee_core::permission::Place;
use burgee_core::{Error, Result};
use chrono::{DateTime, Utc};
use sqlx::types::Json;

use super::Connection;
use super::account_write::AccountWrite;
use super::environment_reads::find_environment;
use super::groups::find_group;
use super::members::find_member;
use super::organisations::organisation_id;
use super::projects::project_id;
use super::roles::find_role;
use super::tokens::find_token;
use super::trust::find_trust_relationship;
use super::write::{check_limit, microseconds, not_found, taken};
use crate::error::{storage, stored};

/// The numbers of a grantee: exactly one is set.
#[derive(Default)]
struct GranteeNumbers {
    user: Option<i64>,
    group: Option<i64>,
    token: Option<i64>,
    trust_relationship: Option<i64>,
}

/// Finds a grantee in an organisation: a user must be a member of it.
async fn find_grantee(
    connection: &mut Connection,
    organisation: &OrganisationName,
    grantee: &Grantee,
) -> Result<GranteeNumbers> {
    let elsewhere = grantee.organisation().is_some_and(|of| of != organisation);
    let mut numbers = GranteeNumbers::default();
    match grantee {
        Grantee::User(user) => {
            let member = MemberName { organisation: organisation.clone(), user: user.user.clone() };
            numbers.user = Some(find_member(connection, &member).await?.id);
        }
        Grantee::Group(name) if elsewhere => return Err(not_found("group", name)),
        Grantee::Group(name) => numbers.group = Some(find_group(connection, name).await?.id),
        // A user's token acts for the user: nothing can be granted to it.
        Grantee::Token(name) if elsewhere || grantee.organisation().is_none() => {
            return Err(not_found("token", name));
        }
        Grantee::Token(name) => numbers.token = Some(find_token(connection, name).await?.id),
        Grantee::TrustRelationship(name) if elsewhere => return Err(not_found("trust relationship", name)),
        Grantee::TrustRelationship(name) => {
            numbers.trust_relationship = Some(find_trust_relationship(connection, name).await?.id);
        }
    }
    Ok(numbers)
}

/// Finds a place in an organisation: the numbers of its project and its environment.
async fn find_place(
    connection: &mut Connection,
    organisation: &OrganisationName,
    place: &Place,
) -> Result<(Option<i64>, Option<i64>)> {
    if place.organisation() != organisation {
        return Err(not_found(place.kind(), place));
    }
    Ok(match place {
        Place::Organisation(_) => (None, None),
        Place::Project(name) => (Some(project_id(connection, name).await?), None),
        Place::Environment(name) => {
            let environment = find_environment(connection, name).await?.id;
            (Some(project_id(connection, &name.project).await?), Some(environment))
        }
    })
}

/// Adds a grant. The organisation must be held.
async fn insert_grant(connection: &mut Connection, limits: &Limits, grant: &Grant) -> Result<Grant> {
    let organisation = organisation_id(connection, &grant.name.organisation).await?;
    let grants: i64 = sqlx::query_scalar("SELECT count(*) FROM grants WHERE organisation_id = $1")
        .bind(organisation)
        .fetch_one(&mut *connection)
        .await
        .map_err(storage)?;
    check_limit("grants_per_organisation", limits.grants_per_organisation, grants)?;
    let grantee = find_grantee(connection, &grant.name.organisation, &grant.grantee).await?;
    let (project, environment) = find_place(connection, &grant.name.organisation, &grant.place).await?;
    let role = match &grant.role {
        Some(role) if role.organisation != grant.name.organisation => return Err(not_found("role", role)),
        Some(role) => Some(find_role(connection, role).await?.id),
        None => None,
    };
    let created = Grant { created_at: microseconds(grant.created_at), ..grant.clone() };
    sqlx::query(
        "INSERT INTO grants
            (organisation_id, key, user_id, group_id, token_id, trust_relationship_id, project_id, environment_id,
                role_id, permissions, tags, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(organisation)
    .bind(created.name.grant.as_str())
    .bind(grantee.user)
    .bind(grantee.group)
    .bind(grantee.token)
    .bind(grantee.trust_relationship)
    .bind(project)
    .bind(environment)
    .bind(role)
    .bind(Json(&created.permissions))
    .bind(Json(&created.tags))
    .bind(created.created_at)
    .execute(connection)
    .await
    .map_err(taken("grant", &created.name))?;
    Ok(created)
}

/// Makes whoever created a project or an environment its administrator; a user who is no member of the organisation is
/// not. The organisation must be held.
pub(super) async fn grant_to_creator(
    connection: &mut Connection,
    limits: &Limits,
    creator: &Grantee,
    place: Place,
    now: DateTime<Utc>,
) -> Result<Option<Grant>> {
    let organisation = place.organisation().clone();
    if matches!(creator, Grantee::User(_)) {
        match find_grantee(connection, &organisation, creator).await {
            Err(Error::NotFound { .. }) => return Ok(None),
            found => found?,
        };
    }
    let id = format!("creator-{}", hex::encode(rand::random::<[u8; 6]>()));
    let grant = Grant {
        name: GrantName { organisation, grant: stored(GrantId::parse(&id))? },
        grantee: creator.clone(),
        permissions: vec![place.administrator()],
        place,
        role: None,
        tags: Vec::new(),
        created_at: now,
    };
    insert_grant(connection, limits, &grant).await.map(Some)
}

impl AccountWrite<'_> {
    /// Grants something.
    pub(super) async fn create_grant(&mut self, grant: &Grant) -> Result<Grant> {
        let created = insert_grant(&mut self.tx, self.limits, grant).await?;
        self.record(&created.name, None, Some(&created))?;
        Ok(created)
    }
}
