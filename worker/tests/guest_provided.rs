//! Programs of AWS Lambda's Runtime API in a guest: pico answers them.

mod common;

use abi::boot::Contract;
use abi::mailbox::Doorbell;
use common::python::{PYTHON, python};
use common::{End, Guest, Outcome, Programs, counts};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const ID: &str = "8476a536-e9f4-11e8-9739-2dfe598c3fcd";

/// What a host delivers for an event.
fn next(event: &str) -> Vec<u8> {
    let len = event.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len}\r\n\
         Lambda-Runtime-Aws-Request-Id: {ID}\r\nLambda-Runtime-Deadline-Ms: 4102444800000\r\n\
         Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:local:anonymous:function:f\r\n\r\n{event}"
    )
    .into_bytes()
}

fn environment() -> impl Iterator<Item = String> {
    let entries = [
        "AWS_LAMBDA_RUNTIME_API=127.0.0.1:8080",
        "AWS_LAMBDA_FUNCTION_NAME=f",
        "AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=64",
        "AWS_LAMBDA_INITIALIZATION_TYPE=snap-start",
        "_HANDLER=app.handler",
        "LAMBDA_TASK_ROOT=/task",
    ];
    entries.into_iter().map(str::to_owned)
}

fn guest(program: &Path) -> Guest {
    let mut guest = Guest::new().with_file("/bin/bootstrap", program);
    guest.contract = Contract::RuntimeApi;
    guest.env.extend(environment());
    guest
}

fn plain() -> Guest {
    guest(&Programs::new().compile("runtime_api", &["-static"]))
}

#[track_caller]
fn answer(outcome: &Outcome) -> String {
    assert!(matches!(outcome.end, End::Doorbell(Doorbell::Response, ..)), "{outcome:#?}");
    String::from_utf8(outcome.response.clone()).expect("text")
}

#[test]
fn a_plain_program_is_caught_in_next_and_its_answers_are_taken() {
    let guest = plain();
    let parent = guest.parent(&["/bin/bootstrap"]);
    let mut shell = parent.shell();
    let mut randoms = HashSet::new();
    for generation in 1..=20 {
        let outcome = parent.fork_in(&mut shell, generation, &next("{}"));
        let text = answer(&outcome);
        assert!(text.starts_with("response \n{\"calls\":1,"), "{text}");
        assert!(text.contains(ID) && randoms.insert(text), "random numbers repeat");
        assert_eq!(outcome.err(), "call 1\n");
        shell.restore().expect("nothing but memory and registers changed");
    }
    for (event, expected) in [
        ("wrong", "response \n\"put right\"".to_owned()),
        (
            "raise",
            "error unhandled\n{\"errorMessage\":\"as asked\",\"errorType\":\"AskedError\",\"stackTrace\":[]}"
                .to_owned(),
        ),
        ("huge explain", "error \n{\"errorType\":\"TooMuch\"}".to_owned()),
        ("big", format!("response \n\"{}\"", "b".repeat((8 << 20) - 2))),
    ] {
        assert!(answer(&parent.fork(101, &next(event))) == expected, "{event}");
    }
}

/// What the plain program streams, up to its end.
const FLOW: &str = "chunks application/vnd.awslambda.http-integration-response\n\
     2e\r\n{\"statusCode\":418,\"headers\":{\"x-tea\":\"green\"}}\r\n8\r\n\0\0\0\0\0\0\0\0\r\n6\r\nfirst \r\n";

/// All parts of an answer.
#[track_caller]
fn whole(outcome: &Outcome) -> String {
    let last = answer(outcome);
    let parts = outcome.parts.iter().map(|part| std::str::from_utf8(part).expect("text"));
    parts.chain([last.as_str()]).collect()
}

