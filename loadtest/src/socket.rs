//! Sockets that connect without waiting, from other addresses of this machine when the ports of one run out.

use crate::failure::Failure;
use crate::target::Address;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect as connect_to, socket_with, sockopt,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

/// A socket on its way.
#[derive(Debug)]
pub(crate) enum Opened {
    /// It is connected.
    Now(OwnedFd),
    /// It will be writable when it is connected, or cannot be.
    Soon(OwnedFd),
    /// The server's queue is full.
    Later,
}

/// Which of 127.0.0.1, 127.0.0.2, ... connections to loopback come from: each has ports of its own.
#[derive(Debug, Default)]
pub(crate) struct Source(u8);

/// Addresses that are tried.
const SOURCES: u8 = 250;

/// Begins to connect.
pub(crate) fn connect(address: &Address, source: &mut Source) -> Result<Opened, Failure> {
    match address {
        Address::Tcp(address) => loop {
            match tcp(*address, source) {
                Err(Errno::ADDRNOTAVAIL | Errno::ADDRINUSE) if moved(*address, source) => {}
                result => return result.map_err(refused),
            }
        },
        Address::Unix(path) => {
            let place = SocketAddrUnix::new(path).map_err(refused)?;
            let fd = socket(AddressFamily::UNIX).map_err(refused)?;
            match connect_to(&fd, &place) {
                Ok(()) => Ok(Opened::Now(fd)),
                Err(Errno::AGAIN) => Ok(Opened::Later),
                Err(error) => Err(refused(error)),
            }
        }
    }
}

fn tcp(address: SocketAddr, source: &Source) -> Result<Opened, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let fd = socket(family)?;
    sockopt::set_tcp_nodelay(&fd, true)?;
    if source.0 > 0 {
        bind(&fd, &SocketAddr::from((Ipv4Addr::new(127, 0, 0, source.0 + 1), 0)))?;
    }
    match connect_to(&fd, &address) {
        Ok(()) => Ok(Opened::Now(fd)),
        Err(Errno::INPROGRESS) => Ok(Opened::Soon(fd)),
        Err(error) => Err(error),
    }
}

fn socket(family: AddressFamily) -> Result<OwnedFd, Errno> {
    socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)
}

/// Goes to the next source address, if there is one for this target.
fn moved(address: SocketAddr, source: &mut Source) -> bool {
    let loopback = matches!(address.ip(), IpAddr::V4(ip) if ip.is_loopback());
    let moves = loopback && source.0 < SOURCES;
    source.0 += u8::from(moves);
    moves
}

/// What it means when connect(2) or a call before it fails.
pub(crate) fn refused(error: Errno) -> Failure {
    match error {
        Errno::MFILE
        | Errno::NFILE
        | Errno::NOBUFS
        | Errno::NOMEM
        | Errno::ADDRNOTAVAIL
        | Errno::ADDRINUSE => Failure::Exhausted,
        _ => Failure::Connect,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn connections_come_from_another_address_when_ports_run_out() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut source = Source::default();
        for last in 1..=3 {
            let opened = connect(&Address::Tcp(address), &mut source).unwrap();
            let (_stream, peer) = listener.accept().unwrap();
            assert_eq!(peer.ip(), IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)));
            drop(opened);
            assert!(moved(address, &mut source));
        }
        let outside = "192.0.2.1:80".parse().unwrap();
        assert!(!moved(outside, &mut source), "only loopback has addresses to spare");
        source.0 = SOURCES;
        assert!(!moved(address, &mut source));
    }

    #[test]
    fn what_this_machine_lacks_is_not_the_targets_fault() {
        assert_eq!(refused(Errno::MFILE), Failure::Exhausted);
        assert_eq!(refused(Errno::CONNREFUSED), Failure::Connect);
    }
}
