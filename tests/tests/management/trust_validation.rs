//! Trust relationships of a server whose settings allow no issuer for them.

use burgee_proto::management::v1::*;
use burgee_proto::v1 as pb;
use tonic::Code;

use crate::world::*;

both! {
    an_issuer_must_be_allowed_by_the_settings,
    trust_relationships_are_for_administrators,
    a_token_is_not_exchanged_without_a_trust_relationship,
}

const GITHUB: &str = "organisations/acme/trustRelationships/github";

fn create(issuer: &str) -> CreateTrustRelationshipRequest {
    let rule = pb::ClaimRule { claim: "repository".into(), patterns: vec!["acme/*".into()] };
    CreateTrustRelationshipRequest {
        parent: ACME.into(),
        trust_relationship_id: "github".into(),
        trust_relationship: Some(pb::TrustRelationship {
            issuer: issuer.into(),
            audience: "burgee".into(),
            claim_rules: vec![rule],
            ..Default::default()
        }),
        ..Default::default()
    }
}

async fn an_issuer_must_be_allowed_by_the_settings(world: World) {
    let world = world.shop().await;
    for issuer in ["", "https://evil.example"] {
        let outcome = world.trust().create_trust_relationship(create(issuer)).await;
        check_invalid(outcome, "trust_relationship.issuer");
    }
    let nothing = CreateTrustRelationshipRequest { trust_relationship: None, ..create("") };
    check_invalid(world.trust().create_trust_relationship(nothing).await, "trust_relationship");
    let get = GetTrustRelationshipRequest { name: GITHUB.into() };
    check_missing(world.trust().get_trust_relationship(get).await, GITHUB);
    let list = ListTrustRelationshipsRequest { parent: ACME.into(), ..Default::default() };
    let listed = world.trust().list_trust_relationships(list).await.unwrap().into_inner();
    assert!(listed.trust_relationships.is_empty());
    let update = UpdateTrustRelationshipRequest {
        trust_relationship: Some(pb::TrustRelationship {
            name: GITHUB.into(),
            display_name: "x".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    check_missing(world.trust().update_trust_relationship(update.clone()).await, GITHUB);
    let nobody = UpdateTrustRelationshipRequest { update_mask: mask(&["claim_rules"]), ..update };
    let outcome = world.trust().update_trust_relationship(nobody).await;
    check_invalid(outcome, "trust_relationship.claim_rules");
    let delete = DeleteTrustRelationshipRequest { name: GITHUB.into(), ..Default::default() };
    check_missing(world.trust().delete_trust_relationship(delete).await, GITHUB);
}

async fn trust_relationships_are_for_administrators(world: World) {
    let world = world.shop().await;
    let ada = world.as_member("ada").await;
    let outcome = ada.trust().create_trust_relationship(create("https://evil.example")).await;
    check_denied(outcome, "ORGANISATION_ADMIN");
    let list = ListTrustRelationshipsRequest { parent: ACME.into(), ..Default::default() };
    check_denied(ada.trust().list_trust_relationships(list).await, "ORGANISATION_ADMIN");
}

async fn a_token_is_not_exchanged_without_a_trust_relationship(world: World) {
    let world = world.shop().await;
    let nobody = world.as_nobody();
    let exchange = |name: &str, token: &str| ExchangeTokenRequest { name: name.into(), token: token.into() };
    let mut messages = Vec::new();
    for name in [GITHUB, "organisations/none/trustRelationships/github"] {
        let outcome = nobody.trust().exchange_token(exchange(name, "e30.e30.e30")).await;
        messages.push(check(outcome, Code::Unauthenticated, "CREDENTIAL_INVALID").message().to_owned());
    }
    assert_eq!(messages[0], messages[1]);
    check_invalid(nobody.trust().exchange_token(exchange("github", "e30.e30.e30")).await, "name");
    check_invalid(nobody.trust().exchange_token(exchange(GITHUB, "")).await, "token");
    let long = "x".repeat(16 * 1024 + 1);
    check_invalid(nobody.trust().exchange_token(exchange(GITHUB, &long)).await, "token");
}
