//! mremap(2).

use super::Args;
use super::memory::restore_text;
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use crate::mm::areas::{Area, Kind};
use crate::mm::{Placement, is_sparse, round_up};
use abi::layout::PAGE;
use linux_raw_sys::general as linux;

pub(super) fn mremap(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let flags = args.uint(3);
    if flags & !(linux::MREMAP_MAYMOVE | linux::MREMAP_FIXED) != 0 {
        return Err(Errno::EINVAL);
    }
    let may_move = flags & linux::MREMAP_MAYMOVE != 0;
    let to = (flags & linux::MREMAP_FIXED != 0).then(|| args.raw(4));
    if to.is_some() && !may_move {
        return Err(Errno::EINVAL);
    }
    let [addr, old, new] = [args.raw(0), args.raw(1), args.raw(2)];
    restore_text(kernel, addr, old);
    if let Some(to) = to {
        restore_text(kernel, to, new);
    }
    let area = kernel.mm.area_at(addr).filter(|area| area.kind == Kind::SharedFile);
    match area.filter(|_| addr.is_multiple_of(PAGE) && old > 0 && new > 0) {
        Some(area) => remap_shared(kernel, &area, (addr, round_up(old)?), round_up(new)?, may_move, to),
        None => kernel.mm.remap(addr, old, new, may_move, to),
    }
}

/// The same for `old` bytes at `addr`, a part of `area` in which a file is mapped shared. To move is to map the same
/// pages once more.
fn remap_shared(
    kernel: &mut Kernel,
    area: &Area,
    (addr, old): (u64, u64),
    new: u64,
    may_move: bool,
    to: Option<u64>,
) -> Result<u64> {
    let old_end = addr.checked_add(old).filter(|&end| end <= area.end).ok_or(Errno::EFAULT)?;
    let (inode, offset) = kernel.vfs.shared.file_at(addr, old_end).ok_or(Errno::EFAULT)?;
    let (path, _) = area.file.clone().ok_or(Errno::EFAULT)?;
    let (mm, shared, prot) = (&mut kernel.mm, &mut kernel.vfs.shared, area.prot);
    let placement = match to {
        Some(to) if to < old_end && to.saturating_add(new) > addr => return Err(Errno::EINVAL),
        Some(to) => Placement::Fixed(to),
        None if new <= old => {
            if new < old {
                mm.unmap(addr + new, old - new)?;
                shared.release(mm);
            }
            return Ok(addr);
        }
        None => Placement::Hint(0),
    };
    let has_addresses = addr.checked_add(new).is_some_and(|end| is_sparse(addr) && is_sparse(end - 1));
    if to.is_none() && has_addresses {
        let more = (offset + old, new - old);
        match shared.map(mm, &inode, more, prot, path.clone(), Placement::Free(old_end)) {
            Err(Errno::EEXIST) => {}
            grown => return grown.map(|_| addr),
        }
    }
    if !may_move {
        return Err(Errno::ENOMEM);
    }
    let start = shared.map(mm, &inode, (offset, new), prot, path, placement)?;
    mm.unmap(addr, old)?;
    shared.release(mm);
    kernel.reclaim_files();
    Ok(start)
}
