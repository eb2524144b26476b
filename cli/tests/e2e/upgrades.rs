//! Connections that become something else.

use crate::http::Connection;
use crate::platform::Platform;
use crate::uploads::{is_well, with_uploads};
use crate::wait_for;
use std::io::Read;
use std::net::TcpStream;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Bytes, Message, WebSocket};

fn websocket(platform: &Platform, path: &str) -> WebSocket<TcpStream> {
    let stream = platform.connect().into_stream();
    let url = format!("ws://{}/function/uploads/{path}", platform.address);
    tungstenite::client(url, stream).expect("the function agrees").0
}

/// A connection that speaks a protocol without any rules.
fn raw(platform: &Platform, path: &str) -> Connection {
    let mut connection = platform.connect();
    ask(&mut connection, path, "raw");
    let head = connection.receive_head();
    assert_eq!(
        (head.status, head.header("upgrade"), head.header("connection")),
        (101, Some("raw"), Some("Upgrade"))
    );
    assert!(head.header("x-spore-instance").is_some() && head.timing("run").is_some());
    connection
}

fn ask(connection: &mut Connection, path: &str, protocol: &str) {
    let head = format!(
        "GET /function/uploads/{path} HTTP/1.1\r\nhost: x\r\nconnection: keep-alive, Upgrade\r\nupgrade: {protocol}\r\n\r\n"
    );
    connection.write(head.as_bytes());
}

fn rest(mut connection: Connection) -> String {
    let mut text = String::new();
    connection.stream().read_to_string(&mut text).unwrap();
    text
}

fn all_over(platform: &Platform) {
    wait_for("a connection is still upgraded", || platform.metric("spore_upgraded_connections", "") == 0.0);
    is_well(platform);
}

#[test]
fn a_websocket_client_and_a_function_talk() {
    let platform = with_uploads("120s", &[]);
    let mut socket = websocket(&platform, "websocket");
    wait_for("it is counted", || platform.metric("spore_upgraded_connections", "") == 1.0);
    wait_for("it has no VM of its own", || platform.serving() == 1);
    let large: Vec<u8> = (0..1 << 20).map(|at: u32| (at ^ (at >> 9)).to_le_bytes()[0]).collect();
    for message in [vec![], b"hello".to_vec(), vec![7; 70_000], large] {
        socket.send(Message::binary(message.clone())).unwrap();
        assert!(socket.read().unwrap().into_data() == message, "{} bytes", message.len());
    }
    socket.send(Message::Ping(Bytes::from_static(b"are you there?"))).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong(Bytes::from_static(b"are you there?")));
    let reason =
        tungstenite::protocol::CloseFrame { code: CloseCode::Library(4321), reason: "enough".into() };
    socket.close(Some(reason.clone())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Close(Some(reason)));
    assert!(matches!(socket.read(), Err(tungstenite::Error::ConnectionClosed)));
    all_over(&platform);
    assert_eq!(platform.metric("spore_invocations_total", "status=\"101\""), 1.0);
    assert!(platform.metric("spore_upgraded_bytes_total", "out") > 1_100_000.0);
    assert!(platform.metric("spore_upgraded_bytes_total", "in") > 1_100_000.0);
}

#[test]
fn a_function_speaks_first() {
    let platform = with_uploads("120s", &[]);
    for _ in 0..3 {
        let mut socket = websocket(&platform, "push");
        for number in 1..=3 {
            assert_eq!(socket.read().unwrap(), Message::text(format!("news {number}")));
        }
        let Message::Close(Some(frame)) = socket.read().unwrap() else { panic!("it goes on") };
        assert_eq!(frame.code, CloseCode::Away);
    }
    all_over(&platform);
}

#[test]
fn each_direction_ends_by_itself() {
    let platform = with_uploads("120s", &[]);
    let mut connection = raw(&platform, "raw");
    connection.write(b"one two");
    assert_eq!(connection.take(15), b"welcome\none two");
    connection.write(b" three");
    connection.end();
    assert_eq!(rest(connection), " threethat was 13\n");
    let mut connection = raw(&platform, "half");
    let mut end = Vec::new();
    connection.stream().read_to_end(&mut end).unwrap();
    assert_eq!(end, b"all of it\n", "its end is seen while the other direction is open");
    connection.write(b"and now me");
    connection.end();
    wait_for("it is heard", || platform.spore_ok(&["logs", "uploads"]).contains("the client said 10 bytes"));
    all_over(&platform);
}

#[test]
fn clients_that_leave_free_their_vms() {
    let platform = with_uploads("300s", &[]);
    let idle = raw(&platform, "raw");
    let flooded = raw(&platform, "flood");
    wait_for("it is counted", || platform.metric("spore_upgraded_connections", "") == 2.0);
    drop((idle, flooded));
    all_over(&platform);
}

#[test]
fn silence_and_the_function_s_time_end_a_connection() {
    let platform = with_uploads("300s", &["--upgrade-idle", "10"]);
    assert_eq!(rest(raw(&platform, "raw")), "welcome\n");
    all_over(&platform);
    assert_eq!(platform.metric("spore_invocations_total", "status=\"408\""), 1.0);
    drop(platform);
    let platform = with_uploads("10s", &[]);
    assert_eq!(rest(raw(&platform, "raw")), "welcome\n");
    all_over(&platform);
    assert_eq!(platform.metric("spore_invocations_total", "status=\"504\""), 1.0);
}

#[test]
fn a_function_has_so_many_and_no_more() {
    let platform = with_uploads("300s", &["--max-upgrades", "2"]);
    let open = [raw(&platform, "raw"), raw(&platform, "raw")];
    let mut third = platform.connect();
    ask(&mut third, "raw", "raw");
    let refused = third.receive();
    assert_eq!((refused.status, refused.code().as_str()), (429, "Overloaded"));
    assert!(refused.text().contains("limit of 2 upgraded connections"), "{}", refused.text());
    assert_eq!(third.get("/function/uploads/").text(), "hello", "other requests are answered");
    drop(open);
    all_over(&platform);
    drop(raw(&platform, "raw"));
    all_over(&platform);
}

#[test]
fn who_does_not_agree_answers() {
    let platform = with_uploads("60s", &[]);
    let mut connection = platform.connect();
    // The function does not know the protocol; HTTP/2 is not even offered to it.
    for protocol in ["raw", "h2c"] {
        ask(&mut connection, "", protocol);
        let answer = connection.receive();
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"), "{protocol}");
    }
    ask(&mut connection, "raw", "h2c");
    let forced = connection.receive();
    assert_eq!((forced.status, forced.code().as_str()), (502, "InvalidResponse"), "nobody asked for it");
    all_over(&platform);
}

#[test]
fn a_platform_that_stops_ends_them() {
    let platform = with_uploads("300s", &[]);
    let connection = raw(&platform, "raw");
    let reader = std::thread::spawn(move || rest(connection));
    assert!(platform.interrupt().success());
    assert_eq!(reader.join().unwrap(), "welcome\n");
}
