//! A socket as an open file.

mod config;
mod inet;
mod unix;
mod untold;
mod urgent;

use super::address::{Address, Family};
use super::datagram::{Destination, Endpoint};
use super::envelope::{Credentials, Envelope, Who};
use super::flow::Way;
use super::link::Link;
use super::messages::Received;
use super::netlink::Netlink;
use super::options::Options;
use super::ports::Binding;
use super::unix::Bound;
use super::{Net, anonymous_stat, next_inode};
use crate::errno::{Errno, Result};
use crate::file::{File, Ready};
use crate::inbound;
use alloc::boxed::Box;
use alloc::rc::Rc;
use core::any::Any;
use core::cell::{Cell, RefCell};
use linux_raw_sys::general::{S_IFSOCK, stat as Stat};
use linux_raw_sys::ioctl::FIONREAD;
use linux_raw_sys::net as c;
use untold::Untold;

/// Most bytes one direction of a connection buffers.
pub const BUFFER: usize = 208 << 10;
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
    /// At an internet port.
    Listening(Listener),
    /// At the name it has.
    Serving(Rc<Bound>),
    Connected(Box<dyn Link>),
    /// A datagram socket, all its life.
    Datagram(Rc<Endpoint>),
    /// A netlink socket, all its life.
    Netlink(Netlink),
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
    /// The port was found for it, it had not asked for one.
    automatic: Cell<bool>,
    local: Cell<Option<Address>>,
    peer: Cell<Option<Address>>,
    /// The name of a Unix socket, if it was bound itself.
    bound: RefCell<Option<Rc<Bound>>>,
    /// The name it has because the socket that accepted it has it.
    inherited: RefCell<Option<Rc<[u8]>>>,
    /// The name of the other end of a Unix socket.
    peer_name: RefCell<Option<Rc<[u8]>>>,
    /// Who is at the other end of a Unix socket.
    peer_credentials: Cell<Credentials>,
    /// Who sends.
    who: Who,
    options: RefCell<Options>,
    /// What a connect that did not wait has not told.
    untold: Cell<Untold>,
    /// It speaks UDP-Lite.
    lite: bool,
    /// Events of earlier states, so that the sum never goes back.
    changes: Cell<u64>,
    inode: u64,
}

impl Socket {
    /// A new socket, not bound or connected.
    pub fn new(net: &Net, family: Family, kind: Kind) -> Self {
        let state = match kind {
            _ if family == Family::Netlink => State::Netlink(Netlink::new(net.budget.clone())),
            Kind::Datagram => State::Datagram(Rc::new(Endpoint::of(net, family, &net.udp))),
            Kind::Stream | Kind::Packets => State::Idle,
        };
        Self::in_state(net.who.clone(), family, kind, state)
    }

    fn in_state(who: Who, family: Family, kind: Kind, state: State) -> Self {
        Self {
            family,
            kind,
            state: RefCell::new(state),
            binding: RefCell::new(None),
            automatic: Cell::new(false),
            local: Cell::new(None),
            peer: Cell::new(None),
            bound: RefCell::default(),
            inherited: RefCell::default(),
            peer_name: RefCell::default(),
            peer_credentials: Cell::new(Credentials::NONE),
            who,
            options: RefCell::default(),
            untold: Cell::default(),
            lite: false,
            changes: Cell::new(0),
            inode: next_inode(),
        }
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

    /// What others see of a datagram socket.
    pub fn endpoint(&self) -> Option<Rc<Endpoint>> {
        if let State::Datagram(endpoint) = &*self.state.borrow() { Some(endpoint.clone()) } else { None }
    }

    /// Whether it is connected.
    pub fn is_connected(&self) -> bool {
        match &*self.state.borrow() {
            State::Connected(link) => !link.is_over(),
            State::Datagram(endpoint) => endpoint.is_connected(),
            State::Idle | State::Listening(_) | State::Serving(_) | State::Netlink(_) => false,
        }
    }

    /// Whether received messages are to say who sent them (`SO_PASSCRED`).
    pub fn passes_credentials(&self) -> bool {
        self.family == Family::Unix && self.options.borrow().flag(c::SOL_SOCKET, c::SO_PASSCRED)
    }

    /// Accepts the next connection; `EAGAIN` if none waits.
    pub fn accept(&self) -> Result<Self> {
        match &*self.state.borrow() {
            State::Datagram(_) | State::Netlink(_) => Err(Errno::EOPNOTSUPP),
            State::Listening(listener) => self.accept_inet(listener),
            State::Serving(bound) => self.accept_unix(bound),
            State::Idle | State::Connected(_) => Err(Errno::EINVAL),
        }
    }

    /// Ends one or both directions. A listening socket stops to listen when its reading side ends.
    pub fn shutdown(&self, read: bool, write: bool) -> Result<()> {
        let stops = match &*self.state.borrow() {
            State::Connected(link) => {
                let over = link.is_over();
                link.shutdown(read, write);
                if over {
                    return Err(Errno::ENOTCONN);
                }
                false
            }
            State::Datagram(endpoint) => {
                endpoint.shutdown(read, write);
                if self.family != Family::Unix && !endpoint.is_connected() {
                    return Err(Errno::ENOTCONN);
                }
                false
            }
            State::Listening(_) | State::Serving(_) => read,
            State::Netlink(_) => return Err(Errno::EOPNOTSUPP),
            State::Idle if self.family == Family::Unix => false,
            State::Idle => return Err(Errno::ENOTCONN),
        };
        if stops {
            self.enter(State::Idle);
        }
        self.changes.set(self.changes.get() + 1);
        Ok(())
    }

    /// Receives into `buf`, and into `envelope` what lies beside the data; with `peek` the data stays.
    pub fn receive(&self, buf: &mut [u8], peek: bool, envelope: &mut Envelope) -> Result<Received> {
        match &*self.state.borrow() {
            State::Connected(link) => link.receive(buf, peek, envelope),
            State::Datagram(endpoint) => endpoint.receive(buf, peek, envelope),
            State::Netlink(netlink) => netlink.receive(buf, peek, envelope),
            _ if self.kind == Kind::Packets => Err(Errno::ENOTCONN),
            _ if self.family == Family::Unix => Err(Errno::EINVAL),
            _ => self.end_after_failure(),
        }
    }

    /// Sends what fits, or a whole message, to the other end or (datagrams) to `to`. Takes the envelope if anything is sent.
    pub fn send(&self, buf: &[u8], to: Option<&Destination>, envelope: &mut Envelope) -> Result<usize> {
        if self.family == Family::Unix {
            envelope.credentials.get_or_insert_with(|| self.who.get());
            envelope.explicit |= self.passes_credentials();
        }
        match &*self.state.borrow() {
            State::Connected(link) => link.send(buf, envelope),
            State::Datagram(endpoint) => {
                if self.family != Family::Unix {
                    self.bind_for_sending(endpoint)?;
                    let v6 = endpoint.goes_to_v6(to);
                    envelope.packet.complete(&self.options.borrow(), v6);
                }
                endpoint.send(buf, to, envelope)
            }
            State::Netlink(netlink) => netlink.send(buf, self.netlink_port()),
            _ if self.family == Family::Unix => Err(Errno::ENOTCONN),
            _ => Err(self.take_failure().unwrap_or(Errno::EPIPE)),
        }
    }

    fn enter(&self, state: State) {
        self.changes.set(self.activity() + 1);
        let listens = matches!(state, State::Listening(_) | State::Serving(_));
        match self.state.replace(state) {
            State::Listening(old) if !listens => old.binding.stop_listening(),
            State::Serving(old) if !listens => old.stop_listening(),
            _ => {}
        }
    }
}

impl Drop for Socket {
    /// Who waits to send to this socket, or to connect to it, still knows it.
    fn drop(&mut self) {
        match self.state.get_mut() {
            State::Datagram(endpoint) => endpoint.close(),
            State::Serving(bound) => bound.stop_listening(),
            State::Idle | State::Listening(_) | State::Connected(_) | State::Netlink(_) => {}
        }
    }
}

impl File for Socket {
    fn read(&self, _offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.receive(buf, false, &mut Envelope::default()).map(|received| received.len)
    }

