//! Internet sockets: binding, listening and connecting.

use super::{Listener, Socket, State};
use crate::errno::{Errno, Result};
use crate::net::Net;
use crate::net::address::{Address, Family, Host, LOCALHOST};
use crate::net::channel::Channel;
use crate::net::datagram::Endpoint;
use crate::net::link::{ApiLink, InboundLink, Link};
use crate::net::ports::{Incoming, Ports};
use crate::net::socket::{BUFFER, Kind};
use crate::net::tcp::TcpLink;
use alloc::boxed::Box;
use alloc::rc::Rc;
use linux_raw_sys::net as c;

/// Port the request seems to come from.
const CLIENT_PORT: u16 = 61_000;

impl Socket {
    /// A new socket of UDP-Lite.
    pub fn lite(net: &Net, family: Family) -> Self {
        let state = State::Datagram(Rc::new(Endpoint::of(net, family, &net.udp_lite)));
        let mut socket = Self::in_state(net.who.clone(), family, Kind::Datagram, state);
        socket.lite = true;
        socket
    }

    /// Takes a local address.
    pub fn bind(&self, net: &mut Net, address: Address) -> Result<()> {
        match self.endpoint() {
            Some(endpoint) => self.bind_datagram(&endpoint, address),
            None => self.bind_at(&mut net.ports, address),
        }
    }

    fn bind_at(&self, ports: &mut Ports, address: Address) -> Result<()> {
        let unconnected = matches!(*self.state.borrow(), State::Idle | State::Datagram(_));
        if self.binding.borrow().is_some() || !unconnected {
            return Err(Errno::EINVAL);
        }
        let options = self.options.borrow();
        let only_v6 = options.flag(c::SOL_IPV6, c::IPV6_V6ONLY);
        if self.family == Family::Inet6 && only_v6 && !address.host.is_v6() && address.host != Host::Outside {
            return Err(Errno::EINVAL);
        }
        let reuse = options.flag(c::SOL_SOCKET, c::SO_REUSEADDR);
        let binding = ports.bind(address, !only_v6, reuse, options.flag(c::SOL_SOCKET, c::SO_REUSEPORT))?;
        self.local.set(Some(binding.address));
        self.binding.replace(Some(binding));
        Ok(())
    }

    /// Starts to listen, at a port of the kernel's choice if none was bound.
    pub fn listen(&self, net: &mut Net, backlog: usize) -> Result<()> {
        if self.kind == Kind::Datagram {
            return Err(Errno::EOPNOTSUPP);
        }
        if matches!(*self.state.borrow(), State::Connected(_)) {
            return Err(Errno::EINVAL);
        }
        if self.family == Family::Unix {
            return self.listen_unix(backlog);
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

    pub(super) fn accept_inet(&self, listener: &Listener) -> Result<Self> {
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
        self.configure(link.as_ref(), &self.options.borrow());
        let socket = Self::in_state(self.who.clone(), self.family, self.kind, State::Connected(link));
        socket.options.replace(self.options.borrow().clone());
        socket.local.set(Some(local));
        socket.peer.set(Some(peer));
        Ok(socket)
    }

    /// Connects to a listening socket of this VM; a datagram socket: to whoever is or will be there.
    pub fn connect(&self, net: &mut Net, address: Address) -> Result<()> {
        if let Some(endpoint) = self.endpoint() {
            return self.connect_datagram(&endpoint, address);
        }
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
                let (link, remote) = TcpLink::pair(stream(), stream());
                remote.abort_on_close(true);
                net.ports.connect(Incoming { link: remote, local: peer, peer: local })?;
                Box::new(link)
            }
        };
        self.configure(link.as_ref(), &self.options.borrow());
        self.local.set(Some(local));
        self.peer.set(Some(peer));
        self.enter(State::Connected(link));
        Ok(())
    }

    fn bind_datagram(&self, endpoint: &Rc<Endpoint>, address: Address) -> Result<()> {
        self.bind_at(&mut endpoint.ports().borrow_mut(), address)?;
        if let Some(binding) = &*self.binding.borrow() {
            binding.deliver_to(endpoint);
        }
        self.automatic.set(address.port == 0);
        endpoint.set_local(self.local.get());
        Ok(())
    }

    /// Who sends must have a port to be answered at.
    pub(super) fn bind_for_sending(&self, endpoint: &Rc<Endpoint>) -> Result<()> {
        if self.binding.borrow().is_none() {
            let host = self.local.get().map_or_else(|| Address::any(self.family).host, |local| local.host);
            self.bind_datagram(endpoint, Address { host, port: 0 })?;
        }
        Ok(())
    }

    fn connect_datagram(&self, endpoint: &Rc<Endpoint>, address: Address) -> Result<()> {
        let host = address.host.concrete();
        if host == Host::Outside || (self.family == Family::Inet && host.is_v6()) {
            return Err(Errno::ENETUNREACH);
        }
        self.bind_for_sending(endpoint)?;
        let mut local = self.local.get().ok_or(Errno::EINVAL)?;
        if local.host.is_any() {
            local.host = if host.is_v6() { Host::LoopbackV6 } else { LOCALHOST };
            self.local.set(Some(local));
            endpoint.set_local(Some(local));
        }
        let peer = Address { host, port: address.port };
        self.peer.set(Some(peer));
        endpoint.connect(Some(peer));
        Ok(())
    }

    /// Ends the connection of a datagram socket: `AF_UNSPEC`. A port that was found for it is free again.
    pub fn disconnect(&self) -> Result<()> {
        let endpoint = self.endpoint().ok_or(Errno::EAFNOSUPPORT)?;
        endpoint.connect(None);
        self.peer.set(None);
        self.peer_name.take();
        if let Some(binding) = self.binding.borrow().as_ref() {
            self.local.set(Some(binding.address));
        }
        if self.automatic.take() {
            self.binding.take();
            let asked = self.local.get().filter(|local| !local.host.is_any());
            self.local.set(asked.map(|local| Address { port: 0, ..local }));
        }
        endpoint.set_local(self.local.get());
        Ok(())
    }
}
