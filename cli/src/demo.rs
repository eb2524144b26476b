//! The examples inside the binary, and what `spore up --demo` does with them, all through the HTTP API.

use crate::client::{self, Client};
use crate::commands::deploy;
use crate::failure::Failure;
use crate::package::{archive_memory, parse_manifest};
use crate::units::millis;
use crate::{print, timing};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use std::time::Instant;

/// Longest part of an answer that is shown, in characters.
const ANSWER_SHOWN: usize = 300;

/// An example: files with name, whether it is a program, and content.
struct Example {
    name: &'static str,
    files: &'static [(&'static str, bool, &'static [u8])],
}

include!(concat!(env!("OUT_DIR"), "/examples.rs"));

/// The files of an example: name, whether it is a program, and content.
pub(crate) fn files(name: &str) -> &'static [(&'static str, bool, &'static [u8])] {
    EXAMPLES.iter().find(|example| example.name == name).map_or(&[], |example| example.files)
}

/// How an example is called: path, and a JSON body if it is a `POST`.
fn call_of(name: &str) -> (&'static str, Option<&'static str>) {
    match name {
        "python-hello" | "rust-hello" => ("/?name=Spore", None),
        "python-wordcount" => ("/", Some(r#"{"text": "the sporr and the mushrom"}"#)),
        "rust-primes" => ("/?n=1000000", None),
        _ => ("/", None),
    }
}

/// Deploys every example and calls it once. A failure is reported and the next one tried.
pub(crate) async fn run(url: &str) -> Result<(), Failure> {
    let client = Client::new(url)?;
    let mut failed = 0;
    for example in EXAMPLES {
        print::note(&format!("demo: deploying {}", example.name));
        if let Err(failure) = show(&client, example).await {
            failure.report();
            failed += 1;
        }
    }
    let count = EXAMPLES.len();
    print::note(&format!(
        "demo: {} of {count} examples answered; the platform stays up until Ctrl-C",
        count - failed
    ));
    Ok(())
}

async fn show(client: &Client, example: &Example) -> Result<(), Failure> {
    let begun = Instant::now();
    let url = deploy_one(client, example).await?;
    let deployed = begun.elapsed();
    let (path, body) = call_of(example.name);
    let answer = call(client, example.name, path, body).await?;
    let how = if body.is_some() { "POST" } else { "GET" };
    print::line(&format!(
        "{}\n  call    {how} {url}{path}\n  deploy  {}\n  answer  {}\n  time    {}",
        example.name,
        millis(deployed.as_secs_f64() * 1e3),
        answer.text,
        timing::render(&answer.timing)
    ))
}

async fn deploy_one(client: &Client, example: &Example) -> Result<String, Failure> {
    let manifest = example.files.iter().find(|(name, ..)| *name == "spore.toml");
    let manifest = manifest.map(|(_, _, text)| parse_manifest(&String::from_utf8_lossy(text)));
    let config = manifest.transpose()?.unwrap_or_default().config;
    let package = archive_memory(example.files)?;
    let detail = deploy::upload(client, example.name, &config, &package).await?;
    Ok(client.url(&detail.summary.path))
}

struct Answer {
    text: String,
    timing: Vec<(String, f64)>,
}

async fn call(
    client: &Client,
    name: &str,
    path: &str,
    body: Option<&'static str>,
) -> Result<Answer, Failure> {
    let (method, headers) = match body {
        Some(_) => {
            let json = HeaderValue::from_static("application/json");
            (Method::POST, HeaderMap::from_iter([(CONTENT_TYPE, json)]))
        }
        None => (Method::GET, HeaderMap::new()),
    };
    let path = client::invocation_path(name, path);
    let body = Bytes::from_static(body.unwrap_or_default().as_bytes());
    let response = client.send(method, &path, headers, body).await?;
    let (head, body) = response.into_parts();
    let body = client.collect(body).await?;
    if head.status != StatusCode::OK {
        return Err(Failure::from_response(head.status, &body));
    }
    let text: String = String::from_utf8_lossy(&body).trim().chars().take(ANSWER_SHOWN).collect();
    Ok(Answer { text: crate::output::one_line(&text), timing: timing::parse(&head.headers) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_are_complete() {
        let names: Vec<_> = EXAMPLES.iter().map(|e| e.name).collect();
        assert_eq!(names, ["python-hello", "python-wordcount", "rust-hello", "rust-primes"]);
        for example in EXAMPLES {
            let program = example
                .files
                .iter()
                .any(|(_, executable, bytes)| *executable && bytes.starts_with(b"\x7fELF"));
            let handler = example.files.iter().any(|(name, ..)| *name == "app.py");
            assert!(program != handler, "{} is either a program or a handler", example.name);
            assert!(archive_memory(example.files).is_ok());
        }
    }
}
