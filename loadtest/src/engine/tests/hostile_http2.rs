//! Servers of HTTP/2 that misbehave, frame by frame: each ends in time, by its own kind of failure.

use super::hostile::{all, ten, ten_expecting, ten_soon};
use super::*;
use std::io::Read;
use std::net::Shutdown;

/// One request on each connection, on the first stream of the client.
const ALONE: Protocol = Protocol::Http2 { streams: 1 };
const STREAM: u32 = 1;

/// Kinds of frames (RFC 9113, 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// Flags of frames.
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// Reasons for an end (RFC 9113, 7).
const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;

/// Bytes of a frame, at most, and of a window, unless somebody says otherwise.
const FRAME_MAX: usize = 16_384;
const WINDOW: i64 = 65_535;

/// `:status: 200` as HPACK has it (RFC 7541, A).
const OK: &[u8] = &[0x88];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The head of an answer whose body follows.
fn head() -> Vec<u8> {
    frame(HEADERS, END_HEADERS, STREAM, OK)
}

/// The head of an answer with `content-length: DIGIT`.
fn head_with_length(digit: u8) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, STREAM, &[OK, &[0x0f, 0x0d, 1, digit]].concat())
}

/// The body that is expected; the last part of an answer.
fn hello() -> Vec<u8> {
    frame(DATA, END_STREAM, STREAM, b"hello")
}

fn reset(reason: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, STREAM, &reason.to_be_bytes())
}

/// No stream after `last` is answered.
fn go_away(last: u32, reason: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), reason.to_be_bytes()].concat())
}

fn number(bytes: &[u8]) -> i64 {
    i64::from(u32::from_be_bytes(bytes.try_into().unwrap()))
}

/// The server's end of a connection. What fails is that the client went away.
struct End {
    stream: TcpStream,
    /// Window of a stream that the client announced.
    announced: i64,
    /// Bytes of data that the client has room for: on the connection, and on the stream.
    connection: i64,
    window: i64,
}

impl End {
    /// Reads up to the end of the request.
    fn greet(mut stream: TcpStream) -> Option<End> {
        stream.read_exact(&mut [0; 24]).ok()?;
        let mut end = End { stream, announced: WINDOW, connection: WINDOW, window: WINDOW };
        end.send(&frame(SETTINGS, 0, 0, b""))?;
        while end.read()? != HEADERS {}
        Some(end)
    }

    /// The same, and accepts the client's settings: before that, the client does not count on them.
    fn accept(stream: TcpStream) -> Option<End> {
        let mut end = End::greet(stream)?;
        end.window += end.announced - WINDOW;
        end.send(&frame(SETTINGS, ACK, 0, b""))?;
        Some(end)
    }

    fn send(&mut self, bytes: &[u8]) -> Option<()> {
        self.stream.write_all(bytes).ok()
    }

    /// Reads a frame, and gives its kind.
    fn read(&mut self) -> Option<u8> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut payload).ok()?;
        match head[3] {
            SETTINGS => {
                let window = payload.chunks(6).find(|setting| setting[..2] == [0, 4]);
                self.announced = window.map_or(self.announced, |setting| number(&setting[2..]));
            }
            WINDOW_UPDATE if number(&head[5..]) == 0 => self.connection += number(&payload),
            WINDOW_UPDATE => self.window += number(&payload),
            _ => {}
        }
        Some(head[3])
    }

    /// Reads until the client goes away.
    fn wait(mut self) {
        while self.read().is_some() {}
    }

    /// Sends data until the client goes away, never more than it has room for.
    fn pour(mut self) -> Option<()> {
        let block = frame(DATA, 0, STREAM, &[b'a'; FRAME_MAX]);
        let size = i64::try_from(FRAME_MAX).unwrap();
        loop {
            while self.connection.min(self.window) < size {
                self.read()?;
            }
            self.send(&block)?;
            self.connection -= size;
            self.window -= size;
        }
    }
}

/// Sends `bytes` in answer, and no more.
fn answer(bytes: Vec<u8>) -> impl Fn(TcpStream) + Send + Sync {
    move |stream| {
        if let Some(mut end) = End::accept(stream)
            && end.send(&bytes).is_some()
        {
            end.wait();
        }
    }
}

/// Sends `first`, and then `again` until nobody listens.
fn flood(first: Vec<u8>, again: Vec<u8>) -> impl Fn(TcpStream) + Send + Sync {
    move |stream| {
        let block = again.repeat((64 * 1024 / again.len()).max(1));
        let mut end = End::accept(stream);
        let mut sent = end.as_mut().and_then(|end| end.send(&first));
        while sent.is_some() {
            sent = end.as_mut().and_then(|end| end.send(&block));
        }
    }
}

#[test]
fn an_answer_in_frames_is_an_answer() {
    let sum = ten(ALONE, answer([head(), hello()].concat()));
    assert_eq!((sum.answers(), sum.failures()), (10, 0), "{:?}", sum.failed);
    let sum = ten(ALONE, answer([head_with_length(b'5'), hello()].concat()));
    assert_eq!((sum.answers(), sum.failures()), (10, 0), "{:?}", sum.failed);
}

