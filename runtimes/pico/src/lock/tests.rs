use super::*;
use crate::fs::rig::Rig;
use linux_raw_sys::general as linux;
use std::string::String;

const FILE: FileId = (1, 2);

fn lock(pid: u32, exclusive: bool, first: u64, last: u64) -> Lock {
    Lock { owner: Owner::Process(pid), pid, exclusive, first, last }
}

fn take(locks: &Locks, lock: &Lock) -> Result<()> {
    locks.take(FILE, Family::Records, lock)
}

/// A generator of numbers, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % limit
    }
}

/// Who has each byte: what the locks must come to.
type Bytes = [[Option<bool>; 16]; 3];

fn check(locks: &Locks, bytes: &Bytes) {
    for (pid, own) in (1..).zip(bytes) {
        for (at, &byte) in (0..).zip(own) {
            let found = locks.own(FILE, &lock(pid, true, at, at));
            assert_eq!(found.map(|lock| lock.exclusive), byte, "process {pid}, byte {at}");
        }
    }
    let files = locks.files.borrow();
    let records = files.get(&FILE).map_or(&[][..], |file| &file.records);
    assert_eq!(records.len(), locks.count.get());
    for pair in records.windows(2).filter(|pair| pair[0].owner == pair[1].owner) {
        assert!(pair[0].last < pair[1].first, "in order: {pair:?}");
        assert!(
            pair[0].last + 1 < pair[1].first || pair[0].exclusive != pair[1].exclusive,
            "merged: {pair:?}"
        );
    }
}

#[test]
fn whatever_is_locked_and_unlocked_every_byte_is_whose_it_should_be() {
    let (locks, mut bytes, mut numbers) = (Locks::default(), Bytes::default(), Numbers(7));
    for _ in 0..5000 {
        let (pid, exclusive) = (numbers.below(3), numbers.below(2) == 1);
        let (one, other) = (numbers.below(16), numbers.below(16));
        let range = usize::try_from(one.min(other)).unwrap()..=usize::try_from(one.max(other)).unwrap();
        let own = usize::try_from(pid).unwrap();
        let wanted = lock(u32::try_from(pid).unwrap() + 1, exclusive, one.min(other), one.max(other));
        if numbers.below(3) == 0 {
            locks.release(FILE, Family::Records, &wanted).unwrap();
            bytes[own][range].fill(None);
        } else {
            let is_in_the_way = |other: &[Option<bool>; 16]| {
                other[range.clone()].iter().flatten().any(|&has| has || exclusive)
            };
            let refused = (0..3).any(|other| other != own && is_in_the_way(&bytes[other]));
            assert_eq!(take(&locks, &wanted), if refused { Err(Errno::EAGAIN) } else { Ok(()) });
            if !refused {
                bytes[own][range].fill(Some(exclusive));
            }
        }
        check(&locks, &bytes);
    }
    (1..=3).for_each(|pid| locks.forget_process(pid));
    assert!(locks.is_empty() && locks.files.borrow().is_empty(), "nothing is kept of files without locks");
}

#[test]
fn there_are_so_many_locks_and_what_would_make_one_more_is_refused() {
    let locks = Locks::default();
    for at in 0..LOCKS_MAX as u64 {
        take(&locks, &lock(1, true, at * 4, at * 4 + 2)).expect("room");
    }
    assert_eq!(take(&locks, &lock(2, true, 1 << 40, 1 << 40)), Err(Errno::ENOLCK));
    assert_eq!(locks.take((3, 4), Family::Whole, &lock(2, true, 0, LAST)), Err(Errno::ENOLCK));
    assert_eq!(locks.files.borrow().len(), 1, "a file without locks");
    let middle = lock(1, true, 1, 1);
    assert_eq!(locks.release(FILE, Family::Records, &middle), Err(Errno::ENOLCK), "it would be two");
    assert_eq!(locks.own(FILE, &middle).map(|own| (own.first, own.last)), Some((0, 2)), "as it was");
    assert_eq!(take(&locks, &lock(1, true, 3, 3)), Ok(()), "three become one");
    assert_eq!(locks.release(FILE, Family::Records, &middle), Ok(()));
    assert_eq!(take(&locks, &lock(2, true, 1 << 40, 1 << 40)), Err(Errno::ENOLCK));
    locks.forget_process(1);
    locks.forget_process(2);
    assert!(locks.is_empty());
}

