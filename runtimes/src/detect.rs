//! Guesses what a package is, when the user did not say. Only the obvious is guessed; in doubt the answer is an
//! error that says what was found and which flags decide.

use crate::launch::{NATIVE, NODE, PROVIDED, PYTHON, relative, runtime, script_of};
use crate::package::{FileKind, PackageView};

/// File names that are the entry point of a Python function by custom, best first.
const MODULE_NAMES: &[&str] = &["app", "lambda_function", "main", "handler", "index"];
/// The same for JavaScript.
const SCRIPT_NAMES: &[&str] = &["index", "app", "main", "handler", "lambda"];
/// The program that AWS Lambda starts in custom runtimes, and that asks the Runtime API for events.
const BOOTSTRAP: &str = "bootstrap";
/// Most names listed in an error.
const LISTED_MAX: usize = 8;

/// What a package is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guess {
    /// Runtime.
    pub runtime: String,
    /// Entry point: `module.function`, or the path of the program.
    pub handler: String,
}

/// Why there is no guess.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DetectError {
    /// Nothing that could be started was found.
    #[error(
        "no function found: {found}. A Python function is a file with `def handler(event, context)`, a JavaScript one exports `handler`; others are Linux x86-64 programs, `bootstrap` one that asks the Lambda Runtime API for events. Say what to start with --runtime and --handler"
    )]
    Nothing {
        /// What is in the package.
        found: String,
    },
    /// More than one thing could be meant.
    #[error(
        "it is not clear what to start: found {found}. Choose with --runtime and --handler, for example `--runtime {runtime} --handler {handler}`"
    )]
    Ambiguous {
        /// What could be meant.
        found: String,
        /// The runtime of the first candidate.
        runtime: String,
        /// The first candidate.
        handler: String,
    },
    /// A source file without a handler.
    #[error(
        "{file} defines no function with a usual name (`handler`) at its top level, or does not export it; say which one answers requests with --handler {module}.NAME"
    )]
    NoHandler {
        /// The file.
        file: String,
        /// Its module name.
        module: String,
    },
    /// There is no such runtime.
    #[error("there is no runtime `{name}`; the runtimes are {PYTHON}, {NODE}, {NATIVE} and {PROVIDED}")]
    UnknownRuntime {
        /// What was asked for.
        name: String,
    },
}

/// Completes what the user said about a package.
pub fn detect(
    package: &PackageView,
    wanted: Option<&str>,
    handler: Option<&str>,
) -> Result<Guess, DetectError> {
    let known =
        wanted.map(|name| runtime(name).ok_or_else(|| DetectError::UnknownRuntime { name: name.to_owned() }));
    let guess =
        |runtime: &str, handler: &str| Guess { runtime: runtime.to_owned(), handler: handler.to_owned() };
    match (known.transpose()?, handler) {
        (Some(runtime), Some(handler)) => Ok(guess(runtime, handler)),
        (None, Some(handler)) => {
            let program = handler.split_whitespace().next().unwrap_or_default();
            if package.files.contains_key(relative(program)) {
                return Ok(guess(runtime_of(relative(program)), handler));
            }
            let module = handler.rsplit_once('.').map_or("", |(module, _)| module).replace('/', ".");
            if !module.is_empty() && package.has_module(&module) {
                return Ok(guess(PYTHON, handler));
            }
            if script_of(handler).is_some_and(|(script, _)| package.has_script(script)) {
                return Ok(guess(NODE, handler));
            }
            Err(DetectError::Nothing {
                found: format!(
                    "`{handler}` is neither a file of the package nor MODULE.FUNCTION of one of its modules; {}",
                    listing(package)
                ),
            })
        }
        (Some(PYTHON), None) => one(python(package)?, package),
        (Some(NODE), None) => one(node(package)?, package),
        (Some(runtime), None) => {
            let mut found = programs(package);
            found.iter_mut().for_each(|guess| runtime.clone_into(&mut guess.runtime));
            one(found, package)
        }
        (None, None) => {
            let programs = programs(package);
            let found = [python(package), node(package)];
            let some = !programs.is_empty() || found.iter().flatten().any(|modules| !modules.is_empty());
            let mut candidates = Vec::new();
            for modules in found {
                match modules {
                    Err(_) if some => {}
                    modules => candidates.extend(modules?),
                }
            }
            one(candidates.into_iter().chain(programs).collect(), package)
        }
    }
}

