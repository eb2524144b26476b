//! The guest kernel's image: the library plus what a freestanding program must define.
#![no_std]
#![no_main]

use core::panic::PanicInfo;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    pico::arch::die(format_args!("{info}"))
}
