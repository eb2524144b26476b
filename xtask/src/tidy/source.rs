//! The files of the repository, read once.

use super::mask::mask;
use std::fs;
use std::path::{Path, PathBuf};

/// Directories that hold no source of ours.
const SKIPPED: [&str; 3] = [".git", "target", "node_modules"];
/// Files larger than this are data.
const FILE_MAX: u64 = 1 << 20;

/// All text files of the repository.
pub(super) struct Tree {
    /// The workspace's directory.
    pub(super) root: PathBuf,
    /// Rust files.
    pub(super) rust: Vec<Source>,
    /// Markdown files: path relative to the root, and text.
    pub(super) docs: Vec<(PathBuf, String)>,
    /// Scripts, manifests and other text: path relative to the root, and text.
    pub(super) other: Vec<(PathBuf, String)>,
}

/// One Rust file.
pub(super) struct Source {
    /// Path relative to the root.
    pub(super) path: PathBuf,
    /// The file.
    pub(super) text: String,
    /// The file without comments and literals (see [`mask`]).
    pub(super) masked: String,
    /// Whether all of it is test code, by its place.
    pub(super) is_test: bool,
    /// Byte ranges of test modules.
    tests: Vec<(usize, usize)>,
}

impl Tree {
    /// Reads everything.
    pub(super) fn load(root: &Path) -> Result<Self, String> {
        let mut tree = Self { root: root.to_owned(), rust: Vec::new(), docs: Vec::new(), other: Vec::new() };
        tree.directory(Path::new(""))?;
        mark_tests(&mut tree.rust);
        Ok(tree)
    }

    fn directory(&mut self, relative: &Path) -> Result<(), String> {
        let path = self.root.join(relative);
        let unreadable = |e: std::io::Error| format!("tidy cannot read {}: {e}", path.display());
        let mut entries: Vec<_> = fs::read_dir(&path).map_err(unreadable)?.flatten().collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name();
            let relative = relative.join(&name);
            let kind = entry.file_type().map_err(unreadable)?;
            if kind.is_dir() && !SKIPPED.iter().any(|s| name == *s) {
                self.directory(&relative)?;
            } else if kind.is_file() && entry.metadata().map_err(unreadable)?.len() <= FILE_MAX {
                self.file(relative)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, relative: PathBuf) -> Result<(), String> {
        let path = self.root.join(&relative);
        let bytes = fs::read(&path).map_err(|e| format!("tidy cannot read {}: {e}", path.display()))?;
        let Ok(text) = String::from_utf8(bytes) else { return Ok(()) };
        match relative.extension().and_then(|e| e.to_str()) {
            Some("rs") => self.rust.push(Source::new(relative, text)),
            Some("md") => self.docs.push((relative, text)),
            _ => self.other.push((relative, text)),
        }
        Ok(())
    }
}

impl Source {
    /// Prepares a file for the rules.
    pub(super) fn new(path: PathBuf, text: String) -> Self {
        let masked = mask(&text);
        let is_test = path.components().any(|c| c.as_os_str() == "tests" || c.as_os_str() == "benches")
            || path
                .file_stem()
                .and_then(|s| s.to_str())
                .is_some_and(|s| s == "tests" || s.ends_with("_tests"));
        let tests = test_ranges(&text, &masked);
        Self { path, text, masked, is_test, tests }
    }

    /// Whether the byte at `at` is test code.
    pub(super) fn in_tests(&self, at: usize) -> bool {
        self.is_test || self.tests.iter().any(|(from, to)| (*from..*to).contains(&at))
    }

    /// Paths, without extension, of the modules this file declares for tests only.
    fn test_modules(&self) -> Vec<PathBuf> {
        let stem = self.path.file_stem().unwrap_or_default();
        let parent = self.path.parent().unwrap_or_else(|| Path::new(""));
        let is_root = stem == "mod" || stem == "lib" || stem == "main";
        let directory = if is_root { parent.to_owned() } else { parent.join(stem) };
        let declared = self.tests.iter().filter_map(|(from, to)| {
            let name = self.masked[*from..*to].strip_suffix(';')?.split_whitespace().rev();
            let mut words = name.take(2);
            let name = words.next()?;
            (words.next()? == "mod").then(|| directory.join(name))
        });
        declared.collect()
    }