/// The only candidate.
fn one(mut candidates: Vec<Guess>, package: &PackageView) -> Result<Guess, DetectError> {
    match candidates.len() {
        0 => Err(DetectError::Nothing { found: listing(package) }),
        1 => Ok(candidates.remove(0)),
        _ => {
            let found =
                listed(candidates.iter().map(|guess| format!("{} ({})", guess.handler, guess.runtime)));
            let first = candidates.remove(0);
            Err(DetectError::Ambiguous { found, runtime: first.runtime, handler: first.handler })
        }
    }
}

/// Python entry points.
fn python(package: &PackageView) -> Result<Vec<Guess>, DetectError> {
    entry_points(package.top_modules().collect(), PYTHON, MODULE_NAMES, ".py")
}

/// JavaScript entry points.
fn node(package: &PackageView) -> Result<Vec<Guess>, DetectError> {
    entry_points(package.top_scripts().collect(), NODE, SCRIPT_NAMES, "")
}

/// The customary module if it has a handler, else every module that has one.
fn entry_points(
    modules: Vec<(&str, &[String])>,
    runtime: &str,
    names: &[&str],
    ending: &str,
) -> Result<Vec<Guess>, DetectError> {
    let guess = |(module, handlers): &(&str, &[String])| {
        handlers
            .first()
            .map(|name| Guess { runtime: runtime.to_owned(), handler: format!("{module}.{name}") })
    };
    let customary =
        names.iter().find_map(|name| modules.iter().find(|(module, _)| module == name).and_then(guess));
    if let Some(found) = customary {
        return Ok(vec![found]);
    }
    let found: Vec<Guess> = modules.iter().filter_map(guess).collect();
    // A lone file, or the customary one, is what the user means even if the handler has another name.
    let meant = match modules.as_slice() {
        [(only, _)] => Some(*only),
        several => {
            names.iter().find_map(|name| several.iter().find(|(module, _)| module == name)).map(|(m, _)| *m)
        }
    };
    match meant {
        Some(module) if found.is_empty() => {
            Err(DetectError::NoHandler { file: format!("{module}{ending}"), module: module.to_owned() })
        }
        _ => Ok(found),
    }
}

/// Programs: `bootstrap` if there is one, else those in the top directory, else all.
fn programs(package: &PackageView) -> Vec<Guess> {
    let all: Vec<&str> = package.programs().collect();
    let top: Vec<&str> = all.iter().copied().filter(|path| !path.contains('/')).collect();
    let chosen = if top.contains(&BOOTSTRAP) {
        vec![BOOTSTRAP]
    } else if top.is_empty() {
        all
    } else {
        top
    };
    let guess = |path: &str| Guess { runtime: runtime_of(path).to_owned(), handler: path.to_owned() };
    chosen.into_iter().map(guess).collect()
}

/// The runtime of a program, by its name.
fn runtime_of(program: &str) -> &'static str {
    if program == BOOTSTRAP { PROVIDED } else { NATIVE }
}

/// What is in the package, in words.
fn listing(package: &PackageView) -> String {
    let files = listed(package.files.iter().map(|(path, file)| match file.kind {
        FileKind::Script => format!("{path} (a script)"),
        _ => path.clone(),
    }));
    format!("the package has {files}")
}

