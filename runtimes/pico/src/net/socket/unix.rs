//! Unix sockets: binding, listening and connecting.

use super::{Kind, Socket, State};
use crate::errno::{Errno, Result};
use crate::net::Net;
use crate::net::address::Family;
use crate::net::channel::Channel;
use crate::net::datagram::Endpoint;
use crate::net::link::Link;
use crate::net::messages::Messages;
use crate::net::socket::BUFFER;
use crate::net::unix::{Bound, Incoming, Names};
use crate::net::unix_link::UnixLink;
use alloc::boxed::Box;
use alloc::rc::{Rc, Weak};

type Ends = (Box<dyn Link>, Box<dyn Link>);

/// The two ends of a new connection.
fn connection(kind: Kind, net: &Net) -> Ends {
    if kind == Kind::Stream {
        let stream = || Channel::new(BUFFER, false, net.budget.clone());
        let (one, other) = UnixLink::pair(stream(), stream());
        (Box::new(one), Box::new(other))
    } else {
        let queue = || Messages::new(BUFFER, net.budget.clone());
        let (one, other) = UnixLink::pair(queue(), queue());
        (Box::new(one), Box::new(other))
    }
}

impl Socket {
    /// Two sockets connected with each other, as socketpair(2) makes them.
    pub fn pair(kind: Kind, net: &Net) -> (Self, Self) {
        let (one, other) = if kind == Kind::Datagram {
            let (one, other) = Endpoint::pair(|| Endpoint::of(net, Family::Unix, &net.udp));
            (State::Datagram(one), State::Datagram(other))
        } else {
            let (one, other) = connection(kind, net);
            (State::Connected(one), State::Connected(other))
        };
        let socket = |state| {
            let socket = Self::in_state(net.who.clone(), Family::Unix, kind, state);
            socket.peer_credentials.set(net.who.get());
            socket
        };
        (socket(one), socket(other))
    }

    /// Takes a name, with `take`; it must have none.
    pub fn bind_unix(
        &self,
        names: &mut Names,
        take: impl FnOnce(&mut Names, Kind, Option<&Rc<Endpoint>>) -> Result<Rc<Bound>>,
    ) -> Result<()> {
        if self.bound.borrow().is_some() {
            return Err(Errno::EINVAL);
        }
        let endpoint = self.endpoint();
        let bound = take(names, self.kind, endpoint.as_ref())?;
        if let Some(endpoint) = endpoint {
            endpoint.set_name(&bound.name);
        }
        self.bound.replace(Some(bound));
        Ok(())
    }

    /// Whether it has taken a name.
    pub fn is_bound(&self) -> bool {
        self.bound.borrow().is_some()
    }

    pub(super) fn listen_unix(&self, backlog: usize) -> Result<()> {
        let bound = self.bound.borrow().clone().ok_or(Errno::EINVAL)?;
        bound.listen(backlog, self.who.get());
        self.enter(State::Serving(bound));
        Ok(())
    }

    pub(super) fn accept_unix(&self, bound: &Rc<Bound>) -> Result<Self> {
        let incoming = bound.accept().ok_or(Errno::EAGAIN)?;
        incoming.link.want_credentials(self.passes_credentials());
        incoming.link.abort_on_close(false);
        let state = State::Connected(incoming.link);
        let socket = Self::in_state(self.who.clone(), self.family, self.kind, state);
        socket.options.replace(self.options.borrow().clone());
        socket.inherited.replace(Some(bound.name.clone()));
        socket.peer_name.replace(incoming.peer);
        socket.peer_credentials.set(incoming.credentials);
        Ok(socket)
    }

    /// Connects to who has the name `bound`; `EAGAIN` if too many wait to be accepted there.
    pub fn connect_unix(&self, net: &Net, bound: &Rc<Bound>) -> Result<()> {
        if bound.kind != self.kind {
            return Err(Errno::EPROTOTYPE);
        }
        if let Some(own) = self.endpoint() {
            let peer = bound.endpoint.as_ref().and_then(Weak::upgrade).ok_or(Errno::ECONNREFUSED)?;
            if !peer.hears(&own) {
                return Err(Errno::EPERM);
            }
            own.connect_unix(Some(&peer));
            self.peer_name.replace(Some(bound.name.clone()));
            return Ok(());
        }
        match &*self.state.borrow() {
            State::Idle => {}
            State::Connected(_) => return Err(Errno::EISCONN),
            State::Listening(_) | State::Serving(_) | State::Datagram(_) | State::Netlink(_) => {
                return Err(Errno::EINVAL);
            }
        }
        bound.check_room()?;
        if !net.names.has_room() {
            return Err(Errno::EAGAIN);
        }
        let (link, remote) = connection(self.kind, net);
        link.want_credentials(self.passes_credentials());
        // Until it is accepted nobody knows whether who sent what will be asked for.
        remote.want_credentials(true);
        remote.abort_on_close(true);
        let peer = self.bound.borrow().as_ref().map(|bound| bound.name.clone());
        bound.push(Incoming { link: remote, credentials: self.who.get(), peer })?;
        self.peer_name.replace(Some(bound.name.clone()));
        self.peer_credentials.set(bound.credentials());
        self.enter(State::Connected(link));
        Ok(())
    }
}
