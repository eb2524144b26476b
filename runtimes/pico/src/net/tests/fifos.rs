//! FIFOs.

use super::rig::{Rig, same};
use linux_raw_sys::general as c;
use std::format;

const NONBLOCK: u32 = c::O_NONBLOCK;

impl Rig {
    /// A new FIFO; the address of its path.
    fn fifo(&mut self, name: &str) -> u64 {
        let path = self.put(format!("/tmp/pico-fifo-{}-{name}\0", std::process::id()).as_bytes());
        self.call(c::__NR_unlink, &[path]);
        self.note("make", c::__NR_mknod, &[path, (c::S_IFIFO | 0o600).into(), 0]);
        path
    }

    fn open(&mut self, path: u64, flags: u32) -> u64 {
        self.fd(c::__NR_open, &[path, flags.into()])
    }

    fn read_some(&mut self, name: &str, fd: u64) {
        let text = self.room(32);
        let result = self.note(name, c::__NR_read, &[fd, text, 32]);
        self.tell_text(name, text, usize::try_from(result).unwrap_or(0));
    }

    fn write_text(&mut self, name: &str, fd: u64, text: &str) {
        let addr = self.put(text.as_bytes());
        self.note(name, c::__NR_write, &[fd, addr, text.len() as u64]);
    }

    /// The only writer says something and goes.
    fn last_words(&mut self, writer: u64, reader: u64) {
        self.write_text("write", writer, "last words");
        self.close(writer);
        self.tell_events("words, and no writer", reader);
        self.read_some("read", reader);
        self.tell_events("no writer", reader);
        self.read_some("the end", reader);
    }
}

#[test]
fn a_fifo_is_a_pipe_with_a_name() {
    same(|rig| {
        let path = rig.fifo("name");
        rig.note("again", c::__NR_mknod, &[path, (c::S_IFIFO | 0o600).into(), 0]);
        let stat = rig.room(144);
        rig.note("stat", c::__NR_stat, &[path, stat]);
        let mode = u32::from_ne_bytes(rig.peek(stat + 24));
        rig.tell("mode", mode);
        rig.note("nobody reads", c::__NR_open, &[path, (c::O_WRONLY | NONBLOCK).into()]);
        let reader = rig.open(path, c::O_RDONLY | NONBLOCK);
        rig.tell_events("no writer yet", reader);
        rig.read_some("no writer yet", reader);
        let writer = rig.open(path, c::O_WRONLY);
        rig.tell_events("writer", writer);
        rig.read_some("nothing yet", reader);
        rig.write_text("write", writer, "through the fifo");
        rig.tell_events("something", reader);
        rig.read_some("read", reader);
        rig.note("wrong end", c::__NR_read, &[writer, stat, 1]);
        rig.note("seek", c::__NR_lseek, &[reader, 0, 0]);
        rig.note("truncate", c::__NR_truncate, &[path, 0]);
        let second = rig.open(path, c::O_WRONLY | NONBLOCK);
        rig.close(writer);
        rig.tell_events("one writer left", reader);
        rig.last_words(second, reader);
        let third = rig.open(path, c::O_WRONLY);
        rig.tell_events("a writer again", reader);
        rig.read_some("not the end any more", reader);
        rig.note("unlink", c::__NR_unlink, &[path]);
        rig.write_text("without a name", third, "still here");
        rig.read_some("without a name", reader);
    });
}

#[test]
fn a_fifo_opened_both_ways_waits_for_nobody() {
    same(|rig| {
        let path = rig.fifo("both");
        let both = rig.open(path, c::O_RDWR);
        rig.tell_events("new", both);
        rig.write_text("write", both, "to itself");
        let reader = rig.open(path, c::O_RDONLY);
        rig.close(both);
        rig.read_some("what it wrote stays", reader);
        rig.read_some("end", reader);
        rig.close(reader);
        let reader = rig.open(path, c::O_RDONLY | NONBLOCK);
        let writer = rig.open(path, c::O_WRONLY | NONBLOCK);
        rig.write_text("kept", writer, "kept while somebody has it open");
        rig.close(reader);
        rig.tell_events("no reader", writer);
        let reader = rig.open(path, c::O_RDONLY | NONBLOCK);
        rig.read_some("kept", reader);
        rig.write_text("lost", writer, "lost");
        rig.close(reader);
        rig.close(writer);
        let reader = rig.open(path, c::O_RDONLY | NONBLOCK);
        rig.read_some("lost when all have closed it", reader);
        rig.note("unlink", c::__NR_unlink, &[path]);
    });
}

#[test]
fn a_reader_that_came_after_the_last_writer_is_told_that_it_has_gone() {
    same(|rig| {
        let path = rig.fifo("late");
        let writer = rig.open(path, c::O_RDWR);
        let late = rig.open(path, c::O_RDONLY);
        rig.tell_events("a writer", late);
        rig.last_words(writer, late);
    });
}
