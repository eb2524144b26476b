//! NumPy's own tests: what passes natively passes in a VM.

use crate::packages;
use crate::rig::{Contents, Rig};
use std::collections::BTreeMap;
use std::process::Output;
use std::sync::LazyLock;

/// Made once for all tests.
static NUMPY: LazyLock<Rig> =
    LazyLock::new(|| Rig::new(&Contents { packages: packages::NUMPY, add: |_, _| {}, memory: "2GiB" }));
/// Where its packages' tests are.
const NUMPY_HOME: &str = "/usr/lib/python3/dist-packages/numpy";
/// What the test suite runs each time: seconds, and a part of everything.
const SHORT: &[&str] = &[
    "linalg/tests/test_deprecations.py",
    "linalg/tests/test_regression.py",
    "core/tests/test_abc.py",
    "core/tests/test_arrayprint.py",
    "core/tests/test_errstate.py",
    "core/tests/test_getlimits.py",
    "core/tests/test_indexing.py",
    "core/tests/test_longdouble.py",
    "core/tests/test_machar.py",
    "core/tests/test_memmap.py",
    "core/tests/test_records.py",
    "core/tests/test_shape_base.py",
];
/// What pytest says of a test.
const WORDS: [&str; 6] = ["PASSED", "FAILED", "SKIPPED", "XFAIL", "XPASS", "ERROR"];

/// Tests, with what became of each.
type Outcomes = BTreeMap<String, &'static str>;

/// Runs pytest on `files`, so that it says a line about each test.
fn script(files: &[&str]) -> String {
    let paths: Vec<String> = files.iter().map(|file| format!("{NUMPY_HOME}/{file}")).collect();
    // The installation of packages would link these libraries to where the loader looks.
    let libraries = "LD_LIBRARY_PATH=/usr/lib/x86_64-linux-gnu/blas:/usr/lib/x86_64-linux-gnu/lapack";
    let python = "PYTHONDONTWRITEBYTECODE=1 COLUMNS=300 python3.11";
    format!("{libraries} {python} -m pytest -v -p no:cacheprovider --tb=short -W ignore {}", paths.join(" "))
}

/// What became of each test. A file that said nothing to its end is one that failed.
fn outcomes(output: &Output) -> Outcomes {
    let text = String::from_utf8_lossy(&output.stdout);
    let outcome = |line: &str| {
        let (name, rest) = WORDS.iter().find_map(|word| {
            let (name, rest) = line.split_once(&format!(" {word}"))?;
            (name.contains("::") && (rest.is_empty() || rest.starts_with(' '))).then_some((name, *word))
        })?;
        Some((name.to_owned(), rest))
    };
    let mut outcomes: Outcomes = text.lines().filter_map(outcome).collect();
    if !matches!(output.status.code(), Some(0 | 1)) {
        outcomes.insert("the run itself".to_owned(), "FAILED");
    }
    outcomes
}

/// What is worse in a VM than natively. A test may be skipped there: of those some look for memory.
fn worse(native: &Outcomes, guest: &Outcomes) -> Vec<String> {
    let bad = |word: &str| matches!(word, "FAILED" | "ERROR" | "none");
    let judge = |(test, native): (&String, &&'static str)| {
        let guest = guest.get(test).copied().unwrap_or("none");
        (bad(guest) && !bad(native)).then(|| format!("{test}: {native} natively, {guest} in a VM"))
    };
    let mut worse: Vec<String> = native.iter().filter_map(judge).collect();
    worse.extend(guest.keys().filter(|test| !native.contains_key(*test)).cloned());
    worse
}

/// How many tests had each outcome.
fn counts(outcomes: &Outcomes) -> String {
    let count = |word: &&str| outcomes.values().filter(|outcome| *outcome == word).count();
    let some = WORDS.iter().map(|word| (count(word), word.to_lowercase())).filter(|(count, _)| *count > 0);
    some.map(|(count, word)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
}

#[test]
fn numpy_passes_a_part_of_its_tests() {
    let script = script(SHORT);
    let (native, guest) = (NUMPY.native(&script), NUMPY.guest(&script));
    let (native, inside) = (outcomes(&native), outcomes(&guest));
    assert!(native.len() > 400, "natively: {}", counts(&native));
    let text = || String::from_utf8_lossy(&guest.stdout).into_owned();
    assert!(worse(&native, &inside).is_empty(), "{:?}\n{}", worse(&native, &inside), text());
}

/// Prints the table of docs/COMPATIBILITY.md for the modules in the variable `SPORE_NUMPY_FILES`, or all of linalg and core.
#[test]
#[ignore = "takes a quarter of an hour; run it with --nocapture for its table"]
fn table_of_numpys_tests() {
    let wanted = std::env::var("SPORE_NUMPY_FILES").unwrap_or_default();
    let mut files: Vec<String> = wanted.split_whitespace().map(str::to_owned).collect();
    if files.is_empty() {
        let listing =
            NUMPY.native(&format!("cd {NUMPY_HOME}; ls linalg/tests/test_*.py core/tests/test_*.py"));
        files = String::from_utf8_lossy(&listing.stdout).split_whitespace().map(str::to_owned).collect();
    }
    assert!(!files.is_empty());
    let mut all = Vec::new();
    println!("| file | natively | in a VM |\n|---|---|---|");
    for file in &files {
        let script = script(&[file]);
        let (native, guest) = (outcomes(&NUMPY.native(&script)), outcomes(&NUMPY.guest(&script)));
        println!("| `{file}` | {} | {} |", counts(&native), counts(&guest));
        all.extend(worse(&native, &guest));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}
