//! `burgee flag`: shows or changes a flag.

use std::process::ExitCode;

use anyhow::{Context, bail};
use burgee_core::name::{EnvironmentName, FeatureKey, FeatureName, FlagName};
use burgee_core::value::ValueType;
use burgee_proto::management::v1::{GetFeatureRequest, GetFlagRequest, UpdateFlagRequest};
use burgee_proto::v1 as pb;
use pb::value::Kind;

use super::error::failed;
use super::management::Management;
use super::show::{member, state_json, state_text};
use super::{ConnectionArgs, Output};
use crate::flagsmith::json::{Json, is_integer};
use crate::output::print;

/// The arguments of `burgee flag`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Prints a flag with its segment overrides.
    Get(GetArgs),
    /// Changes what an environment serves to everybody whom no override reaches.
    Set(SetArgs),
}

#[derive(Debug, clap::Args)]
struct GetArgs {
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, clap::Args)]
struct SetArgs {
    #[command(flatten)]
    target: Target,
    /// Switches the flag on.
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Switches the flag off.
    #[arg(long)]
    disable: bool,
    /// The new value, read as the feature's type.
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    value: Option<String>,
    /// Reads the value as this type instead; needed only for features of any type.
    #[arg(long = "type", value_name = "TYPE", requires = "value", value_parser = parse_type)]
    value_type: Option<ValueType>,
    /// Takes the value away: callers use their own default.
    #[arg(long, conflicts_with = "value")]
    no_value: bool,
    /// Refuses if the flag has changed since it had this etag.
    #[arg(long, value_name = "ETAG", default_value = "")]
    etag: String,
    /// Why, for the change log.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
}

