//! System calls without traps: `syscall` in a program's text is rewritten into a jump to a trampoline.
//!
//! A trap costs two exits where KVM has no hardware to help, a jump costs nothing. When the program first traps in a
//! text, and once more before the parent is captured, pico looks through that text for `syscall` and gives each site it
//! understands a trampoline. Children inherit that and rewrite nothing but what processes they start have of their own
//! ([`hot`]).
//!
//! What is rewritten: text of a file, mapped private, executable and not writable. Code a program generates is
//! never touched. A site is understood if the file's table of functions ([`functions`]) says where the function around
//! it begins and its instructions decode from there ([`decode`]); see [`detour`] for what then becomes of it. The program
//! can tell only by reading its own text, and by the address of the trampoline in a single step.
//!
//! ```text
//! trampoline    moved instructions          (the replaced one and those up to the `syscall`)
//!               lea  rcx, [behind syscall]  (`syscall` leaves the return address there, too)
//!               jmp  [entry]                (`arch`: flags to r11, stack of pico, as if it had trapped)
//! ```

mod decode;
mod detour;
mod frames;
mod functions;
mod hot;
#[cfg(test)]
mod tests;

use crate::errno::Result;
use crate::kernel::Kernel;
use crate::mm::areas::{Area, EXEC, Kind, WRITE};
use crate::mm::{Mm, is_sparse};
use abi::layout::PAGE;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::ops::Range;
use detour::{Decoded, Detour, MOVED_MAX, NEAR, Refusal, SHORT, SYSCALL};
use functions::Functions;
use hot::{Seen, Traps};

/// Most pages of trampolines; 127 fit into one.
pub const PAGES_MAX: usize = 32;
/// Bytes of a trampoline. The first place of a page holds the address of pico's entry.
const SLOT: u64 = 32;
const SLOT_BYTES: usize = 32;
/// How far a trampoline may be from its site: what a 32-bit distance can say, with room to spare.
const REACH: u64 = (1 << 31) - (1 << 20);
/// A site is not larger than this: from the padding a short jump leads to, to the `syscall`.
const SITE_MAX: u64 = 256;
/// Most texts that are looked through when a call comes from them; the rest have to wait for the capture.
const TEXTS_MAX: usize = 256;

const _: () = assert!(MOVED_MAX as u64 + 7 + 6 <= SLOT);

/// What has been rewritten.
#[derive(Clone, Default)]
pub struct Rewriter {
    /// By the address of the `syscall`. A copy of the address space has the same until one of them changes its own.
    sites: Rc<BTreeMap<u64, Site>>,
    pages: Vec<Page>,
    /// Texts looked through, and what was mapped there.
    texts: Vec<(Range<u64>, Rc<str>)>,
    /// Sites nothing is to be done about, the last ones.
    seen: Seen,
    /// Of sites in large texts.
    traps: Traps,
    /// The last text of which no functions are known.
    undescribed: Range<u64>,
    refused: u64,
    crowded: u64,
}

/// Figures about one program's sites, as of the last look at each text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rewritten.
    pub rewritten: u64,
    /// Not understood; they keep trapping.
    pub refused: u64,
    /// Understood, but there was no room for another trampoline; they keep trapping.
    pub crowded: u64,
}

/// A rewritten site.
#[derive(Clone)]
struct Site {
    trampoline: u64,
    /// Where the text was changed, with the old and the new bytes.
    at: u64,
    original: Vec<u8>,
    patched: Vec<u8>,
}

/// A page of trampolines.
#[derive(Clone)]
struct Page {
    start: u64,
    used: u64,
}

impl Page {
    /// Whether there is room for a trampoline in reach of `site`.
    fn is_usable(&self, mm: &Mm, site: u64) -> bool {
        self.used < PAGE / SLOT && self.start.abs_diff(site) < REACH && mm.can_patch(self.start)
    }
}

impl Rewriter {
    /// Figures so far.
    pub fn counts(&self) -> Counts {
        Counts { rewritten: self.sites.len() as u64, refused: self.refused, crowded: self.crowded }
    }

    /// Rewrites what can be in all texts of the program.
    fn rewrite_all(&mut self, mm: &mut Mm, entry: u64) {
        (self.refused, self.crowded) = (0, 0);
        let mut texts: Vec<Area> = Vec::new();
        mm.each_area(|area| texts.extend(is_text(area).then(|| area.clone())));
        for text in texts {
            self.rewrite_text(mm, entry, &text);
        }
    }

