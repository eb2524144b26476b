//! Functions to load a platform with: they do real work, and know what their answer must be.
//!
//! Their files and their manifest (`loadtest/workloads/`) are inside the program. Whoever deploys them writes the files to a
//! directory; load is made of their [`Workload::call`].

mod files;

use crate::call::Call;
use crate::expect::Expect;
use bytes::Bytes;
use files::FILES;
use http::{HeaderName, HeaderValue, Method};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;
use std::{fs, io};

/// Where the workloads are in the repository.
const HOME: &str = "loadtest/workloads/";
const MANIFEST: &str = include_str!("../../workloads/manifest.json");

/// A workload, as the manifest says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Name of the function: what it does, and in which language.
    pub name: String,
    /// What it does, the same in every language.
    pub workload: String,
    /// The same in a sentence.
    pub about: String,
    /// Names of suites of benchmarks that have something like it, and its name there.
    pub suites: BTreeMap<String, String>,
    /// Language it is written in.
    pub language: Language,
    /// Runtime it is deployed to.
    pub runtime: String,
    /// Handler; none if it is a program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handler: Option<String>,
    /// Its directory in `loadtest/workloads/`.
    pub directory: String,
    /// Memory it needs, whatever its parameters are.
    pub memory: String,
    /// More time than it needs, whatever its parameters are.
    pub timeout: String,
    /// What it is asked.
    pub request: Request,
    /// What it must answer.
    pub expect: Expect,
}

/// A language, which says how the files become a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Language {
    /// The directory, with `workload.py`.
    Python,
    /// The directory, with `workload.mjs`.
    Node,
    /// A program of the crate `rust-workloads`, which has to be built.
    Rust,
}

/// A request, without the function's part of the path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Method.
    pub method: String,
    /// Path, `/` at the beginning.
    pub path: String,
    /// Headers.
    pub headers: BTreeMap<String, String>,
    /// Body.
    pub body: String,
}

/// No workload has this name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("no workload is named `{0}`")]
pub struct Unknown(pub String);

static ALL: LazyLock<Vec<Workload>> =
    LazyLock::new(|| serde_json::from_str(MANIFEST).expect("the manifest is valid: a test reads it"));

/// All workloads.
pub fn all() -> &'static [Workload] {
    &ALL
}

/// The workloads with these names, in the manifest's order. `hello` is `hello-python` and all others that say hello.
pub fn select(names: &[String]) -> Result<Vec<&'static Workload>, Unknown> {
    if let Some(unknown) = names.iter().find(|name| !all().iter().any(|workload| workload.is(name))) {
        return Err(Unknown(unknown.clone()));
    }
    Ok(all().iter().filter(|workload| names.iter().any(|name| workload.is(name))).collect())
}

impl Workload {
    fn is(&self, name: &str) -> bool {
        self.name == name || self.workload == name
    }

    /// The request, with its path below `base` (such as `/function/NAME`).
    pub fn call(&self, base: &str) -> Call {
        let header = |(name, value): (&String, &String)| {
            let name: HeaderName =
                name.parse().expect("headers of the manifest are valid: a test makes them");
            let value: HeaderValue = value.parse().expect("headers of the manifest are valid");
            (name, value)
        };
        Call {
            name: self.name.clone(),
            method: self.request.method.parse::<Method>().expect("methods of the manifest are valid"),
            path: format!("{base}{}", self.request.path),
            headers: self.request.headers.iter().map(header).collect(),
            body: Bytes::from(self.request.body.clone()),
            expect: self.expect.clone(),
        }
    }

    /// Writes what is deployed to `directory`: for Rust, the sources of all programs.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        FILES.iter().filter_map(|(path, content)| Some((self.place(path)?, content))).try_for_each(
            |(place, content)| {
                let file = directory.join(place);
                fs::create_dir_all(file.parent().unwrap_or(directory))?;
                fs::write(file, content)
            },
        )
    }

    /// Where a file of the repository belongs, if it belongs to this workload.
    fn place<'a>(&self, path: &'a str) -> Option<&'a str> {
        let here = path.strip_prefix(HOME);
        match self.language {
            Language::Python | Language::Node => {
                let (language, own) = (self.directory.split_once('/')?.0, self.directory.as_str());
                let own = here?.strip_prefix(own).and_then(|rest| rest.strip_prefix('/'));
                // What lies beside the directories is shared by them.
                let shared =
                    here?.strip_prefix(language)?.strip_prefix('/').filter(|rest| !rest.contains('/'));
                own.or(shared)
            }
            Language::Rust if here == Some("rust/workspace.toml") => Some("Cargo.toml"),
            Language::Rust => {
                let crates = here.is_some_and(|rest| rest.starts_with("rust/"));
                (crates || path.starts_with("examples/")).then_some(path)
            }
        }
    }
}

#[cfg(test)]
mod tests;
