//! Servers that misbehave: nothing hangs, nothing grows without limit, and each is counted by its kind.

use super::*;
use crate::expect::Mismatch;
use std::io::Read;
use std::net::Shutdown;

/// Ten requests to a server that gets whole connections.
pub(super) fn ten(protocol: Protocol, behave: impl Fn(TcpStream) + Send + Sync + 'static) -> Tally {
    ten_within(Duration::from_secs(60), protocol, behave)
}

/// The same, with little time for each.
pub(super) fn ten_soon(protocol: Protocol, behave: impl Fn(TcpStream) + Send + Sync + 'static) -> Tally {
    ten_within(Duration::from_millis(700), protocol, behave)
}

fn ten_within(
    timeout: Duration,
    protocol: Protocol,
    behave: impl Fn(TcpStream) + Send + Sync + 'static,
) -> Tally {
    let expect = Expect { body: Some("hello".into()), ..Expect::default() };
    ten_expecting(expect, timeout, protocol, behave)
}

pub(super) fn ten_expecting(
    expect: Expect,
    timeout: Duration,
    protocol: Protocol,
    behave: impl Fn(TcpStream) + Send + Sync + 'static,
) -> Tally {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let behave = Arc::new(behave);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, behave) = (stream.unwrap(), Arc::clone(&behave));
            thread::spawn(move || behave(stream));
        }
    });
    let load = Load::Open(Arrivals::Burst { size: 10, every_s: 60.0 });
    let mix = Mix::of(Call { expect, ..Call::get("/") });
    total(Plan { mix, timeout, protocol, connections: 10, ..plan(target, load) })
}

pub(super) fn all(failure: Failure) -> std::collections::BTreeMap<(usize, Failure), u64> {
    [((0, failure), 10)].into()
}

/// Reads the head of a request.
fn request(stream: &mut TcpStream) {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count > 0) {
        seen.push(byte[0]);
    }
}

/// Sends `first`, and then `again` until nobody listens.
fn flood(first: &'static [u8], again: &'static [u8]) -> impl Fn(TcpStream) + Send + Sync {
    move |mut stream| {
        request(&mut stream);
        let block = again.repeat(64 * 1024 / again.len());
        let mut sent = stream.write_all(first);
        while sent.is_ok() {
            sent = stream.write_all(&block);
        }
    }
}

#[test]
fn nobody_is_there() {
    // Bound, so that nobody else gets it, and not listening.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let target = Target::parse(&format!("http://{}", held.local_addr().unwrap())).unwrap();
    for protocol in [Protocol::Http1, Protocol::Http2 { streams: 4 }] {
        let open = Load::Open(Arrivals::Constant { rate: 20.0 });
        let sum = total(Plan { protocol, ..plan(target.clone(), open) });
        assert_eq!(sum.failed, [((0, Failure::Connect), 20)].into());
        // A closed loop does not ask without a pause: 8 connections, 10 ms each.
        let sum = total(Plan { protocol, ..plan(target.clone(), Load::Closed) });
        assert!((1..=8 * 110).contains(&sum.failures()), "{sum:?}");
    }
    let gone = Target::parse("unix:/nowhere/at/all.sock").unwrap();
    let sum = total(plan(gone, Load::Open(Arrivals::Constant { rate: 20.0 })));
    assert_eq!(sum.failed, [((0, Failure::Connect), 20)].into());
}

