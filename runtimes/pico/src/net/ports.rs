//! Which local addresses are taken, and the connections that wait to be accepted there.

use super::address::{Address, Host};
use super::datagram::Endpoint;
use super::tcp::TcpLink;
use crate::errno::{Errno, Result};
use alloc::collections::VecDeque;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, OnceCell, RefCell};

/// Most connections that wait at one listening socket (`/proc/sys/net/core/somaxconn`).
pub const BACKLOG_MAX: usize = 1024;
/// Most connections that wait in the whole VM.
const WAITING_MAX: usize = 1024;
/// Ports handed out when the program names none.
const EPHEMERAL: core::ops::RangeInclusive<u16> = 32_768..=60_999;

/// A local address somebody has. It is free again when the last holder drops it.
pub struct Binding {
    /// The address.
    pub address: Address,
    /// An IPv6 wildcard that takes IPv4 as well.
    dual: bool,
    /// `SO_REUSEADDR`, as it is now.
    pub reuse_address: Cell<bool>,
    /// `SO_REUSEPORT`, as it is now.
    pub reuse_port: Cell<bool>,
    queue: RefCell<Option<Queue>>,
    activity: Cell<u64>,
    /// Where datagrams go (UDP).
    endpoint: OnceCell<Weak<Endpoint>>,
}

/// Connections waiting to be accepted.
struct Queue {
    limit: usize,
    waiting: VecDeque<Incoming>,
}

/// A connection as the accepting side gets it.
pub struct Incoming {
    /// Its end.
    pub link: TcpLink,
    /// The address it arrived at.
    pub local: Address,
    /// Where it comes from.
    pub peer: Address,
}

impl Binding {
    /// Whether somebody listens here.
    pub fn is_listening(&self) -> bool {
        self.queue.borrow().is_some()
    }

    /// Whether a connection waits.
    pub fn has_waiting(&self) -> bool {
        self.queue.borrow().as_ref().is_some_and(|queue| !queue.waiting.is_empty())
    }

    /// Changes when a connection arrives.
    pub fn activity(&self) -> u64 {
        self.activity.get()
    }

    /// Datagrams that arrive here are for `endpoint`.
    pub fn deliver_to(&self, endpoint: &Rc<Endpoint>) {
        self.endpoint.get_or_init(|| Rc::downgrade(endpoint));
    }

    /// The connection that waits longest.
    pub fn accept(&self) -> Option<Incoming> {
        self.queue.borrow_mut().as_mut()?.waiting.pop_front()
    }

    /// Stops listening; waiting connections are closed.
    pub fn stop_listening(&self) {
        self.queue.take();
    }

    fn waiting(&self) -> usize {
        self.queue.borrow().as_ref().map_or(0, |queue| queue.waiting.len())
    }

    fn overlaps(&self, address: Address, dual: bool) -> bool {
        self.address.port == address.port
            && (self.address.host.covers(address.host, self.dual)
                || address.host.covers(self.address.host, dual))
    }
}

/// All local addresses in use.
pub struct Ports {
    bindings: Vec<Weak<Binding>>,
    next: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self { bindings: Vec::new(), next: *EPHEMERAL.start() }
    }
}

impl Ports {
    /// Takes a local address; port 0 is replaced by a free one. `dual`: an IPv6 wildcard takes IPv4 as well.
    pub fn bind(
        &mut self,
        address: Address,
        dual: bool,
        reuse_address: bool,
        reuse_port: bool,
    ) -> Result<Rc<Binding>> {
        self.bindings.retain(|binding| binding.strong_count() > 0);
        if address.host == Host::Outside {
            return Err(Errno::EADDRNOTAVAIL);
        }
        let address = if address.port == 0 { self.pick(address.host, dual)? } else { address };
        for other in self.overlapping(address, dual) {
            let shared_address = reuse_address && other.reuse_address.get() && !other.is_listening();
            let shared_port = reuse_port && other.reuse_port.get();
            if !shared_address && !shared_port {
                return Err(Errno::EADDRINUSE);
            }
        }
        let binding = Rc::new(Binding {
            address,
            dual,
            reuse_address: Cell::new(reuse_address),
            reuse_port: Cell::new(reuse_port),
            queue: RefCell::new(None),
            activity: Cell::new(0),
            endpoint: OnceCell::new(),
        });
        self.bindings.push(Rc::downgrade(&binding));
        Ok(binding)
    }

