//! HTTP/1.1 as clients speak it, well and badly.

use super::*;
use proptest::prelude::*;
use std::string::ToString;

const INIT_ERROR: &str = "POST /2018-06-01/runtime/init/error HTTP/1.1\r\n";

#[test]
fn unknown_paths_and_methods_are_told() {
    let mut client = Vm::new().connect();
    for path in ["/", "/2018-06-01/", "/2018-06-01/runtime/", "/2018-06-01/runtime/invocation/x/other"] {
        let refused = client.refused(format!("GET {path} HTTP/1.1\r\n\r\n"));
        assert_eq!((refused.0, refused.1.as_str()), (404, "NotFound"), "{path}");
    }
    for (method, path, allowed) in [
        ("POST", "invocation/next", "GET"),
        ("DELETE", "init/error", "POST"),
        ("GET", "invocation/x/response", "POST"),
    ] {
        client.send(call(method, path, "", "body that is passed over"));
        let text = client.read_text();
        assert!(
            text.starts_with("HTTP/1.1 405 ") && text.contains(&format!("Allow: {allowed}\r\n")),
            "{text}"
        );
    }
}

#[test]
fn a_connection_is_kept_unless_the_client_does_not_want_it() {
    let mut client = Vm::new().connect();
    for _ in 0..3 {
        client.refused("\r\nGET /x HTTP/1.1\r\n\r\n");
    }
    let (status, _) = client.call("GET /x HTTP/1.1\r\nConnection: foo, close\r\n\r\n");
    assert!(status == 404 && client.is_at_end());
    let mut client = Vm::new().connect();
    client.call("GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    client.call("GET /x HTTP/1.0\r\n\r\n");
    assert!(client.is_at_end());
}

#[test]
fn the_event_is_the_last_that_a_closing_client_reads() {
    let vm = Vm::new();
    let mut client = vm.connect();
    client.send(NEXT.replace("Host: x", "Connection: close"));
    vm.deliver(event());
    assert_eq!(client.read(), event());
    assert!(client.is_at_end());
}

#[test]
fn nothing_is_taken_while_an_answer_is_not_read() {
    let mut client = Vm::new().connect();
    let two = "GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n";
    assert_eq!(client.connection.send(two.as_bytes()), Ok(two.len() / 2));
    assert!(!client.connection.takes_bytes());
    assert_eq!(client.connection.send(b"G"), Err(Errno::EAGAIN));
    assert_eq!(client.connection.send(b""), Ok(0));
    assert_eq!(client.reply().0, 404);
    assert_eq!(client.call(&two[two.len() / 2..]).0, 404);
}

#[test]
fn a_client_that_expects_to_be_told_to_go_on_is_told() {
    let (vm, mut client) = Vm::running();
    let request = post("response", "Expect: 100-continue\r\n", "12");
    client.send(&request[..request.len() - 2]);
    assert_eq!(client.read_text(), "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.call("12").0, 202);
    vm.answered("response \n12");
}

#[test]
fn malformed_requests_are_refused_and_end_the_connection() {
    let many = "a: b\r\n".repeat(65);
    let long = format!("a: {}\r\n", "x".repeat(20_000));
    for (request, status) in [
        ("nonsense\r\n\r\n".to_string(), 400),
        ("GET /x HTTP/2.0\r\n\r\n".to_string(), 400),
        ("GET /x HTTP/1.1\r\nno colon\r\n\r\n".to_string(), 400),
        ("GET /x HTTP/1.1\r\n folded: x\r\n\r\n".to_string(), 400),
        (format!("{INIT_ERROR}Content-Length: x\r\n\r\n"), 400),
        (format!("{INIT_ERROR}Content-Length: -1\r\n\r\n"), 400),
        (format!("{INIT_ERROR}Content-Length: 99999999999999999999\r\n\r\n"), 400),
        (format!("{INIT_ERROR}Content-Length: 1\r\nContent-Length: 2\r\n\r\n"), 400),
        (format!("{INIT_ERROR}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"), 400),
        (format!("{INIT_ERROR}Transfer-Encoding: gzip, chunked\r\n\r\n"), 400),
        (format!("{INIT_ERROR}Transfer-Encoding: chunked\r\n\r\nz\r\n"), 400),
        (format!("{INIT_ERROR}Transfer-Encoding: chunked\r\n\r\n1\r\nab"), 400),
        (format!("{INIT_ERROR}{many}\r\n"), 431),
        (format!("{INIT_ERROR}{long}\r\n"), 431),
    ] {
        let vm = Vm::new();
        let mut client = vm.connect();
        let sent = client.connection.send(request.as_bytes());
        assert!(sent.is_ok(), "{request}");
        let (found, body) = client.reply();
        assert_eq!(found, status, "{request}");
        assert!(body.contains("InvalidHTTPRequest") && client.is_at_end(), "{request}");
        assert!(vm.inbound.borrow().report.is_empty(), "{request}");
    }
}

#[test]
fn an_answer_with_a_broken_body_is_none() {
    let (vm, mut client) = Vm::running();
    let request = post("response", "", "").replace("Content-Length: 0", "Transfer-Encoding: chunked");
    client.send(&request);
    assert_eq!(client.connection.send(b"1\r\na\r\nnonsense"), Ok(7), "up to what cannot be");
    assert_eq!(client.reply().0, 400);
    assert!(client.is_at_end() && vm.answer().is_none());
    let mut client = vm.connect();
    client.send(&request);
    assert_eq!(client.call("1\r\na\r\n0\r\nno colon\r\n\r\n").0, 400);
    assert_eq!(vm.answer(), None);
    assert_eq!(client.call(post("response", "", "1")).0, 202);
    vm.answered("response \n1");
}

/// Sends `bytes` in pieces, reading whenever nothing is taken; what was read.
fn converse(vm: &Vm, bytes: &[u8], pieces: &[usize]) -> Vec<u8> {
    let mut client = vm.connect();
    let (mut rest, mut read) = (bytes, Vec::new());
    let mut pieces = pieces.iter().copied().cycle();
    while !rest.is_empty() {
        let piece = pieces.next().unwrap_or(rest.len()).clamp(1, rest.len());
        match client.connection.send(&rest[..piece]) {
            Ok(taken) => {
                assert!((1..=piece).contains(&taken));
                rest = &rest[taken..];
            }
            Err(Errno::EAGAIN) => {
                let more = client.read();
                if more.is_empty() {
                    break; // it waits for the request
                }
                read.extend(more);
            }
            Err(_) => break,
        }
    }
    read.extend(client.read());
    read
}

/// Pieces of requests, so that what is generated gets beyond the first line.
fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let known = [
        NEXT,
        RESTORE,
        INIT_ERROR,
        "Transfer-Encoding: chunked\r\n",
        "Content-Length: 3\r\n",
        "Expect: 100-continue\r\n",
        "Lambda-Runtime-Function-Response-Mode: streaming\r\n",
        "\r\n",
        "3\r\nabc\r\n",
        "0\r\n\r\n",
        "abc",
    ];
    let response = format!("POST /2018-06-01/runtime/invocation/{ID}/response HTTP/1.1\r\n");
    let known = known.map(|text| text.as_bytes().to_vec()).into_iter().chain([response.into_bytes()]);
    let known = prop::sample::select(known.collect::<Vec<_>>());
    let piece = prop_oneof![9 => known, 1 => prop::collection::vec(any::<u8>(), 0..20)];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn the_sizes_of_writes_make_no_difference(
        bytes in fragments(),
        pieces in prop::collection::vec(1usize..9, 1..9),
        running in any::<bool>(),
    ) {
        let vm = || if running { Vm::running() } else { let vm = Vm::new(); let c = vm.connect(); (vm, c) };
        let ((one, _c), (other, _d)) = (vm(), vm());
        let (whole, split) = (converse(&one, &bytes, &[]), converse(&other, &bytes, &pieces));
        prop_assert_eq!(String::from_utf8_lossy(&whole), String::from_utf8_lossy(&split));
        prop_assert_eq!(one.answer(), other.answer());
    }

    #[test]
    fn any_bytes_are_answered_or_waited_for(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        converse(&Vm::new(), &bytes, &[]);
    }
}
