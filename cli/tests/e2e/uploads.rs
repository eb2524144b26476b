//! Request bodies that are read while they come.

use crate::http::{Connection, Response};
use crate::platform::{Platform, compile, function};
use crate::wait_for;
use sha2::{Digest, Sha256};
use std::io::Read;

/// More than the mailbox holds.
const LARGE: usize = 40_000_000;
/// A little more than is taken in before a function runs.
const STREAMED: usize = (256 << 10) + 1;

pub(crate) fn with_uploads(timeout: &str, args: &[&str]) -> Platform {
    let platform = Platform::start_with(args);
    let program = platform.data.path().join("uploads");
    compile(&function("uploads.c"), &program);
    platform.deploy(&program, &["--name", "uploads", "--timeout", timeout]);
    platform
}

/// Bytes that differ from piece to piece.
fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| ((at * 31) ^ (at >> 11)).to_le_bytes()[0]).collect()
}

/// What the function says of a body it has read.
fn summed(body: &[u8]) -> String {
    let digest = Sha256::digest(body);
    let hex = digest.iter().map(|byte| format!("{byte:02x}"));
    format!("{} {}", body.len(), hex.collect::<String>())
}

fn head(path: &str, field: &str) -> Vec<u8> {
    format!("POST /function/uploads/{path} HTTP/1.1\r\nhost: spore.test\r\n{field}\r\n\r\n").into_bytes()
}

const CHUNKED: &str = "transfer-encoding: chunked";

fn length(len: usize) -> String {
    format!("content-length: {len}")
}

/// Sends a chunk; an empty one is the end.
fn send_chunk(connection: &mut Connection, data: &[u8]) {
    let size = format!("{:x}\r\n", data.len());
    connection.write(&[size.as_bytes(), data, b"\r\n"].concat());
}

fn send_chunked(connection: &mut Connection, path: &str, body: &[u8], size: usize) -> Response {
    connection.write(&head(path, CHUNKED));
    body.chunks(size).for_each(|piece| send_chunk(connection, piece));
    send_chunk(connection, b"");
    connection.receive()
}

pub(crate) fn is_well(platform: &Platform) {
    assert_eq!(platform.get("/function/uploads/").text(), "hello");
    // There is the VM that has just answered, at least.
    wait_for("a VM is still busy", || platform.is_idle());
    wait_for("a request is still counted", || platform.metric("spore_requests_in_flight", "") == 0.0);
    assert_eq!(platform.metric("spore_parent_boots_total", "uploads"), 1.0, "a cell died of it");
}

#[test]
fn a_body_arrives_unchanged_however_it_is_sent_and_read() {
    let platform = with_uploads("120s", &[]);
    let mut connection = platform.connect();
    for path in ["sum", "poll", "poll/spin"] {
        for len in [0, 1, STREAMED - 1, STREAMED, 3_000_000] {
            let body = bytes(len);
            let whole = connection.request("POST", &format!("/function/uploads/{path}"), &[], &body);
            assert_eq!((whole.status, whole.text()), (200, summed(&body)), "{path} {len}");
            let chunked = send_chunked(&mut connection, path, &body, 70_000);
            assert_eq!((chunked.status, chunked.text()), (200, summed(&body)), "{path} {len}, chunked");
        }
    }
    let body = bytes(LARGE);
    let large = connection.request("POST", "/function/uploads/sum", &[], &body);
    assert_eq!((large.status, large.text()), (200, summed(&body)));
    let last = connection.get("/function/uploads/");
    assert_eq!((last.text().as_str(), last.header("x-spore-start")), ("hello", Some("recycled")));
    // The two longer lengths, in chunks or not; short ones were taken in before the function ran.
    assert!(platform.metric("spore_streamed_body_bytes_total", "") > 59_000_000.0);
    is_well(&platform);
}

