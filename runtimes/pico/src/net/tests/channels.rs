//! The streams and queues between sockets, against simple models.

use crate::errno::Errno;
use crate::net::budget::Budget;
use crate::net::channel::{Channel, PIPE_BUF};
use crate::net::envelope::Envelope;
use crate::net::flow::Way;
use crate::net::messages::{Messages, Received};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use proptest::prelude::*;

/// Nothing beside the bytes.
fn none() -> Envelope {
    Envelope::default()
}

#[derive(Clone, Debug)]
enum Step {
    Write(usize),
    Read(usize, bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0usize..9000).prop_map(Step::Write),
        (0usize..9000, any::<bool>()).prop_map(|(len, peek)| Step::Read(len, peek)),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn a_channel_is_a_bounded_queue_of_bytes(atomic in any::<bool>(), steps in steps()) {
        let budget = Budget::new(1 << 20);
        let channel = Channel::new(10_000, atomic, budget.clone());
        let mut model = VecDeque::new();
        let mut next = 0u8;
        for step in steps {
            match step {
                Step::Write(len) => {
                    let bytes: Vec<u8> = (0..len).map(|_| { next = next.wrapping_add(1); next }).collect();
                    let room = 10_000 - model.len();
                    let whole = atomic && len <= PIPE_BUF;
                    let result = channel.write(&bytes);
                    if len == 0 {
                        prop_assert_eq!(result, Ok(0));
                    } else if room == 0 || (whole && room < len) {
                        prop_assert_eq!(result, Err(Errno::EAGAIN));
                    } else {
                        prop_assert_eq!(result, Ok(len.min(room)));
                        model.extend(&bytes[..len.min(room)]);
                    }
                }
                Step::Read(len, peek) => {
                    let mut buf = std::vec![0; len];
                    let result = channel.read(&mut buf, peek);
                    let expected: Vec<u8> = model.iter().copied().take(len).collect();
                    if len > 0 && expected.is_empty() {
                        prop_assert_eq!(result, Err(Errno::EAGAIN));
                    } else {
                        prop_assert_eq!(result, Ok(expected.len()));
                        prop_assert_eq!(&buf[..expected.len()], &expected[..]);
                        if !peek {
                            model.drain(..expected.len());
                        }
                    }
                }
            }
            prop_assert_eq!(channel.pending(), model.len());
            prop_assert_eq!(budget.left(), (1 << 20) - model.len());
        }
        drop(channel);
        prop_assert_eq!(budget.left(), 1 << 20);
    }
}

#[test]
fn both_ends_of_a_channel_see_the_other_go() {
    let budget = Budget::new(100);
    let channel = Channel::new(50, false, budget.clone());
    assert_eq!(channel.write(b"abc"), Ok(3));
    channel.flow().close_write();
    let mut buf = [0; 2];
    assert_eq!(channel.read(&mut buf, false), Ok(2));
    assert_eq!(channel.read(&mut buf, false), Ok(1));
    assert_eq!(channel.read(&mut buf, false), Ok(0));
    let channel = Channel::new(50, false, budget.clone());
    assert_eq!(channel.write(b"abc"), Ok(3));
    channel.close_read();
    assert_eq!(channel.write(b"d"), Err(Errno::EPIPE));
    assert_eq!(budget.left(), 100);
}

#[test]
fn activity_tells_each_end_what_is_new_to_it() {
    let channel = Channel::new(4, false, Budget::new(1 << 20));
    let (reader, writer) = (channel.flow().read_activity(), channel.flow().write_activity());
    assert_eq!(channel.write(b"abcd"), Ok(4));
    assert_ne!(channel.flow().read_activity(), reader, "there is something to read");
    let mut buf = [0; 1];
    assert_eq!(channel.read(&mut buf, false), Ok(1));
    assert_eq!(channel.flow().write_activity(), writer, "the writer never found it full");
    assert_eq!(channel.write(b"ef"), Ok(1));
    assert_eq!(channel.read(&mut buf, false), Ok(1));
    assert_ne!(channel.flow().write_activity(), writer, "there is room again");
}

#[test]
fn a_channel_gives_memory_back_as_it_is_read() {
    let channel = Channel::new(100_000, false, Budget::new(1 << 20));
    assert_eq!(channel.write(&[1; 100_000]), Ok(100_000));
    let mut buf = [0; 1000];
    while channel.pending() > 1000 {
        assert_eq!(channel.read(&mut buf, false), Ok(1000));
        let (held, needed) = (channel.memory(), channel.pending());
        assert!(held <= needed * 4 + 4096, "{held} for {needed}");
    }
    assert_eq!(channel.read(&mut buf, false), Ok(1000));
    assert_eq!(channel.memory(), 0);
}

#[test]
fn a_budget_limits_channels_together() {
    let budget = Budget::new(10);
    let (one, other) = (Channel::new(50, false, budget.clone()), Channel::new(50, true, budget.clone()));
    assert_eq!(one.write(&[1; 20]), Ok(10));
    assert_eq!(one.write(&[1]), Err(Errno::EAGAIN), "its reader can make room");
    assert_eq!(other.write(&[1]), Err(Errno::ENOBUFS));
    let mut buf = [0; 4];
    assert_eq!(one.read(&mut buf, false), Ok(4));
    assert_eq!(other.write(&[1; 5]), Err(Errno::ENOBUFS), "it goes in whole or not at all");
    assert_eq!(other.write(&[1; 4]), Ok(4));
}

#[test]
fn streams_that_nobody_reads_leave_room_for_others() {
    let budget = Budget::new(1 << 20);
    let full: Vec<Channel> = (0..60).map(|_| Channel::new(200_000, false, budget.clone())).collect();
    for channel in &full {
        assert!(channel.write(&[1; 300_000]).is_ok_and(|len| len >= PIPE_BUF));
        assert_eq!(channel.write(&[1]), Err(Errno::EAGAIN));
        assert!(!channel.writable());
    }
    let mut buf = [0; 200_000];
    assert_eq!(full[9].read(&mut buf, false).map(|_| full[9].writable()), Ok(true));
}

#[test]
fn messages_stay_whole_and_are_limited_in_size_and_number() {
    let budget = Budget::new(1 << 20);
    let queue = Messages::new(1000, budget.clone());
    assert_eq!(queue.send(&[1; 937], &mut none()), Err(Errno::EMSGSIZE));
    assert_eq!(queue.send(&[1; 600], &mut none()), Ok(600));
    assert_eq!(queue.send(&[2; 600], &mut none()), Err(Errno::EAGAIN));
    let mut buf = [0; 100];
    assert_eq!(queue.receive(&mut buf, true, &mut none()), Ok(Received { len: 100, full: 600 }));
    assert_eq!(queue.receive(&mut buf, false, &mut none()), Ok(Received { len: 100, full: 600 }));
    assert_eq!(queue.receive(&mut buf, false, &mut none()), Err(Errno::EAGAIN));
    let empty = (0..100).take_while(|_| queue.send(&[], &mut none()).is_ok()).count();
    assert_eq!(empty, 15);
    queue.close_read();
    assert_eq!(budget.left(), 1 << 20);
    assert_eq!(queue.send(&[], &mut none()), Err(Errno::EPIPE));
}
