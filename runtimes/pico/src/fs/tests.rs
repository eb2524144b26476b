use super::rig::{EVERYTHING, Rig, err};
use crate::errno::Errno;
use crate::file::{File, Ready};
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use linux_raw_sys::general as linux;
use std::format;

fn utf8(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn files_of_the_image_are_read_in_place_and_cannot_be_changed() {
    let mut rig = Rig::new();
    for (path, size) in [("/files/9000", 9000), ("/var/task/files/4097", 4097), ("/files/0", 0)] {
        assert_eq!(rig.read_all(path).unwrap().len(), size);
        let file = rig.kernel.resolve(path.as_bytes()).unwrap().open(&rig.kernel).unwrap();
        let slice = file.image_slice().unwrap();
        assert_eq!(slice.len(), size);
        let inside = EVERYTHING.as_ptr_range().contains(&slice.as_ptr());
        assert!(inside || size == 0);
    }
    for flags in [linux::O_WRONLY, linux::O_RDWR, linux::O_TRUNC, linux::O_WRONLY | linux::O_CREAT] {
        assert_eq!(rig.open("/files/1", flags), err(Errno::EROFS), "{flags:#x}");
    }
    assert_eq!(rig.open("/files/new", linux::O_WRONLY | linux::O_CREAT), err(Errno::EROFS));
    assert_eq!(rig.on(linux::__NR_unlink, "/files/1", &[]), err(Errno::EROFS));
    assert_eq!(rig.on(linux::__NR_mkdir, "/newdir", &[0o755]), err(Errno::EROFS));
    assert_eq!(rig.on(linux::__NR_mkdir, "/files", &[0o755]), err(Errno::EEXIST));
    assert_eq!(rig.on(linux::__NR_chmod, "/files/1", &[0o755]), err(Errno::EROFS));
    assert_eq!(rig.on(linux::__NR_access, "/files/1", &[linux::W_OK.into()]), err(Errno::EROFS));
    assert_eq!(rig.on(linux::__NR_access, "/files/1", &[linux::X_OK.into()]), err(Errno::EACCES));
    assert_eq!(rig.on(linux::__NR_truncate, "/files/1", &[0]), err(Errno::EROFS));
    assert_eq!(rig.on(linux::__NR_rmdir, "/tmp", &[]), err(Errno::EBUSY));
}

#[test]
fn mount_points_appear_even_if_the_image_lacks_them() {
    let mut rig = Rig::new();
    let root = rig.names("/").unwrap();
    for name in [".", "..", "files", "tmp", "var", "dev", "proc", "sys", "run"] {
        assert_eq!(root.iter().filter(|other| *other == name).count(), 1, "{name} in {root:?}");
    }
    assert_eq!(rig.names("/var").unwrap(), [".", "..", "tmp", "task"]);
    assert!(rig.names("/var/task").unwrap().contains(&"files".to_string()));
    assert!(rig.names("/dev").unwrap().contains(&"shm".to_string()));
    assert_eq!(rig.stat("/var").unwrap().st_mode, linux::S_IFDIR | 0o755);
    assert_eq!(rig.stat("/tmp").unwrap().st_mode, linux::S_IFDIR | 0o1777);
    assert_eq!(rig.names("/many").unwrap().len(), 102);
    assert_eq!(rig.write_all("/var/tmp/x", b"1"), 1);
    assert_eq!(rig.write_all("/var/x", b"1"), err(Errno::EROFS));
    assert_eq!(rig.stat("/var/tmp/../task/files/1").unwrap().st_size, 1);
    let devices: Vec<u64> =
        ["/", "/var/task", "/tmp", "/dev/shm"].map(|path| rig.stat(path).unwrap().st_dev).to_vec();
    assert!(devices.iter().enumerate().all(|(index, dev)| !devices[..index].contains(dev)));
}

#[test]
fn no_image_is_an_empty_tree_and_a_damaged_one_says_so() {
    let mut rig = Rig::with(&[], &[]);
    assert_eq!(rig.names("/").unwrap(), [".", "..", "dev", "proc", "sys", "tmp", "var", "run"]);
    assert_eq!(rig.stat("/var/task").err(), Some(err(Errno::ENOENT)));
    let mut rig = Rig::with(EVERYTHING, b"nonsense");
    assert_eq!(rig.stat("/var/task/app.py").err(), Some(err(Errno::EUCLEAN)));
    assert_eq!(rig.names("/var/task").err(), Some(err(Errno::EUCLEAN)));
}

#[test]
fn links_and_dots_lead_where_they_say() {
    let mut rig = Rig::new();
    let link = |rig: &mut Rig, target: &str, path: &str| {
        let (target, path) = (rig.path(target), rig.path(path));
        assert_eq!(rig.call(linux::__NR_symlink, &[target, path]), 0);
    };
    link(&mut rig, "../files", "/tmp/files");
    link(&mut rig, "loop2", "/tmp/loop1");
    link(&mut rig, "loop1", "/tmp/loop2");
    link(&mut rig, "/var/task/", "/tmp/package");
    link(&mut rig, "nowhere", "/tmp/dangling");
    assert_eq!(rig.read_all("/links/file").unwrap().len(), 1);
    assert_eq!(rig.read_all("/tmp/files/../files/4095").unwrap().len(), 4095);
    assert_eq!(rig.read_all("/tmp/package/links/file").unwrap().len(), 1);
    assert_eq!(rig.read_all("/../../files/1").unwrap().len(), 1);
    assert_eq!(rig.read_all("/tmp/loop1").err(), Some(err(Errno::ELOOP)));
    assert_eq!(rig.read_all("/tmp/dangling").err(), Some(err(Errno::ENOENT)));
    assert_eq!(rig.read_all("/links/longest").err(), Some(err(Errno::ENAMETOOLONG)));
    assert_eq!(rig.read_all("/files/1/").err(), Some(err(Errno::ENOTDIR)));
    assert_eq!(rig.read_all("/files/1/..").err(), Some(err(Errno::ENOTDIR)));
    assert_eq!(rig.read_all("").err(), Some(err(Errno::ENOENT)));
    assert_eq!(rig.open("/tmp/files", linux::O_NOFOLLOW), err(Errno::ELOOP));
    assert!(rig.open("/tmp/files/", linux::O_NOFOLLOW) >= 0);
    assert_eq!(rig.write_all("/tmp/dangling", b"made"), 4);
    assert_eq!(rig.read_all("/tmp/nowhere").unwrap(), b"made");
    let deep = "/tmp/.".repeat(700);
    assert_eq!(rig.stat(&deep).err(), Some(err(Errno::ENAMETOOLONG)));
    assert_eq!(rig.stat(format!("/tmp/{}", "x".repeat(256))).err(), Some(err(Errno::ENAMETOOLONG)));
}

#[test]
fn forty_links_are_followed_and_no_more() {
    let mut rig = Rig::new();
    for index in 0..41 {
        let (target, path) = (rig.path(format!("l{}", index + 1)), rig.path(format!("/tmp/l{index}")));
        assert_eq!(rig.call(linux::__NR_symlink, &[target, path]), 0);
    }
    assert_eq!(rig.write_all("/tmp/l41", b"end"), 3);
    assert_eq!(rig.read_all("/tmp/l1").unwrap(), b"end");
    assert_eq!(rig.read_all("/tmp/l0").err(), Some(err(Errno::ELOOP)));
}

#[test]
fn the_current_directory_moves_with_what_it_is() {
    let mut rig = Rig::new();
    let cwd = |rig: &mut Rig| {
        let len = rig.call(linux::__NR_getcwd, &[rig.buffer, 4096]);
        usize::try_from(len).map(|len| utf8(rig.bytes(len - 1).to_vec())).map_err(|_| len)
    };
    assert_eq!(cwd(&mut rig).unwrap(), "/");
    assert_eq!(rig.on(linux::__NR_mkdir, "/tmp/a", &[0o755]), 0);
    assert_eq!(rig.on(linux::__NR_mkdir, "/tmp/a/b", &[0o755]), 0);
    assert_eq!(rig.on(linux::__NR_chdir, "/tmp/a/b", &[]), 0);
    let (from, to) = (rig.path("/tmp/a"), rig.path("/tmp/moved"));
    assert_eq!(rig.call(linux::__NR_rename, &[from, to]), 0);
    assert_eq!(cwd(&mut rig).unwrap(), "/tmp/moved/b");
    assert_eq!(rig.write_all("../file", b"x"), 1);
    assert_eq!(rig.read_all("/tmp/moved/file").unwrap(), b"x");
    assert_eq!(rig.on(linux::__NR_rmdir, "/tmp/moved/b", &[]), 0);
    assert_eq!(cwd(&mut rig).err(), Some(err(Errno::ENOENT)));
    assert_eq!(rig.write_all("file", b"x"), err(Errno::ENOENT));
    assert_eq!(rig.call(linux::__NR_getcwd, &[rig.buffer, 0]), err(Errno::ENOENT));
    assert_eq!(rig.on(linux::__NR_chdir, "/files/1", &[]), err(Errno::ENOTDIR));
    assert_eq!(rig.on(linux::__NR_chdir, "/files", &[]), 0);
    assert_eq!(rig.call(linux::__NR_getcwd, &[rig.buffer, 6]), err(Errno::ERANGE));
    assert_eq!(rig.call(linux::__NR_getcwd, &[rig.buffer, 7]), 7);
}

#[test]
fn devices_do_what_they_are_for() {
    let mut rig = Rig::new();
    let read = |rig: &mut Rig, path: &str| {
        let fd = u64::try_from(rig.open(path, linux::O_RDWR)).unwrap();
        rig.bytes(64).fill(7);
        let read = rig.call(linux::__NR_read, &[fd, rig.buffer, 64]);
        let bytes = rig.bytes(64).to_vec();
        let written = rig.call(linux::__NR_write, &[fd, rig.buffer, 64]);
        (read, bytes, written)
    };
    assert_eq!(read(&mut rig, "/dev/null"), (0, [7; 64].to_vec(), 64));
    assert_eq!(read(&mut rig, "/dev/zero"), (64, [0; 64].to_vec(), 64));
    assert_eq!(read(&mut rig, "/dev/full"), (64, [0; 64].to_vec(), err(Errno::ENOSPC)));
    let (one, two) = (read(&mut rig, "/dev/urandom").1, read(&mut rig, "/dev/random").1);
    assert!(one != two && one.iter().any(|&byte| byte != 7));
    assert_eq!(rig.open("/dev/tty", linux::O_RDWR), err(Errno::ENXIO));
    let fd = rig.open("/dev/zero", linux::O_RDWR).unsigned_abs();
    assert_eq!(rig.call(linux::__NR_lseek, &[fd, 9, linux::SEEK_SET.into()]), 0);
    let stat = rig.stat("/dev/null").unwrap();
    assert_eq!((stat.st_mode, stat.st_rdev), (linux::S_IFCHR | 0o666, 0x103));
    assert_eq!(rig.read_link("/dev/fd").unwrap(), b"/proc/self/fd");
}

#[test]
fn standard_streams_are_the_log() {
    let mut rig = Rig::new();
    let text = rig.bytes(3);
    text.copy_from_slice(b"abc");
    assert_eq!(rig.call(linux::__NR_read, &[0, rig.buffer, 10]), 0);
    assert_eq!(rig.call(linux::__NR_write, &[1, rig.buffer, 3]), 3);
    assert_eq!(rig.call(linux::__NR_write, &[2, rig.buffer, 2]), 2);
    assert_eq!(rig.write_all("/dev/stderr", b"again"), 5);
    assert_eq!((rig.fake.logged(1), rig.fake.logged(2)), (b"abc".to_vec(), b"abagain".to_vec()));
    assert_eq!(rig.call(linux::__NR_read, &[1, rig.buffer, 1]), err(Errno::EBADF));
    assert_eq!(rig.call(linux::__NR_lseek, &[1, 0, 1]), err(Errno::ESPIPE));
    assert_eq!(
        rig.call(linux::__NR_ioctl, &[1, linux_raw_sys::ioctl::TCGETS.into(), rig.buffer]),
        err(Errno::ENOTTY)
    );
    let iov = rig.buffer + 1024;
    rig.kernel.mm.write(iov, &[rig.buffer, 1, rig.buffer + 1, 2]).unwrap();
    rig.bytes(3).copy_from_slice(b"xyz");
    assert_eq!(rig.call(linux::__NR_writev, &[1, iov, 2]), 3);
    assert_eq!(rig.fake.logs.borrow().last().unwrap(), &(1, b"xyz".to_vec()), "one record");
}

#[test]
fn a_registered_device_is_opened_by_its_maker() {
    let mut rig = Rig::new();
    assert!(rig.names("/dev").unwrap().contains(&"invocation".to_string()));
    let fd = rig.open("/dev/invocation", linux::O_RDWR);
    let open = rig.kernel.fds.get(fd.unsigned_abs()).unwrap().open.clone();
    assert!(open.file.takes_request());
    rig.fake.requests.borrow_mut().push_back(b"{}".to_vec());
    assert_eq!(rig.call(linux::__NR_read, &[fd.unsigned_abs(), rig.buffer, 100]), 2);
    assert_eq!(rig.bytes(2), b"{}");
    assert!(open.file.ready().contains(Ready::OUT));
}

#[test]
fn reseeding_reaches_open_random_devices() {
    let rig = Rig::new();
    let device = rig.kernel.resolve(b"/dev/urandom").unwrap().open(&rig.kernel).unwrap();
    let take = |device: &Rc<dyn File>| {
        let mut bytes = [0; 16];
        device.read(0, &mut bytes).unwrap();
        bytes
    };
    rig.kernel.random.reseed(&[1; 32]);
    let one = take(&device);
    rig.kernel.random.reseed(&[2; 32]);
    assert_ne!(one, take(&device));
    rig.kernel.random.reseed(&[1; 32]);
    assert_eq!(one, take(&device));
}

#[test]
fn descriptors_are_links_in_proc() {
    let mut rig = Rig::new();
    assert_eq!(rig.read_link("/proc/self").unwrap(), b"1");
    assert_eq!(rig.read_link("/proc/self/fd/1").unwrap(), b"log:[1]");
    assert_eq!(rig.names("/proc/self/fd").unwrap(), [".", "..", "0", "1", "2", "3"]);
    let fd = rig.open("/tmp/file", linux::O_CREAT | linux::O_RDWR);
    assert_eq!(fd, 3);
    rig.bytes(4).copy_from_slice(b"data");
    assert_eq!(rig.call(linux::__NR_write, &[3, rig.buffer, 4]), 4);
    assert_eq!(rig.on(linux::__NR_unlink, "/tmp/file", &[]), 0);
    assert_eq!(rig.read_link("/proc/self/fd/3").unwrap(), b"/tmp/file (deleted)");
    assert_eq!(rig.read_all("/dev/fd/3").unwrap(), b"data");
    assert_eq!(rig.read_all("/proc/self/fd/3/x").err(), Some(err(Errno::ENOTDIR)));
    assert_eq!(rig.read_all("/proc/self/fd/9").err(), Some(err(Errno::ENOENT)));
    assert_eq!(rig.read_all("/proc/self/fd/03").err(), Some(err(Errno::ENOENT)));
    let used = rig.kernel.mm.used();
    assert_eq!(rig.call(linux::__NR_close, &[3]), 0);
    assert_eq!(rig.kernel.mm.used(), used - 4096);
    assert_eq!(rig.open("/tmp", linux::O_DIRECTORY), 3);
    assert_eq!(rig.stat("/proc/self/fd/3/../files/1").unwrap().st_size, 1);
}

#[test]
fn generated_texts_are_readable_and_true() {
    let mut rig = Rig::new();
    rig.kernel.vfs.place.program.exe = b"/usr/bin/python3".to_vec();
    assert_eq!(rig.read_link("/proc/self/exe").unwrap(), b"/usr/bin/python3");
    rig.kernel.vfs.place.program.exe = b"links/file".to_vec();
    assert_eq!(rig.read_link("/proc/self/exe").unwrap(), b"/files/1");
    rig.kernel.vfs.place.program.arguments = Rc::from(*b"python3\0-c\0");
    assert_eq!(rig.read_all("/proc/self/cmdline").unwrap(), b"python3\0-c\0");
    let mut text = |path: &str| utf8(rig.read_all(path).unwrap_or_else(|errno| panic!("{path}: {errno}")));
    assert!(text("/proc/meminfo").starts_with("MemTotal:           4096 kB\nMemFree:"));
    assert_eq!(text("/proc/self/stat").split_whitespace().count(), 52);
    assert!(text("/proc/self/status").contains("\nThreads:\t1\n"));
    assert!(text("/proc/self/maps").lines().count() >= 1);
    assert!(text("/proc/mounts").contains("tmpfs /dev/shm tmpfs rw,"));
    assert!(text("/proc/self/mountinfo").contains(" /var/task ro,"));
    assert!(text("/proc/self/limits").contains("Max open files            1024"));
    assert_eq!(text("/proc/uptime"), "5.00 0.00\n");
    assert_eq!(text("/sys/devices/system/cpu/online"), "0\n");
    assert_eq!(text("/proc/sys/kernel/random/boot_id"), "00000000-0000-4000-8000-000000000000\n");
    let (one, two) = (text("/proc/sys/kernel/random/uuid"), text("/proc/sys/kernel/random/uuid"));
    assert!(one != two && one.len() == 37 && one.as_bytes()[14] == b'4');
    for path in ["/proc/cpuinfo", "/proc/stat", "/proc/version", "/proc/filesystems", "/proc/loadavg"] {
        assert!(text(path).ends_with('\n'), "{path}");
    }
    for path in ["/proc/self/task/1/comm", "/proc/1/statm", "/proc/thread-self/status", "/proc/self/cgroup"] {
        assert!(!text(path).is_empty(), "{path}");
    }
    assert_eq!(rig.open("/proc/version", linux::O_WRONLY), err(Errno::EACCES));
    assert_eq!(rig.names("/proc/sys/vm").unwrap(), [".", "..", "max_map_count", "overcommit_memory"]);
    assert_eq!(rig.on(linux::__NR_mkdir, "/proc/x", &[0o755]), err(Errno::EROFS));
}

#[test]
fn programs_are_opened_for_execution() {
    let rig = Rig::new();
    let open = |path: &[u8]| rig.kernel.open_for_exec(path).map(|file| file.size());
    assert_eq!(open(b"/names/\xff\xfe not text"), Ok(1));
    assert_eq!(open(b"/files/1"), Err(Errno::EACCES));
    assert_eq!(open(b"/files"), Err(Errno::EACCES));
    assert_eq!(open(b"/none"), Err(Errno::ENOENT));
}

/// The next names of an open directory, as far as a small buffer holds them.
fn next_names(rig: &mut Rig, fd: u64, size: u64) -> Vec<String> {
    let got = rig.call(linux::__NR_getdents64, &[fd, rig.buffer, size]);
    let mut rest: &[u8] = rig.bytes(usize::try_from(got).unwrap());
    let mut names = Vec::new();
    while !rest.is_empty() {
        let len = usize::from(u16::from_ne_bytes([rest[16], rest[17]]));
        names.push(utf8(rest[19..len].split(|&byte| byte == 0).next().unwrap().to_vec()));
        rest = &rest[len..];
    }
    names.retain(|name| name != "." && name != "..");
    names
}

#[test]
fn a_listing_ends_although_names_are_made_meanwhile() {
    let mut rig = Rig::new();
    assert_eq!(rig.on(linux::__NR_mkdir, "/tmp/d", &[0o755]), 0);
    for index in 0..20 {
        assert_eq!(rig.write_all(format!("/tmp/d/{index}"), b""), 0);
    }
    for size in [24, 100, 4096] {
        let fd = u64::try_from(rig.open("/tmp/d", linux::O_DIRECTORY)).unwrap();
        let round = |rig: &mut Rig| {
            let mut told = 0;
            while told < 200 {
                // The dots fill a small buffer alone.
                let at = rig.call(linux::__NR_lseek, &[fd, 0, linux::SEEK_CUR.into()]);
                let names = next_names(rig, fd, size);
                if names.is_empty() && rig.call(linux::__NR_lseek, &[fd, 0, linux::SEEK_CUR.into()]) == at {
                    break;
                }
                for name in names {
                    let (from, to) =
                        (rig.path(format!("/tmp/d/{name}")), rig.path(format!("/tmp/d/{name}x")));
                    assert_eq!(rig.call(linux::__NR_rename, &[from, to]), 0);
                    told += 1;
                }
            }
            told
        };
        assert_eq!(round(&mut rig), 20, "{size}");
        assert_eq!(round(&mut rig), 0, "{size}");
        assert_eq!(rig.call(linux::__NR_lseek, &[fd, 0, linux::SEEK_SET.into()]), 0);
        assert_eq!(round(&mut rig), 20, "{size}");
        assert_eq!(rig.call(linux::__NR_close, &[fd]), 0);
    }
}

#[test]
fn a_listing_without_a_beginning_ends_too_and_mounts_are_still_told() {
    let mut rig = Rig::new();
    let fd = u64::try_from(rig.open("/tmp", linux::O_DIRECTORY)).unwrap();
    assert_eq!(rig.call(linux::__NR_lseek, &[fd, 2, linux::SEEK_SET.into()]), 2);
    assert_eq!(rig.write_all("/tmp/later", b""), 0);
    assert!(next_names(&mut rig, fd, 4096).is_empty());
    assert_eq!(rig.call(linux::__NR_lseek, &[fd, 0, linux::SEEK_SET.into()]), 0);
    assert_eq!(next_names(&mut rig, fd, 4096), ["later"]);
    // A directory of the image with mounts in it.
    let fd = u64::try_from(rig.open("/var", linux::O_DIRECTORY)).unwrap();
    assert_eq!(next_names(&mut rig, fd, 4096), ["tmp", "task"]);
}
