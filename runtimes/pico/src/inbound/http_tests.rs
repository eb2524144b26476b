use super::*;
use alloc::vec::Vec;
use proptest::prelude::*;
use std::format;
use std::string::String;

/// What a watch says when it is given `response` in pieces of the given sizes, the last piece being the rest.
fn watch(request: &[u8], response: &[u8], pieces: &[usize]) -> Progress {
    let mut watch = ResponseWatch::new(request);
    let mut end = 0;
    for &piece in pieces {
        end = (end + piece).min(response.len());
        let progress = watch.advance(&response[..end]);
        if progress != Progress::More {
            return progress;
        }
    }
    watch.advance(response)
}

/// The end of the response, however it is split; nothing if it lasts until the connection is closed.
fn end_of(request: &str, response: &str) -> Option<usize> {
    let (request, bytes) = (request.as_bytes(), response.as_bytes());
    let whole = watch(request, bytes, &[]);
    let one_by_one = watch(request, bytes, &std::vec![1; bytes.len()]);
    assert_eq!(whole, one_by_one, "{response:?}");
    match whole {
        Progress::Complete { start, end } => {
            assert!(start <= end && end <= bytes.len());
            Some(end)
        }
        Progress::More => None,
    }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn a_content_length_ends_a_response() {
    let response = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(end_of(GET, response), Some(response.len()));
    assert_eq!(end_of(GET, &response[..response.len() - 1]), None);
    assert_eq!(end_of(GET, &format!("{response}more")), Some(response.len()));
    assert_eq!(end_of(GET, "HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n"), Some(37));
}

#[test]
fn some_responses_have_no_body_whatever_their_head_says() {
    for status in ["204 No Content", "304 Not Modified", "101 Switching Protocols"] {
        let response = format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\n");
        assert_eq!(end_of(GET, &response), Some(response.len()), "{status}");
    }
    let response = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(end_of("HEAD / HTTP/1.1\r\n\r\n", response), Some(response.len()));
    assert_eq!(end_of("HEADER / HTTP/1.1\r\n\r\n", response), None);
}

#[test]
fn interim_responses_are_passed_over() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let both = format!("{interim}{last}");
    let expected = Progress::Complete { start: interim.len(), end: both.len() };
    assert_eq!(watch(GET.as_bytes(), both.as_bytes(), &[]), expected);
    assert_eq!(watch(GET.as_bytes(), both.as_bytes(), &std::vec![1; both.len()]), expected);
}

#[test]
fn chunks_are_followed_to_the_last_trailer() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n";
    for body in [
        "0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "5;name=value;other=\"x;y\"\r\nhello\r\n0\r\n\r\n",
        "5 \t;a\r\nhello\r\n000\r\nTrailer: 1\r\nOther: 2\r\n\r\n",
        "A\r\n0\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n",
        "00000000000000000000000005\r\nhello\r\n0\r\n\r\n",
    ] {
        let response = format!("{head}{body}");
        assert_eq!(end_of(GET, &response), Some(response.len()), "{body:?}");
        assert_eq!(end_of(GET, &response[..response.len() - 1]), None, "{body:?}");
    }
}

#[test]
fn broken_chunks_last_until_the_connection_is_closed() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let tail = "0\r\n\r\n";
    for body in [
        "\r\n",
        ";x\r\n",
        "x\r\n",
        "-5\r\nhello\r\n",
        "5\nhello\r\n",
        "5;a\nhello\r\n",
        "5\r\nhelloworld\r\n",
        "5\r\nhello\n",
        "0\r\n\n",
        "0\r\n\rX",
        "10000000000000000\r\n",
        "ffffffffffffffff\r\n",
    ] {
        assert_eq!(end_of(GET, &format!("{head}{body}{tail}")), None, "{body:?}");
    }
}

#[test]
fn responses_without_a_length_last_until_the_connection_is_closed() {
    for head in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
        "HTTP/9.9 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent Length: 0\r\n\r\n",
        "hello\r\n\r\n",
        "\0\u{7f}\r\n\r\n",
    ] {
        assert_eq!(end_of(GET, &format!("{head}body of any kind\r\n\r\n")), None, "{head:?}");
    }
}

#[test]
fn heads_may_follow_empty_lines_end_their_lines_with_lf_and_be_long() {
    let response = "\r\n\r\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok";
    assert_eq!(end_of(GET, response), Some(response.len()));
    let mut long = String::from("HTTP/1.1 200 OK\r\n");
    (0..200).for_each(|n| long.push_str(&format!("X-{n}: {}\r\n", "v".repeat(300))));
    long.push_str("Content-Length: 2\r\n\r\nok");
    assert_eq!(end_of(GET, &long), Some(long.len()));
    let too_many = format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", "A: b\r\n".repeat(HEADERS_MAX));
    assert_eq!(end_of(GET, &too_many), None);
}

#[test]
fn every_byte_is_looked_at_once() {
    // Quadratic work on 8 MiB in writes of a byte would not end while anybody waits.
    let mut response = b"HTTP/1.1 200 OK\r\nX: ".to_vec();
    response.resize(8 << 20, b'a');
    let mut watch = ResponseWatch::new(GET.as_bytes());
    for end in 0..response.len() {
        assert_eq!(watch.advance(&response[..end]), Progress::More);
    }
    assert_eq!(watch.position, response.len() - 1);
}

/// A chunked body of the given chunks.
fn chunked(chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::new();
    for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
        body.extend(format!("{:x}\r\n", chunk.len()).bytes());
        body.extend(chunk);
        body.extend(b"\r\n");
    }
    body.extend(b"0\r\n\r\n");
    body
}

proptest! {
    #[test]
    fn splits_do_not_matter(
        mut response in proptest::collection::vec(any::<u8>(), 0..200),
        valid_head in any::<bool>(),
        pieces in proptest::collection::vec(0usize..40, 0..20),
    ) {
        if valid_head {
            let mut whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            whole.append(&mut response);
            response = whole;
        }
        prop_assert_eq!(watch(b"", &response, &[]), watch(b"", &response, &pieces));
    }

    #[test]
    fn chunked_bodies_end_exactly_where_they_were_made_to_end(
        chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..8),
        more in proptest::collection::vec(any::<u8>(), 0..20),
        pieces in proptest::collection::vec(0usize..40, 0..20),
    ) {
        let mut response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        response.extend(chunked(&chunks));
        let end = response.len();
        response.extend(more);
        prop_assert_eq!(watch(b"", &response, &pieces), Progress::Complete { start: 0, end });
    }

    #[test]
    fn nonsense_is_harmless(
        response in "(HTTP/1\\.[01] [0-9]{3} ?[a-z]?\r?\n)?((Content-Length|Transfer-Encoding|X): ?([0-9]{1,20}|chunked)\r?\n){0,3}\r?\n?[0-9a-f\r\n;]{0,30}",
        pieces in proptest::collection::vec(0usize..20, 0..20),
    ) {
        let bytes = response.as_bytes();
        if let Progress::Complete { start, end } = watch(b"", bytes, &pieces) {
            prop_assert!(start <= end && end <= bytes.len());
        }
    }
}
