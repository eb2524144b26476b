//! A socket as an open file.

use super::address::{Address, Family, Host, LOCALHOST};
use super::channel::Channel;
use super::link::{ApiLink, InboundLink, Link, MessageLink, StreamLink};
use super::messages::{Messages, Received};
use super::options::{Facts, Options};
use super::ports::{Binding, Incoming};
use super::{Net, anonymous_stat, next_inode};
use crate::errno::{Errno, Result};
use crate::file::{File, Ready};
use crate::inbound;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::any::Any;
use core::cell::{Cell, RefCell};
use linux_raw_sys::general::{S_IFSOCK, stat as Stat};
use linux_raw_sys::ioctl::FIONREAD;
use linux_raw_sys::net as c;

/// Most bytes one direction of a connection buffers.
pub const BUFFER: usize = 208 << 10;
/// Port the request seems to come from.
const CLIENT_PORT: u16 = 61_000;

/// Type of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `SOCK_STREAM`.
    Stream,
    /// `SOCK_DGRAM`.
    Datagram,
    /// `SOCK_SEQPACKET`.
    Packets,
}

impl Kind {
    /// Its `SOCK_*` number.
    pub fn number(self) -> u32 {
        match self {
            Self::Stream => c::SOCK_STREAM,
            Self::Datagram => c::SOCK_DGRAM,
            Self::Packets => c::SOCK_SEQPACKET,
        }
    }
}

/// Where in its life a socket is.
enum State {
    /// Neither listening nor connected.
    Idle,
    Listening(Listener),
    Connected(Box<dyn Link>),
}

/// What a listening socket accepts from.
struct Listener {
    binding: Rc<Binding>,
    /// The request, if this is the port it arrives on.
    request: Option<inbound::Shared>,
}

/// A socket.
pub struct Socket {
    family: Family,
    kind: Kind,
    state: RefCell<State>,
    binding: RefCell<Option<Rc<Binding>>>,
    local: Cell<Option<Address>>,
    peer: Cell<Option<Address>>,
    options: RefCell<Options>,
    /// Events of earlier states, so that the sum never goes back.
    changes: Cell<u64>,
    inode: u64,
}

impl Socket {
    /// A new socket, not bound or connected.
    pub fn new(family: Family, kind: Kind) -> Self {
        Self {
            family,
            kind,
            state: RefCell::new(State::Idle),
            binding: RefCell::new(None),
            local: Cell::new(None),
            peer: Cell::new(None),
            options: RefCell::default(),
            changes: Cell::new(0),
            inode: next_inode(),
        }
    }

    fn connected(family: Family, kind: Kind, link: Box<dyn Link>, options: Options) -> Self {
        let socket = Self::new(family, kind);
        socket.state.replace(State::Connected(link));
        socket.options.replace(options);
        socket
    }

    /// Two sockets connected with each other, as socketpair(2) makes them.
    pub fn pair(kind: Kind, net: &Net) -> (Self, Self) {
        let (one, other): (Box<dyn Link>, Box<dyn Link>) = if kind == Kind::Stream {
            let stream = || Channel::new(BUFFER, false, net.budget.clone());
            let (one, other) = StreamLink::pair(stream(), stream(), false);
            (Box::new(one), Box::new(other))
        } else {
            let queue = || Messages::new(BUFFER, net.budget.clone());
            let (one, other) = MessageLink::pair(queue(), queue(), kind == Kind::Packets);
            (Box::new(one), Box::new(other))
        };
        let socket = |link| Self::connected(Family::Unix, kind, link, Options::default());
        (socket(one), socket(other))
    }

    /// Address family.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Type.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it keeps the bounds of messages.
    pub fn has_messages(&self) -> bool {
        self.kind != Kind::Stream
    }

    /// Takes a local address.
    pub fn bind(&self, net: &mut Net, address: Address) -> Result<()> {
        if self.binding.borrow().is_some() || !matches!(*self.state.borrow(), State::Idle) {
            return Err(Errno::EINVAL);
        }
        let options = self.options.borrow();
        let only_v6 = options.flag(c::SOL_IPV6, c::IPV6_V6ONLY);
        if self.family == Family::Inet6 && only_v6 && !address.host.is_v6() && address.host != Host::Outside {
            return Err(Errno::EINVAL);
        }
        let reuse = options.flag(c::SOL_SOCKET, c::SO_REUSEADDR);
        let binding =
            net.ports.bind(address, !only_v6, reuse, options.flag(c::SOL_SOCKET, c::SO_REUSEPORT))?;
        self.local.set(Some(binding.address));
        self.binding.replace(Some(binding));
        Ok(())
    }

