//! Standard streams: whole, binary safe, at once, and with back pressure.

use crate::common::{code, spore, stdout};
use crate::rig::fed;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

/// Bytes of every value, `len` of them.
fn bytes(len: usize) -> Vec<u8> {
    (0..=255_u8).cycle().zip((0..=250_u8).cycle()).map(|(a, b)| a ^ b).take(len).collect()
}

#[test]
fn a_hundred_mebibytes_go_through_unchanged() {
    let input = bytes(100 << 20);
    let output = fed(&mut spore(&["run", "--", "cat"]), &input);
    assert_eq!((code(&output), output.stderr.len()), (0, 0));
    assert!(output.stdout == input, "{} bytes came back", output.stdout.len());
}

#[test]
fn output_and_errors_go_to_their_own_streams_in_full() {
    let script = "printf 'a\\0b'; echo error >&2; printf '\\377'";
    let output = fed(&mut spore(&["run", "--", "sh", "-c", script]), b"");
    assert_eq!(
        (code(&output), &output.stdout[..], &output.stderr[..]),
        (0, &b"a\0b\xff"[..], &b"error\n"[..])
    );
}

#[test]
fn a_prompt_shows_up_before_the_answer_is_read() {
    let mut command =
        spore(&["run", "--", "sh", "-c", "printf 'name? '; read x; echo \"hello $x\"; read y || echo end"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    let mut prompt = [0; 6];
    output.read_exact(&mut prompt).unwrap();
    assert_eq!(&prompt, b"name? ");
    input.write_all(b"Ada\n").unwrap();
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "hello Ada\n");
    drop(input);
    line.clear();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "end\n");
    assert!(child.wait().unwrap().success());
}

#[test]
fn input_is_read_while_another_process_computes() {
    // It has computed for longer than a time slice before it says so: by then the shell has looked for input.
    let script = "(i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; printf 'ready '; while :; do :; done) & \
                  read x; echo \"got $x\"; kill $!";
    let mut child = spore(&["run", "--", "sh", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    let mut prompt = [0; 6];
    output.read_exact(&mut prompt).unwrap();
    input.write_all(b"it\n").unwrap();
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "got it\n");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_reader_that_goes_away_ends_the_program_as_in_any_pipe() {
    let mut child = spore(&["run", "--", "yes"]).stdout(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "y\n");
    drop(output);
    assert_eq!(child.wait().unwrap().code(), Some(128 + 13), "SIGPIPE");
}

#[test]
fn a_file_and_nothing_at_all_are_inputs_too() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"from a file").unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let output = spore(&["run", "--", "cat"]).stdin(file).output().unwrap();
    assert_eq!(stdout(&output), "from a file");
    let output = spore(&["run", "--", "cat"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!((code(&output), stdout(&output)), (0, String::new()));
}

#[test]
fn output_that_cannot_be_written_is_an_error_to_the_program() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = spore(&["run", "--", "cat"]);
    let mut child = command.stdin(Stdio::piped()).stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"text").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 1);
    assert!(String::from_utf8_lossy(&output.stderr).contains("No space left on device"), "{output:?}");
}
