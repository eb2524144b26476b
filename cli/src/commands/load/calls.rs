//! What is sent where: targets from URLs with paths, calls from options and from files.

use crate::failure::{Exit, Failure};
use bytes::Bytes;
use clap::Args;
use http::{HeaderName, HeaderValue, Method};
use loadtest::call::{Call, Mix};
use loadtest::expect::Expect;
use loadtest::target::Target;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What is sent, and what has to come back.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Requests")]
pub(super) struct CallOptions {
    /// One more call beside the URL's path, so many times as often: `3=/other`; may be repeated
    #[arg(long = "call", value_name = "WEIGHT=PATH", value_parser = weighted)]
    calls: Vec<(u32, String)>,
    /// Calls with weights as JSON, in place of the URL's path: [{"name", "weight", "method", "path", "headers", "body",
    /// "body-file", "expect"}]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["calls", "method", "headers", "body", "body_file"])]
    mix: Option<PathBuf>,
    /// Method [default: GET, POST with a body]
    #[arg(long, short = 'X', value_name = "METHOD")]
    method: Option<Method>,
    /// A header, `Name: value`; may be repeated
    #[arg(long = "header", short = 'H', value_name = "HEADER", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Body
    #[arg(long, value_name = "TEXT", conflicts_with = "body_file")]
    body: Option<String>,
    /// Body from a file
    #[arg(long, value_name = "FILE")]
    body_file: Option<PathBuf>,
    /// The status an answer must have [default: any of 200 to 299]
    #[arg(long, value_name = "STATUS", value_parser = clap::value_parser!(u16).range(100..1000))]
    expect_status: Option<u16>,
    /// What the body of an answer must be
    #[arg(long, value_name = "TEXT")]
    expect_body: Option<String>,
    /// What the body of an answer must contain
    #[arg(long, value_name = "TEXT")]
    expect_contains: Option<String>,
    /// SHA-256 of the body of an answer
    #[arg(long, value_name = "HEX")]
    expect_sha256: Option<String>,
    /// A value inside the JSON of an answer: `/pointer=VALUE`
    #[arg(long, value_name = "POINTER=JSON", value_parser = pointer)]
    expect_json: Option<(String, serde_json::Value)>,
}

/// One call of a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct CallFile {
    name: Option<String>,
    #[serde(default = "one")]
    weight: u32,
    method: Option<String>,
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
    body_file: Option<PathBuf>,
    #[serde(default)]
    expect: Expect,
}

fn one() -> u32 {
    1
}

impl CallOptions {
    /// The calls to a target whose URL had this path.
    pub(super) fn mix(&self, path: &str) -> Result<Mix, Failure> {
        let parts = match &self.mix {
            Some(file) => from_file(file)?,
            None => {
                let body = self.body()?;
                let first = (1, path.to_owned());
                let all = std::iter::once(&first).chain(&self.calls);
                all.map(|(weight, path)| (*weight, self.call(path, &body))).collect()
            }
        };
        Mix::weighted(parts).map_err(|error| usage(error.to_string()))
    }

    /// One call with the options' method, headers, body and expectation.
    fn call(&self, path: &str, body: &Bytes) -> Call {
        let usual = if self.body.is_some() || self.body_file.is_some() { Method::POST } else { Method::GET };
        Call {
            name: path.to_owned(),
            method: self.method.clone().unwrap_or(usual),
            path: path.to_owned(),
            headers: self.headers.clone(),
            body: body.clone(),
            expect: Expect {
                status: self.expect_status,
                body: self.expect_body.clone(),
                contains: self.expect_contains.clone(),
                sha256: self.expect_sha256.clone(),
                json: self.expect_json.clone(),
            },
        }
    }

    fn body(&self) -> Result<Bytes, Failure> {
        match (&self.body, &self.body_file) {
            (Some(text), _) => Ok(Bytes::from(text.clone())),
            (None, Some(path)) => read(path).map(Bytes::from),
            (None, None) => Ok(Bytes::new()),
        }
    }
}

/// A mix from a file; bodies' paths count from where it is.
fn from_file(path: &Path) -> Result<Vec<(u32, Call)>, Failure> {
    let wrong = |why: String| usage(format!("{}: {why}", path.display()));
    let calls: Vec<CallFile> =
        serde_json::from_slice(&read(path)?).map_err(|error| wrong(error.to_string()))?;
    let directory = path.parent().unwrap_or_else(|| Path::new(""));
    let one = |(index, call): (usize, CallFile)| {
        let wrong = |why: String| wrong(format!("call {}: {why}", index + 1));
        let headers = call.headers.iter().map(|(name, value)| header(&format!("{name}: {value}")));
        let body = match (call.body, call.body_file) {
            (Some(_), Some(_)) => return Err(wrong("body and body-file exclude each other".to_owned())),
            (Some(text), None) => Some(Bytes::from(text)),
            (None, Some(file)) => Some(Bytes::from(read(&directory.join(file))?)),
            (None, None) => None,
        };
        let usual = if body.is_some() { "POST" } else { "GET" };
        let method = call.method.as_deref().unwrap_or(usual);
        Ok((
            call.weight,
            Call {
                name: call.name.unwrap_or_else(|| call.path.clone()),
                method: method.parse().map_err(|_| wrong(format!("`{method}` is not a method")))?,
                path: call.path,
                headers: headers.collect::<Result<_, _>>().map_err(wrong)?,
                body: body.unwrap_or_default(),
                expect: call.expect,
            },
        ))
    };
    calls.into_iter().enumerate().map(one).collect()
}

