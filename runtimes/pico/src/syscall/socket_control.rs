//! Device control of sockets: ioctl(2) as socket(7) and tcp(7) have it.

use super::socket::as_socket;
use crate::errno::{Errno, Result};
use crate::file::OpenFile;
use crate::kernel::Kernel;
use crate::net::address::Family;
use crate::net::packet::LOOPBACK;
use alloc::rc::Rc;
use linux_raw_sys::net::AF_INET;

const FIOSETOWN: u32 = 0x8901;
const SIOCSPGRP: u32 = 0x8902;
const FIOGETOWN: u32 = 0x8903;
const SIOCGPGRP: u32 = 0x8904;
const SIOCATMARK: u32 = 0x8905;
const SIOCGIFNAME: u32 = 0x8910;
const SIOCGIFCONF: u32 = 0x8912;
const SIOCGIFFLAGS: u32 = 0x8913;
const SIOCGIFADDR: u32 = 0x8915;
const SIOCGIFDSTADDR: u32 = 0x8917;
const SIOCGIFBRDADDR: u32 = 0x8919;
const SIOCGIFNETMASK: u32 = 0x891b;
const SIOCGIFMETRIC: u32 = 0x891d;
const SIOCGIFMTU: u32 = 0x8921;
const SIOCGIFHWADDR: u32 = 0x8927;
const SIOCGIFINDEX: u32 = 0x8933;
const SIOCGIFTXQLEN: u32 = 0x8942;

/// Does `command` with what is at `value`.
pub(super) fn control(kernel: &mut Kernel, open: &Rc<OpenFile>, command: u32, value: u64) -> Result<u64> {
    let socket = as_socket(open)?;
    match command {
        FIOSETOWN | SIOCSPGRP => {
            let owner: i32 = kernel.mm.read(value)?;
            // The smallest number has no group.
            if owner == i32::MIN {
                return Err(Errno::EINVAL);
            }
            kernel.own_file(open, owner)?;
        }
        FIOGETOWN | SIOCGPGRP => kernel.mm.write(value, &kernel.signal_driven.owner(open))?,
        SIOCATMARK => kernel.mm.write(value, &u32::from(socket.at_mark()?))?,
        SIOCGIFNAME..=SIOCGIFTXQLEN => {
            let inet = matches!(socket.family(), Family::Inet | Family::Inet6);
            return interface(kernel, inet, command, value);
        }
        _ => return open.file.ioctl(command, value),
    }
    Ok(0)
}

/// Bytes of an `ifreq`, and of the name it starts with.
const IFREQ: usize = 40;
const IFNAME: usize = 16;

/// The name of the only interface.
const NAME: &[u8] = b"lo\0";
/// `IFF_UP`, `IFF_LOOPBACK`, `IFF_RUNNING`.
const FLAGS: u16 = 0x49;
const MTU: u32 = 65_536;
const QUEUE: u32 = 1000;
const ARPHRD_LOOPBACK: u16 = 772;

/// A `sockaddr_in` of an address.
fn sockaddr(octets: [u8; 4]) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..2].copy_from_slice(&u16::try_from(AF_INET).expect("a small number").to_ne_bytes());
    bytes[4..8].copy_from_slice(&octets);
    bytes
}

/// What netdevice(7) tells: of the loopback interface, as there is no other.
fn interface(kernel: &Kernel, inet: bool, command: u32, value: u64) -> Result<u64> {
    if command == SIOCGIFCONF {
        return list(kernel, value);
    }
    let request: [u8; IFREQ] = kernel.mm.read(value)?;
    let number = |number: u32| {
        let mut bytes = [0; 24];
        bytes[..4].copy_from_slice(&number.to_ne_bytes());
        bytes
    };
    if command == SIOCGIFNAME {
        let index = u32::from_ne_bytes(*request[IFNAME..].first_chunk().expect("24 bytes"));
        if index != LOOPBACK {
            return Err(Errno::ENODEV);
        }
        return kernel.mm.slice_mut(value, NAME.len()).map(|name| name.copy_from_slice(NAME)).map(|()| 0);
    }
    let answer = match command {
        SIOCGIFFLAGS => number(FLAGS.into()),
        SIOCGIFADDR | SIOCGIFDSTADDR if inet => sockaddr([127, 0, 0, 1]),
        SIOCGIFBRDADDR if inet => sockaddr([0; 4]),
        SIOCGIFNETMASK if inet => sockaddr([255, 0, 0, 0]),
        SIOCGIFMETRIC => number(0),
        SIOCGIFMTU => number(MTU),
        SIOCGIFHWADDR => number(ARPHRD_LOOPBACK.into()),
        SIOCGIFINDEX => number(LOOPBACK),
        SIOCGIFTXQLEN => number(QUEUE),
        _ => return Err(Errno::ENOTTY),
    };
    if !request[..IFNAME].starts_with(NAME) {
        return Err(Errno::ENODEV);
    }
    kernel.mm.slice_mut(value.wrapping_add(IFNAME as u64), answer.len())?.copy_from_slice(&answer);
    Ok(0)
}

/// Lists the interfaces that have an address (`ifconf`), or says how long the list is.
fn list(kernel: &Kernel, value: u64) -> Result<u64> {
    let [room, target]: [u64; 2] = kernel.mm.read(value)?;
    let bytes = room.to_ne_bytes();
    let room = i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let fits = usize::try_from(room).is_ok_and(|room| room >= IFREQ);
    if target != 0 && fits {
        let entry = kernel.mm.slice_mut(target, IFREQ)?;
        entry.fill(0);
        entry[..NAME.len()].copy_from_slice(NAME);
        entry[IFNAME..].copy_from_slice(&sockaddr([127, 0, 0, 1]));
    }
    let len = if target == 0 || fits { IFREQ } else { 0 };
    kernel.mm.write(value, &u32::try_from(len).expect("a small number")).map(|()| 0)
}
