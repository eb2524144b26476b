//! What a program writes to its terminal, on its way to the screen: `OPOST` and its kin.

use abi::console::Settings;
use alloc::collections::VecDeque;
use linux_raw_sys::general as c;

/// Most bytes that wait for the master.
pub const OUTPUT_MAX: usize = 8 << 10;
/// Columns from one tab stop to the next.
const TAB: usize = 8;

/// Bytes that wait for the master, and where the cursor is.
#[derive(Default)]
pub struct Output {
    bytes: VecDeque<u8>,
    column: usize,
    /// The column in which the line that is being typed began.
    pub start_column: usize,
}

/// Whether `byte` belongs to a character that began before it.
pub fn is_continuation(settings: &Settings, byte: u8) -> bool {
    settings.input & c::IUTF8 != 0 && byte & 0xc0 == 0x80
}

/// Whether `byte` is a control character.
pub fn is_control(byte: u8) -> bool {
    byte.is_ascii_control()
}

impl Output {
    /// Bytes for the master.
    pub fn waiting(&self) -> usize {
        self.bytes.len()
    }

    /// Room for more.
    pub fn room(&self) -> usize {
        OUTPUT_MAX - self.bytes.len()
    }

    /// Takes bytes for the master.
    pub fn take(&mut self, buf: &mut [u8]) -> usize {
        let len = buf.len().min(self.bytes.len());
        buf.iter_mut().zip(self.bytes.drain(..len)).for_each(|(to, from)| *to = from);
        if self.bytes.is_empty() {
            self.bytes = VecDeque::new();
        }
        len
    }

    /// Drops what waits for the master.
    pub fn clear(&mut self) {
        self.bytes = VecDeque::new();
    }

    /// Adds `bytes` as they are, if there is room for all of them.
    fn add(&mut self, bytes: &[u8]) -> bool {
        let fits = bytes.len() <= self.room();
        if fits {
            self.bytes.extend(bytes);
        }
        fits
    }

    /// Puts `byte` out as `settings` say. False: there is no room.
    pub fn put(&mut self, settings: &Settings, byte: u8) -> bool {
        let has = |flag: u32| settings.output & flag != 0;
        if !has(c::OPOST) {
            return self.add(&[byte]);
        }
        let (mut byte, mut column) = (byte, self.column);
        match byte {
            b'\n' if has(c::ONLCR) => return self.add(b"\r\n") && self.begin_line(),
            b'\n' if has(c::ONLRET) => column = 0,
            b'\r' if has(c::ONOCR) && column == 0 => return true,
            b'\r' if has(c::OCRNL) => {
                byte = b'\n';
                column = if has(c::ONLRET) { 0 } else { column };
            }
            b'\r' => return self.add(b"\r") && self.begin_line(),
            b'\t' => {
                let spaces = TAB - column % TAB;
                if settings.output & c::TABDLY == c::XTABS {
                    self.column += if spaces <= self.room() { spaces } else { 0 };
                    return self.add(&[b' '; TAB][..spaces]);
                }
                column += spaces;
            }
            b'\x08' => column = column.saturating_sub(1),
            _ if is_control(byte) => {}
            _ => {
                byte = if has(c::OLCUC) { byte.to_ascii_uppercase() } else { byte };
                column += usize::from(!is_continuation(settings, byte));
            }
        }
        let fits = self.add(&[byte]);
        if fits {
            self.column = column;
            self.start_column = if byte == b'\n' { column } else { self.start_column };
        }
        fits
    }

    fn begin_line(&mut self) -> bool {
        (self.column, self.start_column) = (0, 0);
        true
    }

    /// A line begins to be typed.
    pub fn note_start(&mut self) {
        self.start_column = self.column;
    }

    /// Shows a control character as `^X`. What there is no room for is not shown.
    pub fn put_caret(&mut self, byte: u8) {
        if self.add(&[b'^', byte ^ 0o100]) {
            self.column += 2;
        }
    }

    /// The cursor goes back over a tab that came behind `columns`.
    pub fn erase_tab(&mut self, columns: usize) {
        for _ in 0..TAB - columns % TAB {
            if self.add(b"\x08") {
                self.column = self.column.saturating_sub(1);
            }
        }
    }
}
