//! select(2) and pselect6(2).

use super::poll::read_mask;
use super::{Args, Entry, Support};
use crate::errno::{Errno, Result};
use crate::file::{FD_MAX, Ready};
use crate::kernel::Kernel;
use crate::poll::timeout::{Form, Timeout};
use crate::poll::{Sources, look_until};
use linux_raw_sys::general as c;

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    Entry { number: c::__NR_select, name: "select", support: Support::Full, handler: select },
    Entry { number: c::__NR_pselect6, name: "pselect6", support: Support::Full, handler: pselect6 },
];

/// 64-bit words of a full `fd_set`.
const WORDS: usize = FD_MAX / 64;

/// The three sets: to read, to write, with exceptional conditions.
type Sets = [[u64; WORDS]; 3];

fn select(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let timeout = Timeout::read(kernel, args.raw(4), Form::Timeval)?;
    select_until(kernel, args, &timeout)
}

fn pselect6(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let timeout = Timeout::read(kernel, args.raw(4), Form::Timespec)?;
    let [mask, bytes]: [u64; 2] = if args.raw(5) == 0 { [0, 0] } else { kernel.mm.read(args.raw(5))? };
    let mask = read_mask(kernel, mask, bytes)?;
    kernel.with_mask(mask, |kernel| select_until(kernel, args, &timeout))
}

fn select_until(kernel: &mut Kernel, args: &Args, timeout: &Timeout) -> Result<u64> {
    let count = usize::try_from(args.int(0)).map_err(|_| Errno::EINVAL)?.min(FD_MAX);
    let words = count.div_ceil(64);
    let mut wanted: Sets = [[0; WORDS]; 3];
    for (set, index) in wanted.iter_mut().zip(1..) {
        if args.raw(index) != 0 {
            let bytes = kernel.mm.slice_mut(args.raw(index), words * 8)?;
            for (word, raw) in set.iter_mut().zip(bytes.chunks_exact(8)) {
                *word = u64::from_ne_bytes(raw.try_into().expect("8 bytes"));
            }
            let beyond = count % 64;
            if beyond != 0 {
                set[words - 1] &= (1 << beyond) - 1;
            }
        }
    }
    check_open(kernel, &wanted)?;
    let found = look_until(kernel, timeout.deadline, |kernel, now, sources| {
        let found = look(kernel, now, sources, &wanted);
        found.iter().flatten().any(|&word| word != 0).then_some(found)
    });
    if matches!(found, Err(Errno::EINTR)) {
        timeout.write_back(kernel);
    }
    let found = found?.unwrap_or([[0; WORDS]; 3]);
    for (set, index) in found.iter().zip(1..) {
        if args.raw(index) != 0 {
            let bytes = kernel.mm.slice_mut(args.raw(index), words * 8)?;
            for (word, raw) in set.iter().zip(bytes.chunks_exact_mut(8)) {
                raw.copy_from_slice(&word.to_ne_bytes());
            }
        }
    }
    timeout.write_back(kernel);
    Ok(found.iter().flatten().map(|word| u64::from(word.count_ones())).sum())
}

/// The descriptors of a set with the place of their bit.
fn members(set: &[u64; WORDS]) -> impl Iterator<Item = (usize, u64)> {
    (0..FD_MAX).map(|fd| (fd / 64, 1 << (fd % 64))).filter(|&(word, bit)| set[word] & bit != 0)
}

fn number(word: usize, bit: u64) -> u64 {
    word as u64 * 64 + u64::from(bit.trailing_zeros())
}

fn check_open(kernel: &Kernel, wanted: &Sets) -> Result<()> {
    wanted.iter().flat_map(members).try_for_each(|(word, bit)| kernel.fds.get(number(word, bit)).map(|_| ()))
}

fn look(kernel: &Kernel, now: u64, sources: &mut Sources, wanted: &Sets) -> Sets {
    let readable = Ready::IN | Ready::HUP | Ready::ERR;
    let writable = Ready::OUT | Ready::ERR;
    let mut found = [[0; WORDS]; 3];
    for (set, (due, incoming)) in
        [(readable, true), (writable, false), (Ready::PRI, false)].into_iter().enumerate()
    {
        for (word, bit) in members(&wanted[set]) {
            let Ok(descriptor) = kernel.fds.get(number(word, bit)) else { continue };
            let file = &descriptor.open.file;
            file.tick(now);
            sources.add(&descriptor.open, incoming);
            if file.ready().intersects(due) {
                found[set][word] |= bit;
            }
        }
    }
    found
}