    /// Rewrites the text that holds `syscall`, unless that was done before.
    fn rewrite_around(&mut self, mm: &mut Mm, entry: u64, syscall: u64) {
        self.seen.add(syscall);
        let Some(text) = mm.area_at(syscall).filter(is_text) else { return };
        let Some((file, _)) = &text.file else { return };
        let is_known = self.texts.iter().any(|(range, path)| range.contains(&syscall) && file == path);
        if !is_known && self.texts.len() < TEXTS_MAX {
            self.texts.push((text.start..text.end, file.clone()));
            self.rewrite_text(mm, entry, &text);
        }
    }

    /// Rewrites what can be in one text.
    fn rewrite_text(&mut self, mm: &mut Mm, entry: u64, text: &Area) {
        self.rewrite_sites(mm, entry, text, candidates(mm, text));
    }

    /// Rewrites those of the sites `candidates` in `text` that can be.
    fn rewrite_sites(&mut self, mm: &mut Mm, entry: u64, text: &Area, candidates: Vec<u64>) {
        mm.open_text(text.start, text.end);
        let functions = Functions::of(mm, text);
        if functions.is_none() {
            self.undescribed = text.start..text.end;
        }
        let mut decoded: Option<Decoded> = None;
        for syscall in candidates {
            if self.is_rewritten(mm, syscall) {
                continue;
            }
            if !decoded.as_ref().is_some_and(|decoded| decoded.holds(syscall)) {
                let function = functions.as_ref().and_then(|functions| functions.find(mm, syscall));
                decoded = function.map(|function| Decoded::new(mm, function));
            }
            match decoded.as_ref().map(|decoded| decoded.detour(mm, syscall)) {
                Some(Ok(detour)) => self.install(mm, entry, &detour),
                Some(Err(Refusal::NoInstruction)) => {}
                Some(Err(Refusal::NoRoom)) | None => self.refused += 1,
            }
        }
        mm.close_text(text.start, text.end);
    }

    fn is_rewritten(&self, mm: &Mm, syscall: u64) -> bool {
        self.sites.get(&syscall).is_some_and(|site| site.is_in_place(mm))
    }

    /// Puts the jump and the trampoline in place; the site stays as it is if there is no room.
    fn install(&mut self, mm: &mut Mm, entry: u64, detour: &Detour) {
        let known = self.sites.get(&detour.syscall).map(|site| site.trampoline);
        let Some(trampoline) = known.or_else(|| self.claim(mm, entry, detour.syscall)) else {
            self.crowded += 1;
            return;
        };
        if self.redirect(mm, trampoline, detour).is_err() {
            self.crowded += 1;
        }
    }

    /// Writes the trampoline and the jump to it.
    fn redirect(&mut self, mm: &Mm, trampoline: u64, detour: &Detour) -> Result<()> {
        write_trampoline(mm, trampoline, detour)?;
        let at = detour.replaced.start;
        let len = detour.replaced.end - at;
        let jump = match detour.padding {
            Some(padding) => {
                mm.patch(padding, &near_jump(padding, trampoline))?;
                [0xeb, padding.wrapping_sub(at + SHORT as u64).to_le_bytes()[0]].to_vec()
            }
            None => near_jump(at, trampoline).to_vec(),
        };
        let original = mm.peek(at, len)?;
        let patched = padded(jump, original.len());
        mm.patch(at, &patched)?;
        Rc::make_mut(&mut self.sites).insert(detour.syscall, Site { trampoline, at, original, patched });
        Ok(())
    }

    /// A free place for a trampoline in reach of `site`.
    fn claim(&mut self, mm: &mut Mm, entry: u64, site: u64) -> Option<u64> {
        if !self.pages.iter().any(|page| page.is_usable(mm, site)) {
            if self.pages.len() >= PAGES_MAX {
                return None;
            }
            let start = mm.code_page(site.saturating_sub(REACH - PAGE), site.saturating_add(REACH - PAGE))?;
            mm.patch(start, &entry.to_le_bytes()).ok()?;
            self.pages.push(Page { start, used: 1 });
        }
        let page = self.pages.iter_mut().find(|page| page.is_usable(mm, site))?;
        page.used += 1;
        Some(page.start + SLOT * (page.used - 1))
    }

    /// Puts back what was rewritten in `start..end` and what jumps there, because the program is about to change it.
    pub fn restore(&self, mm: &Mm, start: u64, end: u64) {
        let near = start.saturating_sub(SITE_MAX)..end.saturating_add(SITE_MAX);
        let sites = self.sites.range(near).map(|(_, site)| site);
        let sites: Vec<&Site> = sites.filter(|site| site.is_in_place(mm)).collect();
        let (Some(first), Some(last)) = (sites.first(), sites.last()) else { return };
        let (from, to) = (first.at / PAGE * PAGE, last.at + last.original.len() as u64);
        mm.open_text(from, to);
        for site in sites {
            // Without memory for a page of its own the program keeps the jump, which does the same.
            let _ = mm.patch(site.at, &site.original);
        }
        mm.close_text(from, to);
    }
}

