//! Internet connections that are made without waiting: what connect(2) tells later.
//!
//! A connection inside the VM is made, or refused, at once. As on Linux, who does not want to wait is told so by the next call.

use super::{Socket, State};
use crate::errno::{Errno, Result};
use crate::file::Ready;
use crate::net::Net;
use crate::net::address::Address;
use crate::net::messages::Received;

/// What a connect that did not wait has not told yet.
#[derive(Clone, Copy, Default)]
pub(super) enum Untold {
    /// Nothing.
    #[default]
    Nothing,
    /// The connection is made.
    Made,
    /// There is none: this error, if no other call has told it.
    Failed(Option<Errno>),
}

impl Untold {
    /// Readiness of a socket that is not connected.
    pub(super) fn ready(self) -> Ready {
        let closed = Ready::IN | Ready::OUT | Ready::HUP | Ready::RDHUP;
        match self {
            Self::Nothing | Self::Made => Ready::OUT | Ready::HUP,
            Self::Failed(None) => closed,
            Self::Failed(Some(_)) => closed | Ready::ERR,
        }
    }
}

impl Socket {
    /// Connects to an internet address; unless it `waits`, whether that works is told later. `EAGAIN` to who waits where
    /// too many wait already.
    pub fn connect_inet(&self, net: &mut Net, address: Address, waits: bool) -> Result<()> {
        match self.untold.take() {
            Untold::Nothing => {}
            Untold::Made => return Ok(()),
            Untold::Failed(errno) => return Err(errno.unwrap_or(Errno::ECONNABORTED)),
        }
        let result = self.connect(net, address);
        if waits || self.endpoint().is_some() {
            return result;
        }
        self.untold.set(match result {
            Ok(()) => Untold::Made,
            Err(Errno::EAGAIN) => Untold::Failed(Some(Errno::ETIMEDOUT)),
            Err(Errno::ECONNREFUSED) => Untold::Failed(Some(Errno::ECONNREFUSED)),
            Err(errno) => return Err(errno),
        });
        self.changes.set(self.changes.get() + 1);
        Err(Errno::EINPROGRESS)
    }

    /// The error of a connection that was not made, which is taken.
    pub(super) fn take_failure(&self) -> Option<Errno> {
        let Untold::Failed(errno) = self.untold.get() else { return None };
        self.untold.set(Untold::Failed(None));
        errno
    }

    /// What a read finds where there is no connection.
    pub(super) fn end_after_failure(&self) -> Result<Received> {
        match self.untold.get() {
            Untold::Failed(_) if matches!(*self.state.borrow(), State::Idle) => {
                self.take_failure().map_or(Ok(Received { len: 0, full: 0 }), Err)
            }
            _ => Err(Errno::ENOTCONN),
        }
    }
}