fn listed(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    let mut text = names.iter().take(LISTED_MAX).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > LISTED_MAX {
        text = format!("{text} and {} more", names.len() - LISTED_MAX);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::{Elf, ElfKind};
    use crate::package::FileView;

    fn view(files: &[&str]) -> PackageView {
        let kind = |path: &str| match path {
            _ if path.ends_with(".py") && path.contains("plain") => FileKind::Python { handlers: vec![] },
            _ if path.ends_with(".py") => FileKind::Python { handlers: vec!["handler".to_owned()] },
            _ if path.contains(".config.") => FileKind::JavaScript { handlers: vec![] },
            _ if path.ends_with("js") => FileKind::JavaScript { handlers: vec!["handler".to_owned()] },
            _ if path.ends_with(".txt") => FileKind::Data,
            _ => FileKind::Elf(Elf {
                kind: if path.ends_with(".so") { ElfKind::Library } else { ElfKind::Program },
                machine: "x86-64".to_owned(),
                interpreter: None,
                defect: None,
            }),
        };
        PackageView {
            files: files.iter().map(|f| ((*f).to_owned(), FileView { bytes: 1, kind: kind(f) })).collect(),
        }
    }

    fn guess(files: &[&str]) -> Result<(String, String), DetectError> {
        detect(&view(files), None, None).map(|guess| (guess.runtime, guess.handler))
    }

    fn is(files: &[&str], runtime: &str, handler: &str) {
        assert_eq!(guess(files), Ok((runtime.to_owned(), handler.to_owned())), "{files:?}");
    }

    #[test]
    fn the_obvious_is_guessed() {
        is(&["app.py"], PYTHON, "app.handler");
        is(&["anything.py", "words.txt"], PYTHON, "anything.handler");
        is(&["app.py", "other.py", "lib/deep.py"], PYTHON, "app.handler");
        is(&["lambda_function.py", "helper.py"], PYTHON, "lambda_function.handler");
        is(&["plain.py", "web.py"], PYTHON, "web.handler");
        is(&["app.py", "fast.so"], PYTHON, "app.handler");
        is(&["app.mjs"], NODE, "app.handler");
        is(&["index.js", "app.js", "eslint.config.js", "node_modules/x/index.js"], NODE, "index.handler");
        is(&["fn.cjs", "vite.config.js"], NODE, "fn.handler");
        is(&["app.py", "vite.config.js"], PYTHON, "app.handler");
        is(&["server"], NATIVE, "server");
        is(&["bin/server", "data.txt"], NATIVE, "bin/server");
        is(&["server", "bin/tool"], NATIVE, "server");
        is(&["bootstrap", "tool"], PROVIDED, "bootstrap");
        is(&["bin/bootstrap"], NATIVE, "bin/bootstrap");
    }

    #[test]
    fn doubt_is_an_error_that_names_what_was_found() {
        let text = |files: &[&str]| guess(files).unwrap_err().to_string();
        assert!(text(&["one", "two"]).contains("one (native), two (native)"));
        assert!(text(&["app.py", "server"]).contains("app.handler (python3.11), server (native)"));
        assert!(text(&["app.py", "index.js"]).contains("app.handler (python3.11), index.handler (node24)"));
        assert!(text(&["vite.config.js"]).contains("--handler vite.config.NAME"));
        assert!(text(&["a.py", "b.py"]).contains("--handler a.handler"));
        assert!(text(&["plain.py"]).contains("--handler plain.NAME"));
        assert!(text(&["words.txt"]).contains("words.txt"));
        assert!(text(&["fast.so"]).contains("no function found"));
    }

    #[test]
    fn what_the_user_says_counts() {
        let both = view(&["app.py", "server"]);
        let said = |runtime, handler| detect(&both, runtime, handler).map(|g| (g.runtime, g.handler));
        assert_eq!(said(Some(NATIVE), None).unwrap().1, "server");
        assert_eq!(said(Some(PYTHON), None).unwrap().1, "app.handler");
        assert_eq!(said(None, Some("app.other")).unwrap().0, PYTHON);
        assert_eq!(said(None, Some("server --fast")).unwrap().0, NATIVE);
        let script = view(&["lib/api.mjs", "server"]);
        assert_eq!(detect(&script, None, Some("lib/api.routes.get")).unwrap().runtime, NODE);
        assert!(said(None, Some("nothing.here")).unwrap_err().to_string().contains("nothing.here"));
        assert_eq!(said(Some("provided.al2023"), None).unwrap(), (PROVIDED.to_owned(), "server".to_owned()));
        let both = view(&["bootstrap"]);
        let said = |runtime, handler| detect(&both, runtime, handler).map(|g| (g.runtime, g.handler));
        assert_eq!(said(Some(NATIVE), None).unwrap().0, NATIVE);
        assert_eq!(said(None, Some("./bootstrap --fast")).unwrap().0, PROVIDED);
        assert!(said(Some("node20"), None).unwrap_err().to_string().contains("node20"));
    }
}
