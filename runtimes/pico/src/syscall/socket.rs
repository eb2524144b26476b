//! Sockets: making, naming, connecting and configuring them.

use super::unix::{bind_name, find_name};
use super::{Args, Entry, Support};
use crate::clock::SECOND;
use crate::errno::{Errno, Result};
use crate::file::{FD_MAX, OpenFile, Ready};
use crate::kernel::Kernel;
use crate::net::address::{Address, Family, family_of};
use crate::net::netlink::ROUTE;
use crate::net::options::UDP_LITE;
use crate::net::socket::{Kind, Socket};
use crate::poll::{block, install, look_until};
use alloc::rc::Rc;
use linux_raw_sys::general as c;
use linux_raw_sys::net;

/// Bytes of the largest `sockaddr`.
const ADDRESS_MAX: i32 = 128;
/// Most bytes of a name.
const NAME_MAX: usize = 112;
/// Bytes of an option value that are looked at.
const OPTION_MAX: usize = 64;

macro_rules! entries {
    ($($number:ident $name:ident $support:expr;)*) => {
        /// The family's rows.
        pub const ENTRIES: &[Entry] = &[$(Entry {
            number: c::$number,
            name: stringify!($name),
            support: $support,
            handler: $name,
        },)*];
    };
}

const LOOPBACK: Support = Support::Partial(
    "there is a loopback interface and the port the request arrives on; what lies outside is `ENETUNREACH`; \
     `AF_UNSPEC` only for datagram sockets",
);

entries! {
    __NR_socket socket Support::Partial(
        "`AF_INET`, `AF_INET6` (TCP, UDP, UDP-Lite), `AF_UNIX`, and `AF_NETLINK` for what `RTM_GETLINK` and `RTM_GETADDR` list; others `EAFNOSUPPORT` or `EPROTONOSUPPORT`"
    );
    __NR_socketpair socketpair Support::Full;
    __NR_bind bind Support::Partial("local addresses only");
    __NR_listen listen Support::Full;
    __NR_accept accept Support::Full;
    __NR_accept4 accept4 Support::Full;
    __NR_connect connect LOOPBACK;
    __NR_getsockname getsockname Support::Full;
    __NR_getpeername getpeername Support::Full;
    __NR_setsockopt setsockopt Support::Partial(
        "options that mean nothing on a loopback interface are kept and shown; unknown ones are \
         `ENOPROTOOPT`"
    );
    __NR_getsockopt getsockopt Support::Partial("no `TCP_INFO` or `TCP_CONGESTION`: `ENOPROTOOPT`");
    __NR_shutdown shutdown Support::Full;
}

/// The open file of descriptor argument `index`, which must be a socket.
pub(super) fn open_socket(kernel: &Kernel, args: &Args, index: usize) -> Result<Rc<OpenFile>> {
    let open = kernel.fds.get(args.fd(index)?)?.open.clone();
    as_socket(&open)?;
    Ok(open)
}

/// The socket behind an open file.
pub(super) fn as_socket(open: &OpenFile) -> Result<&Socket> {
    open.file.as_any().downcast_ref().ok_or(Errno::ENOTSOCK)
}

/// Splits a type argument into the type and the flags of the new descriptor.
fn kind_and_flags(argument: u32) -> Result<(Kind, u32)> {
    let flags = argument & (c::O_NONBLOCK | c::O_CLOEXEC);
    let kind = match argument & !flags {
        net::SOCK_STREAM => Kind::Stream,
        net::SOCK_DGRAM => Kind::Datagram,
        net::SOCK_SEQPACKET => Kind::Packets,
        net::SOCK_RAW | net::SOCK_RDM => return Err(Errno::EPROTONOSUPPORT),
        _ => return Err(Errno::EINVAL),
    };
    Ok((kind, flags))
}

fn add(kernel: &mut Kernel, socket: Socket, flags: u32) -> Result<u64> {
    let status = c::O_RDWR | flags & c::O_NONBLOCK;
    install(kernel, Rc::new(socket), status, flags & c::O_CLOEXEC != 0)
}