    /// Starts listening at `binding`, or changes how many connections may wait there.
    pub fn listen(&self, binding: &Rc<Binding>, backlog: usize) -> Result<()> {
        let taken = self.overlapping(binding.address, binding.dual).any(|other| {
            !Rc::ptr_eq(&other, binding)
                && other.is_listening()
                && !(other.reuse_port.get() && binding.reuse_port.get())
        });
        if taken {
            return Err(Errno::EADDRINUSE);
        }
        let limit = backlog.min(BACKLOG_MAX) + 1;
        let mut queue = binding.queue.borrow_mut();
        let waiting = queue.take().map(|queue| queue.waiting).unwrap_or_default();
        *queue = Some(Queue { limit, waiting });
        Ok(())
    }

    /// Hands a connection to who listens at `incoming.local`: `ECONNREFUSED` if nobody does, `EAGAIN` if too
    /// many wait already.
    pub fn connect(&self, incoming: Incoming) -> Result<()> {
        let listeners = || {
            self.live().filter(|binding| {
                binding.address.port == incoming.local.port
                    && binding.is_listening()
                    && binding.address.host.covers(incoming.local.host, binding.dual)
            })
        };
        // A listener at the very address goes before one at a wildcard.
        let listener = listeners()
            .find(|binding| !binding.address.host.is_any())
            .or_else(|| listeners().next())
            .ok_or(Errno::ECONNREFUSED)?;
        let waiting: usize = self.live().map(|binding| binding.waiting()).sum();
        let mut queue = listener.queue.borrow_mut();
        let queue = queue.as_mut().ok_or(Errno::ECONNREFUSED)?;
        if queue.waiting.len() >= queue.limit || waiting >= WAITING_MAX {
            return Err(Errno::EAGAIN);
        }
        queue.waiting.push_back(incoming);
        listener.activity.set(listener.activity.get() + 1);
        Ok(())
    }

    /// Who receives a datagram from `from` to `to`: a socket connected with the sender goes before one that is not, one
    /// at the very address before one at a wildcard; of several that share a port the sender's port chooses, of
    /// several that share an address the last one is taken.
    pub fn receiver(&self, to: Address, from: Address) -> Option<Rc<Endpoint>> {
        let score = |binding: &Binding, endpoint: &Endpoint| {
            2 * u8::from(endpoint.is_connected()) + u8::from(!binding.address.host.is_any())
        };
        let takers: Vec<(u8, bool, Rc<Endpoint>)> = self
            .live()
            .filter(|binding| {
                binding.address.port == to.port && binding.address.host.covers(to.host, binding.dual)
            })
            .filter_map(|binding| {
                let endpoint = binding.endpoint.get()?.upgrade().filter(|taker| taker.takes_from(from))?;
                Some((score(&binding, &endpoint), binding.reuse_port.get(), endpoint))
            })
            .collect();
        let best = takers.iter().map(|taker| taker.0).max()?;
        let mut best: Vec<_> = takers.into_iter().filter(|taker| taker.0 == best).collect();
        let shared = best.iter().all(|taker| taker.1);
        let chosen = if shared { usize::from(from.port) % best.len() } else { best.len() - 1 };
        Some(best.swap_remove(chosen).2)
    }

    /// A free port at `host`.
    fn pick(&mut self, host: Host, dual: bool) -> Result<Address> {
        for _ in EPHEMERAL {
            let port = self.next;
            self.next = if port == *EPHEMERAL.end() { *EPHEMERAL.start() } else { port + 1 };
            let address = Address { host, port };
            if self.overlapping(address, dual).next().is_none() {
                return Ok(address);
            }
        }
        Err(Errno::EADDRINUSE)
    }

    fn overlapping(&self, address: Address, dual: bool) -> impl Iterator<Item = Rc<Binding>> {
        self.live().filter(move |binding| binding.overlaps(address, dual))
    }

    fn live(&self) -> impl Iterator<Item = Rc<Binding>> {
        self.bindings.iter().filter_map(Weak::upgrade)
    }
}
