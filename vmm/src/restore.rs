//! Recycling: putting a fork back to the parent's state, in place with all mappings kept warm, or mapped anew.
//!
//! Pages a fork has copied are found with `/proc/self/pagemap` and overwritten with the parent's bytes. A page can
//! only become private by a page fault of the thread that runs the vCPU (or writes to the mailbox), so as long as
//! that thread's fault counters stand still, the pages of the last scan are all there are.
//!
//! Page tables are not put back by the host but must be unchanged: a KVM that shadows them does not see the host write
//! to them and would go on with the old translations. (That they are private says nothing. With nested paging the CPU
//! itself writes to the pages it walks.) Descriptor tables and the code of the stubs are treated alike. What pico has
//! changed in the tables it makes for itself the guest puts back, told by the host entry by entry. A guest kernel that made
//! a second address space has left a mark in the root (`abi::layout::DIRECT_VA`), so it is not restored.

use crate::error::Discard;
use crate::fork;
use crate::machine::{Machine, Origin, Stage, finish_exit};
use crate::memory::{Advice, Mapping};
use crate::parent::Parent;
use crate::size::{PAGE_BYTES, size};
use crate::sparse_tables::{SparseTables, has_second_view};
use crate::sys::{Faults, thread_faults, thread_id};
use abi::boot::PREFAULT_STORE;
use abi::mailbox::{PREFAULT_MAX, REQUEST, RESPONSE};
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// Most pages that are restored; a fork that wrote more is cheaper to replace, and would keep that memory.
const RESTORED_PAGES_MAX: usize = (16 << 20) / PAGE_BYTES;
/// Most lists of entries of page tables that are put back; a fork that changed more is cheaper to replace.
const ROUNDS_MAX: usize = 16;
/// Bytes of the request and response areas that stay resident between requests; what lies beyond is given back.
const MAILBOX_AREA_KEPT: u64 = 256 << 10;

/// What a restore did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestoreStats {
    /// Pages of RAM put back.
    pub ram_pages: usize,
    /// Pages of the mailbox zeroed.
    pub mailbox_pages: usize,
    /// Whether page tables had to be searched.
    pub scanned: bool,
}

/// What is known about private pages, and until when it holds.
#[derive(Debug, Default)]
pub(crate) struct Baseline {
    since: Option<(i32, Faults)>,
    /// To be overwritten.
    ram: Vec<Range<usize>>,
    /// To be compared.
    guarded: Vec<Range<usize>>,
    /// To be zeroed.
    mailbox: Vec<Range<usize>>,
}

impl Baseline {
    /// To be called before anything on this thread can cause faults on the machine's memory: another thread's
    /// counters would say nothing about them.
    pub(crate) fn check_thread(&mut self) {
        if self.since.is_some_and(|(thread, _)| thread != thread_id()) {
            self.since = None;
        }
    }

    fn holds(&self) -> io::Result<bool> {
        Ok(self.since == Some((thread_id(), thread_faults()?)))
    }
}

/// What a fork did before it is restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ran {
    /// Answered a request: what it wrote to is worth remembering.
    Request,
    /// Touched the pages it was told to.
    Prefault,
    /// Put a part of its page tables back: there is more.
    SomeTables,
    /// Put its page tables back, or the rest of them.
    Tables,
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> Discard {
    move |source| Discard::Failed { what, source }
}

fn put_back_failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Discard {
    Discard::Failed { what: "putting back pages", source: io::Error::other(error) }
}

fn parent_view(parent: &Parent) -> Result<&Mapping, Discard> {
    parent.memory.view().ok_or_else(|| put_back_failed("the parent is not sealed"))
}

fn private_pages(parent: &Parent, mapping: &Mapping) -> Result<Vec<Range<usize>>, Discard> {
    parent.pagemap.private_pages(mapping).map_err(failed("searching for written pages"))
}

