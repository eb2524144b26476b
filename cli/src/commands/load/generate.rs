//! `spore load generate`.

use super::trace::Format;
use crate::args::Global;
use crate::failure::{Exit, Failure};
use crate::print;
use clap::Args;
use loadtest::trace::generate::{Shape, files, invocations_file};
use std::io::ErrorKind;
use std::path::PathBuf;

/// Options of `spore load generate`.
#[derive(Debug, Args)]
pub(super) struct GenerateArgs {
    /// Functions
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    functions: u32,
    /// Minutes; calls are as frequent as they are in a day of 1440, however many there are
    #[arg(long, default_value_t = 1440, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20_160))]
    minutes: u32,
    /// Seed: the same one makes the same trace
    #[arg(long, default_value_t = 42, value_name = "N")]
    seed: u64,
    /// Directory to write into; it is made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// azure2019: tables of calls per minute, run times and memory; azure2021: one line for each invocation
    #[arg(long, value_enum, default_value_t = Format::Azure2019)]
    format: Format,
}

pub(super) fn run(args: GenerateArgs, _global: &Global) -> Result<(), Failure> {
    let shape = Shape { functions: args.functions, minutes: args.minutes };
    let written = match args.format {
        Format::Azure2019 => files(shape, args.seed, &args.out),
        Format::Azure2021 => invocations_file(shape, args.seed, &args.out),
    };
    let paths = written.map_err(|error| {
        let failure = Failure::new(format!("cannot write the trace into {}: {error}", args.out.display()));
        match error.kind() {
            ErrorKind::StorageFull => failure.hint("the disk is full; nothing was left behind"),
            ErrorKind::PermissionDenied | ErrorKind::NotADirectory => failure.exit(Exit::Usage),
            _ => failure,
        }
    })?;
    for path in paths {
        print::line(&path.display().to_string())?;
    }
    Ok(())
}
