//! What all workloads in Rust share: parameters, the answer, and the proof of a pristine state. As workload.py.

mod parameters;
pub mod sha256;
mod text;

pub use parameters::{Given, Kind, TEXT_MAX};
pub use text::quote;

use rust_hello::{Request, Response, port, serve};
use std::sync::atomic::{AtomicU64, Ordering};

/// Longest body, in bytes.
pub const BODY_MAX: usize = 64 << 10;

/// A workload: its name, its parameters, and its work, which gives the result as JSON, or what its own check found wrong.
pub struct Workload {
    /// Name in answers.
    pub name: &'static str,
    /// Names of the parameters, and what each can be.
    pub parameters: &'static [(&'static str, Kind)],
    /// The work.
    pub work: fn(&Given) -> Result<String, String>,
}

impl Workload {
    /// Serves it for ever.
    pub fn serve(self) -> std::io::Result<()> {
        let calls = AtomicU64::new(0);
        serve(port()?, move |request| self.answer(request, calls.fetch_add(1, Ordering::Relaxed) + 1))
    }

    /// The answer to a request, the `calls`-th that this memory has seen.
    pub fn answer(&self, request: &Request, calls: u64) -> Response {
        let (name, tail) = (self.name, format!("\"calls\":{calls}}}"));
        let error = |status: u16, message: &str| {
            let message = quote(message);
            Response::json(status, format!("{{\"error\":{message},\"workload\":\"{name}\",{tail}"))
        };
        if request.head.path != "/" {
            return error(404, "there is only /");
        }
        if !["GET", "POST"].contains(&request.head.method.as_str()) {
            return error(405, "GET or POST");
        }
        let given = match Given::parse(self.parameters, &request.body) {
            Ok(given) => given,
            Err(message) => return error(400, &message),
        };
        match (self.work)(&given) {
            Ok(result) => {
                let given = given.json();
                let body =
                    format!("{{\"workload\":\"{name}\",\"parameters\":{given},\"result\":{result},{tail}");
                Response::json(200, body)
            }
            Err(wrong) => error(500, &format!("the check failed: {wrong}")),
        }
    }
}
