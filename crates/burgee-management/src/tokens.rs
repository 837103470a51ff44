//! Tokens of the management API.

use burgee_core::access::Token;
use burgee_core::account::AccountMutation;
use burgee_core::change::WriteContext;
use burgee_core::name::{TokenId, TokenName, TokenOwner};
use burgee_core::store::FlagStore;
use burgee_core::{Result, Violation};
use burgee_proto::management::v1 as pb;

use crate::fields::{self, At as _};
use crate::page::Paging;
use crate::secret::Secret;
use crate::transaction::apply_account;

pub(crate) async fn create(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::CreateTokenRequest,
) -> Result<pb::CreateTokenResponse> {
    let owner = TokenOwner::parse(&request.parent).at("parent")?;
    let secret = match &owner {
        TokenOwner::User(_) => Secret::user_token()?,
        TokenOwner::Organisation(_) => Secret::organisation_token()?,
    };
    let token = new_token(context, owner, secret.hint(), request)?;
    let mutation = AccountMutation::CreateToken { token, secret: secret.stored() };
    let written = apply_account(store, context, mutation).await?;
    // The secret of an earlier, equal request was shown then.
    let shown = if written.done_now { secret.reveal() } else { String::new() };
    Ok(pb::CreateTokenResponse { token: written.token(), secret: shown })
}

fn new_token(
    context: &WriteContext,
    owner: TokenOwner,
    hint: String,
    request: pb::CreateTokenRequest,
) -> Result<Token, Violation> {
    let id = TokenId::parse(&request.token_id).at("token_id")?;
    let token = request.token.unwrap_or_default();
    Ok(Token {
        display_name: fields::display_name(token.display_name, id.as_str()).at("token")?,
        hint,
        created_at: context.now,
        expires_at: fields::expiry(token.expire_time, context.now).at("token")?,
        revoked_at: None,
        last_used_at: None,
        name: TokenName { owner, token: id },
    })
}

pub(crate) async fn list(
    store: &dyn FlagStore,
    request: pb::ListTokensRequest,
) -> Result<pb::ListTokensResponse> {
    let owner = TokenOwner::parse(&request.parent).at("parent")?;
    let paging = Paging::parse(request.page_size, &request.page_token, &["tokens", &request.parent])?;
    let found = store.tokens(&owner, &paging.query()).await?;
    let (tokens, next_page_token) = paging.cut(found, |item| item.name.token.to_string());
    Ok(pb::ListTokensResponse { tokens, next_page_token })
}

pub(crate) async fn revoke(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::RevokeTokenRequest,
) -> Result<pb::RevokeTokenResponse> {
    let name = TokenName::parse(&request.name).at("name")?;
    let written = apply_account(store, context, AccountMutation::RevokeToken { name }).await?;
    Ok(pb::RevokeTokenResponse { token: written.token() })
}

#[cfg(test)]
mod tests {
    use burgee_proto::v1 as shared;
    use chrono::DateTime;

    use super::*;

    fn token(id: &str, token: shared::Token) -> Result<Token, Violation> {
        let context = WriteContext {
            actor: "users/ada".into(),
            credential: "users/ada/tokens/laptop".into(),
            on_behalf_of: String::new(),
            address: String::new(),
            method: "UserService/CreateToken".into(),
            request_id: None,
            request_digest: [0; 32],
            reason: String::new(),
            validate_only: false,
            now: DateTime::UNIX_EPOCH,
        };
        let request =
            pb::CreateTokenRequest { token_id: id.into(), token: Some(token), ..Default::default() };
        new_token(&context, TokenOwner::parse("organisations/acme")?, "bgo_abcdefghijkl".into(), request)
    }

    #[test]
    fn a_new_token_was_never_used_or_revoked() {
        let forged = shared::Token {
            name: "users/eve/tokens/x".into(),
            hint: "bgu_".into(),
            revoke_time: Some(prost_types::Timestamp::default()),
            last_use_time: Some(prost_types::Timestamp::default()),
            ..Default::default()
        };
        let token = token("ci", forged).unwrap();
        assert_eq!(token.name.to_string(), "organisations/acme/tokens/ci");
        assert_eq!((token.display_name.as_str(), token.hint.as_str()), ("ci", "bgo_abcdefghijkl"));
        assert_eq!((token.revoked_at, token.last_used_at, token.expires_at), (None, None, None));
    }

    #[test]
    fn a_request_for_a_token_names_the_field_at_fault() {
        let check = |id: &str, wire: shared::Token, field: &str| {
            assert_eq!(token(id, wire).unwrap_err().field, field);
        };
        check("CI", shared::Token::default(), "token_id");
        check(
            "ci",
            shared::Token { display_name: "x".repeat(2_001), ..Default::default() },
            "token.display_name",
        );
        let past = Some(prost_types::Timestamp::default());
        check("ci", shared::Token { expire_time: past, ..Default::default() }, "token.expire_time");
    }
}
