//! Counts primes over HTTP: `GET /?n=1000000`.

mod sieve;

use rust_hello::{Request, Response, port, serve};

/// Largest `n`: a fraction of a second of work.
const N_MAX: u32 = 100_000_000;

fn main() -> std::io::Result<()> {
    serve(port()?, answer)
}

fn answer(request: &Request) -> Response {
    if request.head.path != "/" {
        return error(404, "there is only /");
    }
    if request.head.method != "GET" && request.head.method != "HEAD" {
        return error(405, "GET /?n=NUMBER");
    }
    let Some(text) = request.parameter("n") else { return error(400, "say how far to count: /?n=1000000") };
    let Some(n) = text.parse().ok().filter(|n| *n <= N_MAX) else {
        return error(400, &format!("n must be a whole number from 0 to {N_MAX}"));
    };
    let found = sieve::primes_below(n);
    let largest = found.largest.map_or_else(|| "null".to_owned(), |prime| prime.to_string());
    Response::json(200, format!("{{\"n\":{n},\"primes\":{},\"largest\":{largest}}}\n", found.count))
}

/// `message` must not need escaping.
fn error(status: u16, message: &str) -> Response {
    Response::json(status, format!("{{\"error\":\"{message}\"}}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rust_hello::parse_head;

    fn get(target: &str) -> (u16, String) {
        let head = parse_head(format!("GET {target} HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
        let response = answer(&Request { head, body: Vec::new() });
        (response.status, String::from_utf8(response.body).unwrap())
    }

    #[test]
    fn answers_are_json_and_input_is_bounded() {
        assert_eq!(get("/?n=100"), (200, "{\"n\":100,\"primes\":25,\"largest\":97}\n".to_owned()));
        assert_eq!(get("/?n=0"), (200, "{\"n\":0,\"primes\":0,\"largest\":null}\n".to_owned()));
        for target in ["/", "/?n=", "/?n=-1", "/?n=1e6", "/?n=100000001", "/?n=99999999999999999999"] {
            assert_eq!(get(target).0, 400, "{target}");
        }
        assert_eq!(get("/other").0, 404);
    }
}
