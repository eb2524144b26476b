use super::*;
use crate::mm::areas::{READ, WRITE};
use crate::mm::{Mapping, Placement};
use std::vec::Vec;

const ENTRY: u64 = 0x7000_0010_0000;
const LIBC: &str = "/lib/x86_64-linux-gnu/libc.so.6";

/// Memory with the file's bytes as text: the addresses in it are its offsets, as in every small shared object.
fn mapped(bytes: &[u8], prot: u32, kind: Kind) -> (Mm, u64) {
    let mut mm = Mm::for_tests(32 << 20);
    let file = Some((Rc::from("/lib/text.so"), 0));
    let placement = Placement::Hint(0);
    let at = mm.map(Mapping { placement, len: bytes.len() as u64, prot, kind, file }).expect("there is room");
    mm.raw(at, bytes.len() as u64).copy_from_slice(bytes);
    (mm, at)
}

fn libc() -> Vec<u8> {
    std::fs::read(LIBC).expect("the tests run on Debian")
}

fn rewritten(mm: &mut Mm) -> Rewriter {
    let mut rewriter = Rewriter::default();
    rewriter.rewrite_all(mm, ENTRY);
    rewriter
}

#[test]
fn all_sites_are_found_wherever_they_lie() {
    let mut bytes = libc();
    // Across a boundary of blocks, at the very end, and half of one behind it.
    bytes[63..65].copy_from_slice(&SYSCALL);
    for end in [bytes.len(), bytes.len() / 64 * 64, bytes.len() / 64 * 64 - 63] {
        let bytes = &mut bytes[..end];
        bytes[end - 2..].copy_from_slice(&SYSCALL);
        for bytes in [&bytes[..], &bytes[..end - 1], &bytes[..1], &[]] {
            let naive = bytes.windows(2).enumerate().filter(|(_, pair)| **pair == SYSCALL);
            assert!(offsets(bytes).eq(naive.map(|(offset, _)| offset)));
        }
    }
}

#[test]
fn nearly_every_site_of_the_c_library_is_rewritten_once() {
    let (mut mm, _) = mapped(&libc(), READ | EXEC, Kind::File);
    let mut rewriter = rewritten(&mut mm);
    let counts = rewriter.counts();
    assert!(
        counts.rewritten > 450 && counts.refused < counts.rewritten / 8 && counts.crowded == 0,
        "{counts:?}"
    );
    let short = rewriter.sites.values().filter(|site| site.patched[0] == 0xeb).count();
    assert!(short > 0, "read(2) sets its number in two bytes");
    rewriter.rewrite_all(&mut mm, ENTRY);
    assert_eq!(rewriter.counts().rewritten, counts.rewritten, "what is done is done");
}

#[test]
fn only_the_replaced_instructions_and_padding_change() {
    let bytes = libc();
    let (mut mm, at) = mapped(&bytes, READ | EXEC, Kind::File);
    let rewriter = rewritten(&mut mm);
    let mut expected = bytes.clone();
    for site in rewriter.sites.values() {
        let offset = usize::try_from(site.at - at).expect("inside");
        assert_eq!(expected[offset..offset + site.original.len()], site.original);
        expected[offset..offset + site.patched.len()].copy_from_slice(&site.patched);
        if site.patched[0] == 0xeb {
            let padding = (offset + 2).checked_add_signed(isize::from(site.patched[1].cast_signed()));
            let padding = padding.expect("inside");
            let jump = near_jump(at + padding as u64, site.trampoline);
            expected[padding..padding + NEAR].copy_from_slice(&jump);
        }
    }
    assert!(mm.raw(at, bytes.len() as u64) == expected, "some other byte changed");
}

#[test]
fn the_return_from_a_signal_is_left_alone() {
    let bytes = libc();
    let (mut mm, at) = mapped(&bytes, READ | EXEC, Kind::File);
    rewritten(&mut mm);
    let site = [0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 5];
    let offset = bytes.windows(site.len()).position(|code| code == site).expect("`rt_sigreturn`");
    assert_eq!(mm.raw(at + offset as u64, site.len() as u64), site, "its description begins a byte early");
}

#[test]
fn a_trampoline_does_what_it_replaces_and_enters_pico() {
    let (mut mm, _) = mapped(&libc(), READ | EXEC, Kind::File);
    let rewriter = rewritten(&mut mm);
    for (&syscall, site) in &*rewriter.sites {
        let moved = mm.raw(site.at, syscall - site.at).to_vec();
        let code = mm.raw(site.trampoline, SLOT).to_vec();
        assert_eq!(code[..site.original.len()], site.original);
        assert_eq!(code[site.original.len()..moved.len()], moved[site.original.len()..]);
        let rest = &code[moved.len()..];
        let target = |at: usize| i32::from_le_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
        let here = site.trampoline + moved.len() as u64;
        assert_eq!(rest[..3], [0x48, 0x8d, 0x0d], "lea rcx");
        assert_eq!(here.wrapping_add_signed(i64::from(target(3)) + 7), syscall + 2);
        assert_eq!(rest[7..9], [0xff, 0x25], "jmp");
        let pointer = here.wrapping_add_signed(i64::from(target(9)) + 13);
        assert_eq!(mm.raw(pointer, 8), ENTRY.to_le_bytes());
    }
}