    /// Starts to listen, at a port of the kernel's choice if none was bound.
    pub fn listen(&self, net: &mut Net, backlog: usize) -> Result<()> {
        if self.kind == Kind::Datagram {
            return Err(Errno::EOPNOTSUPP);
        }
        if self.family == Family::Unix || matches!(*self.state.borrow(), State::Connected(_)) {
            return Err(Errno::EINVAL);
        }
        if self.binding.borrow().is_none() {
            self.bind(net, Address::any(self.family))?;
        }
        let binding = self.binding.borrow().clone().ok_or(Errno::EINVAL)?;
        net.ports.listen(&binding, backlog)?;
        let request = (net.request_port == Some(binding.address.port)).then(|| net.inbound.clone());
        self.enter(State::Listening(Listener { binding, request }));
        Ok(())
    }

    /// Accepts the next connection; `EAGAIN` if none waits.
    pub fn accept(&self) -> Result<Self> {
        if self.kind == Kind::Datagram {
            return Err(Errno::EOPNOTSUPP);
        }
        let state = self.state.borrow();
        let State::Listening(listener) = &*state else { return Err(Errno::EINVAL) };
        let (link, local, peer): (Box<dyn Link>, _, _) = if let Some(incoming) = listener.binding.accept() {
            (Box::new(incoming.link), incoming.local, incoming.peer)
        } else {
            let request = listener.request.as_ref().filter(|request| request.borrow_mut().take());
            let link = InboundLink::new(request.ok_or(Errno::EAGAIN)?.clone());
            let host = match listener.binding.address.host {
                // A dual-stack socket takes the request over IPv4 like everybody else.
                Host::AnyV6 if !self.options.borrow().flag(c::SOL_IPV6, c::IPV6_V6ONLY) => LOCALHOST,
                host => host.concrete(),
            };
            let local = Address { host, port: listener.binding.address.port };
            (Box::new(link), local, Address { host, port: CLIENT_PORT })
        };
        let socket = Self::connected(self.family, self.kind, link, self.options.borrow().clone());
        socket.local.set(Some(local));
        socket.peer.set(Some(peer));
        Ok(socket)
    }

    /// Connects to a listening socket of this VM.
    pub fn connect(&self, net: &mut Net, address: Address) -> Result<()> {
        if !matches!(*self.state.borrow(), State::Idle) {
            return Err(Errno::EISCONN);
        }
        let host = address.host.concrete();
        if host == Host::Outside || (self.family == Family::Inet && host.is_v6()) {
            return Err(Errno::ENETUNREACH);
        }
        let peer = Address { host, port: address.port };
        if self.binding.borrow().is_none() {
            self.bind(net, Address { host, port: 0 })?;
        }
        let port = self.local.get().ok_or(Errno::EINVAL)?.port;
        let local = Address { host, port };
        let link: Box<dyn Link> = match net.api.as_ref().filter(|api| api.is_at(peer)) {
            Some(api) => Box::new(ApiLink::new(api.server.clone())),
            None => {
                let stream = || Channel::new(BUFFER, false, net.budget.clone());
                let (link, remote) = StreamLink::pair(stream(), stream(), true);
                net.ports.connect(Incoming { link: remote, local: peer, peer: local })?;
                Box::new(link)
            }
        };
        self.local.set(Some(local));
        self.peer.set(Some(peer));
        self.enter(State::Connected(link));
        Ok(())
    }

    /// Ends one or both directions. A listening socket stops to listen when its reading side ends.
    pub fn shutdown(&self, read: bool, write: bool) -> Result<()> {
        let stops = match &*self.state.borrow() {
            State::Connected(link) => {
                link.shutdown(read, write);
                false
            }
            State::Listening(_) => read,
            State::Idle => return Err(Errno::ENOTCONN),
        };
        if stops {
            self.enter(State::Idle);
        }
        self.changes.set(self.changes.get() + 1);
        Ok(())
    }

    /// Receives into `buf`; with `peek` the data stays.
    pub fn receive(&self, buf: &mut [u8], peek: bool) -> Result<Received> {
        match &*self.state.borrow() {
            State::Connected(link) => link.receive(buf, peek),
            _ if self.family == Family::Unix => Err(Errno::EINVAL),
            _ => Err(Errno::ENOTCONN),
        }
    }

