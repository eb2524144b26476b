//! Lengths of x86-64 instructions, and whether an instruction may run somewhere else than where it was written
//! (Intel SDM volume 2, "Instruction Format" and appendix A, "Opcode Map").

/// An instruction, as far as rewriting needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instruction {
    /// Bytes.
    pub(super) len: usize,
    map: Map,
    opcode: u8,
    modrm: u8,
    /// Has a prefix that changes more than the operand size: `lock`, `rep`, segments.
    prefixed: bool,
    memory: Memory,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Map {
    /// One byte.
    Primary,
    /// Behind `0f`.
    Secondary,
    /// Behind `0f 38`, `0f 3a` or a VEX or EVEX prefix.
    Extended,
}

/// What the ModRM byte says of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Memory {
    /// No memory operand.
    None,
    /// `[rsp + displacement]`
    Stack,
    /// Relative to the instruction itself.
    Rip,
    /// Anything else.
    Other,
}

/// The longest instruction there is.
pub(super) const LONGEST: usize = 15;

impl Instruction {
    /// Decodes what `code` starts with. `None`: not an instruction, or one that no compiler emits.
    pub(super) fn decode(code: &[u8]) -> Option<Self> {
        let code = &code[..code.len().min(LONGEST)];
        let (mut at, mut short, mut prefixed, mut address32) = (0, false, false, false);
        loop {
            match *code.get(at)? {
                0x66 => short = true,
                0x67 => address32 = true,
                0x26 | 0x2e | 0x36 | 0x3e => {}
                0x64 | 0x65 | 0xf0 | 0xf2 | 0xf3 => prefixed = true,
                _ => break,
            }
            at += 1;
        }
        let wide = match code[at] {
            rex @ 0x40..=0x4f => {
                at += 1;
                rex & 8 != 0
            }
            _ => false,
        };
        let (map, opcode, operands, behind) = opcode(code, at)?;
        let mut found = Self { len: behind, map, opcode, modrm: 0, prefixed, memory: Memory::None };
        if operands.modrm {
            found.read_modrm(code)?;
        }
        found.len += operands.immediate(&found, short, wide, address32);
        (found.len <= code.len()).then_some(found)
    }

    /// Reads ModRM, SIB and displacement at `self.len`.
    fn read_modrm(&mut self, code: &[u8]) -> Option<()> {
        self.modrm = *code.get(self.len)?;
        self.len += 1;
        let (mode, base) = (self.modrm >> 6, self.modrm & 7);
        if mode == 3 {
            return Some(());
        }
        self.memory = Memory::Other;
        let mut displacement = [0, 1, 4][usize::from(mode)];
        if base == 4 {
            let sib = *code.get(self.len)?;
            self.len += 1;
            if sib == 0x24 {
                self.memory = Memory::Stack;
            }
            if mode == 0 && sib & 7 == 5 {
                displacement = 4;
            }
        } else if mode == 0 && base == 5 {
            self.memory = Memory::Rip;
            displacement = 4;
        }
        self.len += displacement;
        Some(())
    }

    /// The `reg` field of ModRM, which extends some opcodes.
    fn extension(&self) -> u8 {
        self.modrm >> 3 & 7
    }

    /// Whether a copy elsewhere does the same: no branch, nothing relative to itself, and no access to memory that
    /// could fault, so that nobody ever sees the address of the copy. The program's stack is taken to be there.
    pub(super) fn is_movable(&self) -> bool {
        if self.prefixed {
            return false;
        }
        let registers = self.memory == Memory::None;
        match (self.map, self.opcode) {
            (Map::Primary, 0x90 | 0xb0..=0xbf) => true,
            (Map::Primary, 0x8d) => matches!(self.memory, Memory::Stack | Memory::Other),
            (Map::Primary, 0x89 | 0x8b | 0xc7) => registers || self.memory == Memory::Stack,
            (Map::Primary, 0x00..=0x3f) => self.opcode & 7 > 3 || registers,
            (Map::Primary, 0x63 | 0x69 | 0x6b | 0x80..=0x8a | 0xa8 | 0xa9) => registers,
            (Map::Primary, 0xc0 | 0xc1 | 0xc6 | 0xd0..=0xd3) => registers,
            // Not division, which can fault.
            (Map::Primary, 0xf6 | 0xf7) => registers && self.extension() < 4,
            (Map::Primary, 0xfe | 0xff) => registers && self.extension() < 2,
            (Map::Secondary, 0x1f) => true,
            (Map::Secondary, 0x40..=0x4f | 0x90..=0x9f | 0xaf | 0xb6 | 0xb7 | 0xbe | 0xbf) => registers,
            _ => false,
        }
    }

    /// Whether it does nothing, as between functions.
    pub(super) fn is_padding(&self) -> bool {
        matches!((self.map, self.opcode), (Map::Primary, 0x90 | 0xcc) | (Map::Secondary, 0x1f))
    }

    /// Whether control does not go on behind it: a jump, a return, a trap, or a call at the very end of a function,
    /// which is one that does not return.
    pub(super) fn ends_function(&self) -> bool {
        match (self.map, self.opcode) {
            (Map::Primary, 0xc2 | 0xc3 | 0xcc | 0xe8 | 0xe9 | 0xeb | 0xf4) => true,
            (Map::Primary, 0xff) => matches!(self.extension(), 2 | 4),
            (Map::Secondary, 0x0b) => true,
            _ => false,
        }
    }
}

/// What follows an opcode.
#[derive(Clone, Copy)]
struct Operands {
    modrm: bool,
    bytes: Immediate,
}

