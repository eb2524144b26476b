//! `spore load workloads deploy`.

use super::build;
use crate::args::Output;
use crate::commands::{Context, deploy};
use crate::failure::Failure;
use crate::print;
use gateway::api::{DeployConfig, FunctionDetail};
use loadtest::workloads::{Language, Workload};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Deploys the workloads as `spore deploy` does. One that fails is reported, and the next one tried.
pub(super) async fn run(chosen: Vec<&Workload>, context: &Context) -> Result<(), Failure> {
    let directory = TempDir::new().map_err(|e| Failure::new(format!("no temporary directory: {e}")))?;
    let (programs, others): (Vec<_>, Vec<_>) =
        chosen.iter().copied().partition(|workload| workload.language == Language::Rust);
    let mut details = Vec::new();
    let mut failed = 0;
    for workload in others {
        let path = directory.path().join(&workload.name);
        let written = workload.write(&path).map_err(|e| Failure::new(format!("{}: {e}", path.display())));
        note(one(workload, written.map(|()| path), context).await, &mut details, &mut failed);
    }
    if !programs.is_empty() {
        match build::build(&programs, &directory.path().join("rust")).await {
            Ok(built) => {
                for workload in programs {
                    let path = Ok(built.join(&workload.name));
                    note(one(workload, path, context).await, &mut details, &mut failed);
                }
            }
            Err(failure) => {
                failure.report();
                failed += programs.len();
            }
        }
    }
    if context.output == Output::Json {
        print::json(&details)?;
    }
    if failed == 0 {
        Ok(())
    } else {
        Err(Failure::new(format!("{failed} of {} workloads could not be deployed", chosen.len())))
    }
}

fn note(done: Result<FunctionDetail, Failure>, details: &mut Vec<FunctionDetail>, failed: &mut usize) {
    match done {
        Ok(detail) => details.push(detail),
        Err(failure) => {
            failure.report();
            *failed += 1;
        }
    }
}

async fn one(
    workload: &Workload,
    path: Result<PathBuf, Failure>,
    context: &Context,
) -> Result<FunctionDetail, Failure> {
    let detail = upload(workload, &path?, context).await.map_err(|failure| Failure {
        message: format!("{}: {}", workload.name, failure.message),
        ..failure
    })?;
    if context.output == Output::Table {
        print::line(&context.client.url(&detail.summary.path))?;
    }
    Ok(detail)
}

async fn upload(workload: &Workload, path: &Path, context: &Context) -> Result<FunctionDetail, Failure> {
    let config = DeployConfig {
        runtime: Some(workload.runtime.clone()),
        handler: workload.handler.clone(),
        memory: Some(workload.memory.clone()),
        timeout: Some(workload.timeout.clone()),
        ..DeployConfig::default()
    };
    deploy::package_and_upload(&context.client, path, &workload.name, &config).await
}
