//! Reading a request head. The bytes are the client's and may be anything.

use crate::Response;

/// Most bytes of a request head.
pub const HEAD_MAX: usize = 16 << 10;
/// Most bytes of a request body.
pub const BODY_MAX: usize = 1 << 20;

/// What the head of a request says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Method, in capitals.
    pub method: String,
    /// Path, percent-decoding not applied.
    pub path: String,
    /// Query without the `?`; empty if there is none.
    pub query: String,
    /// Bytes of body that follow.
    pub content_length: usize,
    /// Whether the connection stays open after the answer.
    pub keep_alive: bool,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its head.
    pub head: Head,
    /// Its body.
    pub body: Vec<u8>,
}

impl Request {
    /// The value of a query parameter, percent-decoded.
    pub fn parameter(&self, name: &str) -> Option<String> {
        self.head.query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key) == name).then(|| decode(value))
        })
    }
}

/// Percent-decoding of a query; what is not a valid escape stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let escape = digits
            .filter(|two| byte == b'%' && two.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|two| u8::from_str_radix(two, 16).ok());
        match escape {
            Some(value) => {
                bytes.push(value);
                rest = &after[2..];
            }
            None => {
                bytes.push(if byte == b'+' { b' ' } else { byte });
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Parses a request head, up to and including the empty line; a refusal is the response to send.
pub fn parse_head(bytes: &[u8]) -> Result<Head, Response> {
    let bad = |why: &str| Response::text(400, format!("bad request: {why}\n"));
    let text = std::str::from_utf8(bytes).map_err(|_| bad("the head is not UTF-8"))?;
    let mut lines = text.strip_suffix("\r\n\r\n").ok_or_else(|| bad("the head has no end"))?.split("\r\n");
    let request_line = lines.next().unwrap_or_default();
    let [method, target, version] = request_line.split(' ').collect::<Vec<_>>()[..] else {
        return Err(bad("the request line is not METHOD TARGET VERSION"));
    };
    if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
        return Err(bad("impossible method"));
    }
    if !target.starts_with('/') {
        return Err(bad("the target is not a path"));
    }
    let mut keep_alive = match version {
        "HTTP/1.1" => true,
        "HTTP/1.0" => false,
        _ => return Err(Response::text(505, "only HTTP/1.1 and HTTP/1.0 are spoken here\n")),
    };
    let mut length: Option<usize> = None;
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| bad("a header line has no colon"))?;
        if name.is_empty() || name.contains([' ', '\t']) {
            return Err(bad("impossible header name"));
        }
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => {
                let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
                let parsed =
                    value.parse().ok().filter(|_| digits).ok_or_else(|| bad("impossible content-length"))?;
                if length.is_some_and(|before| before != parsed) {
                    return Err(bad("two content-lengths"));
                }
                length = Some(parsed);
            }
            "transfer-encoding" => return Err(Response::text(501, "send a content-length instead\n")),
            "connection" => {
                for option in value.split(',').map(str::trim) {
                    if option.eq_ignore_ascii_case("close") {
                        keep_alive = false;
                    } else if option.eq_ignore_ascii_case("keep-alive") {
                        keep_alive = true;
                    }
                }
            }
            _ => {}
        }
    }
    let content_length = length.unwrap_or(0);
    if content_length > BODY_MAX {
        return Err(Response::text(413, format!("a body can have {BODY_MAX} bytes\n")));
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Ok(Head {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        content_length,
        keep_alive,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(head: &str) -> u16 {
        parse_head(head.as_bytes()).expect_err(head).status
    }

    #[test]
    fn a_head_is_taken_apart() {
        let head = parse_head(b"POST /a/b?x=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n").unwrap();
        assert_eq!((head.method.as_str(), head.path.as_str(), head.query.as_str()), ("POST", "/a/b", "x=1"));
        assert_eq!((head.content_length, head.keep_alive), (5, true));
        assert!(!parse_head(b"GET / HTTP/1.1\r\nConnection: foo, Close\r\n\r\n").unwrap().keep_alive);
        assert!(!parse_head(b"GET / HTTP/1.0\r\n\r\n").unwrap().keep_alive);
        assert!(parse_head(b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n").unwrap().keep_alive);
    }

    #[test]
    fn what_is_wrong_is_refused_with_the_right_status() {
        for head in [
            "GET / HTTP/1.1\r\n",
            "GET /\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "get / HTTP/1.1\r\n\r\n",
            "GET x HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nno colon\r\n\r\n",
            "GET / HTTP/1.1\r\nbad name: x\r\n\r\n",
            "GET / HTTP/1.1\r\ncontent-length: +5\r\n\r\n",
            "GET / HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n",
            "GET / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            "\r\n\r\n",
        ] {
            assert_eq!(status(head), 400, "{head:?}");
        }
        assert_eq!(status("GET / HTTP/2.0\r\n\r\n"), 505);
        assert_eq!(status("GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"), 501);
        assert_eq!(status("GET / HTTP/1.1\r\ncontent-length: 1048577\r\n\r\n"), 413);
        assert_eq!(parse_head(b"GET /\xff HTTP/1.1\r\n\r\n").unwrap_err().status, 400);
    }

    #[test]
    fn parameters_are_decoded() {
        let head = parse_head(b"GET /?a=1&name=J%C3%BCrgen+M&odd=%zz%4&empty HTTP/1.1\r\n\r\n").unwrap();
        let request = Request { head, body: Vec::new() };
        assert_eq!(request.parameter("name").as_deref(), Some("J\u{fc}rgen M"));
        assert_eq!(request.parameter("odd").as_deref(), Some("%zz%4"));
        assert_eq!(request.parameter("empty").as_deref(), Some(""));
        assert_eq!(request.parameter("none"), None);
    }
}
