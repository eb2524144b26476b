use super::*;
use proptest::prelude::*;

fn map(bytes: &[u8]) -> Result<Answer, Failure> {
    answer(&Bytes::copy_from_slice(bytes), &Method::GET)
}

fn refused(bytes: &[u8]) -> String {
    match map(bytes) {
        Err(Failure::InvalidResponse(reason)) => reason,
        other => panic!("expected InvalidResponse, got {other:?}"),
    }
}

#[test]
fn a_response_with_a_length_is_taken() {
    let answer =
        map(b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\nX-A: 1\r\nx-a: 2\r\nConnection: close\r\n\r\nabc")
            .unwrap();
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (201, &b"abc"[..]));
    let all: Vec<_> =
        answer.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    assert_eq!(all, [("x-a", "1"), ("x-a", "2")]);
}

#[test]
fn http_1_0_until_the_end_is_taken() {
    let answer = map(b"HTTP/1.0 200 OK\r\n\r\nall of it").unwrap();
    assert_eq!(answer.body, "all of it");
    assert_eq!(map(b"HTTP/1.1 200\r\n\r\n").unwrap().body, "");
}

#[test]
fn chunks_are_joined_and_trailers_dropped() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n";
    let answer =
        map(format!("{head}3;ext=\"1\"\r\nabc\r\nA \r\n0123456789\r\n0\r\nX-Trailer: 1\r\n\r\n").as_bytes())
            .unwrap();
    assert_eq!(answer.body, "abc0123456789");
    assert!(answer.headers.is_empty());
    assert_eq!(map(format!("{head}0\r\n\r\n").as_bytes()).unwrap().body, "");
    for bad in [
        "",
        "3\r\nab",
        "3\r\nabcd\r\n0\r\n\r\n",
        "x\r\n\r\n",
        "-1\r\n",
        "0\r\n",
        "0\r\n\r\nextra",
        "\r\n",
        "123456789\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "3\nabc\n0\n\n",
    ] {
        refused(format!("{head}{bad}").as_bytes());
    }
    refused(format!("{head}3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(2000)).as_bytes());
    refused(format!("{head}0\r\n{}\r\n", "t: 1\r\n".repeat(200)).as_bytes());
}

#[test]
fn contradictory_or_wrong_framing_is_refused() {
    for fields in [
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
        "Content-Length: +3",
        "Content-Length: 3, 3",
        "Content-Length: ",
        "Content-Length: 99999999999999999999",
        "Content-Length: 2",
        "Content-Length: 4",
    ] {
        refused(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nabc").as_bytes());
    }
    assert_eq!(
        map(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc").unwrap().body,
        "abc"
    );
}

#[test]
fn malformed_heads_are_refused() {
    for bytes in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\n",
        b"hello\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 99 X\r\n\r\n",
        b"HTTP/1.1 600 X\r\n\r\n",
        b"HTTP/1.1 999 X\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\na: b\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\na: \x01\r\n\r\n",
        b"\0\0\0\0",
    ] {
        refused(bytes);
    }
    refused(format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(101)).as_bytes());
    refused(format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "b".repeat(70_000)).as_bytes());
}

#[test]
fn interim_responses_are_skipped() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(map(format!("{interim}{interim}{last}").as_bytes()).unwrap().body, "x");
    refused(format!("{}{last}", interim.repeat(9)).as_bytes());
    refused(interim.as_bytes());
}

#[test]
fn responses_without_a_body_have_none() {
    let head = Bytes::from_static(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    let answered = answer(&head, &Method::HEAD).unwrap();
    assert_eq!((&answered.headers["content-length"], answered.body.len()), (&"5".parse().unwrap(), 0));
    let naive = Bytes::from_static(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(answer(&naive, &Method::HEAD).unwrap().body, "");
    assert_eq!(map(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().body, "");
    assert_eq!(map(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n").unwrap().body, "");
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        drop(map(&bytes));
    }

    #[test]
    fn mutated_responses_are_survived(at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n5\r\nhello\r\n0\r\nT: x\r\n\r\n".to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        drop(map(&bytes));
    }

    #[test]
    fn any_chunking_comes_back(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..64), 0..8)) {
        let mut bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in &chunks {
            bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
            bytes.extend(chunk);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n\r\n");
        prop_assert_eq!(map(&bytes).unwrap().body.to_vec(), chunks.concat());
    }
}

#[test]
fn another_protocol_begins_behind_a_101() {
    let first = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade, X-Hop\r\n\
        Upgrade: websocket\r\nX-Hop: 1\r\nX-Own: 2\r\nContent-Length: 9\r\n\r\n\x01\x02HTTP/1.1 400 no\r\n\r\n";
    let (answer, rest) = upgrade(&Bytes::from_static(first.as_bytes())).unwrap().unwrap();
    assert_eq!((answer.status.as_u16(), &rest[..]), (101, &b"\x01\x02HTTP/1.1 400 no\r\n\r\n"[..]));
    let mut names: Vec<_> = answer.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["connection", "upgrade", "x-own"]);
}

#[test]
fn what_is_no_upgrade_is_an_answer_or_an_error() {
    let upgrade = |text: &'static str| upgrade(&Bytes::from_static(text.as_bytes()));
    assert!(upgrade("HTTP/1.1 200 OK\r\nUpgrade: websocket\r\n\r\n").unwrap().is_none());
    for broken in [
        "HTTP/1.1 101 x\r\n\r\n",
        "HTTP/1.1 101 x\r\nUpgrade: a\r\nUpgrade: b\r\n\r\n",
        "HTTP/1.1 101 x\r\nUpgrade: a",
        "HTTP/1.1 100 x\r\n\r\n",
        "",
    ] {
        assert!(upgrade(broken).is_err(), "{broken}");
    }
}
