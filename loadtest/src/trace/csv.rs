//! Tables with a header, and errors that say where.

use ::csv::{ByteRecord, Reader, ReaderBuilder, Terminator};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A trace that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file.
    #[error("{path} cannot be read")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A field, or the first one of a line where no single field is wrong.
    #[error("{path}, line {line}, column {column}: {why}")]
    Field {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Field of the line, from 1.
        column: usize,
        /// What is wrong.
        why: String,
    },
}

/// Bytes of a field that an error shows.
const SHOWN: usize = 40;

/// Bytes of a line. The longest of the published traces, of 14 days in one table, would have 200 KB.
const LINE_MAX: usize = 4 << 20;
/// Numbers beyond this are no times and no sizes.
const NUMBER_MAX: f64 = 1e12;

/// A file whose lines have an end, the last one too.
struct Lines<R> {
    inner: R,
    /// The line that is read, from 1, and its bytes so far.
    line: u64,
    length: usize,
}

/// Which line is longer than it can be.
#[derive(Debug, thiserror::Error)]
#[error("line {0} has more than {LINE_MAX} bytes")]
struct LongLine(u64);

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        // The end that the last line may lack: the number of a record's line is taken from where it ends.
        if let (0, true, Some(first)) = (count, self.length > 0, buffer.first_mut()) {
            *first = b'\n';
            self.length = 0;
            return Ok(1);
        }
        for &byte in buffer.get(..count).unwrap_or_default() {
            self.length += 1;
            if byte == b'\n' {
                self.line += 1;
                self.length = 0;
            } else if self.length > LINE_MAX {
                return Err(io::Error::other(LongLine(self.line)));
            }
        }
        Ok(count)
    }
}

/// A table that is being read.
pub(super) struct Table {
    path: PathBuf,
    reader: Reader<Lines<File>>,
    header: Vec<String>,
    record: ByteRecord,
    /// Line of the record, from 1.
    line: u64,
}

impl Table {
    pub(super) fn open(path: &Path) -> Result<Table, TraceError> {
        let io = |source| TraceError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        let lines = Lines { inner: file, line: 1, length: 0 };
        // Without quotes: a field cannot hold a line break, so that lines are lines, and have a limit.
        let mut builder = ReaderBuilder::new();
        // A carriage return before the end is white space, as that around fields is.
        builder.has_headers(false).quoting(false).flexible(true).terminator(Terminator::Any(b'\n'));
        let reader = builder.from_reader(lines);
        let mut table =
            Table { path: path.to_owned(), reader, header: Vec::new(), record: ByteRecord::new(), line: 1 };
        if !table.advance()? {
            return Err(table.whole("it is empty"));
        }
        let names = table.record.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned());
        table.header = names.collect();
        Ok(table)
    }

    /// The names of the columns.
    pub(super) fn header(&self) -> &[String] {
        &self.header
    }

    /// Where the column `name` is.
    pub(super) fn column(&self, name: &str) -> Result<usize, TraceError> {
        let found = self.header.iter().position(|known| known == name);
        found.ok_or_else(|| TraceError::Field {
            path: self.path.clone(),
            line: self.line,
            column: self.header.len(),
            why: format!("the header has no column `{name}`"),
        })
    }

    /// Goes to the next line; false at the end.
    pub(super) fn next(&mut self) -> Result<bool, TraceError> {
        if !self.advance()? {
            return Ok(false);
        }
        let (len, wanted) = (self.record.len(), self.header.len());
        if len != wanted {
            let why = format!("the line has {len} fields, the header {wanted}");
            return Err(self.wrong(len.min(wanted), &why));
        }
        Ok(true)
    }

    /// Goes to the next line that is not blank.
    fn advance(&mut self) -> Result<bool, TraceError> {
        let mut record = std::mem::take(&mut self.record);
        let there = loop {
            match self.reader.read_byte_record(&mut record) {
                Ok(true) if record.len() == 1 && record[0].trim_ascii().is_empty() => {}
                there => break there,
            }
        };
        self.record = record;
        let is_there = there.map_err(|error| self.refused(error))?;
        if is_there {
            // The reader stands behind the end of the record's line, on the next one.
            self.line = self.reader.position().line().saturating_sub(1);
        }
        Ok(is_there)
    }

    /// Field `index` of the line as text.
    pub(super) fn text(&self, index: usize) -> Result<&str, TraceError> {
        let bytes = self.record.get(index).ok_or_else(|| self.wrong(index, "the line ends before it"))?;
        let text = std::str::from_utf8(bytes).map_err(|_| self.wrong(index, "it is not UTF-8"))?;
        Ok(text.trim())
    }

    /// Field `index` of the line as a count.
    pub(super) fn count(&self, index: usize) -> Result<u32, TraceError> {
        let text = self.text(index)?;
        text.parse().map_err(|_| self.wrong(index, &format!("`{}` is not a count", shown(text))))
    }

    /// Field `index` of the line as a number that is not negative.
    pub(super) fn number(&self, index: usize) -> Result<f64, TraceError> {
        let text = self.text(index)?;
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
        let number = number
            .ok_or_else(|| self.wrong(index, &format!("`{}` is not a number of 0 or more", shown(text))))?;
        if number > NUMBER_MAX {
            return Err(self.wrong(index, &format!("`{}` is too large", shown(text))));
        }
        Ok(number)
    }

    /// The number of the line.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    pub(super) fn wrong(&self, index: usize, why: &str) -> TraceError {
        let path = self.path.clone();
        TraceError::Field { path, line: self.line, column: index + 1, why: why.to_owned() }
    }

    /// What is true for no single field is said of the line that was read last.
    pub(super) fn whole(&self, why: &str) -> TraceError {
        self.wrong(0, why)
    }

    fn refused(&self, error: ::csv::Error) -> TraceError {
        let source = match error.into_kind() {
            ::csv::ErrorKind::Io(source) => source,
            // Bytes in lines of any length: nothing else can be wrong.
            kind => io::Error::other(format!("{kind:?}")),
        };
        match source.get_ref().and_then(|of| of.downcast_ref()) {
            Some(LongLine(line)) => {
                let why = format!("the line has more than {LINE_MAX} bytes");
                TraceError::Field { path: self.path.clone(), line: *line, column: 1, why }
            }
            None => TraceError::Io { path: self.path.clone(), source },
        }
    }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}
