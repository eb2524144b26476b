//! What an ELF header says about a file. The file is the user's and may be anything.

use serde::{Deserialize, Serialize};

const MAGIC: &[u8] = b"\x7fELF";
const MACHINE_X86_64: u16 = 62;
const MACHINES: &[(u16, &str)] = &[
    (2, "sparc"),
    (3, "i386"),
    (8, "mips"),
    (20, "powerpc"),
    (21, "powerpc64"),
    (22, "s390x"),
    (40, "arm"),
    (43, "sparc64"),
    (MACHINE_X86_64, "x86-64"),
    (183, "aarch64"),
    (243, "riscv"),
    (247, "bpf"),
    (258, "loongarch"),
];

const HEADER_BYTES: usize = 64;
const PROGRAM_HEADER_BYTES: usize = 56;
const TYPE_EXECUTABLE: u16 = 2;
const TYPE_SHARED: u16 = 3;
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_FLAGS_1: u64 = 0x6fff_fffb;
const DF_1_PIE: u64 = 0x0800_0000;
/// Longest path of a program loader that is read.
const INTERPRETER_MAX: usize = 256;

/// What kind of ELF file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ElfKind {
    /// Can be started.
    Program,
    /// A shared library, or an extension module.
    Library,
    /// An object file, a core dump or something else that cannot be started.
    Other,
}

/// The parts of an ELF file that decide whether it can run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elf {
    /// What kind it is.
    pub kind: ElfKind,
    /// The architecture it was built for: `x86-64`, `aarch64`, ...
    pub machine: String,
    /// The program loader it asks for, if it is dynamically linked.
    pub interpreter: Option<String>,
    /// What is wrong with it; such a file cannot be started.
    pub defect: Option<String>,
}

impl Elf {
    /// Whether it was built for the architecture that functions run on.
    pub fn is_native(&self) -> bool {
        self.machine == "x86-64"
    }
}

/// Looks at a file; `None` if it is no ELF file at all.
pub fn inspect(file: &[u8]) -> Option<Elf> {
    if !file.starts_with(MAGIC) {
        return None;
    }
    let machine = machine(file);
    let broken = |machine: String, defect: &str| Elf {
        kind: ElfKind::Program,
        machine,
        interpreter: None,
        defect: Some(defect.to_owned()),
    };
    if machine != "x86-64" {
        // Whatever else it is, it cannot run here; its type is at the same place in all classes.
        let kind = match u16_at(file, 16) {
            Some(TYPE_SHARED) | Some(TYPE_EXECUTABLE) | None => ElfKind::Program,
            Some(_) => ElfKind::Other,
        };
        return Some(Elf { kind, machine, interpreter: None, defect: None });
    }
    Some(match Headers::read(file) {
        Ok(headers) => Elf {
            kind: headers.kind(file),
            machine,
            interpreter: headers.interpreter(file),
            defect: headers.defect(file),
        },
        Err(defect) => broken(machine, defect),
    })
}

/// The architecture, with the word size where it is not the usual one.
fn machine(file: &[u8]) -> String {
    let (class, order) = (file.get(4).copied(), file.get(5).copied());
    let number = match order {
        Some(2) => u16_at(file, 18).map(u16::swap_bytes),
        _ => u16_at(file, 18),
    };
    let Some(number) = number else { return "unknown (the file is cut short)".to_owned() };
    let name = MACHINES.iter().find(|(known, _)| *known == number).map(|(_, name)| *name);
    match (name, class, order) {
        (Some("x86-64"), Some(2), Some(1)) => "x86-64".to_owned(),
        (Some("x86-64"), Some(1), _) => "x86-64 in 32-bit mode (x32)".to_owned(),
        (Some("x86-64"), _, _) => "x86-64 with an impossible header".to_owned(),
        (Some(name), _, _) => name.to_owned(),
        (None, _, _) => format!("machine number {number}"),
    }
}

struct ProgramHeader {
    kind: u32,
    offset: u64,
    bytes: u64,
}

struct Headers {
    kind: u16,
    entry: u64,
    segments: Vec<ProgramHeader>,
}

