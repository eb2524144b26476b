//! The manifest and the files agree.

use super::*;
use std::collections::BTreeSet;
use std::path::PathBuf;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Files below a directory of the repository, as paths from its top.
fn below(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(directory)).expect("a directory of the repository");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    names
        .flat_map(|name| {
            let path = format!("{directory}/{name}");
            if root().join(&path).is_dir() { below(&path) } else { vec![path] }
        })
        .collect()
}

#[test]
fn every_workload_has_a_name_a_call_and_files() {
    let names: BTreeSet<&str> = all().iter().map(|workload| workload.name.as_str()).collect();
    assert_eq!((names.len(), all().len()), (19, 19));
    for workload in all() {
        let call = workload.call("/function/x");
        assert_eq!((call.path.as_str(), call.method), ("/function/x/", Method::POST), "{}", workload.name);
        let answer = &workload.expect.json.as_ref().expect("an answer").1;
        assert_eq!((&answer["workload"], &answer["calls"]), (&workload.name.as_str().into(), &1.into()));
        let body: serde_json::Value = serde_json::from_str(&workload.request.body).expect("JSON");
        assert_eq!(answer["parameters"], body, "{}", workload.name);
        assert_eq!(workload.name, format!("{}-{}", workload.workload, json(workload.language)));
        let directory = tempfile::tempdir().expect("a temporary directory");
        workload.write(directory.path()).expect("written");
        let main = match workload.language {
            Language::Python => "app.py".to_owned(),
            Language::Node => "index.mjs".to_owned(),
            Language::Rust => format!("loadtest/workloads/rust/src/bin/{}.rs", workload.name),
        };
        assert!(directory.path().join(&main).is_file(), "{}: {main}", workload.name);
    }
}

fn json(language: Language) -> String {
    serde_json::to_value(language).expect("JSON").as_str().expect("a string").to_owned()
}

#[test]
fn a_package_has_its_own_files_and_the_shared_ones() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let pyaes = select(&["pyaes".into()]).expect("known")[0];
    pyaes.write(directory.path()).expect("written");
    let mut names: Vec<_> = fs::read_dir(directory.path())
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    assert_eq!(names, ["aes.py", "app.py", "workload.py"]);
}

#[test]
fn every_file_is_in_the_program() {
    let source =
        |path: &String| [".py", ".mjs", ".rs", ".toml", ".txt"].iter().any(|end| path.ends_with(end));
    let roots = ["loadtest/workloads", "examples/rust-hello/src"];
    let mut found: Vec<String> = roots.into_iter().flat_map(below).filter(source).collect();
    found.push("examples/rust-hello/Cargo.toml".into());
    found.sort();
    let known: Vec<&str> = FILES.iter().map(|(path, _)| *path).collect();
    assert_eq!(found, known);
}

#[test]
fn workloads_are_selected_by_name_with_or_without_the_language() {
    let names = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        select(&names).map(|found| found.iter().map(|workload| workload.name.as_str()).collect::<Vec<_>>())
    };
    assert_eq!(names(&["hello"]), Ok(vec!["hello-python", "hello-node", "hello-rust"]));
    assert_eq!(names(&["ssr-node", "json-python", "ssr"]), Ok(vec!["json-python", "ssr-node"]));
    assert_eq!(names(&["hello", "hallo"]), Err(Unknown("hallo".into())));
    assert_eq!(names(&[]), Ok(vec![]));
}
