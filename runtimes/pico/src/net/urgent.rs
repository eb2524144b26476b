//! Urgent data of a TCP connection as its receiver sees it: one byte of the stream that can be read beside it.

use core::cell::Cell;

/// The byte, where it lies, and how far the stream is.
#[derive(Default)]
pub struct Urgent {
    read: Cell<u64>,
    written: Cell<u64>,
    mark: Cell<Option<Mark>>,
    /// It stays in the stream (`SO_OOBINLINE`).
    inline: Cell<bool>,
    count: Cell<u64>,
}

/// The last urgent byte that was sent and that the reader has not passed.
#[derive(Clone, Copy)]
struct Mark {
    at: u64,
    /// Nothing once it was read out of band.
    byte: Option<u8>,
}

impl Urgent {
    /// `len` bytes of the stream were written.
    pub fn note_written(&self, len: usize) {
        self.written.set(self.written.get() + len as u64);
    }

    /// `len` bytes of the stream were read.
    pub fn note_read(&self, len: usize) {
        let read = self.read.get() + len as u64;
        self.read.set(read);
        if self.mark.get().is_some_and(|mark| mark.at < read) {
            self.mark.set(None);
        }
    }

    /// Whether a byte that is urgent now takes the place of an old one that lies next in a stream with `len` bytes and
    /// that nobody can read any more.
    pub fn gives_up_old(&self, len: usize) -> bool {
        self.is_left_out() && len > 1
    }

    /// The byte that was written last, `byte`, is urgent.
    pub fn mark(&self, byte: u8) {
        let at = self.written.get() - 1;
        self.mark.set(Some(Mark { at, byte: Some(byte) }));
        self.count.set(self.count.get() + 1);
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.count.get()
    }

    /// Says whether urgent bytes stay in the stream.
    pub fn set_inline(&self, inline: bool) {
        self.inline.set(inline);
    }

    /// Whether urgent bytes stay in the stream.
    pub fn is_inline(&self) -> bool {
        self.inline.get()
    }

    /// Whether the next byte of the stream is the urgent one (`SIOCATMARK`).
    pub fn is_at_mark(&self) -> bool {
        self.mark.get().is_some_and(|mark| mark.at == self.read.get())
    }

    /// Whether an urgent byte was not read yet.
    pub fn is_unread(&self) -> bool {
        self.mark.get().is_some_and(|mark| mark.byte.is_some())
    }

    /// The urgent byte, if it can be read beside the stream. It is not there any more unless the caller only looks (`peek`).
    pub fn take(&self, peek: bool) -> Option<u8> {
        let mark = self.mark.get().filter(|_| !self.inline.get())?;
        if !peek {
            self.mark.set(Some(Mark { byte: None, ..mark }));
        }
        mark.byte
    }

    /// Whether the next byte of the stream is the urgent one, and no part of what is read.
    pub fn is_left_out(&self) -> bool {
        self.is_at_mark() && !self.inline.get()
    }

    /// Of a read of `len` bytes, how many it reads at most: none goes on over the urgent byte.
    pub fn stretch(&self, len: usize) -> usize {
        let before =
            self.mark.get().map(|mark| usize::try_from(mark.at - self.read.get()).unwrap_or(usize::MAX));
        before.filter(|&before| before > 0).map_or(len, |before| len.min(before))
    }

    /// Of `len` bytes in the stream, how many `FIONREAD` tells: those up to the urgent one.
    pub fn readable(&self, len: usize) -> usize {
        match self.mark.get() {
            Some(mark) if !self.inline.get() => {
                usize::try_from(mark.at - self.read.get()).unwrap_or(usize::MAX).min(len)
            }
            _ => len,
        }
    }
}
