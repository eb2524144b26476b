//! `spore logs`.

use super::Context;
use crate::args::Output;
use crate::client::{self, Lines};
use crate::failure::Failure;
use crate::print;
use clap::Args;
use worker::api::LogLine;

/// Options of `spore logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// The function
    name: String,
    /// Stay and print new lines as they come, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// How many of the latest lines to begin with
    #[arg(long, short = 'n', default_value_t = 100, value_name = "LINES")]
    tail: usize,
}

/// Prints a function's log, oldest line first.
pub(crate) async fn run(args: &LogsArgs, context: &Context) -> Result<(), Failure> {
    let path =
        format!("{}/logs?follow={}&tail={}", client::function_path(&args.name), args.follow, args.tail);
    let mut lines = Lines::new(context.client.stream(&path).await?);
    while let Some(line) = lines.next().await? {
        match context.output {
            Output::Json => print::raw(&[line.as_slice(), b"\n"].concat())?,
            Output::Table => print::line(&render(&line))?,
        }
    }
    Ok(())
}

/// One line for people; what does not parse is shown as it came.
fn render(line: &[u8]) -> String {
    match serde_json::from_slice::<LogLine>(line) {
        Ok(LogLine { ts, stream, request_id, line, .. }) => {
            let request = if request_id.is_empty() { "-" } else { request_id.as_str() };
            format!("{ts} {stream:<6} {request} {}", visible(&line))
        }
        Err(_) => String::from_utf8_lossy(line).into_owned(),
    }
}

/// A function's log must not drive the reader's terminal.
fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_rendered_without_control_characters() {
        let json =
            br#"{"seq":1,"ts":"2026-01-01T00:00:00Z","stream":"stdout","request_id":"","line":"a\u001b[2J\tb"}"#;
        assert_eq!(render(json), "2026-01-01T00:00:00Z stdout - a\u{fffd}[2J\tb");
        assert_eq!(render(b"not json"), "not json");
    }
}
