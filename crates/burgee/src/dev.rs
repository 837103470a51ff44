//! What `burgee dev` makes on its first start, and what it says.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use burgee_core::access::{EnvironmentKey, KeyKind, KeyScope, Token};
use burgee_core::account::AccountMutation;
use burgee_core::change::{Mutation, WriteContext};
use burgee_core::name::{
    EnvironmentId, EnvironmentName, KeyId, KeyName, OrganisationId, OrganisationName, ProjectId, ProjectName,
    TokenId, TokenName, TokenOwner, UserId, UserName,
};
use burgee_core::organisation::Organisation;
use burgee_core::project::{Environment, IdentityHashing, Project};
use burgee_core::store::FlagStore;
use burgee_core::{Error, Result};
use burgee_management::Secret;
use chrono::{DateTime, Utc};
use uuid::Uuid;

const ORGANISATION: &str = "acme";
const PROJECT: &str = "shop";
const ENVIRONMENTS: [(&str, &str); 2] = [("development", "Development"), ("production", "Production")];

/// The secrets that were just made; nobody can read them from the database again.
pub struct Credentials {
    token: String,
    server_side: String,
    client_side: String,
}

/// Makes what a first start needs, or new credentials if asked to; `None` means that all was there.
///
/// # Errors
/// The database failed.
pub async fn prepare(store: &dyn FlagStore, new_credentials: bool) -> anyhow::Result<Option<Credentials>> {
    let now = Utc::now();
    let first = burgee_management::bootstrap(store, now).await.context("could not make the administrator")?;
    let project = project_name().context("a built-in name is wrong")?;
    // A first start that was cut off is made up for by the next.
    let is_whole = !make_project(store, &project, now).await.context("could not make the project")?;
    if first.is_none() && is_whole && !new_credentials {
        return Ok(None);
    }
    let suffix = now.timestamp_micros().to_string();
    let token = match first {
        Some(token) => token,
        None => make_token(store, &suffix, now).await.context("could not make a token")?,
    };
    let (server_side, client_side) =
        make_keys(store, &project, &suffix, now).await.context("could not make keys")?;
    Ok(Some(Credentials { token, server_side, client_side }))
}

fn project_name() -> Result<ProjectName> {
    let organisation = OrganisationName { organisation: OrganisationId::parse(ORGANISATION)? };
    Ok(ProjectName { organisation, project: ProjectId::parse(PROJECT)? })
}

fn context(now: DateTime<Utc>) -> WriteContext {
    WriteContext {
        actor: "system".to_owned(),
        credential: String::new(),
        on_behalf_of: String::new(),
        address: String::new(),
        method: "dev".to_owned(),
        request_id: None,
        request_digest: [0; 32],
        reason: "made by `burgee dev`".to_owned(),
        validate_only: false,
        now,
    }
}

/// Makes what is missing of the organisation, the project and its environments; says whether anything was.
async fn make_project(store: &dyn FlagStore, project: &ProjectName, now: DateTime<Utc>) -> Result<bool> {
    let organisation = Organisation {
        name: project.organisation.clone(),
        display_name: "Acme".to_owned(),
        persist_trait_data: true,
        stop_serving_flags: false,
        created_at: now,
        etag: String::new(),
    };
    let mutation = AccountMutation::CreateOrganisation { organisation };
    let mut made = is_new(store.apply_account(&context(now), mutation).await)?;
    let shop = Project {
        name: project.clone(),
        display_name: "Shop".to_owned(),
        prevent_flag_defaults: false,
        revision: 0,
        created_at: now,
        etag: String::new(),
    };
    made |= is_new(store.create_project(&context(now), shop, None).await)?;
    for (id, display_name) in ENVIRONMENTS {
        let name = EnvironmentName { project: project.clone(), environment: EnvironmentId::parse(id)? };
        let environment = Environment {
            name,
            display_name: display_name.to_owned(),
            description: String::new(),
            hide_disabled_flags: false,
            allow_client_traits: true,
            identity_hashing: IdentityHashing::Composite,
            hashing_key: Uuid::now_v7().to_string(),
            created_at: now,
            etag: String::new(),
        };
        let mutation = Mutation::CreateEnvironment { environment, creator: None };
        made |= is_new(store.apply(&context(now), project, vec![mutation]).await)?;
    }
    Ok(made)
}