impl Headers {
    fn read(file: &[u8]) -> Result<Self, &'static str> {
        let cut = "the file is cut short";
        if file.len() < HEADER_BYTES {
            return Err(cut);
        }
        let kind = u16_at(file, 16).ok_or(cut)?;
        let table = usize::try_from(u64_at(file, 32).ok_or(cut)?).map_err(|_| cut)?;
        let (size, count) = (u16_at(file, 54).ok_or(cut)?, u16_at(file, 56).ok_or(cut)?);
        if count > 0 && usize::from(size) != PROGRAM_HEADER_BYTES {
            return Err("its program headers have an impossible size");
        }
        let segments = (0..usize::from(count))
            .map(|index| {
                let at = table.checked_add(index * PROGRAM_HEADER_BYTES)?;
                Some(ProgramHeader {
                    kind: u32_at(file, at)?,
                    offset: u64_at(file, at + 8)?,
                    bytes: u64_at(file, at + 32)?,
                })
            })
            .collect::<Option<_>>()
            .ok_or(cut)?;
        Ok(Self { kind, entry: u64_at(file, 24).ok_or(cut)?, segments })
    }

    fn content<'a>(&self, file: &'a [u8], kind: u32) -> Option<&'a [u8]> {
        self.segments.iter().find(|segment| segment.kind == kind).and_then(|segment| slice(file, segment))
    }

    fn interpreter(&self, file: &[u8]) -> Option<String> {
        let path = self.content(file, PT_INTERP)?;
        let path = &path[..path.len().min(INTERPRETER_MAX)];
        let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
        Some(String::from_utf8_lossy(&path[..end]).into_owned())
    }

    fn kind(&self, file: &[u8]) -> ElfKind {
        match self.kind {
            TYPE_EXECUTABLE => ElfKind::Program,
            TYPE_SHARED if self.entry != 0 && self.is_pie(file) => ElfKind::Program,
            TYPE_SHARED => ElfKind::Library,
            _ => ElfKind::Other,
        }
    }

    /// Whether a position-independent file is a program: old linkers set no flag but name a loader.
    fn is_pie(&self, file: &[u8]) -> bool {
        let flags = self.content(file, PT_DYNAMIC).and_then(|dynamic| {
            let (entries, _) = dynamic.as_chunks::<16>();
            entries
                .iter()
                .find_map(|entry| (u64_at(entry, 0)? == DT_FLAGS_1).then(|| u64_at(entry, 8)).flatten())
        });
        flags.is_some_and(|flags| flags & DF_1_PIE != 0) || self.interpreter(file).is_some()
    }

    fn defect(&self, file: &[u8]) -> Option<String> {
        let mut loads = self.segments.iter().filter(|segment| segment.kind == PT_LOAD).peekable();
        if loads.peek().is_none() {
            return Some("it has nothing to load".to_owned());
        }
        loads.any(|segment| slice(file, segment).is_none()).then(|| "the file is cut short".to_owned())
    }
}

fn slice<'a>(file: &'a [u8], segment: &ProgramHeader) -> Option<&'a [u8]> {
    let start = usize::try_from(segment.offset).ok()?;
    let end = start.checked_add(usize::try_from(segment.bytes).ok()?)?;
    file.get(start..end)
}

fn bytes_at<const N: usize>(file: &[u8], at: usize) -> Option<[u8; N]> {
    file.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u16_at(file: &[u8], at: usize) -> Option<u16> {
    bytes_at(file, at).map(u16::from_le_bytes)
}

fn u32_at(file: &[u8], at: usize) -> Option<u32> {
    bytes_at(file, at).map(u32::from_le_bytes)
}

fn u64_at(file: &[u8], at: usize) -> Option<u64> {
    bytes_at(file, at).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_is_a_program_and_a_cut_one_has_a_defect() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let elf = inspect(&own).unwrap();
        assert_eq!((elf.kind, elf.machine.as_str()), (ElfKind::Program, "x86-64"));
        assert_eq!((elf.interpreter.as_deref(), elf.defect), (Some("/lib64/ld-linux-x86-64.so.2"), None));
        let start = inspect(&own[..8192]).unwrap();
        assert_eq!(start.defect.as_deref(), Some("the file is cut short"));
    }

    #[test]
    fn other_machines_are_named() {
        let mut file = vec![0; 64];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[16] = 2;
        file[18] = 183;
        assert_eq!(inspect(&file).unwrap().machine, "aarch64");
        file[5] = 2;
        file[18..20].copy_from_slice(&[0, 22]);
        assert_eq!(inspect(&file).unwrap().machine, "s390x");
        file[4..6].copy_from_slice(&[1, 1]);
        file[18..20].copy_from_slice(&[62, 0]);
        assert!(inspect(&file).unwrap().machine.contains("x32"));
    }

    #[test]
    fn what_is_no_elf_is_none_and_no_prefix_of_an_elf_panics() {
        assert_eq!(inspect(b"#!/bin/sh\n"), None);
        assert_eq!(inspect(b""), None);
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for len in 4..2000 {
            let elf = inspect(&own[..len]).unwrap();
            assert!(elf.defect.is_some() || !elf.is_native(), "{len}");
        }
    }

    #[test]
    fn random_headers_never_panic() {
        let mut state = 0x1234_5678_u32;
        for _ in 0..20_000 {
            let mut file = vec![0; 200];
            for byte in &mut file {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = state.to_le_bytes()[3];
            }
            file[..6].copy_from_slice(b"\x7fELF\x02\x01");
            file[18..20].copy_from_slice(&[62, 0]);
            assert!(inspect(&file).is_some());
        }
    }
}
