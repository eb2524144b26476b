//! Control messages as programs write and read them (cmsg(3)): `SCM_RIGHTS`, `SCM_CREDENTIALS`, and heads of packets.

use crate::errno::{Errno, Result};
use crate::file::{Descriptor, OpenFile};
use crate::kernel::Kernel;
use crate::net::address::Family;
use crate::net::envelope::{Credentials, Envelope, Rights};
use crate::net::socket::Socket;
use alloc::rc::Rc;
use alloc::vec::Vec;
use linux_raw_sys::net::{MSG_CTRUNC, SCM_CREDENTIALS, SCM_RIGHTS, SOL_IPV6, SOL_SOCKET};

/// Bytes of a `cmsghdr`.
pub(super) const HEADER: usize = 16;
/// Bytes of a `ucred`.
const UCRED: usize = 12;
/// Most descriptors of one message.
const FILES_MAX: usize = 253;
/// Most bytes of control messages that are looked at (`optmem_max` and some more).
const CONTROL_MAX: usize = 128 << 10;

/// A control message.
struct Item<'a> {
    level: u32,
    kind: u32,
    data: &'a [u8],
}

/// The control messages in `bytes`; `EINVAL` where a length cannot be.
fn items(bytes: &[u8]) -> impl Iterator<Item = Result<Item<'_>>> {
    let mut rest = bytes;
    core::iter::from_fn(move || {
        let (header, _) = rest.split_at_checked(HEADER)?;
        let number =
            |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let len = u64::from_ne_bytes(*header.first_chunk().expect("8 of 16 bytes"));
        let Some(len) = usize::try_from(len).ok().filter(|len| (HEADER..=rest.len()).contains(len)) else {
            rest = &[];
            return Some(Err(Errno::EINVAL));
        };
        let item = Item { level: number(8), kind: number(12), data: &rest[HEADER..len] };
        rest = rest.get(len.next_multiple_of(8)..).unwrap_or_default();
        Some(Ok(item))
    })
}