/// Tells what was made from what was there before.
fn is_new<T>(made: Result<T>) -> Result<bool> {
    match made {
        Ok(_) => Ok(true),
        Err(Error::AlreadyExists { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes a server-side and a client-side key in each environment; returns those of the first.
async fn make_keys(
    store: &dyn FlagStore,
    project: &ProjectName,
    suffix: &str,
    now: DateTime<Utc>,
) -> Result<(String, String)> {
    let mut mutations = Vec::new();
    let mut secrets = Vec::new();
    for (id, _) in ENVIRONMENTS {
        let environment =
            EnvironmentName { project: project.clone(), environment: EnvironmentId::parse(id)? };
        for (kind, word) in [(KeyKind::ServerSide, "server"), (KeyKind::ClientSide, "client")] {
            let secret = Secret::key(kind)?;
            let key = KeyId::parse(&format!("{word}-{suffix}"))?;
            let key = EnvironmentKey {
                name: KeyName { environment: environment.clone(), key },
                display_name: format!("{word}-side, made by `burgee dev`"),
                kind,
                scopes: KeyScope::of_kind(kind),
                tags: Vec::new(),
                hint: secret.hint(),
                created_at: now,
                expires_at: None,
                revoked_at: None,
                etag: String::new(),
            };
            mutations.push(Mutation::CreateKey { key, hash: secret.hash() });
            secrets.push(secret.reveal());
        }
    }
    store.apply(&context(now), project, mutations).await?;
    let mut secrets = secrets.into_iter();
    Ok((secrets.next().unwrap_or_default(), secrets.next().unwrap_or_default()))
}

pub(crate) async fn make_token(store: &dyn FlagStore, suffix: &str, now: DateTime<Utc>) -> Result<String> {
    let secret = Secret::user_token()?;
    let owner = TokenOwner::User(UserName { user: UserId::parse("administrator")? });
    let token = Token {
        name: TokenName { owner, token: TokenId::parse(&format!("made-{suffix}"))? },
        display_name: "made on the command line".to_owned(),
        hint: secret.hint(),
        created_at: now,
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    };
    let mutation = AccountMutation::CreateToken { token, secret: secret.stored() };
    store.apply_account(&context(now), mutation).await?;
    Ok(secret.reveal())
}

/// Returns what to print: where the server listens, and what to paste to try it.
#[must_use]
pub fn welcome(address: SocketAddr, data_dir: &Path, credentials: Option<&Credentials>) -> String {
    let folder = data_dir.display();
    let Some(Credentials { token, server_side, client_side }) = credentials else {
        return format!(
            "Burgee listens on {address}, with the data in {folder}.\n\
             The secrets were shown at the first start; `burgee dev --new-credentials` makes new ones."
        );
    };
    let project = format!("organisations/{ORGANISATION}/projects/{PROJECT}");
    let flag = format!("{project}/environments/{}/flags/new-checkout", ENVIRONMENTS[0].0);
    format!(
        r#"Burgee listens on {address}, with the data in {folder}.

These secrets are shown only now. Paste them into another terminal:

export BURGEE_SERVER=http://{address}
export BURGEE_TOKEN={token}
export BURGEE_ENVIRONMENT_KEY={server_side}
export BURGEE_CLIENT_SIDE_KEY={client_side}

Then try it:

# What is there
grpcurl -plaintext {address} list
grpcurl -plaintext {address} describe burgee.evaluation.v1.EvaluationService

# Create a feature; every environment gets a flag for it
grpcurl -plaintext -H "authorization: Bearer $BURGEE_TOKEN" -d '{{"parent": "{project}", "feature_id": "new-checkout", "feature": {{"value_type": "VALUE_TYPE_STRING", "initial_value": {{"string_value": "classic"}}}}}}' {address} burgee.management.v1.FeatureService/CreateFeature

# Evaluate it
grpcurl -plaintext -H "x-environment-key: $BURGEE_ENVIRONMENT_KEY" -d '{{"identity": {{"identifier": "ada"}}}}' {address} burgee.evaluation.v1.EvaluationService/EvaluateFlags

# Switch it on, while `burgee watch` (or WatchFlags by grpcurl) runs in a third terminal
grpcurl -plaintext -H "authorization: Bearer $BURGEE_TOKEN" -d '{{"flag": {{"name": "{flag}", "state": {{"enabled": true}}}}}}' {address} burgee.management.v1.FlagService/UpdateFlag
"#
    )
}
