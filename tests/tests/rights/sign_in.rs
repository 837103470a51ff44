//! Signing in with tokens of an issuer, on a real server.

use burgee_proto::management::v1::*;
use burgee_proto::v1 as pb;
use burgee_tests::issuer::{Issuer, Mint};
use burgee_tests::server::Server as Process;
use chrono::Utc;
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::{Code, Status};

use crate::raw::Server;

const ACME: &str = "organisations/acme";
const SHOP: &str = "organisations/acme/projects/shop";
/// Settings of an issuer whose users become members, in groups that it names.
const MEMBERS: &str = "create-users = true\norganisation = \"acme\"\ngroups-claim = \"groups\"";

struct World {
    _process: Process,
    server: Server,
    admin: String,
    issuer: Issuer,
    _folder: TempDir,
}

impl World {
    async fn start(issuer_settings: &str) -> Self {
        let issuer = Issuer::start().await;
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("burgee.toml");
        let settings = format!(
            "[[server.issuers]]\nissuer = \"{}\"\naudiences = [\"burgee\"]\nsign-in = true\n\
             {issuer_settings}\n",
            issuer.url()
        );
        std::fs::write(&config, settings).unwrap();
        let database = format!("sqlite:{}", folder.path().join("burgee.db").display());
        let more = ["--config", &config.display().to_string()];
        let process = Process::serve_some(&database, true, false, &more).await;
        let server = Server::connect(process.management.unwrap(), "burgee.management.v1").await;
        let admin = process.credentials.token.clone();
        let world = Self { _process: process, server, admin, issuer, _folder: folder };
        let request = CreateOrganisationRequest { organisation_id: "acme".into(), ..Default::default() };
        world.must::<CreateOrganisationResponse>("OrganisationService/CreateOrganisation", request).await;
        let request =
            CreateProjectRequest { parent: ACME.into(), project_id: "shop".into(), ..Default::default() };
        world.must::<CreateProjectResponse>("ProjectService/CreateProject", request).await;
        world
    }

    async fn must<R: prost::Message + Default>(&self, method: &str, request: impl prost::Message) -> R {
        self.server.must(method, &self.admin, request).await
    }

    fn claims(&self, subject: &str, more: Value) -> Value {
        let now = Utc::now().timestamp();
        let mut claims =
            json!({"iss": self.issuer.url(), "sub": subject, "aud": "burgee", "iat": now, "exp": now + 300});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claims
    }

    async fn token(&self, subject: &str, more: Value) -> String {
        self.issuer.mint(self.claims(subject, more)).await
    }

    /// Returns who calls.
    async fn current(&self, secret: &str) -> Result<pb::User, Status> {
        use prost::Message as _;
        let answer = self.server.call("UserService/GetCurrentUser", secret, Vec::new()).await?;
        Ok(GetCurrentUserResponse::decode(&*answer).unwrap().user.unwrap())
    }

    async fn can_view(&self, secret: &str) -> bool {
        use prost::Message as _;
        let request = GetProjectRequest { name: SHOP.into() }.encode_to_vec();
        self.server.call("ProjectService/GetProject", secret, request).await.is_ok()
    }
}

fn check<T: std::fmt::Debug>(outcome: Result<T, Status>, code: Code, reason: &str) {
    let status = outcome.unwrap_err();
    let actual = burgee_proto::status::reason(&status).unwrap_or_default();
    assert_eq!((status.code(), actual.as_str()), (code, reason), "{status:?}");
}

