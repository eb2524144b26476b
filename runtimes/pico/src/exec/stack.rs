//! What a program finds on its stack: arguments, environment, auxiliary vector.

use super::load::Loaded;
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use crate::process::FRAME_SIZE;
use abi::layout::PAGE;
use alloc::vec::Vec;
use linux_raw_sys::auxvec as linux;

/// `HWCAP2_FSGSBASE`: the program may use `wrfsbase`.
const HWCAP2_FSGSBASE: u64 = 2;
/// Clock ticks per second, as times(2) counts.
pub(crate) const TICKS: u64 = 100;

/// Writes strings downwards from the top of the stack.
struct Strings<'a> {
    kernel: &'a Kernel,
    at: u64,
}

impl Strings<'_> {
    fn push(&mut self, bytes: &[u8]) -> Result<u64> {
        self.at = self.at.checked_sub(bytes.len() as u64).ok_or(Errno::ENOMEM)?;
        let target = self.kernel.mm.slice_mut(self.at, bytes.len()).map_err(|_| Errno::ENOMEM)?;
        target.copy_from_slice(bytes);
        Ok(self.at)
    }

    fn push_string(&mut self, bytes: &[u8]) -> Result<u64> {
        self.push(&[0])?;
        self.push(bytes)
    }
}

/// Builds the stack below `top` and returns the stack pointer.
pub(super) fn build(
    kernel: &mut Kernel,
    top: u64,
    program: &Loaded,
    interpreter_base: u64,
    path: &str,
    args: &[&[u8]],
    env: &[&[u8]],
) -> Result<u64> {
    let mut random = [0; 16];
    kernel.random.fill(&mut random);
    let mut strings = Strings { kernel, at: top - 8 };
    let path = strings.push_string(path.as_bytes())?;
    let env = env.iter().map(|entry| strings.push_string(entry)).collect::<Result<Vec<_>>>()?;
    let args = args.iter().map(|arg| strings.push_string(arg)).collect::<Result<Vec<_>>>()?;
    let platform = strings.push_string(b"x86_64")?;
    let random = strings.push(&random)?;
    let auxiliary = [
        (linux::AT_PHDR, program.headers),
        (linux::AT_PHENT, super::elf::PROGRAM_HEADER),
        (linux::AT_PHNUM, program.header_count),
        (linux::AT_PAGESZ, PAGE),
        (linux::AT_BASE, interpreter_base),
        (linux::AT_FLAGS, 0),
        (linux::AT_ENTRY, program.entry),
        (linux::AT_UID, kernel.process.ids.user.real.into()),
        (linux::AT_EUID, kernel.process.ids.user.effective.into()),
        (linux::AT_GID, kernel.process.ids.group.real.into()),
        (linux::AT_EGID, kernel.process.ids.group.effective.into()),
        (linux::AT_SECURE, 0),
        (linux::AT_CLKTCK, TICKS),
        (linux::AT_RANDOM, random),
        (linux::AT_HWCAP, kernel.config.hwcap),
        (linux::AT_SYSINFO_EHDR, kernel.config.vdso),
        (linux::AT_HWCAP2, HWCAP2_FSGSBASE),
        (linux::AT_PLATFORM, platform),
        (linux::AT_EXECFN, path),
        (linux::AT_MINSIGSTKSZ, FRAME_SIZE),
        (linux::AT_NULL, 0),
    ];
    let mut words = Vec::with_capacity(3 + args.len() + env.len() + 2 * auxiliary.len());
    words.push(args.len() as u64);
    words.extend(args);
    words.push(0);
    words.extend(env);
    words.push(0);
    words.extend(auxiliary.iter().flat_map(|&(key, value)| [u64::from(key), value]));
    let at = random.checked_sub(8 * words.len() as u64).ok_or(Errno::ENOMEM)? & !15;
    for (index, word) in words.iter().enumerate() {
        kernel.mm.write(at + 8 * index as u64, word).map_err(|_| Errno::ENOMEM)?;
    }
    Ok(at)
}

/// The name of a process that runs `path`: the last component, cut to 15 bytes.
pub(super) fn process_name(path: &str) -> [u8; 16] {
    let name = path.rsplit('/').next().unwrap_or_default().as_bytes();
    core::array::from_fn(|i| if i < 15 { name.get(i).copied().unwrap_or(0) } else { 0 })
}
