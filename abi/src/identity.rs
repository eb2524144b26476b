//! What must differ between two forks of one parent, and where each value comes from.
//!
//! The host writes an [`Identity`] into the mailbox before every entry of a fork; pico takes it before any
//! program code runs. A fork whose `generation` did not change since the last one fails.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Fresh values for one fork.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Identity {
    /// Number of this fork among all forks of its cell: never 0 in a fork, 0 while the parent boots.
    pub generation: u64,
    /// Wall clock at entry: nanoseconds since 1970-01-01T00:00:00Z.
    pub wall_ns: u64,
    /// Host `CLOCK_MONOTONIC` at entry, in nanoseconds.
    pub monotonic_ns: u64,
    /// Frequency of the guest's time-stamp counter in kHz.
    pub tsc_khz: u64,
    /// Seed for the guest's random number generator, from the host's `getrandom(2)`.
    pub seed: [u8; 32],
    /// Random id of this fork: `/proc/sys/kernel/random/boot_id`, the host name, the context's instance id.
    pub instance: [u8; 16],
}

const _: () = assert!(size_of::<Identity>() == 80);