#[test]
fn floods_end_at_their_limits() {
    const OK: &[u8] = b"HTTP/1.1 200 OK\r\n";
    let head = ten(Protocol::Http1, flood(OK, b"a: b\r\n"));
    assert_eq!(head.failed, all(Failure::Protocol), "endless headers");
    let long = ten(Protocol::Http1, flood(b"HTTP/1.1 200 OK\r\na: ", b"aaaaaaaa"));
    assert_eq!(long.failed, all(Failure::Protocol), "an endless header");
    let early = ten(Protocol::Http1, flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n"));
    assert_eq!(early.failed, all(Failure::Protocol), "endless 1xx");
    let body = ten_soon(Protocol::Http1, flood(b"HTTP/1.1 200 OK\r\n\r\n", b"aaaaaaaa"));
    assert_eq!(body.failed, all(Failure::Timeout), "an endless body");
    let chunks = ten_soon(
        Protocol::Http1,
        flood(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
    );
    assert_eq!(chunks.failed, all(Failure::Timeout), "endless chunks");
    let more = ten(Protocol::Http1, flood(b"", HELLO));
    assert_eq!(more.failed, all(Failure::Excess), "answers nobody asked for");
}

#[test]
fn floods_of_what_has_to_be_kept_end_at_a_limit() {
    let contains = Expect { contains: Some("hello".into()), ..Expect::default() };
    let digest = Expect { sha256: Some("00".repeat(32)), ..Expect::default() };
    for expect in [contains, digest] {
        let endless = flood(b"HTTP/1.1 200 OK\r\n\r\n", b"aaaaaaaa");
        let sum = ten_expecting(expect, Duration::from_secs(600), Protocol::Http1, endless);
        assert_eq!(sum.failed, all(Failure::Excess));
    }
}

#[test]
fn slow_half_closed_and_broken_connections_are_told_apart() {
    let drip = |mut stream: TcpStream| {
        for byte in HELLO.iter().cycle() {
            if stream.write_all(&[*byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(40));
        }
    };
    assert_eq!(ten_soon(Protocol::Http1, drip).failed, all(Failure::Timeout), "byte by byte, too slow");
    let half = |mut stream: TcpStream| {
        request(&mut stream);
        let _ = stream.write_all(&HELLO[..30]).and_then(|()| stream.shutdown(Shutdown::Write));
        thread::park();
    };
    assert_eq!(ten(Protocol::Http1, half).failed, all(Failure::Truncated), "half closed");
    // What is not read when a socket is closed makes the kernel send a reset.
    let reset = |mut stream: TcpStream| {
        let _ = stream.read(&mut [0; 4]);
        let _ = stream.write_all(&HELLO[..30]);
    };
    let failed = ten(Protocol::Http1, reset).failed;
    assert!(failed.keys().all(|(_, why)| [Failure::Broken, Failure::Truncated].contains(why)), "{failed:?}");
    assert!(failed.contains_key(&(0, Failure::Broken)), "{failed:?}");
    let garbage = |mut stream: TcpStream| {
        request(&mut stream);
        let _ = stream.write_all(&[0x16, 3, 1, 0, 5, 0xff, 0, 1]);
    };
    assert_eq!(ten(Protocol::Http1, garbage).failed, all(Failure::Protocol), "not HTTP");
}

#[test]
fn answers_byte_by_byte_are_whole_in_the_end() {
    let drip = |mut stream: TcpStream| {
        request(&mut stream);
        for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello" {
            let _ = stream.write_all(&[*byte]);
        }
        thread::park();
    };
    let sum = ten(Protocol::Http1, drip);
    assert_eq!((sum.answers(), sum.failures(), sum.body_bytes), (10, 0, 50));
}

#[test]
fn lies_about_length_are_found_in_both_directions() {
    let answer = |bytes: &'static [u8]| {
        move |mut stream: TcpStream| {
            request(&mut stream);
            let _ = stream.write_all(bytes);
        }
    };
    let short = ten(Protocol::Http1, answer(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhello"));
    assert_eq!(short.failed, all(Failure::Truncated));
    let long = ten(Protocol::Http1, answer(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhello"));
    assert_eq!(long.failed, all(Failure::Excess));
    let other = ten(Protocol::Http1, answer(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhello!"));
    assert_eq!(other.failed, all(Failure::Unexpected(Mismatch::Body)));
}

#[test]
fn servers_that_do_not_speak_http2_are_found_out() {
    let protocol = Protocol::Http2 { streams: 1 };
    let old = |mut stream: TcpStream| {
        request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        thread::park();
    };
    assert_eq!(ten(protocol, old).failed, all(Failure::Protocol));
    let silent = |_stream: TcpStream| thread::park();
    assert_eq!(ten_soon(protocol, silent).failed, all(Failure::Timeout));
    let closing = |mut stream: TcpStream| request(&mut stream);
    let failed = ten(protocol, closing).failed;
    let known = [Failure::Truncated, Failure::Broken];
    assert_eq!(failed.values().sum::<u64>(), 10);
    assert!(failed.keys().all(|(_, why)| known.contains(why)), "{failed:?}");
}
