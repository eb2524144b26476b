//! The command line.

use crate::commands::{bench, deploy, describe, doctor, invoke, load, logs, rm, run, up};
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Where the platform listens unless told otherwise.
pub(crate) const DEFAULT_LISTEN: &str = "127.0.0.1:8080";
const DEFAULT_URL: &str = "http://127.0.0.1:8080";

/// Serverless functions, each request in a fork of a warm VM.
#[derive(Debug, Parser)]
#[command(name = "spore", version, propagate_version = true, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 not allowed, \
                          5 the function failed, 124 timeout, 130 interrupted.";

/// Options every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Where the platform is
    #[arg(long, global = true, env = "SPORE_URL", default_value = DEFAULT_URL, value_name = "URL")]
    pub(crate) url: String,
    /// How to print data
    #[arg(long, short, global = true, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

/// How data is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Table,
    /// For programs
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the platform on this machine
    #[command(visible_alias = "start", alias = "serve")]
    Up(up::UpArgs),
    /// Deploy a function from a file or directory and print its URL
    Deploy(deploy::DeployArgs),
    /// Call a function and print its answer
    #[command(visible_alias = "call")]
    Invoke(invoke::InvokeArgs),
    /// List the functions
    #[command(visible_alias = "list")]
    Ls,
    /// Show everything known about a function
    #[command(visible_alias = "get", alias = "inspect")]
    Describe(describe::DescribeArgs),
    /// List the live VMs
    Ps,
    /// Show a function's log
    Logs(logs::LogsArgs),
    /// Remove functions
    #[command(visible_alias = "remove", alias = "delete")]
    Rm(rm::RmArgs),
    /// Run a program in a VM of its own
    Run(run::RunArgs),
    /// Check whether this machine can run the platform
    Doctor(doctor::DoctorArgs),
    /// Measure this machine: forks, live children, other ways to start, a long run
    Bench(bench::BenchArgs),
    /// Load an HTTP server and report what it did: latency, failures, limits
    Load(Box<load::LoadArgs>),
    /// Print the version
    Version,
    /// Prepare the runtime images ahead of the first deploy
    #[command(hide = true)]
    Images,
    /// One function's VMs; started by the platform
    #[command(hide = true)]
    Cell,
    /// Live children of `spore bench density`; started by it
    #[command(hide = true)]
    BenchChildren,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn obvious_aliases_work() {
        for (alias, rest) in [
            ("list", None),
            ("call", Some("f")),
            ("get", Some("f")),
            ("delete", Some("f")),
            ("remove", Some("f")),
        ] {
            let line = ["spore", alias].into_iter().chain(rest);
            assert!(Cli::try_parse_from(line).is_ok(), "{alias}");
        }
    }
}