impl Machine {
    /// Puts a fork that stopped at the doorbell back to the parent's state: memory, mailbox and whatever registers
    /// take time to set; [`Machine::enter`] sets the rest. To be called on the thread that ran it. After a
    /// [`Discard`] drop the machine; after [`Discard::TooManyPages`] it may also be given to [`Machine::remap`].
    pub fn restore(&mut self) -> Result<RestoreStats, Discard> {
        self.restore_after(Ran::Request)
    }

    /// Whether [`Machine::restore`] can succeed: not if the guest kernel has, or says that it made, several address spaces.
    pub fn is_restorable(&self) -> bool {
        let Origin::Fork { parent, .. } = &self.origin else { return false };
        !parent.entry.has_spaces() && !has_second_view(&self.space.ram, parent.entry.sregs().cr3)
    }

    pub(crate) fn restore_after(&mut self, ran: Ran) -> Result<RestoreStats, Discard> {
        let Origin::Fork { parent, .. } = &self.origin else { return Err(Discard::NotAFork) };
        let parent = Arc::clone(parent);
        if parent.entry.has_spaces() {
            return Err(Discard::Spaces);
        }
        if self.stage != Stage::Doorbell {
            return Err(Discard::NotAtDoorbell);
        }
        self.stage = Stage::Over;
        self.settle(&parent, false)?;
        let scanned = !self.baseline.holds().map_err(failed("getrusage(2)"))?;
        if scanned {
            self.baseline.since = None;
            let ram = private_pages(&parent, &self.space.ram)?;
            let pages = count_pages(&ram);
            if pages > RESTORED_PAGES_MAX {
                self.stage = Stage::Spoiled;
                return Err(Discard::TooManyPages { pages });
            }
            (self.baseline.guarded, self.baseline.ram) = split_guarded(&ram, parent.entry.guarded());
            if ran == Ran::Request {
                parent.learn_written(&self.baseline.ram);
                self.learn_touched(&parent);
            }
            self.scan_mailbox(&parent)?;
        }
        let stats = match self.put_back(&parent) {
            // The last round compares all.
            Err(Discard::TablesTouched) if ran == Ran::SomeTables => self.put_pages_back(&parent)?,
            Err(Discard::TablesTouched) if ran != Ran::Tables => {
                let stats = self.put_pages_back(&parent)?;
                self.put_tables_back(&parent)?;
                return Ok(RestoreStats { scanned, ..stats });
            }
            put_back => RestoreStats { scanned, ..put_back? },
        };
        // Faults since the scan are this function's own and made no page private that is not in the lists.
        let faults = thread_faults().map_err(failed("getrusage(2)"))?;
        self.baseline.since = Some((thread_id(), faults));
        self.stage = Stage::Pristine;
        Ok(stats)
    }

    /// Makes a fork's memory the parent's again by mapping it anew, where [`Machine::restore`] would keep too much
    /// or has refused with [`Discard::TooManyPages`]. Keeps the VM and its vCPU, in the same state as after a
    /// restore; page tables must be as untouched as for one. After a [`Discard`] drop the machine.
    pub fn remap(&mut self) -> Result<(), Discard> {
        let Origin::Fork { parent, .. } = &self.origin else { return Err(Discard::NotAFork) };
        let parent = Arc::clone(parent);
        if parent.entry.has_spaces() {
            return Err(Discard::Spaces);
        }
        if !matches!(self.stage, Stage::Doorbell | Stage::Spoiled) {
            return Err(Discard::NotAtDoorbell);
        }
        self.stage = Stage::Over;
        self.settle(&parent, true)?;
        let ram = private_pages(&parent, &self.space.ram)?;
        let (guarded, _) = split_guarded(&ram, parent.entry.guarded());
        self.baseline = Baseline { guarded, ..Baseline::default() };
        self.scan_mailbox(&parent)?;
        self.put_back(&parent)?;
        parent.memory.map_private_over(&mut self.space.ram).map_err(failed("mapping the memory anew"))?;
        self.space.ram.watch(&self.registration.kicker());
        let watch = fork::prepare(&mut self.space.ram, &parent);
        self.origin = Origin::Fork { parent, watch };
        self.baseline = Baseline::default();
        self.stage = Stage::Pristine;
        Ok(())
    }

