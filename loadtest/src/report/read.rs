//! Reading documents, which anybody may have written.

use super::{Document, SCHEMA, check};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Bytes of a document.
const BYTES_MAX: u64 = 64 << 20;
/// Entries of [`RunReport::latencies`](super::RunReport::latencies) in all runs: each is up to half a MiB in memory.
const LATENCIES_MAX: usize = 5_000;

/// Why a file is not a document.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is too large.
    #[error("it is larger than {} MiB", BYTES_MAX >> 20)]
    TooLarge,
    /// It is something else.
    #[error("it is not JSON: {0}")]
    NotJson(serde_json::Error),
    /// It is JSON, but something else.
    #[error("it is JSON, but not a result of `spore load`: there is no number `schema` at the top")]
    NoDocument,
    /// Another version wrote it.
    #[error("its schema is version {0}; this program knows version {SCHEMA}")]
    Version(u64),
    /// A field is missing, or is not what it should be.
    #[error("it is not a valid result: {0}")]
    Shape(serde_json::Error),
    /// Its parts contradict each other, or there are too many.
    #[error("it is not a valid result: {0}")]
    Contents(String),
}

#[derive(Deserialize)]
struct Header {
    schema: u64,
}

#[derive(Deserialize)]
struct Outline {
    runs: Vec<RunOutline>,
}

#[derive(Deserialize)]
struct RunOutline {
    latencies: Vec<IgnoredAny>,
}

impl Document {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Document, ReadError> {
        let mut bytes = Vec::new();
        File::open(path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
        Document::parse(&bytes)
    }

    /// Reads a document and checks that its parts fit together.
    pub fn parse(bytes: &[u8]) -> Result<Document, ReadError> {
        if bytes.len() as u64 > BYTES_MAX {
            return Err(ReadError::TooLarge);
        }
        let header: Header = serde_json::from_slice(bytes).map_err(|error| {
            if error.is_data() { ReadError::NoDocument } else { ReadError::NotJson(error) }
        })?;
        if header.schema != u64::from(SCHEMA) {
            return Err(ReadError::Version(header.schema));
        }
        let outline: Outline = serde_json::from_slice(bytes).map_err(ReadError::Shape)?;
        let latencies: usize = outline.runs.iter().map(|run| run.latencies.len()).sum();
        if latencies > LATENCIES_MAX {
            let text = format!("{latencies} pairs of histograms; at most {LATENCIES_MAX} are read");
            return Err(ReadError::Contents(text));
        }
        let document = serde_json::from_slice(bytes).map_err(ReadError::Shape)?;
        check::document(&document).map_err(ReadError::Contents)?;
        Ok(document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;
    use serde_json::{Value, json};

    fn error(value: &Value) -> String {
        Document::parse(value.to_string().as_bytes()).unwrap_err().to_string()
    }

    fn sample() -> Value {
        serde_json::to_value(samples::document()).unwrap()
    }

    #[test]
    fn a_document_comes_back_as_it_was() {
        let bytes = serde_json::to_vec(&samples::document()).unwrap();
        assert!(samples::same(&Document::parse(&bytes).unwrap(), &samples::document()));
    }

    #[test]
    fn what_is_no_document_is_named() {
        let of = |text: &str| Document::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(of("").starts_with("it is not JSON"), "{}", of(""));
        assert!(of("<html>").contains("line 1 column 1"));
        assert!(of("{\"schema\":1,\"runs\":[NaN]}").starts_with("it is not JSON"));
        assert!(of(&format!("{}1", "[".repeat(100_000))).contains("no number `schema`"));
        assert!(of(&format!("{{\"a\":{}", "[".repeat(100_000))).starts_with("it is not JSON"));
        for text in ["3", "{}", "[]", "{\"schema\":\"1\"}", "{\"schema\":-1}", "{\"schema\":1e99}"] {
            assert!(of(text).contains("no number `schema`"), "{text}: {}", of(text));
        }
        assert_eq!(of("{\"schema\":2,\"runs\":7}"), "its schema is version 2; this program knows version 1");
        assert!(of("{\"schema\":1}").contains("missing field"));
        assert!(Document::read(Path::new("/nonexistent")).unwrap_err().to_string().contains("No such file"));
    }

    #[test]
    fn numbers_that_no_float_holds_are_refused() {
        let text = sample().to_string().replacen("0.21", "1e999", 1);
        let error = Document::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("number out of range"), "{error}");
        let mut deep = sample();
        deep["settings"]["a"] =
            serde_json::from_str(&format!("{}{}", "[".repeat(90), "]".repeat(90))).unwrap();
        assert!(self::error(&deep).contains("expected a string"));
    }

    #[test]
    fn parts_that_contradict_each_other_are_refused() {
        let with = |path: &str, value: Value| {
            let mut document = sample();
            *document.pointer_mut(path).unwrap() = value;
            error(&document)
        };
        assert!(with("/tables/0/rows/0", json!(["a"])).contains("row 1 has 1 cells"));
        assert!(with("/measures/1/name", json!("python-hello p50")).contains("twice"));
        assert!(with("/measures/1/values", json!(vec![1; 1001])).contains("more than 1000"));
        assert!(with("/plots/0/series/0/intervals", json!([[1, 2]])).contains("intervals"));
        assert!(with("/plots/0/kind", json!("stacked-bars")).contains("category"));
        assert!(with("/plots/0/kind", json!("pie")).contains("unknown variant"));
        assert!(with("/runs/0/latencies/0/response", json!("AAAA")).contains("histogram"));
        let one = sample()["runs"][0]["latencies"][0].clone();
        assert!(with("/runs/0/latencies", json!(vec![one; 5001])).contains("at most 5000"));
    }
}
