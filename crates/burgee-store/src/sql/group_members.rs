//! Members' places in groups.

use burgee_core::Result;
use burgee_core::name::{GroupId, GroupMemberName, GroupName, MemberName, UserId};
use burgee_core::organisation::GroupMember;
use burgee_core::store::Page;
use chrono::{DateTime, Utc};

use super::account_write::AccountWrite;
use super::groups::find_group;
use super::members::find_member;
use super::write::{Stored, not_found, taken};
use super::{Backend, Connection, rows};
use crate::error::{storage, stored};

#[derive(sqlx::FromRow)]
struct GroupMemberRecord {
    user_id: i64,
    key: String,
    administrator: bool,
    created_at: DateTime<Utc>,
}

impl GroupMemberRecord {
    /// The number is that of the user.
    fn into_stored(self, group: &GroupName) -> Result<Stored<GroupMember>> {
        let Self { user_id, key, administrator, created_at } = self;
        let name = GroupMemberName { group: group.clone(), user: stored(UserId::parse(&key))? };
        Ok(Stored { id: user_id, resource: GroupMember { name, administrator, created_at } })
    }
}

/// Finds a member of a group; the number is that of the user.
pub(super) async fn find_group_member(
    connection: &mut Connection,
    name: &GroupMemberName,
) -> Result<Stored<GroupMember>> {
    let group = find_group(connection, &name.group).await?.id;
    let record: Option<GroupMemberRecord> = sqlx::query_as(
        "SELECT m.user_id, u.key, m.administrator, m.created_at
        FROM group_members m JOIN users u ON u.id = m.user_id WHERE m.group_id = $1 AND u.key = $2",
    )
    .bind(group)
    .bind(name.user.as_str())
    .fetch_optional(connection)
    .await
    .map_err(storage)?;
    record.ok_or_else(|| not_found("group member", name))?.into_stored(&name.group)
}

/// Returns a member's places in all groups.
pub(super) async fn group_places(
    connection: &mut Connection,
    organisation: i64,
    member: &MemberName,
    user: i64,
) -> Result<Vec<GroupMember>> {
    let records: Vec<(String, bool, DateTime<Utc>)> = sqlx::query_as(
        "SELECT g.key, m.administrator, m.created_at FROM group_members m JOIN groups g ON g.id = m.group_id
        WHERE m.organisation_id = $1 AND m.user_id = $2 ORDER BY g.key",
    )
    .bind(organisation)
    .bind(user)
    .fetch_all(connection)
    .await
    .map_err(storage)?;
    let place = |(key, administrator, created_at): (String, bool, DateTime<Utc>)| {
        let group =
            GroupName { organisation: member.organisation.clone(), group: stored(GroupId::parse(&key))? };
        let name = GroupMemberName { group, user: member.user.clone() };
        Ok(GroupMember { name, administrator, created_at })
    };
    records.into_iter().map(place).collect()
}

impl Backend {
    pub(crate) async fn group_members(&self, group: &GroupName, page: &Page) -> Result<Vec<GroupMember>> {
        let mut tx = self.snapshot().await?;
        let id = find_group(&mut tx, group).await?.id;
        let records: Vec<GroupMemberRecord> = sqlx::query_as(
            "SELECT m.user_id, u.key, m.administrator, m.created_at
            FROM group_members m JOIN users u ON u.id = m.user_id
            WHERE m.group_id = $1 AND u.key > $2 ORDER BY u.key LIMIT $3",
        )
        .bind(id)
        .bind(page.after.as_deref().unwrap_or_default())
        .bind(rows(page.limit))
        .fetch_all(&mut *tx)
        .await
        .map_err(storage)?;
        records.into_iter().map(|record| Ok(record.into_stored(group)?.resource)).collect()
    }
}

impl AccountWrite<'_> {
    /// Puts a member into a group.
    pub(super) async fn add_group_member(
        &mut self,
        name: &GroupMemberName,
        administrator: bool,
    ) -> Result<GroupMember> {
        let group = find_group(&mut self.tx, &name.group).await?.id;
        let member = MemberName { organisation: name.group.organisation.clone(), user: name.user.clone() };
        let user = find_member(&mut self.tx, &member).await?.id;
        self.insert_group_member(name, group, user, administrator).await
    }

    /// Puts a new member into the default groups.
    pub(super) async fn join_default_groups(&mut self, member: &MemberName, user: i64) -> Result<()> {
        let groups: Vec<(i64, String)> = sqlx::query_as(
            "SELECT id, key FROM groups WHERE organisation_id = $1 AND is_default ORDER BY key",
        )
        .bind(self.organisation()?)
        .fetch_all(&mut *self.tx)
        .await
        .map_err(storage)?;
        for (group, key) in groups {
            self.join_group(member, user, group, &stored(GroupId::parse(&key))?).await?;
        }
        Ok(())
    }

    /// Puts a member into a group as somebody who does not administrate it.
    pub(super) async fn join_group(
        &mut self,
        member: &MemberName,
        user: i64,
        group: i64,
        id: &GroupId,
    ) -> Result<()> {
        let group_name = GroupName { organisation: member.organisation.clone(), group: id.clone() };
        let name = GroupMemberName { group: group_name, user: member.user.clone() };
        self.insert_group_member(&name, group, user, false).await?;
        Ok(())
    }

    async fn insert_group_member(
        &mut self,
        name: &GroupMemberName,
        group: i64,
        user: i64,
        administrator: bool,
    ) -> Result<GroupMember> {
        let created = GroupMember { name: name.clone(), administrator, created_at: self.now };
        sqlx::query(
            "INSERT INTO group_members (organisation_id, group_id, user_id, administrator, created_at)
            VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(self.organisation()?)
        .bind(group)
        .bind(user)
        .bind(administrator)
        .bind(created.created_at)
        .execute(&mut *self.tx)
        .await
        .map_err(taken("group member", name))?;
        self.record(name, None, Some(&created))?;
        Ok(created)
    }

    /// Changes a member of a group.
    pub(super) async fn update_group_member(
        &mut self,
        name: &GroupMemberName,
        administrator: bool,
    ) -> Result<GroupMember> {
        let group = find_group(&mut self.tx, &name.group).await?.id;
        let Stored { id: user, resource: before } = find_group_member(&mut self.tx, name).await?;
        sqlx::query("UPDATE group_members SET administrator = $3 WHERE group_id = $1 AND user_id = $2")
            .bind(group)
            .bind(user)
            .bind(administrator)
            .execute(&mut *self.tx)
            .await
            .map_err(storage)?;
        let after = GroupMember { administrator, ..before.clone() };
        self.record(name, Some(&before), Some(&after))?;
        Ok(after)
    }

    /// Takes a member out of a group.
    pub(super) async fn remove_group_member(&mut self, name: &GroupMemberName) -> Result<GroupMember> {
        let group = find_group(&mut self.tx, &name.group).await?.id;
        let Stored { id: user, resource } = find_group_member(&mut self.tx, name).await?;
        sqlx::query("DELETE FROM group_members WHERE group_id = $1 AND user_id = $2")
            .bind(group)
            .bind(user)
            .execute(&mut *self.tx)
            .await
            .map_err(storage)?;
        self.record(name, Some(&resource), None)?;
        Ok(resource)
    }
}
