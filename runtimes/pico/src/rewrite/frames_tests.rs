use super::*;
use crate::mm::areas::{EXEC, Kind, READ};
use crate::mm::{Mapping, Placement};
use std::process::Command;
use std::string::String;

/// The C library in memory, and where.
fn library() -> (Mm, u64, Vec<u8>) {
    let bytes = std::fs::read("/lib/x86_64-linux-gnu/libc.so.6").expect("the tests run on Debian");
    let (mm, at) = mapped(&bytes);
    (mm, at, bytes)
}

fn mapped(bytes: &[u8]) -> (Mm, u64) {
    let mut mm = Mm::for_tests(8 << 20);
    let (placement, len) = (Placement::Hint(0), bytes.len() as u64);
    let mapping = Mapping { placement, len, prot: READ | EXEC, kind: Kind::File, file: None };
    let at = mm.map(mapping).expect("there is room");
    mm.raw(at, len).copy_from_slice(bytes);
    (mm, at)
}

/// Start and size of `section`, as binutils tell.
fn section(name: &str) -> Range<usize> {
    let _alone = crate::platform::fake::alone_with_linux();
    let output = Command::new("objdump").args(["-h", "/lib/x86_64-linux-gnu/libc.so.6"]).output();
    let text = String::from_utf8(output.expect("binutils come with the compiler").stdout).expect("text");
    let row = text.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let row = row.clone().find(|row| row.get(1) == Some(&name)).expect("it has the section");
    let number = |index: usize| usize::from_str_radix(row[index], 16).expect("a number");
    number(5)..number(5) + number(2)
}

#[test]
fn every_function_of_the_table_is_found_without_the_table() {
    let (mm, at, bytes) = library();
    let (frames, text) = (section(".eh_frame"), section(".text"));
    // What lies before the section is as it may lie before it in a program.
    let segment = at + frames.start as u64 / 4096 * 4096..at + frames.end as u64;
    let text = at + text.start as u64..at + text.end as u64;
    let found = functions(&mm, &segment, &text).expect("it has functions");
    assert!(found.is_sorted_by_key(|function| function.start));
    let header = section(".eh_frame_hdr").start;
    let count = word(&bytes, header + 8).expect("a count");
    let (mut known, mut missing) = (0, Vec::new());
    for number in 0..count as usize {
        let distance = word(&bytes, header + 12 + 8 * number).expect("an entry").cast_signed();
        let start = (at + header as u64).wrapping_add_signed(distance.into());
        let is_found = found.binary_search_by_key(&start, |function| function.start).is_ok();
        missing.extend((!is_found && text.contains(&start)).then_some(start));
        known += u32::from(is_found);
    }
    let is_return = |start: &u64| mm.raw(start + 1, 7) == [0x48, 0xc7, 0xc0, 15, 0, 0, 0];
    assert!(
        missing.len() == 1 && missing.iter().all(is_return),
        "only the return from a signal: {missing:x?}"
    );
    assert!(known > 3000 && found.len() <= known as usize + 8, "{known} of {count}, {} found", found.len());
}

#[test]
fn what_is_damaged_describes_nothing_or_less() {
    let (_, _, bytes) = library();
    let frames = section(".eh_frame");
    let section = &bytes[frames];
    for seed in 0..40_u64 {
        let mut damaged = section.to_vec();
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for _ in 0..1 << (seed % 10) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let offset = usize::try_from(state % damaged.len() as u64).expect("inside");
            damaged[offset] = state.to_le_bytes()[7];
        }
        let (mm, at) = mapped(&damaged);
        let everything = 0..u64::MAX;
        let _ = functions(&mm, &(at..at + damaged.len() as u64), &everything);
        let cut = at + state % damaged.len() as u64;
        assert_eq!(functions(&mm, &(at..cut / 4 * 4), &everything), None, "without an end mark");
    }
}

#[test]
fn as_many_functions_are_listed_as_may_be() {
    let common = [20, 0, 0, 0, 0, 0, 0, 0, 1, b'z', b'R', 0, 1, 0x78, 16, 1, 0x1b, 0, 0, 0, 0, 0, 0, 0];
    for (count, is_listed) in [(FUNCTIONS_MAX, true), (FUNCTIONS_MAX + 1, false)] {
        let mut section = common.to_vec();
        for _ in 0..count {
            let back = u32::try_from(section.len() + 4).expect("small");
            for word in [16, back, 16, 8, 0] {
                section.extend(word.to_le_bytes());
            }
        }
        section.extend([0; 4]);
        let (mm, at) = mapped(&section);
        let found = functions(&mm, &(at..at + section.len() as u64), &(0..u64::MAX));
        assert_eq!(found.map(|found| found.len()), is_listed.then_some(count));
    }
}
