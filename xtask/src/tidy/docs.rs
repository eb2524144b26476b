//! What the documents say must be true: links resolve, metrics exist, and nothing of one machine is named.

use super::source::{Source, Tree, line_of};
use std::path::{Component, Path, PathBuf};

/// Prefix of the names of our metrics.
const METRIC: &str = "spore_";
/// Endings that Prometheus adds to the name of a histogram.
const HISTOGRAM: [&str; 3] = ["_bucket", "_sum", "_count"];
/// Directories of the machines the project is developed on. In pieces, so that this file does not contain them.
const MACHINE_PATHS: [&str; 2] = [concat!("/wo", "rk"), concat!("/ro", "ot")];

/// Problems with documents.
pub(super) fn check(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for (path, text) in &tree.docs {
        let place = |at: usize| format!("{}:{}", path.display(), line_of(text, at));
        for (at, target) in links(text) {
            if let Some(why) = broken(&tree.root, path, target) {
                problems.push(format!("{}: the link to {target} {why}", place(at)));
            }
        }
        for (at, name) in metrics(text) {
            if !exists(&tree.rust, name) {
                problems.push(format!("{}: no code has a metric {name}", place(at)));
            }
        }
        for at in machine_paths(text) {
            problems.push(format!("{}: names a directory of one machine", place(at)));
        }
    }
    problems
}

/// Targets of inline links, outside of code blocks.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut fenced = false;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        let opens = line.match_indices("](").map(|(at, _)| at + 2).filter(|_| !fenced);
        for at in opens {
            if let Some(end) = line[at..].find(')') {
                let target = line[at..at + end].split_whitespace().next().unwrap_or_default();
                found.push((start + at, target));
            }
        }
        start += line.len();
    }
    found
}

/// Why a link leads nowhere.
fn broken(root: &Path, document: &Path, target: &str) -> Option<&'static str> {
    let path = target.split('#').next().unwrap_or_default();
    if target.contains("://") || target.starts_with("mailto:") || (path.is_empty() && !target.is_empty()) {
        return None;
    }
    let directory = document.parent().unwrap_or_else(|| Path::new(""));
    let mut resolved = PathBuf::new();
    for component in directory.join(path).components() {
        match component {
            Component::ParentDir if !resolved.pop() => return Some("leaves the repository"),
            Component::ParentDir | Component::CurDir => {}
            Component::Normal(name) => resolved.push(name),
            Component::RootDir | Component::Prefix(_) => return Some("is absolute"),
        }
    }
    if root.join(resolved).exists() { None } else { Some("leads nowhere") }
}

/// Names that look like metrics of ours.
fn metrics(text: &str) -> Vec<(usize, &str)> {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let starts = text.match_indices(METRIC).map(|(at, _)| at);
    starts
        .filter(|at| !text[..*at].ends_with(|c: char| inside(c) || c == '/' || c == '-'))
        .map(|at| {
            let rest = &text[at..];
            (at, &rest[..rest.find(|c| !inside(c)).unwrap_or(rest.len())])
        })
        .collect()
}

/// Whether the name stands in a literal of code that is not a test.
fn exists(files: &[Source], name: &str) -> bool {
    let base = HISTOGRAM.iter().find_map(|e| name.strip_suffix(e)).unwrap_or(name);
    let literal = |name: &str| format!("\"{name}\"");
    let (name, base) = (literal(name), literal(base));
    files.iter().any(|f| {
        let found = f.text.match_indices(&name).chain(f.text.match_indices(&base)).map(|(at, _)| at);
        found.into_iter().any(|at| !f.in_tests(at))
    })
}

fn machine_paths(text: &str) -> Vec<usize> {
    let part_of_name = |c: char| c.is_ascii_alphanumeric() || "_-.~}>".contains(c);
    let found = MACHINE_PATHS.iter().flat_map(|p| text.match_indices(p).map(|(at, p)| (at, at + p.len())));
    found
        .filter(|(from, to)| {
            let after = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            !text[..*from].ends_with(part_of_name) && !text[*to..].starts_with(after)
        })
        .map(|(from, _)| from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_of_code() {
        let text = "[a](b.md) and ![c](d.png \"t\")\n```\n[no](x)\n```\n[e](#f)";
        let targets: Vec<&str> = links(text).into_iter().map(|(_, t)| t).collect();
        assert_eq!(targets, ["b.md", "d.png", "#f"]);
    }

    #[test]
    fn links_resolve_from_the_document() {
        let root = crate::root();
        let from = Path::new("xtask/src/tidy.md");
        for (target, why) in [
            ("lib.rs", None),
            ("tidy/mod.rs#L1", None),
            ("../../Cargo.toml", None),
            ("https://example.org/x", None),
            ("#here", None),
            ("absent.rs", Some("leads nowhere")),
            ("../../../etc", Some("leaves the repository")),
            ("/etc/passwd", Some("is absolute")),
        ] {
            assert_eq!(broken(&root, from, target), why, "{target}");
        }
    }

    #[test]
    fn metrics_must_exist() {
        let code =
            "fn f() { counter(\"spore_x_total\"); }\n#[cfg(test)]\nmod t { const A: &str = \"spore_y\"; }";
        let files = [Source::new(PathBuf::from("a.rs"), code.to_owned())];
        let names: Vec<&str> =
            metrics("`spore_x_total{a=\"b\"}`, my_spore_z, spore_y").iter().map(|m| m.1).collect();
        assert_eq!(names, ["spore_x_total", "spore_y"]);
        assert!(exists(&files, "spore_x_total") && exists(&files, "spore_x_total_bucket"));
        assert!(!exists(&files, "spore_y"));
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        let [a, b] = MACHINE_PATHS;
        assert_eq!(machine_paths(&format!("see {a}/main and `{b}`")).len(), 2);
        assert!(machine_paths(&format!("gate{a} net{a} {a}er {b}fs $HOME{b}")).is_empty());
    }
}
