//! Opening FIFOs: fifo(7).

use crate::errno::{Errno, Result};
use crate::file::File;
use crate::fs::memory::{Body, Inode};
use crate::fs::{Location, Node};
use crate::kernel::Kernel;
use crate::net::fifo::FifoEnd;
use crate::poll::look_until;
use alloc::rc::Rc;
use linux_raw_sys::general as linux;

/// The inode of a FIFO at `location`, if there is one.
fn inode(location: &Location) -> Option<Rc<Inode>> {
    match &location.node {
        Node::Memory(inode) if matches!(inode.body(), Body::Special(linux::S_IFIFO)) => Some(inode.clone()),
        Node::Open(file) => file.as_any().downcast_ref::<FifoEnd>().map(|end| end.inode().clone()),
        _ => None,
    }
}

/// Opens the FIFO at `location`, if there is one: waits for the other end unless `flags` say otherwise.
pub(super) fn open(kernel: &mut Kernel, location: &Location, flags: u32) -> Result<Option<Rc<dyn File>>> {
    let Some(inode) = inode(location) else { return Ok(None) };
    let access = flags & linux::O_ACCMODE;
    let (reads, writes) = (access != linux::O_WRONLY, access != linux::O_RDONLY);
    let waits = flags & linux::O_NONBLOCK == 0;
    let budget = kernel.net.budget.clone();
    let fifo = kernel.net.fifos.at(inode.key(), &budget);
    if !reads && !waits && !fifo.has_readers() {
        return Err(Errno::ENXIO);
    }
    let end = FifoEnd::new(fifo, inode, reads, writes);
    // Who waits at the other end goes on even if this one waits too.
    kernel.threads.note_change();
    if waits {
        let met = look_until(kernel, None, |_, _, _| end.has_met().then_some(()));
        kernel.process.restartable = met == Err(Errno::EINTR);
        met?;
    }
    Ok(Some(Rc::new(end)))
}
