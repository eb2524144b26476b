//! execve(2), execveat(2).

use super::path::{existing, partial, path_at};
use super::{Args, Entry};
use crate::errno::{Errno, Result};
use crate::exec::{self, Request};
use crate::kernel::Kernel;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use linux_raw_sys::general as linux;

const DIFFERENCE: &str =
    "arguments and environment of 512 KiB at most; a file that is open for writing can be executed";

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    partial(linux::__NR_execve, "execve", execve, DIFFERENCE),
    partial(linux::__NR_execveat, "execveat", execveat, DIFFERENCE),
];

/// Most bytes of one argument (`MAX_ARG_STRLEN`), and of all of them with the environment.
const STRING_MAX: usize = 128 << 10;
const STRINGS_MAX: usize = 512 << 10;

fn execve(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    execute(kernel, linux::AT_FDCWD, [args.raw(0), args.raw(1), args.raw(2)], 0)
}

fn execveat(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let flags = args.uint(4);
    if flags & !(linux::AT_EMPTY_PATH | linux::AT_SYMLINK_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL);
    }
    execute(kernel, args.int(0), [args.raw(1), args.raw(2), args.raw(3)], flags)
}

fn execute(kernel: &mut Kernel, dirfd: i32, [path, args, env]: [u64; 3], flags: u32) -> Result<u64> {
    let given = String::from_utf8_lossy(path_at(kernel, path)?);
    if given.is_empty() && flags & linux::AT_EMPTY_PATH == 0 {
        return Err(Errno::ENOENT);
    }
    let location = existing(kernel, dirfd, path, flags)?;
    let name = match &*given {
        given if given.starts_with('/') || dirfd == linux::AT_FDCWD => given.into(),
        "" => format!("/dev/fd/{dirfd}"),
        given => format!("/dev/fd/{dirfd}/{given}"),
    };
    let file = kernel.executable(&location)?;
    let exe = location.path(kernel).unwrap_or_else(|_| name.clone().into_bytes());
    let mut left = STRINGS_MAX.min(usize::try_from(kernel.mm.stack_size() / 4).unwrap_or(STRINGS_MAX));
    let mut arguments = strings(kernel, args, &mut left)?;
    if arguments.is_empty() {
        arguments.push(Vec::new());
    }
    let environment = strings(kernel, env, &mut left)?;
    exec::replace(kernel, Request { name, exe, file, arguments, environment }).map(|()| 0)
}

/// The strings that the list of addresses at `at` leads to. `left`: the bytes there is room for.
fn strings(kernel: &Kernel, at: u64, left: &mut usize) -> Result<Vec<Vec<u8>>> {
    let mut strings = Vec::new();
    if at == 0 {
        return Ok(strings);
    }
    for index in 0.. {
        let address: u64 = kernel.mm.read(at.wrapping_add(8 * index))?;
        if address == 0 {
            break;
        }
        let string = kernel.mm.c_str(address, STRING_MAX).map_err(|errno| match errno {
            Errno::ENAMETOOLONG => Errno::E2BIG,
            errno => errno,
        })?;
        *left = left.checked_sub(string.len() + 1 + size_of::<u64>()).ok_or(Errno::E2BIG)?;
        strings.push(string.to_vec());
    }
    Ok(strings)
}
