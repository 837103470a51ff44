//! `burgee import flagsmith`: moves an environment into a project, over the management API.
//!
//! Nothing is ever deleted, and what is there already is only written if it differs: a second run changes
//! nothing.

mod apply;
mod current;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod plan;
mod progress;
mod report;
mod slug;
mod variants;
mod wire;

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use burgee_core::name::{EnvironmentId, EnvironmentName, ProjectName};

use self::current::Current;
pub use self::progress::{Progress, Silent};
pub use self::report::{Kind, Report};
use super::context::{self, Synthetic};
use super::document;
use super::json::Json;
use super::model::Model;
use super::node::{Misplaced, Node};
use crate::client::management::Management;
use crate::client::{ConnectionArgs, Output};
use crate::output::print;

/// What a run exits with when something could not be taken.
const NOT_ALL_TAKEN: u8 = 2;

/// The arguments of `burgee import flagsmith`.
///
/// Exits with 0 if all was taken, if in another form; with 2 if something could not be taken, which is
/// listed; with 1 if the import failed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An environment document (`GET /api/v1/environment-document/`), an evaluation context, or an evaluation
    /// case.
    file: PathBuf,
    /// Where to: `organisations/acme/projects/shop`. The project, and its organisation, are created if they
    /// are not there.
    #[arg(long, value_name = "NAME", value_parser = parse_project)]
    project: ProjectName,
    /// The id of the environment, which is created if it is not there. Default: the one that has the
    /// original's key, else an id made of the original's name.
    #[arg(long, value_name = "ID", value_parser = parse_environment)]
    environment: Option<EnvironmentId>,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// The token to call the management services with.
    #[arg(long, env = "BURGEE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Says what would be done, and changes nothing.
    #[arg(long)]
    dry_run: bool,
    /// How to print what was done.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Where an import goes.
#[derive(Clone, Debug)]
pub struct Target {
    /// The project.
    pub project: ProjectName,
    /// The environment; by default, the one that has the original's key, else one with an id made of the
    /// original's name.
    pub environment: Option<EnvironmentId>,
    /// Changes nothing, but says what would be done.
    pub dry_run: bool,
    /// Why, for the change log.
    pub reason: String,
}

/// What came of an import.
#[derive(Debug)]
pub struct Imported {
    /// The environment.
    pub environment: EnvironmentName,
    /// Under which names the model's parts are known now.
    pub mapping: Mapping,
    /// What was done.
    pub report: Report,
}

/// Under which names the parts of a model are known on the server.
#[derive(Debug, Default)]
pub struct Mapping {
    /// By id, the index of the segment in the model.
    pub segments: HashMap<String, usize>,
    /// For every feature of the model, the names of its variants.
    pub features: Vec<FeatureMapping>,
}

/// Under which keys the variants of a feature's states are known on the server, in the order of each state.
#[derive(Debug, Default)]
pub struct FeatureMapping {
    /// Of the environment's own state.
    pub variants: Vec<String>,
    /// Of the overrides, by the id of the segment.
    pub overrides: HashMap<String, Vec<String>>,
}

/// Imports a file and prints what was done.
///
/// # Errors
/// The file cannot be read, or the server refuses.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let file = args.file.display();
    let text =
        tokio::fs::read_to_string(&args.file).await.with_context(|| format!("could not read `{file}`"))?;
    let model = parse(&text).with_context(|| format!("could not read `{file}`"))?;
    let server = Management::new(args.connection.connect().await?, args.token.as_deref())?;
    let target = Target {
        project: args.project,
        environment: args.environment,
        dry_run: args.dry_run,
        reason: "import from Flagsmith".to_owned(),
    };
    let imported = import(&server, &model, &target, &progress::Shown::default()).await?;
    let environment = imported.environment.to_string();
    match args.output {
        Output::Text => {
            if args.dry_run {
                print("dry run: nothing is changed");
            }
            imported.report.to_lines(&environment).iter().for_each(|line| print(line));
        }
        Output::Json => {
            let json = imported.report.to_json(&environment);
            print(&serde_json::to_string_pretty(&json).context("could not print")?);
        }
    }
    let all_taken = imported.report.not_taken().next().is_none();
    Ok(if all_taken { ExitCode::SUCCESS } else { ExitCode::from(NOT_ALL_TAKEN) })
}

/// Reads an environment document, an evaluation context, or an evaluation case.
///
/// # Errors
/// The text is something else, or a part of it is not as it must be.
pub fn parse(text: &str) -> anyhow::Result<Model> {
    let json = Json::parse(text)?;
    let root = Node::root(&json);
    if document::is_document(&root) {
        return Ok(document::read(&root)?);
    }
    let inner = root.get("context");
    let context = if root.has("environment") { &root } else { &inner };
    if !context.has("environment") {
        bail!(
            "it is neither an environment document (with `api_key`) nor an evaluation context (with `environment`)"
        );
    }
    let model = read_context(context)?;
    Ok(model)
}

fn read_context(node: &Node<'_>) -> Result<Model, Misplaced> {
    let mut model = context::read(node, Synthetic::Convert)?;
    context::take_identity(node, &mut model)?;
    Ok(model)
}

/// Writes to a server what it does not have of a model.
///
/// # Errors
/// The server cannot be reached, or refuses.
pub async fn import(
    server: &Management,
    model: &Model,
    target: &Target,
    progress: &dyn Progress,
) -> anyhow::Result<Imported> {
    let mut current = Current::read(server, target).await?;
    let id = plan::environment_id(model, &current, target)?;
    let environment = EnvironmentName { project: target.project.clone(), environment: id };
    if current.environments.iter().any(|other| other.name == environment.to_string()) {
        current.read_environment(server, &environment, model).await?;
    }
    let mut plan = plan::plan(model, &current, target, &environment);
    let mut report = std::mem::take(&mut plan.report);
    let mapping = std::mem::take(&mut plan.mapping);
    if !target.dry_run {
        report.revision = apply::apply(server, &target.project, plan, &target.reason, progress).await?;
    }
    Ok(Imported { environment, mapping, report })
}

fn parse_project(name: &str) -> anyhow::Result<ProjectName> {
    ProjectName::parse(name).map_err(|violation| anyhow::anyhow!(violation.description))
}

fn parse_environment(id: &str) -> anyhow::Result<EnvironmentId> {
    EnvironmentId::parse(id).map_err(|violation| anyhow::anyhow!(violation.description))
}

#[cfg(test)]
mod tests;