#[test]
fn floods_of_headers_end_at_their_limit() {
    // A field of a kilobyte, not to be remembered.
    let field = [&[0, 1, b'a', 0x7f, 0xe9, 7][..], &[b'b'; 1128]].concat();
    let endless = flood(frame(HEADERS, 0, STREAM, OK), frame(CONTINUATION, 0, STREAM, &field.repeat(14)));
    assert_eq!(ten(ALONE, endless).failed, all(Failure::Protocol), "headers without an end");
    // A field of four kilobytes that is remembered, and then stands for itself with a byte each time.
    let large = [OK, &[0x40, 1, b'a', 0x7f, 0xa1, 0x1e], &[b'b'; 4000], &[0xbe; 1000]].concat();
    let bomb = answer(frame(HEADERS, END_HEADERS, STREAM, &large));
    assert_eq!(ten(ALONE, bomb).failed, all(Failure::Protocol), "headers that unpack to four megabytes");
    let early = frame(HEADERS, END_HEADERS, STREAM, &[8, 3, b'1', b'0', b'3']);
    assert_eq!(ten_soon(ALONE, flood(Vec::new(), early)).failed, all(Failure::Timeout), "endless 1xx");
}

#[test]
fn floods_of_data_end_at_their_limit() {
    let pour = |stream| {
        if let Some(mut end) = End::accept(stream)
            && end.send(&head()).is_some()
        {
            end.pour();
        }
    };
    assert_eq!(ten_soon(ALONE, pour).failed, all(Failure::Timeout), "an endless body");
    let contains = Expect { contains: Some("hello".into()), ..Expect::default() };
    let kept = ten_expecting(contains, Duration::from_secs(600), ALONE, pour);
    assert_eq!(kept.failed, all(Failure::Excess), "an endless body that has to be kept");
    let empty = flood(head(), frame(DATA, 0, STREAM, b""));
    assert_eq!(ten(ALONE, empty).failed, all(Failure::Protocol), "endless frames of nothing");
}

#[test]
fn servers_that_keep_to_no_limit_are_found_out() {
    // The client's settings are not accepted, so that it has little room.
    let heedless = |stream| {
        let Some(mut end) = End::greet(stream) else { return };
        let block = frame(DATA, 0, STREAM, &[b'a'; FRAME_MAX]).repeat(8);
        let mut sent = end.send(&head());
        while sent.is_some() {
            sent = end.send(&block);
        }
    };
    assert_eq!(ten(ALONE, heedless).failed, all(Failure::Protocol), "more than there is room for");
    let long = answer([head(), frame(DATA, 0, STREAM, &[b'a'; FRAME_MAX + 1])].concat());
    assert_eq!(ten(ALONE, long).failed, all(Failure::Protocol), "a frame that is too long");
    let pings = flood(Vec::new(), frame(PING, 0, 0, &[0; 8]));
    assert_eq!(ten_soon(ALONE, pings).failed, all(Failure::Timeout), "endless pings");
}

#[test]
fn lies_about_length_are_found_in_both_directions() {
    for digit in [b'4', b'6'] {
        let sum = ten(ALONE, answer([head_with_length(digit), hello()].concat()));
        assert_eq!(sum.failed, all(Failure::Protocol), "{}", char::from(digit));
    }
}

/// What comes of an answer that breaks off after its head and a part of its body.
fn broken_off(by: Vec<u8>) -> std::collections::BTreeMap<(usize, Failure), u64> {
    // Any body will do: that it is not whole must show without looking at it.
    let part = frame(DATA, 0, STREAM, b"hel");
    let behave = answer([head(), part, by].concat());
    ten_expecting(Expect::default(), Duration::from_secs(60), ALONE, behave).failed
}

#[test]
fn connections_that_are_ended_with_a_word_break_what_they_do_not_answer() {
    for reason in [NO_ERROR, INTERNAL_ERROR] {
        let refused = ten(ALONE, answer(go_away(0, reason)));
        assert_eq!(refused.failed, all(Failure::Broken), "before the answer, {reason}");
    }
    assert_eq!(broken_off(go_away(0, INTERNAL_ERROR)), all(Failure::Broken));
    assert_eq!(
        broken_off(go_away(0, NO_ERROR)),
        all(Failure::Truncated),
        "no error, but not the whole answer"
    );
    let last = ten(ALONE, answer([go_away(STREAM, NO_ERROR), head(), hello()].concat()));
    assert_eq!((last.answers(), last.failures()), (10, 0), "what was begun is answered: {:?}", last.failed);
}

#[test]
fn streams_that_are_reset_are_broken_or_cut_short() {
    assert_eq!(ten(ALONE, answer(reset(INTERNAL_ERROR))).failed, all(Failure::Broken), "before the answer");
    assert_eq!(broken_off(reset(INTERNAL_ERROR)), all(Failure::Broken));
    assert_eq!(broken_off(reset(NO_ERROR)), all(Failure::Truncated), "no error, but not the whole answer");
    let after = ten(ALONE, answer([head(), hello(), reset(NO_ERROR)].concat()));
    assert_eq!((after.answers(), after.failures()), (10, 0), "after the answer: {:?}", after.failed);
}

#[test]
fn connections_that_are_half_closed_cut_answers_short() {
    let begun = [head(), frame(DATA, 0, STREAM, b"hel")].concat();
    for bytes in [Vec::new(), head(), begun, hello()[..4].to_vec()] {
        let half = {
            let bytes = bytes.clone();
            move |stream| {
                let Some(mut end) = End::accept(stream) else { return };
                if end.send(&bytes).is_some() && end.stream.shutdown(Shutdown::Write).is_ok() {
                    end.wait();
                }
            }
        };
        let sum = ten_expecting(Expect::default(), Duration::from_secs(60), ALONE, half);
        assert_eq!(sum.failed, all(Failure::Truncated), "after {} bytes", bytes.len());
    }
}
