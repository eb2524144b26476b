//! Answers that go out as they come.

use super::*;

const LINE: &str = "chunks text/x\n";

/// The head of a post in streaming mode, in chunks.
fn head() -> String {
    let fields = "Lambda-Runtime-Function-Response-Mode: streaming\r\nContent-Type: text/x\r\n";
    post("response", fields, "").replace("Content-Length: 0", "Transfer-Encoding: chunked")
}

impl Vm {
    /// What the host is handed when the program waits.
    fn part(&self) -> Option<String> {
        let mut inbound = self.inbound.borrow_mut();
        let len = inbound.take_part()?;
        Some(String::from_utf8(inbound.response[..len].to_vec()).unwrap())
    }
}

#[test]
fn what_has_been_posted_goes_out_when_the_program_waits() {
    let (vm, mut client) = Vm::running();
    client.send(head());
    assert_eq!(vm.part().as_deref(), Some(LINE));
    assert_eq!(vm.part(), None);
    client.send("5\r\nfi");
    assert_eq!(vm.part().as_deref(), Some("5\r\nfi"));
    client.send("rst\r\n");
    assert_eq!(client.call("0\r\n\r\n").0, 202);
    vm.answered("rst\r\n0\r\n\r\n");
}

#[test]
fn nothing_else_goes_out_before_it_is_complete() {
    let (vm, mut client) = Vm::running();
    let request = post("response", "Lambda-Runtime-Function-Response-Mode: streaming\r\n", "body");
    client.send(&request[..request.len() - 1]);
    assert_eq!(vm.part(), None, "its length is known");
    assert_eq!(client.call("y").0, 202);
    vm.answered("stream \nbody");
    let (vm, mut client) = Vm::running();
    client.send(post("response", "", "").replace("Content-Length: 0", "Transfer-Encoding: chunked"));
    client.send("1\r\n1\r\n");
    assert_eq!(vm.part(), None, "it is not in streaming mode");
}

#[test]
fn what_finds_no_room_waits_until_a_part_has_gone() {
    let (vm, mut client) = Vm::running();
    let body = "x".repeat(3 * ROOM);
    let whole = format!("{LINE}{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    client.send(head());
    let (mut rest, mut parts) = (&whole.as_bytes()[LINE.len()..], String::new());
    while !rest.is_empty() {
        match client.connection.send(rest) {
            Ok(taken) => rest = &rest[taken..],
            Err(error) => {
                assert_eq!((error, client.connection.takes_bytes()), (Errno::EAGAIN, false));
                assert!(vm.inbound.borrow().is_full());
                let part = vm.part().expect("it is full");
                assert_eq!(part.len(), ROOM);
                parts += &part;
                assert!(client.connection.takes_bytes());
            }
        }
    }
    assert_eq!(client.reply().0, 202);
    let last = vm.answer().flatten().expect("it is complete");
    assert!(parts + &last == whole);
}

#[test]
fn one_that_is_given_up_can_be_begun_anew_unless_a_part_has_gone() {
    let goes_away = |client: &mut Client| client.connection.end();
    let talks_nonsense = |client: &mut Client| assert_eq!(client.connection.send(b"nonsense"), Ok(1));
    for give_up in [goes_away, talks_nonsense] {
        let (vm, mut client) = Vm::running();
        client.send(head());
        client.send("3\r\none\r\n");
        give_up(&mut client);
        assert_eq!((vm.part(), vm.answer()), (None, None));
        let mut other = vm.connect();
        assert_eq!(other.call(post("response", "", "1")).0, 202);
        vm.answered("response \n1");

        let (vm, mut client) = Vm::running();
        client.send(head());
        assert!(vm.part().is_some());
        client.send("3\r\none\r\n");
        give_up(&mut client);
        let rest = vm.answer().flatten().expect("it has ended");
        assert!(rest.starts_with("3\r\none\r\n") && !rest.contains("0\r\n"), "{rest}");
    }
}

#[test]
fn nothing_else_is_posted_meanwhile() {
    let (vm, mut client) = Vm::running();
    client.send(head());
    let mut other = vm.connect();
    for what in ["response", "error"] {
        assert_eq!(other.refused(post(what, "", "{}")).0, 403);
    }
    assert_eq!(client.call("0\r\n\r\n").0, 202);
    vm.answered(&format!("{LINE}0\r\n\r\n"));
}
