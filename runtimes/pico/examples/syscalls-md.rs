//! Prints the compatibility page: `cargo run -p pico --example syscalls-md > docs/SYSCALLS.md`.

fn main() {
    print!("{}", pico::syscall::markdown());
}
