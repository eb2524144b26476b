//! The names of the machine: uname(2), sethostname(2), setdomainname(2).

use super::path::full;
use super::{Args, Entry};
use crate::errno::{Errno, Result};
use crate::fs::proc::RELEASE;
use crate::kernel::Kernel;
use alloc::vec::Vec;
use linux_raw_sys::general as linux;

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    full(linux::__NR_uname, "uname", uname),
    full(linux::__NR_sethostname, "sethostname", sethostname),
    full(linux::__NR_setdomainname, "setdomainname", setdomainname),
];

/// Longest name, without its NUL.
const NAME_MAX: usize = 64;

/// Names of the machine that can be changed.
pub struct Names {
    /// As sethostname(2) has it.
    pub host: Vec<u8>,
    /// As setdomainname(2) has it.
    pub domain: Vec<u8>,
}

impl Default for Names {
    fn default() -> Self {
        Self { host: b"spore".into(), domain: b"(none)".into() }
    }
}

fn uname(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    const FIELD: usize = NAME_MAX + 1;
    let mut name = [0u8; 6 * FIELD];
    let Names { host, domain } = &kernel.names;
    let values: [&[u8]; 6] = [b"Linux", host, RELEASE.as_bytes(), b"#1 pico", b"x86_64", domain];
    for (field, value) in name.chunks_exact_mut(FIELD).zip(values) {
        field[..value.len()].copy_from_slice(value);
    }
    kernel.mm.write(args.raw(0), &name).map(|()| 0)
}

/// The name in arguments 0 and 1, for who may change it.
fn name_arg(kernel: &Kernel, args: &Args) -> Result<Vec<u8>> {
    if !kernel.process.ids.is_privileged() {
        return Err(Errno::EPERM);
    }
    let len = usize::try_from(args.int(1)).ok().filter(|&len| len <= NAME_MAX).ok_or(Errno::EINVAL)?;
    Ok(kernel.mm.slice(args.raw(0), len)?.to_vec())
}

fn sethostname(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    kernel.names.host = name_arg(kernel, args)?;
    Ok(0)
}

fn setdomainname(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    kernel.names.domain = name_arg(kernel, args)?;
    Ok(0)
}
