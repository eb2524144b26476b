//! What a JavaScript function's `package.json` asks for must lie in `node_modules`: packages are not installed at deploy.

use crate::failure::Failure;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// The file that says what is needed.
const FILE: &str = "package.json";
/// Where it lies.
const DIRECTORY: &str = "node_modules";
/// Most names in an error.
const LISTED_MAX: usize = 8;

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    dependencies: BTreeMap<String, serde_json::Value>,
}

/// Refuses a function in `path` that lacks packages its `package.json` depends on. A function of another runtime, and
/// one that is a single file, has none to lack.
pub(crate) fn check(path: &Path, runtime: Option<&str>) -> Result<(), Failure> {
    let node = runtime.is_none_or(|runtime| runtime.starts_with("node"));
    let file = path.join(FILE);
    if !node || !file.is_file() {
        return Ok(());
    }
    let text = std::fs::read(&file)
        .map_err(|error| Failure::new(format!("cannot read {}: {error}", file.display())))?;
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|error| Failure::new(format!("{} is not a package.json: {error}", file.display())))?;
    let directory = path.join(DIRECTORY);
    let names = manifest.dependencies.keys().map(String::as_str);
    let missing: Vec<&str> = names.filter(|name| !directory.join(name).exists()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut listed = missing[..missing.len().min(LISTED_MAX)].join(", ");
    if missing.len() > LISTED_MAX {
        listed = format!("{listed} and {} more", missing.len() - LISTED_MAX);
    }
    let message = format!("{} depends on {listed}, which node_modules does not have", file.display());
    Err(Failure::new(message).hint(format!("run `npm install` in {} first", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn packages_must_be_there() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path();
        check(path, None).expect("nothing is asked for");
        fs::write(path.join(FILE), r#"{"type": "module", "dependencies": {"one": "1", "@a/two": "^2"}}"#)
            .expect("write");
        let failure = check(path, None).expect_err("both are missing");
        assert!(failure.message.contains("depends on @a/two, one"), "{}", failure.message);
        assert!(failure.hint.contains("npm install"), "{}", failure.hint);
        check(path, Some("python3.11")).expect("not for Python");
        fs::create_dir_all(path.join("node_modules/@a/two")).expect("mkdir");
        assert!(check(path, Some("node24")).expect_err("one is missing").message.contains("depends on one,"));
        fs::create_dir_all(path.join("node_modules/one")).expect("mkdir");
        check(path, None).expect("both are there");
        fs::write(path.join(FILE), "{").expect("write");
        assert!(check(path, None).expect_err("broken").message.contains("package.json"));
    }
}