/// A target and the path behind it: `http://HOST:PORT/PATH` or `unix:SOCKET[:/PATH]`.
pub(super) fn target(url: &str) -> Result<(Target, String), Failure> {
    let (base, path) = match url.strip_prefix("unix:") {
        // Behind the scheme: `unix:/run/x.sock` has no path.
        Some(socket) => socket.rsplit_once(":/").map_or_else(
            || (url, "/".to_owned()),
            |(_, path)| (&url[..url.len() - path.len() - 2], format!("/{path}")),
        ),
        None => {
            let host = url.find("://").map_or(0, |at| at + 3);
            let end = url[host..].find(['/', '?']).map_or(url.len(), |at| host + at);
            let (base, path) = url.split_at(end);
            (base, if path.starts_with('/') { path.to_owned() } else { format!("/{path}") })
        }
    };
    let target = Target::parse(base).map_err(|error| usage(crate::print::chain(&error)))?;
    Ok((target, path))
}

fn weighted(text: &str) -> Result<(u32, String), String> {
    let (weight, path) = text.split_once('=').ok_or("write WEIGHT=PATH")?;
    Ok((weight.parse().map_err(|_| format!("`{weight}` is not a weight"))?, path.to_owned()))
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write `Name: value`")?;
    let name = name.trim().parse().map_err(|_| format!("`{name}` is not the name of a header"))?;
    let value = value.trim().parse().map_err(|_| format!("`{value}` is not the value of a header"))?;
    if [http::header::CONTENT_LENGTH, http::header::TRANSFER_ENCODING, http::header::CONNECTION]
        .contains(&name)
    {
        return Err(format!("{name} is set by this program"));
    }
    Ok((name, value))
}

fn pointer(text: &str) -> Result<(String, serde_json::Value), String> {
    let (pointer, value) = text.split_once('=').ok_or("write POINTER=JSON")?;
    let value = serde_json::from_str(value).map_err(|error| format!("`{value}` is not JSON: {error}"))?;
    Ok((pointer.to_owned(), value))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| usage(format!("cannot read {}: {error}", path.display())))
}

fn usage(message: String) -> Failure {
    Failure::new(message).exit(Exit::Usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_target_and_a_path() {
        for (url, base, path) in [
            ("http://127.0.0.1:80", "http://127.0.0.1:80", "/"),
            ("http://127.0.0.1:80/a/b?c=/d", "http://127.0.0.1:80", "/a/b?c=/d"),
            ("http://127.0.0.1?q", "http://127.0.0.1", "/?q"),
            ("unix:/run/x.sock", "unix:/run/x.sock", "/"),
            ("unix:/run/x.sock:/a", "unix:/run/x.sock", "/a"),
        ] {
            let (target, found) = target(url).unwrap();
            assert_eq!((target.url.as_str(), found.as_str()), (base, path));
        }
        assert_eq!(target("ftp://x").unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn a_file_of_calls_is_checked_with_the_place_of_what_is_wrong() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("mix.json");
        std::fs::write(directory.path().join("b"), "body").unwrap();
        std::fs::write(
            &file,
            r#"[{"path": "/a", "weight": 3, "body-file": "b", "headers": {"X-A": "1"}}, {"path": "/b"}]"#,
        )
        .unwrap();
        let mix = from_file(&file).unwrap();
        assert_eq!((mix[0].0, &mix[0].1.method, &mix[0].1.body[..]), (3, &Method::POST, &b"body"[..]));
        assert_eq!((mix[1].0, mix[1].1.name.as_str()), (1, "/b"));
        for (text, why) in [
            (r#"[{"path": "/a", "wait": 3}]"#, "unknown field `wait`"),
            (r#"[{"path": "/a", "method": "G T"}]"#, "call 1: `G T` is not a method"),
            (r#"[{"path": "/a", "headers": {"Content-Length": "9"}}]"#, "set by this program"),
            (r#"{"path": 1}"#, "line 1 column"),
            (r#"[{"path": "/a", "body-file": "none"}]"#, "cannot read"),
        ] {
            std::fs::write(&file, text).unwrap();
            let message = from_file(&file).unwrap_err().message;
            assert!(message.contains(why), "{message}");
        }
    }
}
