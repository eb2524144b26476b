use super::*;
use crate::kernel::Kernel;
use crate::platform::fake::Fake;
use crate::syscall::{Args, dispatch};
use abi::console::Console as Shared;
use linux_raw_sys::ioctl;
use std::vec::Vec;

/// A kernel with a console, some memory of the program, and the machine below.
struct Rig {
    kernel: Kernel,
    fake: Rc<Fake>,
    at: u64,
}

impl Rig {
    fn new(shared: Shared) -> Self {
        let (mut kernel, fake) = Kernel::for_tests();
        fake.console.set(shared);
        kernel.console = Some(Rc::new(Console::new(kernel.platform.clone())));
        kernel.open_standard_streams().unwrap();
        let mut rig = Self { kernel, fake, at: 0 };
        rig.at = u64::try_from(rig.call(linux::__NR_brk, &[])).unwrap();
        rig.call(linux::__NR_brk, &[rig.at + 0x8_0000]);
        rig
    }

    fn call(&mut self, number: u32, args: &[u64]) -> i64 {
        let mut all = [0; 6];
        all[..args.len()].copy_from_slice(args);
        dispatch(&mut self.kernel, number.into(), &Args(all)).cast_signed()
    }

    fn read(&mut self, len: u64) -> i64 {
        self.call(linux::__NR_read, &[0, self.at, len])
    }

    fn text(&mut self, len: usize) -> &mut [u8] {
        self.kernel.mm.slice_mut(self.at, len).unwrap()
    }

    fn poll(&mut self, timeout: u64) -> (i64, u16) {
        self.kernel.mm.write(self.at, &[0u32, linux::POLLIN]).unwrap();
        let result = self.call(linux::__NR_poll, &[self.at, 1, timeout]);
        (result, self.kernel.mm.read::<[u16; 4]>(self.at).unwrap()[3])
    }
}

fn errno(errno: Errno) -> i64 {
    errno.as_return_value().cast_signed()
}

#[test]
fn each_input_is_an_edge_for_epoll() {
    let mut rig = Rig::new(Shared::default());
    let epoll = u64::try_from(rig.call(linux::__NR_epoll_create1, &[0])).unwrap();
    rig.kernel.mm.write(rig.at, &[linux::EPOLLIN | linux::EPOLLET, 0, 0]).unwrap();
    let add = u64::from(linux::EPOLL_CTL_ADD);
    assert_eq!(rig.call(linux::__NR_epoll_ctl, &[epoll, add, 0, rig.at]), 0);
    let wait = |rig: &mut Rig| rig.call(linux::__NR_epoll_wait, &[epoll, rig.at, 1, 0]);
    assert_eq!(wait(&mut rig), 0);
    for text in [b"a", b"b"] {
        rig.fake.inputs.borrow_mut().push_back(text);
        assert_eq!([wait(&mut rig), wait(&mut rig)], [1, 0]);
        assert_eq!(rig.read(8), 1);
    }
}

#[test]
fn every_write_is_handed_over_at_once_and_a_failed_one_is_told() {
    let mut rig = Rig::new(Shared::default());
    rig.text(5).copy_from_slice(b"hello");
    assert_eq!(rig.call(linux::__NR_write, &[1, rig.at, 5]), 5);
    assert_eq!(rig.call(linux::__NR_write, &[2, rig.at + 4, 1]), 1);
    assert_eq!(rig.fake.doorbells(), [Doorbell::Log, Doorbell::Log]);
    assert_eq!((rig.fake.logged(1), rig.fake.logged(2)), (b"hello".to_vec(), b"o".to_vec()));
    rig.fake.console.set(Shared { output_errors: [linux_raw_sys::errno::EPIPE, 0], ..Shared::default() });
    assert_eq!(rig.call(linux::__NR_write, &[1, rig.at, 5]), errno(Errno::EPIPE));
    assert_eq!(rig.kernel.process.signals.pending(), 1 << (linux::SIGPIPE - 1));
    assert_eq!(rig.call(linux::__NR_write, &[2, rig.at, 5]), 5);
}

#[test]
fn a_large_write_comes_in_parts_and_whole() {
    let mut rig = Rig::new(Shared::default());
    let len = 3 * OUTPUT_PART + 7;
    let bytes: Vec<u8> = (0..=255).cycle().take(len).collect();
    rig.text(len).copy_from_slice(&bytes);
    assert_eq!(usize::try_from(rig.call(linux::__NR_write, &[1, rig.at, len as u64])), Ok(len));
    assert_eq!(rig.fake.doorbells().len(), 4);
    assert!(rig.fake.logged(1) == bytes);
}

#[test]
fn input_is_read_in_any_portions_to_its_end() {
    let mut rig = Rig::new(Shared::default());
    rig.fake.inputs.borrow_mut().extend([&b"one two"[..], b"three", b""]);
    assert_eq!((rig.read(4), rig.text(4).to_vec()), (4, b"one ".to_vec()));
    assert_eq!((rig.read(100), rig.text(3).to_vec()), (3, b"two".to_vec()));
    assert_eq!(rig.read(0), 0);
    assert_eq!((rig.read(100), rig.text(5).to_vec()), (5, b"three".to_vec()));
    assert_eq!(rig.read(100), 0);
    assert_eq!(rig.fake.doorbells(), [Doorbell::Sleep; 3], "once for each part");
    assert_eq!(rig.call(linux::__NR_write, &[0, rig.at, 1]), errno(Errno::EBADF));
    assert_eq!(rig.call(linux::__NR_read, &[1, rig.at, 1]), errno(Errno::EBADF));
}

