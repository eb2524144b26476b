//! The rules of the house that no compiler knows. Each rule is a function from the tree to a list of problems.

mod docs;
mod layers;
mod mask;
mod shape;
mod source;
mod words;

use source::Tree;
use std::path::Path;

/// Checks all rules and lists every problem.
pub fn run(root: &Path) -> Result<(), String> {
    let problems = problems(root)?;
    if problems.is_empty() {
        return Ok(());
    }
    Err(format!("tidy: {} problems\n{}", problems.len(), problems.join("\n")))
}

/// Everything that is not as it should be, one line each: `FILE:LINE: what, and what to do`.
pub fn problems(root: &Path) -> Result<Vec<String>, String> {
    let tree = Tree::load(root)?;
    let mut problems = layers::check(root)?;
    problems.extend(shape::check(&tree));
    problems.extend(words::check(&tree));
    problems.extend(docs::check(&tree));
    Ok(problems)
}