#[derive(Clone, Copy)]
enum Immediate {
    /// So many bytes.
    Fixed(usize),
    /// Four bytes, two with the prefix `66`.
    Operand,
    /// Like `Operand`, but eight bytes with `rex.w`: `mov reg, imm`.
    Full,
    /// An address: eight bytes, four with the prefix `67`.
    Offset,
    /// That of `test`, which shares its opcode with instructions that have none. Whether it is the byte form.
    Test(bool),
}

impl Operands {
    fn immediate(self, found: &Instruction, short: bool, wide: bool, address32: bool) -> usize {
        let operand = if short && !wide { 2 } else { 4 };
        match self.bytes {
            Immediate::Fixed(bytes) => bytes,
            Immediate::Operand => operand,
            Immediate::Full => {
                if wide {
                    8
                } else {
                    operand
                }
            }
            Immediate::Offset => {
                if address32 {
                    4
                } else {
                    8
                }
            }
            Immediate::Test(_) if found.extension() > 1 => 0,
            Immediate::Test(byte) => {
                if byte {
                    1
                } else {
                    operand
                }
            }
        }
    }
}

const PLAIN: Operands = Operands { modrm: false, bytes: Immediate::Fixed(0) };
const MODRM: Operands = Operands { modrm: true, bytes: Immediate::Fixed(0) };

const fn fixed(bytes: usize) -> Operands {
    Operands { modrm: false, bytes: Immediate::Fixed(bytes) }
}

const fn modrm_and(bytes: usize) -> Operands {
    Operands { modrm: true, bytes: Immediate::Fixed(bytes) }
}

/// The opcode at `at`, and the offset behind it.
fn opcode(code: &[u8], at: usize) -> Option<(Map, u8, Operands, usize)> {
    let byte = |at: usize| code.get(at).copied();
    match byte(at)? {
        0x0f => match byte(at + 1)? {
            0x38 => Some((Map::Extended, byte(at + 2)?, MODRM, at + 3)),
            0x3a => Some((Map::Extended, byte(at + 2)?, modrm_and(1), at + 3)),
            opcode => Some((Map::Secondary, opcode, secondary(opcode)?, at + 2)),
        },
        0xc5 => vector(1, byte(at + 2)?, at + 3),
        0xc4 => vector(byte(at + 1)? & 0x1f, byte(at + 3)?, at + 4),
        0x62 => vector(byte(at + 1)? & 7, byte(at + 4)?, at + 5),
        opcode => Some((Map::Primary, opcode, primary(opcode)?, at + 1)),
    }
}

/// The operands of an instruction with a VEX or EVEX prefix.
fn vector(map: u8, opcode: u8, behind: usize) -> Option<(Map, u8, Operands, usize)> {
    let operands = match map {
        1 if opcode == 0x77 => PLAIN,
        1 => secondary(opcode)?,
        2 | 5 | 6 => MODRM,
        3 => modrm_and(1),
        _ => return None,
    };
    Some((Map::Extended, opcode, operands, behind))
}

fn primary(opcode: u8) -> Option<Operands> {
    let operand = Operands { modrm: false, bytes: Immediate::Operand };
    Some(match opcode {
        0x00..=0x3f => match opcode & 7 {
            0..=3 => MODRM,
            4 => fixed(1),
            5 => operand,
            _ => return None,
        },
        0x63 | 0x84..=0x8f | 0xd0..=0xd3 | 0xd8..=0xdf | 0xfe | 0xff => MODRM,
        0x68 | 0xa9 => operand,
        0x69 | 0x81 | 0xc7 => Operands { modrm: true, bytes: Immediate::Operand },
        0x6b | 0x80 | 0x83 | 0xc0 | 0xc1 | 0xc6 => modrm_and(1),
        0x6a | 0x70..=0x7f | 0xa8 | 0xb0..=0xb7 | 0xcd | 0xe0..=0xe7 | 0xeb => fixed(1),
        0xa0..=0xa3 => Operands { modrm: false, bytes: Immediate::Offset },
        0xb8..=0xbf => Operands { modrm: false, bytes: Immediate::Full },
        0xc2 | 0xca => fixed(2),
        0xc8 => fixed(3),
        // Near branches ignore the prefix `66`.
        0xe8 | 0xe9 => fixed(4),
        0xf6 => Operands { modrm: true, bytes: Immediate::Test(true) },
        0xf7 => Operands { modrm: true, bytes: Immediate::Test(false) },
        0x50..=0x5f | 0x6c..=0x6f | 0x90..=0x99 | 0x9b..=0x9f | 0xa4..=0xa7 | 0xaa..=0xaf => PLAIN,
        0xc3 | 0xc9 | 0xcb | 0xcc | 0xcf | 0xd7 | 0xec..=0xef | 0xf1 | 0xf4 | 0xf5 | 0xf8..=0xfd => PLAIN,
        _ => return None,
    })
}

fn secondary(opcode: u8) -> Option<Operands> {
    Some(match opcode {
        0x04 | 0x0a | 0x0c | 0x24..=0x27 | 0x39 | 0x3b..=0x3f | 0xa6 | 0xa7 => return None,
        0x05..=0x0b | 0x0e | 0x30..=0x37 | 0x77 | 0xa0..=0xa2 | 0xa8..=0xaa | 0xc8..=0xcf => PLAIN,
        0x80..=0x8f => fixed(4),
        0x0f | 0x70..=0x73 | 0xa4 | 0xac | 0xba | 0xc2 | 0xc4..=0xc6 => modrm_and(1),
        _ => MODRM,
    })
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
