//! Three organisations, four projects, eight environments, and everybody who may call.

use burgee_proto::management::v1::*;
use burgee_proto::v1 as pb;
use burgee_tests::issuer::Issuer;
use burgee_tests::server::Server as Process;
use chrono::{TimeDelta, Utc};
use tempfile::TempDir;

use crate::cases::{DARK, Level, Place, SOMEBODY, SPLIT};
use crate::raw::Server;

/// Organisations with their projects and environments.
pub(crate) const PLACES: [(&str, &str, &str); 8] = [
    ("acme", "shop", "dev"),
    ("acme", "shop", "live"),
    ("acme", "blog", "dev"),
    ("acme", "blog", "live"),
    ("bravo", "shop", "dev"),
    ("bravo", "shop", "live"),
    ("cargo", "shop", "dev"),
    ("cargo", "shop", "live"),
];

/// What the tokens of CI jobs are for.
const AUDIENCE: &str = "burgee";

/// What the tokens of people are for.
const SIGN_IN_AUDIENCE: &str = "people";

/// What somebody holds somewhere.
#[derive(Clone, Debug)]
pub(crate) struct Holding {
    pub(crate) permission: pb::Permission,
    /// The name of an organisation, a project or an environment.
    pub(crate) place: String,
}

/// Somebody who calls.
#[derive(Clone, Debug)]
pub(crate) struct Actor {
    pub(crate) what: String,
    /// What they present.
    pub(crate) secret: String,
    /// Whether they administer the server.
    pub(crate) server_administrator: bool,
    /// The organisations that they belong to.
    pub(crate) belongs_to: Vec<String>,
    pub(crate) holdings: Vec<Holding>,
    /// The tag of the features that what they hold is limited to, as far as it can be.
    pub(crate) limited_to: Option<&'static str>,
    /// The groups that they administer.
    pub(crate) administers: Vec<String>,
    /// Who they are: the name of a user, a token of an organisation or a trust relationship.
    pub(crate) principal: String,
    /// Whether they hold a permission above its own level, as others hold it there: variants are not tried with them.
    pub(crate) is_like_others: bool,
    /// Why they are refused whatever they do, if they are.
    pub(crate) refused: Option<&'static str>,
}

/// A running server with all of it.
pub(crate) struct World {
    pub(crate) process: Process,
    pub(crate) server: Server,
    pub(crate) token: String,
    pub(crate) places: Vec<Place>,
    pub(crate) issuer: Issuer,
    /// The settings file of the server.
    pub(crate) config: String,
    _folder: TempDir,
}

/// A trust relationship with the issuer of the tests.
pub(crate) fn trust_relationship() -> pb::TrustRelationship {
    pb::TrustRelationship {
        issuer: ISSUER.with(|issuer| issuer.borrow().clone()),
        audience: AUDIENCE.into(),
        claim_rules: vec![pb::ClaimRule { claim: "sub".into(), patterns: vec!["repo:*".into()] }],
        ..Default::default()
    }
}

thread_local! {
    /// The issuer of this test, which requests name.
    static ISSUER: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
}

impl World {
    /// Starts a server over a database, and fills it.
    pub(crate) async fn start(database_url: &str) -> Self {
        let issuer = Issuer::start().await;
        ISSUER.with(|cell| *cell.borrow_mut() = issuer.url().to_owned());
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("burgee.toml");
        let settings = format!(
            "[[server.issuers]]\nissuer = \"{}\"\nexchange = true\nsign-in = true\naudiences = [\"{SIGN_IN_AUDIENCE}\"]\n\
             groups-claim = \"groups\"\ncreate-users = true\norganisation = \"acme\"\n",
            issuer.url()
        );
        std::fs::write(&config, settings).unwrap();
        let config = config.display().to_string();
        let more = ["--config", &config, "--sign-in-failures-per-minute", "0"];
        let process = Process::serve_some(database_url, true, true, &more).await;
        let server = Server::connect(process.management.unwrap(), "burgee.management.v1").await;
        let token = process.credentials.token.clone();
        let places =
            PLACES.map(|(organisation, project, environment)| Place::of(organisation, project, environment));
        let world = Self { process, server, token, places: places.to_vec(), issuer, config, _folder: folder };
        world.fill().await;
        world
    }

