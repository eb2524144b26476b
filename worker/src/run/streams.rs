//! The caller's standard streams.

use super::Control;
use super::terminal::Wanted;
use abi::console::{INPUT_MAX, Settings};
use abi::mailbox::LogRecord;
use rustix::event::{PollFd, PollFlags};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::io::IsTerminal;
use std::time::Duration;
use zerocopy::FromBytes;

/// A pipe that is ready takes this much without blocking (`PIPE_BUF`).
const OUTPUT_STEP: usize = 4096;
/// Stream of what the guest kernel itself says.
const KERNEL_STREAM: u32 = 3;

/// Standard input, output and error of the caller.
pub struct Streams {
    input: OwnedFd,
    /// Standard output and standard error.
    outputs: [OwnedFd; 2],
    /// Why they cannot be written to any more; 0 while they can.
    errors: [u32; 2],
    terminals: u32,
    buffer: Vec<u8>,
    /// What the guest kernel said.
    said: Vec<u8>,
    /// How the program wants the terminal to be.
    wanted: Wanted,
}

impl Streams {
    /// The streams of a program: input, output, error.
    pub fn new(input: OwnedFd, output: OwnedFd, error: OwnedFd) -> Self {
        let terminals = [&input, &output, &error].map(IsTerminal::is_terminal);
        let terminals = (0..).zip(terminals).map(|(fd, is)| u32::from(is) << fd).sum();
        let buffer = vec![0; INPUT_MAX];
        Self {
            input,
            outputs: [output, error],
            errors: [0; 2],
            terminals,
            buffer,
            said: Vec::new(),
            wanted: Wanted::default(),
        }
    }

    /// Bit `n`: stream `n` is a terminal.
    pub(super) fn terminals(&self) -> u32 {
        self.terminals
    }

    /// Rows and columns of the terminal; 0 if there is none.
    pub(super) fn size(&self) -> (u16, u16) {
        let streams = [&self.outputs[0], &self.outputs[1], &self.input];
        let mut sizes = streams.into_iter().filter_map(|fd| rustix::termios::tcgetwinsize(fd).ok());
        sizes.next().map_or((0, 0), |size| (size.ws_row, size.ws_col))
    }

    /// The terminal among the streams.
    fn terminal(&self) -> Option<BorrowedFd<'_>> {
        let streams = [&self.input, &self.outputs[0], &self.outputs[1]];
        let is_terminal = |index: &usize| self.terminals & 1 << index != 0;
        (0..streams.len()).find(is_terminal).map(|index| streams[index].as_fd())
    }

    /// Does what the program asks for with its terminal.
    pub(super) fn serve_terminal(&mut self, args: [u64; 4]) -> Result<Settings, u32> {
        let mut wanted = std::mem::take(&mut self.wanted);
        let result = wanted.serve(self.terminal(), args);
        self.wanted = wanted;
        result
    }

    /// Sets the terminal as the program wants it, again.
    pub(super) fn renew_terminal(&self) {
        self.wanted.renew(self.terminal());
    }

    /// Error numbers of standard output and standard error.
    pub(super) fn errors(&self) -> [u32; 2] {
        self.errors
    }

    /// What the guest kernel said: why a program could not be started.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.said).trim_end().to_owned()
    }

    /// Waits for input, at most for `left` or until something happens; nothing if there was none.
    pub(super) fn input(&mut self, left: Option<Duration>, control: &Control) -> Option<Result<&[u8], u32>> {
        let fd = self.input.as_fd();
        if !control.wait(left, Some(PollFd::from_borrowed_fd(fd, PollFlags::IN))) {
            return None;
        }
        Some(match rustix::io::read(&self.input, &mut self.buffer[..]) {
            Ok(len) => Ok(&self.buffer[..len]),
            Err(Errno::AGAIN | Errno::INTR) => return None,
            Err(error) => Err(error.raw_os_error().unsigned_abs()),
        })
    }

    /// Passes on the records of a log area.
    pub(super) fn write_records(&mut self, mut records: &[u8], control: &Control) {
        while let Ok((LogRecord { stream, len }, rest)) = LogRecord::read_from_prefix(records) {
            // The guest's own word: what is not there is left out.
            let len = usize::try_from(len).unwrap_or(usize::MAX).min(rest.len());
            let (text, rest) = rest.split_at(len);
            match stream {
                1 | 2 => self.write(usize::from(stream == 2), text, control),
                KERNEL_STREAM => {
                    self.said.extend(text.iter().take(INPUT_MAX.saturating_sub(self.said.len())))
                }
                _ => {}
            }
            records = rest.get(len.next_multiple_of(4) - len..).unwrap_or_default();
        }
    }

    /// Writes all of `text`, unless the run ends meanwhile. A slow reader makes the program wait.
    fn write(&mut self, index: usize, mut text: &[u8], control: &Control) {
        while !text.is_empty() && self.errors[index] == 0 && control.end().is_none() {
            let part = &text[..text.len().min(OUTPUT_STEP)];
            match write_ready(self.outputs[index].as_fd(), part, control) {
                Ok(written) => text = &text[written..],
                Err(error) => self.errors[index] = error.raw_os_error().unsigned_abs(),
            }
        }
    }
}

/// Writes a part of `part` once that does not block; nothing if something else happened first.
fn write_ready(output: BorrowedFd<'_>, part: &[u8], control: &Control) -> Result<usize, Errno> {
    if !control.wait(None, Some(PollFd::from_borrowed_fd(output, PollFlags::OUT))) {
        control.acknowledge();
        return Ok(0);
    }
    match rustix::io::write(output, part) {
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        result => result,
    }
}
