//! Loads all of an environment, or what happened to it since a revision, in a number of statements that does not depend on its
//! size.

use std::collections::HashMap;

use burgee_core::Result;
use burgee_core::access::{KeyScope, SecretHash};
use burgee_core::engine::{EnvironmentRules, FeatureRules, SegmentOverrideRules, SegmentRules};
use burgee_core::feature::Variant;
use burgee_core::name::{
    EnvironmentId, EnvironmentName, KeyId, KeyName, OrganisationId, OrganisationName, ProjectId, ProjectName,
};
use burgee_core::rule::Rule;
use burgee_core::store::{
    ActiveKey, EnvironmentDelta, EnvironmentRef, LoadedEnvironment, ProjectRef, SegmentDelta,
};
use chrono::{DateTime, Utc};
use sqlx::types::Json;

use super::super::dialect::{BEGIN_READ, list};
use super::environment_reads::parse_identity_hashing;
use super::keys::parse_key_kind;
use super::state::StateRecord;
use super::{Backend, Connection};
use crate::error::{corrupt, storage, stored};

#[derive(sqlx::FromRow)]
struct EnvironmentRecord {
    project_id: i64,
    organisation_key: String,
    project_key: String,
    key: String,
    display_name: String,
    hide_disabled_flags: bool,
    allow_client_traits: bool,
    identity_hashing: String,
    hashing_key: String,
    settings_revision: i64,
    created_revision: i64,
    created_at: DateTime<Utc>,
    revision: i64,
    changed_at: Option<DateTime<Utc>>,
    persist_trait_data: bool,
    stop_serving_flags: bool,
    deleted_features: Json<Vec<(String, i64)>>,
}

#[derive(sqlx::FromRow)]
struct FlagRecord {
    feature_id: i64,
    feature_key: String,
    variants: Json<Vec<Variant>>,
    server_side_only: bool,
    tags: Json<Vec<String>>,
    feature_revision: i64,
    rules_revision: i64,
    #[sqlx(flatten)]
    state: StateRecord,
}

/// An override for a segment (with a priority) or for an identity.
#[derive(sqlx::FromRow)]
struct OverrideRecord {
    feature_id: i64,
    segment_id: Option<i64>,
    priority: Option<i64>,
    identifier: Option<String>,
    #[sqlx(flatten)]
    state: StateRecord,
}

#[derive(sqlx::FromRow)]
struct SegmentRecord {
    id: i64,
    key: String,
    display_name: String,
    hashing_key: String,
    metadata: Option<String>,
    /// Only of those that were touched.
    rules: Option<Json<Vec<Rule>>>,
    revision: i64,
}

#[derive(sqlx::FromRow)]
struct KeyRecord {
    key: String,
    kind: String,
    scopes: Json<Vec<KeyScope>>,
    tags: Json<Vec<String>>,
    hash: Vec<u8>,
    expires_at: Option<DateTime<Utc>>,
}

/// A segment's place among those that were loaded, and its revision.
type Places = HashMap<i64, (usize, i64)>;

/// Where everything begins: every revision is after it.
const BEGINNING: i64 = 0;

impl Backend {
    pub(crate) async fn load_environment(
        &self,
        environment: EnvironmentRef,
    ) -> Result<Option<LoadedEnvironment>> {
        let Some(EnvironmentDelta { mut now, segments }) =
            self.load_since(environment, BEGINNING, None).await?
        else {
            return Ok(None);
        };
        now.rules.segments = segments.into_iter().filter_map(|segment| segment.rules).collect();
        Ok(Some(now))
    }

    pub(crate) async fn load_environment_since(
        &self,
        environment: EnvironmentRef,
        revision: i64,
        changed_at: DateTime<Utc>,
    ) -> Result<Option<EnvironmentDelta>> {
        self.load_since(environment, revision, Some(changed_at)).await
    }