fn numbers(data: &[u8]) -> impl Iterator<Item = u32> + '_ {
    data.chunks_exact(4).map(|bytes| u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

/// What the `len` bytes of control messages at `addr` put beside a message. Sockets other than Unix ones take no notice of
/// descriptors and credentials, and connections none of what is for single packets.
pub(super) fn read(kernel: &Kernel, addr: u64, len: usize, socket: &Socket) -> Result<Envelope> {
    let unix = socket.family() == Family::Unix;
    if len > CONTROL_MAX {
        return Err(Errno::ENOBUFS);
    }
    let bytes = kernel.mm.slice(addr, len)?;
    let (mut envelope, mut files) = (Envelope::default(), Vec::new());
    for item in items(bytes) {
        let item = item?;
        match (item.level, item.kind) {
            (SOL_SOCKET, SCM_RIGHTS) if unix => add_files(kernel, item.data, &mut files)?,
            (SOL_SOCKET, SCM_CREDENTIALS) if unix => {
                envelope.credentials = Some(credentials(kernel, item.data)?);
                envelope.explicit = true;
            }
            (SOL_SOCKET, SCM_RIGHTS | SCM_CREDENTIALS) => {}
            (SOL_SOCKET, _) => return Err(Errno::EINVAL),
            // Unix sockets and connections know no other level, and take no notice of them.
            _ if unix || !socket.has_messages() => {}
            // A socket of one version of IP takes no notice of what is for the other.
            (SOL_IPV6, _) if socket.family() == Family::Inet => {}
            (level, kind) => envelope.packet.read(level, kind, item.data)?,
        }
    }
    if !files.is_empty() {
        envelope.rights = Some(Rc::new(Rights::new(files, &kernel.net.flight)?));
    }
    Ok(envelope)
}

fn add_files(kernel: &Kernel, data: &[u8], files: &mut Vec<Rc<OpenFile>>) -> Result<()> {
    if data.len() / 4 + files.len() > FILES_MAX {
        return Err(Errno::EINVAL);
    }
    for fd in numbers(data) {
        files.push(kernel.fds.get(fd.into())?.open.clone());
    }
    Ok(())
}

/// The credentials a program names: its own process, and any user and group, as it may be each of them.
fn credentials(kernel: &Kernel, data: &[u8]) -> Result<Credentials> {
    if data.len() != UCRED {
        return Err(Errno::EINVAL);
    }
    let values: Vec<u32> = numbers(data).collect();
    let (pid, uid, gid) = (values[0], values[1], values[2]);
    if pid != kernel.net.who.get().pid {
        return Err(Errno::ESRCH);
    }
    if uid == u32::MAX || gid == u32::MAX {
        return Err(Errno::EINVAL);
    }
    Ok(Credentials { pid, uid, gid })
}

/// Room for control messages in the program's memory.
pub(super) struct Room {
    addr: u64,
    left: usize,
    /// `MSG_CTRUNC` once something did not fit.
    pub(super) flags: u32,
    used: usize,
}

impl Room {
    /// `len` bytes at `addr`.
    pub(super) fn new(addr: u64, len: u64) -> Self {
        let left = if addr == 0 { 0 } else { usize::try_from(len).unwrap_or(usize::MAX) };
        Self { addr, left, flags: 0, used: 0 }
    }

    /// Bytes that were filled.
    pub(super) fn used(&self) -> u64 {
        self.used as u64
    }

    /// Writes a message, or as much of it as there is room for.
    pub(super) fn put(&mut self, kernel: &Kernel, level: u32, kind: u32, data: &[u8]) -> Result<()> {
        if self.left < HEADER {
            self.flags |= MSG_CTRUNC;
            return Ok(());
        }
        let len = HEADER + data.len();
        let shown = len.min(self.left);
        if shown < len {
            self.flags |= MSG_CTRUNC;
        }
        let target = kernel.mm.slice_mut(self.addr.wrapping_add(self.used as u64), shown)?;
        target[..8].copy_from_slice(&(shown as u64).to_ne_bytes());
        target[8..12].copy_from_slice(&level.to_ne_bytes());
        target[12..16].copy_from_slice(&kind.to_ne_bytes());
        target[HEADER..].copy_from_slice(&data[..shown - HEADER]);
        let step = len.next_multiple_of(8).min(self.left);
        self.used += step;
        self.left -= step;
        Ok(())
    }

    /// Writes what came beside a message. Descriptors there is no room for are closed.
    pub(super) fn deliver(
        &mut self,
        kernel: &mut Kernel,
        envelope: &Envelope,
        credentials_wanted: bool,
        close_on_exec: bool,
    ) -> Result<()> {
        if credentials_wanted {
            let credentials = envelope.credentials.unwrap_or(Credentials::NOBODY);
            self.put(kernel, SOL_SOCKET, SCM_CREDENTIALS, &credentials.encode())?;
        }
        let Some(rights) = &envelope.rights else { return Ok(()) };
        let fits = self.left.saturating_sub(HEADER) / 4;
        // The memory is looked at first, so that no descriptor is made that nobody learns of.
        if fits > 0 {
            let len = HEADER + 4 * fits.min(rights.files().len());
            kernel.mm.slice_mut(self.addr.wrapping_add(self.used as u64), len)?;
        }
        let mut fds = Vec::new();
        for open in rights.files().iter().take(fits) {
            match kernel.fds.insert(Descriptor { open: open.clone(), close_on_exec }, 0) {
                Ok(fd) => fds.extend(u32::try_from(fd).expect("a descriptor is small").to_ne_bytes()),
                Err(_) => break,
            }
        }
        if fds.len() / 4 < rights.files().len() {
            self.flags |= MSG_CTRUNC;
        }
        if fds.is_empty() { Ok(()) } else { self.put(kernel, SOL_SOCKET, SCM_RIGHTS, &fds) }
    }
}
