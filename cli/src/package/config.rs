//! `spore.toml`, and the name a function gets when nobody says one.

use crate::failure::{Exit, Failure};
use gateway::api::DeployConfig;
use serde::Deserialize;
use std::fs;
use std::path::Path;

/// File with a function's configuration, in the directory that is deployed.
const FILE: &str = "spore.toml";
/// Longest `spore.toml` that is read, in bytes.
const FILE_MAX: u64 = 64 << 10;
/// Longest name made from a path.
const NAME_MAX: usize = 63;

/// What `spore.toml` says.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Manifest {
    /// Name of the function.
    pub(crate) name: Option<String>,
    /// The rest.
    pub(crate) config: DeployConfig,
}

impl Manifest {
    /// The manifest of what is being deployed: empty for a single file or without a `spore.toml`.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        let file = path.join(FILE);
        if !path.is_dir() || !file.exists() {
            return Ok(Self::default());
        }
        let bad = |e: String| Failure::new(format!("{}: {e}", file.display())).exit(Exit::Usage);
        let size = fs::metadata(&file).map_err(|e| bad(e.to_string()))?.len();
        if size > FILE_MAX {
            return Err(bad(format!("larger than {FILE_MAX} bytes")));
        }
        let text = fs::read_to_string(&file).map_err(|e| bad(e.to_string()))?;
        Self::parse(&text).map_err(bad)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut table: toml::Table = text.parse().map_err(|e: toml::de::Error| e.to_string())?;
        let name = match table.remove("name") {
            None => None,
            Some(toml::Value::String(name)) => Some(name),
            Some(_) => return Err("`name` must be a string".to_owned()),
        };
        let config = DeployConfig::deserialize(toml::Value::Table(table)).map_err(|e| e.to_string())?;
        Ok(Self { name, config })
    }
}

/// The manifest in the text of a `spore.toml`.
pub(crate) fn parse_manifest(text: &str) -> Result<Manifest, Failure> {
    Manifest::parse(text).map_err(|e| Failure::new(format!("{FILE}: {e}")).exit(Exit::Usage))
}

/// A function name made from a file or directory name: `My_App.py` gives `my-app`.
pub(crate) fn name_of(path: &Path) -> Option<String> {
    let full = fs::canonicalize(path).ok()?;
    let name = if full.is_dir() { full.file_name() } else { full.file_stem() };
    sanitise(&name?.to_string_lossy())
}

fn sanitise(text: &str) -> Option<String> {
    let mut name = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            name.push(c.to_ascii_lowercase());
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    name.truncate(NAME_MAX);
    let name = name.trim_end_matches('-').to_owned();
    if name.is_empty() { None } else { Some(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_has_a_name_and_the_deploy_fields() {
        let manifest = Manifest::parse(
            "name = \"n\"\nruntime = \"native\"\nport = 9000\nmemory = \"64MiB\"\n[env]\nA = \"b\"\n",
        )
        .expect("valid");
        assert_eq!(manifest.name.as_deref(), Some("n"));
        assert_eq!(manifest.config.port, Some(9000));
        assert_eq!(manifest.config.env["A"], "b");
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("memroy = \"1GiB\"", "memroy"),
            ("name = 1", "`name` must be"),
            ("port = 70000", "70000"),
            ("=", ""),
        ] {
            let error = Manifest::parse(text).expect_err(text);
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn names_are_made_from_paths() {
        for (text, name) in [
            ("My_App", Some("my-app")),
            ("hello", Some("hello")),
            ("--a..b--", Some("a-b")),
            ("1st", Some("1st")),
            ("___", None),
            ("é", None),
        ] {
            assert_eq!(sanitise(text).as_deref(), name, "{text}");
        }
        assert_eq!(sanitise(&"a".repeat(100)).expect("a name").len(), NAME_MAX);
    }
}
