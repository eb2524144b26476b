//! The contract between the host (`vmm`, `worker`) and the guest kernel (`pico`).
//!
//! Everything both sides must agree on is defined here, once: where memory lies ([`layout`]), what the guest
//! finds when it starts ([`boot`]), what the two exchange while a VM runs ([`mailbox`]) and what must differ
//! between two forks of one parent ([`identity`]). The words of one contract have a module of their own
//! ([`runtime_api`]). Sizes and offsets are pinned by compile-time assertions;
//! changing one of them is a new [`VERSION`].
#![no_std]
#![forbid(unsafe_code)]

pub mod boot;
pub mod console;
pub mod erofs;
pub mod identity;
pub mod layout;
pub mod mailbox;
pub mod refusal;
pub mod runtime_api;

/// Version of this contract. Host and guest refuse each other when it differs.
pub const VERSION: u32 = 5;
