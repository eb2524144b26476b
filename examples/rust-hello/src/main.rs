//! Says hello over HTTP, and echoes what is posted to `/echo`.

use rust_hello::{Request, Response, port, serve};

fn main() -> std::io::Result<()> {
    serve(port()?, answer)
}

fn answer(request: &Request) -> Response {
    match (request.head.method.as_str(), request.head.path.as_str()) {
        ("GET" | "HEAD", "/") => {
            let name = request.parameter("name").unwrap_or_else(|| "world".to_owned());
            Response::text(200, format!("Hello from Rust, {name}!\n"))
        }
        ("POST", "/echo") => {
            Response { status: 200, content_type: "application/octet-stream", body: request.body.clone() }
        }
        (_, "/" | "/echo") => Response::text(405, "GET / or POST /echo\n"),
        _ => Response::text(404, "there is / and /echo\n"),
    }
}