    /// Loads what was touched after a revision, if that was written at `changed_at`.
    async fn load_since(
        &self,
        environment: EnvironmentRef,
        revision: i64,
        changed_at: Option<DateTime<Utc>>,
    ) -> Result<Option<EnvironmentDelta>> {
        let mut tx = self.feed.begin_with(BEGIN_READ).await.map_err(storage)?;
        let Some(record) = environment_record(&mut tx, environment.0).await? else { return Ok(None) };
        if changed_at.is_some() && changed_at != written_at(&mut tx, record.project_id, revision).await? {
            return Ok(None);
        }
        let name = EnvironmentName {
            project: ProjectName {
                organisation: OrganisationName {
                    organisation: stored(OrganisationId::parse(&record.organisation_key))?,
                },
                project: stored(ProjectId::parse(&record.project_key))?,
            },
            environment: stored(EnvironmentId::parse(&record.key))?,
        };
        let keys = keys(&mut tx, environment.0, &name).await?;
        let (segments, places) = segments(&mut tx, record.project_id, revision).await?;
        let flags = flags(&mut tx, environment.0, revision).await?;
        let overrides = overrides(&mut tx, environment.0, &flags).await?;
        // Nothing was written, so nobody needs to wait for the end of the transaction.
        drop(tx);
        let mut deleted_features = record.deleted_features.0;
        deleted_features.sort();
        let now = LoadedEnvironment {
            environment,
            project: ProjectRef(record.project_id),
            name,
            revision: record.revision,
            changed_at: record.changed_at,
            settings_revision: record.settings_revision,
            created_revision: record.created_revision,
            created_at: record.created_at,
            hide_disabled_flags: record.hide_disabled_flags,
            allow_client_traits: record.allow_client_traits,
            identity_hashing: parse_identity_hashing(&record.identity_hashing)?,
            persist_trait_data: record.persist_trait_data,
            stop_serving_flags: record.stop_serving_flags,
            rules: EnvironmentRules {
                hashing_key: record.hashing_key,
                name: record.display_name,
                features: features(flags, overrides, &places),
                segments: Vec::new(),
            },
            keys,
            deleted_features,
        };
        Ok(Some(EnvironmentDelta { now, segments }))
    }
}

async fn environment_record(
    connection: &mut Connection,
    environment: i64,
) -> Result<Option<EnvironmentRecord>> {
    sqlx::query_as(concat!(
        "SELECT e.project_id, o.key AS organisation_key, p.key AS project_key, e.key, e.display_name,
            e.hide_disabled_flags, e.allow_client_traits, e.identity_hashing, e.hashing_key, e.settings_revision,
            e.created_revision, e.created_at, p.revision,
            (SELECT c.created_at FROM changes c WHERE c.project_id = p.id AND c.revision = p.revision) AS changed_at,
            o.persist_trait_data, o.stop_serving_flags,
            (SELECT ",
        pairs!("t.key", "t.revision"),
        " FROM feature_tombstones t WHERE t.project_id = e.project_id) AS deleted_features
        FROM environments e JOIN projects p ON p.id = e.project_id JOIN organisations o ON o.id = p.organisation_id
        WHERE e.id = $1",
    ))
    .bind(environment)
    .fetch_optional(connection)
    .await
    .map_err(storage)
}

/// Returns when a revision was written, if the log still has it.
async fn written_at(
    connection: &mut Connection,
    project: i64,
    revision: i64,
) -> Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar("SELECT created_at FROM changes WHERE project_id = $1 AND revision = $2")
        .bind(project)
        .bind(revision)
        .fetch_optional(connection)
        .await
        .map_err(storage)
}

/// Returns the secrets that may be presented: of keys that are not revoked, the current one and former ones.
async fn keys(
    connection: &mut Connection,
    environment: i64,
    name: &EnvironmentName,
) -> Result<Vec<ActiveKey>> {
    let records: Vec<KeyRecord> = sqlx::query_as(
        "SELECT key, kind, hash, scopes, tags, expires_at FROM environment_keys
        WHERE environment_id = $1 AND revoked_at IS NULL
        UNION ALL
        SELECT k.key, k.kind, s.hash, k.scopes, k.tags, s.expires_at
        FROM environment_keys k JOIN environment_key_secrets s ON s.key_id = k.id
        WHERE k.environment_id = $1 AND k.revoked_at IS NULL
        ORDER BY 1, 3",
    )
    .bind(environment)
    .fetch_all(connection)
    .await
    .map_err(storage)?;
    let key = |record: KeyRecord| {
        let KeyRecord { key, kind, scopes, tags, hash, expires_at } = record;
        Ok(ActiveKey {
            hash: SecretHash::from_bytes(&hash)
                .ok_or_else(|| corrupt("a stored hash is too short".to_owned()))?,
            name: KeyName { environment: name.clone(), key: stored(KeyId::parse(&key))? },
            kind: parse_key_kind(&kind)?,
            scopes: scopes.0,
            tags: tags.0,
            expires_at,
        })
    };
    records.into_iter().map(key).collect()
}