impl Site {
    /// Whether the program has not put something else there.
    fn is_in_place(&self, mm: &Mm) -> bool {
        mm.slice(self.at, self.patched.len()).is_ok_and(|bytes| bytes == self.patched)
    }
}

/// Whether `area` is text of a file that the program cannot write, and pico can.
fn is_text(area: &Area) -> bool {
    area.kind == Kind::File && area.prot & (EXEC | WRITE) == EXEC && !is_sparse(area.start)
}

/// Where the bytes of `syscall` are in `text`.
fn candidates(mm: &Mm, text: &Area) -> Vec<u64> {
    let Ok(len) = usize::try_from(text.end - text.start) else { return Vec::new() };
    let Ok(bytes) = mm.slice(text.start, len) else { return Vec::new() };
    offsets(bytes).map(|offset| text.start + offset as u64).collect()
}

/// Where the bytes of `syscall` are in `bytes`. Most blocks are passed over in a few instructions.
fn offsets(bytes: &[u8]) -> impl Iterator<Item = usize> {
    const BLOCK: usize = 64;
    // Each with the first byte of the next.
    let block = move |at: usize| (at, &bytes[at..bytes.len().min(at + BLOCK + 1)]);
    let blocks = (0..bytes.len()).step_by(BLOCK).map(block);
    let found = blocks.filter(|(_, block)| hits(block).fold(false, |found, hit| found | hit));
    found.flat_map(|(at, block)| {
        hits(block).enumerate().filter(|&(_, hit)| hit).map(move |(offset, _)| at + offset)
    })
}

/// For each byte but the last, whether `syscall` begins there.
fn hits(block: &[u8]) -> impl Iterator<Item = bool> {
    let pairs = block.iter().zip(&block[1..]);
    pairs.map(|(&first, &second)| (first == SYSCALL[0]) & (second == SYSCALL[1]))
}

/// `jmp target` at `at`.
fn near_jump(at: u64, target: u64) -> [u8; NEAR] {
    let [a, b, c, d] = distance(at + NEAR as u64, target);
    [0xe9, a, b, c, d]
}

/// `target` relative to `from`; [`REACH`] keeps it in 32 bits.
fn distance(from: u64, target: u64) -> [u8; 4] {
    let distance = target.wrapping_sub(from).cast_signed();
    i32::try_from(distance).expect("a trampoline is in reach of its site").to_le_bytes()
}

/// `code`, filled up with `nop`.
fn padded(mut code: Vec<u8>, len: usize) -> Vec<u8> {
    code.resize(len, 0x90);
    code
}

fn write_trampoline(mm: &Mm, at: u64, detour: &Detour) -> Result<()> {
    let mut code = mm.peek(detour.replaced.start, detour.syscall - detour.replaced.start)?;
    code.extend([0x48, 0x8d, 0x0d]);
    let behind = detour.syscall + SYSCALL.len() as u64;
    code.extend(distance(at + code.len() as u64 + 4, behind));
    code.extend([0xff, 0x25]);
    code.extend(distance(at + code.len() as u64 + 4, at / PAGE * PAGE));
    mm.patch(at, &padded(code, SLOT_BYTES))
}

impl Kernel {
    /// After the `syscall` before `rip`: rewrites the text there. Not in a fork, which would pay for it in
    /// every request; but where several address spaces are, no parent has done it for all of them.
    pub(crate) fn rewrite_around(&mut self, rip: u64) {
        let has_spaces = self.mm.has_spaces();
        if self.config.fast_entry == 0 || (self.request_taken && !has_spaces) {
            return;
        }
        let (entry, syscall) = (self.config.fast_entry, rip.wrapping_sub(SYSCALL.len() as u64));
        if self.rewriter.seen.has(syscall) {
            return;
        }
        if has_spaces {
            self.rewriter.rewrite_hot(&mut self.mm, entry, syscall);
        } else {
            self.rewriter.rewrite_around(&mut self.mm, entry, syscall);
        }
    }

    /// Before the parent is captured: rewrites all texts, those no call came from among them.
    pub(crate) fn rewrite_all(&mut self) {
        let entry = self.config.fast_entry;
        if entry != 0 {
            self.rewriter.rewrite_all(&mut self.mm, entry);
        }
    }
}
