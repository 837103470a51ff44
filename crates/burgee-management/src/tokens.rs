//! Tokens of the management API.

use burgee_core::access::Token;
use burgee_core::change::WriteContext;
use burgee_core::name::{TokenId, TokenName, TokenOwner};
use burgee_core::store::FlagStore;
use burgee_core::{Result, Violation};
use burgee_proto::management::v1 as pb;

use crate::access::Caller;
use crate::fields::{self, At as _};
use crate::page::Paging;
use crate::secret::Secret;
use crate::transaction::log_write;

pub(crate) async fn create(
    store: &dyn FlagStore,
    caller: &Caller,
    context: &WriteContext,
    request: pb::CreateTokenRequest,
) -> Result<pb::CreateTokenResponse> {
    let secret = Secret::token()?;
    let token = new_token(context, &secret, request)?;
    caller.check_tokens_of(&token.name.owner)?;
    let (token, replayed) = store.create_token(context, token, secret.hash()).await?;
    if replayed || context.validate_only {
        return Ok(pb::CreateTokenResponse { token: Some((&token).into()), secret: String::new() });
    }
    log_write(context, &token.name);
    Ok(pb::CreateTokenResponse { token: Some((&token).into()), secret: secret.reveal() })
}

fn new_token(
    context: &WriteContext,
    secret: &Secret,
    request: pb::CreateTokenRequest,
) -> Result<Token, Violation> {
    let owner = TokenOwner::parse(&request.parent).at("parent")?;
    let id = TokenId::parse(&request.token_id).at("token_id")?;
    let token = request.token.unwrap_or_default();
    Ok(Token {
        display_name: fields::display_name(token.display_name, id.as_str()).at("token")?,
        hint: secret.hint(),
        created_at: context.now,
        expires_at: fields::expiry(token.expire_time, context.now).at("token")?,
        revoked_at: None,
        name: TokenName { owner, token: id },
    })
}

pub(crate) async fn list(
    store: &dyn FlagStore,
    caller: &Caller,
    request: pb::ListTokensRequest,
) -> Result<pb::ListTokensResponse> {
    let owner = TokenOwner::parse(&request.parent).at("parent")?;
    caller.check_tokens_of(&owner)?;
    let paging = Paging::parse(request.page_size, &request.page_token, &["tokens", &request.parent])?;
    let found = store.tokens(&owner, &paging.query()).await?;
    let (tokens, next_page_token) = paging.cut(found, |item| item.name.token.to_string());
    Ok(pb::ListTokensResponse { tokens, next_page_token })
}

pub(crate) async fn revoke(
    store: &dyn FlagStore,
    caller: &Caller,
    context: &WriteContext,
    request: pb::RevokeTokenRequest,
) -> Result<pb::RevokeTokenResponse> {
    let name = TokenName::parse(&request.name).at("name")?;
    caller.check_tokens_of(&name.owner)?;
    let token = store.revoke_token(context, &name).await?;
    log_write(context, &name);
    Ok(pb::RevokeTokenResponse { token: Some((&token).into()) })
}
