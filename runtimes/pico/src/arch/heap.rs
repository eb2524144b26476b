//! pico's heap: the rest of the kernel area.

use super::address;
use super::entry::{pico_image_end, pico_image_start};
use abi::layout::{KERNEL_SIZE, KERNEL_VA, kernel_area};
use talc::TalcLock;
use talc::source::Manual;

/// The allocator behind `alloc`.
type Heap = TalcLock<spin::Mutex<()>, Manual>;

/// The heap; empty until [`claim`].
#[global_allocator]
static HEAP: Heap = TalcLock::new(Manual);

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
    assert!(heap.is_some(), "the kernel area has no room for a heap");
}
