//! Names of Unix sockets: in directories, and in none.

use crate::errno::{Errno, Result};
use crate::fs::memory::{Body, make};
use crate::fs::path::{How, Last, Name as PathName};
use crate::kernel::Kernel;
use crate::net::socket::Socket;
use crate::net::unix::{Bound, Name};
use alloc::rc::Rc;
use linux_raw_sys::general::{IN_CREATE, S_IFMT, S_IFSOCK};

/// Gives `socket` the name in the `sockaddr` `bytes`.
pub(super) fn bind_name(kernel: &mut Kernel, socket: &Socket, bytes: &[u8]) -> Result<u64> {
    let name = Name::parse(bytes)?;
    if socket.is_bound() {
        // To bind any name once more does nothing.
        return if name == Name::Any { Ok(0) } else { Err(Errno::EINVAL) };
    }
    match name {
        Name::Any => {
            socket.bind_unix(&mut kernel.net.names, |names, kind, endpoint| names.bind_any(kind, endpoint))
        }
        Name::Abstract(name) => socket.bind_unix(&mut kernel.net.names, |names, kind, endpoint| {
            names.bind_abstract(&name, kind, endpoint)
        }),
        Name::Path(path) => {
            let place = make_socket(kernel, &path)?;
            socket.bind_unix(&mut kernel.net.names, |names, kind, endpoint| {
                Ok(names.bind_path(place, &path, kind, endpoint))
            })
        }
    }?;
    Ok(0)
}

/// Makes the inode of a socket; what is there already is `EADDRINUSE`.
fn make_socket(kernel: &Kernel, path: &[u8]) -> Result<(u64, u64)> {
    let found = kernel.look_up(&kernel.vfs.place.cwd, path, How::new(Last::Name))?;
    let name = match &found.name {
        PathName::Normal(name) if found.target.is_none() => name,
        _ => return Err(Errno::EADDRINUSE),
    };
    if found.slash {
        return Err(Errno::ENOENT);
    }
    let mode = 0o777 & !kernel.vfs.place.umask;
    let directory = found.parent.writable_dir()?;
    let inode = make(directory, name, Body::Special(S_IFSOCK), mode, kernel.file_time())?;
    kernel.tell_name(directory, name, false, IN_CREATE);
    Ok(inode.key())
}

/// Who has the name in the `sockaddr` `bytes`: `ENOENT` if the path leads nowhere, `ECONNREFUSED` if nobody has it.
pub(super) fn find_name(kernel: &Kernel, bytes: &[u8]) -> Result<Rc<Bound>> {
    match Name::parse(bytes)? {
        Name::Any => Err(Errno::EINVAL),
        Name::Abstract(name) => kernel.net.names.find_abstract(&name),
        Name::Path(path) => {
            let stat = kernel.resolve(&path)?.stat()?;
            if stat.st_mode & S_IFMT != S_IFSOCK {
                return Err(Errno::ECONNREFUSED);
            }
            kernel.net.names.find_path((stat.st_dev, stat.st_ino))
        }
    }
}