fn socket(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    if args.uint(0) == net::AF_NETLINK {
        return netlink(kernel, args);
    }
    let (kind, flags) = kind_and_flags(args.uint(1))?;
    let protocol = args.uint(2);
    let family = match args.uint(0) {
        net::AF_UNIX => Family::Unix,
        net::AF_INET => Family::Inet,
        net::AF_INET6 => Family::Inet6,
        _ => return Err(Errno::EAFNOSUPPORT),
    };
    let supported = match family {
        Family::Unix => protocol <= 1,
        _ => match kind {
            Kind::Stream => matches!(protocol, 0 | net::SOL_TCP),
            Kind::Datagram => matches!(protocol, 0 | net::SOL_UDP | UDP_LITE),
            Kind::Packets => return Err(Errno::ESOCKTNOSUPPORT),
        },
    };
    if !supported {
        return Err(Errno::EPROTONOSUPPORT);
    }
    let lite = family != Family::Unix && protocol == UDP_LITE;
    let socket =
        if lite { Socket::lite(&kernel.net, family) } else { Socket::new(&kernel.net, family, kind) };
    add(kernel, socket, flags)
}

fn netlink(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let flags = args.uint(1) & (c::O_NONBLOCK | c::O_CLOEXEC);
    if !matches!(args.uint(1) & !flags, net::SOCK_RAW | net::SOCK_DGRAM) {
        return Err(Errno::ESOCKTNOSUPPORT);
    }
    if args.uint(2) != ROUTE {
        return Err(Errno::EPROTONOSUPPORT);
    }
    let socket = Socket::new(&kernel.net, Family::Netlink, Kind::Datagram);
    add(kernel, socket, flags)
}

fn socketpair(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let (kind, flags) = kind_and_flags(args.uint(1))?;
    match args.uint(0) {
        net::AF_UNIX if args.uint(2) <= 1 => {}
        net::AF_UNIX => return Err(Errno::EPROTONOSUPPORT),
        net::AF_INET | net::AF_INET6 => return Err(Errno::EOPNOTSUPP),
        _ => return Err(Errno::EAFNOSUPPORT),
    }
    let (one, other) = Socket::pair(kind, &kernel.net);
    let fds = kernel.mm.slice_mut(args.raw(3), 8)?;
    let first = add(kernel, one, flags)?;
    let second = match add(kernel, other, flags) {
        Ok(fd) => fd,
        Err(errno) => {
            kernel.fds.replace(first, None)?;
            return Err(errno);
        }
    };
    super::pipe::put_pair(fds, first, second);
    Ok(0)
}

/// The `sockaddr` at argument `index`, its length in the next one.
pub(super) fn sockaddr(kernel: &Kernel, args: &Args, index: usize) -> Result<&'static [u8]> {
    let len = args.int(index + 1);
    let len = usize::try_from(len).ok().filter(|_| len <= ADDRESS_MAX).ok_or(Errno::EINVAL)?;
    kernel.mm.slice(args.raw(index), len)
}

/// Writes a name to argument `index` and its length to the next one, which holds the room there is.
pub(super) fn put_name(kernel: &Kernel, args: &Args, index: usize, name: &[u8]) -> Result<()> {
    let room: i32 = kernel.mm.read(args.raw(index + 1))?;
    let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
    let shown = name.len().min(room);
    kernel.mm.slice_mut(args.raw(index), shown)?.copy_from_slice(&name[..shown]);
    let len = u32::try_from(name.len()).expect("a name is short");
    kernel.mm.write(args.raw(index + 1), &len)
}

fn bind(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let open = open_socket(kernel, args, 0)?;
    let socket = as_socket(&open)?;
    let bytes = sockaddr(kernel, args, 1)?;
    if socket.family() == Family::Netlink {
        return socket.bind_netlink(bytes).map(|()| 0);
    }
    if socket.family() == Family::Unix {
        return bind_name(kernel, socket, bytes);
    }
    socket.bind(&mut kernel.net, Address::parse(bytes, socket.family())?)?;
    Ok(0)
}

fn listen(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let open = open_socket(kernel, args, 0)?;
    // A negative backlog is a large one.
    let backlog = usize::try_from(args.int(1)).unwrap_or(usize::MAX);
    as_socket(&open)?.listen(&mut kernel.net, backlog)?;
    Ok(0)
}

fn accept(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    accept_with(kernel, args, 0)
}

fn accept4(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    accept_with(kernel, args, args.uint(3))
}

