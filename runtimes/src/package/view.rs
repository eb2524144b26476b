//! A short description of a package: enough to guess what it is and to plan how to start it. It can be stored
//! beside the image, so that neither has to be done from the package again.

use super::unpack::{Entry, PackageTree};
use crate::elf::{self, Elf, ElfKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most bytes of a Python file that are searched for handlers.
const SOURCE_MAX_BYTES: usize = 4 << 20;
/// Names a handler is looked for under, best first.
pub(crate) const HANDLER_NAMES: &[&str] = &["handler", "lambda_handler"];

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// An ELF file.
    Elf(Elf),
    /// A Python source file.
    Python {
        /// Those of the usual handler names that it defines at its top level, best first.
        handlers: Vec<String>,
    },
    /// A script that names its interpreter in its first line.
    Script,
    /// A symbolic link.
    Symlink,
    /// Anything else.
    Data,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileView {
    /// Size.
    pub bytes: u64,
    /// What it is.
    pub kind: FileKind,
}

/// All files of a package by path (`a/b/c`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageView {
    /// The files; directories are not listed.
    pub files: BTreeMap<String, FileView>,
}

impl PackageView {
    /// Describes a package.
    pub fn of(tree: &PackageTree) -> Self {
        let files = tree.entries().iter().filter_map(|(path, entry)| {
            let file = match entry {
                Entry::Directory => return None,
                Entry::Symlink { target } => FileView { bytes: target.len() as u64, kind: FileKind::Symlink },
                Entry::File { data, .. } => FileView { bytes: data.len() as u64, kind: kind_of(path, data) },
            };
            Some((path.clone(), file))
        });
        Self { files: files.collect() }
    }

    /// ELF programs (not libraries) with their paths.
    pub(crate) fn programs(&self) -> impl Iterator<Item = &str> {
        self.files.iter().filter_map(|(path, file)| match &file.kind {
            FileKind::Elf(elf) if elf.kind == ElfKind::Program => Some(path.as_str()),
            _ => None,
        })
    }

    /// Python files in the top directory: module name and the usual handlers it defines.
    pub(crate) fn top_modules(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.files.iter().filter_map(|(path, file)| match &file.kind {
            FileKind::Python { handlers } if !path.contains('/') => {
                path.strip_suffix(".py").map(|module| (module, handlers.as_slice()))
            }
            _ => None,
        })
    }

    /// Whether the Python module `a.b` is in the package.
    pub(crate) fn has_module(&self, module: &str) -> bool {
        let base = module.replace('.', "/");
        let is_file = |suffix: &str| self.files.contains_key(&format!("{base}{suffix}"));
        let extension = format!("{base}.");
        is_file(".py")
            || is_file("/__init__.py")
            || is_file(".pyc")
            || self.files.keys().any(|path| path.starts_with(&extension) && path.ends_with(".so"))
    }
}

fn kind_of(path: &str, data: &[u8]) -> FileKind {
    if let Some(elf) = elf::inspect(data) {
        FileKind::Elf(elf)
    } else if path.ends_with(".py") {
        FileKind::Python { handlers: handlers(&data[..data.len().min(SOURCE_MAX_BYTES)]) }
    } else if data.starts_with(b"#!") {
        FileKind::Script
    } else {
        FileKind::Data
    }
}

/// The usual handler names that `source` binds at its top level: `def`, assignment or import. A guess that the
/// import at deploy confirms or refutes.
fn handlers(source: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(source);
    let binds = |line: &str, name: &str| {
        let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        if let Some(rest) = line.strip_prefix("def ") {
            return rest.trim_start().strip_prefix(name).is_some_and(ends);
        }
        if line.starts_with("from ") || line.starts_with("import ") {
            return line.split_once("import ").is_some_and(|(_, names)| {
                names.split(',').any(|part| part.split_whitespace().last() == Some(name))
            });
        }
        line.strip_prefix(name).is_some_and(|rest| {
            let rest = rest.trim_start();
            rest.starts_with('=') && !rest.starts_with("==")
        })
    };
    HANDLER_NAMES
        .iter()
        .filter(|name| text.lines().any(|line| binds(line, name)))
        .map(|name| (*name).to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handlers_are_found_where_they_are_bound_at_the_top_level() {
        let found = |source: &str| handlers(source.as_bytes());
        assert_eq!(found("import x\n\ndef handler(event, context):\n    pass\n"), ["handler"]);
        assert_eq!(found("def  lambda_handler (e, c): pass"), ["lambda_handler"]);
        assert_eq!(found("handler = make()\n"), ["handler"]);
        assert_eq!(found("from web import app, run as handler\n"), ["handler"]);
        assert_eq!(found("lambda_handler = x\ndef handler(e, c): pass"), ["handler", "lambda_handler"]);
        for none in [
            "    def handler(e, c): pass",
            "def handlers(e, c): pass",
            "handler == 1",
            "# handler",
            "handler()",
            "",
        ] {
            assert_eq!(found(none), [""; 0], "{none}");
        }
    }
}
