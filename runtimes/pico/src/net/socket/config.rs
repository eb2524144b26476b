//! Names and options of sockets.

use super::{Socket, State};
use crate::errno::{Errno, Result};
use crate::net::address::{Address, Family};
use crate::net::flow::Way;
use crate::net::link::Link;
use crate::net::options::{Facts, Options};
use crate::net::packet::{Packet, Told};
use crate::net::unix::unnamed;
use alloc::rc::Rc;
use alloc::vec::Vec;
use linux_raw_sys::net as c;

impl Socket {
    /// Its own address as a `sockaddr`.
    pub fn local_name(&self) -> Vec<u8> {
        if self.family == Family::Unix {
            let bound = self.bound.borrow().as_ref().map(|bound| bound.name.clone());
            let name = bound.or_else(|| self.inherited.borrow().clone());
            return name.unwrap_or_else(unnamed).to_vec();
        }
        if let State::Netlink(netlink) = &*self.state.borrow() {
            return netlink.name();
        }
        self.local.get().unwrap_or_else(|| Address::any(self.family)).encode(self.family)
    }

    /// The port number of a netlink socket that names none: one nobody else has.
    pub(super) fn netlink_port(&self) -> u32 {
        u32::try_from(self.inode % (1 << 31)).expect("less than 2^31") | 1 << 31
    }

    /// Takes a netlink address.
    pub fn bind_netlink(&self, bytes: &[u8]) -> Result<()> {
        match &*self.state.borrow() {
            State::Netlink(netlink) => netlink.bind(bytes, self.netlink_port()),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The peer's address as a `sockaddr`.
    pub fn peer_name(&self) -> Result<Vec<u8>> {
        if !self.is_connected() {
            return Err(Errno::ENOTCONN);
        }
        if self.family == Family::Unix {
            return Ok(self.peer_name.borrow().clone().unwrap_or_else(unnamed).to_vec());
        }
        Ok(self.peer.get().unwrap_or_else(|| Address::any(self.family)).encode(self.family))
    }

    /// Whom the bytes of a Unix stream come from, if that socket has a name.
    pub fn name_of_sender(&self) -> Option<Rc<[u8]>> {
        let known = self.family == Family::Unix && !self.has_messages();
        self.peer_name.borrow().clone().filter(|_| known)
    }

    /// Sets an option.
    pub fn set_option(&self, level: u32, name: u32, bytes: &[u8]) -> Result<()> {
        let mut options = self.options.borrow_mut();
        options.set(&self.facts(), level, name, bytes)?;
        if let Some(binding) = &*self.binding.borrow() {
            binding.reuse_address.set(options.flag(c::SOL_SOCKET, c::SO_REUSEADDR));
            binding.reuse_port.set(options.flag(c::SOL_SOCKET, c::SO_REUSEPORT));
        }
        let wanted = options.flag(c::SOL_SOCKET, c::SO_PASSCRED);
        match &*self.state.borrow() {
            State::Connected(link) => {
                link.want_credentials(wanted);
                self.configure(link.as_ref(), &options);
            }
            State::Datagram(endpoint) => {
                endpoint.inbox().want_credentials(wanted);
                endpoint.set_limit(options.receive_buffer());
            }
            State::Idle | State::Listening(_) | State::Serving(_) | State::Netlink(_) => {}
        }
        Ok(())
    }

    /// The control messages this socket wants to have of a datagram.
    pub fn told_of(&self, packet: &Packet) -> Vec<Told> {
        packet.tell(&self.options.borrow())
    }

    /// Tells an internet connection what its options say about it.
    pub(super) fn configure(&self, link: &dyn Link, options: &Options) {
        if self.family != Family::Unix {
            link.set_inline(options.flag(c::SOL_SOCKET, c::SO_OOBINLINE));
            link.abort_on_close(options.aborts());
        }
    }

    /// Reads an option.
    pub fn option(&self, level: u32, name: u32) -> Result<Vec<u8>> {
        if (level, name) == (c::SOL_SOCKET, c::SO_ERROR) {
            let errno = self.take_error().map_or(0, |errno| u32::from(errno.0));
            return Ok(errno.to_ne_bytes().to_vec());
        }
        if (level, name) == (c::SOL_SOCKET, c::SO_PEERCRED) {
            return Ok(self.peer_credentials.get().encode().to_vec());
        }
        self.options.borrow().get(&self.facts(), level, name)
    }

    fn take_error(&self) -> Option<Errno> {
        match &*self.state.borrow() {
            State::Connected(link) => link.take_error(),
            State::Datagram(endpoint) => endpoint.take_error(),
            State::Idle => self.take_failure(),
            State::Listening(_) | State::Serving(_) | State::Netlink(_) => None,
        }
    }

    fn facts(&self) -> Facts {
        Facts {
            family: self.family,
            kind: self.kind,
            bound: self.local.get().is_some(),
            lite: self.lite,
            listening: matches!(*self.state.borrow(), State::Listening(_) | State::Serving(_)),
        }
    }
}