#[test]
fn an_input_that_cannot_be_read_is_an_error_to_the_program() {
    let eisdir = linux_raw_sys::errno::EISDIR;
    let mut rig = Rig::new(Shared { input: INPUT_ERROR, input_len: eisdir, ..Shared::default() });
    assert_eq!(rig.read(1), -i64::from(eisdir));
}

#[test]
fn polling_finds_input_and_its_end_without_taking_them() {
    let mut rig = Rig::new(Shared::default());
    let hang_up = u16::try_from(linux::POLLIN | linux::POLLHUP).unwrap();
    assert_eq!(rig.poll(0), (0, 0));
    rig.fake.inputs.borrow_mut().extend([&b"x"[..], b""]);
    for _ in 0..2 {
        assert_eq!(rig.poll(0), (1, 1));
    }
    assert_eq!(rig.call(linux::__NR_ioctl, &[0, FIONREAD.into(), rig.at]), 0);
    assert_eq!(rig.kernel.mm.read::<u32>(rig.at), Ok(1));
    assert_eq!(rig.read(9), 1);
    for _ in 0..2 {
        assert_eq!(rig.poll(0), (1, hang_up));
    }
    assert_eq!(rig.read(9), 0);
}

#[test]
fn a_wait_after_a_vain_look_is_a_wait_for_input_too() {
    let mut rig = Rig::new(Shared::default());
    assert_eq!(rig.poll(5), (0, 0));
    let rings = rig.fake.rings.borrow().clone();
    assert_eq!(rings.len(), 3, "a look, a wait, a look: {rings:?}");
    assert!(rings.iter().all(|(doorbell, args)| *doorbell == Doorbell::Sleep && args[1] == 1));
    assert!(rings[1].1[0] > 0);
}

#[test]
fn the_host_can_send_signals() {
    let mut rig = Rig::new(Shared { signals: 1 << (linux::SIGTERM - 1), ..Shared::default() });
    assert_eq!(rig.call(linux::__NR_pause, &[]), errno(Errno::EINTR));
    assert_eq!(rig.kernel.process.signals.pending(), 1 << (linux::SIGTERM - 1));
    assert_eq!(rig.fake.console.get().signals, 0);
}

#[test]
fn a_terminal_has_settings_and_a_size_and_a_pipe_has_not() {
    let mut rig = Rig::new(Shared { terminals: 0b011, rows: 24, columns: 80, ..Shared::default() });
    let at = rig.at;
    for fd in [0, 1] {
        assert_eq!(rig.call(linux::__NR_ioctl, &[fd, ioctl::TCGETS.into(), at]), 0);
        assert_eq!(rig.call(linux::__NR_ioctl, &[fd, ioctl::TCSETS.into(), at]), 0, "no change");
        assert_eq!(rig.call(linux::__NR_fstat, &[fd, at]), 0);
        let stat: Stat = rig.kernel.mm.get(at).unwrap();
        assert_eq!((stat.st_mode, stat.st_rdev), (linux::S_IFCHR | 0o620, 0x8800));
    }
    rig.call(linux::__NR_ioctl, &[0, ioctl::TCGETS.into(), at]);
    rig.kernel.mm.slice_mut(at + 12, 1).unwrap()[0] ^= 8;
    assert_eq!(rig.call(linux::__NR_ioctl, &[0, ioctl::TCSETS.into(), at]), 0);
    assert_eq!(rig.fake.console.get().settings.local, 8, "the host's terminal is set");
    rig.call(linux::__NR_ioctl, &[1, ioctl::TCGETS.into(), at]);
    assert_eq!(rig.kernel.mm.read::<u32>(at + 12), Ok(8));
    assert_eq!(rig.call(linux::__NR_ioctl, &[1, ioctl::TIOCGWINSZ.into(), at]), 0);
    assert_eq!(rig.kernel.mm.read::<[u16; 4]>(at), Ok([24, 80, 0, 0]));
    assert_eq!(rig.call(linux::__NR_ioctl, &[1, ioctl::TIOCGPGRP.into(), at]), 0);
    assert_eq!(rig.kernel.mm.read::<u32>(at), Ok(1));
    for command in [ioctl::TCGETS, ioctl::TIOCGWINSZ] {
        assert_eq!(rig.call(linux::__NR_ioctl, &[2, command.into(), at]), errno(Errno::ENOTTY));
    }
    rig.kernel.mm.slice_mut(at, 9).unwrap().copy_from_slice(b"/dev/tty\0");
    let opened = rig.call(linux::__NR_open, &[at, linux::O_RDWR.into()]);
    assert_eq!(opened, 3);
    assert_eq!(rig.call(linux::__NR_ioctl, &[3, ioctl::TIOCGWINSZ.into(), at]), 0);
}