    async fn admin<R: prost::Message + Default>(&self, method: &str, request: impl prost::Message) -> R {
        self.server.must(method, &self.token, request).await
    }

    async fn fill(&self) {
        for id in ["somebody", "outsider"] {
            self.create_user(id).await;
        }
        for id in ["acme", "bravo", "cargo"] {
            self.fill_organisation(id).await;
        }
        let mut projects: Vec<_> =
            PLACES.iter().map(|(organisation, project, _)| (*organisation, *project)).collect();
        projects.dedup();
        for (organisation, project) in projects {
            self.fill_project(organisation, project).await;
        }
        for (organisation, project, environment) in PLACES {
            self.fill_environment(organisation, project, environment).await;
        }
        for place in [&self.places[0], &self.places[4]] {
            for (id, on) in [("of-project", &place.project), ("of-environment", &place.environment)] {
                let holding = Holding { permission: pb::Permission::ViewEnvironment, place: on.clone() };
                self.grant(id, &place.in_organisation("groups/idle"), &holding).await;
            }
        }
    }

    /// Creates a user with a token, and returns its secret.
    pub(crate) async fn create_user(&self, id: &str) -> String {
        let user = pb::User { email: format!("{id}@example.com"), ..Default::default() };
        let request = CreateUserRequest { user_id: id.into(), user: Some(user), ..Default::default() };
        self.admin::<CreateUserResponse>("UserService/CreateUser", request).await;
        self.create_token(&format!("users/{id}"), "laptop", None).await
    }

    pub(crate) async fn create_token(&self, parent: &str, id: &str, expires: Option<TimeDelta>) -> String {
        let token = pb::Token {
            expire_time: expires.map(|after| burgee_proto::time::timestamp(Utc::now() + after)),
            ..Default::default()
        };
        let request = CreateTokenRequest {
            parent: parent.into(),
            token_id: id.into(),
            token: Some(token),
            ..Default::default()
        };
        self.admin::<CreateTokenResponse>("UserService/CreateToken", request).await.secret
    }

    pub(crate) async fn add_member(&self, organisation: &str, user: &str, role: pb::Role) {
        let request = AddMemberRequest {
            parent: organisation.into(),
            user: user.into(),
            role: role.into(),
            ..Default::default()
        };
        self.admin::<AddMemberResponse>("OrganisationService/AddMember", request).await;
    }

    pub(crate) async fn grant(&self, id: &str, grantee: &str, holding: &Holding) {
        let grant = pb::Grant {
            grantee: grantee.into(),
            resource: holding.place.clone(),
            permissions: vec![holding.permission.into()],
            ..Default::default()
        };
        self.create_grant(id, grant).await;
    }

    pub(crate) async fn create_grant(&self, id: &str, grant: pb::Grant) {
        let organisation = grant.resource.split('/').take(2).collect::<Vec<_>>().join("/");
        let request = CreateGrantRequest {
            parent: organisation,
            grant_id: id.into(),
            grant: Some(grant),
            ..Default::default()
        };
        self.admin::<CreateGrantResponse>("PermissionService/CreateGrant", request).await;
    }

