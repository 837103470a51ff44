//! Tests of the table.

use burgee_proto::management::v1 as pb;
use pb::change_request::Change;
use prost_types::FieldMask;

use super::{Guarded as _, METHODS, Needs};

const SHOP: &str = "organisations/acme/projects/shop";

#[test]
fn only_what_holds_a_secret_of_its_own_is_open() {
    let open: Vec<_> = METHODS.iter().filter(|(_, open)| *open).map(|(path, _)| *path).collect();
    assert_eq!(open, ["InvitationService/AcceptInvitation", "TrustService/ExchangeToken"]);
    assert_eq!(pb::AcceptInvitationRequest::default().needs(), Ok(Needs::Nothing));
    assert_eq!(pb::ExchangeTokenRequest::default().needs(), Ok(Needs::Nothing));
}

#[test]
fn a_name_that_is_none_is_told_with_its_field() {
    assert_eq!(pb::UpdateFlagRequest::default().needs().unwrap_err().field, "flag.name");
    assert_eq!(pb::ListFlagsRequest::default().needs().unwrap_err().field, "parent");
    assert_eq!(pb::CreateGrantRequest::default().needs().unwrap_err().field, "grant.resource");
}

#[test]
fn tags_are_chosen_by_those_who_may() {
    let check = |mask: Option<&[&str]>, tags: &[&str], permissions: usize| {
        let request = pb::UpdateFeatureRequest {
            feature: Some(burgee_proto::v1::Feature {
                name: format!("{SHOP}/features/dark"),
                tags: tags.iter().map(ToString::to_string).collect(),
                ..Default::default()
            }),
            update_mask: mask
                .map(|paths| FieldMask { paths: paths.iter().map(ToString::to_string).collect() }),
            ..Default::default()
        };
        let needs = match request.needs().unwrap() {
            Needs::All(needs) => needs.len(),
            _ => 1,
        };
        assert_eq!(needs, permissions, "{mask:?} {tags:?}");
    };
    check(None, &[], 1);
    check(None, &["a"], 2);
    check(Some(&["description"]), &["a"], 1);
    check(Some(&["tags"]), &[], 2);
    check(Some(&["*"]), &[], 2);
}

#[test]
fn many_changes_need_what_each_of_them_needs() {
    let change = |change| pb::ChangeRequest { change: Some(change) };
    let flag = |flag: &str| {
        change(Change::UpdateFlag(pb::UpdateFlagRequest {
            flag: Some(burgee_proto::v1::Flag {
                name: format!("{SHOP}/environments/dev/flags/{flag}"),
                ..Default::default()
            }),
            ..Default::default()
        }))
    };
    let request = pb::ApplyChangesRequest {
        project: SHOP.into(),
        changes: vec![flag("a"), flag("a"), flag("b"), change(Change::CreateSegment(Default::default()))],
        ..Default::default()
    };
    let Needs::All(needs) = request.needs().unwrap() else { panic!("several") };
    let permissions: Vec<_> = needs
        .iter()
        .map(|needs| match needs {
            Needs::Permission(permission, _) | Needs::OfFeature(permission, ..) => permission.as_str(),
            _ => "",
        })
        .collect();
    assert_eq!(
        permissions,
        ["VIEW_PROJECT", "UPDATE_FEATURE_STATE", "UPDATE_FEATURE_STATE", "MANAGE_SEGMENTS"]
    );
    let wrong = pb::ApplyChangesRequest {
        project: SHOP.into(),
        changes: vec![change(Change::UpdateFlag(Default::default()))],
        ..Default::default()
    };
    assert_eq!(wrong.needs().unwrap_err().field, "changes[0].update_flag.flag.name");
}
