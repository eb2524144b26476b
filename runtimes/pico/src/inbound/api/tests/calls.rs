//! Which call is allowed when, and what comes of it.

use super::*;
use std::string::ToString;

const ACCEPTED: (u16, &str) = (202, "{\"status\":\"OK\"}\n");

#[track_caller]
fn is(found: (u16, String), expected: (u16, &str)) {
    assert_eq!((found.0, found.1.as_str()), expected);
}

#[test]
fn next_waits_for_the_request_and_is_given_the_event_as_it_is() {
    let vm = Vm::new();
    let mut client = vm.connect();
    assert!(!client.connection.takes_request());
    client.send(NEXT);
    assert!(client.connection.takes_request() && !client.connection.readable());
    assert_eq!(client.connection.receive(&mut [0; 9], false), Err(Errno::EAGAIN));
    let before = client.connection.activity();
    vm.deliver(event());
    assert!(client.connection.readable() && client.connection.activity() != before);
    let mut peeked = [0; 8];
    assert_eq!(client.connection.receive(&mut peeked, true), Ok(8));
    assert_eq!(client.read(), event());
    assert!(!client.connection.takes_request() && client.connection.takes_bytes());
}

#[test]
fn a_response_is_handed_on_as_it_is() {
    let (vm, mut client) = Vm::running();
    is(client.call(post("response", "", "{\"a\":1}")), ACCEPTED);
    vm.answered("response \n{\"a\":1}");
}