#[test]
fn a_stream_goes_out_as_it_is_written_and_at_once_if_it_is_complete_at_once() {
    let guest = plain();
    let parent = guest.parent(&["/bin/bootstrap"]);
    let broken = "0\r\nLambda-Runtime-Function-Error-Type: Broke\r\n\
                  Lambda-Runtime-Function-Error-Body: eyJlcnJvck1lc3NhZ2UiOiJoYWxmIHdheSJ9\r\n\r\n";
    for (event, end) in [("flow", "0\r\n\r\n"), ("flow break", broken)] {
        let outcome = parent.fork(1, &next(event));
        assert_eq!(
            (whole(&outcome), outcome.parts.len()),
            (format!("{FLOW}6\r\nsecond\r\n{end}"), 0),
            "{event}"
        );
        let outcome = parent.fork(1, &next(&format!("{event} slow")));
        assert_eq!(
            (whole(&outcome), outcome.parts.len()),
            (format!("{FLOW}6\r\nsecond\r\n{end}"), 3),
            "{event}"
        );
    }
    let dropped = parent.fork(1, &next("flow slow drop"));
    assert_eq!((whole(&dropped).as_str(), dropped.parts.len()), (FLOW, 3));
    let dies = parent.fork(1, &next("flow slow die"));
    assert!(
        matches!(dies.end, End::Doorbell(Doorbell::Exit, 7, _)) && dies.parts.concat() == FLOW.as_bytes()
    );
    let large = parent.fork(1, &next("flow large"));
    assert!(large.parts.iter().all(|part| part.len() <= 16 << 20) && large.parts.len() > 50);
    assert!(whole(&large).len() > 40_000_000);
    // A fork that has streamed is restored like any other.
    let mut shell = parent.shell();
    for generation in 2..=4 {
        assert!(whole(&parent.fork_in(&mut shell, generation, &next("flow slow"))).starts_with(FLOW));
        shell.restore().expect("nothing but memory and registers changed");
    }
}

#[test]
fn what_gives_no_answer_ends_as_what_it_is() {
    let guest = plain();
    let parent = guest.parent(&["/bin/bootstrap"]);
    for (event, doorbell) in
        [("skip", Doorbell::Ready), ("huge", Doorbell::ResponseTooLarge), ("leave", Doorbell::Exit)]
    {
        let outcome = parent.fork(1, &next(event));
        assert!(
            matches!(outcome.end, End::Doorbell(found, ..) if found == doorbell),
            "{event}: {outcome:#?}"
        );
    }
}

#[test]
fn a_program_that_cannot_start_says_why() {
    let outcome = plain().run(&["/bin/bootstrap", "fails"]).exited(3);
    assert!(
        outcome.err().starts_with("[ERROR] Runtime.NoDatabase: {\"errorMessage\":\"there is"),
        "{outcome:?}"
    );
}

#[test]
fn a_program_that_waits_to_be_restored_is_caught_there() {
    let guest = plain();
    let parent = guest.parent(&["/bin/bootstrap", "restores"]);
    assert!(answer(&parent.fork(1, &next("{}"))).starts_with("response \n{\"calls\":1,"));
}

/// An example on `lambda_runtime`, built as its README says.
fn rust_example(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    let cargo = Command::new(env!("CARGO"))
        .args(["build", "--release", "-p", "rust-lambda"])
        .current_dir(root)
        .status();
    assert!(cargo.expect("cargo built this test").success());
    root.join("target/release").join(name)
}

#[test]
fn the_unmodified_rust_runtime_streams() {
    let program = rust_example("streaming");
    let guest = guest(&program).with_libraries_of(&program);
    let parent = guest.parent(&["/bin/bootstrap"]);
    let mut shell = parent.shell();
    for generation in 1..=3 {
        let event = r#"{"queryStringParameters":{"to":"5"}}"#;
        let outcome = parent.fork_in(&mut shell, generation, &next(event));
        let text = whole(&outcome);
        let head = r#"{"statusCode":200,"headers":{"content-type":"text/plain"},"cookies":["to=5"]}"#;
        assert!(text.starts_with("chunks application/vnd.awslambda.http-integration-response\n"), "{text}");
        assert!(text.contains(head) && text.ends_with("2\r\n5\n\r\n0\r\n\r\n"), "{text}");
        // A slow machine has some of the pauses behind it before the program comes to wait.
        assert!(!outcome.parts.is_empty(), "{outcome:#?}");
        shell.restore().expect("nothing but memory and registers changed");
    }
}

