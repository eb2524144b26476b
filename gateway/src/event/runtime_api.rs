//! The answer to `invocation/next` of AWS Lambda's Runtime API: HTTP/1.1, head and event. pico hands it to the program
//! as it is.

use super::lambda::{Arn, deadline_ms, event};
use super::{About, Incoming};
use abi::runtime_api::REQUEST_ID;
use http::HeaderMap;

/// AWS's own header field for traces.
const AMAZON_TRACE: &str = "x-amzn-trace-id";
const TRACE_PARENT: &str = "traceparent";
/// Longest trace id that is handed on.
const TRACE_MAX: usize = 512;

/// Encodes the answer.
pub(crate) fn next(request: &Incoming<'_>, about: &About<'_>) -> Vec<u8> {
    let event = event(request, about);
    let trace = trace_id(request.headers)
        .map_or_else(String::new, |trace| format!("Lambda-Runtime-Trace-Id: {trace}\r\n"));
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{REQUEST_ID}: {}\r\n\
         Lambda-Runtime-Deadline-Ms: {}\r\nLambda-Runtime-Invoked-Function-Arn: {}\r\n{trace}\r\n",
        event.len(),
        invocation_id(request.request_id),
        deadline_ms(request, about),
        Arn(about.name),
    );
    [head.as_bytes(), &event].concat()
}

/// The request's id as it can be part of a path: a client may have chosen any text.
fn invocation_id(request_id: &str) -> String {
    request_id.replace(|c: char| !matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '~'), "_")
}

/// The trace the request belongs to, as AWS writes it.
pub(super) fn trace_id(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(own) = text(AMAZON_TRACE).filter(|own| !own.is_empty() && own.len() <= TRACE_MAX) {
        return Some(own.to_owned());
    }
    let parent = text(TRACE_PARENT)?;
    let mut parts = parent.split('-');
    let mut hex = |len| parts.next().filter(|part| part.len() == len && is_hex(part));
    let (_version, trace, span, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
    let sampled = u8::from_str_radix(flags, 16).ok()? & 1;
    let (time, unique) = trace.split_at(8);
    Some(format!("Root=1-{time}-{unique};Parent={span};Sampled={sampled}"))
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::super::testing::Parts;
    use super::*;
    use http::Method;
    use std::time::Duration;

    const ABOUT: About<'_> = About { name: "f", memory_bytes: 128 << 20, timeout: Duration::from_secs(3) };

    fn encoded(parts: &Parts) -> String {
        String::from_utf8(next(&parts.incoming(), &ABOUT)).unwrap()
    }

    #[test]
    fn it_is_a_response_with_the_event_as_its_body() {
        let text = encoded(&Parts::new(Method::POST, "/a", "b=c").body(b"hello"));
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let event: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!((&event["rawPath"], &event["body"]), (&"/a".into(), &"hello".into()));
        assert_eq!(
            head,
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
                 Lambda-Runtime-Aws-Request-Id: req-1\r\nLambda-Runtime-Deadline-Ms: 1583348641390\r\n\
                 Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:local:anonymous:function:f",
                body.len()
            )
        );
    }

    #[test]
    fn the_id_of_an_invocation_can_be_part_of_a_path() {
        for (given, id) in [("req-1_A~", "req-1_A~"), ("..", "__"), ("a/b?c#d%20", "a_b_c_d_20")] {
            assert_eq!(invocation_id(given), id);
        }
    }

    #[test]
    fn a_trace_is_handed_on() {
        let trace = |name, value: &str| {
            let parts = Parts::new(Method::GET, "/", "").header(name, value.as_bytes());
            let text = encoded(&parts);
            let line = text.lines().find_map(|line| line.strip_prefix("Lambda-Runtime-Trace-Id: "));
            line.map(str::to_owned)
        };
        assert_eq!(trace(AMAZON_TRACE, "Root=1-2-3").as_deref(), Some("Root=1-2-3"));
        assert_eq!(
            trace(TRACE_PARENT, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").as_deref(),
            Some("Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=1")
        );
        for nonsense in ["", "00", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333X-01"] {
            assert_eq!(trace(TRACE_PARENT, nonsense), None, "{nonsense}");
        }
        assert_eq!(trace(AMAZON_TRACE, &"x".repeat(600)), None);
    }
}
