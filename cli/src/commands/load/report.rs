//! `spore load report`.

use super::files;
use crate::args::{Global, Output};
use crate::failure::Failure;
use crate::print;
use clap::Args;
use std::path::PathBuf;

/// Options of `spore load report`.
#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// A result: the file `result.json` that an experiment wrote
    #[arg(value_name = "RESULT.json")]
    result: PathBuf,
    /// Where the files go; made if it is not there. By default where the result is
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: ReportArgs, global: &Global) -> Result<(), Failure> {
    let document = files::read(&args.result)?;
    let beside = || args.result.parent().map(PathBuf::from).unwrap_or_default();
    let out = args.out.unwrap_or_else(beside);
    let out = if out.as_os_str().is_empty() { PathBuf::from(".") } else { out };
    let written = loadtest::report::files::write_derived(&out, &document)
        .map_err(|error| Failure::new(error.to_string()))?;
    match global.output {
        Output::Json => print::json(&written),
        Output::Table => written.iter().try_for_each(|path| print::line(&path.display().to_string())),
    }
}