#[test]
fn the_unmodified_rust_runtime_answers_in_recycled_forks() {
    let program = rust_example("bootstrap");
    let guest = guest(&program).with_libraries_of(&program);
    let parent = guest.parent(&["/bin/bootstrap"]);
    let mut shell = parent.shell();
    let mut costs = Vec::new();
    for generation in 1..=100 {
        let before = counts(&shell);
        let event = r#"{"queryStringParameters":{"name":"Ada"}}"#;
        let outcome = parent.fork_in(&mut shell, generation, &next(event));
        let after = counts(&shell);
        costs.extend(before.zip(after).map(|(b, a)| (a.0 - b.0, a.1 - b.1, outcome.elapsed)));
        let text = answer(&outcome);
        assert!(text.starts_with("response \n{") && text.contains("Hello from Lambda, Ada!"), "{text}");
        shell.restore().expect("nothing but memory and registers changed");
    }
    // A tick of the host is an exit, too: at most one a millisecond. More come on top on a busy machine, but not in every request.
    let right = |(exits, faults, took): &(u64, u64, Duration)| {
        u128::from(*exits) <= 1 + took.as_millis() && *faults == 0
    };
    assert!(costs.is_empty() || costs.iter().any(right), "{costs:?}");
    let failed = answer(&parent.fork(101, &next(r#"{"queryStringParameters":{"name":" "}}"#)));
    assert!(failed.starts_with("error unhandled\n{") && failed.contains("the name is empty"), "{failed}");
}

/// Amazon's runtime client for Python from PyPI, pinned, in a directory.
fn awslambdaric() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("awslambdaric-4.2.2");
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guest/awslambdaric.txt");
    if !target.join("awslambdaric").exists() {
        let mut pip = Command::new("python3");
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--require-hashes",
            "--no-deps",
            "--only-binary",
            ":all:",
        ]);
        pip.args(["--python-version", "3.11", "--platform", "manylinux2014_x86_64"]);
        pip.args(["--platform", "manylinux_2_28_x86_64", "--no-compile", "--target"]);
        let status = pip.arg(&target).arg("-r").arg(requirements).status();
        assert!(status.expect("this test needs Python's pip").success(), "pip could not get awslambdaric");
    }
    target
}

const PYTHON_FUNCTION: &str = "
import snapshot_restore_py
events = []
snapshot_restore_py.register_before_snapshot(events.append, 'before')
snapshot_restore_py.register_after_restore(events.append, 'after')
def handler(event, context):
    if event.get('fail'):
        raise ValueError('as asked')
    return {'events': events, 'id': context.aws_request_id, 'left': context.get_remaining_time_in_millis() > 0}
";

#[test]
fn the_unmodified_python_runtime_client_answers() {
    let packages = awslambdaric();
    let mut guest = python();
    guest.contract = Contract::RuntimeApi;
    for file in std::fs::read_dir(&packages).expect("pip made it") {
        let path = file.expect("a readable directory").path();
        if path.extension().is_some_and(|extension| extension == "so") {
            guest = guest.with_libraries_of(&path);
        }
    }
    guest.tree.add_host_dir("packages", &packages).expect("a readable tree");
    guest.tree.add_file("task/app.py", PYTHON_FUNCTION.as_bytes(), 0o644).expect("a free name");
    guest.env.extend(environment());
    guest.env.push("PYTHONPATH=/packages:/task".into());
    let parent = guest.parent(&[PYTHON, "-m", "awslambdaric", "app.handler"]);
    let mut shell = parent.shell();
    for generation in 1..=5 {
        let before = counts(&shell);
        let text = answer(&parent.fork_in(&mut shell, generation, &next("{}")));
        println!("exits and faults: {before:?} before, {:?} after", counts(&shell));
        let expected = format!(
            r#"response 
{{"events": ["before", "after"], "id": "{ID}", "left": true}}"#
        );
        assert_eq!(text, expected);
        shell.restore().expect("nothing but memory and registers changed");
    }
    let failed = answer(&parent.fork(9, &next(r#"{"fail": true}"#)));
    assert!(failed.starts_with("error \n{") && failed.contains("as asked"), "{failed}");
    let outcome = guest.run(&[PYTHON, "-m", "awslambdaric", "nothing.handler"]);
    assert!(matches!(outcome.end, End::Doorbell(Doorbell::Exit, 1, _)), "{outcome:#?}");
    assert!(outcome.err().contains("[ERROR] Runtime.ImportModuleError: {"), "{}", outcome.err());
}
