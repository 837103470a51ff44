//! Which flags, where, and for whom: what `eval` and `watch` share.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use burgee_proto::evaluation::v1::IdentityContext;
use burgee_proto::v1::{TraitValue, trait_value::Kind};

use crate::flagsmith::json::{Json, is_integer};

/// Which flags, where, and for whom.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Selection {
    /// The keys of the features; all, if none is given.
    #[arg(value_name = "FLAG")]
    pub(super) flags: Vec<String>,
    /// The key of the environment, client-side or server-side.
    #[arg(long, value_name = "KEY", env = "BURGEE_ENVIRONMENT_KEY", hide_env_values = true)]
    environment_key: Option<String>,
    /// The identity to evaluate for; without one, the environment's own flags.
    #[arg(long, value_name = "ID")]
    identity: Option<String>,
    /// A trait of the identity, over the stored ones: `age=36`, `beta=true`, `plan=gold`, `zip="01234"` for a
    /// text that looks like something else, `plan=null` to hide a stored one. May be repeated.
    #[arg(long = "trait", value_name = "KEY=VALUE", requires = "identity", value_parser = parse_trait)]
    traits: Vec<(String, TraitValue)>,
    /// What percentages hash instead of the identity's own key.
    #[arg(long, value_name = "KEY", requires = "identity")]
    hashing_key: Option<String>,
    /// Evaluates without the stored traits.
    #[arg(long, requires = "identity")]
    ignore_stored_traits: bool,
}

impl Selection {
    /// Returns the environment key.
    pub(super) fn environment_key(&self) -> anyhow::Result<&str> {
        self.environment_key
            .as_deref()
            .context("an environment key is needed: `--environment-key`, or `BURGEE_ENVIRONMENT_KEY`")
    }

    /// Returns for whom to evaluate.
    pub(super) fn identity(&self) -> Option<IdentityContext> {
        Some(IdentityContext {
            identifier: self.identity.clone()?,
            traits: self.traits.iter().cloned().collect::<BTreeMap<_, _>>(),
            ignore_stored_traits: self.ignore_stored_traits,
            hashing_key: self.hashing_key.clone().unwrap_or_default(),
        })
    }
}

fn parse_trait(text: &str) -> anyhow::Result<(String, TraitValue)> {
    let Some((key, value)) = text.split_once('=') else { bail!("must be `KEY=VALUE`") };
    Ok((key.to_owned(), TraitValue { kind: trait_kind(value) }))
}

/// Reads a JSON scalar, or else a text.
fn trait_kind(text: &str) -> Option<Kind> {
    match Json::parse(text) {
        Ok(Json::Null) => None,
        Ok(Json::Boolean(boolean)) => Some(Kind::BooleanValue(boolean)),
        Ok(Json::Text(inner)) => Some(Kind::StringValue(inner)),
        Ok(Json::Number(number)) => match (is_integer(&number), number.parse(), number.parse()) {
            (true, Ok(integer), _) => Some(Kind::IntegerValue(integer)),
            (false, _, Ok(double)) => Some(Kind::DoubleValue(double)),
            (true | false, _, _) => Some(Kind::StringValue(number)),
        },
        Ok(Json::List(_) | Json::Map(_)) | Err(_) => Some(Kind::StringValue(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trait_is_a_scalar_or_a_text() {
        for (text, kind) in [
            ("36", Some(Kind::IntegerValue(36))),
            ("1.50", Some(Kind::DoubleValue(1.5))),
            ("true", Some(Kind::BooleanValue(true))),
            ("null", None),
            ("gold", Some(Kind::StringValue("gold".into()))),
            ("\"36\"", Some(Kind::StringValue("36".into()))),
            ("", Some(Kind::StringValue(String::new()))),
            ("a=b", Some(Kind::StringValue("a=b".into()))),
            ("[1]", Some(Kind::StringValue("[1]".into()))),
        ] {
            let (key, value) = parse_trait(&format!("k={text}")).unwrap();
            assert_eq!((key.as_str(), value.kind), ("k", kind), "{text}");
        }
        assert!(parse_trait("k").is_err());
    }
}
