//! The results as JSON, as docs/BENCH.md describes them, and where they go.

use crate::args::Output;
use crate::commands::version::{COMMIT, VERSION};
use crate::failure::Failure;
use crate::print;
use loadtest::report::Machine;
use serde::Serialize;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Grows when a field changes its meaning or goes away; new fields alone do not count.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Document<'a, T> {
    schema: u32,
    command: &'static str,
    date: String,
    spore: Spore,
    machine: &'a Machine,
    result: &'a T,
}

#[derive(Serialize)]
struct Spore {
    version: &'static str,
    commit: Option<&'static str>,
    /// Whether the compiler optimised; figures of other builds are worthless.
    optimised: bool,
}

/// Where results go.
pub(super) struct Sink {
    /// JSON to stdout in place of the table.
    json_only: bool,
    file: Option<(PathBuf, File)>,
    machine: Machine,
}

impl Sink {
    /// Opens the file, if there is one. `-` is stdout.
    pub(super) fn open(path: Option<&Path>, output: Output) -> Result<Self, Failure> {
        let json_only = output == Output::Json || path == Some(Path::new("-"));
        let file = path.filter(|path| *path != Path::new("-")).map(|path| {
            let file = File::create(path).map_err(|error| {
                Failure::new(format!("cannot write {}: {error}", path.display()))
                    .hint("choose another file with --json, or `-` for standard output")
            });
            file.map(|file| (path.to_owned(), file))
        });
        Ok(Self { json_only, file: file.transpose()?, machine: Machine::here() })
    }

    /// Prints the table or the JSON, and writes the file.
    pub(super) fn put<T: Serialize>(
        self,
        command: &'static str,
        result: &T,
        table: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let document = Document {
            schema: SCHEMA,
            command,
            date: loadtest::report::now(),
            spore: Spore { version: VERSION, commit: COMMIT, optimised: !cfg!(debug_assertions) },
            machine: &self.machine,
            result,
        };
        if self.json_only {
            print::json(&document)?;
        } else {
            let Machine { cpu, cores, kernel, kvm, load, .. } = &self.machine;
            print::line(&format!("{cores} x {cpu}, Linux {kernel}, {kvm}, load {load:.2}\n\n{}", table()))?;
        }
        if let Some((path, mut file)) = self.file {
            let text = serde_json::to_string_pretty(&document)
                .map_err(|error| Failure::new(format!("cannot encode the results as JSON: {error}")))?;
            writeln!(file, "{text}")
                .map_err(|error| Failure::new(format!("cannot write {}: {error}", path.display())))?;
        }
        if cfg!(debug_assertions) {
            print::note("note: this is a debug build; its times mean nothing");
        }
        Ok(())
    }
}