/// Which flag, and where.
#[derive(Debug, clap::Args)]
struct Target {
    /// The whole name, `organisations/acme/projects/shop/environments/production/flags/banner`, or with
    /// `--environment` the feature's key.
    #[arg(value_name = "NAME")]
    name: String,
    /// The environment: `organisations/acme/projects/shop/environments/production`.
    #[arg(long, value_name = "NAME", env = "BURGEE_ENVIRONMENT")]
    environment: Option<String>,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// The token to call the management services with.
    #[arg(long, env = "BURGEE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// How to print the flag.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Shows or changes a flag.
///
/// # Errors
/// The server cannot be reached, or refuses.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Get(args) => get(&args).await?,
        Command::Set(args) => set(&args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn get(args: &GetArgs) -> anyhow::Result<()> {
    let name = args.target.name()?;
    let mut management = args.target.connect().await?;
    let request = GetFlagRequest { name: name.to_string() };
    let response = management.flags.get_flag(request).await.map_err(failed("could not get the flag"))?;
    args.target.show(response.into_inner().flag.unwrap_or_default(), None)
}

async fn set(args: &SetArgs) -> anyhow::Result<()> {
    let name = args.target.name()?;
    let mut paths = Vec::new();
    if args.enable || args.disable {
        paths.push("state.enabled".to_owned());
    }
    if args.value.is_some() || args.no_value {
        paths.push("state.value".to_owned());
    }
    if paths.is_empty() {
        bail!("there is nothing to change: give `--enable`, `--disable`, `--value` or `--no-value`");
    }
    let mut management = args.target.connect().await?;
    let value = match &args.value {
        Some(text) => Some(parse_value(text, value_type(args, &name, &mut management).await?)?),
        None => None,
    };
    let state = pb::FlagState { enabled: Some(args.enable), value, ..pb::FlagState::default() };
    let flag = pb::Flag {
        name: name.to_string(),
        state: Some(state),
        etag: args.etag.clone(),
        ..pb::Flag::default()
    };
    let request = UpdateFlagRequest {
        flag: Some(flag),
        update_mask: Some(prost_types::FieldMask { paths }),
        request_id: uuid::Uuid::new_v4().to_string(),
        validate_only: false,
        reason: args.reason.clone(),
    };
    let response =
        management.flags.update_flag(request).await.map_err(failed("could not change the flag"))?;
    let response = response.into_inner();
    args.target.show(response.flag.unwrap_or_default(), Some(response.revision))
}

impl Target {
    fn name(&self) -> anyhow::Result<FlagName> {
        let wrong = |what: &str| format!("`{what}` is no name");
        if self.name.starts_with("organisations/") && self.name.contains("/flags/") {
            return FlagName::parse(&self.name)
                .map_err(|violation| anyhow::anyhow!(violation.description))
                .with_context(|| wrong(&self.name));
        }
        let Some(environment) = &self.environment else {
            bail!("`{}` is not a flag's whole name, so `--environment` is needed", self.name);
        };
        let parsed =
            EnvironmentName::parse(environment).map_err(|violation| anyhow::anyhow!(violation.description));
        let feature =
            FeatureKey::parse(&self.name).map_err(|violation| anyhow::anyhow!(violation.description));
        Ok(FlagName {
            environment: parsed.with_context(|| wrong(environment))?,
            feature: feature.with_context(|| wrong(&self.name))?,
        })
    }

    async fn connect(&self) -> anyhow::Result<Management> {
        Management::new(self.connection.connect().await?, self.token.as_deref())
    }

    fn show(&self, flag: pb::Flag, revision: Option<i64>) -> anyhow::Result<()> {
        let state = flag.state.clone().unwrap_or_default();
        match self.output {
            Output::Text => {
                print(&format!("{} {}", flag.name, state_text(&state)));
                for item in &flag.segment_overrides {
                    let state = item.state.clone().unwrap_or_default();
                    print(&format!("  {}. {} {}", item.priority, item.segment, state_text(&state)));
                }
                print(&format!("etag {}", flag.etag));
                if let Some(revision) = revision {
                    print(&format!("revision {revision}"));
                }
            }
            Output::Json => {
                let json = flag_json(&flag, &state, revision);
                print(&serde_json::to_string_pretty(&json).context("could not print")?);
            }
        }
        Ok(())
    }
}

fn flag_json(flag: &pb::Flag, state: &pb::FlagState, revision: Option<i64>) -> Json {
    let overrides = flag.segment_overrides.iter().map(|item| {
        Json::Map(vec![
            member("segment", Json::from(item.segment.as_str())),
            member("priority", Json::Number(item.priority.to_string())),
            member("state", state_json(&item.state.clone().unwrap_or_default())),
        ])
    });
    let mut members = vec![
        member("name", Json::from(flag.name.as_str())),
        member("state", state_json(state)),
        member("segment_overrides", Json::List(overrides.collect())),
        member("etag", Json::from(flag.etag.as_str())),
    ];
    members.extend(revision.map(|revision| member("revision", Json::Number(revision.to_string()))));
    Json::Map(members)
}

async fn value_type(
    args: &SetArgs,
    flag: &FlagName,
    management: &mut Management,
) -> anyhow::Result<ValueType> {
    if let Some(value_type) = args.value_type {
        return Ok(value_type);
    }
    let name = FeatureName { project: flag.environment.project.clone(), feature: flag.feature.clone() };
    let request = GetFeatureRequest { name: name.to_string() };
    let response =
        management.features.get_feature(request).await.map_err(failed("could not get the feature"))?;
    let feature = response.into_inner().feature.unwrap_or_default();
    ValueType::try_from(feature.value_type())
        .map_err(|violation| anyhow::anyhow!("the feature's type {violation}"))
}

fn parse_type(name: &str) -> anyhow::Result<ValueType> {
    ValueType::parse(name).map_err(|violation| anyhow::anyhow!(violation.description))
}

fn parse_value(text: &str, value_type: ValueType) -> anyhow::Result<pb::Value> {
    let kind = match value_type {
        ValueType::Boolean => {
            Kind::BooleanValue(text.parse().context("the value must be `true` or `false`")?)
        }
        ValueType::Integer => Kind::IntegerValue(text.parse().context("the value must be a 64-bit integer")?),
        ValueType::Double => Kind::DoubleValue(text.parse().context("the value must be a number")?),
        ValueType::String => Kind::StringValue(text.to_owned()),
        ValueType::Json => Kind::JsonValue(text.to_owned()),
        ValueType::Any => match Json::parse(text) {
            Ok(Json::Boolean(boolean)) => Kind::BooleanValue(boolean),
            Ok(Json::Text(inner)) => Kind::StringValue(inner),
            Ok(Json::Number(number)) => match (is_integer(&number), number.parse(), number.parse()) {
                (true, Ok(integer), _) => Kind::IntegerValue(integer),
                (false, _, Ok(double)) => Kind::DoubleValue(double),
                (true | false, _, _) => Kind::JsonValue(number),
            },
            Ok(Json::List(_) | Json::Map(_)) => Kind::JsonValue(text.to_owned()),
            Ok(Json::Null) | Err(_) => Kind::StringValue(text.to_owned()),
        },
    };
    Ok(pb::Value { kind: Some(kind) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, value_type: ValueType, expected: Option<Kind>) {
        assert_eq!(parse_value(text, value_type).ok().and_then(|value| value.kind), expected, "{text}");
    }

    #[test]
    fn a_value_is_read_as_the_features_type() {
        check("5", ValueType::Integer, Some(Kind::IntegerValue(5)));
        check("5", ValueType::String, Some(Kind::StringValue("5".into())));
        check("5", ValueType::Double, Some(Kind::DoubleValue(5.0)));
        check("5", ValueType::Any, Some(Kind::IntegerValue(5)));
        check("five", ValueType::Any, Some(Kind::StringValue("five".into())));
        check("five", ValueType::Integer, None);
        check("yes", ValueType::Boolean, None);
    }
}