    /// `FILE:LINE` of a byte.
    pub(super) fn place(&self, at: usize) -> String {
        format!("{}:{}", self.path.display(), line_of(&self.text, at))
    }

    /// Lines that are not test code.
    pub(super) fn lines(&self) -> usize {
        let tests: usize =
            self.tests.iter().map(|(from, to)| self.text[*from..*to].matches('\n').count()).sum();
        self.text.matches('\n').count() - tests
    }

    /// Places of a whole word in the code (not in comments and literals).
    pub(super) fn words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        let inside = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let bytes = self.masked.as_bytes();
        self.masked.match_indices(word).map(|(at, _)| at).filter(move |at| {
            let before = at.checked_sub(1).is_some_and(|b| inside(bytes[b]));
            let after = bytes.get(at + word.len()).is_some_and(|b| inside(*b));
            !before && !after
        })
    }
}

/// Line number of a byte, from 1.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() + 1
}

/// End of the block that begins at the first `{` at or after `from`, in masked text.
pub(super) fn block_end(masked: &str, from: usize) -> Option<usize> {
    let open = from + masked[from..].find('{')?;
    let mut depth = 0usize;
    for (at, byte) in masked.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return Some(at + 1),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Marks the files of modules that are declared for tests only.
fn mark_tests(files: &mut [Source]) {
    let modules: Vec<PathBuf> = files.iter().flat_map(Source::test_modules).collect();
    for file in files {
        file.is_test |=
            modules.iter().any(|m| file.path.starts_with(m) || file.path == m.with_extension("rs"));
    }
}

/// What follows `#[cfg(test)]`: a module or an item with a block.
fn test_ranges(text: &str, masked: &str) -> Vec<(usize, usize)> {
    let starts = masked.match_indices("#[cfg(test)]").map(|(at, _)| at);
    starts
        .filter_map(|at| {
            let semicolon = masked[at..].find(';').map(|s| at + s);
            let brace = masked[at..].find('{').map(|b| at + b);
            match (semicolon, brace) {
                (Some(s), brace) if brace.is_none_or(|b| s < b) => Some((at, s + 1)),
                (_, Some(_)) => Some((at, block_end(masked, at).unwrap_or(text.len()))),
                _ => None,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source::new(PathBuf::from(path), text.to_owned())
    }

    #[test]
    fn test_code_is_known_by_place_and_by_attribute() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() { \"}\" }\n}\nfn c() {}\n";
        let file = source("x/src/lib.rs", text);
        let at = |needle| text.find(needle).expect("in the text");
        assert!(!file.in_tests(at("fn a")) && file.in_tests(at("fn b")) && !file.in_tests(at("fn c")));
        assert_eq!(file.lines(), 3);
        assert!(source("x/tests/a.rs", "").is_test && source("x/src/tests.rs", "").is_test);
        assert!(source("x/src/lambda_tests.rs", "").is_test && !source("x/src/contests.rs", "").is_test);
    }

    #[test]
    fn modules_declared_for_tests_are_test_code() {
        let mut files = [
            source("x/src/fs/mod.rs", "mod real;\n#[cfg(test)]\nmod rig;\n"),
            source("x/src/fs/rig.rs", ""),
            source("x/src/fs/rig/deep.rs", ""),
            source("x/src/fs/real.rs", "#[cfg(test)]\npub(crate) mod inner;"),
            source("x/src/fs/real/inner.rs", ""),
        ];
        mark_tests(&mut files);
        assert_eq!(files.map(|f| f.is_test), [false, true, true, false, true]);
    }

    #[test]
    fn words_are_whole_and_in_code() {
        let file = source("a.rs", "unsafe fn f() {} // unsafe\nlet unsafely = \"unsafe\"; unsafe {}");
        assert_eq!(file.words("unsafe").map(|at| file.place(at)).collect::<Vec<_>>(), ["a.rs:1", "a.rs:2"]);
    }
}
