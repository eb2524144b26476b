//! `/dev/invocation`: the handler contract's request and response as a character device.
//!
//! The invocation is one line of JSON. `read` waits for it and gives as much as fits, further reads give the
//! rest, then one read gives 0; a read after that waits for the next invocation. The answer is one line of JSON too:
//! it is complete with the `write` that ends in a newline, and that write does not return.

use super::{Shared, State};
use crate::errno::{Errno, Result};
use crate::file::{File, Ready};
use crate::fs::device::Devices;
use abi::boot::INVOCATION_DEVICE;
use alloc::rc::Rc;
use core::any::Any;
use core::cell::Cell;
use linux_raw_sys::general::stat as Stat;

/// Makes the device known as `/dev/invocation`.
pub fn register(devices: &mut Devices, inbound: &Shared) {
    let name = INVOCATION_DEVICE.strip_prefix("/dev/").expect("it is a device");
    let inbound = inbound.clone();
    devices.register(name, Rc::new(move |stat| Rc::new(InvocationDevice::new(inbound.clone(), stat))));
}

/// The open device.
pub struct InvocationDevice {
    inbound: Shared,
    /// The end of the document was reported with a read of 0.
    ended: Cell<bool>,
    stat: Stat,
}

impl InvocationDevice {
    /// The device for the request in `inbound`; `stat` is what fstat(2) tells about it.
    pub fn new(inbound: Shared, stat: Stat) -> Self {
        Self { inbound, ended: Cell::new(false), stat }
    }
}

impl File for InvocationDevice {
    fn read(&self, _offset: u64, buf: &mut [u8]) -> Result<usize> {
        let mut inbound = self.inbound.borrow_mut();
        if buf.is_empty() {
            return Ok(0);
        }
        if inbound.state() == State::None || (self.ended.get() && inbound.state() != State::Pending) {
            return Err(Errno::EAGAIN);
        }
        inbound.take();
        let unread = inbound.unread();
        let len = unread.len().min(buf.len());
        buf[..len].copy_from_slice(&unread[..len]);
        inbound.consume(len);
        self.ended.set(len == 0);
        Ok(len)
    }

    fn write(&self, _offset: u64, buf: &[u8]) -> Result<usize> {
        self.inbound.borrow_mut().respond_line(buf)
    }

    fn stat(&self) -> Result<Stat> {
        Ok(self.stat)
    }

    fn ready(&self) -> Ready {
        let inbound = self.inbound.borrow();
        match inbound.state() {
            State::Pending => Ready::IN | Ready::OUT,
            State::Taken | State::Responding if !self.ended.get() => Ready::IN | Ready::OUT,
            _ => Ready::OUT,
        }
    }

    fn activity(&self) -> u64 {
        self.inbound.borrow().activity()
    }

    fn takes_request(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
