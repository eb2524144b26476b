use super::*;
use std::process::Command;
use std::string::String;
use std::vec::Vec;

/// Address and bytes of every instruction of the host's C library, as binutils see them.
fn listing(path: &str) -> Vec<(u64, Vec<u8>)> {
    let _alone = crate::platform::fake::alone_with_linux();
    let output = Command::new("objdump").args(["-dw", "--insn-width=15", path]).output();
    let output = output.expect("binutils come with the compiler");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("objdump writes text");
    text.lines().filter_map(instruction).collect()
}

fn instruction(line: &str) -> Option<(u64, Vec<u8>)> {
    let mut columns = line.trim_start().split('\t');
    let address = u64::from_str_radix(columns.next()?.strip_suffix(':')?, 16).ok()?;
    let bytes = columns.next()?.split_ascii_whitespace();
    let bytes = bytes.map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<_, _>>().ok()?;
    let text = columns.next()?;
    // `objdump` prints prefixes on their own where they mean nothing, and `fwait` as part of what follows.
    (!text.contains("(bad)") && !text.starts_with("data16 ") && !text.starts_with("rex"))
        .then_some((address, bytes))
}

#[test]
fn lengths_agree_with_binutils_over_the_c_library() {
    let listing = listing("/lib/x86_64-linux-gnu/libc.so.6");
    assert!(listing.len() > 100_000, "{} instructions", listing.len());
    let mut wrong = Vec::new();
    for (address, bytes) in &listing {
        let found = Instruction::decode(bytes).map(|found| found.len);
        if found != Some(bytes.len()) {
            wrong.push(std::format!("{address:#x}: {bytes:02x?} is {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}: {:#?}", wrong.len(), listing.len(), &wrong[..wrong.len().min(20)]);
}

#[test]
fn what_is_cut_off_is_no_instruction() {
    let whole: [&[u8]; 6] = [
        &[0xb8, 1, 0, 0, 0],
        &[0x48, 0x8b, 0x44, 0x24, 8],
        &[0x0f, 5],
        &[0xc5, 0xf8, 0x77],
        &[0x62, 0xf1, 0xfe, 0x48, 0x6f, 7],
        &[0x66, 0x0f, 0x3a, 0x0f, 0xc1, 8],
    ];
    for code in whole {
        assert_eq!(Instruction::decode(code).map(|found| found.len), Some(code.len()), "{code:02x?}");
        for len in 0..code.len() {
            assert_eq!(Instruction::decode(&code[..len]), None, "{code:02x?} cut to {len}");
        }
    }
    assert_eq!(Instruction::decode(&[0x66; 20]), None, "nothing but prefixes");
}

#[test]
fn only_what_cannot_fault_or_branch_is_movable() {
    let movable = |code: &[u8]| Instruction::decode(code).expect("an instruction").is_movable();
    assert!(movable(&[0xb8, 1, 0, 0, 0]), "mov $1, %eax");
    assert!(movable(&[0x48, 0xc7, 0xc0, 15, 0, 0, 0]), "mov $15, %rax");
    assert!(movable(&[0x31, 0xc0]), "xor %eax, %eax");
    assert!(movable(&[0x4c, 0x8b, 0x4c, 0x24, 8]), "mov 8(%rsp), %r9");
    assert!(movable(&[0x48, 0x8d, 0x74, 0x24, 8]), "lea 8(%rsp), %rsi");
    assert!(!movable(&[0x48, 0x8d, 0x35, 0, 0, 0, 0]), "lea 0(%rip), %rsi");
    assert!(!movable(&[0x8b, 0x05, 0, 0, 0, 0]), "mov 0(%rip), %eax");
    assert!(!movable(&[0x41, 0x8b, 0x70, 0x10]), "mov 0x10(%r8), %esi");
    assert!(!movable(&[0xe8, 0, 0, 0, 0]), "call");
    assert!(!movable(&[0x74, 0]), "je");
    assert!(!movable(&[0x48, 0xf7, 0xf1]), "div %rcx");
    assert!(!movable(&[0x64, 0x8b, 0x04, 0x25, 0, 0, 0, 0]), "mov %fs:0, %eax");
    assert!(!movable(&[0xc7, 0xf8, 0, 0, 0, 0]), "xbegin");
    assert!(!movable(&[0x0f, 5]), "syscall");
}
