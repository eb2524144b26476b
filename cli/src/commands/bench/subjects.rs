//! The hello examples, as functions to measure.

use super::{Which, failed};
use crate::demo;
use crate::failure::Failure;
use crate::package::archive_memory;
use crate::print;
use runtimes::launch::{NATIVE, NODE, PYTHON};
use std::path::Path;
use worker::bench::{Function, Subject};

const PYTHON_EXAMPLE: &str = "python-hello";
const NATIVE_EXAMPLE: &str = "rust-hello";

const PYTHON_REQUEST: &[u8] = b"{\"event\":{\"queryStringParameters\":{\"name\":\"Spore\"}},\
    \"context\":{\"request_id\":\"bench\",\"deadline_ms\":0,\"function_name\":\"python-hello\",\"memory_mb\":128}}\n";
const PYTHON_ANSWER: &[u8] = b"{\"result\":{\"message\":\"Hello, Spore!\",\"calls\":1}}\n";
const NODE_EXAMPLE: &str = "node-hello";
const NODE_SOURCE: &[u8] = include_bytes!("../../../../examples/node-hello/index.mjs");
const NATIVE_REQUEST: &[u8] = b"GET /?name=Spore HTTP/1.1\r\nhost: bench\r\n\r\n";
const NATIVE_ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\n\
    content-length: 24\r\nconnection: keep-alive\r\n\r\nHello from Rust, Spore!\n";

/// Builds the parents of the chosen functions. Says on stderr what takes long.
pub(super) fn prepare(which: Which, kvm: &Path) -> Result<Vec<Function>, Failure> {
    let mut functions = Vec::new();
    if matches!(which, Which::Python | Which::Both) {
        functions.push(python(kvm)?);
    }
    if matches!(which, Which::Native | Which::Both) {
        functions.push(native(kvm)?);
    }
    if which == Which::Node {
        functions.push(node(kvm)?);
    }
    Ok(functions)
}

/// The Python handler.
pub(super) fn python(kvm: &Path) -> Result<Function, Failure> {
    build(
        PYTHON_EXAMPLE,
        PYTHON,
        "app.handler",
        demo::files(PYTHON_EXAMPLE),
        (PYTHON_REQUEST, PYTHON_ANSWER),
        kvm,
    )
}

/// The JavaScript handler. It takes and gives what the Python one does.
fn node(kvm: &Path) -> Result<Function, Failure> {
    let files = [("index.mjs", false, NODE_SOURCE)];
    build(NODE_EXAMPLE, NODE, "index.handler", &files, (PYTHON_REQUEST, PYTHON_ANSWER), kvm)
}

/// The program that serves HTTP.
pub(super) fn native(kvm: &Path) -> Result<Function, Failure> {
    build(
        NATIVE_EXAMPLE,
        NATIVE,
        NATIVE_EXAMPLE,
        demo::files(NATIVE_EXAMPLE),
        (NATIVE_REQUEST, NATIVE_ANSWER),
        kvm,
    )
}

/// The module of the Python handler.
pub(super) fn python_source() -> String {
    let files = demo::files(PYTHON_EXAMPLE).iter();
    let module = files.filter(|(name, ..)| *name == "app.py").map(|(_, _, content)| *content);
    module.map(|content| String::from_utf8_lossy(content).into_owned()).collect()
}

fn build(
    name: &str,
    runtime: &str,
    handler: &str,
    files: &[(&str, bool, &[u8])],
    (request, answer): (&[u8], &[u8]),
    kvm: &Path,
) -> Result<Function, Failure> {
    print::note(&format!("building the parent of {name}"));
    let package = archive_memory(files)?;
    let subject = Subject { name, runtime, handler, package: &package, request, answer };
    Function::prepare(&subject, kvm, &runtimes::cache_dir(), &print::note).map_err(failed)
}
