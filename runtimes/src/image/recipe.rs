//! What a root image is made of, as data (`python/recipe.toml`, `node/recipe.toml`, `native/recipe.toml`).

use crate::image::ImageError;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Grows when this module makes another image from the same recipe.
const BUILDER_VERSION: u32 = 1;

/// One root image.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recipe {
    /// Name of the runtime.
    pub(crate) name: String,
    /// Debian release the packages come from.
    pub(crate) suite: String,
    /// What it is for, in the words of a progress line.
    pub(crate) why: String,
    /// Debian packages whose files go into the image.
    pub(crate) packages: Vec<String>,
    /// Debian packages needed to build the image.
    #[serde(default)]
    pub(crate) tools: Vec<String>,
    /// Directories of those packages that go into the image all the same.
    #[serde(default)]
    pub(crate) from_tools: Vec<String>,
    /// Paths removed after unpacking; `*` matches within one name.
    #[serde(default)]
    pub(crate) prune: Vec<String>,
    /// Paths that must exist in the end.
    #[serde(default)]
    pub(crate) expect: Vec<String>,
    /// Symbolic links to add: path to target.
    #[serde(default)]
    pub(crate) links: BTreeMap<String, String>,
    /// Files to add: path to the name of a file beside the recipe.
    #[serde(default)]
    pub(crate) files: BTreeMap<String, String>,
    /// Python modules to compile.
    pub(crate) precompile: Option<Precompile>,
    /// Wheels some files of the image come from.
    #[serde(default)]
    pub(crate) wheels: Vec<Wheel>,
}

/// A wheel of the Python package index, pinned.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wheel {
    /// Name of the project.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// Platform tag.
    pub(crate) platform: String,
    /// Name of the file.
    pub(crate) file: String,
    /// SHA-256 of the file, hex.
    pub(crate) sha256: String,
    /// Programs to take out of it: path in the wheel to path in the image.
    pub(crate) take: BTreeMap<String, String>,
}

/// Byte-compiles Python modules with the image's own interpreter.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Precompile {
    /// The interpreter.
    pub(crate) interpreter: String,
    /// Directories to compile.
    pub(crate) directories: Vec<String>,
    /// Paths below one of the directories that are left alone.
    #[serde(default)]
    pub(crate) skip: Vec<String>,
}

/// A recipe with the text it was read from and the files beside it.
pub(crate) struct Source {
    text: &'static str,
    files: &'static [(&'static str, &'static [u8])],
}

const SOURCES: &[(&str, Source)] = &[
    (
        "python3.11",
        Source {
            text: include_str!("../../python/recipe.toml"),
            files: &[("bootstrap.py", include_bytes!("../../python/bootstrap.py"))],
        },
    ),
    (
        "node24",
        Source {
            text: include_str!("../../node/recipe.toml"),
            files: &[
                ("bootstrap.cjs", include_bytes!("../../node/bootstrap.cjs")),
                ("invocation.cjs", include_bytes!("../../node/invocation.cjs")),
                ("load.cjs", include_bytes!("../../node/load.cjs")),
                ("log.cjs", include_bytes!("../../node/log.cjs")),
                ("random.cjs", include_bytes!("../../node/random.cjs")),
                ("streaming.cjs", include_bytes!("../../node/streaming.cjs")),
                ("reseed.node", include_bytes!(concat!(env!("OUT_DIR"), "/reseed.node"))),
            ],
        },
    ),
    ("native", Source { text: include_str!("../../native/recipe.toml"), files: &[] }),
];

/// Names of all runtimes.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    SOURCES.iter().map(|(name, _)| *name)
}

impl Recipe {
    /// Of these Debian packages and nothing else.
    pub(crate) fn of_packages(packages: &[&str]) -> Self {
        Self {
            name: "packages".to_owned(),
            suite: "bookworm".to_owned(),
            why: "the programs that are asked for".to_owned(),
            packages: packages.iter().map(|&name| name.to_owned()).collect(),
            tools: vec!["libc-bin".to_owned()],
            from_tools: vec!["usr/lib/locale/C.utf8".to_owned()],
            prune: vec![
                "usr/share/doc".to_owned(),
                "usr/share/man".to_owned(),
                "usr/share/lintian".to_owned(),
            ],
            expect: Vec::new(),
            links: BTreeMap::new(),
            files: BTreeMap::new(),
            precompile: None,
            wheels: Vec::new(),
        }
    }
}

impl Source {
    /// No text, no files.
    pub(crate) const NONE: Source = Source { text: "", files: &[] };

    /// The source of runtime `name`.
    pub(crate) fn find(name: &str) -> Result<&'static Source, ImageError> {
        SOURCES.iter().find(|(known, _)| *known == name).map(|(_, source)| source).ok_or_else(|| {
            ImageError::UnknownRuntime {
                name: name.to_owned(),
                known: names().collect::<Vec<_>>().join(", "),
            }
        })
    }

    /// The recipe.
    pub(crate) fn recipe(&self) -> Result<Recipe, ImageError> {
        toml::from_str(self.text).map_err(|e| ImageError::Recipe(e.to_string()))
    }

    /// The contents of a file beside the recipe.
    pub(crate) fn file(&self, name: &str) -> Option<&'static [u8]> {
        self.files.iter().find(|(known, _)| *known == name).map(|(_, content)| *content)
    }

    /// Changes with everything an image depends on except the contents of the Debian packages.
    pub(crate) fn key(&self) -> String {
        let mut digest = Sha256::new();
        digest.update(BUILDER_VERSION.to_le_bytes());
        digest.update(crate::image::WRITER_VERSION.to_le_bytes());
        let files = self.files.iter().map(|(_, content)| *content);
        for content in std::iter::once(self.text.as_bytes()).chain(files) {
            digest.update((content.len() as u64).to_le_bytes());
            digest.update(content);
        }
        crate::hex(&digest.finalize())[..16].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_parses_and_names_itself_and_files_that_exist() {
        for name in names() {
            let source = Source::find(name).unwrap();
            let recipe = source.recipe().unwrap();
            assert_eq!(recipe.name, name);
            assert!(!recipe.packages.is_empty());
            for file in recipe.files.values() {
                assert!(source.file(file).is_some(), "{file} of {name}");
            }
        }
    }

    #[test]
    fn keys_differ_between_runtimes_and_an_unknown_runtime_is_named_with_the_known_ones() {
        let keys: std::collections::BTreeSet<_> = names().map(|n| Source::find(n).unwrap().key()).collect();
        assert_eq!(keys.len(), names().count());
        let error = Source::find("cobol").err().unwrap().to_string();
        assert!(error.contains("cobol") && error.contains("python3.11"), "{error}");
    }
}