#[test]
fn who_would_wait_for_himself_is_told_and_open_files_wait_for_nobody() {
    let locks = Locks::default();
    for pid in 1..=3u32 {
        take(&locks, &lock(pid, true, pid.into(), pid.into())).unwrap();
    }
    let wish = |pid: u32, at: u64| lock(pid, true, at, at);
    let wait = |pid: u32, at: u64| locks.wait(pid, FILE, Family::Records, &wish(pid, at));
    assert_eq!(wait(1, 2), Ok(()));
    assert_eq!(wait(2, 3), Ok(()));
    assert_eq!(wait(3, 1), Err(Errno::EDEADLK));
    assert_eq!(wait(4, 1), Ok(()), "nobody waits for it");
    let open = Lock { owner: Owner::Open(1), ..wish(3, 1) };
    assert_eq!(locks.wait(5, FILE, Family::Records, &open), Ok(()));
    locks.stop_waiting(2);
    assert_eq!(wait(3, 1), Ok(()));
    // 2 has given up what 1 waits for: whatever the waiters still say, there is no cycle.
    locks.forget(FILE, Owner::Process(2));
    assert_eq!(wait(2, 3), Ok(()));
}

#[test]
fn an_open_file_takes_its_locks_along_and_the_report_names_everybody() {
    let locks: Rc<Locks> = Rc::default();
    let (one, other) = (Holder::new(&locks, FILE), Holder::new(&locks, FILE));
    let whole = |holder: &Holder| Lock { owner: holder.owner(), ..lock(7, false, 0, LAST) };
    locks.take(FILE, Family::Whole, &whole(&one)).unwrap();
    locks.take(FILE, Family::Whole, &whole(&other)).unwrap();
    locks.take(FILE, Family::Records, &Lock { exclusive: true, last: 9, ..whole(&one) }).unwrap();
    take(&locks, &lock(8, false, 10, LAST)).unwrap();
    locks.wait(1, FILE, Family::Records, &lock(9, true, 5, 5)).unwrap();
    let expected = "1: FLOCK  ADVISORY  READ 7 00:01:2 0 EOF\n2: FLOCK  ADVISORY  READ 7 00:01:2 0 EOF\n\
                    3: OFDLCK ADVISORY  WRITE -1 00:01:2 0 9\n3: -> POSIX  ADVISORY  WRITE 9 00:01:2 5 5\n\
                    4: POSIX  ADVISORY  READ 8 00:01:2 10 EOF\n";
    assert_eq!(locks.report(), expected);
    drop(one);
    assert!(locks.conflict(FILE, Family::Records, &lock(9, true, 5, 5)).is_none());
    drop(other);
    assert_eq!(locks.report(), "1: POSIX  ADVISORY  READ 8 00:01:2 10 EOF\n");
    assert_eq!(
        report::line((0x0010_3207, 5), Family::Records, &lock(1, true, 0, 3)).split(' ').nth(6),
        Some("32:107:5")
    );
}

#[test]
fn however_many_wait_for_however_many_locks_the_report_is_short() {
    let locks: Rc<Locks> = Rc::default();
    let places = 0..LOCKS_MAX as u64;
    places.for_each(|at| take(&locks, &lock(1, false, 2 * at, 2 * at)).unwrap());
    assert_eq!(take(&locks, &lock(2, false, 1, 1)), Err(Errno::ENOLCK), "the limit");
    for tid in 2..502 {
        locks.wait(tid, FILE, Family::Records, &lock(tid, true, 0, LAST)).unwrap();
    }
    assert_eq!(locks.report().lines().count(), LOCKS_MAX + 500, "each waits for one");
}

#[test]
fn one_processs_locks_are_gone_with_any_descriptor_it_closes() {
    let mut rig = Rig::new();
    let open = |rig: &mut Rig| rig.open("/tmp/locked", linux::O_RDWR | linux::O_CREAT).cast_unsigned();
    let (first, second) = (open(&mut rig), open(&mut rig));
    let wish = linux::flock { l_type: 1, l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 };
    rig.kernel.mm.put(rig.buffer, &wish).unwrap();
    for fd in [first, second] {
        let buffer = rig.buffer;
        assert_eq!(rig.call(linux::__NR_fcntl, &[first, linux::F_SETLK.into(), buffer]), 0);
        assert_eq!(rig.call(linux::__NR_flock, &[first, linux::LOCK_EX.into()]), 0);
        assert_eq!(rig.kernel.locks.report().lines().count(), 2, "{}", rig.kernel.locks.report());
        assert_eq!(rig.call(linux::__NR_close, &[fd]), 0);
        let left: Vec<String> = rig.kernel.locks.report().lines().map(String::from).collect();
        if fd == first {
            assert_eq!(left, Vec::<String>::new());
            assert_eq!(open(&mut rig), first);
        } else {
            assert_eq!(left.len(), 1, "the open file has kept its own: {left:?}");
        }
    }
    assert_eq!(rig.kernel.locks.count.get(), 1);
}
