//! What functions print: decoded from the guest's records, cut into lines, kept in a ring per function name.

use crate::api::LogLine;
use crate::host::totals::Totals;
use abi::mailbox::LogRecord;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::broadcast;
use zerocopy::FromBytes;

/// Most lines kept for one function.
const LINES_MAX: usize = 10_000;
/// Most bytes of text kept for one function.
const BYTES_MAX: usize = 4 << 20;
/// Most lines of one request or boot: they would only push out each other.
const WRITER_LINES_MAX: usize = LINES_MAX;
/// Longest line; a longer one is cut into several.
const LINE_BYTES_MAX: usize = 16 << 10;
/// Stream of what the platform itself has to say.
const PLATFORM: u32 = 3;
/// Lines a follower may be behind before it loses some.
const FOLLOW_BACKLOG: usize = 4096;
/// Most bytes of boot output that a refused deploy shows.
const BOOT_OUTPUT_MAX: usize = 16 << 10;

/// The log of one function name.
pub(crate) struct LogBook {
    ring: Mutex<Ring>,
    followers: broadcast::Sender<LogLine>,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Ring {
    lines: VecDeque<LogLine>,
    bytes: usize,
    next_seq: u64,
    /// Text of the parent that boots or booted last.
    boot: String,
}

impl Default for LogBook {
    fn default() -> Self {
        Self {
            ring: Mutex::default(),
            followers: broadcast::channel(FOLLOW_BACKLOG).0,
            dropped: AtomicU64::new(0),
        }
    }
}

impl LogBook {
    /// The last `tail` lines, and what follows them, without gap or overlap.
    pub(crate) fn read(&self, tail: usize) -> (Vec<LogLine>, broadcast::Receiver<LogLine>) {
        let ring = self.lock();
        let skip = ring.lines.len().saturating_sub(tail);
        (ring.lines.iter().skip(skip).cloned().collect(), self.followers.subscribe())
    }

    /// Counts bytes that were dropped at a limit.
    pub(crate) fn dropped(&self, bytes: u64) {
        self.dropped.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn dropped_bytes(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// What the last parent printed while it booted: the end of it if it is long.
    pub(crate) fn boot_output(&self) -> String {
        let ring = self.lock();
        let start = ring.boot.len().saturating_sub(BOOT_OUTPUT_MAX);
        let start = (start..=ring.boot.len()).find(|&at| ring.boot.is_char_boundary(at)).unwrap_or(start);
        ring.boot[start..].to_owned()
    }

    /// Adds a line of the platform's own about a request.
    pub(crate) fn note(&self, request_id: &str, line: &str) {
        self.push(PLATFORM, request_id, line.as_bytes());
    }

    fn begin_boot(&self) {
        self.lock().boot.clear();
    }

    /// Notes what a booting parent prints; of a lot, the end counts.
    fn push_boot(&self, text: &[u8]) {
        let mut ring = self.lock();
        ring.boot.push_str(&String::from_utf8_lossy(text));
        ring.boot.push('\n');
        if ring.boot.len() > 4 * BOOT_OUTPUT_MAX {
            let cut = ring.boot.len() - BOOT_OUTPUT_MAX;
            let cut = (cut..ring.boot.len()).find(|&at| ring.boot.is_char_boundary(at)).unwrap_or(cut);
            ring.boot.drain(..cut);
        }
    }

    fn push(&self, stream: u32, request_id: &str, text: &[u8]) {
        let line = String::from_utf8_lossy(text).into_owned();
        let stream = match stream {
            1 => "stdout",
            2 => "stderr",
            _ => "system",
        };
        let mut ring = self.lock();
        let entry = LogLine {
            seq: ring.next_seq,
            ts: now(),
            stream: stream.to_owned(),
            request_id: request_id.to_owned(),
            line,
        };
        ring.next_seq += 1;
        ring.bytes += entry.line.len();
        // Under the lock, so that followers see lines in order. An error only means that nobody follows.
        if self.followers.receiver_count() > 0 {
            let _ = self.followers.send(entry.clone());
        }
        ring.lines.push_back(entry);
        while ring.lines.len() > LINES_MAX || ring.bytes > BYTES_MAX {
            let Some(oldest) = ring.lines.pop_front() else { break };
            ring.bytes -= oldest.line.len();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> String {
    jiff::Timestamp::now().to_string()
}

/// Turns the raw records of one request (or one boot) into lines. The bytes are the guest's: nothing about
/// them is trusted.
pub(crate) struct LogWriter {
    totals: Arc<Totals>,
    request_id: String,
    /// Bytes of a record that is not complete yet.
    partial: Vec<u8>,
    /// Text after the last line end, by stream (stdout, stderr, pico).
    open_lines: [Vec<u8>; 3],
    /// Lines that may still be kept.
    lines_left: usize,
}

impl LogWriter {
    /// A writer; an empty `request_id` means a booting parent.
    pub(crate) fn new(totals: Arc<Totals>, request_id: String) -> Self {
        if request_id.is_empty() {
            totals.log.begin_boot();
        }
        let lines_left = WRITER_LINES_MAX;
        Self { totals, request_id, partial: Vec::new(), open_lines: Default::default(), lines_left }
    }

    /// Takes the next bytes of the record stream.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut stream = std::mem::take(&mut self.partial);
        stream.extend_from_slice(bytes);
        let mut rest = &stream[..];
        while let Ok((record, after)) = LogRecord::read_from_prefix(rest) {
            let len = usize::try_from(record.len).unwrap_or(usize::MAX);
            if len as u64 > abi::mailbox::LOG_SIZE {
                // No record is that long: the guest wrote garbage, and nothing after it can be made out.
                self.totals.log.dropped(rest.len() as u64);
                return;
            }
            let Some((text, after)) = after.split_at_checked(len.next_multiple_of(4)) else { break };
            self.text(record.stream, &text[..len]);
            rest = after;
        }
        self.partial = rest.to_vec();
    }

    fn text(&mut self, stream: u32, mut text: &[u8]) {
        let index = usize::try_from(stream.clamp(1, 3) - 1).unwrap_or(0);
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            self.open_lines[index].extend_from_slice(&text[..end]);
            text = &text[end + 1..];
            self.end_line(index);
        }
        self.open_lines[index].extend_from_slice(text);
        if self.open_lines[index].len() >= LINE_BYTES_MAX {
            self.end_line(index);
        }
    }

    fn end_line(&mut self, index: usize) {
        let mut line = std::mem::take(&mut self.open_lines[index]);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        let stream = u32::try_from(index).unwrap_or(2) + 1;
        if line.is_empty() {
            self.keep(stream, &line);
        }
        for piece in line.chunks(LINE_BYTES_MAX) {
            self.keep(stream, piece);
        }
    }

    /// Keeps one line. A million empty ones are as cheap to print as one, so their number has a limit, too.
    fn keep(&mut self, stream: u32, line: &[u8]) {
        if self.request_id.is_empty() {
            self.totals.log.push_boot(line);
        }
        match self.lines_left.checked_sub(1) {
            Some(left) => {
                self.lines_left = left;
                self.totals.log.push(stream, &self.request_id, line);
            }
            None => self.totals.log.dropped(line.len() as u64 + 1),
        }
    }

    /// The request is over: what has no line end yet becomes a line, what is no whole record is dropped.
    pub(crate) fn finish(&mut self) {
        self.totals.log.dropped(std::mem::take(&mut self.partial).len() as u64);
        for index in 0..self.open_lines.len() {
            if !self.open_lines[index].is_empty() {
                self.end_line(index);
            }
        }
    }
}

#[cfg(test)]
mod tests;
