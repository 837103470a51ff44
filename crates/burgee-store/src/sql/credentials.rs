//! What may be presented: tokens, and what trust relationships gave.

use std::collections::BTreeMap;

use burgee_core::Result;
use burgee_core::access::{ExchangedToken, SALT_BYTES, StoredCredential, StoredSecret, TokenRef};
use burgee_core::grant::Principal;
use burgee_core::name::{
    OrganisationId, OrganisationName, TokenId, TokenName, TokenOwner, TrustRelationshipId,
    TrustRelationshipName, UserId, UserName,
};
use chrono::{DateTime, Utc};

use super::Backend;
use super::organisations::check_etag;
use super::trust::find_trust_relationship;
use super::write::{check_limit, microseconds, taken};
use crate::error::{corrupt, storage, stored};
use crate::retry::retrying;

/// Expired tokens that one exchange removes.
const REMOVED_AT_ONCE: i64 = 100;

/// A secret as it is stored.
#[derive(sqlx::FromRow)]
pub(super) struct SecretRecord {
    lookup: String,
    salt: Option<Vec<u8>>,
    hash: Vec<u8>,
}

impl SecretRecord {
    /// Returns the secret.
    pub(super) fn into_secret(self) -> Result<StoredSecret> {
        let wrong = || corrupt("a stored secret has the wrong length".to_owned());
        let salt: Option<[u8; SALT_BYTES]> =
            self.salt.map(TryInto::try_into).transpose().map_err(|_| wrong())?;
        let hash = self.hash.try_into().map_err(|_| wrong())?;
        Ok(StoredSecret { lookup: self.lookup, salt, hash })
    }
}

#[derive(sqlx::FromRow)]
struct TokenRecord {
    id: i64,
    key: String,
    user_key: Option<String>,
    organisation_key: Option<String>,
    administrator: Option<bool>,
    expires_at: Option<DateTime<Utc>>,
    #[sqlx(flatten)]
    secret: SecretRecord,
}

impl TokenRecord {
    fn into_credential(self) -> Result<StoredCredential> {
        let token = stored(TokenId::parse(&self.key))?;
        let (name, principal) = match (self.user_key, self.organisation_key) {
            (Some(key), _) => {
                let user = UserName { user: stored(UserId::parse(&key))? };
                (TokenName { owner: TokenOwner::User(user.clone()), token }, Principal::User(user))
            }
            (None, Some(key)) => {
                let organisation = OrganisationName { organisation: stored(OrganisationId::parse(&key))? };
                let name = TokenName { owner: TokenOwner::Organisation(organisation), token };
                (name.clone(), Principal::Token(name))
            }
            (None, None) => return Err(corrupt("a stored token has no owner".to_owned())),
        };
        Ok(StoredCredential {
            secret: self.secret.into_secret()?,
            principal,
            administrator: self.administrator.unwrap_or(false),
            name: name.to_string(),
            on_behalf_of: String::new(),
            expires_at: self.expires_at,
            token: Some(TokenRef(self.id)),
        })
    }
}

#[derive(sqlx::FromRow)]
struct ExchangedRecord {
    organisation_key: String,
    trust_relationship_key: String,
    subject: String,
    expires_at: DateTime<Utc>,
    #[sqlx(flatten)]
    secret: SecretRecord,
}

impl ExchangedRecord {
    fn into_credential(self) -> Result<StoredCredential> {
        let organisation =
            OrganisationName { organisation: stored(OrganisationId::parse(&self.organisation_key))? };
        let trust_relationship = stored(TrustRelationshipId::parse(&self.trust_relationship_key))?;
        let name = TrustRelationshipName { organisation, trust_relationship };
        Ok(StoredCredential {
            secret: self.secret.into_secret()?,
            name: name.to_string(),
            principal: Principal::TrustRelationship(name),
            administrator: false,
            on_behalf_of: self.subject,
            expires_at: Some(self.expires_at),
            token: None,
        })
    }
}