#[test]
fn small_pieces_arrive_when_they_are_sent_and_are_answered_meanwhile() {
    let platform = with_uploads("120s", &[]);
    let mut connection = platform.connect();
    connection.write(&head("echo", CHUNKED));
    let answer = connection.receive_head();
    assert_eq!(answer.status, 200, "it is answered before there is a body");
    for number in 0..50 {
        let text = format!("piece {number}");
        send_chunk(&mut connection, text.as_bytes());
        assert_eq!(connection.chunk().unwrap(), text.as_bytes());
    }
    // Trailers are dropped.
    connection.write(b"0\r\nx-trailer: 1\r\n\r\n");
    assert_eq!(connection.chunk().unwrap(), b"");
    assert_eq!(connection.get("/function/uploads/").text(), "hello", "the connection is kept");
    is_well(&platform);
}

#[test]
fn a_large_body_is_echoed_while_it_comes() {
    let platform = with_uploads("120s", &[]);
    let body = bytes(LARGE);
    let mut connection = platform.connect();
    let mut writer = connection.second();
    let sent = body.clone();
    let sending = std::thread::spawn(move || {
        writer.write(&head("echo", &length(sent.len())));
        writer.write(&sent);
    });
    let echo = connection.receive();
    sending.join().unwrap();
    assert!(echo.body == body, "{} bytes came back", echo.body.len());
    is_well(&platform);
}

#[test]
fn an_answer_may_come_before_the_end_of_the_body() {
    let platform = with_uploads("60s", &[]);
    for field in [length(5_000_000), CHUNKED.to_owned()] {
        let mut connection = platform.connect();
        connection.write(&head("early", &field));
        let early = connection.receive();
        assert_eq!((early.status, early.text().as_str()), (200, "I know enough"));
    }
    // A client that sends everything first gets to read the answer, too.
    let mut connection = platform.connect();
    let early = connection.request("POST", "/function/uploads/early", &[], &bytes(5_000_000));
    assert_eq!((early.status, early.text().as_str()), (200, "I know enough"));
    assert_eq!(connection.get("/function/uploads/").text(), "hello", "the connection is kept");
    is_well(&platform);
}

#[test]
fn a_client_that_leaves_frees_the_vm() {
    let platform = with_uploads("300s", &[]);
    for field in [length(5_000_000), CHUNKED.to_owned()] {
        let mut connection = platform.connect();
        connection.write(&head("sum", &field));
        connection.write(b"5\r\nhello\r\n");
        wait_for("it begins", || platform.serving() > 0);
        drop(connection);
        is_well(&platform);
    }
}

#[test]
fn a_client_that_leaves_frees_the_vm_of_a_function_that_does_not_read() {
    let platform = with_uploads("300s", &[]);
    for field in [length(5_000_000), CHUNKED.to_owned(), format!("expect: 100-continue\r\n{}", length(1))] {
        let mut connection = platform.connect();
        connection.write(&head("stall", &field));
        if !field.starts_with("expect") {
            connection.write(b"5\r\nhello\r\n");
        }
        wait_for("it begins", || platform.serving() > 0);
        drop(connection);
        is_well(&platform);
    }
}

#[test]
fn chunks_that_are_there_are_put_together() {
    let platform = with_uploads("120s", &[]);
    // A short body that has come whole is given a length.
    for len in [0, 1, 1000] {
        // It has 50 ms to come, which a busy machine may miss.
        wait_for("it is given a length", || {
            let told = send_chunked(&mut platform.connect(), "tell", &bytes(len), 100).text();
            told.starts_with(&format!("length {len} "))
        });
    }
    let mut connection = platform.connect();
    // More than is taken in before a function runs, however fast the machine is.
    let chunks = 300_000;
    connection.write(&head("tell", CHUNKED));
    connection.write(&[b"1\r\nx\r\n".repeat(chunks), b"0\r\n\r\n".to_vec()].concat());
    let told = connection.receive().text();
    let receptions = told.strip_prefix(&format!("chunks {chunks} ")).unwrap_or_else(|| panic!("{told}"));
    assert!(receptions.parse::<usize>().unwrap() < chunks / 10, "{told}");
    is_well(&platform);
}

#[test]
fn who_looks_at_a_body_without_reading_it_is_shown_more_and_more() {
    let platform = with_uploads("60s", &[]);
    let body = bytes(2_000_000);
    let answer = platform.connect().request("POST", "/function/uploads/look", &[], &body);
    assert_eq!((answer.status, answer.text()), (200, summed(&body)));
    is_well(&platform);
}

