//! Accounts.

use burgee_core::change::WriteContext;
use burgee_core::name::{TokenOwner, UserId, UserName};
use burgee_core::organisation::User;
use burgee_core::store::FlagStore;
use burgee_core::{Error, Result, Violation};
use burgee_proto::management::v1 as pb;

use crate::access::Caller;
use crate::fields::{self, At as _};
use crate::page::Paging;
use crate::transaction::log_write;

pub(crate) async fn current(store: &dyn FlagStore, caller: &Caller) -> Result<pb::GetCurrentUserResponse> {
    match &caller.owner {
        TokenOwner::User(name) => {
            Ok(pb::GetCurrentUserResponse { user: Some((&store.user(name).await?).into()) })
        }
        TokenOwner::Organisation(name) => Err(Error::NotFound { kind: "user", name: name.to_string() }),
    }
}

pub(crate) async fn create(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::CreateUserRequest,
) -> Result<pb::CreateUserResponse> {
    let user = new_user(context, request)?;
    let user = store.create_user(context, user).await?;
    log_write(context, &user.name);
    Ok(pb::CreateUserResponse { user: Some((&user).into()) })
}

fn new_user(context: &WriteContext, request: pb::CreateUserRequest) -> Result<User, Violation> {
    let id = UserId::parse(&request.user_id).at("user_id")?;
    let user = request.user.unwrap_or_default();
    Ok(User {
        email: fields::email(user.email).at("user")?,
        display_name: fields::display_name(user.display_name, id.as_str()).at("user")?,
        administrator: false,
        created_at: context.now,
        etag: String::new(),
        name: UserName { user: id },
    })
}

pub(crate) async fn get(store: &dyn FlagStore, request: pb::GetUserRequest) -> Result<pb::GetUserResponse> {
    let name = UserName::parse(&request.name).at("name")?;
    Ok(pb::GetUserResponse { user: Some((&store.user(&name).await?).into()) })
}

pub(crate) async fn list(
    store: &dyn FlagStore,
    request: pb::ListUsersRequest,
) -> Result<pb::ListUsersResponse> {
    let paging = Paging::parse(request.page_size, &request.page_token, &["users"])?;
    let found = store.users(&paging.query()).await?;
    let (users, next_page_token) = paging.cut(found, |item| item.name.user.to_string());
    Ok(pb::ListUsersResponse { users, next_page_token })
}
