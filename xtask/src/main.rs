//! `cargo xtask`: the project's own checks.

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    xtask::main(&arguments)
}