async fn segments(
    connection: &mut Connection,
    project: i64,
    since: i64,
) -> Result<(Vec<SegmentDelta>, Places)> {
    // Numbers are given in the order of creation.
    let records: Vec<SegmentRecord> = sqlx::query_as(
        "SELECT id, key, display_name, hashing_key, metadata, CASE WHEN revision > $2 THEN rules END AS rules, revision
        FROM segments WHERE project_id = $1 ORDER BY id",
    )
    .bind(project)
    .bind(since)
    .fetch_all(connection)
    .await
    .map_err(storage)?;
    let (mut segments, mut places) = (Vec::with_capacity(records.len()), Places::new());
    for (place, record) in records.into_iter().enumerate() {
        let SegmentRecord { id, key, display_name, hashing_key, metadata, rules, revision } = record;
        places.insert(id, (place, revision));
        let rules = rules.map(|Json(rules)| SegmentRules {
            id: key.clone(),
            name: display_name,
            hashing_key,
            metadata,
            rules,
        });
        segments.push(SegmentDelta { id: key, revision, rules });
    }
    Ok((segments, places))
}

async fn flags(connection: &mut Connection, environment: i64, since: i64) -> Result<Vec<FlagRecord>> {
    sqlx::query_as(
        "SELECT g.feature_id, f.key AS feature_key, f.variants, f.server_side_only, f.tags,
            f.revision AS feature_revision, g.rules_revision, g.enabled, g.value, g.weights, g.hashing_key, g.metadata
        FROM flags g JOIN features f ON f.id = g.feature_id
        WHERE g.environment_id = $1 AND (f.revision > $2 OR g.rules_revision > $2) ORDER BY f.key",
    )
    .bind(environment)
    .bind(since)
    .fetch_all(connection)
    .await
    .map_err(storage)
}

async fn overrides(
    connection: &mut Connection,
    environment: i64,
    flags: &[FlagRecord],
) -> Result<HashMap<i64, Vec<OverrideRecord>>> {
    let features: Vec<i64> = flags.iter().map(|flag| flag.feature_id).collect();
    let records: Vec<OverrideRecord> = sqlx::query_as(concat!(
        "SELECT feature_id, segment_id, priority, NULL AS identifier, enabled, value, weights, hashing_key, metadata
        FROM segment_overrides WHERE environment_id = $1 AND feature_id IN ",
        integers!("$2"),
        " UNION ALL
        SELECT feature_id, NULL, NULL, identifier, enabled, value, weights, hashing_key, metadata
        FROM identity_overrides WHERE environment_id = $1 AND feature_id IN ",
        integers!("$2"),
        " ORDER BY 1, 3, 4",
    ))
    .bind(environment)
    .bind(list(features))
    .fetch_all(connection)
    .await
    .map_err(storage)?;
    let mut overrides: HashMap<i64, Vec<OverrideRecord>> = HashMap::new();
    for record in records {
        overrides.entry(record.feature_id).or_default().push(record);
    }
    Ok(overrides)
}

fn features(
    flags: Vec<FlagRecord>,
    mut overrides: HashMap<i64, Vec<OverrideRecord>>,
    places: &Places,
) -> Vec<FeatureRules> {
    let rules = |flag: FlagRecord| {
        let variants = flag.variants.0;
        let mut rules = FeatureRules {
            key: flag.feature_key,
            revision: flag.feature_revision.max(flag.rules_revision),
            server_side_only: flag.server_side_only,
            tags: flag.tags.0,
            state: flag.state.into_rules(&variants),
            segment_overrides: Vec::new(),
            identity_overrides: HashMap::new(),
        };
        for record in overrides.remove(&flag.feature_id).unwrap_or_default() {
            let OverrideRecord { segment_id, priority, identifier, state, .. } = record;
            let state = state.into_rules(&variants);
            if let Some((segment, revision)) = segment_id.and_then(|id| places.get(&id)) {
                rules.revision = rules.revision.max(*revision);
                let priority = priority.unwrap_or_default();
                rules.segment_overrides.push(SegmentOverrideRules { segment: *segment, priority, state });
            } else if let Some(identifier) = identifier {
                rules.identity_overrides.insert(identifier, state);
            }
        }
        rules
    };
    flags.into_iter().map(rules).collect()
}