    async fn fill_organisation(&self, id: &str) {
        let name = format!("organisations/{id}");
        let request = CreateOrganisationRequest { organisation_id: id.into(), ..Default::default() };
        self.admin::<CreateOrganisationResponse>("OrganisationService/CreateOrganisation", request).await;
        self.create_user(&format!("{id}-owner")).await;
        self.add_member(&name, &format!("users/{id}-owner"), pb::Role::Admin).await;
        // `somebody` is a colleague in the first organisation only.
        let member = if id == "acme" { "somebody".to_owned() } else { format!("{id}-somebody") };
        if id != "acme" {
            self.create_user(&member).await;
        }
        self.add_member(&name, &format!("users/{member}"), pb::Role::Member).await;
        self.create_token(&name, "idle", None).await;
        self.create_group(&name, "idle", None).await;
        let full = self.create_group(&name, "full", None).await;
        self.add_to_group(&full, &format!("users/{member}")).await;
        let request = CreateInvitationRequest {
            parent: name.clone(),
            invitation_id: "link".into(),
            invitation: Some(pb::Invitation { role: pb::Role::Member.into(), ..Default::default() }),
            ..Default::default()
        };
        self.admin::<CreateInvitationResponse>("InvitationService/CreateInvitation", request).await;
        let request = CreateRoleRequest {
            parent: name.clone(),
            role_id: "idle".into(),
            role: Some(pb::PermissionRole {
                permissions: vec![pb::Permission::ViewProject.into()],
                ..Default::default()
            }),
            ..Default::default()
        };
        self.admin::<CreateRoleResponse>("PermissionService/CreateRole", request).await;
        let request = CreateTrustRelationshipRequest {
            parent: name.clone(),
            trust_relationship_id: "ci".into(),
            trust_relationship: Some(trust_relationship()),
            ..Default::default()
        };
        self.admin::<CreateTrustRelationshipResponse>("TrustService/CreateTrustRelationship", request).await;
        let holding = Holding { permission: pb::Permission::ViewOrganisation, place: name.clone() };
        self.grant("idle", &format!("{name}/groups/idle"), &holding).await;
    }

