//! What is typed, on its way to the program: lines, echo, erasing, keys that send signals. As Linux's `n_tty` does it.

use super::output::{Output, is_continuation, is_control};
use super::settings::{SANE, Termios};
use abi::console::Settings;
use alloc::collections::VecDeque;
use linux_raw_sys::general as c;

/// Most bytes of input that wait for the program; the last place is for the end of a line that is too long.
pub const INPUT_MAX: usize = 4096;

/// How a byte of input ends a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It does not.
    None,
    /// It is the last of it.
    Here,
    /// It is not part of it: `VEOF`.
    Hidden,
}

/// What a key does besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// It sends this signal to the foreground.
    Signal(u32),
    /// Output stops.
    Stop,
    /// Output goes on.
    Start,
}

/// Input and output of a terminal and what is set about them.
pub struct Discipline {
    /// What is set.
    settings: Settings,
    /// What the program has written.
    pub output: Output,
    input: VecDeque<(u8, End)>,
    /// How much of the input is whole lines.
    whole: usize,
    /// The next byte has no special meaning.
    literal: bool,
}

impl Default for Discipline {
    fn default() -> Self {
        Self { settings: SANE, output: Output::default(), input: VecDeque::new(), whole: 0, literal: false }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || (byte >= 0xc0 && byte != 0xd7 && byte != 0xf7)
}

impl Discipline {
    /// What is set.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Sets it. Who changes between lines and bytes finds what was typed as it would be in the new way.
    pub fn set(&mut self, settings: Settings) {
        let changed = self.settings.is_canonical() != settings.is_canonical();
        self.settings = settings;
        if !changed {
            return;
        }
        self.input.iter_mut().for_each(|(_, end)| *end = End::None);
        self.literal = false;
        self.whole = 0;
        if settings.is_canonical() {
            self.whole = self.input.len();
            if let Some((_, end)) = self.input.back_mut() {
                *end = End::Here;
            }
        }
    }

    /// Bytes the program can read.
    pub fn readable(&self) -> usize {
        if !self.settings.is_canonical() {
            return self.input.len();
        }
        self.input.iter().take(self.whole).filter(|(_, end)| *end != End::Hidden).count()
    }

    /// Whether a read would find something: at least `least` bytes, or a line.
    pub fn has_input(&self, least: usize) -> bool {
        if self.settings.is_canonical() { self.whole > 0 } else { self.input.len() >= least }
    }

    /// Drops what was typed.
    pub fn clear(&mut self) {
        self.input = VecDeque::new();
        self.whole = 0;
        self.literal = false;
    }

    /// Whether a byte that is typed now would find a place, or be dropped for lack of one: whether it need not wait.
    pub fn takes(&self) -> bool {
        self.input.len() + 1 < INPUT_MAX || (self.settings.is_canonical() && self.whole == 0)
    }

    /// Takes bytes for the program: the rest of a line at most. There is some input, or nothing is taken.
    pub fn take(&mut self, buf: &mut [u8]) -> usize {
        let canonical = self.settings.is_canonical();
        let available = if canonical { self.whole } else { self.input.len() };
        let (mut count, mut gone) = (0, 0);
        while gone < available {
            let (byte, end) = self.input[gone];
            // The end of a file that comes right behind what there is room for is taken along.
            if end == End::Hidden && canonical {
                gone += 1;
                break;
            }
            if count == buf.len() {
                break;
            }
            buf[count] = byte;
            (count, gone) = (count + 1, gone + 1);
            if end == End::Here && canonical {
                break;
            }
        }
        self.input.drain(..gone);
        self.whole = self.whole.saturating_sub(gone);
        if self.input.is_empty() {
            self.input = VecDeque::new();
        }
        count
    }

    /// At how many bytes `byte`, if it is typed now, makes pico look: keys that edit a line go over all of it.
    pub fn work_for(&self, byte: u8) -> usize {
        let keys = [c::VERASE, c::VKILL, c::VWERASE, c::VREPRINT];
        let edits = self.settings.is_canonical() && keys.iter().any(|&key| self.settings.is(key, byte));
        if edits { 1 + self.input.len() - self.whole } else { 1 }
    }

    /// A byte is typed; [`Discipline::takes`] has said that it may be.
    pub fn receive(&mut self, byte: u8) -> Option<Key> {
        if self.input.len() >= INPUT_MAX {
            self.input.pop_back();
        }
        let mut byte = byte;
        if self.settings.input & c::ISTRIP != 0 {
            byte &= 0x7f;
        }
        if self.settings.input & c::IUCLC != 0 && self.settings.has(c::IEXTEN) {
            byte = byte.to_ascii_lowercase();
        }
        if core::mem::take(&mut self.literal) {
            self.keep(byte);
            return None;
        }
        self.key(byte).or_else(|| {
            self.plain(byte);
            None
        })
    }

    /// What the key does besides, if it is one that does nothing else.
    fn key(&mut self, byte: u8) -> Option<Key> {
        let settings = &self.settings;
        if settings.input & c::IXON != 0 {
            // One key for both starts what it has stopped: who is asked first is not asked again.
            if settings.is(c::VSTART, byte) {
                return Some(Key::Start);
            }
            if settings.is(c::VSTOP, byte) {
                return Some(Key::Stop);
            }
        }
        if !settings.has(c::ISIG) {
            return None;
        }
        let keys = [(c::VINTR, c::SIGINT), (c::VQUIT, c::SIGQUIT), (c::VSUSP, c::SIGTSTP)];
        let (_, signal) = keys.into_iter().find(|&(index, _)| settings.is(index, byte))?;
        if !settings.has(c::NOFLSH) {
            self.clear();
        }
        if self.settings.has(c::ECHO) {
            self.echo(byte);
        }
        Some(Key::Signal(signal))
    }

