//! Who a process acts as: users and groups.

use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use alloc::vec;
use alloc::vec::Vec;

/// Most supplementary groups of a process.
pub const GROUPS_MAX: usize = 32;
/// Where a call leaves an id as it is.
const KEEP: u32 = u32::MAX;

/// Real, effective and saved id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Triple {
    /// Who has started it.
    pub real: u32,
    /// As whom it acts.
    pub effective: u32,
    /// As whom it may act again.
    pub saved: u32,
}

impl Triple {
    fn has(self, id: u32) -> bool {
        [self.real, self.effective, self.saved].contains(&id)
    }

    /// setuid(2) and setgid(2), for who is `privileged` or not.
    pub fn set(&mut self, id: u32, privileged: bool) -> Result<()> {
        match () {
            () if id == KEEP => return Err(Errno::EINVAL),
            () if privileged => *self = Self { real: id, effective: id, saved: id },
            () if id == self.real || id == self.saved => self.effective = id,
            () => return Err(Errno::EPERM),
        }
        Ok(())
    }

    /// setreuid(2) and setregid(2).
    pub fn set_two(&mut self, [real, effective]: [u32; 2], privileged: bool) -> Result<()> {
        let may_be_real = real == KEEP || real == self.real || real == self.effective;
        let may_act = effective == KEEP || self.has(effective);
        if !(privileged || (may_be_real && may_act)) {
            return Err(Errno::EPERM);
        }
        let before = self.real;
        self.real = if real == KEEP { self.real } else { real };
        self.effective = if effective == KEEP { self.effective } else { effective };
        if real != KEEP || (effective != KEEP && effective != before) {
            self.saved = self.effective;
        }
        Ok(())
    }

    /// setresuid(2) and setresgid(2).
    pub fn set_three(&mut self, ids: [u32; 3], privileged: bool) -> Result<()> {
        if !privileged && !ids.iter().all(|&id| id == KEEP || self.has(id)) {
            return Err(Errno::EPERM);
        }
        let new = |id, old| if id == KEEP { old } else { id };
        let [real, effective, saved] = ids;
        *self = Self {
            real: new(real, self.real),
            effective: new(effective, self.effective),
            saved: new(saved, self.saved),
        };
        Ok(())
    }
}

/// The ids of a process.
#[derive(Clone, Debug)]
pub struct Ids {
    /// User.
    pub user: Triple,
    /// Group.
    pub group: Triple,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

impl Ids {
    /// Those of the first program: root's.
    pub fn root() -> Self {
        Self { user: Triple::default(), group: Triple::default(), groups: vec![0] }
    }

    /// Whether it may take any id.
    pub fn is_privileged(&self) -> bool {
        self.user.effective == 0
    }

    /// The process becomes another program.
    pub fn execute(&mut self) {
        self.user.saved = self.user.effective;
        self.group.saved = self.group.effective;
    }
}

impl Kernel {
    /// Files and sockets made from now on belong to whom the current process acts as.
    pub(crate) fn act_as_process(&self) {
        let (uid, gid) = (self.process.ids.user.effective, self.process.ids.group.effective);
        self.net.who.set(crate::net::Credentials { pid: self.pid(), uid, gid });
        self.vfs.mounts.pool().set_creator(uid, gid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: Triple = Triple { real: 5, effective: 6, saved: 7 };

    #[test]
    fn who_is_privileged_takes_any_id_and_others_those_they_have() {
        let mut ids = USER;
        assert_eq!(ids.set(9, false), Err(Errno::EPERM));
        assert_eq!(ids.set(KEEP, true), Err(Errno::EINVAL));
        assert_eq!((ids.set(7, false), ids), (Ok(()), Triple { effective: 7, ..USER }));
        assert_eq!((ids.set(9, true), ids), (Ok(()), Triple { real: 9, effective: 9, saved: 9 }));
    }

    #[test]
    fn the_saved_id_follows_where_two_are_set() {
        let mut ids = USER;
        assert_eq!(ids.set_two([7, KEEP], false), Err(Errno::EPERM));
        assert_eq!((ids.set_two([KEEP, 5], false), ids), (Ok(()), Triple { effective: 5, ..USER }));
        assert_eq!(
            (ids.set_two([KEEP, 7], false), ids),
            (Ok(()), Triple { real: 5, effective: 7, saved: 7 })
        );
        assert_eq!((ids.set_two([7, 5], false), ids), (Ok(()), Triple { real: 7, effective: 5, saved: 5 }));
    }

    #[test]
    fn all_three_can_be_exchanged() {
        let mut ids = USER;
        assert_eq!(ids.set_three([6, 7, 8], false), Err(Errno::EPERM));
        assert_eq!(
            (ids.set_three([7, KEEP, 5], false), ids),
            (Ok(()), Triple { real: 7, effective: 6, saved: 5 })
        );
    }
}