    /// Ends the last exit and sets what only ioctls can set. `all`: also what the guest could not have changed.
    fn settle(&mut self, parent: &Parent, all: bool) -> Result<(), Discard> {
        // Registers first: then finishing the last exit finds another instruction pointer and skips nothing.
        parent.prepared.set_registers_to_flush(&mut self.vcpu);
        finish_exit(&mut self.vcpu, &self.registration).map_err(failed("finishing the last exit"))?;
        let slow = parent.prepared.set_slow_state(&parent.entry, &self.vcpu, all);
        slow.map_err(|error| Discard::Failed { what: "setting registers", source: io::Error::other(error) })
    }

    /// Remembers what a watched fork has touched.
    fn learn_touched(&mut self, parent: &Parent) {
        if let Origin::Fork { watch: Some(watch), .. } = &mut self.origin
            && std::mem::take(&mut watch.tells)
            && let Ok(touched) = parent.pagemap.present_pages(&self.space.ram)
        {
            parent.learn_touched(touched);
        }
    }

    fn scan_mailbox(&mut self, parent: &Parent) -> Result<(), Discard> {
        let (kept, given_back) = split_mailbox(private_pages(parent, self.space.mailbox.mapping())?);
        for range in given_back {
            let gone = self.space.mailbox.mapping_mut().advise(range.start, range.len(), Advice::DontNeed);
            gone.map_err(failed("giving back pages"))?;
        }
        self.baseline.mailbox = kept;
        Ok(())
    }

    /// Lets the guest put back what pico changed in page tables of its own, and restores the fork once more. All
    /// other pages are the parent's again, so its code is known and short.
    fn put_tables_back(&mut self, parent: &Parent) -> Result<(), Discard> {
        let touched = |_| Discard::TablesTouched;
        let (view, root) = (parent_view(parent)?, parent.entry.sregs().cr3);
        let tables = SparseTables::read(view, root).map_err(touched)?;
        let stores = tables.differences(&self.space.ram, view).map_err(touched)?;
        let in_tables = |page: u64| page == root || tables.ranges().any(|(start, _)| start == page);
        for page in self.baseline.guarded.iter().flat_map(|range| range.clone().step_by(PAGE_BYTES)) {
            let same = self.space.ram.is_same(view, page, PAGE_BYTES).unwrap_or(false);
            if !same && !in_tables(page as u64) {
                return Err(Discard::TablesTouched);
            }
        }
        let list: Vec<u64> = stores.iter().flat_map(|&(at, value)| [at | PREFAULT_STORE, value]).collect();
        let rounds = list.len().div_ceil(PREFAULT_MAX);
        if !(1..=ROUNDS_MAX).contains(&rounds) {
            return Err(Discard::TablesTouched);
        }
        for (round, part) in (1..).zip(list.chunks(PREFAULT_MAX)) {
            self.stage = Stage::Pristine;
            self.touch(parent, part, if round < rounds { Ran::SomeTables } else { Ran::Tables })?;
        }
        Ok(())
    }

    fn put_back(&mut self, parent: &Parent) -> Result<RestoreStats, Discard> {
        let (failed, view) = (put_back_failed, parent_view(parent)?);
        for range in &self.baseline.guarded {
            if !self.space.ram.is_same(view, range.start, range.len()).map_err(failed)? {
                return Err(Discard::TablesTouched);
            }
        }
        self.put_pages_back(parent)
    }

    fn put_pages_back(&mut self, parent: &Parent) -> Result<RestoreStats, Discard> {
        let (failed, view) = (put_back_failed, parent_view(parent)?);
        for range in &self.baseline.ram {
            self.space.ram.copy_same(view, range.start, range.len()).map_err(failed)?;
        }
        for range in &self.baseline.mailbox {
            self.space.mailbox.mapping_mut().zero(range.start, range.len()).map_err(failed)?;
        }
        if let Some(reason) = self.space.ram.failure().or_else(|| view.failure()) {
            return Err(put_back_failed(reason));
        }
        let (ram_pages, mailbox_pages) =
            (count_pages(&self.baseline.ram), count_pages(&self.baseline.mailbox));
        Ok(RestoreStats { ram_pages, mailbox_pages, scanned: false })
    }
}

