//! pico's heap: the rest of the kernel area.

use super::address;
use super::entry::{pico_image_end, pico_image_start};
use abi::layout::{KERNEL_SIZE, KERNEL_VA, kernel_area};
use core::alloc::Layout;
use talc::TalcLock;
use talc::base::{Talc, binning::Binning};
use talc::source::Source;

/// The allocator behind `alloc`.
type Heap = TalcLock<spin::Mutex<()>, Reserve>;

/// The heap; empty until [`claim`].
#[global_allocator]
static HEAP: Heap = TalcLock::new(Reserve(0));

/// Memory that is set apart, in one piece: what a call needs that was let in although there is hardly any left.
const RESERVE: Layout = match Layout::from_size_align(2 << 20, 16) {
    Ok(layout) => layout,
    Err(_) => panic!("a size and an alignment there can be"),
};

/// Where what is set apart lies; 0 while it is in use.
#[derive(Debug)]
struct Reserve(usize);

// SAFETY: the allocator is used through `talc` only, and what is given back makes room.
unsafe impl Source for Reserve {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, _wanted: Layout) -> Result<(), ()> {
        let reserve = core::mem::take(&mut talc.source.0);
        if reserve == 0 {
            return Err(());
        }
        // SAFETY: `is_short` had it from this allocator, with this layout, and it is given back once.
        unsafe { talc.deallocate(core::ptr::with_exposed_provenance_mut(reserve), RESERVE) };
        Ok(())
    }
}

/// Whether there is nothing left but what is set apart, or less.
pub(super) fn is_short() -> bool {
    let mut heap = HEAP.lock();
    if heap.source.0 == 0 {
        // SAFETY: its size is not 0.
        let taken = unsafe { heap.try_allocate(RESERVE) };
        heap.source.0 = taken.map_or(0, |block| block.as_ptr().expose_provenance());
    }
    heap.source.0 == 0
}

/// Gives the heap the memory between the image and the end of the kernel area.
pub(super) fn claim() {
    let start = (&raw const pico_image_end).expose_provenance();
    let image = (&raw const pico_image_start).expose_provenance() as u64;
    assert!(
        image == KERNEL_VA + kernel_area::IMAGE,
        "link.ld and abi::layout disagree on where the image is"
    );
    let end = address(KERNEL_VA + KERNEL_SIZE);
    assert!(start < end, "the image fills the kernel area");
    // SAFETY: the memory behind the image is mapped, belongs to pico and nobody else uses it.
    let heap = unsafe { HEAP.lock().claim(core::ptr::with_exposed_provenance_mut(start), end - start) };
    assert!(heap.is_some() && !is_short(), "the kernel area has no room for a heap");
}
