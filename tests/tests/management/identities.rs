//! Identities and their traits.

use std::collections::BTreeMap;

use burgee_proto::management::v1::*;
use burgee_proto::v1 as pb;

use crate::world::*;

both! {
    traits_are_set_and_removed,
    identities_are_listed_in_pages_and_found,
    an_identity_is_deleted_with_its_overrides,
}

fn identity(identifier: &str) -> String {
    format!("{DEV}/identities/{identifier}")
}

fn set(identifier: &str, key: &str, value: Option<pb::trait_value::Kind>) -> SetTraitsRequest {
    SetTraitsRequest {
        name: identity(identifier),
        traits: BTreeMap::from([(key.to_owned(), pb::TraitValue { kind: value })]),
        ..Default::default()
    }
}

fn gold() -> Option<pb::trait_value::Kind> {
    Some(pb::trait_value::Kind::StringValue("gold".into()))
}

async fn traits_are_set_and_removed(world: World) {
    let world = world.with_features().await;
    let before = world.revision().await;
    let created = world.identities().set_traits(set("ada", "plan", gold())).await.unwrap().into_inner();
    assert_eq!(created.revision, before + 1);
    let created = created.identity.unwrap();
    assert_eq!(
        (created.identifier.as_str(), created.traits.len(), created.hashing_key.as_str()),
        ("ada", 1, "")
    );
    let seats = SetTraitsRequest {
        hashing_key: Some("17".into()),
        ..set("ada", "seats", Some(pb::trait_value::Kind::IntegerValue(3)))
    };
    let changed = world.identities().set_traits(seats).await.unwrap().into_inner().identity.unwrap();
    assert_eq!((changed.traits.len(), changed.hashing_key.as_str()), (2, "17"));
    check_invalid(world.identities().set_traits(set("ada", "plan", None)).await, "traits[\"plan\"]");
    check_invalid(world.identities().set_traits(set("ada", "", gold())).await, "traits[\"\"]");

    let remove = RemoveTraitsRequest {
        name: identity("ada"),
        keys: vec!["plan".into(), "absent".into()],
        ..Default::default()
    };
    let tried = RemoveTraitsRequest { validate_only: true, ..remove.clone() };
    let tried = world.identities().remove_traits(tried).await.unwrap().into_inner();
    assert_eq!(tried.revision, before + 2);
    let left = world.identities().remove_traits(remove.clone()).await.unwrap().into_inner();
    assert_eq!(left.revision, before + 3);
    let left = left.identity.unwrap();
    assert_eq!(left.traits.keys().map(String::as_str).collect::<Vec<_>>(), ["seats"]);
    let read = world.identities().get_identity(GetIdentityRequest { name: identity("ada") }).await.unwrap();
    assert_eq!(read.into_inner().identity, Some(left));
    let nobody = RemoveTraitsRequest { name: identity("eve"), ..remove };
    check_missing(world.identities().remove_traits(nobody).await, &identity("eve"));
    check_missing(
        world.identities().get_identity(GetIdentityRequest { name: identity("eve") }).await,
        &identity("eve"),
    );
    assert_eq!(world.revision().await, before + 3, "what people write is on record");
}

async fn identities_are_listed_in_pages_and_found(world: World) {
    let world = world.with_features().await;
    for identifier in ["ada", "adam", "eve", "Ada", "a b"] {
        world.identities().set_traits(set(identifier, "plan", gold())).await.unwrap();
    }
    let list = |filter: &str| ListIdentitiesRequest {
        parent: DEV.into(),
        page_size: 2,
        filter: filter.into(),
        ..Default::default()
    };
    let all = async |filter: &str| {
        let mut request = list(filter);
        let mut seen = Vec::new();
        loop {
            let page = world.identities().list_identities(request.clone()).await.unwrap().into_inner();
            assert!(page.identities.len() <= 2);
            seen.extend(page.identities.into_iter().map(|identity| identity.identifier));
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                seen.sort();
                return seen;
            }
        }
    };
    assert_eq!(all("").await, ["Ada", "a b", "ada", "adam", "eve"]);
    assert_eq!(all("identifier:ada").await, ["ada", "adam"]);
    assert_eq!(all("identifier=ada").await, ["ada"]);
    assert_eq!(all("identifier=\"a b\"").await, ["a b"]);
    assert_eq!(all("identifier=nobody").await, [""; 0]);
    check_invalid(world.identities().list_identities(list("plan=gold")).await, "filter");
    let nowhere = format!("{SHOP}/environments/none");
    let request = ListIdentitiesRequest { parent: nowhere.clone(), ..list("identifier=ada") };
    check_missing(world.identities().list_identities(request).await, &nowhere);
}

async fn an_identity_is_deleted_with_its_overrides(world: World) {
    let world = world.with_features().await;
    world.identities().set_traits(set("ada", "plan", gold())).await.unwrap();
    let name = format!("{}/identityOverrides/ada", flag("dark"));
    let request = SetIdentityOverrideRequest { name, state: on(), ..Default::default() };
    let revision = world.flags().set_identity_override(request).await.unwrap().into_inner().revision;
    let delete = DeleteIdentityRequest { name: identity("ada"), ..Default::default() };
    let deleted = world.identities().delete_identity(delete.clone()).await.unwrap().into_inner();
    assert_eq!((deleted.revision, world.revision().await), (revision + 1, revision + 1));
    let list = ListIdentityOverridesRequest { parent: flag("dark"), ..Default::default() };
    assert!(
        world.flags().list_identity_overrides(list).await.unwrap().into_inner().identity_overrides.is_empty()
    );
    check_missing(world.identities().delete_identity(delete).await, &identity("ada"));
}