fn count_pages(ranges: &[Range<usize>]) -> usize {
    ranges.iter().map(|range| range.len() / PAGE_BYTES).sum()
}

/// Divides `ranges` into the parts inside any of `guarded` and the rest. All are whole pages.
fn split_guarded(ranges: &[Range<usize>], guarded: &[(u64, u64)]) -> (Vec<Range<usize>>, Vec<Range<usize>>) {
    let is_guarded = |page: usize| {
        let page = page as u64;
        guarded.iter().any(|&(start, end)| (start..end).contains(&page))
    };
    // Beyond the last guarded page everything is taken as it is.
    let end = guarded.iter().map(|&(_, end)| usize::try_from(end).unwrap_or(usize::MAX)).max().unwrap_or(0);
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    for range in ranges {
        let cut = range.end.min(end).max(range.start);
        for page in (range.start..cut).step_by(PAGE_BYTES) {
            let list = if is_guarded(page) { &mut inside } else { &mut outside };
            push_joined(list, page..page + PAGE_BYTES);
        }
        push_joined(&mut outside, cut..range.end);
    }
    (inside, outside)
}

/// Appends a range, as part of the last one if it follows it.
fn push_joined(list: &mut Vec<Range<usize>>, range: Range<usize>) {
    match list.last_mut() {
        _ if range.is_empty() => {}
        Some(last) if last.end == range.start => last.end = range.end,
        _ => list.push(range),
    }
}

/// Divides private pages of the mailbox into those to keep and those to give back.
fn split_mailbox(ranges: Vec<Range<usize>>) -> (Vec<Range<usize>>, Vec<Range<usize>>) {
    let (mut kept, mut given_back) = (Vec::new(), Vec::new());
    let [request, response] = [REQUEST, RESPONSE].map(size);
    let area_kept = size(MAILBOX_AREA_KEPT);
    let cuts = [request + area_kept, response, response + area_kept, usize::MAX];
    for range in ranges {
        let mut start = range.start;
        for (index, cut) in cuts.into_iter().enumerate() {
            let end = range.end.min(cut);
            if start < end {
                let list = if index % 2 == 0 { &mut kept } else { &mut given_back };
                list.push(start..end);
                start = end;
            }
        }
    }
    (kept, given_back)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guarded_pages_are_told_from_others() {
        let guarded = [(0x1000, 0x2000), (0x5_0000, 0x5_3000)];
        let (inside, outside) = split_guarded(&[0..0x3000, 0x5_1000..0x6_0000, 0x7_0000..0x7_1000], &guarded);
        assert_eq!(inside, [0x1000..0x2000, 0x5_1000..0x5_3000]);
        assert_eq!(outside, [0..0x1000, 0x2000..0x3000, 0x5_3000..0x6_0000, 0x7_0000..0x7_1000]);
        assert_eq!(split_guarded(&[], &guarded), (vec![], vec![]));
        let ranges = [0..0x1000, 0x2000..0x3000];
        assert_eq!(split_guarded(&ranges, &[]), (vec![], ranges.to_vec()));
    }

    #[test]
    fn long_requests_and_responses_are_given_back() {
        let (request, response) = (size(REQUEST), size(RESPONSE));
        let area = size(MAILBOX_AREA_KEPT);
        let everything = response + 2 * area;
        let (kept, given_back) = split_mailbox(vec![0..PAGE_BYTES, PAGE_BYTES..everything]);
        assert_eq!(kept, [0..PAGE_BYTES, PAGE_BYTES..request + area, response..response + area]);
        assert_eq!(given_back, [request + area..response, response + area..everything]);
        let (kept, given_back) = split_mailbox(vec![0..PAGE_BYTES, response..response + PAGE_BYTES]);
        assert_eq!(kept, [0..PAGE_BYTES, response..response + PAGE_BYTES]);
        assert!(given_back.is_empty());
    }
}
