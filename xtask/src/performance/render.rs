//! The template: text with placeholders `{{EXPERIMENT: WHAT}}`.

use super::value::value;
use serde_json::Value;
use std::collections::BTreeSet;

/// Gives the result of an experiment.
type Load<'a> = &'a dyn Fn(&str) -> Result<Value, String>;

/// The template with every placeholder replaced.
pub(super) fn render(template: &str, load: Load<'_>) -> Result<String, String> {
    check(template)?;
    let mut text = String::from(
        "<!-- Made by `cargo xtask performance` from docs/PERFORMANCE.template.md: edit that. -->\n",
    );
    for part in parts(template)? {
        match part {
            Part::Text(plain) => text.push_str(plain),
            Part::Place { experiment, what } => {
                let found = value(&load(experiment)?, what);
                text.push_str(&found.map_err(|why| format!("{{{{{experiment}: {what}}}}}: {why}"))?);
            }
        }
    }
    Ok(text)
}

/// The experiments that a template needs.
pub(super) fn experiments(template: &str) -> Result<BTreeSet<String>, String> {
    let names = parts(template)?.into_iter().filter_map(|part| match part {
        Part::Place { experiment, .. } => Some(experiment.to_owned()),
        Part::Text(_) => None,
    });
    Ok(names.collect())
}

/// Refuses numbers that come from nowhere, and sections that do not say what their numbers are of.
pub(super) fn check(template: &str) -> Result<(), String> {
    for (at, section) in sections(template).into_iter().enumerate() {
        let (mut used, mut named, mut plain) = (BTreeSet::new(), BTreeSet::new(), String::new());
        for part in parts(section)? {
            match part {
                Part::Text(text) => plain.push_str(text),
                Part::Place { experiment, what } => {
                    used.insert(experiment);
                    if what == "source" {
                        named.insert(experiment);
                    }
                    plain.push(' ');
                }
            }
        }
        if let Some(number) = first_number(&plain) {
            return Err(format!(
                "section {at} of the template holds the number {number}, which is of no experiment"
            ));
        }
        if let Some(missing) = used.difference(&named).next() {
            return Err(format!(
                "section {at} of the template does not name its experiment: {{{{{missing}: source}}}}"
            ));
        }
    }
    Ok(())
}

/// The text cut before each heading.
fn sections(template: &str) -> Vec<&str> {
    let starts = template.match_indices("\n#").map(|(at, _)| at + 1);
    let starts: Vec<usize> = std::iter::once(0).chain(starts).chain([template.len()]).collect();
    starts.windows(2).map(|ends| &template[ends[0]..ends[1]]).collect()
}

enum Part<'a> {
    Text(&'a str),
    Place { experiment: &'a str, what: &'a str },
}

fn parts(template: &str) -> Result<Vec<Part<'_>>, String> {
    let (mut parts, mut rest) = (Vec::new(), template);
    while let Some((text, after)) = rest.split_once("{{") {
        let (inside, after) = after.split_once("}}").ok_or("a placeholder of the template does not end")?;
        let (experiment, what) =
            inside.split_once(": ").ok_or_else(|| format!("{{{{{inside}}}}} has no `: `"))?;
        parts.extend([Part::Text(text), Part::Place { experiment, what }]);
        rest = after;
    }
    parts.push(Part::Text(rest));
    Ok(parts)
}

/// The first word that is a number, outside of code.
fn first_number(text: &str) -> Option<String> {
    let prose: String = text.split('`').step_by(2).collect::<Vec<_>>().join(" ");
    let words = prose.split(|c: char| c.is_whitespace() || "()|:;/".contains(c));
    let mut words = words.map(|word| word.trim_matches(|c: char| ",.%".contains(c)));
    let number = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit());
    words.find(number).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn load(name: &str) -> Result<Value, String> {
        match name {
            "load-x" => Ok(json!({
                "command": "spore load experiment x", "date": "d", "tool": { "version": "1", "optimised": true },
                "machine": { "load": 0.5 },
                "measures": [{ "name": "a p50", "unit": "ms", "values": [1.0, 3.0] }],
            })),
            _ => Err(format!("no {name}")),
        }
    }

    #[test]
    fn placeholders_become_what_was_measured() {
        let text = render("# A\nIt takes {{load-x: measure a p50}}. {{load-x: source}}\n", &load).unwrap();
        assert!(text.contains("It takes 2.00 ms (1.00 to 3.00)."), "{text}");
        assert!(text.contains("`spore load experiment x`"), "{text}");
    }

    #[test]
    fn numbers_without_an_experiment_are_refused() {
        for template in ["It takes 5 ms.", "about 1,000 of them", "# A\n| x | 0.3 |"] {
            assert!(check(template).unwrap_err().contains("number"), "{template}");
        }
        for template in ["p99 of `spore bench fork --count 300`, x86-64", "```\nrun 5\n```"] {
            check(template).unwrap();
        }
    }

    #[test]
    fn a_section_names_its_experiments_and_missing_results_are_errors() {
        assert!(
            check("# A\n{{load-x: measure a p50}}\n# B\n{{load-x: source}}")
                .unwrap_err()
                .contains("load-x: source")
        );
        assert!(render("{{load-y: source}}", &load).unwrap_err().contains("no load-y"));
        assert!(render("{{load-x: measure b}}{{load-x: source}}", &load).unwrap_err().contains("no measure"));
        assert!(render("{{load-x", &load).is_err() && render("{{x}}", &load).is_err());
    }
}
