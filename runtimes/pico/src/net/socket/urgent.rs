//! Urgent data of sockets: TCP alone has it.

use super::{Kind, Socket, State};
use crate::errno::{Errno, Result};
use crate::net::address::Family;

impl Socket {
    /// Sends what fits, the last byte of it as urgent data.
    pub fn send_urgent(&self, buf: &[u8]) -> Result<usize> {
        match &*self.state.borrow() {
            _ if self.family == Family::Unix || self.kind != Kind::Stream => Err(Errno::EOPNOTSUPP),
            State::Connected(link) => link.send_urgent(buf),
            _ => Err(self.take_failure().unwrap_or(Errno::EPIPE)),
        }
    }

    /// Receives the urgent byte.
    pub fn receive_urgent(&self, peek: bool) -> Result<u8> {
        match &*self.state.borrow() {
            State::Connected(link) if self.family != Family::Unix => link.receive_urgent(peek),
            State::Listening(_) => Err(Errno::ENOTCONN),
            _ if self.family == Family::Unix => Err(Errno::EOPNOTSUPP),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Whether the next byte is the urgent one. `ENOTTY` where there is none ever.
    pub fn at_mark(&self) -> Result<bool> {
        match &*self.state.borrow() {
            _ if self.family == Family::Unix || self.kind != Kind::Stream => Err(Errno::ENOTTY),
            State::Connected(link) => Ok(link.at_mark()),
            _ => Ok(false),
        }
    }
}
