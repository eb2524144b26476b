//! Datagram sockets: what has arrived for one, and where its own messages go.

use super::Net;
use super::address::{Address, Family, Host, LOCALHOST};
use super::budget::Budget;
use super::envelope::Envelope;
use super::flow::Way;
use super::messages::{Messages, Received};
use super::ports::Ports;
use super::socket::BUFFER;
use crate::errno::{Errno, Result};
use crate::file::Ready;
use alloc::rc::{Rc, Weak};
use core::cell::{Cell, RefCell};

/// UDP ports in use.
pub type UdpPorts = Rc<RefCell<Ports>>;

/// Most bytes of a datagram over IPv4 and over IPv6.
const V4_MAX: usize = 65_507;
const V6_MAX: usize = 65_527;

/// Whom a datagram socket is connected with.
#[derive(Default)]
enum Peer {
    #[default]
    Nobody,
    Inet(Address),
    Unix(Weak<Endpoint>),
}

/// Where a single message goes.
pub enum Destination {
    /// To this address.
    Inet(Address),
    /// To this socket.
    Unix(Rc<Endpoint>),
}

/// A datagram socket as others see it.
pub struct Endpoint {
    family: Family,
    inbox: Messages,
    peer: RefCell<Peer>,
    /// Its own name, if it is a Unix socket that has one.
    name: RefCell<Option<Rc<[u8]>>>,
    /// Its own address, if it is an internet socket that has one.
    local: Cell<Option<Address>>,
    ports: UdpPorts,
    /// Bytes from which on datagrams from the internet are lost (`SO_RCVBUF`).
    limit: Cell<usize>,
    write_closed: Cell<bool>,
    /// Its socket is closed.
    dead: Cell<bool>,
    error: Cell<Option<Errno>>,
    changes: Cell<u64>,
}

impl Endpoint {
    /// A socket without a name and a peer. `capacity`: bytes that can wait for it.
    pub fn new(family: Family, capacity: usize, budget: Budget, ports: UdpPorts) -> Self {
        Self {
            family,
            inbox: Messages::new(capacity, budget),
            peer: RefCell::default(),
            name: RefCell::default(),
            local: Cell::new(None),
            ports,
            limit: Cell::new(capacity),
            write_closed: Cell::new(false),
            dead: Cell::new(false),
            error: Cell::new(None),
            changes: Cell::new(0),
        }
    }

    /// What others see of a new socket whose ports are among `ports`.
    pub fn of(net: &Net, family: Family, ports: &UdpPorts) -> Self {
        Self::new(family, BUFFER, net.budget.clone(), ports.clone())
    }

    /// Two Unix sockets that are connected with each other.
    pub fn pair(new: impl Fn() -> Self) -> (Rc<Self>, Rc<Self>) {
        let (one, other) = (Rc::new(new()), Rc::new(new()));
        one.connect_unix(Some(&other));
        other.connect_unix(Some(&one));
        (one, other)
    }

    /// What is queued.
    pub fn inbox(&self) -> &Messages {
        &self.inbox
    }

    /// UDP ports in use.
    pub fn ports(&self) -> &UdpPorts {
        &self.ports
    }

    /// Tells its name.
    pub fn set_name(&self, name: &Rc<[u8]>) {
        self.name.replace(Some(name.clone()));
    }

    /// Tells its address.
    pub fn set_local(&self, local: Option<Address>) {
        self.local.set(local);
    }

    /// From how many bytes on datagrams are lost.
    pub fn set_limit(&self, limit: usize) {
        self.limit.set(limit);
    }

    /// The other end is at `peer` from now on, or nowhere.
    pub fn connect(&self, peer: Option<Address>) {
        self.peer.replace(peer.map_or(Peer::Nobody, Peer::Inet));
        self.error.set(None);
        self.change();
    }

    /// The other end is this Unix socket from now on, or nobody.
    pub fn connect_unix(&self, peer: Option<&Rc<Self>>) {
        let peer = peer.map_or(Peer::Nobody, |peer| Peer::Unix(Rc::downgrade(peer)));
        self.peer.replace(peer);
        self.change();
    }

    /// The address of the other end.
    pub fn peer_address(&self) -> Option<Address> {
        if let Peer::Inet(address) = *self.peer.borrow() { Some(address) } else { None }
    }

    /// Whether messages from `from` arrive here: anybody's, or only those of the peer.
    pub fn takes_from(&self, from: Address) -> bool {
        match &*self.peer.borrow() {
            Peer::Inet(peer) => *peer == from,
            Peer::Nobody | Peer::Unix(..) => true,
        }
    }

    /// Whether it is connected.
    pub fn is_connected(&self) -> bool {
        !matches!(*self.peer.borrow(), Peer::Nobody)
    }

    /// The pending error, which is taken.
    pub fn take_error(&self) -> Option<Errno> {
        self.error.take()
    }

    /// Receives the next message.
    pub fn receive(&self, buf: &mut [u8], peek: bool, envelope: &mut Envelope) -> Result<Received> {
        match self.take_error() {
            Some(errno) => Err(errno),
            None => self.inbox.receive(buf, peek, envelope),
        }
    }

