//! `spore deploy`.

use super::Context;
use crate::args::Output;
use crate::client::multipart::Form;
use crate::client::{self, Client};
use crate::failure::{Exit, Failure};
use crate::package::{self, Manifest};
use crate::print;
use clap::Args;
use gateway::api::{DeployConfig, FunctionDetail};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use std::path::{Path, PathBuf};

/// Options of `spore deploy`.
#[derive(Debug, Args)]
pub(crate) struct DeployArgs {
    /// File or directory with the function; a directory can hold a `spore.toml`
    path: PathBuf,
    /// Name of the function [default: made from PATH]
    #[arg(long)]
    name: Option<String>,
    /// `python3.11`, `node24`, `native` or `provided` [default: guessed]
    #[arg(long)]
    runtime: Option<String>,
    /// Python and Node.js: MODULE.FUNCTION; others: program with its arguments [default: guessed]
    #[arg(long)]
    handler: Option<String>,
    /// Memory of the program [default: 128MiB, with node24 256MiB]
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// Longest run of one request [default: 3s]
    #[arg(long, value_name = "TIME")]
    timeout: Option<String>,
    /// Environment variable; can be given several times
    #[arg(long, value_name = "K=V", value_parser = parse_env)]
    env: Vec<(String, String)>,
    /// Port a native program listens on, given to it as PORT [default: 8080]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Most live VMs at once [default: 128]
    #[arg(long, value_name = "VMS")]
    max_concurrency: Option<usize>,
}

/// Deploys a function and prints its URL.
pub(crate) async fn run(args: DeployArgs, context: &Context) -> Result<(), Failure> {
    let manifest = Manifest::load(&args.path)?;
    let runtime = args.runtime.as_deref().or(manifest.config.runtime.as_deref());
    // First of all: what is not there has no name either.
    let package = pack(&args.path, runtime).await?;
    let name =
        args.name.clone().or(manifest.name).or_else(|| package::name_of(&args.path)).ok_or_else(|| {
            Failure::new(format!("no function name can be made from {}", args.path.display()))
                .hint("say one with --name")
                .exit(Exit::Usage)
        })?;
    announce(&name, &package);
    let detail = upload(&context.client, &name, &merge(args, manifest.config), &package).await?;
    match context.output {
        Output::Json => print::json(&detail),
        Output::Table => print::line(&context.client.url(&detail.summary.path)),
    }
}

/// Deploys a file or a directory, with the packages it asks for.
pub(crate) async fn package_and_upload(
    client: &Client,
    path: &Path,
    name: &str,
    config: &DeployConfig,
) -> Result<FunctionDetail, Failure> {
    let package = pack(path, config.runtime.as_deref()).await?;
    announce(name, &package);
    upload(client, name, config, &package).await
}

fn announce(name: &str, package: &[u8]) {
    print::note(&format!("deploying {name} ({})", crate::units::bytes(package.len() as u64)));
}

/// A package of a file or a directory, with the packages it asks for.
async fn pack(path: &Path, runtime: Option<&str>) -> Result<Vec<u8>, Failure> {
    let installed = package::install(path, runtime).await?;
    package::archive(path, installed.as_ref().map(tempfile::TempDir::path))
}

/// Sends a package (a tar archive) with its configuration.
pub(crate) async fn upload(
    client: &Client,
    name: &str,
    config: &DeployConfig,
    package: &[u8],
) -> Result<FunctionDetail, Failure> {
    let config = serde_json::to_vec(config)
        .map_err(|e| Failure::new(format!("cannot encode the configuration: {e}")))?;
    let mut form = Form::new();
    form.part("config", "application/json", &config);
    form.part("package", "application/x-tar", package);
    let content_type = HeaderValue::try_from(form.content_type())
        .expect("the boundary consists of letters, digits and dashes");
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type)]);
    client.put(&client::function_path(name), headers, form.finish()).await
}

/// What the command line says goes before what `spore.toml` says.
fn merge(args: DeployArgs, file: DeployConfig) -> DeployConfig {
    let mut env = file.env;
    env.extend(args.env);
    DeployConfig {
        runtime: args.runtime.or(file.runtime),
        handler: args.handler.or(file.handler),
        memory: args.memory.or(file.memory),
        timeout: args.timeout.or(file.timeout),
        env,
        port: args.port.or(file.port),
        max_concurrency: args.max_concurrency.or(file.max_concurrency),
    }
}

fn parse_env(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("it must look like NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    fn args(line: &str) -> DeployArgs {
        let words = ["spore", "deploy"].into_iter().chain(line.split_whitespace());
        match Cli::try_parse_from(words).expect("valid").command {
            Command::Deploy(args) => args,
            other => panic!("parsed as {other:?}"),
        }
    }

    #[test]
    fn the_command_line_goes_before_the_file() {
        let file = DeployConfig {
            runtime: Some("native".into()),
            memory: Some("1GiB".into()),
            env: [("A".into(), "file".into()), ("B".into(), "file".into())].into(),
            ..DeployConfig::default()
        };
        let merged = merge(args("x --memory 64MiB --env A=flag --env C=1=2 --port 9"), file);
        assert_eq!(merged.runtime.as_deref(), Some("native"));
        assert_eq!(merged.memory.as_deref(), Some("64MiB"));
        assert_eq!(merged.port, Some(9));
        let env: Vec<_> = merged.env.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(env, ["A=flag", "B=file", "C=1=2"]);
    }

    #[test]
    fn a_variable_needs_a_name() {
        assert!(parse_env("=x").is_err());
        assert!(parse_env("x").is_err());
        assert_eq!(parse_env("x="), Ok(("x".into(), String::new())));
    }
}