    fn plain(&mut self, byte: u8) {
        let flags = self.settings.input;
        let byte = match byte {
            b'\r' if flags & c::IGNCR != 0 => return,
            b'\r' if flags & c::ICRNL != 0 => b'\n',
            b'\n' if flags & c::INLCR != 0 => b'\r',
            byte => byte,
        };
        if !(self.settings.is_canonical() && self.edit(byte)) {
            self.keep(byte);
        }
    }

    /// The line is edited, or ended. False: the byte is nothing special.
    fn edit(&mut self, byte: u8) -> bool {
        let settings = self.settings;
        let is = |index| settings.is(index, byte);
        let (extended, echo) = (settings.has(c::IEXTEN), settings.has(c::ECHO));
        if is(c::VERASE) || is(c::VKILL) || (is(c::VWERASE) && extended) {
            self.erase(byte);
        } else if is(c::VLNEXT) && extended {
            self.literal = true;
            if echo && settings.has(c::ECHOCTL) {
                self.put(b"^\x08");
            }
        } else if is(c::VREPRINT) && echo && extended {
            self.echo(byte);
            self.put(b"\n");
            for at in self.whole..self.input.len() {
                self.echo(self.input[at].0);
            }
        } else if byte == b'\n' {
            if echo || settings.has(c::ECHONL) {
                self.put(b"\n");
            }
            self.end_line(byte, End::Here);
        } else if is(c::VEOF) {
            self.end_line(0, End::Hidden);
        } else if is(c::VEOL) || (is(c::VEOL2) && extended) {
            self.echo_typed(byte);
            self.end_line(byte, End::Here);
        } else {
            return false;
        }
        true
    }

    fn end_line(&mut self, byte: u8, end: End) {
        self.input.push_back((byte, end));
        self.whole = self.input.len();
    }

    /// The byte is part of what is typed.
    fn keep(&mut self, byte: u8) {
        if byte == b'\n' && self.settings.has(c::ECHO) {
            self.put(b"\n");
        } else {
            self.echo_typed(byte);
        }
        self.input.push_back((byte, End::None));
    }

    fn echo_typed(&mut self, byte: u8) {
        if self.settings.has(c::ECHO) {
            if self.whole == self.input.len() {
                self.output.note_start();
            }
            self.echo(byte);
        }
    }

    /// Shows `byte`, a control character as `^X`.
    fn echo(&mut self, byte: u8) {
        if self.settings.has(c::ECHOCTL) && is_control(byte) && byte != b'\t' {
            self.output.put_caret(byte);
        } else {
            self.put(&[byte]);
        }
    }

    /// Shows `bytes`; what there is no room for is not shown.
    fn put(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| _ = self.output.put(&self.settings, byte));
    }

    /// Erases a character, a word or the line, as the key `byte` asks for.
    fn erase(&mut self, byte: u8) {
        let settings = self.settings;
        if self.input.len() == self.whole {
            return;
        }
        let (one, word) = (settings.is(c::VERASE, byte), settings.is(c::VWERASE, byte));
        let shows = [c::ECHO, c::ECHOK, c::ECHOKE, c::ECHOE].map(|flag| settings.has(flag));
        if !one && !word && shows != [true; 4] {
            self.input.truncate(self.whole);
            if settings.has(c::ECHO) {
                self.echo(byte);
                if settings.has(c::ECHOK) {
                    self.put(b"\n");
                }
            }
            return;
        }
        let mut in_word = false;
        while let Some(erased) = self.last_character() {
            if word && !is_word(erased) && in_word {
                break;
            }
            in_word |= is_word(erased);
            self.remove_character();
            if settings.has(c::ECHO) {
                self.show_erased(erased, one);
            }
            if one {
                break;
            }
        }
    }

    /// Where the last character of the line begins, if there is one.
    fn last_start(&self) -> Option<usize> {
        let starts = |at: &usize| !is_continuation(&self.settings, self.input[*at].0);
        (self.whole..self.input.len()).rev().find(starts)
    }

    fn last_character(&self) -> Option<u8> {
        self.last_start().map(|at| self.input[at].0)
    }

    fn remove_character(&mut self) {
        if let Some(at) = self.last_start() {
            self.input.truncate(at);
        }
    }

    fn show_erased(&mut self, erased: u8, one: bool) {
        let shows_controls = self.settings.has(c::ECHOCTL);
        if one && !self.settings.has(c::ECHOE) {
            self.echo(self.settings.characters[c::VERASE as usize]);
        } else if erased == b'\t' {
            let columns = self.columns_before();
            self.output.erase_tab(columns);
        } else {
            if is_control(erased) && shows_controls {
                self.put(b"\x08 \x08");
            }
            if !is_control(erased) || shows_controls {
                self.put(b"\x08 \x08");
            }
        }
    }

    /// Columns of what was typed since the last tab, or since the line began.
    fn columns_before(&self) -> usize {
        let mut columns = 0;
        for at in (self.whole..self.input.len()).rev() {
            match self.input[at].0 {
                b'\t' => return columns,
                byte if is_control(byte) => columns += if self.settings.has(c::ECHOCTL) { 2 } else { 0 },
                byte => columns += usize::from(!is_continuation(&self.settings, byte)),
            }
        }
        columns + self.output.start_column
    }
}