    /// Sends a message to `to`, or else to the other end. Takes the envelope.
    pub fn send(&self, bytes: &[u8], to: Option<&Destination>, envelope: &mut Envelope) -> Result<usize> {
        if let Some(errno) = self.take_error() {
            return Err(errno);
        }
        match to {
            Some(Destination::Inet(address)) => self.send_inet(bytes, *address, envelope),
            Some(Destination::Unix(target)) => self.send_unix(bytes, target, envelope),
            None if self.family == Family::Unix => {
                let target = self.unix_peer()?;
                self.send_unix(bytes, &target, envelope)
            }
            None => {
                let peer = self.peer_address().ok_or(Errno::EDESTADDRREQ)?;
                self.send_inet(bytes, peer, envelope)
            }
        }
    }

    /// Whether a message to `to`, or else to the other end, goes over IPv6.
    pub fn goes_to_v6(&self, to: Option<&Destination>) -> bool {
        let address = match to {
            Some(Destination::Inet(address)) => Some(*address),
            _ => self.peer_address(),
        };
        address.is_some_and(|address| address.host.is_v6())
    }

    fn unix_peer(&self) -> Result<Rc<Self>> {
        let found = match &*self.peer.borrow() {
            Peer::Unix(peer) => peer.upgrade().filter(|peer| !peer.dead.get()).ok_or(Errno::ECONNREFUSED),
            Peer::Nobody | Peer::Inet(_) => Err(Errno::ENOTCONN),
        };
        if found.as_ref().err() == Some(&Errno::ECONNREFUSED) {
            self.peer.take();
        }
        found
    }

    /// Whether a Unix socket takes messages from `sender`: anybody's, or only those of its peer.
    pub fn hears(&self, sender: &Self) -> bool {
        match &*self.peer.borrow() {
            Peer::Unix(peer) => core::ptr::eq(peer.as_ptr(), sender),
            Peer::Nobody | Peer::Inet(_) => true,
        }
    }

    fn send_unix(&self, bytes: &[u8], target: &Self, envelope: &mut Envelope) -> Result<usize> {
        if target.dead.get() {
            return Err(Errno::ECONNREFUSED);
        }
        if !target.hears(self) {
            return Err(Errno::EPERM);
        }
        if self.write_closed.get() {
            return Err(Errno::EPIPE);
        }
        envelope.from.clone_from(&self.name.borrow());
        target.inbox.send(bytes, envelope)
    }

    fn send_inet(&self, bytes: &[u8], to: Address, envelope: &mut Envelope) -> Result<usize> {
        let to = Address { host: to.host.concrete(), ..to };
        let local = self.local.get().ok_or(Errno::EINVAL)?;
        if bytes.len() > if to.host.is_v6() { V6_MAX } else { V4_MAX } {
            return Err(Errno::EMSGSIZE);
        }
        if self.write_closed.get() {
            return Err(Errno::EPIPE);
        }
        let host = match local.host {
            Host::LoopbackV4(_) | Host::LoopbackV6 => local.host,
            _ if to.host.is_v6() => Host::LoopbackV6,
            _ => LOCALHOST,
        };
        let from = Address { host, port: local.port };
        let from = Address { host: envelope.packet.source.unwrap_or(from.host), ..from };
        envelope.packet.target = Some(to.host);
        let target = self.ports.borrow().receiver(to, from);
        match target {
            Some(target) => {
                envelope.from = Some(from.encode(target.family).into());
                target.inbox.offer(bytes, envelope, target.limit.get());
            }
            // The message is answered with the news that nobody listens. Who sends to many is not told.
            None if self.is_connected() => {
                self.error.set(Some(Errno::ECONNREFUSED));
                self.change();
            }
            None => {}
        }
        Ok(bytes.len())
    }

    /// Ends one or both directions.
    pub fn shutdown(&self, read: bool, write: bool) {
        if read {
            self.inbox.flow().end();
        }
        if write {
            self.write_closed.set(true);
        }
        self.change();
    }

    /// Its socket is closed: who still knows it cannot reach it.
    pub fn close(&self) {
        self.dead.set(true);
        self.inbox.close_read();
    }

    /// Readiness now.
    pub fn ready(&self) -> Ready {
        let ended = self.inbox.flow().read_closed();
        let failed = self.error.get();
        let mut ready = Ready::empty();
        ready.set(Ready::IN, self.inbox.readable());
        ready.set(Ready::OUT, self.peer_inbox(Messages::writable).unwrap_or(true));
        ready.set(Ready::RDHUP, ended);
        ready.set(Ready::HUP, ended && self.write_closed.get());
        ready.set(Ready::ERR, failed.is_some());
        ready
    }

    fn peer_inbox<T>(&self, look: impl Fn(&Messages) -> T) -> Option<T> {
        match &*self.peer.borrow() {
            Peer::Unix(peer) => peer.upgrade().map(|peer| look(&peer.inbox)),
            Peer::Nobody | Peer::Inet(_) => None,
        }
    }

    /// See [`crate::file::File::activity`].
    pub fn activity(&self) -> u64 {
        let room = self.peer_inbox(|inbox| inbox.flow().write_activity()).unwrap_or(0);
        self.changes.get() + self.inbox.flow().read_activity() + room
    }

    fn change(&self) {
        self.changes.set(self.changes.get() + 1);
    }
}