    async fn fill_project(&self, organisation: &str, project: &str) {
        let parent = format!("organisations/{organisation}");
        let name = format!("{parent}/projects/{project}");
        let request = CreateProjectRequest { parent, project_id: project.into(), ..Default::default() };
        self.admin::<CreateProjectResponse>("ProjectService/CreateProject", request).await;
        for (key, tags, variants) in [("dark", DARK, vec![]), ("split", SPLIT, vec![("a", 10.0)])] {
            let variants = variants.into_iter().map(|(key, default_weight)| pb::Variant {
                name: format!("{name}/features/split/variants/{key}"),
                default_weight,
                ..Default::default()
            });
            let feature = pb::Feature {
                value_type: pb::ValueType::Boolean.into(),
                tags: tags.iter().map(ToString::to_string).collect(),
                variants: variants.collect(),
                ..Default::default()
            };
            let request = CreateFeatureRequest {
                parent: name.clone(),
                feature_id: key.into(),
                feature: Some(feature),
                ..Default::default()
            };
            self.admin::<CreateFeatureResponse>("FeatureService/CreateFeature", request).await;
        }
        let condition = pb::Condition {
            property: "plan".into(),
            operator: pb::Operator::IsSet.into(),
            ..Default::default()
        };
        let rule = pb::Rule { r#type: pb::RuleType::All.into(), conditions: vec![condition], rules: vec![] };
        let request = CreateSegmentRequest {
            parent: name,
            segment_id: "vip".into(),
            segment: Some(pb::Segment { rules: vec![rule], ..Default::default() }),
            ..Default::default()
        };
        self.admin::<CreateSegmentResponse>("SegmentService/CreateSegment", request).await;
    }

    async fn fill_environment(&self, organisation: &str, project: &str, environment: &str) {
        let place = Place::of(organisation, project, environment);
        let name = place.environment;
        let request = CreateEnvironmentRequest {
            parent: place.project,
            environment_id: environment.into(),
            ..Default::default()
        };
        self.admin::<CreateEnvironmentResponse>("EnvironmentService/CreateEnvironment", request).await;
        self.create_key(
            &name,
            "idle",
            pb::EnvironmentKey { kind: pb::KeyKind::ServerSide.into(), ..Default::default() },
        )
        .await;
        let request = SetSegmentOverrideRequest {
            name: format!("{name}/flags/dark/segmentOverrides/vip"),
            state: Some(pb::FlagState { enabled: Some(true), ..Default::default() }),
            ..Default::default()
        };
        self.admin::<SetSegmentOverrideResponse>("FlagService/SetSegmentOverride", request).await;
        let kind = Some(pb::trait_value::Kind::StringValue("pro".into()));
        let request = SetTraitsRequest {
            name: format!("{name}/identities/ada"),
            traits: [("plan".to_owned(), pb::TraitValue { kind })].into(),
            ..Default::default()
        };
        self.admin::<SetTraitsResponse>("IdentityService/SetTraits", request).await;
    }

    /// Creates a key of an environment, and returns its secret.
    pub(crate) async fn create_key(&self, environment: &str, id: &str, key: pb::EnvironmentKey) -> String {
        let request = CreateEnvironmentKeyRequest {
            parent: environment.into(),
            key_id: id.into(),
            key: Some(key),
            ..Default::default()
        };
        let method = "EnvironmentService/CreateEnvironmentKey";
        self.admin::<CreateEnvironmentKeyResponse>(method, request).await.secret
    }

    /// Creates everybody.
    pub(crate) async fn actors(&self) -> Vec<Actor> {
        let mut actors = vec![Actor {
            server_administrator: true,
            principal: "users/administrator".into(),
            ..Actor::new("the administrator of the server", &self.token)
        }];
        actors.push(Actor {
            principal: "users/stranger".into(),
            ..Actor::new("somebody of no organisation", &self.create_user("stranger").await)
        });
        for organisation in ["acme", "bravo", "cargo"] {
            let name = format!("organisations/{organisation}");
            for (word, role) in [("administrator", pb::Role::Admin), ("member", pb::Role::Member)] {
                let id = format!("{organisation}-{word}");
                let secret = self.create_user(&id).await;
                self.add_member(&name, &format!("users/{id}"), role).await;
                let all = Holding { permission: pb::Permission::OrganisationAdmin, place: name.clone() };
                actors.push(Actor {
                    belongs_to: vec![name.clone()],
                    holdings: if role == pb::Role::Admin { vec![all] } else { Vec::new() },
                    principal: format!("users/{id}"),
                    ..Actor::new(&format!("{word} of {organisation}"), &secret)
                });
            }
        }
        actors.push(Actor {
            belongs_to: vec!["organisations/acme".into()],
            principal: SOMEBODY.into(),
            ..Actor::new("somebody", &self.create_token(SOMEBODY, "own", None).await)
        });
        actors.push(self.of_two_organisations().await);
        actors.push(self.administrator_of_a_group().await);
        actors.extend(self.limited_by_tag().await);
        actors.push(self.signed_in().await);
        actors.extend(self.holders().await);
        actors.extend(self.service_accounts().await);
        actors.extend(self.refused().await);
        actors
    }

    /// An administrator of the first organisation who knows the members of the last.
    async fn of_two_organisations(&self) -> Actor {
        let (acme, cargo) = ("organisations/acme", "organisations/cargo");
        let principal = "users/acme-cargo".to_owned();
        let secret = self.create_user("acme-cargo").await;
        self.add_member(acme, &principal, pb::Role::Admin).await;
        self.add_member(cargo, &principal, pb::Role::Member).await;
        let all = Holding { permission: pb::Permission::OrganisationAdmin, place: acme.into() };
        Actor {
            belongs_to: vec![acme.into(), cargo.into()],
            holdings: vec![all],
            principal,
            ..Actor::new("administrator of acme and member of cargo", &secret)
        }
    }

    /// A member who administers a group, and holds nothing else.
    async fn administrator_of_a_group(&self) -> Actor {
        let organisation = "organisations/acme".to_owned();
        let (group, principal) = (format!("{organisation}/groups/full"), "users/acme-lead".to_owned());
        let secret = self.create_user("acme-lead").await;
        self.add_member(&organisation, &principal, pb::Role::Member).await;
        let request = AddGroupMemberRequest {
            parent: group.clone(),
            user: principal.clone(),
            administrator: true,
            ..Default::default()
        };
        self.admin::<AddGroupMemberResponse>("GroupService/AddGroupMember", request).await;
        Actor {
            belongs_to: vec![organisation],
            administers: vec![group],
            principal,
            ..Actor::new("administrator of a group of acme", &secret)
        }
    }

    /// Members who hold something for features with a tag only: one by a role of a group on a project, the other directly on an
    /// environment.
    async fn limited_by_tag(&self) -> [Actor; 2] {
        use pb::Permission::{DeleteFeature, ManageSegmentOverrides, UpdateFeatureState, ViewProject};
        let place = &self.places[0];
        let organisation = &place.organisation;
        let all = [ViewProject, DeleteFeature, UpdateFeatureState, ManageSegmentOverrides];
        let request = CreateRoleRequest {
            parent: organisation.clone(),
            role_id: "beta".into(),
            role: Some(pb::PermissionRole {
                permissions: all.map(Into::into).to_vec(),
                ..Default::default()
            }),
            ..Default::default()
        };
        self.admin::<CreateRoleResponse>("PermissionService/CreateRole", request).await;
        let grant = pb::Grant {
            grantee: self.create_group(organisation, "beta", None).await,
            resource: place.project.clone(),
            role: place.in_organisation("roles/beta"),
            tags: vec![DARK[0].into()],
            ..Default::default()
        };
        self.create_grant("beta", grant).await;
        let beta = self.create_user("acme-beta").await;
        self.add_member(organisation, "users/acme-beta", pb::Role::Member).await;
        self.add_to_group(&place.in_organisation("groups/beta"), "users/acme-beta").await;

        let stable = self.create_user("acme-stable").await;
        self.add_member(organisation, "users/acme-stable", pb::Role::Member).await;
        let grant = pb::Grant {
            grantee: "users/acme-stable".into(),
            resource: place.environment.clone(),
            permissions: vec![UpdateFeatureState.into()],
            tags: vec![SPLIT[0].into()],
            ..Default::default()
        };
        self.create_grant("stable", grant).await;
        let holding = |permission, place: &str| Holding { permission, place: place.to_owned() };
        [
            Actor {
                belongs_to: vec![organisation.clone()],
                holdings: all.map(|permission| holding(permission, &place.project)).to_vec(),
                limited_to: Some(DARK[0]),
                principal: "users/acme-beta".into(),
                ..Actor::new("holder by a role for features with one tag", &beta)
            },
            Actor {
                belongs_to: vec![organisation.clone()],
                holdings: vec![holding(UpdateFeatureState, &place.environment)],
                limited_to: Some(SPLIT[0]),
                principal: "users/acme-stable".into(),
                ..Actor::new("holder for features with another tag", &stable)
            },
        ]
    }

    /// Somebody who signed in, and whose issuer says that they are in a group. Their groups are those of the organisation that
    /// the issuer is set up for: a group that is called the same elsewhere gives them nothing.
    async fn signed_in(&self) -> Actor {
        let permission = pb::Permission::ManageSegments;
        for place in [&self.places[0], &self.places[4]] {
            let group = self.create_group(&place.organisation, "claimed", Some("engineering")).await;
            let holding = Holding { permission, place: place.project.clone() };
            self.grant("claimed", &group, &holding).await;
        }
        let now = Utc::now().timestamp();
        let claims = serde_json::json!({
            "iss": self.issuer.url(), "sub": "claims", "aud": SIGN_IN_AUDIENCE, "iat": now, "exp": now + 3_600,
            "email": "claims@example.com", "email_verified": true, "groups": ["engineering"],
        });
        let place = &self.places[0];
        Actor {
            belongs_to: vec![place.organisation.clone()],
            holdings: vec![Holding { permission, place: place.project.clone() }],
            principal: "users/claims".into(),
            ..Actor::new("member of acme by a claimed group", &self.issuer.mint(claims).await)
        }
    }

    /// Creates a group, and returns its name.
    async fn create_group(&self, organisation: &str, id: &str, external_id: Option<&str>) -> String {
        let request = CreateGroupRequest {
            parent: organisation.into(),
            group_id: id.into(),
            group: Some(pb::Group { external_id: external_id.map(Into::into), ..Default::default() }),
            ..Default::default()
        };
        self.admin::<CreateGroupResponse>("GroupService/CreateGroup", request).await;
        format!("{organisation}/groups/{id}")
    }

    async fn add_to_group(&self, group: &str, user: &str) {
        let request = AddGroupMemberRequest { parent: group.into(), user: user.into(), ..Default::default() };
        self.admin::<AddGroupMemberResponse>("GroupService/AddGroupMember", request).await;
    }

    /// A member of the first organisation for each permission, granted at its own level or above, directly, by a group or by
    /// a role in turn.
    async fn holders(&self) -> Vec<Actor> {
        let organisation = "organisations/acme".to_owned();
        let place = &self.places[0];
        let mut actors = Vec::new();
        for (index, permission) in permissions().enumerate() {
            for (level_index, level) in [Level::Organisation, Level::Project, Level::Environment]
                .into_iter()
                .filter(|granted| *granted <= level(permission))
                .enumerate()
            {
                let id = format!("holder-{index}-{level_index}");
                let user = format!("users/{id}");
                let secret = self.create_user(&id).await;
                self.add_member(&organisation, &user, pb::Role::Member).await;
                let holding = Holding { permission, place: place.at(level).to_owned() };
                let how = ["directly", "by a group", "by a role"][(index + level_index) % 3];
                match how {
                    "directly" => self.grant(&id, &user, &holding).await,
                    "by a group" => {
                        let group = self.create_group(&organisation, &id, None).await;
                        self.add_to_group(&group, &user).await;
                        self.grant(&id, &group, &holding).await;
                    }
                    _ => {
                        let role =
                            pb::PermissionRole { permissions: vec![permission.into()], ..Default::default() };
                        let request = CreateRoleRequest {
                            parent: organisation.clone(),
                            role_id: id.clone(),
                            role: Some(role),
                            ..Default::default()
                        };
                        self.admin::<CreateRoleResponse>("PermissionService/CreateRole", request).await;
                        let grant = pb::Grant {
                            grantee: user.clone(),
                            resource: holding.place.clone(),
                            role: format!("{organisation}/roles/{id}"),
                            ..Default::default()
                        };
                        self.create_grant(&id, grant).await;
                    }
                }
                let what = format!("holder of {} on {} {how}", permission.as_str_name(), holding.place);
                actors.push(Actor {
                    belongs_to: vec![organisation.clone()],
                    is_like_others: self::level(permission) != level && !is_administrator(permission),
                    holdings: vec![holding],
                    principal: user,
                    ..Actor::new(&what, &secret)
                });
            }
        }
        actors
    }

    /// Tokens of an organisation, and of CI jobs: with nothing, and with something.
    async fn service_accounts(&self) -> Vec<Actor> {
        let organisation = "organisations/bravo".to_owned();
        let environment = &self.places[4].environment;
        let mut actors = Vec::new();
        for (id, permission) in [("none", None), ("some", Some(pb::Permission::UpdateFeatureState))] {
            let secret = self.create_token(&organisation, id, None).await;
            let holding = permission.map(|permission| Holding { permission, place: environment.clone() });
            if let Some(holding) = &holding {
                self.grant(&format!("token-{id}"), &format!("{organisation}/tokens/{id}"), holding).await;
            }
            actors.push(Actor {
                belongs_to: vec![organisation.clone()],
                holdings: holding.into_iter().collect(),
                principal: format!("{organisation}/tokens/{id}"),
                ..Actor::new(&format!("token `{id}` of bravo"), &secret)
            });
        }
        let job = format!("{organisation}/trustRelationships/ci");
        let holding =
            Holding { permission: pb::Permission::ViewProject, place: self.places[4].project.clone() };
        self.grant("job", &job, &holding).await;
        let token = self.ci_token("repo:bravo/shop").await;
        let request = ExchangeTokenRequest { name: job.clone(), token };
        let exchanged: ExchangeTokenResponse =
            self.server.must("TrustService/ExchangeToken", "", request).await;
        actors.push(Actor {
            belongs_to: vec![organisation],
            holdings: vec![holding],
            principal: job,
            ..Actor::new("a CI job of bravo", &exchanged.secret)
        });
        actors
    }

    /// Returns a token that a CI system would give a job.
    pub(crate) async fn ci_token(&self, subject: &str) -> String {
        let now = Utc::now().timestamp();
        let claims = serde_json::json!({
            "iss": self.issuer.url(), "sub": subject, "aud": AUDIENCE, "iat": now, "exp": now + 300,
        });
        self.issuer.mint(claims).await
    }

    /// Those who present something that does not count.
    async fn refused(&self) -> Vec<Actor> {
        let parent = "users/acme-owner";
        let revoked = self.create_token(parent, "revoked", None).await;
        let request = RevokeTokenRequest { name: format!("{parent}/tokens/revoked"), ..Default::default() };
        self.admin::<RevokeTokenResponse>("UserService/RevokeToken", request).await;
        let expired = self.create_token(parent, "expired", Some(TimeDelta::milliseconds(300))).await;
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
        let environment = &self.places[0].environment;
        let mut keys = Vec::new();
        for kind in [pb::KeyKind::ClientSide, pb::KeyKind::ServerSide] {
            let key = pb::EnvironmentKey { kind: kind.into(), ..Default::default() };
            let id = if kind == pb::KeyKind::ClientSide { "as-token-c" } else { "as-token-s" };
            keys.push(self.create_key(environment, id, key).await);
        }
        let mut mistyped = self.token.clone();
        let last = if mistyped.pop() == Some('a') { 'b' } else { 'a' };
        mistyped.push(last);
        [
            ("nobody", String::new(), "CREDENTIAL_MISSING"),
            ("a revoked token", revoked, "CREDENTIAL_INVALID"),
            ("an expired token", expired, "CREDENTIAL_EXPIRED"),
            ("a mistyped token", mistyped, "CREDENTIAL_INVALID"),
            ("a client-side key", keys.remove(0), "CREDENTIAL_INVALID"),
            ("a server-side key", keys.remove(0), "CREDENTIAL_INVALID"),
            ("a CI token itself", self.ci_token("repo:bravo/shop").await, "CREDENTIAL_INVALID"),
        ]
        .map(|(what, secret, reason)| Actor { refused: Some(reason), ..Actor::new(what, &secret) })
        .into()
    }
}

impl Actor {
    fn new(what: &str, secret: &str) -> Self {
        Self {
            what: what.to_owned(),
            secret: secret.to_owned(),
            server_administrator: false,
            belongs_to: Vec::new(),
            holdings: Vec::new(),
            limited_to: None,
            administers: Vec::new(),
            principal: String::new(),
            is_like_others: false,
            refused: None,
        }
    }