#[test]
fn slow_bodies_of_one_function_leave_places_for_others() {
    let platform = with_uploads("300s", &["--max-vms", "4"]);
    platform.deploy(&platform.data.path().join("uploads"), &["--name", "other"]);
    let mut slow: Vec<_> = (0..6).map(|_| platform.connect()).collect();
    for connection in &mut slow {
        connection.write(&head("sum", &length(5_000_000)));
    }
    wait_for("half of the places are taken", || platform.serving() == 2);
    for name in ["other", "uploads"] {
        let answer = platform.get(&format!("/function/{name}/"));
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"), "{name}");
    }
    drop(slow);
    is_well(&platform);
}

#[test]
fn permission_to_send_is_given_when_the_function_wants_to_read() {
    let platform = with_uploads("60s", &[]);
    let body = bytes(1000);
    let expect = format!("expect: 100-continue\r\n{}", length(body.len()));
    let mut connection = platform.connect();
    connection.write(&head("sum", &expect));
    assert_eq!(connection.receive_head().status, 100);
    connection.write(&body);
    assert_eq!(connection.receive().text(), summed(&body));
    // A function that does not want it does not get it.
    let mut connection = platform.connect();
    connection.write(&head("early", &expect));
    assert_eq!(connection.receive_head().status, 200);
    is_well(&platform);
}

#[test]
fn a_body_over_the_limit_is_refused_also_when_nobody_knew_its_length() {
    let limit = 1_000_000;
    let platform = with_uploads("60s", &["--max-body", &limit.to_string()]);
    let mut connection = platform.connect();
    let body = bytes(limit + 1);
    for len in [limit, limit + 1] {
        let status = if len > limit { 413 } else { 200 };
        let whole = connection.request("POST", "/function/uploads/sum", &[], &body[..len]);
        assert_eq!(whole.status, status, "{len}");
        let chunked = send_chunked(&mut platform.connect(), "sum", &body[..len], 100_000);
        assert_eq!(chunked.status, status, "{len}, chunked");
        if status == 413 {
            for answer in [whole, chunked] {
                assert_eq!(answer.code(), "RequestTooLarge");
                assert!(answer.text().contains("larger than 1000000 bytes"), "{}", answer.text());
            }
        }
    }
    // Broken chunks are the client's fault.
    let mut connection = platform.connect();
    connection.write(&head("sum", CHUNKED));
    connection.write(b"zz\r\n");
    assert_eq!(connection.receive().status, 400);
    is_well(&platform);
}

#[test]
fn a_body_that_pauses_too_long_and_one_that_takes_too_long_are_told_apart() {
    let platform = with_uploads("300s", &["--body-pause", "10"]);
    let mut connection = platform.connect();
    connection.write(&head("sum", &length(5_000_000)));
    connection.write(b"some of it");
    let paused = connection.receive();
    assert_eq!((paused.status, paused.code().as_str()), (408, "RequestTimeout"));
    assert!(paused.text().contains("did not arrive in time (limit 10s)"), "{}", paused.text());
    is_well(&platform);
    drop(platform);
    let platform = with_uploads("10s", &[]);
    let mut connection = platform.connect();
    connection.write(&head("sum", &length(5_000_000)));
    let starved = connection.receive();
    assert_eq!((starved.status, starved.code().as_str()), (408, "RequestTimeout"));
    assert!(starved.text().contains("before the function's time (10s) was over"), "{}", starved.text());
    is_well(&platform);
}

#[test]
fn a_function_that_does_not_read_holds_the_client_back() {
    let platform = with_uploads("20s", &[]);
    let mut connection = platform.connect();
    let mut writer = connection.second();
    // The function writes into a response that nobody reads, and so stops to read.
    let sending = std::thread::spawn(move || {
        writer.write(&head("echo", &length(500_000_000)));
        writer.write_until_refused(500_000_000)
    });
    wait_for("it begins", || platform.serving() > 0);
    wait_for("it goes on", || platform.metric("spore_shells_discarded_total", "uploads") >= 1.0);
    // The connection is ended without the end of the response.
    let _ = connection.stream().read_to_end(&mut Vec::new());
    drop(connection);
    let sent = sending.join().unwrap();
    assert!(sent < 200_000_000, "{sent} bytes were on their way");
    is_well(&platform);
}
