//! Words that must not stand where they stand.

use super::source::{Source, Tree, line_of};
use std::path::Path;

/// Where `unsafe` may be used: the floor that touches memory, KVM, processes and instructions.
const UNSAFE_FLOOR: [&str; 15] = [
    "runtimes/node/reseed.rs",
    "runtimes/pico/src/arch/",
    "runtimes/pico/src/mm/access.rs",
    "runtimes/pico/src/mm/mod.rs",
    "runtimes/pico/src/mm/plain.rs",
    "runtimes/pico/src/platform/fake.rs",
    "vmm/src/entry.rs",
    "vmm/src/kick.rs",
    "vmm/src/kvm.rs",
    "vmm/src/memory.rs",
    "vmm/src/space.rs",
    "vmm/src/stats.rs",
    "vmm/src/sys.rs",
    "vmm/src/ticks.rs",
    "vmm/src/userfault.rs",
];

/// Crate roots that must forbid it altogether.
const UNSAFE_FORBIDDEN: [&str; 4] =
    ["abi/src/lib.rs", "gateway/src/lib.rs", "cli/src/main.rs", "xtask/src/lib.rs"];

/// Notes to oneself that must not be committed. In pieces, so that this file does not contain them.
const UNFINISHED: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:"), concat!("HA", "CK:")];

/// Problems with words.
pub(super) fn check(tree: &Tree) -> Vec<String> {
    let mut problems: Vec<String> = tree.rust.iter().flat_map(rust).collect();
    problems.extend(forbidden(&tree.rust));
    let texts = tree.docs.iter().chain(&tree.other).map(|(path, text)| (path, text.as_str()));
    for (path, text) in tree.rust.iter().map(|f| (&f.path, f.text.as_str())).chain(texts) {
        for word in UNFINISHED {
            let found = text.match_indices(word).map(|(at, _)| line_of(text, at));
            problems.extend(found.map(|line| format!("{}:{line}: {word}: finish it", path.display())));
        }
    }
    problems
}

fn rust(file: &Source) -> Vec<String> {
    let mut problems = unsafe_code(file);
    for (at, _) in file.masked.match_indices(".unwrap()").filter(|(at, _)| !file.in_tests(*at)) {
        let place = file.place(at);
        problems.push(format!("{place}: unwrap(); handle it, or say in expect() why it cannot fail"));
    }
    for at in file.words("allow") {
        if is_attribute(&file.masked, at) && !attribute(&file.masked, at).contains("reason") {
            problems
                .push(format!("{}: allow without a reason; use #[expect(.., reason = ..)]", file.place(at)));
        }
    }
    problems
}

/// Whether the word at `at` opens an attribute: `#[allow` or `#![allow`.
fn is_attribute(masked: &str, at: usize) -> bool {
    let before = masked[..at].trim_end();
    before.ends_with("#[") || before.ends_with("#![")
}

/// The text from `at` to the end of the attribute.
fn attribute(masked: &str, at: usize) -> &str {
    let rest = &masked[at..];
    &rest[..rest.find(']').unwrap_or(rest.len())]
}

fn unsafe_code(file: &Source) -> Vec<String> {
    let path = file.path.to_string_lossy();
    let floor = UNSAFE_FLOOR.iter().any(|f| path.starts_with(f)) || file.is_test;
    let mut blocks = 0;
    let mut problems = Vec::new();
    for at in file.words("unsafe") {
        if !floor && !file.in_tests(at) {
            problems.push(format!("{}: unsafe outside of the floor modules; move it there", file.place(at)));
        }
        let next = file.masked[at + "unsafe".len()..].trim_start();
        // Attributes like `unsafe(no_mangle)`, types and declarations need no note.
        blocks += usize::from(next.starts_with('{') || next.starts_with("impl"));
    }
    let notes = file.text.matches("SAFETY:").count();
    if notes < blocks {
        problems.push(format!("{path}: {blocks} unsafe blocks and {notes} SAFETY notes"));
    }
    problems
}

fn forbidden(files: &[Source]) -> Vec<String> {
    let missing = |root: &&str| {
        let file = files.iter().find(|f| f.path.as_path() == Path::new(root));
        file.is_none_or(|f| !f.masked.contains("#![forbid(unsafe_code)]"))
    };
    let roots = UNSAFE_FORBIDDEN.into_iter().filter(missing);
    roots.map(|root| format!("{root}: does not begin with #![forbid(unsafe_code)]")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn problems(path: &str, text: &str) -> Vec<String> {
        rust(&Source::new(PathBuf::from(path), text.to_owned()))
    }

    #[test]
    fn unsafe_needs_a_place_and_a_note() {
        let found = problems("gateway/src/x.rs", "fn f() { unsafe { g() } } // unsafe");
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].contains("outside of the floor") && found[1].contains("1 unsafe blocks and 0 SAFETY")
        );
        let noted = "#[unsafe(no_mangle)]\nfn f() {\n  // SAFETY: sound.\n  unsafe { g() }\n}";
        assert!(problems("gateway/tests/x.rs", noted).is_empty());
    }

    #[test]
    fn unwrap_is_for_tests() {
        let text = "fn f() { a.unwrap() }\n// .unwrap()\n#[cfg(test)]\nmod tests { fn g() { b.unwrap() } }\n";
        assert_eq!(problems("a.rs", text).len(), 1);
    }

    #[test]
    fn allow_needs_a_reason() {
        assert_eq!(problems("a.rs", "#[allow(dead_code)]\n#![allow(unused)]\nfn f() {}").len(), 2);
        assert!(problems("a.rs", "#[allow(dead_code, reason = \"generated\")]\nfn allow() {}").is_empty());
    }

    #[test]
    fn roots_without_the_attribute_are_named() {
        let root = |path: &str| Source::new(PathBuf::from(path), "#![forbid(unsafe_code)]".to_owned());
        let mut files: Vec<Source> = UNSAFE_FORBIDDEN.into_iter().map(root).collect();
        assert!(forbidden(&files).is_empty());
        files.pop();
        assert_eq!(forbidden(&files), ["xtask/src/lib.rs: does not begin with #![forbid(unsafe_code)]"]);
    }
}