fn email(address: &str, verified: bool) -> Value {
    json!({"email": address, "email_verified": verified})
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_in_for_the_first_time_gets_an_account_and_joins() {
    let world = World::start(MEMBERS).await;
    let token = world.token("sub-1", email("Ada.Lovelace@acme.com", true)).await;
    let ada = world.current(&token).await.unwrap();
    assert_eq!((ada.name.as_str(), ada.email_verified), ("users/ada-lovelace", true));
    // The subject is remembered: the address may change, or be left out.
    let again = world.token("sub-1", json!({})).await;
    assert_eq!(world.current(&again).await.unwrap().name, ada.name);
    let members: ListMembersResponse = world
        .must(
            "OrganisationService/ListMembers",
            ListMembersRequest { parent: ACME.into(), ..Default::default() },
        )
        .await;
    assert_eq!(members.members[0].user, ada.name);
    // What happened is on record, with the issuer and the subject.
    let request =
        ListChangesRequest { parent: ACME.into(), filter: "on_behalf_of=sub-1".into(), ..Default::default() };
    let changes: ListChangesResponse = world.must("ChangeService/ListChanges", request).await;
    assert_eq!(changes.changes.len(), 1, "{changes:?}");
    assert_eq!(changes.changes[0].credential, world.issuer.url());
    // Another of the same name is another user.
    let other = world.token("sub-2", email("ada.lovelace@bravo.com", true)).await;
    assert_eq!(world.current(&other).await.unwrap().name, "users/ada-lovelace-2");
    // Whoever is removed from the organisation stays so.
    let request = RemoveMemberRequest { name: format!("{ACME}/members/ada-lovelace"), ..Default::default() };
    world.must::<RemoveMemberResponse>("OrganisationService/RemoveMember", request).await;
    world.current(&token).await.unwrap();
    assert!(!world.can_view(&token).await);
    let members: ListMembersResponse = world
        .must(
            "OrganisationService/ListMembers",
            ListMembersRequest { parent: ACME.into(), ..Default::default() },
        )
        .await;
    assert_eq!(members.members.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_believed_if_both_sides_verified_it() {
    let world = World::start("").await;
    let user = pb::User { email: "ada@acme.com".into(), ..Default::default() };
    let request = CreateUserRequest { user_id: "ada".into(), user: Some(user), ..Default::default() };
    world.must::<CreateUserResponse>("UserService/CreateUser", request).await;
    let request = CreateInvitationRequest {
        parent: ACME.into(),
        invitation_id: "link".into(),
        invitation: Some(pb::Invitation { role: pb::Role::Member.into(), ..Default::default() }),
        ..Default::default()
    };
    let link: CreateInvitationResponse = world.must("InvitationService/CreateInvitation", request).await;
    let accept = AcceptInvitationRequest {
        secret: link.secret,
        user_id: "squatter".into(),
        user: Some(pb::User { email: "eve@acme.com".into(), ..Default::default() }),
        ..Default::default()
    };
    let accepted: AcceptInvitationResponse =
        world.server.must("InvitationService/AcceptInvitation", "", accept).await;
    assert!(!accepted.user.unwrap().email_verified);

    // Nor does an invitation by e-mail make an address known: whoever invites could accept.
    let request = CreateInvitationRequest {
        parent: ACME.into(),
        invitation_id: "mail".into(),
        invitation: Some(pb::Invitation {
            email: "mallory@acme.com".into(),
            role: pb::Role::Member.into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mail: CreateInvitationResponse = world.must("InvitationService/CreateInvitation", request).await;
    let accept =
        AcceptInvitationRequest { secret: mail.secret, user_id: "taken".into(), ..Default::default() };
    let accepted: AcceptInvitationResponse =
        world.server.must("InvitationService/AcceptInvitation", "", accept).await;
    assert!(!accepted.user.unwrap().email_verified);
    let mallory = world.token("m", email("mallory@acme.com", true)).await;
    check(world.current(&mallory).await, Code::FailedPrecondition, "ACCOUNT_EXISTS");

    let unverified = world.token("a", email("ada@acme.com", false)).await;
    check(world.current(&unverified).await, Code::Unauthenticated, "CREDENTIAL_INVALID");
    let unknown = world.token("b", email("bob@acme.com", true)).await;
    check(world.current(&unknown).await, Code::Unauthenticated, "CREDENTIAL_INVALID");
    let squatted = world.token("e", email("eve@acme.com", true)).await;
    check(world.current(&squatted).await, Code::FailedPrecondition, "ACCOUNT_EXISTS");
    let verified = world.token("a", email("Ada@Acme.com", true)).await;
    assert_eq!(world.current(&verified).await.unwrap().name, "users/ada");
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_that_the_issuer_names_count_for_that_sign_in() {
    let world = World::start(MEMBERS).await;
    let group = pb::Group { external_id: Some("engineering".into()), ..Default::default() };
    let request = CreateGroupRequest {
        parent: ACME.into(),
        group_id: "eng".into(),
        group: Some(group),
        ..Default::default()
    };
    world.must::<CreateGroupResponse>("GroupService/CreateGroup", request).await;
    let grant = pb::Grant {
        grantee: format!("{ACME}/groups/eng"),
        resource: SHOP.into(),
        permissions: vec![pb::Permission::ViewProject.into()],
        ..Default::default()
    };
    let request = CreateGrantRequest {
        parent: ACME.into(),
        grant_id: "eng".into(),
        grant: Some(grant),
        ..Default::default()
    };
    world.must::<CreateGrantResponse>("PermissionService/CreateGrant", request).await;
    let with = |groups: Value| json!({"email": "ada@acme.com", "email_verified": true, "groups": groups});
    assert!(!world.can_view(&world.token("a", with(json!([]))).await).await);
    assert!(world.can_view(&world.token("a", with(json!(["sales", "engineering"]))).await).await);
    assert!(!world.can_view(&world.token("a", with(json!(["Engineering"]))).await).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_what_it_says_lets_nobody_in() {
    let world = World::start("create-users = true").await;
    let good = world.claims("a", email("ada@acme.com", true));
    let mint = |change: Value| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        claims
    };
    let now = Utc::now().timestamp();
    for (what, claims, reason) in [
        ("another audience", mint(json!({"aud": "other"})), "CREDENTIAL_INVALID"),
        ("another issuer", mint(json!({"iss": "https://evil.example"})), "CREDENTIAL_INVALID"),
        ("too late", mint(json!({"exp": now - 120})), "CREDENTIAL_EXPIRED"),
        ("too early", mint(json!({"nbf": now + 120})), "CREDENTIAL_INVALID"),
    ] {
        let token = world.issuer.mint(claims).await;
        let outcome = world.current(&token).await;
        assert!(outcome.is_err(), "{what}");
        check(outcome, Code::Unauthenticated, reason);
    }
    for algorithm in ["none", "HS256"] {
        let mut mint = Mint::with("ec").algorithm(algorithm);
        mint.claims = good.as_object().unwrap().clone();
        let token = world.issuer.mint_as(mint).await;
        check(world.current(&token).await, Code::Unauthenticated, "CREDENTIAL_INVALID");
    }
    let token = world.issuer.mint(good.clone()).await;
    let mut parts: Vec<_> = token.split('.').map(str::to_owned).collect();
    parts[2] = parts[2].chars().rev().collect();
    check(world.current(&parts.join(".")).await, Code::Unauthenticated, "CREDENTIAL_INVALID");
    world.current(&token).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ci_token_is_exchanged_only_if_it_says_what_is_asked_for() {
    let world = World::start("exchange = true").await;
    let rule = pb::ClaimRule { claim: "sub".into(), patterns: vec!["repo:acme/shop:*".into()] };
    let trust = pb::TrustRelationship {
        issuer: world.issuer.url().to_owned(),
        audience: "flags".into(),
        claim_rules: vec![rule],
        token_lifetime: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        ..Default::default()
    };
    let request = CreateTrustRelationshipRequest {
        parent: ACME.into(),
        trust_relationship_id: "ci".into(),
        trust_relationship: Some(trust.clone()),
        ..Default::default()
    };
    world.must::<CreateTrustRelationshipResponse>("TrustService/CreateTrustRelationship", request).await;
    let name = format!("{ACME}/trustRelationships/ci");
    let exchange = async |name: &str, token: String| {
        use prost::Message as _;
        let request = ExchangeTokenRequest { name: name.to_owned(), token };
        let answer = world.server.call("TrustService/ExchangeToken", "", request.encode_to_vec()).await?;
        Ok::<_, Status>(ExchangeTokenResponse::decode(&*answer).unwrap())
    };
    let good = "repo:acme/shop:ref:refs/heads/main";
    let now = Utc::now().timestamp();
    let mut refusals = Vec::new();
    for (subject, more) in [
        ("repo:evil/shop:ref:refs/heads/main", json!({"aud": "flags"})),
        ("repo:acme/shopping", json!({"aud": "flags"})),
        (good, json!({"aud": "burgee"})),
        (good, json!({"aud": "flags", "iss": "https://evil.example"})),
        (good, json!({"aud": "flags", "exp": now - 3_600})),
    ] {
        let token = world.token(subject, more).await;
        refusals.push(exchange(&name, token).await.unwrap_err());
    }
    for algorithm in ["none", "HS256"] {
        let mut mint = Mint::with("ec").algorithm(algorithm);
        mint.claims = world.claims(good, json!({"aud": "flags"})).as_object().unwrap().clone();
        refusals.push(exchange(&name, world.issuer.mint_as(mint).await).await.unwrap_err());
    }
    let token = world.token(good, json!({"aud": "flags"})).await;
    refusals.push(exchange(&format!("{ACME}/trustRelationships/none"), token.clone()).await.unwrap_err());
    for refusal in &refusals {
        // Nobody learns why, or which trust relationships exist.
        assert_eq!(refusal.message(), refusals[0].message());
        check::<()>(Err(refusal.clone()), Code::Unauthenticated, "CREDENTIAL_INVALID");
    }

    let exchanged = exchange(&name, token).await.unwrap();
    let expires = exchanged.expire_time.unwrap().seconds;
    assert!((now + 50..now + 120).contains(&expires), "{expires}");
    assert!(exchanged.secret.starts_with("bgx_"));
    assert!(!world.can_view(&exchanged.secret).await, "nothing was granted yet");
    let grant = pb::Grant {
        grantee: name.clone(),
        resource: SHOP.into(),
        permissions: vec![pb::Permission::ViewProject.into()],
        ..Default::default()
    };
    let request = CreateGrantRequest {
        parent: ACME.into(),
        grant_id: "ci".into(),
        grant: Some(grant),
        ..Default::default()
    };
    world.must::<CreateGrantResponse>("PermissionService/CreateGrant", request).await;
    assert!(world.can_view(&exchanged.secret).await);
    // Other rules: what was given by the former ones is gone.
    let rule = pb::ClaimRule { claim: "sub".into(), patterns: vec!["repo:acme/blog:*".into()] };
    let request = UpdateTrustRelationshipRequest {
        trust_relationship: Some(pb::TrustRelationship {
            name,
            claim_rules: vec![rule],
            ..Default::default()
        }),
        ..Default::default()
    };
    world.must::<UpdateTrustRelationshipResponse>("TrustService/UpdateTrustRelationship", request).await;
    assert!(!world.can_view(&exchanged.secret).await);
}
