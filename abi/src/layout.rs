//! Where everything lies: guest-physical addresses (GPA) and guest-virtual addresses (VA).
//!
//! ```text
//! GPA                                  VA                            what
//! 0 .. KERNEL_SIZE                     KERNEL_VA ..                  pico: boot tables, image, stacks, heap
//! KERNEL_SIZE .. ram_bytes             PROGRAM_VA ..                 the program's memory, 2 MiB pages, linear
//! MAILBOX_GPA .. +MAILBOX_SIZE         MAILBOX_VA ..                 the mailbox (own slot, not in a snapshot)
//! ROOT_GPA .. +size of the root image  ROOT_VA ..                    read-only root file system (EROFS)
//! PACKAGE_GPA .. +size of the package  PACKAGE_VA ..                 read-only function package (EROFS)
//! pages of the program's memory        SPARSE_VA .. SPARSE_END       what pico maps there, page by page
//! the page tables                      TABLES_VA ..                  one slot of the root leads to the root itself
//! KERNEL_SIZE .. ram_bytes             DIRECT_VA + PROGRAM_VA ..     the program's memory once more, for pico alone, once
//!                                                                    there was more than one address space
//! ```
//!
//! VA `0 .. PROGRAM_VA` is never mapped, so a null pointer faults. Everything lies in the lower half: on
//! `kvm_pvm` code at upper-half addresses does not run in ring 3.

/// Bytes in a page.
pub const PAGE: u64 = 4096;
/// Bytes in a large page; RAM size, the kernel area and the program area are multiples of it.
pub const HUGE: u64 = 2 << 20;

/// Bytes of RAM that belong to pico, at GPA 0.
pub const KERNEL_SIZE: u64 = 8 << 20;
/// VA of GPA 0.
pub const KERNEL_VA: u64 = 0x7000_0000_0000;

/// First VA of the program's memory; backed by GPA [`KERNEL_SIZE`].
pub const PROGRAM_VA: u64 = HUGE;
/// Most RAM a VM can have, in bytes.
pub const RAM_MAX: u64 = 16 << 30;
/// Least memory a program can be given, in bytes.
pub const PROGRAM_MIN: u64 = 16 << 20;

/// GPA of the mailbox slot.
pub const MAILBOX_GPA: u64 = 0x40_0000_0000;
/// VA of the mailbox.
pub const MAILBOX_VA: u64 = 0x7100_0000_0000;
/// GPA of the root image slot.
pub const ROOT_GPA: u64 = 0x50_0000_0000;
/// VA of the root image.
pub const ROOT_VA: u64 = 0x7200_0000_0000;
/// GPA of the function package slot.
pub const PACKAGE_GPA: u64 = 0x60_0000_0000;
/// VA of the function package.
pub const PACKAGE_VA: u64 = 0x7300_0000_0000;
/// First VA of the area whose page tables are pico's: the host maps nothing there and keeps what pico maps.
pub const SPARSE_VA: u64 = 1 << 39;
/// First VA behind that area.
pub const SPARSE_END: u64 = KERNEL_VA;
/// VA of the page tables: the entry of the root for this address is the root's own, so the tables are seen as pages.
/// The lowest table of an address `va` has its entry at `TABLES_VA + va / PAGE * 8`.
pub const TABLES_VA: u64 = 0x7400_0000_0000;
/// VA of a second view of `0 .. ROOT_ENTRY`, the program's memory: the host maps nothing there, and keeps a VM that has this
/// view for no other request. Whatever address spaces pico makes, all of them have it.
pub const DIRECT_VA: u64 = 0x7500_0000_0000;
/// Bytes of VA that one entry of the root stands for.
pub const ROOT_ENTRY: u64 = 1 << 39;
/// Most bytes an image slot can have.
pub const IMAGE_MAX: u64 = 16 << 30;

/// Offsets inside the kernel area. The host fills these before the first instruction; pico owns the rest.
pub mod kernel_area {
    /// Global descriptor table (one page).
    pub const GDT: u64 = 0x1000;
    /// Task state segment with its I/O permission bitmap (one page).
    pub const TSS: u64 = 0x2000;
    /// Interrupt descriptor table (one page).
    pub const IDT: u64 = 0x4000;
    /// [`crate::boot::BootInfo`], followed by the strings it points to.
    pub const BOOT_INFO: u64 = 0x5000;
    /// Bytes for [`crate::boot::BootInfo`] and its strings.
    pub const BOOT_INFO_SIZE: u64 = 0x4_0000;
    /// Page tables.
    pub const PAGE_TABLES: u64 = 0x5_0000;
    /// Bytes for page tables.
    pub const PAGE_TABLES_SIZE: u64 = 0x8_0000;
    /// The pico image, linked at `KERNEL_VA + IMAGE`; it starts with [`crate::boot::KernelHeader`].
    pub const IMAGE: u64 = 0x10_0000;
}

/// Segment selectors, as laid out in the GDT the host writes.
pub mod selector {
    /// 64-bit ring 0 code.
    pub const KERNEL_CODE: u16 = 0x08;
    /// Ring 0 data.
    pub const KERNEL_DATA: u16 = 0x10;
    /// Ring 3 data.
    pub const USER_DATA: u16 = 0x23;
    /// 64-bit ring 3 code.
    pub const USER_CODE: u16 = 0x2b;
    /// Task state segment (a 16-byte descriptor).
    pub const TSS: u16 = 0x30;
}

/// The one I/O port a guest can reach. `out DOORBELL_PORT, al` leaves the VM; `al` has no meaning.
pub const DOORBELL_PORT: u8 = 0x53;

const _: () = assert!(kernel_area::BOOT_INFO + kernel_area::BOOT_INFO_SIZE <= kernel_area::PAGE_TABLES);
const _: () = assert!(kernel_area::PAGE_TABLES + kernel_area::PAGE_TABLES_SIZE <= kernel_area::IMAGE);
const _: () = assert!(KERNEL_SIZE.is_multiple_of(HUGE));
const _: () = assert!(RAM_MAX < MAILBOX_GPA);
const _: () = assert!(PROGRAM_VA + RAM_MAX <= SPARSE_VA);
const _: () = assert!(SPARSE_VA.is_multiple_of(ROOT_ENTRY) && SPARSE_END.is_multiple_of(ROOT_ENTRY));
const _: () = assert!(DIRECT_VA.is_multiple_of(ROOT_ENTRY) && DIRECT_VA >= TABLES_VA + ROOT_ENTRY);
const _: () = assert!(TABLES_VA.is_multiple_of(ROOT_ENTRY) && TABLES_VA >= PACKAGE_VA + IMAGE_MAX);
