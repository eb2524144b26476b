//! Requests one by one, as CSV.

use crate::engine::Outcome;
use crate::failure::Failure;
use crate::tally::{Record, Start};
use serde::Serialize;
use std::io::{self, Write};

/// Names of the fields of [`Row`].
const HEADS: [&str; 9] =
    ["system", "repetition", "call", "intended_ns", "sent_ns", "done_ns", "start", "outcome", "body_bytes"];

/// A line. Times count from the start of the run.
#[derive(Serialize)]
struct Row<'a> {
    system: &'a str,
    repetition: u32,
    call: &'a str,
    intended_ns: u64,
    sent_ns: u64,
    done_ns: u64,
    start: Option<Start>,
    outcome: Word,
    body_bytes: u64,
}

/// What came of a request, by the words that documents have for failures.
#[derive(Serialize)]
#[serde(untagged)]
enum Word {
    Answered(&'static str),
    Failed(Failure),
}

/// A file of requests that is written run by run.
pub struct RequestsCsv<W: Write>(csv::Writer<W>);

impl<W: Write> RequestsCsv<W> {
    /// Begins with the names of the columns.
    pub fn new(to: W) -> io::Result<RequestsCsv<W>> {
        let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(to);
        writer.write_record(HEADS)?;
        Ok(RequestsCsv(writer))
    }

    /// Adds the requests that were recorded in a run.
    pub fn add(&mut self, system: &str, repetition: u32, outcome: &Outcome) -> io::Result<()> {
        for record in &outcome.records {
            let call = outcome.calls.get(record.call).map_or("", String::as_str);
            self.0.serialize(row(system, repetition, call, record))?;
        }
        Ok(())
    }

    /// Writes what is left, and gives back where it went.
    pub fn finish(self) -> io::Result<W> {
        self.0.into_inner().map_err(csv::IntoInnerError::into_error)
    }
}

fn row<'a>(system: &'a str, repetition: u32, call: &'a str, record: &Record) -> Row<'a> {
    let Record { intended_ns, sent_ns, done_ns, outcome, body_bytes, .. } = *record;
    let (start, outcome) = match outcome {
        Ok(start) => (Some(start), Word::Answered("answered")),
        Err(failure) => (None, Word::Failed(failure)),
    };
    Row { system, repetition, call, intended_ns, sent_ns, done_ns, start, outcome, body_bytes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expect::Mismatch;

    #[test]
    fn a_line_tells_all_of_a_request() {
        let mut csv = RequestsCsv::new(Vec::new()).unwrap();
        let record = Record {
            call: 0,
            intended_ns: 1,
            sent_ns: 2,
            done_ns: 3,
            outcome: Ok(Start::Recycled),
            body_bytes: 4,
        };
        for outcome in [Ok(Start::None), record.outcome, Err(Failure::Timeout), Err(status(503))] {
            csv.0.serialize(row("a,b", 1, "/", &Record { outcome, ..record })).unwrap();
        }
        let text = String::from_utf8(csv.finish().unwrap()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], HEADS.join(","));
        assert_eq!(
            lines[1..],
            [
                "\"a,b\",1,/,1,2,3,none,answered,4",
                "\"a,b\",1,/,1,2,3,recycled,answered,4",
                "\"a,b\",1,/,1,2,3,,timeout,4",
                "\"a,b\",1,/,1,2,3,,status-503,4",
            ]
        );
    }

    fn status(status: u16) -> Failure {
        Failure::Unexpected(Mismatch::Status(status))
    }

    #[test]
    fn a_record_is_as_small_as_the_document_says() {
        assert!(size_of::<Record>() <= 48, "{}", size_of::<Record>());
    }
}