#[test]
fn what_is_restored_is_as_in_the_file_but_for_padding() {
    let bytes = libc();
    let (mut mm, at) = mapped(&bytes, READ | EXEC, Kind::File);
    let rewriter = rewritten(&mut mm);
    rewriter.restore(&mm, at, at + bytes.len() as u64);
    for site in rewriter.sites.values() {
        assert_eq!(mm.raw(site.at, site.original.len() as u64), site.original);
    }
}

#[test]
fn a_short_jump_does_not_outlive_the_padding_it_needs() {
    let (mut mm, _) = mapped(&libc(), READ | EXEC, Kind::File);
    let rewriter = rewritten(&mut mm);
    let short: Vec<&Site> = rewriter.sites.values().filter(|site| site.patched[0] == 0xeb).collect();
    for site in short {
        let padding = (site.at + 2).wrapping_add_signed(site.patched[1].cast_signed().into());
        rewriter.restore(&mm, padding, padding + 1);
        assert!(!site.is_in_place(&mm));
    }
}

#[test]
fn what_the_program_overwrote_is_left_alone() {
    let (mut mm, at) = mapped(&libc(), READ | EXEC, Kind::File);
    let rewriter = rewritten(&mut mm);
    let site = rewriter.sites.values().next().expect("one of hundreds");
    mm.raw(site.at, 1)[0] = 0xcc;
    rewriter.restore(&mm, at, mm.end());
    assert_eq!(mm.raw(site.at, 1), [0xcc]);
}

#[test]
fn only_text_of_files_that_cannot_be_written_is_rewritten() {
    let bytes = libc();
    let cases = [
        (READ, Kind::File),
        (READ | WRITE | EXEC, Kind::File),
        (READ | EXEC, Kind::Anonymous),
        (READ | EXEC, Kind::SharedFile),
    ];
    for (prot, kind) in cases {
        let (mut mm, at) = mapped(&bytes, prot, kind);
        assert_eq!(rewritten(&mut mm).counts(), Counts::default(), "{prot} {kind:?}");
        assert!(mm.raw(at, bytes.len() as u64) == bytes);
    }
}

#[test]
fn memory_and_trampolines_run_out_quietly() {
    let bytes = libc();
    let (mut mm, at) = mapped(&bytes, READ | EXEC, Kind::File);
    let room = at - mm.base();
    let filler = Mapping {
        placement: Placement::Hint(0),
        len: room,
        prot: READ | WRITE,
        kind: Kind::Anonymous,
        file: None,
    };
    mm.map(filler).expect("exactly what is left");
    let counts = rewritten(&mut mm).counts();
    assert!(counts.rewritten == 0 && counts.crowded > 450, "{counts:?}");
    assert!(!mm.take_refused(), "the program did not ask for it");
    assert!(mm.raw(at, bytes.len() as u64) == bytes);
}

#[test]
fn damaged_tables_are_survived() {
    let bytes = libc();
    let table =
        bytes.windows(4).position(|word| word == [1, 0x1b, 3, 0x3b]).expect("the header of the table");
    for seed in 0..40_u64 {
        let mut damaged = bytes.clone();
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let end = if seed.is_multiple_of(2) { table + 0x8000 } else { 0x400 };
        let start = if seed.is_multiple_of(2) { table } else { 0 };
        for _ in 0..200 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let offset = start + usize::try_from(state % (end - start) as u64).expect("inside");
            damaged[offset] = state.to_le_bytes()[7];
        }
        let (mut mm, _) = mapped(&damaged, READ | EXEC, Kind::File);
        rewritten(&mut mm);
    }
}

#[test]
fn a_large_text_is_rewritten_site_by_site_when_they_are_hot() {
    let (mut mm, at) = mapped(&libc(), READ | EXEC, Kind::File);
    let (mut other, there) = mapped(&libc(), READ | EXEC, Kind::File);
    let syscall = *rewritten(&mut other).sites.keys().next().expect("one of hundreds") - there + at;
    let mut rewriter = Rewriter::default();
    for _ in 1..4 {
        rewriter.rewrite_hot(&mut mm, ENTRY, syscall);
    }
    rewriter.forget(at..mm.end());
    for _ in 0..4 {
        assert_eq!(rewriter.counts().rewritten, 0);
        rewriter.rewrite_hot(&mut mm, ENTRY, syscall);
    }
    assert_eq!(rewriter.counts().rewritten, 1);
}

#[test]
fn a_text_of_which_no_functions_are_known_is_looked_through_once() {
    let mut bytes = libc();
    bytes[0] = 0;
    let (mut mm, at) = mapped(&bytes, READ | EXEC, Kind::File);
    let mut rewriter = Rewriter::default();
    for _ in 0..4 {
        rewriter.rewrite_hot(&mut mm, ENTRY, at + 0x3_0000);
    }
    assert!(rewriter.undescribed.contains(&at));
    rewriter.rewrite_hot(&mut mm, ENTRY, at + 0x4_0008);
    assert!(rewriter.seen.has(at + 0x4_0008), "at its first trap");
    rewriter.forget(at..at + PAGE);
    assert!(rewriter.undescribed.is_empty());
}
