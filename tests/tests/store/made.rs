//! Short words for writes outside of projects: each is one mutation, and answers what it made.

use burgee_core::Result;
use burgee_core::access::{StoredSecret, Token};
use burgee_core::account::{AccountApplied, AccountMutation, AccountResource, Joiner};
use burgee_core::change::WriteContext;
use burgee_core::grant::{Grant, PermissionRole, PermissionRolePatch};
use burgee_core::name::*;
use burgee_core::organisation::*;
use burgee_core::project::Project;
use burgee_core::store::FlagStore;
use burgee_core::trust::{TrustRelationship, TrustRelationshipPatch};

/// Makes a word of a mutation.
macro_rules! words {
    ($($word:ident($($argument:ident: $kind:ty),*) -> $made:ident($resource:ty) = $mutation:expr;)*) => {
        /// Writes outside of projects.
        pub(crate) trait Made: FlagStore {
            $(
                async fn $word(&self, context: &WriteContext, $($argument: $kind),*) -> Result<$resource> {
                    use AccountMutation::*;
                    match self.apply_account(context, $mutation).await?.resource {
                        Some(AccountResource::$made(resource)) => Ok(resource),
                        other => panic!("`{}` made {other:?}", stringify!($word)),
                    }
                }
            )*

            /// Does a write that is repeated or of which only the revision counts.
            async fn done(&self, context: &WriteContext, mutation: AccountMutation) -> AccountApplied {
                self.apply_account(context, mutation).await.unwrap()
            }

            /// Joins by an invitation.
            async fn accept(
                &self,
                context: &WriteContext,
                name: &InvitationName,
                joiner: Joiner,
            ) -> Result<(Member, Option<User>, Option<Token>)> {
                let mutation = AccountMutation::AcceptInvitation { name: name.clone(), joiner };
                match self.apply_account(context, mutation).await?.resource {
                    Some(AccountResource::Joined { member, user, token }) => Ok((member, user, token)),
                    other => panic!("an invitation made {other:?}"),
                }
            }
        }

        impl<S: FlagStore + ?Sized> Made for S {}
    };
}

fn given(etag: Option<&str>) -> Option<String> {
    etag.map(str::to_owned)
}

words! {
    create_organisation(organisation: Organisation) -> Organisation(Organisation) = CreateOrganisation { organisation };
    update_organisation(name: &OrganisationName, patch: OrganisationPatch, etag: Option<&str>)
        -> Organisation(Organisation) = UpdateOrganisation { name: name.clone(), patch, etag: given(etag) };
    delete_organisation(name: &OrganisationName, force: bool, etag: Option<&str>)
        -> Organisation(Organisation) = DeleteOrganisation { name: name.clone(), force, etag: given(etag) };
    delete_project(name: &ProjectName, force: bool, etag: Option<&str>)
        -> Project(Project) = DeleteProject { name: name.clone(), force, etag: given(etag) };
    create_user(user: User) -> User(User) = CreateUser { user };
    update_user(name: &UserName, patch: UserPatch, etag: Option<&str>)
        -> User(User) = UpdateUser { name: name.clone(), patch, etag: given(etag) };
    delete_user(name: &UserName, etag: Option<&str>)
        -> User(User) = DeleteUser { name: name.clone(), etag: given(etag) };
    create_token(token: Token, secret: StoredSecret) -> Token(Token) = CreateToken { token, secret };
    revoke_token(name: &TokenName) -> Token(Token) = RevokeToken { name: name.clone() };
    add_member(name: &MemberName, role: Role) -> Member(Member) = AddMember { name: name.clone(), role };
    update_member(name: &MemberName, role: Role, etag: Option<&str>)
        -> Member(Member) = UpdateMember { name: name.clone(), role, etag: given(etag) };
    remove_member(name: &MemberName, etag: Option<&str>)
        -> Member(Member) = RemoveMember { name: name.clone(), etag: given(etag) };
    create_group(group: Group) -> Group(Group) = CreateGroup { group };
    update_group(name: &GroupName, patch: GroupPatch, etag: Option<&str>)
        -> Group(Group) = UpdateGroup { name: name.clone(), patch, etag: given(etag) };
    delete_group(name: &GroupName, etag: Option<&str>)
        -> Group(Group) = DeleteGroup { name: name.clone(), etag: given(etag) };
    add_group_member(name: &GroupMemberName, administrator: bool)
        -> GroupMember(GroupMember) = AddGroupMember { name: name.clone(), administrator };
    update_group_member(name: &GroupMemberName, administrator: bool)
        -> GroupMember(GroupMember) = UpdateGroupMember { name: name.clone(), administrator };
    remove_group_member(name: &GroupMemberName)
        -> GroupMember(GroupMember) = RemoveGroupMember { name: name.clone() };
    create_invitation(invitation: Invitation, secret: StoredSecret)
        -> Invitation(Invitation) = CreateInvitation { invitation, secret };
    delete_invitation(name: &InvitationName) -> Invitation(Invitation) = DeleteInvitation { name: name.clone() };
    create_role(role: PermissionRole) -> Role(PermissionRole) = CreateRole { role };
    update_role(name: &RoleName, patch: PermissionRolePatch, etag: Option<&str>)
        -> Role(PermissionRole) = UpdateRole { name: name.clone(), patch, etag: given(etag) };
    delete_role(name: &RoleName, etag: Option<&str>)
        -> Role(PermissionRole) = DeleteRole { name: name.clone(), etag: given(etag) };
    create_grant(grant: Grant) -> Grant(Grant) = CreateGrant { grant };
    revoke_grant(name: &GrantName) -> Grant(Grant) = RevokeGrant { name: name.clone() };
    create_trust(trust_relationship: TrustRelationship)
        -> TrustRelationship(TrustRelationship) = CreateTrustRelationship { trust_relationship };
    update_trust(name: &TrustRelationshipName, patch: TrustRelationshipPatch, etag: Option<&str>)
        -> TrustRelationship(TrustRelationship)
        = UpdateTrustRelationship { name: name.clone(), patch, etag: given(etag) };
    delete_trust(name: &TrustRelationshipName, etag: Option<&str>)
        -> TrustRelationship(TrustRelationship) = DeleteTrustRelationship { name: name.clone(), etag: given(etag) };
}
