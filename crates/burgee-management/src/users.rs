//! Accounts.

use burgee_core::account::AccountMutation;
use burgee_core::change::WriteContext;
use burgee_core::grant::Principal;
use burgee_core::name::{UserId, UserName};
use burgee_core::organisation::{User, UserPatch};
use burgee_core::store::FlagStore;
use burgee_core::{Error, Result, Violation};
use burgee_proto::management::v1 as pb;
use burgee_proto::mask::Mask;

use crate::fields::{self, At as _, given, required};
use crate::gate::Caller;
use crate::page::Paging;
use crate::transaction::apply_account;

/// The fields that can change, and whether they are set.
fn changeable(wire: &burgee_proto::v1::User) -> [(&'static str, bool); 3] {
    [
        ("display_name", !wire.display_name.is_empty()),
        ("email", !wire.email.is_empty()),
        ("administrator", wire.administrator.is_some()),
    ]
}

pub(crate) async fn current(store: &dyn FlagStore, caller: &Caller) -> Result<pb::GetCurrentUserResponse> {
    match &caller.principal {
        Principal::User(name) => {
            Ok(pb::GetCurrentUserResponse { user: Some((&store.user(name).await?).into()) })
        }
        other @ (Principal::Token(_) | Principal::TrustRelationship(_)) => {
            Err(Error::NotFound { kind: "user", name: other.to_string() })
        }
    }
}

pub(crate) async fn create(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::CreateUserRequest,
) -> Result<pb::CreateUserResponse> {
    let user = new_user(context, request)?;
    let written = apply_account(store, context, AccountMutation::CreateUser { user }).await?;
    Ok(pb::CreateUserResponse { user: written.user() })
}

fn new_user(context: &WriteContext, request: pb::CreateUserRequest) -> Result<User, Violation> {
    let id = UserId::parse(&request.user_id).at("user_id")?;
    let user = request.user.unwrap_or_default();
    Ok(User {
        email: fields::email(user.email).at("user")?,
        display_name: fields::display_name(user.display_name, id.as_str()).at("user")?,
        // Whoever creates a user here administers the server, and answers for the address.
        email_verified: true,
        administrator: user.administrator.unwrap_or_default(),
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

pub(crate) async fn update(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::UpdateUserRequest,
) -> Result<pb::UpdateUserResponse> {
    let written = apply_account(store, context, plan_update(request)?).await?;
    Ok(pb::UpdateUserResponse { user: written.user() })
}

fn plan_update(request: pb::UpdateUserRequest) -> Result<AccountMutation> {
    let user = required(request.user, "user")?;
    let name = UserName::parse(&user.name).at("user.name")?;
    let mask = Mask::parse(request.update_mask, &changeable(&user))?;
    let display_name = mask
        .select("display_name", user.display_name)
        .map(|text| fields::display_name(text, name.user.as_str()).at("user"));
    let email = mask.select("email", user.email).map(|address| fields::email(address).at("user"));
    let patch = UserPatch {
        display_name: display_name.transpose()?,
        email: email.transpose()?,
        administrator: mask.select("administrator", user.administrator.unwrap_or_default()),
    };
    Ok(AccountMutation::UpdateUser { name, patch, etag: given(user.etag) })
}

pub(crate) async fn delete(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::DeleteUserRequest,
) -> Result<pb::DeleteUserResponse> {
    let name = UserName::parse(&request.name).at("name")?;
    apply_account(store, context, AccountMutation::DeleteUser { name, etag: given(request.etag) }).await?;
    Ok(pb::DeleteUserResponse {})
}

#[cfg(test)]
mod tests {
    use burgee_proto::v1 as shared;

    use super::*;
    use crate::access::{Guarded as _, Needs};

    fn update(paths: &[&str]) -> pb::UpdateUserRequest {
        pb::UpdateUserRequest {
            user: Some(shared::User {
                name: "users/ada".into(),
                email: "ada@example.com".into(),
                display_name: "Ada".into(),
                administrator: Some(true),
                etag: "7".into(),
                ..Default::default()
            }),
            update_mask: Some(prost_types::FieldMask {
                paths: paths.iter().map(ToString::to_string).collect(),
            }),
            ..Default::default()
        }
    }

    #[test]
    fn only_administrators_change_more_of_a_user_than_the_display_name() {
        let name = UserName::parse("users/ada").unwrap();
        let patch = UserPatch { display_name: Some("Ada".into()), ..UserPatch::default() };
        let mutation = AccountMutation::UpdateUser { name, patch, etag: Some("7".into()) };
        assert_eq!(plan_update(update(&["display_name"])).unwrap(), mutation);
        let own = Needs::Own(UserName::parse("users/ada").unwrap());
        assert_eq!(update(&["display_name"]).needs(), Ok(own));
        for paths in [&["email"][..], &["administrator"], &["display_name", "email"], &["*"], &[]] {
            let needs = update(paths).needs().unwrap();
            assert!(
                matches!(&needs, Needs::All(all) if all.contains(&Needs::ServerAdministrator)),
                "{paths:?}"
            );
        }
    }

    #[test]
    fn an_update_names_the_field_at_fault() {
        let check = |change: fn(&mut shared::User), field: &str| {
            let mut request = update(&["*"]);
            change(request.user.as_mut().unwrap());
            match plan_update(request) {
                Err(Error::Invalid(violations)) => assert_eq!(violations[0].field, field),
                other => panic!("{other:?}"),
            }
        };
        check(|user| user.name = "ada".into(), "user.name");
        check(|user| user.email = "ada".into(), "user.email");
        check(|user| user.display_name = "x".repeat(2_001), "user.display_name");
    }
}
