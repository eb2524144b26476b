//! `cargo xtask performance`: measures, and writes docs/PERFORMANCE.md from what was measured.
//!
//! Prose is in the template, docs/PERFORMANCE.template.md. It can hold no number: every number comes from a result, and every
//! section names the experiments its numbers are of, with their commands.
//!
//! | module | what it knows |
//! |---|---|
//! | `experiments` | what is run, and where its result goes |
//! | `render` | the template's placeholders |
//! | `value` | one number or table out of a result |

mod experiments;
mod render;
mod value;

use std::path::{Path, PathBuf};

const TEMPLATE: &str = "docs/PERFORMANCE.template.md";
const DOCUMENT: &str = "docs/PERFORMANCE.md";
const RESULTS: &str = "target/performance";

/// Options of the command.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    /// Runs this experiment alone; all of them without it. The document is written when all have results.
    only: Option<String>,
    /// Little of everything: minutes in place of hours.
    short: bool,
    /// Runs nothing.
    render: bool,
    /// Where results are kept.
    results: Option<PathBuf>,
    /// Where the document goes.
    out: Option<PathBuf>,
}

/// Measures unless told otherwise, and renders.
pub fn run(root: &Path, words: &[&str]) -> Result<(), String> {
    let options = parse(words)?;
    let results = options.results.unwrap_or_else(|| root.join(RESULTS));
    let read =
        |path: &Path| std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
    // Before hours are spent on what cannot be written down.
    let template = read(&root.join(TEMPLATE))?;
    check(&template)?;
    if !options.render {
        experiments::run(root, &results, options.only.as_deref(), options.short)?;
    }
    let path = |name: &str| results.join(format!("{name}.json"));
    if let (Some(_), Some(missing)) = (&options.only, missing(&template, &|name| path(name).exists())?) {
        eprintln!("{DOCUMENT} is not written: there is no result of {missing} yet");
        return Ok(());
    }
    let text = render::render(&template, &|name| {
        let path = path(name);
        let missing = |error| format!("{error}; run `cargo xtask performance --only {name}`");
        serde_json::from_str(&read(&path).map_err(missing)?)
            .map_err(|error| format!("{}: {error}", path.display()))
    })?;
    let out = options.out.unwrap_or_else(|| root.join(DOCUMENT));
    std::fs::write(&out, text).map_err(|error| format!("{}: {error}", out.display()))
}

/// An experiment of the template without a result, if there is one.
fn missing(template: &str, has: &dyn Fn(&str) -> bool) -> Result<Option<String>, String> {
    Ok(render::experiments(template)?.into_iter().find(|name| !has(name)))
}

/// The template names only experiments that exist, and holds no number of its own.
fn check(template: &str) -> Result<(), String> {
    render::check(template)?;
    let unknown =
        render::experiments(template)?.into_iter().find(|name| !experiments::NAMES.contains(&name.as_str()));
    unknown.map_or(Ok(()), |name| Err(format!("the template names {name}, which is no experiment")))
}

fn parse(words: &[&str]) -> Result<Options, String> {
    let mut options = Options::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value =
            || words.next().map(|value| (*value).to_owned()).ok_or_else(|| format!("{word} needs a value"));
        match *word {
            "--render" => options.render = true,
            "--short" => options.short = true,
            "--only" => options.only = Some(value()?),
            "--results" => options.results = Some(value()?.into()),
            "--out" => options.out = Some(value()?.into()),
            _ => {
                return Err(format!(
                    "{word}: usage: cargo xtask performance [--only NAME] [--short] [--render] [--results DIR] [--out FILE]"
                ));
            }
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let options = parse(&["--only", "load-knee", "--results", "x"]).unwrap();
        assert_eq!((options.only.as_deref(), options.render), (Some("load-knee"), false));
        assert!(parse(&["--only"]).is_err() && parse(&["--fast"]).is_err());
    }

    #[test]
    fn what_has_no_result_yet_is_found() {
        let has = |name: &str| name == "a";
        assert_eq!(missing("{{a: source}} {{b: source}}", &has).unwrap().as_deref(), Some("b"));
        assert_eq!(missing("{{a: source}}", &has).unwrap(), None);
    }

    #[test]
    fn the_template_is_in_order() {
        check(&std::fs::read_to_string(crate::root().join(TEMPLATE)).unwrap()).unwrap();
        assert!(check("{{load-sprint: source}}").unwrap_err().contains("load-sprint"));
    }
}
