//! When pico's own memory is nearly used up, calls that make something are refused.
//!
//! What lies there has limits of its own, each far below what there is. All of them together are not, and some
//! things have none but this one: how many descriptions of open files there are, and the paths they were opened by.
//! The platform sets memory apart that a call can use which was let in.

use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use alloc::string::String;
use linux_raw_sys::general as c;

/// Calls that make something which stays. Without them a program can still give back what it has, and end.
const MAKERS: &[u32] = &[
    c::__NR_accept,
    c::__NR_accept4,
    c::__NR_bind,
    c::__NR_clone,
    c::__NR_clone3,
    c::__NR_connect,
    c::__NR_creat,
    c::__NR_epoll_create,
    c::__NR_epoll_create1,
    c::__NR_epoll_ctl,
    c::__NR_eventfd,
    c::__NR_eventfd2,
    c::__NR_execve,
    c::__NR_execveat,
    c::__NR_fork,
    c::__NR_getdents,
    c::__NR_getdents64,
    c::__NR_inotify_add_watch,
    c::__NR_inotify_init,
    c::__NR_inotify_init1,
    c::__NR_link,
    c::__NR_linkat,
    c::__NR_listen,
    c::__NR_memfd_create,
    c::__NR_mkdir,
    c::__NR_mkdirat,
    c::__NR_mknod,
    c::__NR_mknodat,
    c::__NR_mmap,
    c::__NR_mprotect,
    c::__NR_mremap,
    c::__NR_open,
    c::__NR_openat,
    c::__NR_openat2,
    c::__NR_pidfd_open,
    c::__NR_pipe,
    c::__NR_pipe2,
    c::__NR_rename,
    c::__NR_renameat,
    c::__NR_renameat2,
    c::__NR_rt_sigqueueinfo,
    c::__NR_rt_tgsigqueueinfo,
    c::__NR_sendmmsg,
    c::__NR_sendmsg,
    c::__NR_shmat,
    c::__NR_shmget,
    c::__NR_signalfd,
    c::__NR_signalfd4,
    c::__NR_socket,
    c::__NR_socketpair,
    c::__NR_symlink,
    c::__NR_symlinkat,
    c::__NR_timerfd_create,
    c::__NR_vfork,
];

/// Numbers are smaller than this.
const LIMIT: usize = 512;

static IS_MAKER: [bool; LIMIT] = {
    let mut table = [false; LIMIT];
    let mut index = 0;
    while index < MAKERS.len() {
        table[MAKERS[index] as usize] = true;
        index += 1;
    }
    table
};

/// Whether the call `number` has to wait for better times.
pub(super) fn is_refused(kernel: &Kernel, number: u64) -> bool {
    let is_maker = usize::try_from(number).ok().and_then(|number| IS_MAKER.get(number));
    is_maker == Some(&true) && kernel.platform.is_short()
}

impl Kernel {
    /// Room for a text of up to `len` bytes in pico's own memory, which the program may keep.
    pub(crate) fn room_for_text(&self, len: usize) -> Result<String> {
        let mut text = String::new();
        let taken = text.try_reserve_exact(len);
        if taken.is_err() || self.platform.is_short() { Err(Errno::ENOMEM) } else { Ok(text) }
    }
}

#[cfg(test)]
mod tests {
    use crate::errno::Errno;
    use crate::kernel::Kernel;
    use crate::syscall::{Args, dispatch};
    use linux_raw_sys::general as c;

    fn call(kernel: &mut Kernel, number: u32, args: [u64; 3]) -> u64 {
        let [first, second, third] = args;
        dispatch(kernel, number.into(), &Args([first, second, third, 0, 0, 0]))
    }

    #[test]
    fn without_own_memory_nothing_is_made_but_all_can_be_given_back() {
        let (mut kernel, fake) = Kernel::for_tests();
        let fd = call(&mut kernel, c::__NR_eventfd, [1, 0, 0]);
        assert_eq!(fd, 0);
        fake.short.set(true);
        let refused = Errno::ENOMEM.as_return_value();
        for number in super::MAKERS {
            assert_eq!(call(&mut kernel, *number, [0; 3]), refused, "{number}");
        }
        assert_eq!(call(&mut kernel, c::__NR_getpid, [0; 3]), 1);
        assert_eq!(call(&mut kernel, c::__NR_close, [fd, 0, 0]), 0);
        assert_eq!(kernel.room_for_text(100), Err(Errno::ENOMEM));
        fake.short.set(false);
        assert_eq!(call(&mut kernel, c::__NR_eventfd, [1, 0, 0]), fd);
    }
}
