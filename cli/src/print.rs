//! Writing to stdout (data) and stderr (everything else).

use crate::failure::{Exit, Failure};
use serde::Serialize;
use std::io::{self, Write};

/// Writes bytes to stdout at once. A reader that went away ends the command quietly, as in any pipe.
pub(crate) fn raw(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|e| match e.kind() {
        io::ErrorKind::BrokenPipe => Failure::silent(Exit::Success),
        _ => Failure::new(format!("cannot write to standard output: {e}")),
    })
}

/// Writes a line to stdout.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    raw(format!("{text}\n").as_bytes())
}

/// Writes a value to stdout as indented JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| Failure::new(format!("cannot encode the output as JSON: {e}")))?;
    line(&text)
}

/// Writes a line to stderr.
pub(crate) fn note(text: &str) {
    // Losing chatter is no reason to fail.
    let _ = writeln!(io::stderr(), "{text}");
}

/// An error with all its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
