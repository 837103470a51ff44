//! Features.

use burgee_core::change::{Mutation, WriteContext};
use burgee_core::feature::{Feature, FeaturePatch};
use burgee_core::limits::TAGS_PER_FEATURE;
use burgee_core::name::{FeatureKey, FeatureName, ProjectName, UserName};
use burgee_core::store::FlagStore;
use burgee_core::value::ValueType;
use burgee_core::{Result, Violation};
use burgee_proto::feature::variants;
use burgee_proto::management::v1 as pb;
use burgee_proto::mask::Mask;
use burgee_proto::v1 as shared;
use chrono::{DateTime, Utc};

use crate::fields::{self, At as _, given, required};
use crate::filter::{Comparison, Term, terms, unknown};
use crate::page::Paging;
use crate::transaction::{Planned, apply};

/// The fields that can change, and whether they are set.
fn changeable(wire: &shared::Feature) -> [(&'static str, bool); 4] {
    [
        ("description", !wire.description.is_empty()),
        ("tags", !wire.tags.is_empty()),
        ("owners", !wire.owners.is_empty()),
        ("server_side_only", wire.server_side_only.is_some()),
    ]
}
/// Features that are looked at for one page.
const LOOKED_AT: usize = 5_000;
/// Features that are read at once.
const READ_AT_ONCE: usize = 500;

pub(crate) async fn create(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::CreateFeatureRequest,
) -> Result<pb::CreateFeatureResponse> {
    let project = ProjectName::parse(&request.parent).at("parent")?;
    let planned = plan_create(project, &request.feature_id, request.feature, context.now)?;
    let written = apply(store, context, planned).await?;
    Ok(pb::CreateFeatureResponse { feature: written.feature(), revision: written.revision })
}

pub(crate) fn plan_create(
    project: ProjectName,
    feature_id: &str,
    feature: Option<shared::Feature>,
    now: DateTime<Utc>,
) -> Result<Planned, Violation> {
    let key = FeatureKey::parse(feature_id).at("feature_id")?;
    let name = FeatureName { project: project.clone(), feature: key };
    let feature = new_feature(name, feature.unwrap_or_default(), now).at("feature")?;
    Ok(Planned {
        project,
        name_field: "parent",
        mutation: Mutation::CreateFeature { feature },
        locate: |violation| violation.at("feature"),
    })
}

fn new_feature(
    name: FeatureName,
    feature: shared::Feature,
    now: DateTime<Utc>,
) -> Result<Feature, Violation> {
    let feature = Feature {
        name,
        value_type: feature.value_type().try_into().at("value_type")?,
        description: fields::description(feature.description)?,
        initial_value: feature.initial_value.and_then(Into::into),
        default_enabled: feature.default_enabled,
        variants: variants(feature.variants)?,
        tags: feature.tags,
        owners: owners(&feature.owners)?,
        archived: false,
        server_side_only: feature.server_side_only.unwrap_or_default(),
        hashing_key: fields::new_hashing_key(feature.hashing_key)?,
        created_at: now,
        etag: String::new(),
    };
    feature.check()?;
    Ok(feature)
}

fn owners(owners: &[String]) -> Result<Vec<UserName>, Violation> {
    if owners.len() > TAGS_PER_FEATURE {
        return Err(Violation::new("owners", format!("must be at most {TAGS_PER_FEATURE}")));
    }
    let mut parsed = Vec::with_capacity(owners.len());
    for (index, owner) in owners.iter().enumerate() {
        let name = UserName::parse(owner).at(format_args!("owners[{index}]"))?;
        if parsed.contains(&name) {
            return Err(Violation::new(format!("owners[{index}]"), format!("is given twice: `{name}`")));
        }
        parsed.push(name);
    }
    Ok(parsed)
}

pub(crate) async fn get(
    store: &dyn FlagStore,
    request: pb::GetFeatureRequest,
) -> Result<pb::GetFeatureResponse> {
    let name = FeatureName::parse(&request.name).at("name")?;
    Ok(pb::GetFeatureResponse { feature: Some((&store.feature(&name).await?).into()) })
}

pub(crate) async fn list(
    store: &dyn FlagStore,
    request: pb::ListFeaturesRequest,
) -> Result<pb::ListFeaturesResponse> {
    let pb::ListFeaturesRequest { parent, page_size, page_token, filter, show_archived } = request;
    let project = ProjectName::parse(&parent).at("parent")?;
    let archived = if show_archived { "archived" } else { "" };
    let paging = Paging::parse(page_size, &page_token, &["features", &parent, &filter, archived])?;
    let filter = Filter::parse(&filter, show_archived)?;

    let mut kept: Vec<Feature> = Vec::new();
    let mut query = paging.query();
    let mut looked_at = 0;
    // One more than the page has is kept, to know whether there are more.
    let more = loop {
        query.limit = READ_AT_ONCE;
        let found = store.features(&project, &query).await?;
        let (length, last) = (found.len(), found.last().map(|feature| feature.name.feature.to_string()));
        kept.extend(found.into_iter().filter(|feature| filter.passes(feature)));
        looked_at += length;
        if kept.len() > paging.items || length < READ_AT_ONCE {
            break None;
        }
        if looked_at >= LOOKED_AT {
            break last;
        }
        query.after = last;
    };

    let (features, mut next_page_token) =
        paging.cut(kept, |feature: &Feature| feature.name.feature.to_string());
    if let (Some(last), true) = (more, next_page_token.is_empty()) {
        next_page_token = paging.token(&last);
    }
    Ok(pb::ListFeaturesResponse { features, next_page_token })
}

pub(crate) async fn update(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::UpdateFeatureRequest,
) -> Result<pb::UpdateFeatureResponse> {
    let written = apply(store, context, plan_update(request)?).await?;
    Ok(pb::UpdateFeatureResponse { feature: written.feature(), revision: written.revision })
}

fn plan_update(request: pb::UpdateFeatureRequest) -> Result<Planned, Violation> {
    let wire = required(request.feature, "feature")?;
    let name = FeatureName::parse(&wire.name).at("feature.name")?;
    let mask = Mask::parse(request.update_mask, &changeable(&wire))?;
    let description = mask.select("description", wire.description).map(fields::description);
    let patch = FeaturePatch {
        description: description.transpose().at("feature")?,
        tags: mask.select("tags", wire.tags),
        owners: mask.select("owners", wire.owners).map(|names| owners(&names)).transpose().at("feature")?,
        archived: None,
        server_side_only: mask.select("server_side_only", wire.server_side_only.unwrap_or_default()),
    };
    let mutation = Mutation::UpdateFeature { feature: name.feature, patch, etag: given(wire.etag) };
    let locate = |violation: Violation| violation.at("feature");
    Ok(Planned { project: name.project, name_field: "feature.name", mutation, locate })
}

pub(crate) async fn archive(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::ArchiveFeatureRequest,
) -> Result<pb::ArchiveFeatureResponse> {
    let FeatureName { project, feature } = FeatureName::parse(&request.name).at("name")?;
    let patch = FeaturePatch { archived: Some(!request.unarchive), ..FeaturePatch::default() };
    let mutation = Mutation::UpdateFeature { feature, patch, etag: given(request.etag) };
    let planned = Planned { project, name_field: "name", mutation, locate: |violation| violation };
    let written = apply(store, context, planned).await?;
    Ok(pb::ArchiveFeatureResponse { feature: written.feature(), revision: written.revision })
}

pub(crate) async fn delete(
    store: &dyn FlagStore,
    context: &WriteContext,
    request: pb::DeleteFeatureRequest,
) -> Result<pb::DeleteFeatureResponse> {
    let FeatureName { project, feature } = FeatureName::parse(&request.name).at("name")?;
    let mutation = Mutation::DeleteFeature { feature, etag: given(request.etag) };
    let planned = Planned { project, name_field: "name", mutation, locate: |violation| violation };
    let written = apply(store, context, planned).await?;
    Ok(pb::DeleteFeatureResponse { revision: written.revision })
}

/// What a list of features is narrowed to.
#[derive(Debug)]
struct Filter(Vec<FeatureTerm>);

#[derive(Debug)]
enum FeatureTerm {
    /// Part of the key, in lower case.
    KeyHas(String),
    Key(String),
    Tag(String),
    Owner(UserName),
    ValueType(ValueType),
    ServerSideOnly(bool),
    Archived(bool),
}

impl Filter {
    fn parse(filter: &str, show_archived: bool) -> Result<Self, Violation> {
        let mut parsed = terms(filter)?.iter().map(FeatureTerm::parse).collect::<Result<Vec<_>, _>>()?;
        let says = parsed.iter().any(|term| matches!(term, FeatureTerm::Archived(_)));
        if !says && !show_archived {
            parsed.push(FeatureTerm::Archived(false));
        }
        Ok(Self(parsed))
    }

    fn passes(&self, feature: &Feature) -> bool {
        self.0.iter().all(|term| term.passes(feature))
    }
}

/// Parses a filter for the fuzzer.
#[cfg(any(test, fuzzing))]
pub(crate) fn parse_filter(filter: &str) -> Result<(), Violation> {
    Filter::parse(filter, false).map(drop)
}

impl FeatureTerm {
    fn parse(term: &Term) -> Result<Self, Violation> {
        let text = || term.text.clone();
        match (term.field.as_str(), term.comparison) {
            ("key", Comparison::Has) => Ok(Self::KeyHas(term.text.to_lowercase())),
            ("key", Comparison::Equals) => Ok(Self::Key(text())),
            ("tag", Comparison::Equals) => Ok(Self::Tag(text())),
            ("owner", Comparison::Equals) => {
                UserName::parse(&term.text).map(Self::Owner).map_err(|_| term.must_be("`users/{user}`"))
            }
            ("value_type", Comparison::Equals) => ValueType::parse(&term.text)
                .map(Self::ValueType)
                .map_err(|_| term.must_be("`boolean`, `integer`, `double`, `string`, `json` or `any`")),
            ("server_side_only", Comparison::Equals) => term.boolean().map(Self::ServerSideOnly),
            ("archived", Comparison::Equals) => term.boolean().map(Self::Archived),
            _ => Err(unknown(
                term,
                &["key:", "key=", "tag=", "owner=", "value_type=", "server_side_only=", "archived="],
            )),
        }
    }

    fn passes(&self, feature: &Feature) -> bool {
        match self {
            Self::KeyHas(part) => feature.name.feature.as_str().to_lowercase().contains(part),
            Self::Key(key) => feature.name.feature.as_str() == key,
            Self::Tag(tag) => feature.tags.contains(tag),
            Self::Owner(owner) => feature.owners.contains(owner),
            Self::ValueType(value_type) => feature.value_type == *value_type,
            Self::ServerSideOnly(only) => feature.server_side_only == *only,
            Self::Archived(archived) => feature.archived == *archived,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feature() -> Feature {
        let name = FeatureName::parse("organisations/acme/projects/shop/features/Dark Mode").unwrap();
        let wire = shared::Feature {
            value_type: shared::ValueType::Boolean.into(),
            tags: vec!["beta".into()],
            owners: vec!["users/ada".into()],
            ..Default::default()
        };
        new_feature(name, wire, DateTime::UNIX_EPOCH).unwrap()
    }

    fn check(filter: &str, show_archived: bool, passes: bool, passes_archived: bool) {
        let filter = Filter::parse(filter, show_archived).unwrap();
        assert_eq!(filter.passes(&feature()), passes, "{filter:?}");
        assert_eq!(filter.passes(&Feature { archived: true, ..feature() }), passes_archived, "{filter:?}");
    }

    #[test]
    fn archived_features_are_left_out_unless_asked_for() {
        check("", false, true, false);
        check("", true, true, true);
        check("archived=true", false, false, true);
        check("archived=false", true, true, false);
    }

    #[test]
    fn features_are_found_by_what_they_are() {
        check("key:MODE", false, true, false);
        check("key=\"Dark Mode\"", false, true, false);
        check("key=\"dark mode\"", false, false, false);
        check("tag=beta AND owner=users/ada AND value_type=boolean", false, true, false);
        check("tag=bet", false, false, false);
        check("owner=users/eve", true, false, false);
        check("server_side_only=false", true, true, true);
        check("server_side_only=true", true, false, false);
    }

    #[test]
    fn a_filter_says_what_it_takes() {
        for filter in ["name=x", "tag:x", "value_type=text", "archived=yes", "owner=ada"] {
            assert_eq!(Filter::parse(filter, false).unwrap_err().field, "filter", "{filter}");
        }
    }

    #[test]
    fn a_violation_names_its_field() {
        let check = |wire: shared::Feature, field: &str| {
            let project = ProjectName::parse("organisations/acme/projects/shop").unwrap();
            let planned = plan_create(project, "dark", Some(wire), DateTime::UNIX_EPOCH);
            assert_eq!(planned.unwrap_err().field, field);
        };
        let boolean = shared::Feature { value_type: shared::ValueType::Boolean.into(), ..Default::default() };
        let text = shared::Value { kind: Some(shared::value::Kind::StringValue("x".into())) };
        let variant = |name: &str| shared::Variant { name: name.into(), ..Default::default() };
        check(shared::Feature::default(), "feature.value_type");
        check(shared::Feature { initial_value: Some(text), ..boolean.clone() }, "feature.initial_value");
        check(shared::Feature { tags: vec![String::new()], ..boolean.clone() }, "feature.tags[0]");
        check(shared::Feature { owners: vec!["ada".into()], ..boolean.clone() }, "feature.owners[0]");
        check(
            shared::Feature { owners: vec!["users/ada".into(), "users/ada".into()], ..boolean.clone() },
            "feature.owners[1]",
        );
        check(
            shared::Feature { variants: vec![variant("red"), variant("features/x/variants/red")], ..boolean },
            "feature.variants[1].name",
        );
    }
}
