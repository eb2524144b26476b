use super::*;
use crate::errno::Result as SysResult;
use crate::platform::fake::Fake;
use abi::layout::PAGE;
use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec;
use core::any::Any;
use linux_raw_sys::general::stat as Stat;
use proptest::prelude::*;
use std::vec::Vec;

/// A file in memory.
struct Bytes(Vec<u8>);

impl File for Bytes {
    fn read(&self, offset: u64, buf: &mut [u8]) -> SysResult<usize> {
        let rest = self.0.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        // Short reads are allowed and must be coped with.
        let len = rest.len().min(buf.len()).min(1000);
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write(&self, _offset: u64, _buf: &[u8]) -> SysResult<usize> {
        Err(Errno::EROFS)
    }

    fn stat(&self) -> SysResult<Stat> {
        Err(Errno::ENOSYS)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A program header.
struct Header {
    kind: u32,
    flags: u32,
    offset: u64,
    va: u64,
    file: u64,
    memory: u64,
}

fn elf(kind: u16, entry: u64, headers: &[Header]) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    bytes[16..18].copy_from_slice(&kind.to_le_bytes());
    bytes[18..20].copy_from_slice(&62u16.to_le_bytes());
    bytes[24..32].copy_from_slice(&entry.to_le_bytes());
    bytes[32..40].copy_from_slice(&64u64.to_le_bytes());
    bytes[54..56].copy_from_slice(&56u16.to_le_bytes());
    bytes[56..58].copy_from_slice(&u16::try_from(headers.len()).unwrap().to_le_bytes());
    for header in headers {
        bytes.extend(header.kind.to_le_bytes());
        bytes.extend(header.flags.to_le_bytes());
        for value in [header.offset, header.va, header.va, header.file, header.memory, PAGE] {
            bytes.extend(value.to_le_bytes());
        }
    }
    bytes
}

fn load_header(offset: u64, va: u64, file: u64, memory: u64) -> Header {
    Header { kind: 1, flags: 7, offset, va, file, memory }
}

/// A position-independent program of two segments: its headers and text, and 8 bytes of data with bss.
fn program() -> Vec<u8> {
    let mut bytes = elf(3, 0x200, &[load_header(0, 0, 0x800, 0x800), load_header(0x800, 0x1800, 8, 0x2000)]);
    bytes.resize(0x800, 0x90);
    bytes.extend(b"datadata");
    bytes
}

struct Setup {
    kernel: Kernel,
    fake: Rc<Fake>,
    files: BTreeMap<&'static str, Vec<u8>>,
}

impl Setup {
    fn new(files: &[(&'static str, Vec<u8>)]) -> Self {
        let (kernel, fake) = Kernel::for_tests();
        Self { kernel, fake, files: files.iter().cloned().collect() }
    }

    fn load(&mut self, args: &[&[u8]]) -> Result<Registers, LoadError> {
        let files = self.files.clone();
        let path = core::str::from_utf8(args[0]).unwrap();
        load(&mut self.kernel, path, args, &[b"A=1"], &mut |_, path| {
            let bytes = files.get(path).ok_or(Errno::ENOENT)?;
            Ok(Rc::new(Bytes(bytes.clone())))
        })
    }

    fn word(&self, addr: u64) -> u64 {
        self.kernel.mm.read(addr).unwrap()
    }

    fn string(&self, addr: u64) -> &'static [u8] {
        self.kernel.mm.c_str(addr, 4096).unwrap()
    }

    fn auxiliary(&self, mut at: u64) -> BTreeMap<u64, u64> {
        let mut vector = BTreeMap::new();
        while self.word(at) != 0 {
            vector.insert(self.word(at), self.word(at + 8));
            at += 16;
        }
        vector
    }
}

#[test]
fn a_program_finds_its_segments_and_its_stack() {
    let mut setup = Setup::new(&[("/bin/p", program())]);
    let registers = setup.load(&[b"/bin/p", b"x"]).unwrap();
    let base = registers.rip - 0x200;
    assert_eq!(setup.kernel.mm.slice(base + 0x1800, 9).unwrap(), b"datadata\0");
    assert_eq!(setup.word(base + 0x3000), 0, "bss");
    assert_eq!(setup.kernel.mm.brk(0), base + 0x4000);
    let rsp = registers.rsp;
    assert_eq!((rsp % 16, setup.word(rsp)), (0, 2));
    assert_eq!(setup.string(setup.word(rsp + 8)), b"/bin/p");
    assert_eq!(setup.string(setup.word(rsp + 16)), b"x");
    assert_eq!((setup.word(rsp + 24), setup.word(rsp + 40)), (0, 0));
    assert_eq!(setup.string(setup.word(rsp + 32)), b"A=1");
    let auxiliary = setup.auxiliary(rsp + 48);
    assert_eq!(auxiliary[&3], base + 64, "AT_PHDR");
    assert_eq!((auxiliary[&5], auxiliary[&6], auxiliary[&7]), (2, PAGE, 0));
    assert_eq!(auxiliary[&9], registers.rip, "AT_ENTRY");
    assert_eq!(setup.string(auxiliary[&31]), b"/bin/p", "AT_EXECFN");
    assert_eq!(setup.string(auxiliary[&15]), b"x86_64", "AT_PLATFORM");
    assert_ne!(setup.word(auxiliary[&25]), 0, "AT_RANDOM");
    assert_eq!(&setup.kernel.threads.process_name(1)[..2], b"p\0");
}

#[test]
fn a_dynamic_program_starts_in_its_interpreter() {
    let interpreter = Header { kind: 3, flags: 4, offset: 0x400, va: 0x400, file: 7, memory: 7 };
    let mut bytes = elf(3, 0x200, &[load_header(0, 0, 0x800, 0x800), interpreter]);
    bytes.resize(0x400, 0);
    bytes.extend(b"/ld.so\0");
    bytes.resize(0x800, 0);
    let mut setup = Setup::new(&[("/p", bytes), ("/ld.so", program())]);
    let registers = setup.load(&[b"/p"]).unwrap();
    let auxiliary = setup.auxiliary(registers.rsp + 40);
    assert_eq!(auxiliary[&7] + 0x200, registers.rip, "AT_BASE");
    assert_ne!(auxiliary[&9], registers.rip, "AT_ENTRY is the program's");
    setup.files.remove("/ld.so");
    let mut setup = Setup::new(&[("/p", setup.files["/p"].clone())]);
    let error = setup.load(&[b"/p"]).unwrap_err();
    assert_eq!(error.to_string(), "its interpreter /ld.so: not found");
}

#[test]
fn scripts_run_their_interpreter_with_one_argument() {
    let script = b"#! /bin/p  -x y \nrest".to_vec();
    let mut setup = Setup::new(&[("/bin/p", program()), ("/s", script)]);
    let rsp = setup.load(&[b"/s", b"1"]).unwrap().rsp;
    let args: Vec<_> = (0..setup.word(rsp)).map(|i| setup.string(setup.word(rsp + 8 + 8 * i))).collect();
    assert_eq!(args, [&b"/bin/p"[..], b"-x y", b"/s", b"1"]);
}

#[test]
fn scripts_that_lead_nowhere_are_refused() {
    let mut long = b"#!/".to_vec();
    long.resize(500, b'a');
    for script in [&b"#!"[..], b"#!\n", b"#!  \nx", b"#!\xff\xfe\n", &long] {
        let mut setup = Setup::new(&[("/s", script.to_vec())]);
        assert!(matches!(setup.load(&[b"/s"]), Err(LoadError::Malformed(_))), "{script:?}");
    }
    let mut setup = Setup::new(&[("/s", b"#!/t\n".to_vec()), ("/t", b"#!/s\n".to_vec())]);
    let mut error = setup.load(&[b"/s"]).unwrap_err();
    while let LoadError::Interpreter(_, why) = error {
        error = Rc::try_unwrap(why).unwrap();
    }
    assert_eq!(error, LoadError::Io(Errno::ELOOP));
}

#[test]
fn programs_for_other_machines_are_named() {
    let mut arm = program();
    arm[18] = 183;
    let mut setup = Setup::new(&[("/p", arm)]);
    let text = setup.load(&[b"/p"]).unwrap_err().to_string();
    assert!(text.starts_with("exec format error: built for aarch64 (64 bit)"), "{text}");
    let mut old = program();
    (old[4], old[18]) = (1, 3);
    let mut setup = Setup::new(&[("/p", old)]);
    assert_eq!(setup.load(&[b"/p"]), Err(LoadError::Machine { machine: 3, bits: 32 }));
}

#[test]
fn every_cut_of_a_program_is_refused() {
    let whole = program();
    for len in (0..180).chain((180..whole.len()).step_by(97)) {
        let mut setup = Setup::new(&[("/p", whole[..len].to_vec())]);
        let error = setup.load(&[b"/p"]).unwrap_err();
        assert!(matches!(error, LoadError::NotAProgram | LoadError::Truncated), "{len}: {error:?}");
    }
}

#[test]
fn segments_that_make_no_sense_are_refused() {
    let cases: [(u16, Header, &str); 7] = [
        (3, load_header(0, 0, 0x100, 0x10), "larger in the file"),
        (3, load_header(0, u64::MAX - 5, 0, 0x10), "wraps around"),
        (3, load_header(u64::MAX - 5, 0, 0x10, 0x10), "no file has an offset"),
        (3, load_header(u64::MAX, 0, 0, 0x10), "no file has an offset"),
        (3, load_header(0, 1 << 60, 0, 0x10), "out of reach"),
        (3, load_header(0, 0, 0, 1 << 40), "does not fit"),
        (2, load_header(0, 0x40_0000, 0, 0x10), "outside of the function's memory"),
    ];
    for (kind, header, text) in cases {
        let mut setup = Setup::new(&[("/p", elf(kind, 0, &[header]))]);
        let error = setup.load(&[b"/p"]).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
    let mut setup = Setup::new(&[("/p", elf(3, 0, &[Header { kind: 6, ..load_header(0, 0, 0, 0) }]))]);
    assert!(matches!(setup.load(&[b"/p"]), Err(LoadError::Malformed(_))));
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    let huge = vec![b'a'; 1 << 20];
    let mut setup = Setup::new(&[("/p", program())]);
    assert_eq!(setup.load(&[b"/p", &huge]), Err(LoadError::NoMemory));
}

#[test]
fn what_cannot_start_is_logged_and_ends_like_in_a_shell() {
    for (bytes, status, text) in [
        (None, 127, "/p: not found\n"),
        (Some(b"text".to_vec()), 126, "/p: exec format error: neither an ELF program nor a script with #!\n"),
    ] {
        let mut setup = Setup::new(&[]);
        let started = start(&mut setup.kernel, &[b"/p"], &[], &mut |_, _| {
            bytes.clone().map_or(Err(Errno::ENOENT), |bytes| Ok(Rc::new(Bytes(bytes)) as Rc<dyn File>))
        });
        assert!(started.is_none());
        assert_eq!(*setup.fake.rings.borrow(), vec![(Doorbell::Exit, [status, 0, 0, 0])]);
        assert_eq!(setup.fake.logged(3), text.as_bytes());
    }
}

/// A file of an image: its contents can be mapped as they are.
struct OfImage(&'static [u8]);

impl File for OfImage {
    fn read(&self, offset: u64, buf: &mut [u8]) -> SysResult<usize> {
        Bytes(self.0.to_vec()).read(offset, buf)
    }

    fn stat(&self) -> SysResult<Stat> {
        Bytes(Vec::new()).stat()
    }

    fn image_slice(&self) -> Option<&'static [u8]> {
        Some(self.0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A program whose text lies in several segments, as linkers make them, and which names an interpreter.
fn in_pieces() -> Vec<u8> {
    let text = |at, len| Header { flags: 5, ..load_header(at, at, len, len) };
    let interpreter = Header { kind: 3, ..load_header(0x1f0, 0x1f0, 4, 4) };
    let data = load_header(0x3000, 0x4000, 8, 0x3000);
    let mut bytes = elf(3, 0x1200, &[text(0, 0x1000), text(0x1000, 0x2000), data, interpreter]);
    bytes.resize(0x3000, 0x90);
    bytes[0x1f0..0x1f4].copy_from_slice(b"/ld\0");
    bytes.extend(b"datadata");
    bytes
}

/// A number that a field should not have.
fn odd() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(u64::MAX),
        (0..64u32, -2..3i64).prop_map(|(bit, off)| (1u64 << bit).wrapping_add_signed(off)),
        (0..0x5000u64),
        any::<u64>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]
    /// Whatever the headers of a program and its interpreter say, loading ends with a program or an error.
    #[test]
    fn damaged_headers_are_survived(
        bytes in prop::collection::vec((0usize..290, any::<u8>()), 0..4),
        fields in prop::collection::vec((0usize..36, odd()), 0..5),
        of_image: bool,
        which in 0..2,
    ) {
        let mut files = [in_pieces(), program()];
        let target = &mut files[usize::from(which == 1)];
        for (at, byte) in bytes {
            target[at] = byte;
        }
        for (field, value) in fields {
            target[8 * field..8 * field + 8].copy_from_slice(&value.to_le_bytes());
        }
        let (mut kernel, _) = Kernel::for_tests();
        let _ = load(&mut kernel, "/p", &[b"/p"], &[b"A=1"], &mut |_, path| {
            let bytes = match path { "/p" => &files[0], "/ld" => &files[1], _ => return Err(Errno::ENOENT) };
            Ok(if of_image { Rc::new(OfImage(bytes.clone().leak())) } else { Rc::new(Bytes(bytes.clone())) as Rc<dyn File> })
        });
    }
}