    /// Sends what fits, or a whole message.
    pub fn send(&self, buf: &[u8]) -> Result<usize> {
        match &*self.state.borrow() {
            State::Connected(link) => link.send(buf),
            _ if self.family == Family::Unix => Err(Errno::ENOTCONN),
            _ => Err(Errno::EPIPE),
        }
    }

    /// Its own address as a `sockaddr`.
    pub fn local_name(&self) -> Vec<u8> {
        self.name(self.local.get().unwrap_or_else(|| Address::any(self.family)))
    }

    /// The peer's address as a `sockaddr`.
    pub fn peer_name(&self) -> Result<Vec<u8>> {
        if !matches!(*self.state.borrow(), State::Connected(_)) {
            return Err(Errno::ENOTCONN);
        }
        Ok(self.name(self.peer.get().unwrap_or_else(|| Address::any(self.family))))
    }

    fn name(&self, address: Address) -> Vec<u8> {
        if self.family == Family::Unix {
            return u16::try_from(c::AF_UNIX).expect("a small number").to_le_bytes().to_vec();
        }
        address.encode(self.family)
    }

    /// Sets an option.
    pub fn set_option(&self, level: u32, name: u32, bytes: &[u8]) -> Result<()> {
        let mut options = self.options.borrow_mut();
        options.set(&self.facts(), level, name, bytes)?;
        if let Some(binding) = &*self.binding.borrow() {
            binding.reuse_address.set(options.flag(c::SOL_SOCKET, c::SO_REUSEADDR));
            binding.reuse_port.set(options.flag(c::SOL_SOCKET, c::SO_REUSEPORT));
        }
        Ok(())
    }

    /// Reads an option.
    pub fn option(&self, level: u32, name: u32) -> Result<Vec<u8>> {
        self.options.borrow().get(&self.facts(), level, name)
    }

    fn facts(&self) -> Facts {
        Facts {
            family: self.family,
            kind: self.kind,
            bound: self.local.get().is_some(),
            listening: matches!(*self.state.borrow(), State::Listening(_)),
        }
    }

    fn enter(&self, state: State) {
        self.changes.set(self.activity() + 1);
        if let State::Listening(old) = self.state.replace(state)
            && !matches!(*self.state.borrow(), State::Listening(_))
        {
            old.binding.stop_listening();
        }
    }
}

impl File for Socket {
    fn read(&self, _offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.receive(buf, false).map(|received| received.len)
    }

    fn write(&self, _offset: u64, buf: &[u8]) -> Result<usize> {
        self.send(buf)
    }

    fn stat(&self) -> Result<Stat> {
        Ok(anonymous_stat(S_IFSOCK | 0o777, self.inode))
    }

    fn ready(&self) -> Ready {
        match &*self.state.borrow() {
            State::Idle => Ready::OUT | Ready::HUP,
            State::Connected(link) => link.ready(),
            State::Listening(listener) => {
                let request = listener.request.as_ref().map(|request| request.borrow().state());
                let waiting = listener.binding.has_waiting() || request == Some(inbound::State::Pending);
                if waiting { Ready::IN } else { Ready::empty() }
            }
        }
    }

    fn activity(&self) -> u64 {
        let state = match &*self.state.borrow() {
            State::Idle => 0,
            State::Connected(link) => link.activity(),
            State::Listening(Listener { binding, request }) => {
                binding.activity() + request.as_ref().map_or(0, |request| request.borrow().activity())
            }
        };
        self.changes.get() + state
    }

    fn takes_request(&self) -> bool {
        match &*self.state.borrow() {
            State::Idle => false,
            State::Listening(listener) => listener.request.is_some(),
            State::Connected(link) => link.takes_request(),
        }
    }

    fn patience(&self, direction: Ready) -> Option<u64> {
        let options = self.options.borrow();
        if direction == Ready::OUT { options.send_timeout } else { options.receive_timeout }
    }

    fn ioctl(&self, command: u32, _argument: u64) -> Result<u64> {
        match (command, &*self.state.borrow()) {
            (FIONREAD, State::Connected(link)) => Ok(link.pending() as u64),
            (FIONREAD, State::Idle) => Ok(0),
            (FIONREAD, State::Listening(_)) => Err(Errno::EINVAL),
            _ => Err(Errno::ENOTTY),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