fn accept_with(kernel: &mut Kernel, args: &Args, flags: u32) -> Result<u64> {
    if flags & !(c::O_NONBLOCK | c::O_CLOEXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    let open = open_socket(kernel, args, 0)?;
    // The connection must not be lost for want of a descriptor or an address to write to.
    if kernel.fds.iter().count() >= FD_MAX {
        return Err(Errno::EMFILE);
    }
    let named = args.raw(1) != 0;
    if named {
        let room: i32 = kernel.mm.read(args.raw(2))?;
        let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
        kernel.mm.slice_mut(args.raw(1), room.min(NAME_MAX))?;
    }
    let socket = block(kernel, &open, Ready::IN, false, |_| as_socket(&open)?.accept())?;
    if named {
        put_name(kernel, args, 1, &socket.peer_name()?)?;
    }
    add(kernel, socket, flags)
}

fn connect(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let open = open_socket(kernel, args, 0)?;
    let socket = as_socket(&open)?;
    let bytes = sockaddr(kernel, args, 1)?;
    if socket.family() == Family::Netlink {
        return Err(Errno::EOPNOTSUPP);
    }
    if socket.kind() == Kind::Datagram && family_of(bytes)? == net::AF_UNSPEC {
        socket.disconnect()?;
        return Ok(0);
    }
    if socket.family() == Family::Unix {
        let bound = find_name(kernel, bytes)?;
        block(kernel, &open, Ready::OUT, false, |kernel| socket.connect_unix(&kernel.net, &bound))?;
        return Ok(0);
    }
    let address = Address::parse(bytes, socket.family())?;
    let waits = open.flags.get() & linux_raw_sys::general::O_NONBLOCK == 0;
    match socket.connect_inet(&mut kernel.net, address, waits) {
        Err(Errno::EAGAIN) => connect_later(kernel, &open, address),
        result => result.map(|()| 0),
    }
}

/// Time Linux takes to give up where nobody answers, in ns: six times it tries again.
const CONNECT_TIMEOUT: u64 = 127 * SECOND;

/// Waits until the listener at `address` takes one more connection.
fn connect_later(kernel: &mut Kernel, open: &OpenFile, address: Address) -> Result<u64> {
    let socket = as_socket(open)?;
    let patience = open.file.patience(Ready::OUT);
    let deadline = kernel.now().saturating_add(patience.unwrap_or(CONNECT_TIMEOUT));
    let made = look_until(kernel, Some(deadline), |kernel, _, _| {
        let result = socket.connect_inet(&mut kernel.net, address, true);
        Some(result).filter(|result| *result != Err(Errno::EAGAIN))
    })?;
    let late = if patience.is_some() { Errno::EINPROGRESS } else { Errno::ETIMEDOUT };
    made.unwrap_or(Err(late)).map(|()| 0)
}

fn getsockname(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let open = open_socket(kernel, args, 0)?;
    put_name(kernel, args, 1, &as_socket(&open)?.local_name())?;
    Ok(0)
}

fn getpeername(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let open = open_socket(kernel, args, 0)?;
    put_name(kernel, args, 1, &as_socket(&open)?.peer_name()?)?;
    Ok(0)
}

fn setsockopt(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let open = open_socket(kernel, args, 0)?;
    let len = usize::try_from(args.int(4)).map_err(|_| Errno::EINVAL)?;
    let bytes = kernel.mm.slice(args.raw(3), len.min(OPTION_MAX))?;
    as_socket(&open)?.set_option(args.uint(1), args.uint(2), bytes)?;
    Ok(0)
}

fn getsockopt(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let open = open_socket(kernel, args, 0)?;
    let room: i32 = kernel.mm.read(args.raw(4))?;
    let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
    let value = as_socket(&open)?.option(args.uint(1), args.uint(2))?;
    let len = value.len().min(room);
    kernel.mm.slice_mut(args.raw(3), len)?.copy_from_slice(&value[..len]);
    kernel.mm.write(args.raw(4), &u32::try_from(len).expect("a value is short"))?;
    Ok(0)
}

fn shutdown(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let open = open_socket(kernel, args, 0)?;
    let (read, write) = match args.uint(1) {
        0 => (true, false),
        1 => (false, true),
        2 => (true, true),
        _ => return Err(Errno::EINVAL),
    };
    as_socket(&open)?.shutdown(read, write)?;
    Ok(0)
}
