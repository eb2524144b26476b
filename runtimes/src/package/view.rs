//! A short description of a package: enough to guess what it is and to plan how to start it. It can be stored
//! beside the image, so that neither has to be done from the package again.

use super::unpack::{Entry, PackageTree};
use crate::elf::{self, Elf, ElfKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most bytes of a source file that are searched for handlers.
const SOURCE_MAX_BYTES: usize = 4 << 20;
/// Names a handler is looked for under, best first.
pub(crate) const HANDLER_NAMES: &[&str] = &["handler", "lambda_handler"];
/// Names a handler of a JavaScript module is looked for under, best first.
const EXPORT_NAMES: &[&str] = &["handler", "lambdaHandler"];
/// Endings of JavaScript modules, in the order they are looked for.
pub(crate) const SCRIPT_ENDINGS: [&str; 3] = [".js", ".mjs", ".cjs"];

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
    /// A JavaScript module.
    JavaScript {
        /// Those of the usual handler names that it seems to export, best first.
        handlers: Vec<String>,
    },
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

    /// JavaScript modules in the top directory: name without ending and the usual handlers it exports.
    pub(crate) fn top_scripts(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.files.iter().filter_map(|(path, file)| match &file.kind {
            FileKind::JavaScript { handlers } if !path.contains('/') => {
                path.rsplit_once('.').map(|(module, _)| (module, handlers.as_slice()))
            }
            _ => None,
        })
    }

    /// Whether the JavaScript module `a/b` is in the package.
    pub(crate) fn has_script(&self, module: &str) -> bool {
        SCRIPT_ENDINGS.iter().any(|ending| self.files.contains_key(&format!("{module}{ending}")))
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
    } else if SCRIPT_ENDINGS.iter().any(|ending| path.ends_with(ending)) && !path.contains("node_modules/") {
        FileKind::JavaScript { handlers: exports(&data[..data.len().min(SOURCE_MAX_BYTES)]) }
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

/// The usual handler names that a JavaScript module seems to export, in the syntax of either kind of module. A guess too.
fn exports(source: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(source);
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    let mut found = Vec::new();
    let mut in_list = false;
    for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
        in_list |= line.contains("export");
        if in_list {
            let words = line.split(|c| !is_word(c));
            found.extend(words.filter_map(|word| EXPORT_NAMES.iter().find(|name| **name == word)));
        }
        // A list of names goes on over several lines, to its brace.
        in_list &= line.rfind('{') > line.rfind('}') || !line.contains(['{', '}', ';', '=']);
    }
    EXPORT_NAMES.iter().filter(|name| found.contains(name)).map(|name| (*name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exported_handlers_are_found_in_both_kinds_of_modules() {
        let found = |source: &str| exports(source.as_bytes());
        for source in [
            "export const handler = async (event) => {}",
            "export async function handler(event) {\n}",
            "const handler = 1;\nexport { handler };",
            "export {\n  other,\n  handler,\n};",
            "exports.handler = async () => {}",
            "module.exports = { handler }",
            "module.exports.handler = f;",
            "import x from 'x';\nexport { run as handler } from './run.mjs'",
        ] {
            assert_eq!(found(source), ["handler"], "{source}");
        }
        assert_eq!(found("exports.lambdaHandler = f"), ["lambdaHandler"]);
        for none in [
            "const handler = 1",
            "// export handler",
            "export const handlers = 1",
            "export const a = 1;\nhandler()",
        ] {
            assert_eq!(found(none), [""; 0], "{none}");
        }
    }

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