    fn write(&self, _offset: u64, buf: &[u8]) -> Result<usize> {
        self.send(buf, None, &mut Envelope::default())
    }

    fn stat(&self) -> Result<Stat> {
        Ok(anonymous_stat(S_IFSOCK | 0o777, self.inode))
    }

    fn ready(&self) -> Ready {
        match &*self.state.borrow() {
            State::Idle => self.untold.get().ready(),
            State::Connected(link) => link.ready(),
            State::Datagram(endpoint) => endpoint.ready(),
            State::Netlink(netlink) => netlink.ready(),
            State::Serving(bound) if bound.waiting() > 0 => Ready::IN,
            State::Serving(_) => Ready::empty(),
            State::Listening(listener) => {
                let request = listener.request.as_ref().map(|request| request.borrow().state());
                let waiting = listener.binding.has_waiting() || request == Some(inbound::State::Pending);
                if waiting { Ready::IN } else { Ready::empty() }
            }
        }
    }

    fn takes_all(&self) -> bool {
        !self.has_messages()
    }

    fn activity(&self) -> u64 {
        let state = match &*self.state.borrow() {
            State::Idle => 0,
            State::Connected(link) => link.activity(),
            State::Datagram(endpoint) => endpoint.activity(),
            State::Netlink(netlink) => netlink.activity(),
            State::Serving(bound) => bound.activity(),
            State::Listening(Listener { binding, request }) => {
                binding.activity() + request.as_ref().map_or(0, |request| request.borrow().activity())
            }
        };
        self.changes.get() + state
    }

    fn urgencies(&self) -> u64 {
        if let State::Connected(link) = &*self.state.borrow() { link.urgencies() } else { 0 }
    }

    fn takes_request(&self) -> bool {
        match &*self.state.borrow() {
            State::Listening(listener) => listener.request.is_some(),
            State::Connected(link) => link.takes_request(),
            State::Idle | State::Serving(_) | State::Datagram(_) | State::Netlink(_) => false,
        }
    }

    fn patience(&self, direction: Ready) -> Option<u64> {
        let options = self.options.borrow();
        if direction == Ready::OUT { options.send_timeout } else { options.receive_timeout }
    }

    fn ioctl(&self, command: u32, _argument: u64) -> Result<u64> {
        match (command, &*self.state.borrow()) {
            (FIONREAD, State::Connected(link)) => Ok(link.pending() as u64),
            (FIONREAD, State::Datagram(endpoint)) => Ok(endpoint.inbox().pending() as u64),
            (FIONREAD, State::Netlink(netlink)) => Ok(netlink.pending() as u64),
            (FIONREAD, State::Idle) => Ok(0),
            (FIONREAD, State::Listening(_) | State::Serving(_)) => Err(Errno::EINVAL),
            _ => Err(Errno::ENOTTY),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
