//! Lengths of files and functions.

use super::source::{Source, Tree, block_end};

/// Most lines of a file, tests not counted.
const FILE_LINES_MAX: usize = 800;
/// Lines from which a function counts as long.
const FUNCTION_LINES_MAX: usize = 70;
/// One long function in so many is accepted.
const LONG_ONE_IN: usize = 50;

/// Problems with lengths.
pub(super) fn check(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for file in &tree.rust {
        let lines = file.lines();
        if !file.is_test && lines > FILE_LINES_MAX {
            let path = file.path.display();
            problems.push(format!("{path}: {lines} lines; split it ({FILE_LINES_MAX} at most)"));
        }
    }
    problems.extend(long_functions(&tree.rust));
    problems
}

/// The long functions, if they are too many.
fn long_functions(files: &[Source]) -> Vec<String> {
    let mut count = 0;
    let mut long = Vec::new();
    for file in files {
        for (at, lines) in functions(file) {
            count += 1;
            if lines > FUNCTION_LINES_MAX {
                long.push(format!("{}: a function of {lines} lines; split it", file.place(at)));
            }
        }
    }
    if long.len() * LONG_ONE_IN <= count {
        return Vec::new();
    }
    let head =
        format!("{} of {count} functions have more than {FUNCTION_LINES_MAX} lines (2 % may):", long.len());
    std::iter::once(head).chain(long).collect()
}

/// Place and lines of every function with a body that is not test code.
fn functions(file: &Source) -> Vec<(usize, usize)> {
    let code = file.words("fn").filter(|at| !file.in_tests(*at));
    code.filter_map(|at| {
        let body = body_start(&file.masked, at)?;
        let end = block_end(&file.masked, body)?;
        Some((at, file.text[at..end].matches('\n').count() + 1))
    })
    .collect()
}

/// Where the body of the function at `at` begins; `None` for a declaration and for a function pointer type.
fn body_start(masked: &str, at: usize) -> Option<usize> {
    if masked[at + 2..].trim_start().starts_with('(') {
        return None;
    }
    let mut depth = 0usize;
    for (offset, byte) in masked.bytes().enumerate().skip(at) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.checked_sub(1)?,
            b'{' if depth == 0 => return Some(offset),
            b';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn source(text: &str) -> Source {
        Source::new(PathBuf::from("a.rs"), text.to_owned())
    }

    #[test]
    fn functions_are_found_with_their_length() {
        let text = "fn a(x: [u8; 2]) -> fn(u8) {\n  1\n}\ntrait T {\n  fn b(&self);\n  fn c() { \"}\" }\n}\n\
                    #[cfg(test)]\nmod tests {\n fn d() {}\n}\n";
        let lengths: Vec<usize> = functions(&source(text)).into_iter().map(|(_, lines)| lines).collect();
        assert_eq!(lengths, [3, 1]);
    }

    #[test]
    fn one_long_function_in_fifty_is_accepted() {
        let long = format!("fn long() {{{}}}\n", "\n".repeat(FUNCTION_LINES_MAX));
        let short = |n: usize| "fn short() {}\n".repeat(n);
        assert!(long_functions(&[source(&format!("{long}{}", short(49)))]).is_empty());
        let problems = long_functions(&[source(&format!("{long}{}", short(48)))]);
        assert_eq!(problems[1], "a.rs:1: a function of 71 lines; split it");
    }
}