#[test]
fn an_answer_may_come_on_another_connection_in_chunks() {
    let (vm, _first) = Vm::running();
    let mut second = vm.connect();
    let path = format!("/2018-06-01/runtime/invocation/{ID}/response");
    let head = format!("POST {path} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    second.send(head);
    second.send("3;x=y\r\nabc\r\n");
    assert_eq!(vm.answer(), None);
    is(second.call("2\r\nde\r\n0\r\n\r\n"), ACCEPTED);
    vm.answered("response \nabcde");
}

#[test]
fn errors_carry_their_type() {
    let document = "{\"errorMessage\":\"no\",\"errorType\":\"X\"}";
    let fields = "Lambda-Runtime-Function-Error-Type: unhandled\r\n";
    let (vm, mut client) = Vm::running();
    is(client.call(post("error", fields, document)), ACCEPTED);
    vm.answered(&format!("error unhandled\n{document}"));
    let (vm, mut client) = Vm::running();
    is(client.call(post("error", "", "")), ACCEPTED);
    vm.answered("error \n");
}

#[test]
fn a_stream_carries_its_content_type_and_may_end_in_an_error() {
    let fields = "Lambda-Runtime-Function-Response-Mode: streaming\r\nContent-Type: text/x\r\n";
    let (vm, mut client) = Vm::running();
    is(client.call(post("response", fields, "body")), ACCEPTED);
    vm.answered("stream text/x\nbody");
    for (fields, expected) in [
        (
            fields,
            "chunks text/x\n4\r\nhalf\r\n0\r\nLambda-Runtime-Function-Error-Type: Broke\r\n\
                  Lambda-Runtime-Function-Error-Body: e30=\r\n\r\n",
        ),
        ("", "broken Broke\ne30="),
    ] {
        let (vm, mut client) = Vm::running();
        client.send(post("response", fields, "").replace("Content-Length: 0", "Transfer-Encoding: chunked"));
        client.send("4\r\nhalf\r\n0\r\nLambda-Runtime-Function-Error-Type: Broke\r\n");
        is(client.call("Lambda-Runtime-Function-Error-Body: e30=\r\n\r\n"), ACCEPTED);
        vm.answered(expected);
    }
}

#[test]
fn an_unknown_mode_is_refused() {
    let (vm, mut client) = Vm::running();
    let fields = "Lambda-Runtime-Function-Response-Mode: morse\r\n";
    is(client.refused(post("response", fields, "x")), (400, "InvalidFunctionResponseMode"));
    is(client.call(post("response", "Lambda-Runtime-Function-Response-Mode: buffered\r\n", "1")), ACCEPTED);
    vm.answered("response \n1");
}

#[test]
fn only_the_running_invocation_can_be_answered() {
    let vm = Vm::new();
    let mut client = vm.connect();
    is(client.refused(post("response", "", "1")), (403, "InvalidStateTransition"));
    let (vm, mut client) = Vm::running();
    for path in ["invocation/other/response", "invocation//error"] {
        is(client.refused(call("POST", path, "", "{}")), (400, "InvalidRequestID"));
    }
    is(client.refused(RESTORE), (403, "InvalidStateTransition"));
    is(client.refused(call("POST", "init/error", "", "{}")), (403, "InvalidStateTransition"));
    is(client.refused(call("POST", "restore/error", "", "{}")), (403, "InvalidStateTransition"));
    assert_eq!(vm.answer(), None);
    is(client.call(post("response", "", "1")), ACCEPTED);
    vm.answered("response \n1");
}

#[test]
fn one_answer_is_posted_at_a_time_and_half_of_one_counts_for_nothing() {
    let (vm, mut client) = Vm::running();
    let mut other = vm.connect();
    let request = post("response", "", "first");
    client.send(&request[..request.len() - 1]);
    is(other.refused(post("response", "", "second")), (403, "InvalidStateTransition"));
    drop(client);
    is(other.call(post("response", "", "second")), ACCEPTED);
    vm.answered("response \nsecond");
}

#[test]
fn what_is_too_long_is_refused_and_may_be_explained() {
    let long = "x".repeat(ROOM);
    let (vm, mut client) = Vm::running();
    let (status, body) = client.call(post("response", "", &long));
    assert_eq!(status, 413);
    assert!(body.contains("RequestEntityTooLarge") && body.contains("4096"), "{body}");
    is(client.refused(post("response", "", "1")), (403, "InvalidStateTransition"));
    is(client.call(post("error", "", "{}")), ACCEPTED);
    vm.answered("error \n{}");
    let (vm, mut client) = Vm::running();
    is(client.refused(post("response", "", &long)), (413, "RequestEntityTooLarge"));
    client.send(NEXT);
    assert_eq!(vm.answer(), Some(None), "the invocation ends");
}

#[test]
fn a_restored_program_learns_it_before_it_asks_for_the_event() {
    let vm = Vm::new();
    let mut client = vm.connect();
    client.send(RESTORE);
    assert!(client.connection.takes_request());
    vm.deliver(event());
    assert!(client.connection.readable());
    assert_eq!(client.reply().0, 200);
    is(client.refused(RESTORE), (403, "InvalidStateTransition"));
    client.send(NEXT);
    assert_eq!(client.read(), event());
    is(client.call(post("response", "", "1")), ACCEPTED);
    vm.answered("response \n1");
}

#[test]
fn a_program_that_cannot_be_restored_answers_with_its_error() {
    let vm = Vm::new();
    let mut client = vm.connect();
    client.send(RESTORE);
    vm.deliver(event());
    assert_eq!(client.reply().0, 200);
    let fields = "Lambda-Runtime-Function-Error-Type: Runtime.AfterRestoreError\r\n";
    is(client.call(call("POST", "restore/error", fields, "{}")), ACCEPTED);
    vm.answered("error Runtime.AfterRestoreError\n{}");
}

#[test]
fn an_error_of_the_start_goes_to_the_log_and_ends_it() {
    for path in ["init/error", "restore/error"] {
        let vm = Vm::new();
        let mut client = vm.connect();
        let fields = "Lambda-Runtime-Function-Error-Type: Runtime.NoSuchHandler\r\n";
        is(client.call(call("POST", path, fields, "{\"errorMessage\":\"m\"}")), ACCEPTED);
        let report = vm.inbound.borrow().report.clone();
        assert_eq!(report, b"[ERROR] Runtime.NoSuchHandler: {\"errorMessage\":\"m\"}\n");
        for request in [NEXT.to_string(), RESTORE.to_string(), call("POST", path, fields, "")] {
            is(client.refused(request), (403, "InvalidStateTransition"));
        }
    }
    let vm = Vm::new();
    vm.connect().call(call("POST", "init/error", "", &"x".repeat(100_000)));
    assert_eq!(vm.inbound.borrow().report.len(), b"[ERROR] Runtime.Unknown: \n".len() + (16 << 10));
}

#[test]
fn a_second_next_waits_for_the_end() {
    let (vm, mut client) = Vm::running();
    client.send(NEXT);
    assert!(client.connection.takes_request() && !client.connection.readable());
    assert_eq!(vm.answer(), None);
}

#[test]
fn what_is_no_event_is_an_error_of_the_platform() {
    for request in ["nonsense", "HTTP/1.1 200 OK\r\n\r\n"] {
        let vm = Vm::new();
        let mut client = vm.connect();
        client.send(NEXT);
        vm.deliver(request.as_bytes().to_vec());
        assert_eq!(client.reply().0, 500);
    }
}

#[test]
fn amazons_own_clients_read_a_response_before_the_parent_is_captured() {
    for request in [NEXT, RESTORE] {
        let vm = Vm::new();
        let mut client = vm.connect();
        client.send(request.replace("Host: x", "User-Agent: AWS-Lambda-Rust/1.1"));
        let interim = client.read_text();
        assert!(
            interim.starts_with("HTTP/1.1 100 Continue\r\n") && interim.ends_with("\r\n\r\n"),
            "{interim}"
        );
        assert!(client.connection.takes_request() && !client.connection.readable());
        vm.deliver(event());
        assert!(client.read_text().starts_with("HTTP/1.1 200 OK\r\n"));
    }
    let (_vm, mut client) = Vm::running();
    client.send(NEXT.replace("Host: x", "User-Agent: aws-lambda-rust/1.1"));
    assert_eq!(client.read_text(), "", "only while the parent may still be captured");
}
