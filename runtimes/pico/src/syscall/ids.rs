//! Users and groups of a process.

use super::path::{full, partial};
use super::{Args, Entry};
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use crate::process::{GROUPS_MAX, Ids, Triple};
use alloc::vec::Vec;
use linux_raw_sys::general as linux;

const NO_CHECKS: &str = "ids are kept, and files belong to who makes them; permissions are not checked: all in a VM may do what root may";

/// The row of a call that changes the ids of a user or a group.
macro_rules! changes {
    ($number:ident, $name:literal, $whose:ident, $change:ident) => {
        partial(
            linux::$number,
            $name,
            |kernel, args| with_ids(kernel, |ids, may| $change(&mut ids.$whose, args, may)),
            NO_CHECKS,
        )
    };
}

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    full(linux::__NR_getuid, "getuid", |kernel, _| Ok(kernel.process.ids.user.real.into())),
    full(linux::__NR_getgid, "getgid", |kernel, _| Ok(kernel.process.ids.group.real.into())),
    full(linux::__NR_geteuid, "geteuid", |kernel, _| Ok(kernel.process.ids.user.effective.into())),
    full(linux::__NR_getegid, "getegid", |kernel, _| Ok(kernel.process.ids.group.effective.into())),
    full(linux::__NR_getresuid, "getresuid", |kernel, args| put(kernel, args, kernel.process.ids.user)),
    full(linux::__NR_getresgid, "getresgid", |kernel, args| put(kernel, args, kernel.process.ids.group)),
    full(linux::__NR_getgroups, "getgroups", getgroups),
    partial(linux::__NR_setgroups, "setgroups", setgroups, "at most 32 groups (`EINVAL`)"),
    changes!(__NR_setuid, "setuid", user, one),
    changes!(__NR_setgid, "setgid", group, one),
    changes!(__NR_setreuid, "setreuid", user, two),
    changes!(__NR_setregid, "setregid", group, two),
    changes!(__NR_setresuid, "setresuid", user, three),
    changes!(__NR_setresgid, "setresgid", group, three),
];

fn one(ids: &mut Triple, args: &Args, privileged: bool) -> Result<()> {
    ids.set(args.uint(0), privileged)
}

fn two(ids: &mut Triple, args: &Args, privileged: bool) -> Result<()> {
    ids.set_two(numbers(args), privileged)
}

fn three(ids: &mut Triple, args: &Args, privileged: bool) -> Result<()> {
    ids.set_three(numbers(args), privileged)
}

/// The first arguments as ids.
fn numbers<const COUNT: usize>(args: &Args) -> [u32; COUNT] {
    core::array::from_fn(|index| args.uint(index))
}

/// Changes ids by `change`, which is told whether any may be taken.
fn with_ids(kernel: &mut Kernel, change: impl FnOnce(&mut Ids, bool) -> Result<()>) -> Result<u64> {
    let may = kernel.process.ids.is_privileged();
    change(&mut kernel.process.ids, may)?;
    kernel.act_as_process();
    Ok(0)
}

fn put(kernel: &Kernel, args: &Args, ids: Triple) -> Result<u64> {
    for (index, id) in [ids.real, ids.effective, ids.saved].into_iter().enumerate() {
        kernel.mm.write(args.raw(index), &id)?;
    }
    Ok(0)
}

fn getgroups(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let groups = &kernel.process.ids.groups;
    match usize::try_from(args.int(0)) {
        Ok(0) => {}
        Ok(room) if room >= groups.len() => {
            for (index, group) in groups.iter().enumerate() {
                kernel.mm.write(place(args, index), group)?;
            }
        }
        _ => return Err(Errno::EINVAL),
    }
    Ok(groups.len() as u64)
}

/// Where group `index` of a list is.
fn place(args: &Args, index: usize) -> u64 {
    args.raw(1).wrapping_add(4 * index as u64)
}

fn setgroups(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    if !kernel.process.ids.is_privileged() {
        return Err(Errno::EPERM);
    }
    let count =
        usize::try_from(args.int(0)).ok().filter(|&count| count <= GROUPS_MAX).ok_or(Errno::EINVAL)?;
    let groups = (0..count).map(|index| kernel.mm.read(place(args, index)));
    let mut groups = groups.collect::<Result<Vec<u32>>>()?;
    groups.sort_unstable();
    kernel.process.ids.groups = groups;
    Ok(0)
}
