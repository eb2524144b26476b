//! Servers that take their time to answer: what they have written so far goes out while they wait.

mod common;

use abi::mailbox::Doorbell;
use common::python::{PYTHON, python};
use common::{End, Outcome};

const REQUEST: &[u8] = b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n";

/// Python's own server, in one thread or a thread for each connection: five events, and the end of the connection.
const SERVER: &str = "
import http.server, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Type', 'text/event-stream')
        self.end_headers()
        for i in range(5):
            self.wfile.write(b'data: %d\\n\\n' % i)
            time.sleep(0.5)
    def log_message(self, *args):
        pass
getattr(http.server, sys.argv[1])(('', 8080), Handler).serve_forever()
";

/// An event loop that writes chunks.
const LOOP: &str = "
import asyncio
async def serve(reader, writer):
    await reader.readuntil(b'\\r\\n\\r\\n')
    writer.write(b'HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n')
    for i in range(5):
        event = b'data: %d\\n\\n' % i
        writer.write(b'%x\\r\\n%s\\r\\n' % (len(event), event))
        await writer.drain()
        await asyncio.sleep(0.5)
    writer.write(b'0\\r\\n\\r\\n')
    await writer.drain()
async def main():
    await (await asyncio.start_server(serve, '0.0.0.0', 8080)).serve_forever()
asyncio.run(main())
";

/// An event loop that answers with more than the mailbox holds, without waiting for anything else.
const LARGE: &str = "
import asyncio
async def serve(reader, writer):
    await reader.readuntil(b'\\r\\n\\r\\n')
    writer.write(b'HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n' % (40 << 20))
    writer.write(bytes(range(256)) * (40 << 12))
    await writer.drain()
async def main():
    await (await asyncio.start_server(serve, '0.0.0.0', 8080)).serve_forever()
asyncio.run(main())
";

#[track_caller]
fn assert_answered(outcome: &Outcome) {
    assert!(matches!(outcome.end, End::Doorbell(Doorbell::Response, ..)), "{outcome:#?}");
}

/// The events of each part, without whatever is around them.
fn events(outcome: &Outcome) -> Vec<String> {
    let text = |part: &Vec<u8>| String::from_utf8(part.clone()).expect("text");
    let lines = |part: String| part.lines().filter(|line| line.starts_with("data")).collect::<String>();
    outcome.parts.iter().map(text).map(lines).filter(|lines| !lines.is_empty()).collect()
}

#[test]
fn servers_of_every_kind_send_their_events_one_by_one() {
    let expected: Vec<String> = (0..5).map(|number| format!("data: {number}")).collect();
    for args in [&["-c", SERVER, "HTTPServer"][..], &["-c", SERVER, "ThreadingHTTPServer"], &["-c", LOOP]] {
        let guest = python();
        let parent = guest.parent(&[&[PYTHON], args].concat());
        let mut shell = parent.shell();
        for generation in 1..=2 {
            let outcome = parent.fork_in(&mut shell, generation, REQUEST);
            assert_answered(&outcome);
            assert_eq!(events(&outcome), expected, "{args:?}");
            assert!(outcome.parts[0].starts_with(b"HTTP/1."), "the first part has the head");
            shell.restore().expect("nothing but memory and registers changed");
        }
    }
}

#[test]
fn a_response_goes_on_when_the_mailbox_is_full() {
    let guest = python().with_memory(256);
    let parent = guest.parent(&[PYTHON, "-c", LARGE]);
    let outcome = parent.fork(1, REQUEST);
    assert_answered(&outcome);
    let whole = [outcome.parts.concat(), outcome.response.clone()].concat();
    let body = whole.windows(4).position(|end| end == b"\r\n\r\n").expect("a head") + 4;
    assert_eq!(whole.len() - body, 40 << 20);
    assert!(whole[body..].iter().enumerate().all(|(at, byte)| *byte == (at % 256).to_le_bytes()[0]));
    let lens: Vec<usize> = outcome.parts.iter().map(Vec::len).collect();
    assert_eq!(lens[0], 16 << 20, "a response that would fit goes out at once");
    assert!(lens[1..].iter().all(|len| *len == 256 << 10), "{lens:?}");
}
