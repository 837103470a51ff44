//! What somebody may do in an organisation. It is asked on every call, so it is one statement.

use burgee_core::Result;
use burgee_core::grant::{Grantee, Held, Rights};
use burgee_core::name::{GroupId, OrganisationName};
use burgee_core::permission::Permission;
use sqlx::types::Json;

use super::super::dialect::list;
use super::Backend;
use super::grants::place;
use super::members::parse_role;
use crate::error::{corrupt, storage, stored};

/// A query of rights: `who` has at most one row, `given` the numbers of grants. The organisation's key is `$1`, and the
/// grantee's `$2`.
macro_rules! rights {
    ($tables:expr, $administered:literal) => {
        concat!(
            "WITH ",
            $tables,
            " SELECT 'grant' AS kind, x.key, p.key AS project_key, e.key AS environment_key, x.permissions,
                r.permissions AS role_permissions, x.tags
            FROM given JOIN grants x ON x.id = given.id LEFT JOIN projects p ON p.id = x.project_id
            LEFT JOIN environments e ON e.id = x.environment_id LEFT JOIN roles r ON r.id = x.role_id
            UNION ALL SELECT 'role', who.role, NULL, NULL, NULL, NULL, NULL FROM who",
            $administered,
            " ORDER BY 1, 2"
        )
    };
}

const OF_USER: &str = rights!(
    concat!(
        "who AS (
            SELECT o.id AS organisation_id, m.user_id AS id, m.role FROM organisations o
            JOIN members m ON m.organisation_id = o.id JOIN users u ON u.id = m.user_id
            WHERE o.key = $1 AND u.key = $2
        ), their_groups AS (
            SELECT m.group_id AS id FROM who
            JOIN group_members m ON m.organisation_id = who.organisation_id AND m.user_id = who.id
            UNION
            SELECT g.id FROM who JOIN groups g ON g.organisation_id = who.organisation_id WHERE g.external_id IN ",
        texts!("$3"),
        "), given AS (
            SELECT x.id FROM who
            JOIN grants x ON x.organisation_id = who.organisation_id AND x.user_id = who.id
            UNION ALL
            SELECT x.id FROM their_groups JOIN grants x ON x.group_id = their_groups.id
        )"
    ),
    " UNION ALL SELECT 'group', g.key, NULL, NULL, NULL, NULL, NULL FROM who
    JOIN group_members m ON m.organisation_id = who.organisation_id AND m.user_id = who.id
    JOIN groups g ON g.id = m.group_id WHERE m.administrator"
);

const OF_GROUP: &str = rights!(
    "who AS (
        SELECT g.id, '' AS role FROM organisations o JOIN groups g ON g.organisation_id = o.id
        WHERE o.key = $1 AND g.key = $2
    ), given AS (SELECT x.id FROM who JOIN grants x ON x.group_id = who.id)",
    ""
);

const OF_TOKEN: &str = rights!(
    "who AS (
        SELECT t.id, 'member' AS role FROM organisations o JOIN tokens t ON t.organisation_id = o.id
        WHERE o.key = $1 AND t.key = $2 AND t.revoked_at IS NULL
    ), given AS (SELECT x.id FROM who JOIN grants x ON x.token_id = who.id)",
    ""
);

const OF_TRUST_RELATIONSHIP: &str = rights!(
    "who AS (
        SELECT s.id, 'member' AS role FROM organisations o
        JOIN trust_relationships s ON s.organisation_id = o.id WHERE o.key = $1 AND s.key = $2
    ), given AS (SELECT x.id FROM who JOIN grants x ON x.trust_relationship_id = who.id)",
    ""
);

/// A grant, the role, or a group that is administered.
#[derive(sqlx::FromRow)]
struct RightsRecord {
    kind: String,
    key: String,
    project_key: Option<String>,
    environment_key: Option<String>,
    permissions: Option<Json<Vec<Permission>>>,
    role_permissions: Option<Json<Vec<Permission>>>,
    tags: Option<Json<Vec<String>>>,
}

impl RightsRecord {
    fn add_to(self, rights: &mut Rights, organisation: &OrganisationName) -> Result<()> {
        match (self.kind.as_str(), self.key.as_str()) {
            ("grant", _) => {
                let mut permissions = self.permissions.map(|own| own.0).unwrap_or_default();
                permissions.extend(self.role_permissions.map(|of_role| of_role.0).unwrap_or_default());
                permissions.sort_unstable();
                permissions.dedup();
                rights.held.push(Held {
                    place: place(organisation, self.project_key.as_deref(), self.environment_key.as_deref())?,
                    permissions,
                    tags: self.tags.map(|tags| tags.0).unwrap_or_default(),
                });
            }
            // A group is not a member of anything.
            ("role", "") => {}
            ("role", role) => rights.role = Some(parse_role(role)?),
            ("group", group) => rights.administered_groups.push(stored(GroupId::parse(group))?),
            (kind, _) => return Err(corrupt(format!("a right is of the kind `{kind}`"))),
        }
        Ok(())
    }
}

impl Backend {
    pub(crate) async fn rights(
        &self,
        grantee: &Grantee,
        claimed_groups: &[String],
        organisation: &OrganisationName,
    ) -> Result<Rights> {
        let mut rights = Rights::default();
        let (query, key) = match grantee {
            Grantee::User(name) => (OF_USER, name.user.as_str()),
            _ if grantee.organisation() != Some(organisation) => return Ok(rights),
            Grantee::Group(name) => (OF_GROUP, name.group.as_str()),
            Grantee::Token(name) => (OF_TOKEN, name.token.as_str()),
            Grantee::TrustRelationship(name) => (OF_TRUST_RELATIONSHIP, name.trust_relationship.as_str()),
        };
        let mut query = sqlx::query_as(query).bind(organisation.organisation.as_str()).bind(key);
        if matches!(grantee, Grantee::User(_)) {
            query = query.bind(list(claimed_groups));
        }
        let records: Vec<RightsRecord> = query.fetch_all(&self.reads).await.map_err(storage)?;
        for record in records {
            record.add_to(&mut rights, organisation)?;
        }
        Ok(rights)
    }
}
