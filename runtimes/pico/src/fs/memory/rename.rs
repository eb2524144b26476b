//! rename(2) and renameat2(2) in one memory file system.

use super::Inode;
use crate::errno::{Errno, Result};
use crate::fs::attributes::Time;
use alloc::rc::Rc;
use linux_raw_sys::general::{RENAME_EXCHANGE, RENAME_NOREPLACE};

/// A name in a directory.
pub type Place<'a> = (&'a Rc<Inode>, &'a [u8]);

/// Moves what `from` is to `to`. `flags` are `RENAME_NOREPLACE` or `RENAME_EXCHANGE`.
pub fn rename(from: Place<'_>, to: Place<'_>, flags: u32, now: Time) -> Result<()> {
    let (from_dir, from_name) = from;
    let (to_dir, to_name) = to;
    let moved = from_dir.directory()?.borrow().get(from_name).ok_or(Errno::ENOENT)?;
    let there = to_dir.directory()?.borrow().get(to_name);
    if flags & RENAME_NOREPLACE != 0 && there.is_some() {
        return Err(Errno::EEXIST);
    }
    let exchange = flags & RENAME_EXCHANGE != 0;
    if exchange && there.is_none() || to_dir.is_deleted() {
        return Err(Errno::ENOENT);
    }
    if is_inside(to_dir, &moved)? {
        return Err(Errno::EINVAL);
    }
    if there.as_ref().is_some_and(|there| Rc::ptr_eq(there, &moved)) {
        return Ok(());
    }
    match there {
        Some(there) if exchange => {
            if is_inside(from_dir, &there)? {
                return Err(Errno::EINVAL);
            }
            from_dir.swap(from_name, to_dir, to_name, now)
        }
        Some(there) => {
            if is_inside(from_dir, &there)? {
                return Err(Errno::ENOTEMPTY);
            }
            let kept = to_dir.place_of(to_name)?;
            replace(&moved, &there, to, now)?;
            transfer(from, to, kept, now)
        }
        None => transfer(from, to, None, now),
    }
}

/// Removes what is in the way of `moved`.
fn replace(moved: &Rc<Inode>, there: &Rc<Inode>, to: Place<'_>, now: Time) -> Result<()> {
    match (moved.is_dir(), there.is_dir()) {
        (true, true) => to.0.remove_dir(to.1, now),
        (false, false) => to.0.unlink(to.1, now),
        (true, false) => Err(Errno::ENOTDIR),
        (false, true) => Err(Errno::EISDIR),
    }
}

/// Moves to a free name, which keeps its place in listings if it was just replaced: who lists the directory
/// meanwhile must not miss it. If the longer name cannot be paid for, the old one comes back.
fn transfer(from: Place<'_>, to: Place<'_>, kept: Option<u64>, now: Time) -> Result<()> {
    let old = from.0.place_of(from.1)?;
    let inode = from.0.leave(from.1, now)?;
    to.0.enter_at(kept, to.1, &inode, now).or_else(|errno| {
        from.0.enter_at(old, from.1, &inode, now)?;
        Err(errno)
    })
}

/// Whether `dir` is `outer` or lies below it.
fn is_inside(dir: &Rc<Inode>, outer: &Rc<Inode>) -> Result<bool> {
    let mut at = Some(dir.clone());
    while let Some(inode) = at {
        if Rc::ptr_eq(&inode, outer) {
            return Ok(true);
        }
        at = inode.directory()?.borrow().parent.upgrade();
    }
    Ok(false)
}