impl Backend {
    pub(crate) async fn credential(&self, lookup: &str) -> Result<Option<StoredCredential>> {
        let mut connection = self.reads.acquire().await.map_err(storage)?;
        let token: Option<TokenRecord> = sqlx::query_as(
            "SELECT t.id, t.key, u.key AS user_key, o.key AS organisation_key, u.administrator, t.expires_at, t.lookup,
                t.salt, t.hash
            FROM tokens t LEFT JOIN users u ON u.id = t.user_id LEFT JOIN organisations o ON o.id = t.organisation_id
            WHERE t.lookup = $1 AND t.revoked_at IS NULL",
        )
        .bind(lookup)
        .fetch_optional(&mut *connection)
        .await
        .map_err(storage)?;
        if let Some(token) = token {
            return token.into_credential().map(Some);
        }
        let exchanged: Option<ExchangedRecord> = sqlx::query_as(
            "SELECT o.key AS organisation_key, s.key AS trust_relationship_key, x.subject, x.expires_at, x.lookup,
                x.salt, x.hash
            FROM exchanged_tokens x JOIN trust_relationships s ON s.id = x.trust_relationship_id
            JOIN organisations o ON o.id = s.organisation_id WHERE x.lookup = $1",
        )
        .bind(lookup)
        .fetch_optional(&mut *connection)
        .await
        .map_err(storage)?;
        exchanged.map(ExchangedRecord::into_credential).transpose()
    }

    pub(crate) async fn exchange(
        &self,
        name: &TrustRelationshipName,
        etag: &str,
        token: ExchangedToken,
    ) -> Result<()> {
        let token = &token;
        retrying(|| async move {
            let mut tx = self.begin().await?;
            let id = find_trust_relationship(&mut tx, name).await?.id;
            // Others wait who exchange at the same time, so that they count what is given here.
            sqlx::query(concat!("SELECT id FROM trust_relationships WHERE id = $1", for_update!()))
                .bind(id)
                .fetch_optional(&mut *tx)
                .await
                .map_err(storage)?;
            // What was shown was compared with what the relationship asked for then.
            let current = find_trust_relationship(&mut tx, name).await?.resource.etag;
            check_etag(name, Some(etag), &current)?;
            let now = microseconds(token.created_at);
            sqlx::query(
                "DELETE FROM exchanged_tokens WHERE lookup IN (
                    SELECT lookup FROM exchanged_tokens WHERE trust_relationship_id = $1 AND expires_at <= $2
                    ORDER BY expires_at LIMIT $3
                )",
            )
            .bind(id)
            .bind(now)
            .bind(REMOVED_AT_ONCE)
            .execute(&mut *tx)
            .await
            .map_err(storage)?;
            let accepted: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM exchanged_tokens WHERE trust_relationship_id = $1 AND expires_at > $2",
            )
            .bind(id)
            .bind(now)
            .fetch_one(&mut *tx)
            .await
            .map_err(storage)?;
            let maximum = self.limits.tokens_per_trust_relationship;
            check_limit("tokens_per_trust_relationship", maximum, accepted)?;
            sqlx::query(
                "INSERT INTO exchanged_tokens
                    (lookup, trust_relationship_id, salt, hash, subject, created_at, expires_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7)",
            )
            .bind(&token.secret.lookup)
            .bind(id)
            .bind(token.secret.salt.as_ref().map(|salt| &salt[..]))
            .bind(&token.secret.hash[..])
            .bind(&token.subject)
            .bind(now)
            .bind(microseconds(token.expires_at))
            .execute(&mut *tx)
            .await
            .map_err(taken("exchanged token", &token.secret.lookup))?;
            tx.commit().await.map_err(storage)
        })
        .await
    }

    pub(crate) async fn note_uses(&self, uses: &[(TokenRef, DateTime<Utc>)]) -> Result<()> {
        // In the order of numbers, which everybody keeps, so that no two wait for each other.
        let mut newest: BTreeMap<TokenRef, DateTime<Utc>> = BTreeMap::new();
        for (token, at) in uses {
            newest.entry(*token).and_modify(|known| *known = (*known).max(*at)).or_insert(*at);
        }
        if newest.is_empty() {
            return Ok(());
        }
        let newest = &newest;
        retrying(|| async move {
            let mut tx = self.begin().await?;
            for (token, at) in newest {
                sqlx::query(
                    "UPDATE tokens SET last_used_at = $2
                    WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)",
                )
                .bind(token.0)
                .bind(microseconds(*at))
                .execute(&mut *tx)
                .await
                .map_err(storage)?;
            }
            tx.commit().await.map_err(storage)
        })
        .await
    }
}