    pub(crate) fn is_user(&self) -> bool {
        self.principal.starts_with("users/")
    }
}

/// Returns all permissions that exist.
pub(crate) fn permissions() -> impl Iterator<Item = pb::Permission> {
    (1..).map_while(|number| pb::Permission::try_from(number).ok())
}

/// Says whether a permission is everything at its level.
pub(crate) fn is_administrator(permission: pb::Permission) -> bool {
    use pb::Permission::*;
    matches!(permission, OrganisationAdmin | ProjectAdmin | EnvironmentAdmin)
}

/// Returns the level of a permission, as the documentation says it.
pub(crate) fn level(permission: pb::Permission) -> Level {
    use pb::Permission::*;
    match permission {
        Unspecified | ViewOrganisation | OrganisationAdmin | CreateProject | ManageUserGroups => {
            Level::Organisation
        }
        ViewProject
        | ProjectAdmin
        | CreateEnvironment
        | CreateFeature
        | DeleteFeature
        | ManageSegments
        | ViewAuditLog
        | ManageTags
        | CreateProjectLevelChangeRequests
        | ApproveProjectLevelChangeRequests
        | ManageProjectLevelChangeRequests => Level::Project,
        ViewEnvironment
        | EnvironmentAdmin
        | UpdateFeatureState
        | ManageSegmentOverrides
        | ViewIdentities
        | ManageIdentities
        | CreateChangeRequest
        | ApproveChangeRequest => Level::Environment,
    }
}
