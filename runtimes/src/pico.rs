//! The guest kernel's image, built by `build.rs`.

/// Bytes at the alignment the loader wants.
#[repr(C, align(4096))]
struct Aligned<T: ?Sized>(T);

static IMAGE: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/pico.elf")));

/// The guest kernel: an ELF file linked at `KERNEL_VA + kernel_area::IMAGE`, which starts with a
/// [`abi::boot::KernelHeader`].
pub static PICO: &[u8] = &IMAGE.0;
