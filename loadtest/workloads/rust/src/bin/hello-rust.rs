//! Says hello: what a call costs that does nothing.

use rust_workloads::{Given, Kind, Workload, quote};

fn main() -> std::io::Result<()> {
    Workload { name: "hello-rust", parameters: &[("name", Kind::Text("world"))], work }.serve()
}

fn work(given: &Given) -> Result<String, String> {
    Ok(format!("{{\"message\":{}}}", quote(&format!("Hello, {}!", given.text("name")))))
}
