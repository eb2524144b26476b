use super::*;
use crate::file::{File, Ready};

const KEY: Key = (1, 2);

fn read(instance: &Inotify, room: usize) -> Result<Vec<u8>> {
    let mut buf = alloc::vec![0xff; room];
    instance.read(0, &mut buf).map(|count| buf[..count].to_vec())
}

/// Number, mask, cookie and name of every event.
fn events(instance: &Inotify) -> Vec<(i32, u32, u32, Vec<u8>)> {
    let Ok(bytes) = read(instance, 1 << 20) else { return Vec::new() };
    let (mut at, mut events) = (0, Vec::new());
    while at < bytes.len() {
        let word = |index: usize| u32::from_ne_bytes(bytes[at + index * 4..][..4].try_into().unwrap());
        let len = word(3) as usize;
        let name = bytes[at + 16..at + 16 + len].split(|&byte| byte == 0).next().unwrap_or_default();
        events.push((word(0).cast_signed(), word(1), word(2), name.to_vec()));
        at += 16 + len;
    }
    events
}

fn named(mask: u32, name: &[u8]) -> Event<'_> {
    Event { mask, cookie: 0, name, unlinked: false }
}

#[test]
fn events_are_read_whole_and_equal_ones_once() {
    let notifier = Notifier::default();
    let instance = notifier.instance().unwrap();
    assert!(!notifier.is_active());
    let wd = instance.watch(KEY, None, c::IN_MODIFY | c::IN_CREATE).unwrap();
    assert!(notifier.is_active());
    assert_eq!((read(&instance, 100), instance.ready()), (Err(Errno::EAGAIN), Ready::empty()));
    for _ in 0..3 {
        notifier.tell(KEY, &named(c::IN_MODIFY, b"a"));
    }
    notifier.tell(KEY, &named(c::IN_CREATE, b"sixteen bytes ab"));
    notifier.tell(KEY, &named(c::IN_DELETE, b"not asked for"));
    notifier.tell((1, 3), &named(c::IN_MODIFY, b"not watched"));
    assert_eq!(instance.ioctl(linux_raw_sys::ioctl::FIONREAD, 0), Ok(32 + 48));
    assert_eq!(read(&instance, 31), Err(Errno::EINVAL), "the first does not fit");
    assert_eq!(read(&instance, 32 + 47).unwrap().len(), 32, "the second does not fit");
    assert_eq!(events(&instance), [(wd, c::IN_CREATE, 0, b"sixteen bytes ab".to_vec())]);
}

#[test]
fn masks_are_replaced_added_to_or_protected() {
    let instance = Notifier::default().instance().unwrap();
    let wd = instance.watch(KEY, None, c::IN_MODIFY).unwrap();
    assert_eq!(instance.watch(KEY, None, c::IN_CREATE | c::IN_MASK_ADD), Ok(wd));
    instance.tell(KEY, &Event::plain(c::IN_MODIFY));
    assert_eq!(instance.watch(KEY, None, c::IN_CREATE), Ok(wd));
    instance.tell(KEY, &Event::plain(c::IN_MODIFY));
    assert_eq!(events(&instance).len(), 1);
    assert_eq!(instance.watch(KEY, None, c::IN_CREATE | c::IN_MASK_CREATE), Err(Errno::EEXIST));
    assert_eq!(check_mask(c::IN_MASK_ADD | c::IN_MASK_CREATE | c::IN_OPEN), Err(Errno::EINVAL));
    assert_eq!([check_mask(0), check_mask(1 << 20)], [Err(Errno::EINVAL); 2]);
    assert_eq!(check_mask(c::IN_ALL_EVENTS | c::IN_ONESHOT), Ok(()));
}

#[test]
fn one_shot_and_removed_watches_end() {
    let notifier = Notifier::default();
    let instance = notifier.instance().unwrap();
    let first = instance.watch(KEY, None, c::IN_MODIFY | c::IN_ONESHOT).unwrap();
    notifier.tell(KEY, &Event::plain(c::IN_MODIFY));
    notifier.tell(KEY, &Event::plain(c::IN_MODIFY));
    let second = instance.watch(KEY, None, c::IN_MODIFY).unwrap();
    instance.unwatch(second).unwrap();
    assert_eq!(instance.unwatch(second), Err(Errno::EINVAL));
    let ignored = |wd| (wd, c::IN_IGNORED, 0, Vec::new());
    assert_eq!(events(&instance), [(first, c::IN_MODIFY, 0, Vec::new()), ignored(first), ignored(second)]);
    assert!(!notifier.is_active());
}

#[test]
fn a_full_queue_says_so_once_and_goes_on_when_read() {
    let notifier = Notifier::default();
    let instance = notifier.instance().unwrap();
    let wd = instance.watch(KEY, None, c::IN_MODIFY | c::IN_CREATE).unwrap();
    for turn in 0..EVENTS_MAX + 10 {
        let mask = if turn % 2 == 0 { c::IN_MODIFY } else { c::IN_CREATE };
        notifier.tell(KEY, &named(mask, b"x"));
    }
    let told = events(&instance);
    assert_eq!(told.last(), Some(&(-1, c::IN_Q_OVERFLOW, 0, Vec::new())));
    assert_eq!(told.len(), EVENTS_MAX + 1);
    notifier.tell(KEY, &named(c::IN_CREATE, b"y"));
    assert_eq!(events(&instance), [(wd, c::IN_CREATE, 0, b"y".to_vec())]);
    assert_eq!(notifier.bytes.left(), EVENT_BYTES_MAX);
}

#[test]
fn all_limits_are_shared_and_given_back() {
    let notifier = Notifier::default();
    let all: Vec<_> = (0..INSTANCES_MAX).map(|_| notifier.instance().unwrap()).collect();
    assert_eq!(notifier.instance().err(), Some(Errno::EMFILE));
    for file in 0..WATCHES_MAX as u64 {
        all[usize::try_from(file).unwrap() % 2].watch((0, file), None, c::IN_MODIFY).unwrap();
    }
    assert_eq!(all[2].watch(KEY, None, c::IN_MODIFY), Err(Errno::ENOSPC));
    let long = [b'n'; 255];
    for turn in 0..3000_u64 {
        notifier.tell((0, turn % 2), &named(c::IN_MODIFY, &long[..usize::try_from(turn % 255).unwrap() + 1]));
    }
    assert!(notifier.bytes.left() < 400, "{}", notifier.bytes.left());
    drop(all);
    assert_eq!((notifier.bytes.left(), notifier.is_active()), (EVENT_BYTES_MAX, false));
    assert!(notifier.instance().is_ok());
}

#[test]
fn open_files_without_a_name_are_told_of_unless_excluded() {
    let notifier = Notifier::default();
    let (all, named) = (notifier.instance().unwrap(), notifier.instance().unwrap());
    let wd = all.watch(KEY, None, c::IN_MODIFY).unwrap();
    named.watch(KEY, None, c::IN_MODIFY | c::IN_EXCL_UNLINK).unwrap();
    notifier.tell(KEY, &Event { mask: c::IN_MODIFY, cookie: 0, name: b"gone", unlinked: true });
    assert_eq!(events(&all), [(wd, c::IN_MODIFY, 0, b"gone".to_vec())]);
    assert_eq!(events(&named), []);
}
